/*
 * What nibble run works on: lines, each with the ids that its answer begins with and, for models
 * with an encoder, the ids of its source.
 */
#ifndef NIB_RUN_LINES_H
#define NIB_RUN_LINES_H

#include "input.h"
#include "languages.h"

struct nib_line {
    const char *text; /* zero-terminated; NULL: ids were given */
    int32_t *source;  /* of models with an encoder */
    size_t n_source;
    int32_t *prefix; /* a prompt; with an encoder: start ids */
    size_t n_prefix;
    uint32_t max_new; /* ids that are generated at most; UINT32_MAX: no limit */
    bool is_cut;      /* that is less than was asked for: the context has no more room */
    bool is_blank;    /* a source without text: the answer has none either */
    char *error;      /* a sentence on why there will be no answer, or NULL */
};

struct nib_run_lines {
    struct nib_line *lines;
    size_t n_lines, n_failed;
    struct nib_texts texts; /* that lines->text point to */
};

/* These complain when they fail and return an exit code. */

/* One prompt: `text` (which may be ""), with what the model's file adds unless `is_chat`. */
int nib_run_lines_from_prompt(struct nib_run_lines *out, const struct nib_model *model,
                              const struct nib_buffer *text, bool is_chat);
/* Lists of ids: sources of models with an encoder, else prompts. */
int nib_run_lines_from_ids(struct nib_run_lines *out, const struct nib_model *model,
                           const char *path);
/* Sources, a line each; `texts` goes over to *out. */
int nib_run_lines_from_sources(struct nib_run_lines *out, const struct nib_model *model,
                               struct nib_texts *texts, const struct nib_languages *languages);

/* What the answers to sources begin with: the lists of the file `decoder_ids` (one, or one a line),
 * or the model's start ids where it is NULL. */
int nib_run_lines_begin(struct nib_run_lines *lines, const struct nib_model *model,
                        const struct nib_languages *languages, const char *decoder_ids);

/* Sets max_new for a context of n_ctx: n_predict, or where that is -1 what there is room for, with
 * an encoder at most twice the source and 64.  If the context `shifts`, there is always room.
 * Sources longer than the model's positions, and prefixes than the context, become errors of their
 * lines, each a complaint. */
void nib_run_lines_limit(struct nib_run_lines *lines, const struct nib_model *model, uint32_t n_ctx,
                         int64_t n_predict, bool shifts);

void nib_run_lines_free(struct nib_run_lines *lines);

#endif
