/*
 * Candidates for the next token: the part of a row of logits that is still in the race.  Nothing is
 * ever sorted: prefixes of an order are found by selection, in linear time.
 */
#ifndef NIB_CANDIDATES_H
#define NIB_CANDIDATES_H

#include "logits.h"

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

double nib_candidates_largest(const struct nib_candidates *c); /* logit */

/* Compute the weights unless they are there, and return their sum. */
double nib_candidates_weigh(struct nib_candidates *c);

/* The place of the candidate that the uniform number u in [0, 1) stands for. */
size_t nib_candidates_draw(struct nib_candidates *c, double u);

/* Keep those whose logit is at least `bound`. */
void nib_candidates_keep_from(struct nib_candidates *c, double bound);

/*
 * In descending order of keys, the lower of equal ids first, keep a candidate if the measure of
 * those before it is < limit: the measure of a candidate is 1, or its weight.  At least the first
 * is kept, as limit > 0.  The keys are c->logits or c->keys.
 */
void nib_candidates_keep_prefix(struct nib_candidates *c, double *keys, bool by_weight,
                                double limit);

#endif
