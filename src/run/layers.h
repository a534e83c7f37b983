/* The shapes of layers. */
#ifndef NIB_LAYERS_H
#define NIB_LAYERS_H

#include "model.h"

struct nib_step;

/* One layer over the rows of a step, as the model's config shapes it. */
void nib_layer_run(struct nib_step *step, const struct nib_layer *layer);

#endif
