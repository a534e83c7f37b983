/*
 * The most probable ids of rows of logits, by the largest logit of each block of ids, which the
 * step has found (nib_work.logits_max), and on all threads.
 */
#ifndef NIB_LOGITS_ROWS_H
#define NIB_LOGITS_ROWS_H

#include "common.h"

/* What is asked for of one row, and the answer. */
struct nib_top {
    size_t row;                 /* as nib_logits() counts */
    size_t n;                   /* ids wanted; then how many there are */
    struct nib_id_logprob *ids; /* [n] best first, the lower id of equals first */
    double log_sum;             /* the log-probability of an id is its logit minus this */
};

/* Of ids below nib_model_info's n_tokens, which alone have a probability. */
void nib_logits_top(struct nib_context *context, struct nib_top *tops, size_t n_tops);

#endif
