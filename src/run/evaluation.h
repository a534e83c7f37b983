/*
 * What evaluates again and again, as a beam search: nib_context_cancel() counts from
 * nib_evaluation_begin() on, between the parts too.
 */
#ifndef NIB_EVALUATION_H
#define NIB_EVALUATION_H

#include "common.h"

void nib_evaluation_begin(struct nib_context *context);

/* nib_evaluate(), which is a beginning and one part. */
enum nib_status nib_evaluate_part(struct nib_context *context, const struct nib_batch *batch,
                                  struct nib_error *err);

#endif
