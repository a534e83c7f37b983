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

struct nib_run_limits {
    uint32_t n_ctx;
    int64_t n_predict; /* -1: as many new ids as there is room for, with an encoder at most twice
                          the source, 64 and n_forced */
    size_t n_forced;   /* new ids that phrases to force take */
    bool shifts;       /* there is always room */
};

/* Sets max_new.  Sources longer than the model's positions, prefixes longer than the context or
 * without room behind them for n_forced become errors of their lines, each a complaint. */
void nib_run_lines_limit(struct nib_run_lines *lines, const struct nib_model *model,
                         const struct nib_run_limits *limits);

void nib_run_lines_free(struct nib_run_lines *lines);

#endif
