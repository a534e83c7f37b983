/* The layer shapes that families choose from. */
#ifndef NIB_LAYERS_H
#define NIB_LAYERS_H

struct nib_step;
struct nib_layer;

/* x += attention(norm(x));  x += ffn(norm(x)).  Llama, Qwen, GPT-2. */
void nib_layer_prenorm(struct nib_step *step, const struct nib_layer *layer);

#endif
