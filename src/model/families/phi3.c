/*
 * Phi 3 and 4: Llama's layer with fused q, k, v, and gate and up.  https://arxiv.org/abs/2404.14219
 */
#include "families.h"

static const struct nib_tensor_name tensors[] = {
    {NIB_ATTN_NORM},
    {NIB_QKV_Q},
    {NIB_QKV_K},
    {NIB_QKV_V},
    {NIB_Q, .is_optional = true},
    {NIB_K, .is_optional = true},
    {NIB_V, .is_optional = true},
    {NIB_O},
    {NIB_FFN_NORM},
    {NIB_LINEAR("ffn_up", ffn.gate, nib_size_ff, nib_size_embd)},
    {NIB_LINEAR("ffn_up", ffn.up, nib_size_ff, nib_size_embd), .first_row = nib_size_ff},
    {NIB_DOWN},
    {.name = NULL},
};

const struct nib_family nib_family_phi3 = {
    .name = "phi3",
    .norm = NIB_NORM_RMS,
    .activation = NIB_ACTIVATION_SILU,
    .layer_tensors = tensors,
};
