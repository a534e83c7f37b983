/*
 * Families with an encoder and a decoder: the original Transformer (Vaswani et al. 2017,
 * https://arxiv.org/abs/1706.03762), T5 (https://arxiv.org/abs/1910.10683), BART
 * (https://arxiv.org/abs/1910.13461) and mBART, Marian, Pegasus (https://arxiv.org/abs/1912.08777),
 * M2M-100 and NLLB (https://arxiv.org/abs/2010.11125).  Positions that are sines come as tables.
 */
#include "families.h"

#define NIB_ATTN_O NIB_LINEAR("attn_o", attn.o, nib_size_embd, nib_size_q)
#define NIB_CROSS                                                                                  \
    {NIB_NORM("cross_attn_norm", cross_norm)},                                                     \
        {NIB_LINEAR("cross_attn_q", cross.q, nib_size_q, nib_size_embd)},                          \
        {NIB_LINEAR("cross_attn_k", cross.k, nib_size_kv, nib_size_embd)},                         \
        {NIB_LINEAR("cross_attn_v", cross.v, nib_size_kv, nib_size_embd)},                         \
    {                                                                                              \
        NIB_LINEAR("cross_attn_o", cross.o, nib_size_embd, nib_size_q)                             \
    }
#define NIB_DISTANCE_BIAS                                                                          \
    .name = "attn_rel_b", .slot = offsetof(struct nib_layer, distance_bias),                       \
    .kind = NIB_SLOT_BIAS, .n_rows = nib_size_buckets, .is_optional = true

static const struct nib_tensor_name encoder[] = {
    {NIB_ATTN_NORM}, {NIB_Q},
    {NIB_K},         {NIB_V},
    {NIB_ATTN_O},    {NIB_DISTANCE_BIAS},
    {NIB_FFN_NORM},  {NIB_GATE, .is_optional = true},
    {NIB_UP},        {NIB_DOWN},
    {.name = NULL},
};

static const struct nib_tensor_name decoder[] = {
    {NIB_ATTN_NORM}, {NIB_Q},        {NIB_K},
    {NIB_V},         {NIB_ATTN_O},   {NIB_DISTANCE_BIAS},
    NIB_CROSS,       {NIB_FFN_NORM}, {NIB_GATE, .is_optional = true},
    {NIB_UP},        {NIB_DOWN},     {.name = NULL},
};

const struct nib_family nib_family_t5 = {
    .name = "t5",
    .norm = NIB_NORM_RMS,
    .activation = NIB_ACTIVATION_RELU,
    .is_gelu_with_gate = true,
    .positions = NIB_POSITIONS_NONE,
    .score_scale = 1,
    .scales_tied_logits = true,
    .encoder_tensors = encoder,
    .layer_tensors = decoder,
};

#define NIB_WITH_POSITIONS(family, act)                                                            \
    .name = family, .norm = NIB_NORM_LAYER, .activation = act, .positions = NIB_POSITIONS_LEARNED, \
    .encoder_tensors = encoder, .layer_tensors = decoder

const struct nib_family nib_family_transformer = {
    NIB_WITH_POSITIONS("transformer", NIB_ACTIVATION_RELU), .is_post_norm = true};
const struct nib_family nib_family_bart = {NIB_WITH_POSITIONS("bart", NIB_ACTIVATION_GELU),
                                           .is_post_norm = true};
const struct nib_family nib_family_marian = {NIB_WITH_POSITIONS("marian", NIB_ACTIVATION_SILU),
                                             .is_post_norm = true};
const struct nib_family nib_family_mbart = {NIB_WITH_POSITIONS("mbart", NIB_ACTIVATION_GELU)};
const struct nib_family nib_family_pegasus = {NIB_WITH_POSITIONS("pegasus", NIB_ACTIVATION_RELU)};
const struct nib_family nib_family_m2m100 = {NIB_WITH_POSITIONS("m2m_100", NIB_ACTIVATION_RELU)};
