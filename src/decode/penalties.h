/*
 * Penalties for ids that were seen before:
 *   repetition r   logit / r if it is > 0, else logit * r; once for each id in prompt or output
 *                  (Keskar et al. 2019, "CTRL")
 *   frequency f    logit - f * count in the output
 *   presence p     logit - p if the count is > 0
 * in this order.  Only the latest `last_n` ids of prompt and output count.
 */
#ifndef NIB_PENALTIES_H
#define NIB_PENALTIES_H

#include "edits.h"

enum { NIB_PENALTIES_WINDOW_MAX = 1 << 20 };

struct nib_penalties;

struct nib_penalty_params {
    double repeat, frequency, presence; /* 1, 0, 0: off */
    int32_t last_n;                     /* 0..NIB_PENALTIES_WINDOW_MAX; -1: all */
};

enum nib_status nib_penalties_create(struct nib_penalties **out,
                                     const struct nib_penalty_params *params, size_t n_vocab,
                                     struct nib_error *err);
void nib_penalties_free(struct nib_penalties *p);

/* The next id of prompt or output; 0 <= id < n_vocab. */
void nib_penalties_see(struct nib_penalties *p, int32_t id, bool is_output);

struct nib_edits nib_penalties_edits(const struct nib_penalties *p); /* until the next id */

#endif
