/*
 * nibble score --logprobs: the log-probability of every token of given texts, a line of JSON for
 * each text; of models with an encoder, of targets given their sources.
 */
#ifndef NIB_SCORE_LINES_H
#define NIB_SCORE_LINES_H

#include "nibble.h"

struct nib_score_lines {
    /* One of these; with an encoder a text is a source, a tab and a target. */
    const char *text;             /* or NULL */
    const char *texts_file;       /* a JSON list of strings, or lines of text; or NULL */
    const char *ids_file;         /* or NULL */
    const char *decoder_ids_file; /* with an encoder: of the targets, start ids and all */
    size_t n_top;                 /* alternatives of each token to show */
    size_t n_parallel;            /* lines computed at once */
};

/* Complains when it fails and returns an exit code.  A line that cannot be scored says so in its
 * place; the others are scored all the same. */
int nib_score_lines(const struct nib_model *model, const struct nib_score_lines *wanted);

#endif
