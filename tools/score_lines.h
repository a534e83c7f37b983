/*
 * nibble score --logprobs: the log-probability of every token of given texts, a line of JSON for
 * each text.
 */
#ifndef NIB_SCORE_LINES_H
#define NIB_SCORE_LINES_H

#include "nibble.h"

struct nib_score_lines {
    const char *text;       /* or NULL */
    const char *texts_file; /* a JSON list of strings, or lines of text; or NULL */
    const char *ids_file;   /* or NULL */
    size_t n_top;           /* alternatives of each token to show */
    size_t n_parallel;      /* lines computed at once */
};

/* Complains when it fails and returns an exit code.  A line that cannot be scored says so in its
 * place; the others are scored all the same. */
int nib_score_lines(const struct nib_model *model, const struct nib_score_lines *wanted);

#endif
