/*
 * Gemma 1 to 3: embeddings times sqrt(n_embd), GELU gates; from 2 on norms before and behind each
 * half and windows in most layers, soft caps in 2, norms of heads and a base of its own for windows
 * in 3. https://arxiv.org/abs/2403.08295, https://arxiv.org/abs/2408.00118,
 * https://arxiv.org/abs/2503.19786
 */
#include "families.h"

static const struct nib_tensor_name plain[] = {
    {NIB_ATTN_NORM}, {NIB_Q},    {NIB_K},  {NIB_V},    {NIB_O},
    {NIB_FFN_NORM},  {NIB_GATE}, {NIB_UP}, {NIB_DOWN}, {.name = NULL},
};

static const struct nib_tensor_name sandwich[] = {
    {NIB_ATTN_NORM},
    {NIB_Q},
    {NIB_K},
    {NIB_V},
    {NIB_O},
    {NIB_Q_NORM, .is_optional = true},
    {NIB_K_NORM, .is_optional = true},
    {NIB_NORM("post_attention_norm", attn_post_norm)},
    {NIB_FFN_NORM},
    {NIB_GATE},
    {NIB_UP},
    {NIB_DOWN},
    {NIB_NORM("post_ffw_norm", ffn_post_norm)},
    {.name = NULL},
};

const struct nib_family nib_family_gemma = {
    .name = "gemma",
    .norm = NIB_NORM_RMS,
    .activation = NIB_ACTIVATION_GELU_TANH,
    .scales_embedding = true,
    .layer_tensors = plain,
};

const struct nib_family nib_family_gemma2 = {
    .name = "gemma2",
    .norm = NIB_NORM_RMS,
    .activation = NIB_ACTIVATION_GELU_TANH,
    .scales_embedding = true,
    .window_period = 2,
    .wide_scale_layers = 46, /* 27B */
    .layer_tensors = sandwich,
};

const struct nib_family nib_family_gemma3 = {
    .name = "gemma3",
    .norm = NIB_NORM_RMS,
    .activation = NIB_ACTIVATION_GELU_TANH,
    .scales_embedding = true,
    .window_period = 6,
    .local_rope_base = 10000,
    .wide_scale_layers = 62, /* 27B */
    .layer_tensors = sandwich,
};
