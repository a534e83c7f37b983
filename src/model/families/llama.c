/*
 * Llama 1 to 3 and all who share their layer (SmolLM2, Mistral, TinyLlama, Yi; Granite with scales
 * of its own; SmolLM3, whose every fourth layer is not rotated): RMSNorm before each half, rotated
 * q and k, grouped heads, SwiGLU; Mixtral with experts in its place. Touvron et al. 2023,
 * https://arxiv.org/abs/2302.13971; tensor names as GGUF has them.
 */
#include "families.h"

static const struct nib_tensor_name tensors[] = {
    {NIB_ATTN_NORM},
    {NIB_Q},
    {NIB_K},
    {NIB_V},
    {NIB_O},
    {NIB_FFN_NORM},
    {NIB_GATE, .is_optional = true},
    {NIB_UP, .is_optional = true},
    {NIB_DOWN, .is_optional = true},
    {NIB_ROUTER, .is_optional = true},
    {NIB_GATE_EXPERTS, .is_optional = true},
    {NIB_UP_EXPERTS, .is_optional = true},
    {NIB_DOWN_EXPERTS, .is_optional = true},
    {.name = NULL},
};

const struct nib_family nib_family_llama = {
    .name = "llama",
    .norm = NIB_NORM_RMS,
    .activation = NIB_ACTIVATION_SILU,
    .rope_pairs = true,
    .renormalizes_experts = true,
    .layer_tensors = tensors,
};

const struct nib_family nib_family_granite = {
    .name = "granite",
    .norm = NIB_NORM_RMS,
    .activation = NIB_ACTIVATION_SILU,
    .rope_pairs = true,
    .divides_logits = true,
    .layer_tensors = tensors,
};

const struct nib_family nib_family_smollm3 = {
    .name = "smollm3",
    .norm = NIB_NORM_RMS,
    .activation = NIB_ACTIVATION_SILU,
    .rope_pairs = true,
    .no_rope_period = 4,
    .layer_tensors = tensors,
};
