/*
 * The published form of tiny models, seen as GGUF: keys, names, shapes, and every value against the
 * source by formulas of this file's own.
 */
#define _GNU_SOURCE
#include "golden_data.h"
#include "half.h"
#include "hf_builder.h"

#include <math.h>

static struct nib_error err;

static struct nib_gguf *open_model(const char *name)
{
    char path[1024];
    struct nib_gguf *gguf;
    snprintf(path, sizeof(path), "%s/models/%s", NIB_TEST_DATA, name);
    assert_true(nib_hf_is_folder(path));
    if (nib_hf_open(&gguf, path, &err) != NIB_OK)
        fail_msg("%s", err.message);
    assert_string_equal(nib_gguf_path(gguf), path);
    return gguf;
}

/* ---- the source, read without the reader ----------------------------------------------------- */

struct source {
    struct golden_table table;
    const uint8_t *data;
    char dtype[8];
    uint64_t dims[4];
    uint32_t n_dims;
};

static void find_source(struct source *s, const char *file, const char *name)
{
    s->table = golden_table_open(file);
    yyjson_val *entry = yyjson_obj_get(yyjson_doc_get_root(s->table.header), name);
    if (!entry)
        fail_msg("no tensor %s in %s", name, file);
    const char *dtype = yyjson_get_str(yyjson_obj_get(entry, "dtype"));
    snprintf(s->dtype, sizeof(s->dtype), "%s", dtype ? dtype : "");
    yyjson_val *shape = yyjson_obj_get(entry, "shape");
    s->n_dims = (uint32_t)yyjson_arr_size(shape);
    for (uint32_t i = 0; i < 4; i++)
        s->dims[i] = i < s->n_dims ? yyjson_get_uint(yyjson_arr_get(shape, i)) : 1;
    s->data = s->table.data +
              yyjson_get_uint(yyjson_arr_get_first(yyjson_obj_get(entry, "data_offsets")));
}

static float source_value(const struct source *s, size_t i)
{
    if (strcmp(s->dtype, "F32") == 0) {
        float value;
        memcpy(&value, s->data + 4 * i, 4);
        return value;
    }
    uint16_t half;
    memcpy(&half, s->data + 2 * i, 2);
    if (strcmp(s->dtype, "BF16") == 0) {
        const uint32_t bits = (uint32_t)half << 16;
        float value;
        memcpy(&value, &bits, 4);
        return value;
    }
    assert_string_equal(s->dtype, "F16");
    const int exponent = (half >> 10) & 31, fraction = half & 1023;
    const double value = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return (float)(half >> 15 ? -value : value);
}

/* ---- one tensor ------------------------------------------------------------------------------ */

enum kind { SAME, TURNED, PAIRS, FUSED, PLUS, LATER };

struct check {
    const char *model, *gguf, *source;
    enum kind kind;
    unsigned heads, d; /* PAIRS, FUSED */
    const char *file;  /* NULL: model.safetensors */
};

/* The row of the source that row i is. */
static size_t source_row(const struct check *c, size_t i)
{
    const size_t d = c->d, head = d ? i / d : 0, at = d ? i % d : 0;
    switch (c->kind) {
    case PAIRS: /* even places come from the first half of the head, odd ones from the second */
        return head * d + (at % 2 == 0 ? at / 2 : d / 2 + (at - 1) / 2);
    case FUSED: /* the source has q, k, v of head 0, then of head 1 ... */
        return (head % c->heads) * 3 * d + head / c->heads * d + at;
    case LATER:
        return i + 2;
    default:
        return i;
    }
}

static void check_tensor(const struct nib_gguf *gguf, const struct check *c)
{
    char file[256];
    struct source s;
    snprintf(file, sizeof(file), "models/%s/%s", c->model, c->file ? c->file : "model.safetensors");
    find_source(&s, file, c->source);
    const struct nib_gguf_tensor *t = hf_get(gguf, c->gguf);
    assert_string_equal(nib_type_info(t->type)->name, s.dtype);
    assert_int_equal(t->n_dims, s.n_dims);
    const size_t n_rows = s.n_dims == 1 ? 1 : t->dims[1];
    const size_t n_cols = t->dims[0];
    if (c->kind == TURNED) {
        assert_int_equal(n_cols, s.dims[0]);
        assert_int_equal(n_rows, s.dims[1]);
    } else if (s.n_dims == 2) {
        assert_int_equal(n_cols, s.dims[1]);
        assert_int_equal(n_rows, c->kind == LATER ? s.dims[0] - 2 : s.dims[0]);
    } else {
        assert_int_equal(n_cols, s.dims[0]);
    }
    assert_int_equal(t->n_bytes, n_rows * n_cols * (strcmp(s.dtype, "F32") == 0 ? 4 : 2));
    float *row = malloc(n_cols * sizeof(*row));
    for (size_t r = 0; r < n_rows; r++) {
        nib_tensor_floats(t, r, 0, n_cols, row);
        for (size_t k = 0; k < n_cols; k++) {
            size_t at;
            if (c->kind == TURNED)
                at = k * n_rows + r;
            else if (s.n_dims == 1)
                at = source_row(c, k);
            else
                at = source_row(c, r) * n_cols + k;
            const float expected = source_value(&s, at) + (c->kind == PLUS ? 1.0f : 0.0f);
            if (row[k] != expected)
                fail_msg("%s: %s row %zu column %zu is %g, expected %g", c->model, c->gguf, r, k,
                         (double)row[k], (double)expected);
        }
    }
    free(row);
    golden_table_close(&s.table);
}

static const struct check checks[] = {
    {"gpt2", "token_embd.weight", "transformer.wte.weight", SAME, 0, 0, NULL},
    {"gpt2", "position_embd.weight", "transformer.wpe.weight", SAME, 0, 0, NULL},
    {"gpt2", "blk.1.attn_qkv.weight", "transformer.h.1.attn.c_attn.weight", TURNED, 0, 0, NULL},
    {"gpt2", "blk.1.attn_qkv.bias", "transformer.h.1.attn.c_attn.bias", SAME, 0, 0, NULL},
    {"gpt2", "blk.0.attn_output.weight", "transformer.h.0.attn.c_proj.weight", TURNED, 0, 0, NULL},
    {"gpt2", "blk.0.ffn_up.weight", "transformer.h.0.mlp.c_fc.weight", TURNED, 0, 0, NULL},
    {"gpt2", "blk.1.ffn_down.weight", "transformer.h.1.mlp.c_proj.weight", TURNED, 0, 0, NULL},
    {"gpt2", "output_norm.bias", "transformer.ln_f.bias", SAME, 0, 0, NULL},
    {"llama-gqa", "blk.1.attn_q.weight", "model.layers.1.self_attn.q_proj.weight", PAIRS, 4, 16,
     NULL},
    {"llama-gqa", "blk.1.attn_k.weight", "model.layers.1.self_attn.k_proj.weight", PAIRS, 2, 16,
     NULL},
    {"llama-gqa", "blk.1.attn_v.weight", "model.layers.1.self_attn.v_proj.weight", SAME, 0, 0,
     NULL},
    {"llama-gqa", "blk.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight", SAME,
     0, 0, NULL},
    {"llama-gqa", "output.weight", "lm_head.weight", SAME, 0, 0, NULL},
    {"llama3-rope-scaled", "blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight", PAIRS,
     4, 32, NULL},
    {"llama3-rope-scaled", "blk.0.attn_k.weight", "model.layers.0.self_attn.k_proj.weight", PAIRS,
     1, 32, NULL},
    {"mistral-swa8-sharded", "token_embd.weight", "model.embed_tokens.weight", SAME, 0, 0,
     "model-00001-of-00002.safetensors"},
    {"mistral-swa8-sharded", "output.weight", "lm_head.weight", SAME, 0, 0,
     "model-00002-of-00002.safetensors"},
    {"mistral-swa8-sharded", "blk.1.attn_q.weight", "model.layers.1.self_attn.q_proj.weight", PAIRS,
     4, 16, "model-00001-of-00002.safetensors"},
    {"qwen2-bf16", "blk.1.attn_q.bias", "model.layers.1.self_attn.q_proj.bias", SAME, 0, 0, NULL},
    {"qwen2-bf16", "blk.1.attn_q.weight", "model.layers.1.self_attn.q_proj.weight", SAME, 0, 0,
     NULL},
    {"qwen3", "blk.0.attn_q_norm.weight", "model.layers.0.self_attn.q_norm.weight", SAME, 0, 0,
     NULL},
    {"qwen3", "blk.0.attn_k.weight", "model.layers.0.self_attn.k_proj.weight", SAME, 0, 0, NULL},
    {"gemma2", "output_norm.weight", "model.norm.weight", PLUS, 0, 0, NULL},
    {"gemma2", "blk.2.attn_norm.weight", "model.layers.2.input_layernorm.weight", PLUS, 0, 0, NULL},
    {"gemma2", "blk.2.post_attention_norm.weight", "model.layers.2.post_attention_layernorm.weight",
     PLUS, 0, 0, NULL},
    {"gemma2", "blk.2.ffn_norm.weight", "model.layers.2.pre_feedforward_layernorm.weight", PLUS, 0,
     0, NULL},
    {"gemma2", "blk.2.post_ffw_norm.weight", "model.layers.2.post_feedforward_layernorm.weight",
     PLUS, 0, 0, NULL},
    {"gemma2", "blk.2.ffn_gate.weight", "model.layers.2.mlp.gate_proj.weight", SAME, 0, 0, NULL},
    {"gemma3-text", "blk.1.attn_k_norm.weight", "model.layers.1.self_attn.k_norm.weight", PLUS, 0,
     0, NULL},
    {"gemma3-text", "blk.1.attn_q.weight", "model.layers.1.self_attn.q_proj.weight", SAME, 0, 0,
     NULL},
    {"phi3", "blk.1.attn_qkv.weight", "model.layers.1.self_attn.qkv_proj.weight", SAME, 0, 0, NULL},
    {"phi3", "blk.1.ffn_up.weight", "model.layers.1.mlp.gate_up_proj.weight", SAME, 0, 0, NULL},
    {"phi-partial-rotary", "output.bias", "lm_head.bias", SAME, 0, 0, NULL},
    {"phi-partial-rotary", "blk.0.attn_output.weight", "model.layers.0.self_attn.dense.weight",
     SAME, 0, 0, NULL},
    {"phi-partial-rotary", "blk.0.ffn_up.bias", "model.layers.0.mlp.fc1.bias", SAME, 0, 0, NULL},
    {"phi-partial-rotary", "output_norm.bias", "model.final_layernorm.bias", SAME, 0, 0, NULL},
    {"gpt-neox-f16", "blk.1.attn_qkv.weight", "gpt_neox.layers.1.attention.query_key_value.weight",
     FUSED, 4, 16, NULL},
    {"gpt-neox-f16", "blk.1.attn_qkv.bias", "gpt_neox.layers.1.attention.query_key_value.bias",
     FUSED, 4, 16, NULL},
    {"gpt-neox-f16", "output.weight", "embed_out.weight", SAME, 0, 0, NULL},
    {"gpt-neox-f16", "blk.0.ffn_down.weight", "gpt_neox.layers.0.mlp.dense_4h_to_h.weight", SAME, 0,
     0, NULL},
    {"stablelm", "blk.0.attn_q.bias", "model.layers.0.self_attn.q_proj.bias", SAME, 0, 0, NULL},
    {"stablelm", "blk.0.ffn_norm.bias", "model.layers.0.post_attention_layernorm.bias", SAME, 0, 0,
     NULL},
    {"olmo2", "blk.0.attn_q_norm.weight", "model.layers.0.self_attn.q_norm.weight", SAME, 0, 0,
     NULL},
    {"olmo2", "blk.0.post_attention_norm.weight", "model.layers.0.post_attention_layernorm.weight",
     SAME, 0, 0, NULL},
    {"olmo2", "blk.0.post_ffw_norm.weight", "model.layers.0.post_feedforward_layernorm.weight",
     SAME, 0, 0, NULL},
    {"mixtral", "blk.0.ffn_gate_inp.weight", "model.layers.0.block_sparse_moe.gate.weight", SAME, 0,
     0, NULL},
    {"mixtral", "blk.0.attn_k.weight", "model.layers.0.self_attn.k_proj.weight", PAIRS, 2, 16,
     NULL},
    {"qwen3-moe", "blk.1.ffn_gate_inp.weight", "model.layers.1.mlp.gate.weight", SAME, 0, 0, NULL},
    {"opt", "position_embd.weight", "model.decoder.embed_positions.weight", LATER, 0, 0, NULL},
    {"opt", "blk.1.attn_output.bias", "model.decoder.layers.1.self_attn.out_proj.bias", SAME, 0, 0,
     NULL},
    {"opt", "blk.1.ffn_norm.weight", "model.decoder.layers.1.final_layer_norm.weight", SAME, 0, 0,
     NULL},
    {"opt", "output_norm.weight", "model.decoder.final_layer_norm.weight", SAME, 0, 0, NULL},
    {"bloom", "token_embd_norm.weight", "transformer.word_embeddings_layernorm.weight", SAME, 0, 0,
     NULL},
    {"bloom", "blk.1.attn_qkv.weight", "transformer.h.1.self_attention.query_key_value.weight",
     FUSED, 4, 16, NULL},
    {"bloom", "blk.1.attn_qkv.bias", "transformer.h.1.self_attention.query_key_value.bias", FUSED,
     4, 16, NULL},
    {"falcon-7b-style", "blk.1.attn_qkv.weight",
     "transformer.h.1.self_attention.query_key_value.weight", SAME, 0, 0, NULL},
    {"falcon-7b-style", "blk.1.ffn_up.weight", "transformer.h.1.mlp.dense_h_to_4h.weight", SAME, 0,
     0, NULL},
};

static void test_values_are_those_of_the_source(void **state)
{
    (void)state;
    for (size_t i = 0; i < NIB_COUNT(checks); i++) {
        struct nib_gguf *gguf = open_model(checks[i].model);
        check_tensor(gguf, &checks[i]);
        nib_gguf_close(gguf);
    }
}

/* Experts are the slices of one tensor. */
static void test_experts_are_slices(void **state)
{
    (void)state;
    static const struct {
        const char *model, *gguf, *source;
        unsigned n;
    } cases[] = {
        {"mixtral", "blk.1.ffn_gate_exps.weight",
         "model.layers.1.block_sparse_moe.experts.%u.w1.weight", 4},
        {"mixtral", "blk.1.ffn_up_exps.weight",
         "model.layers.1.block_sparse_moe.experts.%u.w3.weight", 4},
        {"mixtral", "blk.0.ffn_down_exps.weight",
         "model.layers.0.block_sparse_moe.experts.%u.w2.weight", 4},
        {"qwen3-moe", "blk.1.ffn_gate_exps.weight",
         "model.layers.1.mlp.experts.%u.gate_proj.weight", 8},
        {"qwen3-moe", "blk.1.ffn_up_exps.weight", "model.layers.1.mlp.experts.%u.up_proj.weight",
         8},
        {"qwen3-moe", "blk.0.ffn_down_exps.weight",
         "model.layers.0.mlp.experts.%u.down_proj.weight", 8},
    };
    for (size_t i = 0; i < NIB_COUNT(cases); i++) {
        struct nib_gguf *gguf = open_model(cases[i].model);
        const struct nib_gguf_tensor *t = hf_get(gguf, cases[i].gguf);
        assert_int_equal(t->n_dims, 3);
        assert_int_equal(t->dims[2], cases[i].n);
        for (unsigned e = 0; e < cases[i].n; e++) {
            char name[128], file[128];
            struct source s;
            snprintf(file, sizeof(file), "models/%s/model.safetensors", cases[i].model);
            snprintf(name, sizeof(name), cases[i].source, e);
            find_source(&s, file, name);
            assert_int_equal(t->dims[1], s.dims[0]);
            assert_int_equal(t->dims[0], s.dims[1]);
            for (size_t r = 0; r < s.dims[0]; r++)
                for (size_t k = 0; k < s.dims[1]; k++)
                    assert_true(hf_value(t, e * s.dims[0] + r, k) ==
                                source_value(&s, r * s.dims[1] + k));
            assert_memory_equal(nib_tensor_row(t, e * s.dims[0]), s.data, 2 * s.dims[1]);
            golden_table_close(&s.table);
        }
        nib_gguf_close(gguf);
    }
}

/* ---- all models ------------------------------------------------------------------------------ */

static const struct {
    const char *folder, *arch;
    size_t n_tensors;
    int n_layers, n_heads, n_kv, d_head, n_ff, eos;
    const char *activation;
} models[] = {
    {"bloom", "bloom", 29, 2, 4, 4, 16, 256, 234, "gelu_tanh"},
    {"falcon-7b-style", "falcon", 15, 2, 4, 1, 16, 256, 88, "gelu"},
    {"gemma2", "gemma2", 35, 3, 4, 2, 24, 128, 202, "gelu_tanh"},
    {"gemma3-text", "gemma3", 41, 3, 4, 1, 32, 128, 107, "gelu_tanh"},
    {"gpt-neox-f16", "gptneox", 28, 2, 4, 4, 16, 128, 165, "gelu"},
    {"gpt2", "gpt2", 28, 2, 4, 4, 16, 256, 999, "gelu_tanh"},
    {"llama-gqa", "llama", 21, 2, 4, 2, 16, 128, 2, "silu"},
    {"llama3-rope-scaled", "llama", 21, 2, 4, 1, 32, 128, 183, "silu"},
    {"mistral-swa8-sharded", "llama", 21, 2, 4, 2, 16, 128, 38, "silu"},
    {"mixtral", "llama", 23, 2, 4, 2, 16, 64, 254, "silu"},
    {"olmo2", "olmo2", 25, 2, 4, 2, 16, 128, 192, "silu"},
    {"opt", "opt", 36, 2, 4, 4, 16, 128, 232, "relu"},
    {"phi-partial-rotary", "phi2", 33, 2, 4, 4, 16, 128, 3, "gelu_tanh"},
    {"phi3", "phi3", 15, 2, 4, 2, 16, 128, 246, "silu"},
    {"qwen2-bf16", "qwen2", 26, 2, 4, 2, 16, 128, 72, "silu"},
    {"qwen3", "qwen3", 24, 2, 4, 2, 32, 128, 168, "silu"},
    {"qwen3-moe", "qwen3moe", 27, 2, 4, 2, 16, 128, 166, "silu"},
    {"stablelm", "stablelm", 32, 2, 4, 4, 16, 128, 68, "silu"},
};

static const char *full_key(const char *arch, const char *name)
{
    static char key[128];
    snprintf(key, sizeof(key), "%s.%s", arch, name);
    return key;
}

static void test_every_model_has_its_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < NIB_COUNT(models); i++) {
        struct nib_gguf *g = open_model(models[i].folder);
        const char *arch = models[i].arch;
        hf_expect_string(g, "general.architecture", arch);
        hf_expect_string(g, "general.name", models[i].folder);
        hf_expect_int(g, full_key(arch, "block_count"), models[i].n_layers);
        hf_expect_int(g, full_key(arch, "embedding_length"), 64);
        hf_expect_int(g, full_key(arch, "feed_forward_length"), models[i].n_ff);
        hf_expect_int(g, full_key(arch, "attention.head_count"), models[i].n_heads);
        hf_expect_int(g, full_key(arch, "attention.head_count_kv"), models[i].n_kv);
        hf_expect_int(g, full_key(arch, "attention.key_length"), models[i].d_head);
        hf_expect_int(g, full_key(arch, "attention.value_length"), models[i].d_head);
        hf_expect_string(g, full_key(arch, "feed_forward.activation"), models[i].activation);
        size_t n;
        int64_t eos;
        assert_true(nib_gguf_ints(g, "nibble.eos_token_ids", &n));
        assert_int_equal(n, 1);
        nib_gguf_copy_ints(g, "nibble.eos_token_ids", &eos);
        assert_int_equal(eos, models[i].eos);
        if (nib_gguf_tensor_count(g) != models[i].n_tensors)
            fail_msg("%s has %zu tensors", models[i].folder, nib_gguf_tensor_count(g));
        for (size_t k = 0; k < nib_gguf_tensor_count(g); k++) {
            const struct nib_gguf_tensor *t = nib_gguf_tensor(g, k);
            assert_ptr_equal(nib_gguf_find(g, t->name), t);
            assert_true(t->n_bytes == t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3] *
                                          nib_type_info(t->type)->n_bytes);
        }
        nib_gguf_close(g);
    }
}

static void test_odd_keys_of_models(void **state)
{
    (void)state;
    struct nib_gguf *g = open_model("gemma2");
    hf_expect_float(g, "gemma2.attn_logit_softcapping", 5);
    hf_expect_float(g, "gemma2.final_logit_softcapping", 12);
    hf_expect_float(g, "gemma2.attention.scale", 1 / sqrt(20));
    hf_expect_int(g, "gemma2.attention.sliding_window", 8);
    assert_true(nib_gguf_has(g, "gemma2.attention.sliding_window_pattern"));
    nib_gguf_close(g);

    g = open_model("gemma3-text");
    hf_expect_float(g, "gemma3.rope.freq_base", 1e6);
    hf_expect_float(g, "gemma3.rope.freq_base_swa", 1e4);
    assert_false(nib_gguf_has(g, "gemma3.attention.scale"));
    assert_false(nib_gguf_has(g, "gemma3.final_logit_softcapping"));
    nib_gguf_close(g);

    g = open_model("mistral-swa8-sharded");
    hf_expect_int(g, "llama.attention.sliding_window", 8);
    assert_false(nib_gguf_has(g, "llama.attention.sliding_window_pattern"));
    nib_gguf_close(g);

    g = open_model("olmo2");
    hf_expect_float(g, "olmo2.rope.freq_base", 500000);
    nib_gguf_close(g);

    g = open_model("gpt-neox-f16");
    hf_expect_int(g, "gptneox.rope.dimension_count", 4);
    hf_expect_bool(g, "gptneox.use_parallel_residual", true);
    nib_gguf_close(g);

    g = open_model("stablelm");
    hf_expect_int(g, "stablelm.rope.dimension_count", 4);
    hf_expect_bool(g, "stablelm.use_parallel_residual", false);
    nib_gguf_close(g);

    g = open_model("qwen3-moe");
    hf_expect_int(g, "qwen3moe.expert_count", 8);
    hf_expect_int(g, "qwen3moe.expert_used_count", 3);
    hf_expect_int(g, "qwen3moe.expert_feed_forward_length", 32);
    hf_expect_bool(g, "qwen3moe.expert_weights_norm", true);
    nib_gguf_close(g);

    g = open_model("mixtral");
    hf_expect_int(g, "llama.expert_count", 4);
    hf_expect_bool(g, "llama.expert_weights_norm", true);
    nib_gguf_close(g);

    g = open_model("bloom");
    hf_expect_float(g, "bloom.attention.max_alibi_bias", 8);
    assert_false(nib_gguf_has(g, "bloom.rope.freq_base"));
    nib_gguf_close(g);
}

/* The sums of the frequencies are those of a reference computed with exact wavelengths. */
static void test_llama3_factors_rise_from_1_to_the_factor(void **state)
{
    (void)state;
    struct nib_gguf *g = open_model("llama3-rope-scaled");
    const struct nib_gguf_tensor *t = hf_get(g, "rope_freqs.weight");
    assert_int_equal(t->n_dims, 1);
    assert_int_equal(t->dims[0], 16);
    for (size_t i = 0; i < 16; i++) {
        const double frequency = pow(500000, -(double)i / 16), wave = 6.283185307179586 / frequency;
        double scaled = frequency;
        if (wave > 64)
            scaled = frequency / 8;
        else if (wave > 16) {
            const double smooth = (64 / wave - 1) / 3;
            scaled = (1 - smooth) * frequency / 8 + smooth * frequency;
        }
        assert_float_equal(hf_value(t, 0, i), frequency / scaled, 1e-5);
    }
    assert_true(hf_value(t, 0, 0) == 1);
    assert_true(hf_value(t, 0, 15) == 8);
    assert_false(nib_gguf_has(g, "llama.rope.scaling.type"));
    nib_gguf_close(g);
}

/* ---- texts and paths ------------------------------------------------------------------------- */

static void expect_file_key(const struct nib_gguf *g, const char *key, const char *name)
{
    size_t n_bytes;
    struct nib_str value;
    uint8_t *bytes = golden_read(name, &n_bytes);
    assert_true(nib_gguf_string(g, key, &value));
    assert_int_equal(value.len, n_bytes);
    assert_memory_equal(value.data, bytes, n_bytes);
    free(bytes);
}

static void test_tokenizer_files_are_keys(void **state)
{
    (void)state;
    struct nib_gguf *g = open_model("llama-gqa");
    expect_file_key(g, "tokenizer.huggingface.json", "models/llama-gqa/tokenizer.json");
    expect_file_key(g, "nibble.tokenizer.config", "models/llama-gqa/tokenizer_config.json");
    assert_false(nib_gguf_has(g, "nibble.tokenizer.model")); /* tokenizer.json says more */
    nib_gguf_close(g);
    g = open_model("qwen3");
    assert_false(nib_gguf_has(g, "tokenizer.huggingface.json"));
    assert_false(nib_gguf_has(g, "tokenizer.chat_template"));
    nib_gguf_close(g);
}

static void test_a_file_of_the_folder_means_the_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"/", "//", "/config.json", "/model.safetensors"};
    for (size_t i = 0; i < NIB_COUNT(names); i++) {
        char path[1024], folder[1024];
        struct nib_gguf *gguf;
        snprintf(folder, sizeof(folder), "%s/models/qwen3", NIB_TEST_DATA);
        snprintf(path, sizeof(path), "%s%s", folder, names[i]);
        assert_true(nib_hf_is_folder(path));
        if (nib_hf_open(&gguf, path, &err) != NIB_OK)
            fail_msg("%s", err.message);
        assert_string_equal(nib_gguf_path(gguf), folder);
        nib_gguf_close(gguf);
    }
    assert_false(nib_hf_is_folder(NIB_TEST_DATA "/models/qwen3/golden.json"));
    assert_false(nib_hf_is_folder(NIB_TEST_DATA "/models/none/config.json"));
    assert_false(nib_hf_is_folder(""));
    assert_false(nib_hf_is_folder("config.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_those_of_the_source),
        cmocka_unit_test(test_experts_are_slices),
        cmocka_unit_test(test_every_model_has_its_keys),
        cmocka_unit_test(test_odd_keys_of_models),
        cmocka_unit_test(test_llama3_factors_rise_from_1_to_the_factor),
        cmocka_unit_test(test_tokenizer_files_are_keys),
        cmocka_unit_test(test_a_file_of_the_folder_means_the_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
