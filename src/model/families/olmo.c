/*
 * OLMo 2, with norms of what each half adds and of q and k as a whole
 * (https://arxiv.org/abs/2501.00656), and OLMoE, with Llama's norms and experts
 * (https://arxiv.org/abs/2409.02060).
 */
#include "families.h"

static const struct nib_tensor_name behind[] = {
    {NIB_Q},
    {NIB_K},
    {NIB_V},
    {NIB_O},
    {NIB_Q_NORM},
    {NIB_K_NORM},
    {NIB_NORM("post_attention_norm", attn_post_norm)},
    {NIB_GATE},
    {NIB_UP},
    {NIB_DOWN},
    {NIB_NORM("post_ffw_norm", ffn_post_norm)},
    {.name = NULL},
};

static const struct nib_tensor_name experts[] = {
    {NIB_ATTN_NORM},  {NIB_Q},
    {NIB_K},          {NIB_V},
    {NIB_O},          {NIB_Q_NORM},
    {NIB_K_NORM},     {NIB_FFN_NORM},
    {NIB_ROUTER},     {NIB_GATE_EXPERTS},
    {NIB_UP_EXPERTS}, {NIB_DOWN_EXPERTS},
    {.name = NULL},
};

const struct nib_family nib_family_olmo2 = {
    .name = "olmo2",
    .norm = NIB_NORM_RMS,
    .activation = NIB_ACTIVATION_SILU,
    .layer_tensors = behind,
};

const struct nib_family nib_family_olmoe = {
    .name = "olmoe",
    .norm = NIB_NORM_RMS,
    .activation = NIB_ACTIVATION_SILU,
    .norms_then_clamps = true,
    .layer_tensors = experts,
};
