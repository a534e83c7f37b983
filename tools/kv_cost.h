/*
 * What the KV cache saves: the time of a step that finds its past in the cache, beside that of
 * computing all positions again, which is what a step costs without it.
 */
#ifndef NIB_KV_COST_H
#define NIB_KV_COST_H

#include "nibble.h"

struct nib_kv_cost {
    uint32_t n_pays; /* positions from which on computing all again takes a tenth longer; 0: not
                        seen up to n_longest */
    double pays_step_s, pays_all_s;
    uint32_t n_longest; /* the longest that was tried, with its times */
    double longest_step_s, longest_all_s;
};

/* Measures on this machine; a second or so, more only where 512 positions take longer than that.
 * Complains when it fails and returns an exit code. */
int nib_kv_cost_measure(struct nib_kv_cost *out, const struct nib_model *model);

#endif
