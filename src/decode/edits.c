/* See edits.h. */
#include "edits.h"

#include <float.h>

static double edited(const struct nib_edits *edits, int32_t id, double logit)
{
    if (!(logit >= -FLT_MAX && logit <= FLT_MAX))
        return logit;
    const double x = edits->edit(edits->self, id, logit);
    return x > FLT_MAX ? FLT_MAX : x < -FLT_MAX ? -FLT_MAX : x;
}

void nib_edit_row(const struct nib_edits *edits, float *logits)
{
    for (size_t i = 0; i < edits->n; i++) {
        const int32_t id = edits->ids[i];
        logits[id] = (float)edited(edits, id, logits[id]);
    }
}

void nib_edit_candidates(const struct nib_edits *edits, struct nib_candidates *c)
{
    for (size_t i = 0; edits->n > 0 && i < c->n; i++)
        c->logits[i] = edited(edits, c->ids[i], c->logits[i]);
    c->has_weights = false;
}
