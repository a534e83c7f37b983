/*
 * Families whose attention and feed-forward layer stand side by side: GPT-J (one norm for both),
 * GPT-NeoX (two; https://arxiv.org/abs/2204.06745), Phi 1 and 2, Command R (rotates neighbours),
 * Falcon (https://arxiv.org/abs/2311.16867) and StableLM, both also with halves in sequence.
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
    {NIB_FFN_NORM, .is_optional = true},
    {NIB_GATE, .is_optional = true},
    {NIB_UP},
    {NIB_DOWN},
    {.name = NULL},
};

static const struct nib_tensor_name falcon[] = {
    {NIB_ATTN_NORM},
    {NIB_NORM("attn_norm_2", ffn_norm), .is_optional = true},
    {NIB_QKV_Q},
    {NIB_QKV_K},
    {NIB_QKV_V},
    {NIB_Q, .is_optional = true},
    {NIB_K, .is_optional = true},
    {NIB_V, .is_optional = true},
    {NIB_O},
    {NIB_FFN_NORM, .is_optional = true},
    {NIB_UP},
    {NIB_DOWN},
    {.name = NULL},
};

/* Two norms side by side: attn_norm_2 is attention's, attn_norm the feed-forward layer's. */
static void arrange_falcon(const struct nib_config *config, struct nib_layer *layer)
{
    if (!config->is_parallel || !layer->ffn_norm.w)
        return;
    const struct nib_norm attn_norm = layer->attn_norm;
    layer->attn_norm = layer->ffn_norm;
    layer->ffn_norm = attn_norm;
}

const struct nib_family nib_family_gptj = {
    .name = "gptj",
    .norm = NIB_NORM_LAYER,
    .activation = NIB_ACTIVATION_GELU_TANH,
    .rope_pairs = true,
    .is_parallel = true,
    .layer_tensors = tensors,
};

const struct nib_family nib_family_gptneox = {
    .name = "gptneox",
    .norm = NIB_NORM_LAYER,
    .activation = NIB_ACTIVATION_GELU,
    .is_parallel = true,
    .layer_tensors = tensors,
};

const struct nib_family nib_family_phi2 = {
    .name = "phi2",
    .norm = NIB_NORM_LAYER,
    .activation = NIB_ACTIVATION_GELU_TANH,
    .is_parallel = true,
    .layer_tensors = tensors,
};

const struct nib_family nib_family_command_r = {
    .name = "command-r",
    .norm = NIB_NORM_LAYER,
    .activation = NIB_ACTIVATION_SILU,
    .rope_pairs = true,
    .is_parallel = true,
    .layer_tensors = tensors,
};

const struct nib_family nib_family_falcon = {
    .name = "falcon",
    .norm = NIB_NORM_LAYER,
    .activation = NIB_ACTIVATION_GELU,
    .is_parallel = true,
    .scales_alibi = true,
    .layer_tensors = falcon,
    .arrange = arrange_falcon,
};

const struct nib_family nib_family_stablelm = {
    .name = "stablelm",
    .norm = NIB_NORM_LAYER,
    .activation = NIB_ACTIVATION_SILU,
    .layer_tensors = tensors,
};
