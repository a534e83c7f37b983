/*
 * Candidates for the next token, and the filters that thin them out or reshape them.  Filters may
 * be applied in any order; each sees the distribution that the one before it left, renormalised.
 */
#ifndef NIB_FILTERS_H
#define NIB_FILTERS_H

#include "logits.h"

/* In the order of the sampling chain (llama.cpp's).  A filter is a row of the table in filters.c.
 */
enum nib_filter {
    NIB_FILTER_TOP_K,
    NIB_FILTER_TYPICAL_P,
    NIB_FILTER_TOP_P,
    NIB_FILTER_MIN_P,
    NIB_FILTER_TEMPERATURE,
    NIB_FILTER_COUNT,
};

/* Candidate i is (ids[i], logits[i]); the order of candidates depends on the logits alone. */
struct nib_candidates {
    size_t n, capacity;
    int32_t *ids;
    double *logits;
    double *weights; /* e^(logit - largest logit): probability times a constant, if has_weights */
    double *keys;    /* scratch */
    bool has_weights;
};

enum nib_status nib_candidates_create(struct nib_candidates *out, size_t capacity,
                                      struct nib_error *err);
void nib_candidates_free(struct nib_candidates *c);

/* Take all ids of a scanned row whose logit is at least `bound` and not -infinity. */
void nib_candidates_load(struct nib_candidates *c, const struct nib_row *row, double bound);

/* A bound below which no candidate of the row outlives `filter`, if that is the first; may use
 * `scratch`.  -infinity where there is none. */
double nib_filter_bound(enum nib_filter filter, double value, const struct nib_row *row,
                        struct nib_candidates *scratch);

const char *nib_filter_name(enum nib_filter filter);          /* "top-k" */
bool nib_filter_is_off(enum nib_filter filter, double value); /* this value changes nothing */

/* At least one candidate remains. */
void nib_filter_apply(enum nib_filter filter, double value, struct nib_candidates *c);

/* Compute the weights unless they are there, and return their sum. */
double nib_candidates_weigh(struct nib_candidates *c);

/* The candidate that the uniform number u in [0, 1) stands for. */
int32_t nib_candidates_draw(struct nib_candidates *c, double u);

#endif
