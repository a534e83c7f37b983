/*
 * Rows of logits and sums over them.  Sums have a fixed order (element i goes to partial sum i mod
 * 8) and every operation is an exactly rounded one, so results are equal on every CPU.
 */
#ifndef NIB_LOGITS_H
#define NIB_LOGITS_H

#include "common.h"
#include "kernels.h"

/* A row with the largest logit of each block of NIB_LOGITS_BLOCK. */
struct nib_row {
    const float *logits; /* [n] */
    size_t n;
    float *block_max; /* [nib_row_blocks(n)] */
    int32_t best;     /* id of the largest logit, the lowest such id */
};

size_t nib_row_blocks(size_t n);

/* Fill in block_max and best.  Fails, naming the id, if a logit is NaN or +infinity, or if all are
 * -infinity; single ones may be -infinity. */
enum nib_status nib_row_scan(struct nib_row *row, struct nib_error *err);

/* Logarithm of softmax(logits)[id], where `best` is the id of the largest logit. */
double nib_log_softmax(const float *logits, size_t n, int32_t best, int32_t id);

/* y[i] = e^x[i] for x[i] <= 0, to 2 units in the last place; e^-700 for less than that. */
void nib_exp(double *y, const double *x, size_t n);

double nib_sum(const double *x, size_t n);

#endif
