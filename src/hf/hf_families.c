/*
 * All families, as data: what their configurations leave out, and what their tensors are called
 * (the rules: hf_rules.h).  Defaults are those of the configuration classes of transformers.
 */
#include "hf_config.h"
#include "hf_rules.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- keys of one family ---------------------------------------------------------------------- */

/* True for what must not be there, or must be. */
static void refuse_if(struct nib_hf_config *c, bool is_refused, const char *name, const char *rule)
{
    if (is_refused)
        nib_hf_refuse(c, name, nib_hf_find(c, name), rule);
}

static void put_if_there(struct nib_hf_config *c, const char *name, const char *key)
{
    if (nib_hf_find(c, name))
        nib_hf_put_float(c, key, nib_hf_float(c, NULL, name, 0));
}

/* scale_attn_weights, and scores of layer i divided by i + 1. */
static void read_gpt2(struct nib_hf_config *c)
{
    const bool is_scaled = nib_hf_bool(c, NULL, "scale_attn_weights", true);
    const double scale = is_scaled && c->d_head > 0 ? 1 / sqrt(c->d_head) : 1;
    if (!is_scaled)
        nib_hf_put_float(c, "attention.scale", 1);
    if (!nib_hf_bool(c, NULL, "scale_attn_by_inverse_layer_idx", false) ||
        c->n_layers > NIB_HF_MAX_LAYERS)
        return;
    float *scales = malloc((c->n_layers + 1) * sizeof(*scales));
    if (!scales) {
        nib_hf_no_memory(c, c->n_layers * sizeof(*scales));
        return;
    }
    for (uint32_t i = 0; i < c->n_layers; i++)
        scales[i] = (float)(scale / (i + 1));
    nib_hf_put_array(c, "attention.layer_scales", NIB_GGUF_F32, scales, c->n_layers);
    free(scales);
}

static void read_bigcode(struct nib_hf_config *c)
{
    if (!nib_hf_bool(c, NULL, "scale_attn_weights", true))
        nib_hf_put_float(c, "attention.scale", 1);
    c->n_kv_heads = nib_hf_bool(c, NULL, "multi_query", true) ? 1 : c->n_heads;
}

static void read_neox(struct nib_hf_config *c)
{
    nib_hf_put_bool(c, "use_parallel_residual",
                    nib_hf_bool(c, NULL, "use_parallel_residual", true));
}

static void read_stablelm(struct nib_hf_config *c)
{
    nib_hf_put_bool(c, "use_parallel_residual",
                    nib_hf_bool(c, NULL, "use_parallel_residual", false));
}

static void read_falcon(struct nib_hf_config *c)
{
    const bool is_new = nib_hf_bool(c, NULL, "new_decoder_architecture", false);
    if (is_new)
        c->n_kv_heads = nib_hf_int(c, NULL, "num_kv_heads|n_head_kv", c->n_heads);
    else
        c->n_kv_heads = nib_hf_bool(c, NULL, "multi_query", true) ? 1 : c->n_heads;
    nib_hf_put_bool(c, "use_parallel_residual",
                    is_new || nib_hf_bool(c, NULL, "parallel_attn", true));
    if (nib_hf_bool(c, NULL, "alibi", false))
        nib_hf_put_float(c, "attention.max_alibi_bias", 8);
}

static void read_bloom(struct nib_hf_config *c)
{
    nib_hf_put_float(c, "attention.max_alibi_bias", 8);
    refuse_if(c, nib_hf_bool(c, NULL, "apply_residual_connection_post_layernorm", false),
              "apply_residual_connection_post_layernorm",
              "but nibble runs only models without it; use another model");
    refuse_if(c,
              nib_hf_bool(c, NULL, "slow_but_exact", false) &&
                  nib_hf_int(c, NULL, "pretraining_tp", 1) > 1,
              "slow_but_exact",
              "which changes results where pretraining_tp is above 1, and nibble does not do; use "
              "another model");
}

static void read_mpt(struct nib_hf_config *c)
{
    yyjson_val *attention = nib_hf_object(c, NULL, "attn_config");
    c->n_ff =
        (uint32_t)fmin((double)nib_hf_int(c, NULL, "expansion_ratio", 4) * c->n_embd, UINT32_MAX);
    bool has_alibi = true;
    double bias = 8;
    if (attention) {
        c->n_kv_heads = nib_hf_int(c, attention, "kv_n_heads", c->n_heads);
        has_alibi = nib_hf_bool(c, attention, "alibi", true);
        bias = nib_hf_float(c, attention, "alibi_bias_max", 8);
        const double clamp = nib_hf_float(c, attention, "clip_qkv", 0);
        const double scale = nib_hf_float(c, attention, "softmax_scale", 0);
        if (clamp != 0)
            nib_hf_put_float(c, "attention.clamp_kqv", clamp);
        if (scale != 0)
            nib_hf_put_float(c, "attention.scale", scale);
        if (nib_hf_bool(c, attention, "prefix_lm", false))
            nib_hf_refuse(c, "prefix_lm", yyjson_obj_get(attention, "prefix_lm"),
                          "but nibble runs only causal models of this family; use another model");
    }
    nib_hf_put_float(c, "attention.max_alibi_bias", bias);
    if (!has_alibi)
        nib_hf_refuse(c, "alibi", yyjson_obj_get(attention, "alibi"),
                      "but nibble runs only models of this family with ALiBi; use another model");
    refuse_if(c, nib_hf_find(c, "logit_scale"), "logit_scale",
              "but nibble runs only models of this family without it; use another model");
    const char *norm = nib_hf_string(c, NULL, "norm_type");
    refuse_if(
        c, norm && strcmp(norm, "low_precision_layernorm") != 0 && strcmp(norm, "layernorm") != 0,
        "norm_type", "expected low_precision_layernorm or layernorm; use another model");
}

static void read_opt(struct nib_hf_config *c)
{
    const char *next = "but nibble runs only models of this family that normalise before attention "
                       "and feed-forward, with embeddings as wide as the layers; use another model";
    refuse_if(c, !nib_hf_bool(c, NULL, "do_layer_norm_before", true), "do_layer_norm_before", next);
    refuse_if(c, !nib_hf_bool(c, NULL, "layer_norm_elementwise_affine", true),
              "layer_norm_elementwise_affine",
              "but nibble runs only models of this family whose norms have weights; use another "
              "model");
    refuse_if(c, nib_hf_bool(c, NULL, "_remove_final_layer_norm", false),
              "_remove_final_layer_norm", next);
    refuse_if(c, nib_hf_int(c, NULL, "word_embed_proj_dim", c->n_embd) != c->n_embd,
              "word_embed_proj_dim", next);
}

static void read_gemma(struct nib_hf_config *c)
{
    refuse_if(c, nib_hf_bool(c, NULL, "use_bidirectional_attention", false),
              "use_bidirectional_attention",
              "but nibble runs only causal models of this family; use another model");
    if (strcmp(c->family->arch, "gemma2") == 0) /* Gemma 3 has the key, and does not look at it */
        put_if_there(c, "attn_logit_softcapping", "attn_logit_softcapping");
    put_if_there(c, "final_logit_softcapping", "final_logit_softcapping");
    const double scalar = nib_hf_float(c, NULL, "query_pre_attn_scalar", 256);
    if (scalar > 0 && scalar != c->d_head)
        nib_hf_put_float(c, "attention.scale", 1 / sqrt(scalar));
}

/* max_position_embeddings is smaller than what these models were trained for. */
static void read_cohere(struct nib_hf_config *c)
{
    c->n_ctx = nib_hf_int(c, NULL, "model_max_length", c->n_ctx);
    nib_hf_put_float(c, "logit_scale", nib_hf_float(c, NULL, "logit_scale", 0.0625));
}

static void read_granite(struct nib_hf_config *c)
{
    nib_hf_put_float(c, "attention.scale", nib_hf_float(c, NULL, "attention_multiplier", 1));
    nib_hf_put_float(c, "embedding_scale", nib_hf_float(c, NULL, "embedding_multiplier", 1));
    nib_hf_put_float(c, "residual_scale", nib_hf_float(c, NULL, "residual_multiplier", 1));
    nib_hf_put_float(c, "logit_scale", nib_hf_float(c, NULL, "logits_scaling", 1));
}

/* Which layers rotate: no_rope_layers has 1 for those that do.  Those that do not have the windows,
 * unless layer_types says otherwise. */
static void read_smollm3(struct nib_hf_config *c)
{
    yyjson_val *list = nib_hf_find(c, "no_rope_layers");
    const uint32_t period = nib_hf_int(c, NULL, "no_rope_layer_interval", 4);
    if (list && (!yyjson_is_arr(list) || yyjson_arr_size(list) != c->n_layers)) {
        nib_hf_refuse(c, "no_rope_layers", list,
                      "expected an array with a number for each layer; get the file again from "
                      "its publisher");
        return;
    }
    if (c->n_layers > NIB_HF_MAX_LAYERS)
        return;
    uint8_t *layers = malloc(c->n_layers + 1);
    if (!layers) {
        nib_hf_no_memory(c, c->n_layers);
        return;
    }
    for (uint32_t i = 0; i < c->n_layers; i++)
        layers[i] = period == 0 || (i + 1) % period != 0;
    size_t i, n;
    yyjson_val *value;
    yyjson_arr_foreach(list, i, n, value)
    {
        layers[i] = yyjson_is_true(value) || yyjson_get_uint(value) != 0;
    }
    nib_hf_put_array(c, "rope.layers", NIB_GGUF_BOOL, layers, c->n_layers);
    const uint32_t window = nib_hf_int(c, NULL, "sliding_window", 0);
    for (i = 0; i < c->n_layers; i++)
        layers[i] = !layers[i];
    if (window > 0 && nib_hf_bool(c, NULL, "use_sliding_window", false) &&
        !nib_hf_find(c, "layer_types"))
        nib_hf_put_windows(c, window, layers);
    free(layers);
}

static void read_olmoe(struct nib_hf_config *c)
{
    put_if_there(c, "clip_qkv", "attention.clamp_kqv");
}

/* ---- the table ------------------------------------------------------------------------------- */

#define PREFIXES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define RULES(...)    ((const struct nib_hf_rule *const[]){__VA_ARGS__, NULL})

#define GEMMA3                                                                                     \
    .arch = "gemma3", .flags = NIB_HF_RMS | NIB_HF_ROPE | NIB_HF_TIED,                             \
    .windows = NIB_HF_ALL_BUT_6TH, .activation = "gelu_pytorch_tanh", .extra = read_gemma,         \
    .absent = {.eps = 1e-6,                                                                        \
               .context = 131072,                                                                  \
               .rope_base = 1000000,                                                               \
               .heads = 8,                                                                         \
               .kv_heads = 4,                                                                      \
               .d_head = 256,                                                                      \
               .window = 4096},                                                                    \
    .prefixes =                                                                                    \
        PREFIXES("language_model.model.", "model.language_model.", "language_model.", "model."),   \
    .rules = RULES(nib_hf_rules_gemma2, nib_hf_rules_gemma3, nib_hf_rules_llama_rest)

#define T5(activation_)                                                                            \
    .arch = "t5", .flags = NIB_HF_RMS | NIB_HF_TIED | NIB_HF_TWO_STACKS | NIB_HF_OWN_HEAD,         \
    .activation = activation_, .absent = {.eps = 1e-6, .context = 512, .d_head = 64},              \
    .extra = nib_hf_read_t5, .prefixes = PREFIXES("transformer."), .rules = RULES(nib_hf_rules_t5)

static const struct nib_hf_family families[] = {
    {.model_type = "bloom",
     .arch = "bloom",
     .flags = NIB_HF_TIED | NIB_HF_FF_4X,
     .activation = "gelu_new",
     .absent = {.eps = 1e-5, .context = 2048},
     .extra = read_bloom,
     .prefixes = PREFIXES("transformer."),
     .rules = RULES(nib_hf_rules_bloom)},
    {.model_type = "cohere",
     .arch = "command-r",
     .flags = NIB_HF_ROPE | NIB_HF_TIED,
     .activation = "silu",
     .absent = {.eps = 1e-5, .context = 8192, .rope_base = 500000},
     .extra = read_cohere,
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_qkv, nib_hf_rules_llama_rest)},
    {.model_type = "falcon",
     .arch = "falcon",
     .flags = NIB_HF_ROPE | NIB_HF_TIED | NIB_HF_FF_4X,
     .activation = "gelu",
     .absent = {.eps = 1e-5, .context = 2048},
     .extra = read_falcon,
     .prefixes = PREFIXES("transformer."),
     .rules = RULES(nib_hf_rules_falcon)},
    {.model_type = "gemma",
     .arch = "gemma",
     .flags = NIB_HF_RMS | NIB_HF_ROPE | NIB_HF_TIED | NIB_HF_GELU_IS_TANH,
     .activation = "gelu_pytorch_tanh",
     .absent = {.eps = 1e-6, .context = 8192, .d_head = 256},
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_gemma, nib_hf_rules_qkv, nib_hf_rules_llama_rest)},
    {.model_type = "gemma2",
     .arch = "gemma2",
     .flags = NIB_HF_RMS | NIB_HF_ROPE | NIB_HF_TIED,
     .windows = NIB_HF_EVERY_2ND,
     .activation = "gelu_pytorch_tanh",
     .absent = {.eps = 1e-6, .context = 8192, .d_head = 256, .window = 4096},
     .extra = read_gemma,
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_gemma2, nib_hf_rules_qkv, nib_hf_rules_llama_rest)},
    {.model_type = "gemma3", GEMMA3},
    {.model_type = "gemma3_text", GEMMA3},
    {.model_type = "gpt2",
     .arch = "gpt2",
     .flags = NIB_HF_TIED | NIB_HF_FF_4X,
     .activation = "gelu_new",
     .absent = {.eps = 1e-5, .context = 1024},
     .extra = read_gpt2,
     .prefixes = PREFIXES("transformer."),
     .rules = RULES(nib_hf_rules_gpt2)},
    {.model_type = "gpt_bigcode",
     .arch = "starcoder",
     .flags = NIB_HF_TIED | NIB_HF_FF_4X,
     .activation = "gelu_pytorch_tanh",
     .absent = {.eps = 1e-5, .context = 1024},
     .extra = read_bigcode,
     .prefixes = PREFIXES("transformer."),
     .rules = RULES(nib_hf_rules_bigcode)},
    {.model_type = "gpt_neox",
     .arch = "gptneox",
     .flags = NIB_HF_ROPE | NIB_HF_ROPE_IN_PART,
     .activation = "gelu",
     .absent = {.eps = 1e-5, .context = 2048, .rotary_part = 0.25},
     .extra = read_neox,
     .prefixes = PREFIXES("gpt_neox."),
     .rules = RULES(nib_hf_rules_neox)},
    {.model_type = "gptj",
     .arch = "gptj",
     .flags = NIB_HF_ROPE | NIB_HF_FF_4X,
     .activation = "gelu_new",
     .absent = {.eps = 1e-5, .context = 2048},
     .prefixes = PREFIXES("transformer."),
     .rules = RULES(nib_hf_rules_gptj)},
    {.model_type = "granite",
     .arch = "granite",
     .flags = NIB_HF_RMS | NIB_HF_ROPE,
     .activation = "silu",
     .absent = {.eps = 1e-6},
     .extra = read_granite,
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_qkv_pairs, nib_hf_rules_llama_rest)},
    {.model_type = "llama",
     .arch = "llama",
     .flags = NIB_HF_RMS | NIB_HF_ROPE,
     .activation = "silu",
     .absent = {.eps = 1e-6, .context = 2048},
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_qkv_pairs, nib_hf_rules_llama_rest)},
    {.model_type = "mistral",
     .arch = "llama",
     .flags = NIB_HF_RMS | NIB_HF_ROPE,
     .windows = NIB_HF_ALL_LAYERS,
     .activation = "silu",
     .absent = {.eps = 1e-6, .context = 131072, .window = 4096},
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_qkv_pairs, nib_hf_rules_llama_rest)},
    {.model_type = "mixtral",
     .arch = "llama",
     .flags = NIB_HF_RMS | NIB_HF_ROPE | NIB_HF_EXPERTS_NORMED,
     .windows = NIB_HF_ALL_LAYERS,
     .activation = "silu",
     .absent = {.eps = 1e-5, .context = 131072, .rope_base = 1000000},
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_mixtral, nib_hf_rules_qkv_pairs, nib_hf_rules_llama_rest)},
    {.model_type = "mpt",
     .arch = "mpt",
     .flags = NIB_HF_TIED | NIB_HF_FF_4X,
     .activation = "gelu",
     .absent = {.eps = 1e-5, .context = 2048},
     .extra = read_mpt,
     .prefixes = PREFIXES("transformer."),
     .rules = RULES(nib_hf_rules_mpt)},
    {.model_type = "olmo2",
     .arch = "olmo2",
     .flags = NIB_HF_RMS | NIB_HF_ROPE,
     .activation = "silu",
     .absent = {.eps = 1e-5, .context = 2048},
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_olmo2, nib_hf_rules_qkv, nib_hf_rules_llama_rest)},
    {.model_type = "olmoe",
     .arch = "olmoe",
     .flags = NIB_HF_RMS | NIB_HF_ROPE,
     .activation = "silu",
     .absent = {.eps = 1e-5, .context = 4096},
     .extra = read_olmoe,
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_experts, nib_hf_rules_qkv, nib_hf_rules_llama_rest)},
    {.model_type = "opt",
     .arch = "opt",
     .flags = NIB_HF_TIED,
     .activation = "relu",
     .absent = {.eps = 1e-5, .context = 2048},
     .extra = read_opt,
     .prefixes = PREFIXES("model.decoder.", "decoder.", "model."),
     .rules = RULES(nib_hf_rules_opt)},
    {.model_type = "phi",
     .arch = "phi2",
     .flags = NIB_HF_ROPE | NIB_HF_ROPE_IN_PART,
     .activation = "gelu_new",
     .absent = {.eps = 1e-5, .context = 2048, .rotary_part = 0.5},
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_phi, nib_hf_rules_qkv)},
    {.model_type = "phi3",
     .arch = "phi3",
     .flags = NIB_HF_RMS | NIB_HF_ROPE | NIB_HF_ROPE_IN_PART,
     .windows = NIB_HF_ALL_LAYERS,
     .activation = "silu",
     .absent = {.eps = 1e-5, .context = 4096},
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_phi3, nib_hf_rules_llama_rest)},
    {.model_type = "qwen2",
     .arch = "qwen2",
     .flags = NIB_HF_RMS | NIB_HF_ROPE,
     .windows = NIB_HF_IF_USED,
     .activation = "silu",
     .absent = {.eps = 1e-6, .context = 32768, .window = 4096},
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_qkv, nib_hf_rules_llama_rest)},
    {.model_type = "qwen2_moe",
     .arch = "qwen2moe",
     .flags = NIB_HF_RMS | NIB_HF_ROPE,
     .windows = NIB_HF_EVEN_IF_USED,
     .activation = "silu",
     .absent = {.eps = 1e-6, .context = 32768, .window = 4096},
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_experts, nib_hf_rules_qkv, nib_hf_rules_llama_rest)},
    {.model_type = "qwen3",
     .arch = "qwen3",
     .flags = NIB_HF_RMS | NIB_HF_ROPE,
     .windows = NIB_HF_IF_USED,
     .activation = "silu",
     .absent = {.eps = 1e-6, .context = 32768, .d_head = 128, .window = 4096},
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_qkv, nib_hf_rules_llama_rest)},
    {.model_type = "qwen3_moe",
     .arch = "qwen3moe",
     .flags = NIB_HF_RMS | NIB_HF_ROPE,
     .windows = NIB_HF_ALL_IF_USED,
     .activation = "silu",
     .absent = {.eps = 1e-6, .context = 32768, .window = 4096},
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_experts, nib_hf_rules_qkv, nib_hf_rules_llama_rest)},
    {.model_type = "smollm3",
     .arch = "smollm3",
     .flags = NIB_HF_RMS | NIB_HF_ROPE | NIB_HF_TIED,
     .windows = NIB_HF_NAMED_IF_USED,
     .activation = "silu",
     .absent = {.eps = 1e-6, .context = 32768, .rope_base = 2000000},
     .extra = read_smollm3,
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_qkv_pairs, nib_hf_rules_llama_rest)},
    {.model_type = "stablelm",
     .arch = "stablelm",
     .flags = NIB_HF_ROPE | NIB_HF_ROPE_IN_PART,
     .activation = "silu",
     .absent = {.eps = 1e-5, .context = 4096, .rotary_part = 0.25},
     .extra = read_stablelm,
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_stablelm, nib_hf_rules_qkv, nib_hf_rules_llama_rest)},
    {.model_type = "starcoder2",
     .arch = "starcoder2",
     .flags = NIB_HF_ROPE | NIB_HF_TIED,
     .windows = NIB_HF_ALL_LAYERS,
     .activation = "gelu_pytorch_tanh",
     .absent = {.eps = 1e-5, .context = 4096},
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_starcoder2, nib_hf_rules_qkv, nib_hf_rules_llama_rest)},

    {.model_type = "bart",
     .arch = "bart",
     .flags = NIB_HF_TIED | NIB_HF_TWO_STACKS,
     .activation = "gelu",
     .absent = {.eps = 1e-5, .context = 1024},
     .ids = {.start = 2, .forced_eos = 2, .has_forced_eos = true},
     .extra = nib_hf_read_bart,
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_bart)},
    {.model_type = "m2m_100",
     .arch = "m2m_100",
     .flags = NIB_HF_TIED | NIB_HF_TWO_STACKS,
     .sines = NIB_HF_SINES_FAIRSEQ,
     .activation = "relu",
     .absent = {.eps = 1e-5, .context = 1024},
     .ids = {.start = 2},
     .extra = nib_hf_read_m2m100,
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_sinusoids, nib_hf_rules_bart)},
    {.model_type = "marian",
     .arch = "marian",
     .flags = NIB_HF_TIED | NIB_HF_TWO_STACKS,
     .sines = NIB_HF_SINES_HALVES,
     .activation = "gelu",
     .absent = {.eps = 1e-5, .context = 1024},
     .ids = {.start = 58100, .forced_eos = 0, .has_forced_eos = true},
     .extra = nib_hf_read_bart,
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_sinusoids, nib_hf_rules_bart)},
    {.model_type = "mbart",
     .arch = "mbart",
     .flags = NIB_HF_TIED | NIB_HF_TWO_STACKS,
     .activation = "gelu",
     .absent = {.eps = 1e-5, .context = 1024},
     .ids = {.forced_eos = 2, .has_forced_eos = true},
     .extra = nib_hf_read_mbart,
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_bart)},
    {.model_type = "mt5", T5("gelu_new")},
    {.model_type = "pegasus",
     .arch = "pegasus",
     .flags = NIB_HF_TIED | NIB_HF_TWO_STACKS,
     .sines = NIB_HF_SINES_HALVES,
     .activation = "gelu",
     .absent = {.eps = 1e-5, .context = 1024},
     .ids = {.forced_eos = 1, .has_forced_eos = true},
     .extra = nib_hf_read_mbart,
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_sinusoids, nib_hf_rules_bart)},
    {.model_type = "t5", T5("relu")},
    {.model_type = "transformer",
     .arch = "transformer",
     .flags = NIB_HF_TIED | NIB_HF_TWO_STACKS,
     .sines = NIB_HF_SINES_ALTERNATE,
     .activation = "relu",
     .absent = {.eps = 1e-5, .context = 1024},
     .extra = nib_hf_read_transformer,
     .prefixes = PREFIXES("model."),
     .rules = RULES(nib_hf_rules_sinusoids, nib_hf_rules_bart)},
    {.model_type = "umt5", T5("gelu_new")},
};

const struct nib_hf_family *nib_hf_family_find(const char *model_type)
{
    for (size_t i = 0; i < NIB_COUNT(families); i++)
        if (strcmp(families[i].model_type, model_type) == 0)
            return &families[i];
    return NULL;
}

void nib_hf_family_list(char *out, size_t cap)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < NIB_COUNT(families) && n < cap; i++)
        n += (size_t)snprintf(out + n, cap - n, "%s%s", n ? ", " : "", families[i].model_type);
}
