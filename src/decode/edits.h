/*
 * Stages of the chain that give single logits other values, whole rows of logits or candidates
 * alike: penalties (penalties.h) and DRY (dry.h).
 */
#ifndef NIB_EDITS_H
#define NIB_EDITS_H

#include "candidates.h"

struct nib_edits {
    size_t n;
    const int32_t *ids; /* that may get other values, each once */
    /* The logit that any id gets for `logit`, which is finite; the same for ids not listed. */
    double (*edit)(const void *self, int32_t id, double logit);
    const void *self;
};

/* Results stay finite where the logit was; infinity and NaN stay as they are. */
void nib_edit_row(const struct nib_edits *edits, float *logits);
void nib_edit_candidates(const struct nib_edits *edits, struct nib_candidates *c);

#endif
