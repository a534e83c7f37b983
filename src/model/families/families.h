/* The families that nibble runs, and sizes that their tables of tensors share. */
#ifndef NIB_FAMILIES_H
#define NIB_FAMILIES_H

#include "model.h"

extern const struct nib_family nib_family_llama;

uint32_t nib_size_embd(const struct nib_config *config);
uint32_t nib_size_ff(const struct nib_config *config);
uint32_t nib_size_q(const struct nib_config *config);  /* all heads together */
uint32_t nib_size_kv(const struct nib_config *config); /* all heads of k, or of v */

#endif
