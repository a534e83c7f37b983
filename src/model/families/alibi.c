/*
 * Families whose scores fall with distance (ALiBi) in place of positions: BLOOM
 * (https://arxiv.org/abs/2211.05100), with a norm of the embeddings, and MPT.
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
    {NIB_Q_NORM, .is_optional = true},
    {NIB_K_NORM, .is_optional = true},
    {NIB_FFN_NORM},
    {NIB_UP},
    {NIB_DOWN},
    {.name = NULL},
};

const struct nib_family nib_family_bloom = {
    .name = "bloom",
    .norm = NIB_NORM_LAYER,
    .activation = NIB_ACTIVATION_GELU_TANH,
    .positions = NIB_POSITIONS_NONE,
    .alibi_bias = 8,
    .layer_tensors = tensors,
};

const struct nib_family nib_family_mpt = {
    .name = "mpt",
    .norm = NIB_NORM_LAYER,
    .activation = NIB_ACTIVATION_GELU,
    .positions = NIB_POSITIONS_NONE,
    .layer_tensors = tensors,
};
