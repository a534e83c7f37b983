/*
 * The options that commands share, and what is made from them: the model, a context, samplers.
 */
#ifndef NIB_SETTINGS_H
#define NIB_SETTINGS_H

#include "input.h"
#include "nibble.h"
#include "options.h"
#include "terminal.h"

struct nib_settings {
    const char *model, *isa, *type;
    bool uses_cache; /* of packed forms; MiB: */
    int64_t cache_limit, cache_minimum;
    int64_t n_threads, n_ctx, n_batch;
    int type_k, type_v; /* indices into nib_choices_kv */
    bool kv_cache;

    const char *system, *system_file, *template_file,
        *template_variables; /* see nib_settings_read_chat() */

    bool wants_report; /* of every choice: nib_sampler_report() */

    int colour; /* enum nib_colour */
    bool is_quiet, is_verbose;
};

extern struct nib_settings nib_settings;

extern const struct nib_option nib_options_common[];  /* model, ISA, colour, -v, -q */
extern const struct nib_option nib_options_threads[]; /* -t; bench has a list instead */
extern const struct nib_option nib_options_length[];  /* -c */
extern const struct nib_option nib_options_context[]; /* batch, KV cache */
extern const struct nib_option nib_options_chat[];    /* system message, template */
extern const struct nib_option nib_options_sampling[];

/* Names of the types of enum nib_kv_type, in its order, then other names of theirs. */
extern const char *const nib_choices_kv[];
enum nib_kv_type nib_settings_kv_type(int choice);

extern const char *const nib_choices_text_json[]; /* "text", "json" */
enum { NIB_FORMAT_TEXT, NIB_FORMAT_JSON };

/* The library's defaults; before options are read. */
void nib_settings_init(void);
void nib_settings_init_sampling(void);
/* For beam search: a note for each option given that it has no use for. */
void nib_settings_note_unsampled(void);

/* These complain when they fail and return an exit code. */
int nib_settings_open_model(struct nib_model **out);
/* `n_ctx` 0: the model's length, cut (with a note) to what half of this machine's memory holds. */
int nib_settings_create_context(struct nib_context **out, const struct nib_model *model,
                                uint32_t n_ctx, uint32_t n_sequences, uint32_t n_logits);

struct nib_context_shape { /* as in nib_context_params */
    uint32_t n_ctx, n_sequences, n_logits, n_sources, n_ctx_source;
};

int nib_settings_create_shaped(struct nib_context **out, const struct nib_model *model,
                               const struct nib_context_shape *shape);

struct nib_chat_texts { /* without data where the options of a conversation give none */
    struct nib_buffer system, template_source;
};

int nib_settings_read_chat(struct nib_chat_texts *out);
void nib_chat_texts_free(struct nib_chat_texts *texts);
/* Bytes of keys and values that a position has in a cache of the chosen types. */
double nib_settings_position_bytes(const struct nib_model *model);
/* Percent of the touched bytes that lie on huge pages; 0 if none are touched. */
double nib_settings_huge_percent(const struct nib_memory_info *memory);

/* What the options of sampling (sampling_settings.c) ask for: words are looked up in the model's
 * vocabulary.  What `out` points to stays until the program ends. */
int nib_settings_sampler_params(struct nib_sampler_params *out, const struct nib_model *model);
int nib_settings_create_sampler(struct nib_sampler **out, const struct nib_model *model,
                                uint32_t sequence, bool wants_logprob);

#endif
