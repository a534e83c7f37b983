/*
 * The mixes that model files are published in, by the rules that made them (llama.cpp's), so that a
 * file of a given name has the same types whoever made it.
 */
#ifndef NIB_QUANTIZE_MIX_H
#define NIB_QUANTIZE_MIX_H

#include "gguf.h"

struct nib_mix {
    const char *name;   /* "Q4_K_M" */
    uint32_t file_type; /* general.file_type */
    enum nib_type type; /* of tensors that no rule names */
};

/* By name, in either case; NULL if there is none. */
const struct nib_mix *nib_mix_find(const char *name);
const struct nib_mix *nib_mix_at(size_t i); /* NULL past the end */

/* Equal but for upper and lower case. */
bool nib_same_word(const char *a, const char *b);

enum nib_role {
    NIB_ROLE_OTHER,
    NIB_ROLE_OUTPUT,
    NIB_ROLE_TOKEN_EMBD,
    NIB_ROLE_ATTN_V, /* or what holds v among others */
    NIB_ROLE_ATTN_K,
    NIB_ROLE_ATTN_OUTPUT,
    NIB_ROLE_FFN_DOWN,
};

enum nib_role nib_role_of(const char *tensor_name);

/* Of "blk.12.attn_q.weight" 12; -1 if the name has no layer. */
int64_t nib_layer_of(const char *tensor_name);

/* A walk over the matrices of a model, by layer: what the rules know, and what they have counted.
 */
struct nib_mix_walk {
    const struct nib_mix *mix;
    bool is_falcon, is_70b;
    bool is_tied; /* the token embeddings are the output too */
    int64_t n_layers, n_experts;
    int64_t n_gqa; /* query heads that share keys and values */
    int64_t n_attn_v, i_attn_v, i_ffn_down;
};

struct nib_mix_walk nib_mix_begin(const struct nib_mix *mix, const struct nib_gguf *gguf);
/* What the mix has for the next matrix, whether its columns fit or not. */
enum nib_type nib_mix_next(struct nib_mix_walk *walk, const struct nib_gguf_tensor *tensor);

#endif
