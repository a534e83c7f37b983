/*
 * Qwen 2 (with biases for q, k and v) and 3 (with norms of their heads), and the mixtures of
 * experts of both.  https://arxiv.org/abs/2407.10671, https://arxiv.org/abs/2505.09388
 */
#include "families.h"

static const struct nib_tensor_name dense[] = {
    {NIB_ATTN_NORM},
    {NIB_Q},
    {NIB_K},
    {NIB_V},
    {NIB_O},
    {NIB_Q_NORM, .is_optional = true},
    {NIB_K_NORM, .is_optional = true},
    {NIB_FFN_NORM},
    {NIB_GATE},
    {NIB_UP},
    {NIB_DOWN},
    {.name = NULL},
};

static const struct nib_tensor_name experts[] = {
    {NIB_ATTN_NORM},
    {NIB_Q},
    {NIB_K},
    {NIB_V},
    {NIB_O},
    {NIB_Q_NORM, .is_optional = true},
    {NIB_K_NORM, .is_optional = true},
    {NIB_FFN_NORM},
    {NIB_GATE, .is_optional = true},
    {NIB_UP, .is_optional = true},
    {NIB_DOWN, .is_optional = true},
    {NIB_ROUTER, .is_optional = true},
    {NIB_GATE_EXPERTS, .is_optional = true},
    {NIB_UP_EXPERTS, .is_optional = true},
    {NIB_DOWN_EXPERTS, .is_optional = true},
    {NIB_LINEAR("ffn_gate_inp_shexp", moe.shared_gate, nib_size_one, nib_size_embd),
     .is_optional = true},
    {NIB_LINEAR("ffn_gate_shexp", moe.shared.gate, nib_size_ff_shared, nib_size_embd),
     .is_optional = true},
    {NIB_LINEAR("ffn_up_shexp", moe.shared.up, nib_size_ff_shared, nib_size_embd),
     .is_optional = true},
    {NIB_LINEAR("ffn_down_shexp", moe.shared.down, nib_size_embd, nib_size_ff_shared),
     .is_optional = true},
    {.name = NULL},
};

const struct nib_family nib_family_qwen2 = {
    .name = "qwen2",
    .norm = NIB_NORM_RMS,
    .activation = NIB_ACTIVATION_SILU,
    .layer_tensors = dense,
};

const struct nib_family nib_family_qwen3 = {
    .name = "qwen3",
    .norm = NIB_NORM_RMS,
    .activation = NIB_ACTIVATION_SILU,
    .layer_tensors = dense,
};

const struct nib_family nib_family_qwen2moe = {
    .name = "qwen2moe",
    .norm = NIB_NORM_RMS,
    .activation = NIB_ACTIVATION_SILU,
    .layer_tensors = experts,
};

const struct nib_family nib_family_qwen3moe = {
    .name = "qwen3moe",
    .norm = NIB_NORM_RMS,
    .activation = NIB_ACTIVATION_SILU,
    .renormalizes_experts = true,
    .layer_tensors = experts,
};
