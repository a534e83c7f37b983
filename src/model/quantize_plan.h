/* Which tensor of a file gets which type. */
#ifndef NIB_QUANTIZE_PLAN_H
#define NIB_QUANTIZE_PLAN_H

#include "quantize_mix.h"

struct nib_quantize_choice {
    enum nib_type type;
    enum nib_type wanted; /* another one where its blocks do not fit the columns */
};

/* Fills out[tensors of the file], in the file's order.  Fails for types of `params` that do not
 * exist. */
enum nib_status nib_quantize_plan(struct nib_quantize_choice *out, const struct nib_gguf *gguf,
                                  const struct nib_mix *mix,
                                  const struct nib_quantize_params *params, struct nib_error *err);

#endif
