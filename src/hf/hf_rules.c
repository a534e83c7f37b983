/*
 * Names of transformers on the left, of llama.cpp's GGUF on the right; families that GGUF does not
 * have follow its vocabulary.  A family lists its tables from the special to the general.
 */
#include "hf_rules.h"

const struct nib_hf_rule nib_hf_rules_llama_rest[] = {
    {"embed_tokens", "token_embd", NIB_HF_PLAIN},
    {"norm", "output_norm", NIB_HF_PLAIN},
    {"lm_head", "output", NIB_HF_HEAD},
    {"layers.#.input_layernorm", "blk.#.attn_norm", NIB_HF_PLAIN},
    {"layers.#.post_attention_layernorm", "blk.#.ffn_norm", NIB_HF_PLAIN},
    {"layers.#.self_attn.o_proj", "blk.#.attn_output", NIB_HF_PLAIN},
    {"layers.#.mlp.gate_proj", "blk.#.ffn_gate", NIB_HF_PLAIN},
    {"layers.#.mlp.up_proj", "blk.#.ffn_up", NIB_HF_PLAIN},
    {"layers.#.mlp.down_proj", "blk.#.ffn_down", NIB_HF_PLAIN},
    {0},
};

const struct nib_hf_rule nib_hf_rules_qkv[] = {
    {"layers.#.self_attn.q_proj", "blk.#.attn_q", NIB_HF_PLAIN},
    {"layers.#.self_attn.k_proj", "blk.#.attn_k", NIB_HF_PLAIN},
    {"layers.#.self_attn.v_proj", "blk.#.attn_v", NIB_HF_PLAIN},
    {"layers.#.self_attn.q_norm", "blk.#.attn_q_norm", NIB_HF_PLAIN},
    {"layers.#.self_attn.k_norm", "blk.#.attn_k_norm", NIB_HF_PLAIN},
    {0},
};

const struct nib_hf_rule nib_hf_rules_qkv_pairs[] = {
    {"layers.#.self_attn.q_proj", "blk.#.attn_q", NIB_HF_PAIRS_Q},
    {"layers.#.self_attn.k_proj", "blk.#.attn_k", NIB_HF_PAIRS_K},
    {"layers.#.self_attn.v_proj", "blk.#.attn_v", NIB_HF_PLAIN},
    {0},
};

/* ---- experts --------------------------------------------------------------------------------- */

/* qwen, olmoe; and all of them as transformers 5 fuses them. */
#define FUSED_EXPERTS                                                                              \
    {"layers.#.mlp.experts.gate_up_proj", "blk.#.ffn_gate_exps", NIB_HF_EXPERTS_1ST},              \
        {"layers.#.mlp.experts.gate_up_proj", "blk.#.ffn_up_exps", NIB_HF_EXPERTS_2ND},            \
        {"layers.#.mlp.experts.down_proj", "blk.#.ffn_down_exps", NIB_HF_EXPERTS},                 \
    {                                                                                              \
        "layers.#.mlp.gate", "blk.#.ffn_gate_inp", NIB_HF_PLAIN                                    \
    }

const struct nib_hf_rule nib_hf_rules_experts[] = {
    {"layers.#.mlp.experts.@.gate_proj", "blk.#.ffn_gate_exps", NIB_HF_EXPERT},
    {"layers.#.mlp.experts.@.up_proj", "blk.#.ffn_up_exps", NIB_HF_EXPERT},
    {"layers.#.mlp.experts.@.down_proj", "blk.#.ffn_down_exps", NIB_HF_EXPERT},
    {"layers.#.mlp.shared_expert.gate_proj", "blk.#.ffn_gate_shexp", NIB_HF_PLAIN},
    {"layers.#.mlp.shared_expert.up_proj", "blk.#.ffn_up_shexp", NIB_HF_PLAIN},
    {"layers.#.mlp.shared_expert.down_proj", "blk.#.ffn_down_shexp", NIB_HF_PLAIN},
    {"layers.#.mlp.shared_expert_gate", "blk.#.ffn_gate_inp_shexp", NIB_HF_FLAT},
    FUSED_EXPERTS,
    {0},
};

const struct nib_hf_rule nib_hf_rules_mixtral[] = {
    {"layers.#.block_sparse_moe.gate", "blk.#.ffn_gate_inp", NIB_HF_PLAIN},
    {"layers.#.block_sparse_moe.experts.@.w1", "blk.#.ffn_gate_exps", NIB_HF_EXPERT},
    {"layers.#.block_sparse_moe.experts.@.w3", "blk.#.ffn_up_exps", NIB_HF_EXPERT},
    {"layers.#.block_sparse_moe.experts.@.w2", "blk.#.ffn_down_exps", NIB_HF_EXPERT},
    FUSED_EXPERTS,
    {0},
};

/* ---- llama's layer with other norms or parts ------------------------------------------------- */

const struct nib_hf_rule nib_hf_rules_gemma[] = {
    {"norm", "output_norm", NIB_HF_PLUS_ONE},
    {"layers.#.input_layernorm", "blk.#.attn_norm", NIB_HF_PLUS_ONE},
    {"layers.#.post_attention_layernorm", "blk.#.ffn_norm", NIB_HF_PLUS_ONE},
    {0},
};

const struct nib_hf_rule nib_hf_rules_gemma2[] = {
    {"norm", "output_norm", NIB_HF_PLUS_ONE},
    {"layers.#.input_layernorm", "blk.#.attn_norm", NIB_HF_PLUS_ONE},
    {"layers.#.post_attention_layernorm", "blk.#.post_attention_norm", NIB_HF_PLUS_ONE},
    {"layers.#.pre_feedforward_layernorm", "blk.#.ffn_norm", NIB_HF_PLUS_ONE},
    {"layers.#.post_feedforward_layernorm", "blk.#.post_ffw_norm", NIB_HF_PLUS_ONE},
    {0},
};

const struct nib_hf_rule nib_hf_rules_gemma3[] = {
    {"layers.#.self_attn.q_proj", "blk.#.attn_q", NIB_HF_PLAIN},
    {"layers.#.self_attn.k_proj", "blk.#.attn_k", NIB_HF_PLAIN},
    {"layers.#.self_attn.v_proj", "blk.#.attn_v", NIB_HF_PLAIN},
    {"layers.#.self_attn.q_norm", "blk.#.attn_q_norm", NIB_HF_PLUS_ONE},
    {"layers.#.self_attn.k_norm", "blk.#.attn_k_norm", NIB_HF_PLUS_ONE},
    {0},
};

const struct nib_hf_rule nib_hf_rules_olmo2[] = {
    {"layers.#.post_attention_layernorm", "blk.#.post_attention_norm", NIB_HF_PLAIN},
    {"layers.#.post_feedforward_layernorm", "blk.#.post_ffw_norm", NIB_HF_PLAIN},
    {0},
};

const struct nib_hf_rule nib_hf_rules_phi[] = {
    {"embed_tokens", "token_embd", NIB_HF_PLAIN},
    {"final_layernorm", "output_norm", NIB_HF_PLAIN},
    {"lm_head", "output", NIB_HF_HEAD},
    {"layers.#.input_layernorm", "blk.#.attn_norm", NIB_HF_PLAIN},
    {"layers.#.self_attn.q_layernorm", "blk.#.attn_q_norm", NIB_HF_PLAIN},
    {"layers.#.self_attn.k_layernorm", "blk.#.attn_k_norm", NIB_HF_PLAIN},
    {"layers.#.self_attn.dense", "blk.#.attn_output", NIB_HF_PLAIN},
    {"layers.#.mlp.fc1", "blk.#.ffn_up", NIB_HF_PLAIN},
    {"layers.#.mlp.fc2", "blk.#.ffn_down", NIB_HF_PLAIN},
    {0},
};

const struct nib_hf_rule nib_hf_rules_phi3[] = {
    {"layers.#.self_attn.qkv_proj", "blk.#.attn_qkv", NIB_HF_PLAIN},
    {"layers.#.mlp.gate_up_proj", "blk.#.ffn_up", NIB_HF_PLAIN},
    {0},
};

const struct nib_hf_rule nib_hf_rules_stablelm[] = {
    {"layers.#.self_attn.q_layernorm.norms.@", "blk.#.attn_q_norm", NIB_HF_STACKED},
    {"layers.#.self_attn.k_layernorm.norms.@", "blk.#.attn_k_norm", NIB_HF_STACKED},
    {0},
};

const struct nib_hf_rule nib_hf_rules_starcoder2[] = {
    {"layers.#.mlp.c_fc", "blk.#.ffn_up", NIB_HF_PLAIN},
    {"layers.#.mlp.c_proj", "blk.#.ffn_down", NIB_HF_PLAIN},
    {0},
};

/* ---- older families -------------------------------------------------------------------------- */

const struct nib_hf_rule nib_hf_rules_gpt2[] = {
    {"wte", "token_embd", NIB_HF_PLAIN},
    {"wpe", "position_embd", NIB_HF_PLAIN},
    {"ln_f", "output_norm", NIB_HF_PLAIN},
    {"lm_head", "output", NIB_HF_HEAD},
    {"h.#.ln_1", "blk.#.attn_norm", NIB_HF_PLAIN},
    {"h.#.ln_2", "blk.#.ffn_norm", NIB_HF_PLAIN},
    {"h.#.attn.c_attn", "blk.#.attn_qkv", NIB_HF_TRANSPOSED},
    {"h.#.attn.c_proj", "blk.#.attn_output", NIB_HF_TRANSPOSED},
    {"h.#.mlp.c_fc", "blk.#.ffn_up", NIB_HF_TRANSPOSED},
    {"h.#.mlp.c_proj", "blk.#.ffn_down", NIB_HF_TRANSPOSED},
    {0},
};

const struct nib_hf_rule nib_hf_rules_bigcode[] = {
    {"wte", "token_embd", NIB_HF_PLAIN},
    {"wpe", "position_embd", NIB_HF_PLAIN},
    {"ln_f", "output_norm", NIB_HF_PLAIN},
    {"lm_head", "output", NIB_HF_HEAD},
    {"h.#.ln_1", "blk.#.attn_norm", NIB_HF_PLAIN},
    {"h.#.ln_2", "blk.#.ffn_norm", NIB_HF_PLAIN},
    {"h.#.attn.c_attn", "blk.#.attn_qkv", NIB_HF_GROUPED_QKV},
    {"h.#.attn.c_proj", "blk.#.attn_output", NIB_HF_PLAIN},
    {"h.#.mlp.c_fc", "blk.#.ffn_up", NIB_HF_PLAIN},
    {"h.#.mlp.c_proj", "blk.#.ffn_down", NIB_HF_PLAIN},
    {0},
};

const struct nib_hf_rule nib_hf_rules_gptj[] = {
    {"wte", "token_embd", NIB_HF_PLAIN},
    {"ln_f", "output_norm", NIB_HF_PLAIN},
    {"lm_head", "output", NIB_HF_HEAD},
    {"h.#.ln_1", "blk.#.attn_norm", NIB_HF_PLAIN},
    {"h.#.attn.q_proj", "blk.#.attn_q", NIB_HF_PLAIN},
    {"h.#.attn.k_proj", "blk.#.attn_k", NIB_HF_PLAIN},
    {"h.#.attn.v_proj", "blk.#.attn_v", NIB_HF_PLAIN},
    {"h.#.attn.out_proj", "blk.#.attn_output", NIB_HF_PLAIN},
    {"h.#.mlp.fc_in", "blk.#.ffn_up", NIB_HF_PLAIN},
    {"h.#.mlp.fc_out", "blk.#.ffn_down", NIB_HF_PLAIN},
    {0},
};

const struct nib_hf_rule nib_hf_rules_neox[] = {
    {"embed_in", "token_embd", NIB_HF_PLAIN},
    {"final_layer_norm", "output_norm", NIB_HF_PLAIN},
    {"embed_out", "output", NIB_HF_HEAD},
    {"layers.#.input_layernorm", "blk.#.attn_norm", NIB_HF_PLAIN},
    {"layers.#.post_attention_layernorm", "blk.#.ffn_norm", NIB_HF_PLAIN},
    {"layers.#.attention.query_key_value", "blk.#.attn_qkv", NIB_HF_GROUPED_QKV},
    {"layers.#.attention.dense", "blk.#.attn_output", NIB_HF_PLAIN},
    {"layers.#.mlp.dense_h_to_4h", "blk.#.ffn_up", NIB_HF_PLAIN},
    {"layers.#.mlp.dense_4h_to_h", "blk.#.ffn_down", NIB_HF_PLAIN},
    {0},
};

const struct nib_hf_rule nib_hf_rules_bloom[] = {
    {"word_embeddings", "token_embd", NIB_HF_PLAIN},
    {"word_embeddings_layernorm", "token_embd_norm", NIB_HF_PLAIN},
    {"ln_f", "output_norm", NIB_HF_PLAIN},
    {"lm_head", "output", NIB_HF_HEAD},
    {"h.#.input_layernorm", "blk.#.attn_norm", NIB_HF_PLAIN},
    {"h.#.post_attention_layernorm", "blk.#.ffn_norm", NIB_HF_PLAIN},
    {"h.#.self_attention.query_key_value", "blk.#.attn_qkv", NIB_HF_GROUPED_QKV},
    {"h.#.self_attention.dense", "blk.#.attn_output", NIB_HF_PLAIN},
    {"h.#.mlp.dense_h_to_4h", "blk.#.ffn_up", NIB_HF_PLAIN},
    {"h.#.mlp.dense_4h_to_h", "blk.#.ffn_down", NIB_HF_PLAIN},
    {0},
};

/* The larger models have a norm for each branch: GGUF's attn_norm is then the feed-forward's, and
 * attn_norm_2 the attention's. */
const struct nib_hf_rule nib_hf_rules_falcon[] = {
    {"word_embeddings", "token_embd", NIB_HF_PLAIN},
    {"ln_f", "output_norm", NIB_HF_PLAIN},
    {"lm_head", "output", NIB_HF_HEAD},
    {"h.#.input_layernorm", "blk.#.attn_norm", NIB_HF_PLAIN},
    {"h.#.post_attention_layernorm", "blk.#.ffn_norm", NIB_HF_PLAIN},
    {"h.#.ln_mlp", "blk.#.attn_norm", NIB_HF_PLAIN},
    {"h.#.ln_attn", "blk.#.attn_norm_2", NIB_HF_PLAIN},
    {"h.#.self_attention.query_key_value", "blk.#.attn_qkv", NIB_HF_GROUPED_QKV},
    {"h.#.self_attention.dense", "blk.#.attn_output", NIB_HF_PLAIN},
    {"h.#.mlp.dense_h_to_4h", "blk.#.ffn_up", NIB_HF_PLAIN},
    {"h.#.mlp.dense_4h_to_h", "blk.#.ffn_down", NIB_HF_PLAIN},
    {0},
};

const struct nib_hf_rule nib_hf_rules_mpt[] = {
    {"wte", "token_embd", NIB_HF_PLAIN},
    {"wpe", "position_embd", NIB_HF_PLAIN},
    {"norm_f", "output_norm", NIB_HF_PLAIN},
    {"lm_head", "output", NIB_HF_HEAD},
    {"blocks.#.norm_1", "blk.#.attn_norm", NIB_HF_PLAIN},
    {"blocks.#.norm_2", "blk.#.ffn_norm", NIB_HF_PLAIN},
    {"blocks.#.attn.Wqkv", "blk.#.attn_qkv", NIB_HF_PLAIN},
    {"blocks.#.attn.q_ln", "blk.#.attn_q_norm", NIB_HF_PLAIN},
    {"blocks.#.attn.k_ln", "blk.#.attn_k_norm", NIB_HF_PLAIN},
    {"blocks.#.attn.out_proj", "blk.#.attn_output", NIB_HF_PLAIN},
    {"blocks.#.ffn.up_proj", "blk.#.ffn_up", NIB_HF_PLAIN},
    {"blocks.#.ffn.down_proj", "blk.#.ffn_down", NIB_HF_PLAIN},
    {0},
};

const struct nib_hf_rule nib_hf_rules_opt[] = {
    {"embed_tokens", "token_embd", NIB_HF_PLAIN},
    {"embed_positions", "position_embd", NIB_HF_SKIP_TWO},
    {"final_layer_norm", "output_norm", NIB_HF_PLAIN},
    {"lm_head", "output", NIB_HF_HEAD},
    {"layers.#.self_attn_layer_norm", "blk.#.attn_norm", NIB_HF_PLAIN},
    {"layers.#.final_layer_norm", "blk.#.ffn_norm", NIB_HF_PLAIN},
    {"layers.#.self_attn.q_proj", "blk.#.attn_q", NIB_HF_PLAIN},
    {"layers.#.self_attn.k_proj", "blk.#.attn_k", NIB_HF_PLAIN},
    {"layers.#.self_attn.v_proj", "blk.#.attn_v", NIB_HF_PLAIN},
    {"layers.#.self_attn.out_proj", "blk.#.attn_output", NIB_HF_PLAIN},
    {"layers.#.fc1", "blk.#.ffn_up", NIB_HF_PLAIN},
    {"layers.#.fc2", "blk.#.ffn_down", NIB_HF_PLAIN},
    {0},
};

/* ---- encoder and decoder --------------------------------------------------------------------- */

/* A stack's own embed_tokens is left out where "shared" is there: it is a copy of that. */

#define T5_STACK(from, to)                                                                         \
    {from ".embed_tokens", to ".token_embd", NIB_HF_PLAIN},                                        \
        {from ".final_layer_norm", to ".output_norm", NIB_HF_PLAIN},                               \
        {from ".block.#.layer.0.layer_norm", to ".blk.#.attn_norm", NIB_HF_PLAIN},                 \
        {from ".block.#.layer.0.SelfAttention.q", to ".blk.#.attn_q", NIB_HF_PLAIN},               \
        {from ".block.#.layer.0.SelfAttention.k", to ".blk.#.attn_k", NIB_HF_PLAIN},               \
        {from ".block.#.layer.0.SelfAttention.v", to ".blk.#.attn_v", NIB_HF_PLAIN},               \
        {from ".block.#.layer.0.SelfAttention.o", to ".blk.#.attn_o", NIB_HF_PLAIN},               \
    {                                                                                              \
        from ".block.#.layer.0.SelfAttention.relative_attention_bias", to ".blk.#.attn_rel_b",     \
            NIB_HF_PLAIN                                                                           \
    }

#define T5_FEED_FORWARD(from, to)                                                                  \
    {from ".layer_norm", to ".ffn_norm", NIB_HF_PLAIN},                                            \
        {from ".DenseReluDense.wi", to ".ffn_up", NIB_HF_PLAIN},                                   \
        {from ".DenseReluDense.wi_0", to ".ffn_gate", NIB_HF_PLAIN},                               \
        {from ".DenseReluDense.wi_1", to ".ffn_up", NIB_HF_PLAIN},                                 \
    {                                                                                              \
        from ".DenseReluDense.wo", to ".ffn_down", NIB_HF_PLAIN                                    \
    }

const struct nib_hf_rule nib_hf_rules_t5[] = {
    {"shared", "token_embd", NIB_HF_PLAIN},
    {"lm_head", "output", NIB_HF_HEAD},
    T5_STACK("encoder", "enc"),
    T5_FEED_FORWARD("encoder.block.#.layer.1", "enc.blk.#"),
    T5_STACK("decoder", "dec"),
    {"decoder.block.#.layer.1.layer_norm", "dec.blk.#.cross_attn_norm", NIB_HF_PLAIN},
    {"decoder.block.#.layer.1.EncDecAttention.q", "dec.blk.#.cross_attn_q", NIB_HF_PLAIN},
    {"decoder.block.#.layer.1.EncDecAttention.k", "dec.blk.#.cross_attn_k", NIB_HF_PLAIN},
    {"decoder.block.#.layer.1.EncDecAttention.v", "dec.blk.#.cross_attn_v", NIB_HF_PLAIN},
    {"decoder.block.#.layer.1.EncDecAttention.o", "dec.blk.#.cross_attn_o", NIB_HF_PLAIN},
    {"decoder.block.#.layer.1.EncDecAttention.relative_attention_bias", NULL, NIB_HF_PLAIN},
    T5_FEED_FORWARD("decoder.block.#.layer.2", "dec.blk.#"),
    {0},
};

/* Positions that are computed where files do not have them, as they may in half precision. */
const struct nib_hf_rule nib_hf_rules_sinusoids[] = {
    {"encoder.embed_positions", "enc.position_embd", NIB_HF_PLAIN},
    {"decoder.embed_positions", "dec.position_embd", NIB_HF_PLAIN},
    {0},
};

#define BART_STACK(from, to)                                                                       \
    {from ".embed_tokens", to ".token_embd", NIB_HF_PLAIN},                                        \
        {from ".embed_positions", to ".position_embd", NIB_HF_SKIP_TWO},                           \
        {from ".layernorm_embedding", to ".token_embd_norm", NIB_HF_PLAIN},                        \
        {from ".layer_norm", to ".output_norm", NIB_HF_PLAIN},                                     \
        {from ".layers.#.self_attn_layer_norm", to ".blk.#.attn_norm", NIB_HF_PLAIN},              \
        {from ".layers.#.self_attn.q_proj", to ".blk.#.attn_q", NIB_HF_PLAIN},                     \
        {from ".layers.#.self_attn.k_proj", to ".blk.#.attn_k", NIB_HF_PLAIN},                     \
        {from ".layers.#.self_attn.v_proj", to ".blk.#.attn_v", NIB_HF_PLAIN},                     \
        {from ".layers.#.self_attn.out_proj", to ".blk.#.attn_o", NIB_HF_PLAIN},                   \
        {from ".layers.#.final_layer_norm", to ".blk.#.ffn_norm", NIB_HF_PLAIN},                   \
        {from ".layers.#.fc1", to ".blk.#.ffn_up", NIB_HF_PLAIN},                                  \
    {                                                                                              \
        from ".layers.#.fc2", to ".blk.#.ffn_down", NIB_HF_PLAIN                                   \
    }

const struct nib_hf_rule nib_hf_rules_bart[] = {
    {"shared", "token_embd", NIB_HF_PLAIN},
    {"lm_head", "output", NIB_HF_HEAD},
    {"final_logits_bias", "output", NIB_HF_FLAT_BIAS},
    BART_STACK("encoder", "enc"),
    BART_STACK("decoder", "dec"),
    {"decoder.layers.#.encoder_attn_layer_norm", "dec.blk.#.cross_attn_norm", NIB_HF_PLAIN},
    {"decoder.layers.#.encoder_attn.q_proj", "dec.blk.#.cross_attn_q", NIB_HF_PLAIN},
    {"decoder.layers.#.encoder_attn.k_proj", "dec.blk.#.cross_attn_k", NIB_HF_PLAIN},
    {"decoder.layers.#.encoder_attn.v_proj", "dec.blk.#.cross_attn_v", NIB_HF_PLAIN},
    {"decoder.layers.#.encoder_attn.out_proj", "dec.blk.#.cross_attn_o", NIB_HF_PLAIN},
    {0},
};

/* ---- what is no weight ----------------------------------------------------------------------- */

static bool has_end(const char *name, const char *const *ends, size_t n)
{
    const size_t n_name = strlen(name);
    for (size_t i = 0; i < n; i++) {
        const size_t n_end = strlen(ends[i]);
        if (n_name >= n_end && strcmp(name + n_name - n_end, ends[i]) == 0)
            return true;
    }
    return false;
}

bool nib_hf_is_ignored(const char *name)
{
    static const char *const ends[] = {
        ".rotary_emb.inv_freq",
        ".attn.bias",
        ".attn.masked_bias",
        ".attention.bias",
        ".attention.masked_bias",
        ".embed_positions.weights",
        ".embed_positions._float_tensor",
    };
    static const char *const begins[] = {"vision_tower.", "multi_modal_projector.",
                                         "model.vision_tower.", "model.multi_modal_projector."};
    for (size_t i = 0; i < NIB_COUNT(begins); i++)
        if (strncmp(name, begins[i], strlen(begins[i])) == 0)
            return true;
    return has_end(name, ends, NIB_COUNT(ends));
}

bool nib_hf_is_quantised(const char *name)
{
    static const char *const ends[] = {
        ".qweight",      ".qzeros",      ".scales",        ".g_idx",
        ".weight_scale", ".input_scale", ".weight_packed", ".weight_scale_inv",
        ".SCB",          ".absmax",      ".quant_map",     ".weight_zero_point",
        ".weight_shape", "_blocks",      "_scales",
    };
    return has_end(name, ends, NIB_COUNT(ends));
}
