/* The parts that nib_kernels_init_scalar() puts together. */
#ifndef NIB_SCALAR_H
#define NIB_SCALAR_H

struct nib_kernels;

void nib_kernels_init_attention_scalar(struct nib_kernels *k);
void nib_kernels_init_dots_scalar(struct nib_kernels *k);
void nib_kernels_init_logits_scalar(struct nib_kernels *k);

#endif
