/*
 * GPT-2 and those who share its layer: LayerNorm before each half, biases, a feed-forward layer
 * without gate.  GPT-2 (Radford et al. 2019) and StarCoder (gpt_bigcode, one head of keys) have
 * learned positions and fused q, k, v; OPT (https://arxiv.org/abs/2205.01068) learned positions and
 * ReLU; StarCoder 2 rotates.
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
    {NIB_UP},
    {NIB_DOWN},
    {.name = NULL},
};

const struct nib_family nib_family_gpt2 = {
    .name = "gpt2",
    .norm = NIB_NORM_LAYER,
    .activation = NIB_ACTIVATION_GELU_TANH,
    .positions = NIB_POSITIONS_LEARNED,
    .layer_tensors = tensors,
};

const struct nib_family nib_family_starcoder = {
    .name = "starcoder",
    .norm = NIB_NORM_LAYER,
    .activation = NIB_ACTIVATION_GELU_TANH,
    .positions = NIB_POSITIONS_LEARNED,
    .layer_tensors = tensors,
};

const struct nib_family nib_family_opt = {
    .name = "opt",
    .norm = NIB_NORM_LAYER,
    .activation = NIB_ACTIVATION_RELU,
    .positions = NIB_POSITIONS_LEARNED,
    .layer_tensors = tensors,
};

const struct nib_family nib_family_starcoder2 = {
    .name = "starcoder2",
    .norm = NIB_NORM_LAYER,
    .activation = NIB_ACTIVATION_GELU_TANH,
    .layer_tensors = tensors,
};
