/*
 * Llama 1 to 3 and all who share their layer (SmolLM2, Mistral 0.1 and 0.2, TinyLlama, Yi):
 * RMSNorm before each half, rotated q and k, grouped heads, SwiGLU.
 * Touvron et al. 2023, https://arxiv.org/abs/2302.13971; tensor names as GGUF has them.
 */
#include "families.h"
#include "layers.h"

#define LINEAR(tensor, field, rows, cols)                                                          \
    .name = tensor, .slot = offsetof(struct nib_layer, field), .kind = NIB_SLOT_LINEAR,            \
    .n_rows = rows, .n_cols = cols
#define NORM(tensor, field)                                                                        \
    .name = tensor, .slot = offsetof(struct nib_layer, field), .kind = NIB_SLOT_NORM,              \
    .n_rows = nib_size_embd

static const struct nib_tensor_name tensors[] = {
    {NORM("attn_norm", attn_norm)},
    {LINEAR("attn_q", attn.q, nib_size_q, nib_size_embd), .is_rotated = true},
    {LINEAR("attn_k", attn.k, nib_size_kv, nib_size_embd), .is_rotated = true},
    {LINEAR("attn_v", attn.v, nib_size_kv, nib_size_embd)},
    {LINEAR("attn_output", attn.o, nib_size_embd, nib_size_q)},
    {NORM("ffn_norm", ffn_norm)},
    {LINEAR("ffn_gate", ffn.gate, nib_size_ff, nib_size_embd)},
    {LINEAR("ffn_up", ffn.up, nib_size_ff, nib_size_embd)},
    {LINEAR("ffn_down", ffn.down, nib_size_embd, nib_size_ff)},
    {.name = NULL},
};

const struct nib_family nib_family_llama = {
    .name = "llama",
    .norm = NIB_NORM_RMS,
    .activation = NIB_ACTIVATION_SILU,
    .rope_pairs = true,
    .layer = nib_layer_prenorm,
    .layer_tensors = tensors,
};
