/*
 * The families that nibble runs: each is a table of its tensors and what its files do not say.
 * Sizes and rows of tables that they share.
 */
#ifndef NIB_FAMILIES_H
#define NIB_FAMILIES_H

#include "model.h"

extern const struct nib_family nib_family_bloom, nib_family_command_r, nib_family_falcon,
    nib_family_gemma, nib_family_gemma2, nib_family_gemma3, nib_family_gpt2, nib_family_gptj,
    nib_family_gptneox, nib_family_granite, nib_family_llama, nib_family_mpt, nib_family_olmo2,
    nib_family_olmoe, nib_family_opt, nib_family_phi2, nib_family_phi3, nib_family_qwen2,
    nib_family_qwen2moe, nib_family_qwen3, nib_family_qwen3moe, nib_family_smollm3,
    nib_family_stablelm, nib_family_starcoder, nib_family_starcoder2;
/* with an encoder */
extern const struct nib_family nib_family_bart, nib_family_m2m100, nib_family_marian,
    nib_family_mbart, nib_family_pegasus, nib_family_t5, nib_family_transformer;

uint32_t nib_size_one(const struct nib_config *config);
uint32_t nib_size_embd(const struct nib_config *config);
uint32_t nib_size_ff(const struct nib_config *config);
uint32_t nib_size_q(const struct nib_config *config);  /* all heads together */
uint32_t nib_size_kv(const struct nib_config *config); /* all heads of k, or of v */
uint32_t nib_size_qk(const struct nib_config *config); /* q and k together */
uint32_t nib_size_experts(const struct nib_config *config);
uint32_t nib_size_ff_expert(const struct nib_config *config);
uint32_t nib_size_ff_shared(const struct nib_config *config);
uint32_t nib_size_buckets(const struct nib_config *config);

/* Rows of nib_family.layer_tensors, as {NIB_Q} or {NIB_Q, .is_optional = true}. */
#define NIB_LINEAR(tensor, field, rows, cols)                                                      \
    .name = tensor, .slot = offsetof(struct nib_layer, field), .kind = NIB_SLOT_LINEAR,            \
    .n_rows = rows, .n_cols = cols
#define NIB_NORM(tensor, field)                                                                    \
    .name = tensor, .slot = offsetof(struct nib_layer, field), .kind = NIB_SLOT_NORM,              \
    .n_rows = nib_size_embd
#define NIB_HEAD_NORM(tensor, field, rows)                                                         \
    .name = tensor, .slot = offsetof(struct nib_layer, field), .kind = NIB_SLOT_HEAD_NORM,         \
    .n_rows = rows
#define NIB_EXPERTS(tensor, field, rows, cols)                                                     \
    .name = tensor, .slot = offsetof(struct nib_layer, field), .kind = NIB_SLOT_EXPERTS,           \
    .n_rows = rows, .n_cols = cols

#define NIB_ATTN_NORM NIB_NORM("attn_norm", attn_norm)
#define NIB_FFN_NORM  NIB_NORM("ffn_norm", ffn_norm)

#define NIB_Q      NIB_LINEAR("attn_q", attn.q, nib_size_q, nib_size_embd), .is_rotated = true
#define NIB_K      NIB_LINEAR("attn_k", attn.k, nib_size_kv, nib_size_embd), .is_rotated = true
#define NIB_V      NIB_LINEAR("attn_v", attn.v, nib_size_kv, nib_size_embd)
#define NIB_O      NIB_LINEAR("attn_output", attn.o, nib_size_embd, nib_size_q)
#define NIB_Q_NORM NIB_HEAD_NORM("attn_q_norm", attn.q_norm, nib_size_q)
#define NIB_K_NORM NIB_HEAD_NORM("attn_k_norm", attn.k_norm, nib_size_kv)
/* Fused, one below the other. */
#define NIB_QKV_Q                                                                                  \
    NIB_LINEAR("attn_qkv", attn.q, nib_size_q, nib_size_embd), .is_rotated = true,                 \
                                                               .is_optional = true
#define NIB_QKV_K                                                                                  \
    NIB_LINEAR("attn_qkv", attn.k, nib_size_kv, nib_size_embd),                                    \
        .first_row = nib_size_q, .is_rotated = true, .is_optional = true
#define NIB_QKV_V                                                                                  \
    NIB_LINEAR("attn_qkv", attn.v, nib_size_kv, nib_size_embd), .first_row = nib_size_qk,          \
                                                                .is_optional = true

#define NIB_GATE NIB_LINEAR("ffn_gate", ffn.gate, nib_size_ff, nib_size_embd)
#define NIB_UP   NIB_LINEAR("ffn_up", ffn.up, nib_size_ff, nib_size_embd)
#define NIB_DOWN NIB_LINEAR("ffn_down", ffn.down, nib_size_embd, nib_size_ff)

#define NIB_ROUTER       NIB_LINEAR("ffn_gate_inp", moe.router, nib_size_experts, nib_size_embd)
#define NIB_GATE_EXPERTS NIB_EXPERTS("ffn_gate_exps", moe.gate, nib_size_ff_expert, nib_size_embd)
#define NIB_UP_EXPERTS   NIB_EXPERTS("ffn_up_exps", moe.up, nib_size_ff_expert, nib_size_embd)
#define NIB_DOWN_EXPERTS NIB_EXPERTS("ffn_down_exps", moe.down, nib_size_embd, nib_size_ff_expert)

#endif
