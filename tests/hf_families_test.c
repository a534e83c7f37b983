/*
 * Families and forms of which there is no published tiny model: generated folders whose weights
 * count up, so that each value says where it lies.
 */
#define _GNU_SOURCE
#include "hf_builder.h"

#include <math.h>

static struct scratch_dir scratch;
static struct nib_error err;

static int setup(void **state)
{
    (void)state;
    scratch_dir_create(&scratch);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_dir_remove(&scratch);
    return 0;
}

static struct nib_gguf *open_folder(const char *config, const struct hf_tensor *tensors)
{
    struct nib_gguf *gguf;
    scratch_write(&scratch, "config.json", config);
    hf_write_weights(&scratch, "model.safetensors", tensors);
    if (nib_hf_open(&gguf, scratch.path, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return gguf;
}

/* A llama of 2 layers, 2 heads of 4 values, with more keys. */
#define LLAMA(more)                                                                                \
    "{\"model_type\":\"llama\",\"hidden_size\":8,\"num_hidden_layers\":2,"                         \
    "\"num_attention_heads\":2,\"intermediate_size\":16,\"max_position_embeddings\":64,"           \
    "\"tie_word_embeddings\":true" more "}"

static const struct hf_tensor only_embedding[] = {
    {"model.embed_tokens.weight", {4, 8}, NULL},
    {0},
};

/* ---- positions ------------------------------------------------------------------------------- */

static void test_linear_scaling_in_both_forms(void **state)
{
    (void)state;
    static const char *const configs[] = {
        LLAMA(",\"rope_theta\":5000,\"rope_scaling\":{\"type\":\"linear\",\"factor\":4}"),
        LLAMA(",\"rope_theta\":5000.0,\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":4.0}"),
        LLAMA(",\"rope_parameters\":{\"rope_theta\":5000,\"rope_type\":\"linear\",\"factor\":4}"),
    };
    for (size_t i = 0; i < NIB_COUNT(configs); i++) {
        struct nib_gguf *g = open_folder(configs[i], only_embedding);
        hf_expect_float(g, "llama.rope.freq_base", 5000);
        hf_expect_string(g, "llama.rope.scaling.type", "linear");
        hf_expect_float(g, "llama.rope.scaling.factor", 4);
        nib_gguf_close(g);
    }
}

static void test_defaults_of_positions(void **state)
{
    (void)state;
    struct nib_gguf *g = open_folder(LLAMA(",\"rope_scaling\":null"), only_embedding);
    hf_expect_float(g, "llama.rope.freq_base", 10000);
    hf_expect_int(g, "llama.rope.dimension_count", 4);
    hf_expect_float(g, "llama.attention.layer_norm_rms_epsilon", 1e-6);
    assert_false(nib_gguf_has(g, "llama.rope.scaling.type"));
    nib_gguf_close(g);
    g = open_folder(LLAMA(",\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":7}"),
                    only_embedding);
    hf_expect_float(g, "llama.rope.freq_base", 7);
    assert_false(nib_gguf_has(g, "llama.rope.scaling.type"));
    nib_gguf_close(g);
}

static void test_yarn(void **state)
{
    (void)state;
    struct nib_gguf *g =
        open_folder(LLAMA(",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4.0,"
                          "\"original_max_position_embeddings\":16,\"beta_fast\":30}"),
                    only_embedding);
    hf_expect_string(g, "llama.rope.scaling.type", "yarn");
    hf_expect_int(g, "llama.rope.scaling.original_context_length", 16);
    hf_expect_float(g, "llama.rope.scaling.yarn_beta_fast", 30);
    assert_false(nib_gguf_has(g, "llama.rope.scaling.yarn_beta_slow"));
    assert_false(nib_gguf_has(g, "llama.rope.scaling.attn_factor"));
    nib_gguf_close(g);

    g = open_folder(LLAMA(",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4.0,"
                          "\"attention_factor\":2.0}"),
                    only_embedding);
    hf_expect_int(g, "llama.rope.scaling.original_context_length", 64);
    hf_expect_float(g, "llama.rope.scaling.attn_factor", 2 / (0.1 * log(4) + 1));
    nib_gguf_close(g);

    g = open_folder(LLAMA(",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4.0,"
                          "\"mscale\":1.0,\"mscale_all_dim\":0.5}"),
                    only_embedding);
    hf_expect_float(g, "llama.rope.scaling.attn_factor", 1 / (0.05 * log(4) + 1));
    nib_gguf_close(g);
}

static void test_dynamic(void **state)
{
    (void)state;
    struct nib_gguf *g = open_folder(
        LLAMA(",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2.0}"), only_embedding);
    hf_expect_string(g, "llama.rope.scaling.type", "dynamic");
    hf_expect_float(g, "llama.rope.scaling.factor", 2);
    hf_expect_int(g, "llama.rope.scaling.original_context_length", 64);
    nib_gguf_close(g);
}

static void test_longrope(void **state)
{
    (void)state;
    struct nib_gguf *g = open_folder(
        "{\"model_type\":\"phi3\",\"hidden_size\":8,\"num_hidden_layers\":1,"
        "\"num_attention_heads\":2,\"intermediate_size\":16,\"max_position_embeddings\":4096,"
        "\"original_max_position_embeddings\":1024,\"tie_word_embeddings\":true,\"sliding_window\":"
        "99,\"rope_scaling\":{\"type\":\"su\",\"short_factor\":[1,1.5],\"long_factor\":[2.5,8]}}",
        only_embedding);
    hf_expect_string(g, "phi3.rope.scaling.type", "longrope");
    hf_expect_int(g, "phi3.rope.scaling.original_context_length", 1024);
    hf_expect_float(g, "phi3.rope.scaling.attn_factor", sqrt(1 + log(4) / log(1024)));
    hf_expect_int(g, "phi3.attention.sliding_window", 99);
    assert_true(hf_value(hf_get(g, "rope_factors_short.weight"), 0, 1) == 1.5f);
    assert_true(hf_value(hf_get(g, "rope_factors_long.weight"), 0, 1) == 8);
    nib_gguf_close(g);
}

/* ---- windows --------------------------------------------------------------------------------- */

static void expect_pattern(const struct nib_gguf *g, const char *key, const char *expected)
{
    for (size_t i = 0; i < nib_gguf_key_count(g); i++)
        if (strcmp(nib_gguf_key(g, i), key) == 0) {
            char text[256];
            nib_gguf_value_text(g, i, text, sizeof(text));
            assert_string_equal(text, expected);
            return;
        }
    fail_msg("no key %s", key);
}

#define SIZES                                                                                      \
    "\"hidden_size\":8,\"num_hidden_layers\":4,\"num_attention_heads\":2,"                         \
    "\"num_key_value_heads\":2,\"intermediate_size\":16,\"max_position_embeddings\":64,"           \
    "\"tie_word_embeddings\":true"

static void test_windows_without_layer_types(void **state)
{
    (void)state;
    struct nib_gguf *g = open_folder("{\"model_type\":\"gemma2\"," SIZES "}", only_embedding);
    hf_expect_int(g, "gemma2.attention.sliding_window", 4096);
    expect_pattern(g, "gemma2.attention.sliding_window_pattern", "[4] true, false, true, false");
    hf_expect_int(g, "gemma2.attention.key_length", 256);
    nib_gguf_close(g);

    g = open_folder("{\"model_type\":\"qwen2\"," SIZES
                    ",\"use_sliding_window\":true,\"sliding_window\":9,\"max_window_layers\":3}",
                    only_embedding);
    expect_pattern(g, "qwen2.attention.sliding_window_pattern", "[4] false, false, false, true");
    nib_gguf_close(g);

    g = open_folder("{\"model_type\":\"qwen2\"," SIZES
                    ",\"use_sliding_window\":false,\"sliding_window\":9}",
                    only_embedding);
    assert_false(nib_gguf_has(g, "qwen2.attention.sliding_window"));
    nib_gguf_close(g);

    /* Mixtures of experts and SmolLM3 have rules of their own. */
    g = open_folder("{\"model_type\":\"qwen2_moe\"," SIZES
                    ",\"use_sliding_window\":true,\"sliding_window\":9,\"max_window_layers\":2}",
                    only_embedding);
    expect_pattern(g, "qwen2moe.attention.sliding_window_pattern", "[4] true, false, false, false");
    nib_gguf_close(g);
    g = open_folder("{\"model_type\":\"qwen3_moe\"," SIZES
                    ",\"use_sliding_window\":true,\"sliding_window\":9,\"max_window_layers\":2}",
                    only_embedding);
    hf_expect_int(g, "qwen3moe.attention.sliding_window", 9);
    assert_false(nib_gguf_has(g, "qwen3moe.attention.sliding_window_pattern"));
    nib_gguf_close(g);
    g = open_folder("{\"model_type\":\"smollm3\"," SIZES
                    ",\"use_sliding_window\":true,\"sliding_window\":9}",
                    only_embedding);
    expect_pattern(g, "smollm3.rope.layers", "[4] true, true, true, false");
    expect_pattern(g, "smollm3.attention.sliding_window_pattern", "[4] false, false, false, true");
    nib_gguf_close(g);

    g = open_folder("{\"model_type\":\"mistral\"," SIZES "}", only_embedding);
    hf_expect_int(g, "llama.attention.sliding_window", 4096); /* as transformers has it */
    nib_gguf_close(g);
    g = open_folder("{\"model_type\":\"mistral\"," SIZES ",\"sliding_window\":null}",
                    only_embedding);
    assert_false(nib_gguf_has(g, "llama.attention.sliding_window"));
    nib_gguf_close(g);
}

/* As published for 4b and more: sizes in text_config, few of them, and vision beside. */
static void test_gemma3_with_vision(void **state)
{
    (void)state;
    static const struct hf_tensor tensors[] = {
        {"language_model.model.embed_tokens.weight", {4, 8}, NULL},
        {"language_model.model.layers.1.input_layernorm.weight", {8}, NULL},
        {"vision_tower.vision_model.embeddings.patch_embedding.weight", {2, 3, 4, 4}, NULL},
        {"multi_modal_projector.mm_soft_emb_norm.weight", {8}, NULL},
        {0},
    };
    struct nib_gguf *g = open_folder(
        "{\"model_type\":\"gemma3\",\"eos_token_id\":[1,106],\"vision_config\":{\"hidden_size\":3},"
        "\"text_config\":{\"model_type\":\"gemma3_text\",\"hidden_size\":8,\"num_hidden_layers\":7,"
        "\"intermediate_size\":16,\"sliding_window\":1024,\"rope_scaling\":{\"rope_type\":"
        "\"linear\",\"factor\":8.0}}}",
        tensors);
    hf_expect_int(g, "gemma3.embedding_length", 8);
    hf_expect_int(g, "gemma3.attention.head_count", 8);
    hf_expect_int(g, "gemma3.attention.head_count_kv", 4);
    hf_expect_int(g, "gemma3.attention.key_length", 256);
    hf_expect_float(g, "gemma3.rope.freq_base", 1e6);
    hf_expect_float(g, "gemma3.rope.scaling.factor", 8);
    expect_pattern(g, "gemma3.attention.sliding_window_pattern",
                   "[7] true, true, true, true, true, false, true");
    assert_int_equal(nib_gguf_tensor_count(g), 2);
    assert_true(hf_value(hf_get(g, "blk.1.attn_norm.weight"), 0, 2) == 32 + 2 + 1);
    int64_t ids[2];
    size_t n;
    assert_true(nib_gguf_ints(g, "nibble.eos_token_ids", &n));
    assert_int_equal(n, 2);
    nib_gguf_copy_ints(g, "nibble.eos_token_ids", ids);
    assert_int_equal(ids[1], 106);
    nib_gguf_close(g);
}

/* ---- tensors --------------------------------------------------------------------------------- */

static void test_fused_experts_are_split(void **state)
{
    (void)state;
    static const struct hf_tensor tensors[] = {
        {"model.embed_tokens.weight", {4, 8}, NULL},
        {"model.layers.0.mlp.gate.weight", {3, 8}, NULL},
        {"model.layers.0.mlp.experts.gate_up_proj", {3, 10, 8}, NULL},
        {"model.layers.0.mlp.experts.down_proj", {3, 8, 5}, NULL},
        {"model.layers.0.mlp.shared_expert_gate.weight", {1, 8}, NULL},
        {"model.layers.0.mlp.shared_expert.up_proj.weight", {6, 8}, NULL},
        {0},
    };
    struct nib_gguf *g =
        open_folder("{\"model_type\":\"qwen2_moe\"," SIZES
                    ",\"num_experts\":3,\"num_experts_per_tok\":2,\"moe_intermediate_size\":5,"
                    "\"shared_expert_intermediate_size\":6}",
                    tensors);
    hf_expect_int(g, "qwen2moe.expert_count", 3);
    hf_expect_int(g, "qwen2moe.expert_shared_feed_forward_length", 6);
    hf_expect_bool(g, "qwen2moe.expert_weights_norm", false);
    const float first = hf_first_value(tensors, "model.layers.0.mlp.experts.gate_up_proj");
    const struct nib_gguf_tensor *gate = hf_get(g, "blk.0.ffn_gate_exps.weight");
    const struct nib_gguf_tensor *up = hf_get(g, "blk.0.ffn_up_exps.weight");
    const struct nib_gguf_tensor *down = hf_get(g, "blk.0.ffn_down_exps.weight");
    assert_int_equal(gate->dims[0], 8);
    assert_int_equal(gate->dims[1], 5);
    assert_int_equal(gate->dims[2], 3);
    assert_int_equal(gate->n_bytes, 8 * 5 * 3 * 4);
    for (size_t e = 0; e < 3; e++)
        for (size_t r = 0; r < 5; r++) {
            assert_true(hf_value(gate, 5 * e + r, 3) == first + (float)(80 * e + 8 * r + 3));
            assert_true(hf_value(up, 5 * e + r, 3) == first + (float)(80 * e + 40 + 8 * r + 3));
        }
    assert_int_equal(down->dims[0], 5);
    assert_int_equal(down->dims[1], 8);
    assert_int_equal(down->dims[2], 3);
    assert_int_equal(hf_get(g, "blk.0.ffn_gate_inp_shexp.weight")->n_dims, 1);
    assert_int_equal(hf_get(g, "blk.0.ffn_up_shexp.weight")->dims[1], 6);
    nib_gguf_close(g);
}

/* Larger falcons: groups of queries with their key and value, a norm for each branch. */
static void test_falcon_groups(void **state)
{
    (void)state;
    static const struct hf_tensor tensors[] = {
        {"transformer.word_embeddings.weight", {4, 8}, NULL},
        {"transformer.h.0.ln_attn.weight", {8}, NULL},
        {"transformer.h.0.ln_mlp.weight", {8}, NULL},
        {"transformer.h.0.self_attention.query_key_value.weight", {16, 8}, NULL},
        {"lm_head.weight", {4, 8}, NULL},
        {0},
    };
    struct nib_gguf *g = open_folder(
        "{\"model_type\":\"falcon\",\"hidden_size\":8,\"num_hidden_layers\":1,"
        "\"num_attention_heads\":4,\"num_kv_heads\":2,\"new_decoder_architecture\":true}",
        tensors);
    hf_expect_int(g, "falcon.attention.head_count_kv", 2);
    hf_expect_int(g, "falcon.feed_forward_length", 32);
    const struct nib_gguf_tensor *qkv = hf_get(g, "blk.0.attn_qkv.weight");
    const float first =
        hf_first_value(tensors, "transformer.h.0.self_attention.query_key_value.weight");
    /* heads of two rows, in the file: q0 q1 k0 v0 q2 q3 k1 v1 */
    static const unsigned heads[] = {0, 1, 4, 5, 2, 6, 3, 7};
    for (size_t h = 0; h < 8; h++)
        for (size_t i = 0; i < 2; i++)
            assert_true(hf_value(qkv, 2 * h + i, 0) == first + (float)(8 * (2 * heads[h] + i)));
    assert_true(hf_value(hf_get(g, "blk.0.attn_norm_2.weight"), 0, 0) == 32);
    assert_true(hf_value(hf_get(g, "blk.0.attn_norm.weight"), 0, 0) == 40);
    assert_null(nib_gguf_find(g, "output.weight")); /* tied: the head is not used */
    assert_false(nib_gguf_has(g, "falcon.attention.max_alibi_bias"));
    nib_gguf_close(g);

    g = open_folder("{\"model_type\":\"falcon\",\"hidden_size\":8,\"num_hidden_layers\":1,"
                    "\"num_attention_heads\":2,\"alibi\":true,\"multi_query\":false,"
                    "\"parallel_attn\":false}",
                    only_embedding + 1);
    hf_expect_float(g, "falcon.attention.max_alibi_bias", 8);
    hf_expect_int(g, "falcon.attention.head_count_kv", 2);
    hf_expect_bool(g, "falcon.use_parallel_residual", false);
    nib_gguf_close(g);
}

static void test_names_without_prefix_and_buffers(void **state)
{
    (void)state;
    static const struct hf_tensor tensors[] = {
        {"wte.weight", {4, 8}, NULL},
        {"h.0.attn.bias", {1, 1, 4, 4}, NULL},
        {"h.0.attn.c_attn.weight", {8, 24}, NULL},
        {"h.0.ln_1.bias", {8}, NULL},
        {0},
    };
    struct nib_gguf *g =
        open_folder("{\"model_type\":\"gpt2\",\"n_embd\":8,\"n_layer\":1,\"n_head\":2,\"n_ctx\":16,"
                    "\"scale_attn_weights\":false,\"scale_attn_by_inverse_layer_idx\":true}",
                    tensors);
    assert_int_equal(nib_gguf_tensor_count(g), 3);
    const struct nib_gguf_tensor *qkv = hf_get(g, "blk.0.attn_qkv.weight");
    assert_int_equal(qkv->dims[0], 8);
    assert_int_equal(qkv->dims[1], 24);
    assert_true(hf_value(qkv, 5, 2) == 32 + 16 + 2 * 24 + 5);
    assert_null(nib_tensor_row(qkv, 0));
    hf_expect_float(g, "gpt2.attention.scale", 1);
    hf_expect_int(g, "gpt2.context_length", 1024);
    hf_expect_int(g, "gpt2.feed_forward_length", 32);
    size_t n;
    assert_true(nib_gguf_floats(g, "gpt2.attention.layer_scales", &n));
    assert_int_equal(n, 1);
    nib_gguf_close(g);
}

/* A header of any length: data lies at any address. */
static void test_headers_of_any_length(void **state)
{
    (void)state;
    static const char *const names[] = {"vision_tower.", "vision_tower.a", "vision_tower.ab",
                                        "vision_tower.abc"};
    for (size_t i = 0; i < NIB_COUNT(names); i++) {
        const struct hf_tensor tensors[] = {
            {names[i], {1}, NULL},
            {"model.embed_tokens.weight", {4, 8}, NULL},
            {"model.layers.0.self_attn.q_proj.weight", {8, 8}, NULL},
            {0},
        };
        struct nib_gguf *g = open_folder(LLAMA(",\"torch_dtype\":\"float16\""), tensors);
        const struct nib_gguf_tensor *embedding = hf_get(g, "token_embd.weight");
        assert_int_equal(embedding->type, NIB_TYPE_F32); /* whatever torch_dtype says */
        assert_true(hf_value(embedding, 1, 2) == 1 + 8 + 2);
        assert_true(hf_value(hf_get(g, "blk.0.attn_q.weight"), 1, 3) == 33 + 2 * 8 + 3);
        nib_gguf_close(g);
    }
}

static void test_norms_of_heads_are_stacked(void **state)
{
    (void)state;
    static const struct hf_tensor tensors[] = {
        {"model.embed_tokens.weight", {4, 8}, NULL},
        {"model.layers.0.self_attn.q_layernorm.norms.1.weight", {4}, NULL},
        {"model.layers.0.self_attn.q_layernorm.norms.0.weight", {4}, NULL},
        {"model.layers.0.self_attn.rotary_emb.inv_freq", {2}, NULL},
        {0},
    };
    struct nib_gguf *g =
        open_folder("{\"model_type\":\"stablelm\"," SIZES ",\"qk_layernorm\":true}", tensors);
    const struct nib_gguf_tensor *norms = hf_get(g, "blk.0.attn_q_norm.weight");
    assert_int_equal(norms->dims[0], 4);
    assert_int_equal(norms->dims[1], 2);
    assert_true(hf_value(norms, 0, 1) == 32 + 4 + 1);
    assert_true(hf_value(norms, 1, 1) == 32 + 1);
    nib_gguf_close(g);
}

static void test_keys_of_other_families(void **state)
{
    (void)state;
    struct nib_gguf *g = open_folder("{\"model_type\":\"granite\"," SIZES
                                     ",\"attention_multiplier\":0.5,\"embedding_multiplier\":12.0,"
                                     "\"residual_multiplier\":0.25,\"logits_scaling\":8}",
                                     only_embedding);
    hf_expect_float(g, "granite.attention.scale", 0.5);
    hf_expect_float(g, "granite.embedding_scale", 12);
    hf_expect_float(g, "granite.residual_scale", 0.25);
    hf_expect_float(g, "granite.logit_scale", 8);
    nib_gguf_close(g);

    g = open_folder("{\"model_type\":\"cohere\"," SIZES
                    ",\"model_max_length\":99,\"logit_scale\":0.25}",
                    only_embedding);
    hf_expect_int(g, "command-r.context_length", 99);
    hf_expect_string(g, "general.architecture", "command-r");
    hf_expect_float(g, "command-r.logit_scale", 0.25);
    hf_expect_float(g, "command-r.attention.layer_norm_epsilon", 1e-5);
    nib_gguf_close(g);

    g = open_folder("{\"model_type\":\"smollm3\"," SIZES ",\"no_rope_layers\":[1,1,0,1]}",
                    only_embedding);
    expect_pattern(g, "smollm3.rope.layers", "[4] true, true, false, true");
    nib_gguf_close(g);

    g = open_folder("{\"model_type\":\"mpt\",\"d_model\":8,\"n_heads\":2,\"n_layers\":1,"
                    "\"max_seq_len\":77,\"expansion_ratio\":3,\"attn_config\":{\"clip_qkv\":6,"
                    "\"alibi\":true,\"alibi_bias_max\":16}}",
                    only_embedding + 1);
    hf_expect_int(g, "mpt.context_length", 77);
    hf_expect_int(g, "mpt.feed_forward_length", 24);
    hf_expect_float(g, "mpt.attention.clamp_kqv", 6);
    hf_expect_float(g, "mpt.attention.max_alibi_bias", 16);
    nib_gguf_close(g);

    g = open_folder("{\"model_type\":\"gptj\",\"n_embd\":8,\"n_head\":2,\"n_layer\":1,"
                    "\"n_positions\":33,\"rotary_dim\":2,\"tie_word_embeddings\":true}",
                    only_embedding + 1);
    hf_expect_int(g, "gptj.rope.dimension_count", 2);
    hf_expect_string(g, "gptj.feed_forward.activation", "gelu_tanh");
    nib_gguf_close(g);

    g = open_folder("{\"model_type\":\"gpt_bigcode\",\"n_embd\":8,\"n_head\":2,\"n_layer\":1,"
                    "\"n_positions\":33}",
                    only_embedding + 1);
    hf_expect_string(g, "general.architecture", "starcoder");
    hf_expect_int(g, "starcoder.attention.head_count_kv", 1);
    nib_gguf_close(g);

    g = open_folder("{\"model_type\":\"gemma\"," SIZES ",\"hidden_act\":\"gelu\",\"head_dim\":6}",
                    only_embedding);
    hf_expect_string(g, "gemma.feed_forward.activation", "gelu_tanh");
    hf_expect_int(g, "gemma.attention.key_length", 6);
    nib_gguf_close(g);
}

static void test_two_stacks(void **state)
{
    (void)state;
    static const struct hf_tensor tensors[] = {
        {"shared.weight", {4, 8}, NULL},
        {"encoder.embed_tokens.weight", {4, 8}, NULL},
        {"encoder.block.0.layer.0.SelfAttention.q.weight", {8, 8}, NULL},
        {"encoder.block.0.layer.1.DenseReluDense.wi_0.weight", {16, 8}, NULL},
        {"decoder.block.2.layer.1.EncDecAttention.o.weight", {8, 8}, NULL},
        {"decoder.block.2.layer.2.DenseReluDense.wo.weight", {8, 16}, NULL},
        {"decoder.final_layer_norm.weight", {8}, NULL},
        {0},
    };
    struct nib_gguf *g = open_folder(
        "{\"model_type\":\"t5\",\"d_model\":8,\"num_layers\":1,\"num_decoder_layers\":3,"
        "\"num_heads\":2,\"d_kv\":4,\"d_ff\":16,\"feed_forward_proj\":\"gated-gelu\","
        "\"decoder_start_token_id\":0}",
        tensors);
    hf_expect_string(g, "t5.feed_forward.activation", "gelu_tanh");
    hf_expect_int(g, "t5.decoder_block_count", 3);
    hf_expect_int(g, "t5.attention.relative_buckets_count", 32);
    hf_expect_float(g, "t5.logit_scale", 1 / sqrt(8));
    static const char *const names[] = {
        "token_embd.weight",         "dec.output_norm.weight",        "enc.blk.0.attn_q.weight",
        "enc.blk.0.ffn_gate.weight", "dec.blk.2.cross_attn_o.weight", "dec.blk.2.ffn_down.weight"};
    for (size_t i = 0; i < NIB_COUNT(names); i++)
        hf_get(g, names[i]);
    assert_int_equal(nib_gguf_tensor_count(g), NIB_COUNT(names));
    nib_gguf_close(g);
}

/* ---- texts ----------------------------------------------------------------------------------- */

static void test_chat_templates(void **state)
{
    (void)state;
    struct nib_gguf *g;
    scratch_write(&scratch, "tokenizer_config.json", "{\"chat_template\":\"A{{ 1 }}\\n\"}");
    g = open_folder(LLAMA(""), only_embedding);
    hf_expect_string(g, "tokenizer.chat_template", "A{{ 1 }}\n");
    nib_gguf_close(g);

    scratch_write(&scratch, "tokenizer_config.json",
                  "{\"chat_template\":[{\"name\":\"rag\",\"template\":\"R\"},"
                  "{\"name\":\"default\",\"template\":\"D\"}]}");
    g = open_folder(LLAMA(""), only_embedding);
    hf_expect_string(g, "tokenizer.chat_template", "D");
    nib_gguf_close(g);

    scratch_write(&scratch, "chat_template.json", "{\"chat_template\":\"J\"}");
    g = open_folder(LLAMA(""), only_embedding);
    hf_expect_string(g, "tokenizer.chat_template", "J");
    nib_gguf_close(g);

    scratch_write(&scratch, "chat_template.jinja", "F{# c #}");
    g = open_folder(LLAMA(""), only_embedding);
    hf_expect_string(g, "tokenizer.chat_template", "F{# c #}");
    nib_gguf_close(g);
}

static void test_a_model_file_counts_without_json(void **state)
{
    (void)state;
    size_t n;
    scratch_write(&scratch, "tokenizer.model", "\n\007proto");
    struct nib_gguf *g = open_folder(LLAMA(""), only_embedding);
    assert_true(nib_gguf_ints(g, "nibble.tokenizer.model", &n));
    assert_int_equal(n, 7);
    int64_t bytes[7];
    nib_gguf_copy_ints(g, "nibble.tokenizer.model", bytes);
    assert_int_equal(bytes[0], '\n');
    assert_int_equal(bytes[6], 'o');
    nib_gguf_close(g);
}

static void test_ends_of_generation_config_win(void **state)
{
    (void)state;
    size_t n;
    int64_t ids[2];
    scratch_write(&scratch, "generation_config.json", "{\"eos_token_id\":[7,8]}");
    struct nib_gguf *g = open_folder(LLAMA(",\"eos_token_id\":3"), only_embedding);
    assert_true(nib_gguf_ints(g, "nibble.eos_token_ids", &n));
    assert_int_equal(n, 2);
    nib_gguf_copy_ints(g, "nibble.eos_token_ids", ids);
    assert_int_equal(ids[0], 7);
    nib_gguf_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_linear_scaling_in_both_forms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_defaults_of_positions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_yarn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dynamic, setup, teardown),
        cmocka_unit_test_setup_teardown(test_longrope, setup, teardown),
        cmocka_unit_test_setup_teardown(test_windows_without_layer_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gemma3_with_vision, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fused_experts_are_split, setup, teardown),
        cmocka_unit_test_setup_teardown(test_falcon_groups, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_without_prefix_and_buffers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_headers_of_any_length, setup, teardown),
        cmocka_unit_test_setup_teardown(test_norms_of_heads_are_stacked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_of_other_families, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_stacks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chat_templates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_model_file_counts_without_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ends_of_generation_config_win, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
