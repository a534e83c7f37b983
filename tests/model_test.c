/* Opening models: what a sound file gives, how weights lie in memory, and files that lie. */
#define _GNU_SOURCE /* nftw() */
#include "model.h"
#include "model_builder.h"
#include "pack_weights.h"
#include "scratch_dir.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct scratch_dir dir;

static int set_up(void **state)
{
    (void)state;
    scratch_dir_create(&dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_dir_remove(&dir);
    return 0;
}

static enum nib_status open_draft(struct nib_model **out, const struct model_draft *d,
                                  const struct nib_model_params *params, struct nib_error *err)
{
    char path[512];
    scratch_path(&dir, "tiny.gguf", path);
    draft_write(d, path);
    *err = (struct nib_error){0};
    *out = (struct nib_model *)&dir;
    const enum nib_status status = nib_model_open(out, path, params, err);
    remove(path);
    return status;
}

static struct nib_model *open_good(const struct model_draft *d)
{
    struct nib_model *model;
    struct nib_error err;
    if (open_draft(&model, d, NULL, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return model;
}

/* Refused as a file, with a sentence that names the file and has both words in it. */
static void expect_refusal(const struct model_draft *d, const char *word, const char *other)
{
    struct nib_model *model;
    struct nib_error err;
    const enum nib_status status = open_draft(&model, d, NULL, &err);
    if (status != NIB_ERROR_FILE)
        fail_msg("status %d instead of a refusal with '%s': %s", status, word, err.message);
    assert_int_equal(err.status, status);
    assert_null(model);
    assert_non_null(strstr(err.message, "tiny.gguf"));
    if (!strstr(err.message, word) || !strstr(err.message, other))
        fail_msg("'%s' and '%s' are not in: %s", word, other, err.message);
}

/* ---- sound files ----------------------------------------------------------------------------- */

static void test_a_sound_file_opens(void **state)
{
    (void)state;
    struct model_draft d;
    draft_init(&d);
    struct nib_model *model = open_good(&d);
    const struct nib_model_info *info = nib_model_info(model);
    assert_string_equal(info->family, "llama");
    assert_string_equal(info->name, "Tiny");
    assert_string_equal(info->tokenizer, "sentencepiece");
    assert_null(info->chat_template);
    assert_int_equal(info->n_vocab, DRAFT_VOCAB);
    assert_int_equal(info->n_ctx_train, 128);
    assert_int_equal(info->n_layers, DRAFT_LAYERS);
    assert_int_equal(info->n_embd, DRAFT_EMBD);
    assert_int_equal(info->n_heads, DRAFT_HEADS);
    assert_int_equal(info->n_kv_heads, DRAFT_KV_HEADS);
    assert_int_equal(info->d_head, DRAFT_D_HEAD);
    assert_int_equal(info->n_ff, DRAFT_FF);
    assert_int_equal(info->bos_id, 1);
    assert_int_equal(info->eos_id, 2);

    const uint64_t layer = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64;
    assert_int_equal(info->n_params, 14 * 64 + 64 + 2 * (layer + 2 * 64));
    assert_int_equal(info->n_file_bytes, 4 * info->n_params);
    /* Two rows of padding in the embedding. */
    assert_int_equal(info->n_packed_bytes, 4 * (info->n_params + 2 * 64));
    assert_int_equal(info->n_token_bytes, 4 * (2 * layer + 16 * 64));

    assert_int_equal(nib_model_tensor_count(model), d.n_tensors);
    uint64_t n_file = 0, n_packed = 0;
    for (size_t i = 0; i < d.n_tensors; i++) {
        struct nib_tensor_info tensor;
        nib_model_tensor(model, i, &tensor);
        assert_string_equal(tensor.name, d.tensors[i].name);
        assert_string_equal(tensor.type, "F32");
        assert_int_equal(tensor.n_dims, d.tensors[i].n_dims);
        assert_memory_equal(tensor.dims, d.tensors[i].dims, sizeof(tensor.dims));
        n_file += tensor.n_file_bytes;
        n_packed += tensor.n_packed_bytes;
    }
    assert_int_equal(n_file, info->n_file_bytes);
    assert_int_equal(n_packed, info->n_packed_bytes);
    nib_model_close(model);
}

static void test_metadata_outlives_the_file(void **state)
{
    (void)state;
    struct model_draft d;
    draft_init(&d);
    draft_string(&d, "tokenizer.chat_template", "{{ messages[0].content }}{{ eos_token }}");
    struct nib_model *model = open_good(&d);
    const char *key, *value;
    size_t n = 0;
    bool has_ff = false;
    for (; nib_model_metadata(model, n, &key, &value); n++)
        has_ff |= strcmp(key, "llama.feed_forward_length") == 0 && strcmp(value, "96") == 0;
    assert_true(has_ff);
    assert_int_equal(n, d.n_keys + 6);
    assert_null(key);

    char *text;
    const struct nib_chat_message message = {"user", "Hi"};
    assert_int_equal(nib_chat_format(model, NULL, &message, 1, true, &text, NULL), NIB_OK);
    assert_string_equal(text, "Hi</s>");
    nib_free(text);
    assert_int_equal(nib_chat_format(model, "{{ bos_token }}!", &message, 1, true, &text, NULL),
                     NIB_OK);
    assert_string_equal(text, "<s>!");
    nib_free(text);
    nib_model_close(model);
}

static void test_without_a_template_chat_says_so(void **state)
{
    (void)state;
    struct model_draft d;
    draft_init(&d);
    struct nib_model *model = open_good(&d);
    struct nib_error err;
    char *text = (char *)&d;
    const struct nib_chat_message message = {"user", "Hi"};
    assert_int_equal(nib_chat_format(model, NULL, &message, 1, true, &text, &err),
                     NIB_ERROR_TEMPLATE);
    assert_null(text);
    assert_non_null(strstr(err.message, "no chat template"));
    nib_model_close(model);
}

static void test_text_goes_through_the_models_tokenizer(void **state)
{
    (void)state;
    struct model_draft d;
    draft_init(&d);
    struct nib_model *model = open_good(&d);
    int32_t *ids;
    size_t n;
    assert_int_equal(nib_tokenize(model, "ab", 2, NIB_ADD_SPECIAL, &ids, &n, NULL), NIB_OK);
    assert_int_equal(n, 2);
    assert_int_equal(ids[0], 1);
    assert_string_equal(nib_token_name(model, ids[1]), "▁ab");
    assert_null(nib_token_name(model, DRAFT_VOCAB));
    assert_null(nib_token_name(model, -1));
    assert_true(nib_token_is_end(model, 2));
    assert_false(nib_token_is_end(model, 5));

    char *text;
    size_t n_bytes;
    assert_int_equal(nib_detokenize(model, ids, n, 0, &text, &n_bytes, NULL), NIB_OK);
    assert_string_equal(text, "ab");
    assert_int_equal(n_bytes, 2);
    nib_free(text);
    nib_free(ids);

    struct nib_text_stream *stream;
    assert_int_equal(nib_text_stream_create(&stream, model, NULL), NIB_OK);
    assert_string_equal(nib_text_stream_push(stream, 7), "ab");
    assert_string_equal(nib_text_stream_end(stream), "");
    nib_text_stream_free(stream);
    nib_model_close(model);
}

/* ---- weights in memory ----------------------------------------------------------------------- */

static void test_rotated_rows_are_reordered_to_halves(void **state)
{
    (void)state;
    /* Heads of 8 rows, the first 6 of them rotated. */
    static const size_t expected[] = {0, 2, 4, 1, 3, 5, 6, 7, 8, 10, 12, 9, 11, 13, 14, 15};
    for (size_t i = 0; i < NIB_COUNT(expected); i++)
        assert_int_equal(nib_rotated_row(i, 8, 6), expected[i]);

    static float weight[64 * 64], bias[64];
    for (size_t i = 0; i < 64; i++) {
        bias[i] = (float)i;
        for (size_t k = 0; k < 64; k++)
            weight[i * 64 + k] = (float)(i * 1000 + k);
    }
    struct model_draft d;
    draft_init(&d);
    draft_int(&d, "llama.rope.dimension_count", 12);
    draft_tensor(&d, "blk.1.attn_q.weight")->values = weight;
    draft_vector(&d, "blk.1.attn_q.bias", 64);
    draft_tensor(&d, "blk.1.attn_q.bias")->values = bias;
    draft_tensor(&d, "blk.1.attn_output.weight")->values = weight;
    struct nib_model *model = open_good(&d);
    const struct nib_attention_weights *attn = &model->layers[1].attn;
    for (size_t i = 0; i < 64; i++) {
        float row[64];
        const size_t source = nib_rotated_row(i, DRAFT_D_HEAD, 12);
        nib_matrix_row(&attn->q.w, i, row);
        assert_memory_equal(row, weight + source * 64, sizeof(row));
        assert_true(attn->q.b[i] == bias[source]);
        nib_matrix_row(&attn->o.w, i, row);
        assert_memory_equal(row, weight + i * 64, sizeof(row));
    }
    assert_null(attn->k.b);
    assert_null(model->layers[0].attn.q.b);
    nib_model_close(model);
}

static void test_output_is_the_embedding_unless_the_file_has_one(void **state)
{
    (void)state;
    struct model_draft d;
    draft_init(&d);
    struct nib_model *model = open_good(&d);
    assert_ptr_equal(model->output.w.data, model->embedding.data);
    const uint64_t n_tied = model->info.n_token_bytes;
    nib_model_close(model);

    draft_matrix(&d, "output.weight", DRAFT_VOCAB, DRAFT_EMBD);
    model = open_good(&d);
    assert_ptr_not_equal(model->output.w.data, model->embedding.data);
    assert_int_equal(model->output.w.n_rows, DRAFT_VOCAB);
    assert_int_equal(model->info.n_token_bytes, n_tied);
    nib_model_close(model);
}

static void test_norms_of_half_floats_are_widened(void **state)
{
    (void)state;
    struct model_draft d;
    draft_init(&d);
    draft_tensor(&d, "output_norm.weight")->type = NIB_TYPE_F16;
    draft_tensor(&d, "blk.0.attn_norm.weight")->type = NIB_TYPE_BF16;
    struct nib_model *model = open_good(&d);
    for (size_t i = 0; i < DRAFT_EMBD; i++)
        assert_true(model->final_norm.w[i] == 0 && model->layers[0].attn_norm.w[i] == 0);
    nib_model_close(model);
}

static void test_rope_factors_hold_the_linear_scale(void **state)
{
    (void)state;
    struct model_draft d;
    draft_init(&d);
    struct nib_model *model = open_good(&d);
    assert_null(model->rope_factors);
    nib_model_close(model);

    draft_float(&d, "llama.rope.scaling.factor", 4);
    draft_string(&d, "llama.rope.scaling.type", "linear");
    model = open_good(&d);
    for (size_t i = 0; i < DRAFT_D_HEAD / 2; i++)
        assert_true(model->rope_factors[i] == 4);
    nib_model_close(model);

    static const float freqs[] = {1, 1, 1.5f, 2, 3, 8, 8, 8};
    draft_vector(&d, "rope_freqs.weight", DRAFT_D_HEAD / 2);
    draft_tensor(&d, "rope_freqs.weight")->values = freqs;
    model = open_good(&d);
    for (size_t i = 0; i < DRAFT_D_HEAD / 2; i++)
        assert_true(model->rope_factors[i] == 4 * freqs[i]);
    nib_model_close(model);

    draft_string(&d, "llama.rope.scaling.type", "none");
    model = open_good(&d);
    for (size_t i = 0; i < DRAFT_D_HEAD / 2; i++)
        assert_true(model->rope_factors[i] == freqs[i]);
    nib_model_close(model);

    static const float bad[][8] = {{1, 1, NAN, 1, 1, 1, 1, 1},
                                   {1, 1, 1, 1, 1, 1, 1, INFINITY},
                                   {0, 1, 1, 1, 1, 1, 1, 1},
                                   {1, -2, 1, 1, 1, 1, 1, 1}};
    for (size_t i = 0; i < NIB_COUNT(bad); i++) {
        draft_tensor(&d, "rope_freqs.weight")->values = bad[i];
        expect_refusal(&d, "rope_freqs.weight", "above 0");
    }
}

struct progress {
    uint64_t last, total;
    int n_calls;
};

static void on_progress(void *data, uint64_t done, uint64_t total)
{
    struct progress *p = data;
    assert_true(done >= p->last && done <= total);
    p->last = done;
    p->total = total;
    p->n_calls++;
}

static void test_threads_pack_the_same_bytes(void **state)
{
    (void)state;
    struct nib_model *one, *more;
    struct nib_error err;
    struct progress progress = {0};
    const char *path = NIB_TEST_DATA "/gguf-models/llama-q4_k_m.gguf";
    struct nib_model_params params;
    nib_model_params_init(&params);
    params.n_threads = 1;
    params.progress = on_progress;
    params.progress_data = &progress;
    assert_int_equal(nib_model_open(&one, path, &params, &err), NIB_OK);
    assert_true(progress.n_calls > 0);
    assert_int_equal(progress.last, progress.total);
    progress = (struct progress){0};
    params.n_threads = 3;
    assert_int_equal(nib_model_open(&more, path, &params, &err), NIB_OK);
    assert_int_equal(progress.last, progress.total);
    assert_int_equal(one->arena_bytes, more->arena_bytes);
    assert_memory_equal(one->arena, more->arena, one->arena_bytes);
    nib_model_close(one);
    nib_model_close(more);
}

/* ---- parameters ------------------------------------------------------------------------------ */

static void test_bad_parameters_are_refused(void **state)
{
    (void)state;
    struct model_draft d;
    draft_init(&d);
    struct nib_model *model;
    struct nib_error err;
    struct nib_model_params params;
    nib_model_params_init(&params);
    params.isa = "avx9000";
    assert_int_equal(open_draft(&model, &d, &params, &err), NIB_ERROR_CPU);
    assert_null(model);
    assert_non_null(strstr(err.message, "avx9000"));
    assert_non_null(strstr(err.message, "this CPU has: scalar"));

    params.isa = "scalar";
    assert_int_equal(open_draft(&model, &d, &params, &err), NIB_OK);
    assert_string_equal(nib_model_info(model)->isa, "scalar");
    nib_model_close(model);

    params.n_threads = -1;
    assert_int_equal(open_draft(&model, &d, &params, &err), NIB_ERROR_ARGUMENT);
    assert_null(model);
    assert_non_null(strstr(err.message, "-1 threads"));
    assert_int_equal(nib_model_open(&model, NULL, NULL, &err), NIB_ERROR_ARGUMENT);
    assert_int_equal(nib_model_open(&model, "/no/such/file.gguf", NULL, &err), NIB_ERROR_IO);
    assert_non_null(strstr(err.message, "/no/such/file.gguf"));
    nib_model_close(NULL);
}

static void test_the_environment_chooses_the_instruction_set(void **state)
{
    (void)state;
    struct model_draft d;
    draft_init(&d);
    struct nib_model *model;
    struct nib_error err;
    const char *before = getenv("NIBBLE_ISA");
    char *kept = before ? strdup(before) : NULL;
    setenv("NIBBLE_ISA", "scalar", 1);
    assert_int_equal(open_draft(&model, &d, NULL, &err), NIB_OK);
    assert_string_equal(nib_model_info(model)->isa, "scalar");
    nib_model_close(model);

    setenv("NIBBLE_ISA", "sse", 1);
    assert_int_equal(open_draft(&model, &d, NULL, &err), NIB_ERROR_CPU);
    assert_non_null(strstr(err.message, "NIBBLE_ISA=sse"));
    struct nib_model_params params = {.isa = "scalar"}; /* the caller's word counts first */
    assert_int_equal(open_draft(&model, &d, &params, &err), NIB_OK);
    nib_model_close(model);
    if (kept)
        setenv("NIBBLE_ISA", kept, 1);
    else
        unsetenv("NIBBLE_ISA");
    free(kept);
}

/* ---- numbers that lie ------------------------------------------------------------------------ */

static void test_integers_are_held_to_their_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int64_t min, max;
    } ranges[] = {
        {"llama.block_count", 1, 4096},          {"llama.context_length", 1, 1 << 24},
        {"llama.embedding_length", 1, 1 << 18},  {"llama.feed_forward_length", 1, 1 << 20},
        {"llama.attention.head_count", 1, 1024}, {"llama.attention.head_count_kv", 1, 1024},
        {"llama.attention.key_length", 2, 512},  {"llama.attention.value_length", 2, 512},
        {"llama.rope.dimension_count", 2, 512},  {"llama.attention.sliding_window", 0, UINT32_MAX},
        {"llama.vocab_size", 1, 1 << 24},        {"llama.expert_count", 0, 65536},
    };
    for (size_t i = 0; i < NIB_COUNT(ranges); i++) {
        const int64_t bad[] = {ranges[i].min - 1, ranges[i].max + 1, INT64_MIN, INT64_MAX, -1,
                               1ll << 32};
        struct model_draft d;
        for (size_t k = 0; k < NIB_COUNT(bad); k++) {
            char shown[32];
            draft_init(&d);
            draft_int(&d, ranges[i].key, bad[k]);
            snprintf(shown, sizeof(shown), "is %lld, expected", (long long)bad[k]);
            expect_refusal(&d, ranges[i].key, shown);
        }
        draft_string(&d, ranges[i].key, "many");
        expect_refusal(&d, ranges[i].key, "expected an integer");
        draft_float(&d, ranges[i].key, 2.5f);
        expect_refusal(&d, ranges[i].key, "expected an integer");
    }
}

static void test_floats_are_held_to_their_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        float min, max;
    } ranges[] = {
        {"llama.attention.layer_norm_rms_epsilon", 1e-15f, 0.5f},
        {"llama.rope.freq_base", 1, 1e12f},
        {"llama.rope.scaling.factor", 1e-3f, 1e6f},
        {"llama.rope.scale_linear", 1e-3f, 1e6f},
    };
    for (size_t i = 0; i < NIB_COUNT(ranges); i++) {
        const float bad[] = {
            ranges[i].min * 0.99f, ranges[i].max * 1.01f, 0, -1, NAN, INFINITY, -INFINITY, 3e38f};
        struct model_draft d;
        draft_init(&d);
        for (size_t k = 0; k < NIB_COUNT(bad); k++) {
            draft_float(&d, ranges[i].key, bad[k]);
            expect_refusal(&d, ranges[i].key, "expected a number");
        }
        draft_string(&d, ranges[i].key, "1");
        expect_refusal(&d, ranges[i].key, "expected a number");

        const float good[] = {ranges[i].min * 1.01f, ranges[i].max * 0.99f};
        for (size_t k = 0; k < NIB_COUNT(good); k++) {
            draft_float(&d, ranges[i].key, good[k]);
            nib_model_close(open_good(&d));
        }
    }
}

static void test_required_keys_must_be_there(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "llama.block_count",          "llama.context_length",
        "llama.embedding_length",     "llama.feed_forward_length",
        "llama.attention.head_count", "llama.attention.layer_norm_rms_epsilon",
    };
    for (size_t i = 0; i < NIB_COUNT(keys); i++) {
        struct model_draft d;
        draft_init(&d);
        draft_remove(&d, keys[i]);
        expect_refusal(&d, keys[i], "missing");
    }
}

static void test_heads_must_fit_each_other(void **state)
{
    (void)state;
    struct model_draft d;
    draft_init(&d);
    draft_int(&d, "llama.attention.head_count_kv", 3);
    expect_refusal(&d, "head_count_kv is 3", "must divide");
    draft_int(&d, "llama.attention.head_count_kv", 8);
    expect_refusal(&d, "head_count_kv is 8", "must divide");

    draft_init(&d);
    draft_int(&d, "llama.attention.head_count", 6);
    expect_refusal(&d, "embedding_length is 64", "head_count = 6");
    draft_int(&d, "llama.attention.head_count", 64);
    expect_refusal(&d, "key_length is 1,", "even");
    draft_int(&d, "llama.embedding_length", 4096);
    draft_int(&d, "llama.attention.head_count", 4);
    expect_refusal(&d, "key_length is 1024", "at most 512");

    draft_init(&d);
    draft_int(&d, "llama.attention.key_length", 15);
    expect_refusal(&d, "key_length is 15", "even");
    draft_int(&d, "llama.attention.key_length", 16);
    draft_int(&d, "llama.attention.value_length", 32);
    expect_refusal(&d, "value_length is 32", "16");
    draft_int(&d, "llama.attention.value_length", 16);
    nib_model_close(open_good(&d));
    draft_int(&d, "llama.rope.dimension_count", 18);
    expect_refusal(&d, "dimension_count is 18", "at most the 16");
    draft_int(&d, "llama.rope.dimension_count", 15);
    expect_refusal(&d, "dimension_count is 15", "even");

    draft_init(&d);
    draft_remove(&d, "llama.attention.head_count_kv"); /* as many as heads */
    expect_refusal(&d, "blk.0.attn_k.weight: 32 rows", "expected 64");
}

static void test_what_does_not_run_is_refused_by_name(void **state)
{
    (void)state;
    struct model_draft d;
    draft_init(&d);
    draft_string(&d, "general.architecture", "mamba\x1b[31m");
    expect_refusal(&d, "\"mamba\\x1b[31m\"", "nibble runs: llama");
    draft_int(&d, "general.architecture", 1);
    expect_refusal(&d, "general.architecture", "missing or no string");
    draft_remove(&d, "general.architecture");
    expect_refusal(&d, "general.architecture", "missing or no string");

    draft_init(&d);
    draft_int(&d, "llama.expert_count", 8);
    expect_refusal(&d, "llama.expert_count is 8", "mixtures of experts");
    draft_int(&d, "llama.expert_count", 0);
    nib_model_close(open_good(&d));

    draft_init(&d);
    draft_int(&d, "llama.attention.sliding_window", 127);
    expect_refusal(&d, "llama.attention.sliding_window is 127", "sliding windows");
    draft_int(&d, "llama.attention.sliding_window", 128);
    nib_model_close(open_good(&d));

    draft_string(&d, "llama.rope.scaling.type", "yarn");
    expect_refusal(&d, "llama.rope.scaling.type", "yarn");
    draft_int(&d, "llama.rope.scaling.type", 1);
    expect_refusal(&d, "llama.rope.scaling.type", "string");
}

/* ---- tensors that lie ------------------------------------------------------------------------ */

static void test_missing_tensors_are_named(void **state)
{
    (void)state;
    struct model_draft sound;
    draft_init(&sound);
    for (size_t i = 0; i < sound.n_tensors; i++) {
        struct model_draft d = sound;
        draft_tensor_remove(&d, sound.tensors[i].name);
        expect_refusal(&d, sound.tensors[i].name, "missing");
    }
    draft_int(&sound, "llama.block_count", 4096);
    expect_refusal(&sound, "blk.2.attn_norm.weight", "missing");
}

static void test_tensors_of_wrong_shape_are_named(void **state)
{
    (void)state;
    struct model_draft sound, d;
    draft_init(&sound);
    for (size_t i = 0; i < sound.n_tensors; i++) {
        const struct draft_tensor *t = &sound.tensors[i];
        const bool is_matrix = t->n_dims == 2;
        d = sound;
        d.tensors[i].dims[0] += 4;
        expect_refusal(&d, t->name, "expected");
        d = sound;
        d.tensors[i].n_dims = 3;
        d.tensors[i].dims[2] = 2;
        expect_refusal(&d, t->name, is_matrix ? "3 dimensions, expected 2" : "expected 1");
        if (!is_matrix) {
            d = sound;
            d.tensors[i].n_dims = 2;
            d.tensors[i].dims[1] = 2;
            expect_refusal(&d, t->name, "2 rows, expected 1");
        }
    }
    d = sound;
    draft_tensor(&d, "blk.1.attn_q.weight")->dims[1] = 12;
    expect_refusal(&d, "blk.1.attn_q.weight: 12 rows, expected 64", "");
    d = sound;
    draft_tensor(&d, "token_embd.weight")->dims[1] = DRAFT_VOCAB - 1;
    expect_refusal(&d, "token_embd.weight: 13 rows", "14 tokens");
    d = sound;
    draft_vector(&d, "blk.1.attn_k.bias", 31);
    expect_refusal(&d, "blk.1.attn_k.bias: 31 values, expected 32", "");
    d = sound;
    draft_vector(&d, "rope_freqs.weight", 7);
    expect_refusal(&d, "rope_freqs.weight: 7 values, expected 8", "");
    d = sound;
    draft_matrix(&d, "output.weight", DRAFT_VOCAB + 1, DRAFT_EMBD);
    expect_refusal(&d, "output.weight: 15 rows, expected 14", "");
}

static void test_tensors_of_types_that_do_not_run_are_named(void **state)
{
    (void)state;
    struct model_draft sound, d;
    draft_init(&sound);
    static const uint32_t types[] = {NIB_TYPE_I32, NIB_TYPE_F64, NIB_TYPE_I8, NIB_TYPE_IQ4_NL};
    for (size_t i = 0; i < NIB_COUNT(types); i++) {
        d = sound;
        draft_tensor(&d, "blk.0.ffn_up.weight")->type = types[i];
        expect_refusal(&d, "blk.0.ffn_up.weight", nib_type_info(types[i])->name);
        expect_refusal(&d, "F32, F16, BF16, Q4_0, Q4_1", "");
        d = sound;
        draft_tensor(&d, "token_embd.weight")->type = types[i];
        expect_refusal(&d, "token_embd.weight", nib_type_info(types[i])->name);
    }
    d = sound;
    draft_tensor(&d, "blk.1.ffn_norm.weight")->type = NIB_TYPE_Q4_0;
    expect_refusal(&d, "blk.1.ffn_norm.weight", "Q4_0");
    d = sound;
    draft_vector(&d, "blk.0.attn_v.bias", 32);
    draft_tensor(&d, "blk.0.attn_v.bias")->type = NIB_TYPE_Q8_0;
    expect_refusal(&d, "blk.0.attn_v.bias", "Q8_0");
}

static void test_tensors_that_would_be_left_out_are_named(void **state)
{
    (void)state;
    static const char *const names[] = {"blk.0.ffn_gate_inp.weight", "blk.1.attn_q_norm.weight",
                                        "blk.2.attn_q.weight",       "blk.0.attn_norm.bias",
                                        "output_norm.bias",          "position_embd.weight"};
    for (size_t i = 0; i < NIB_COUNT(names); i++) {
        struct model_draft d;
        draft_init(&d);
        draft_vector(&d, names[i], 64);
        expect_refusal(&d, names[i], "not part of the llama family");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sound_file_opens),
        cmocka_unit_test(test_metadata_outlives_the_file),
        cmocka_unit_test(test_without_a_template_chat_says_so),
        cmocka_unit_test(test_text_goes_through_the_models_tokenizer),
        cmocka_unit_test(test_rotated_rows_are_reordered_to_halves),
        cmocka_unit_test(test_output_is_the_embedding_unless_the_file_has_one),
        cmocka_unit_test(test_norms_of_half_floats_are_widened),
        cmocka_unit_test(test_rope_factors_hold_the_linear_scale),
        cmocka_unit_test(test_threads_pack_the_same_bytes),
        cmocka_unit_test(test_bad_parameters_are_refused),
        cmocka_unit_test(test_the_environment_chooses_the_instruction_set),
        cmocka_unit_test(test_integers_are_held_to_their_ranges),
        cmocka_unit_test(test_floats_are_held_to_their_ranges),
        cmocka_unit_test(test_required_keys_must_be_there),
        cmocka_unit_test(test_heads_must_fit_each_other),
        cmocka_unit_test(test_what_does_not_run_is_refused_by_name),
        cmocka_unit_test(test_missing_tensors_are_named),
        cmocka_unit_test(test_tensors_of_wrong_shape_are_named),
        cmocka_unit_test(test_tensors_of_types_that_do_not_run_are_named),
        cmocka_unit_test(test_tensors_that_would_be_left_out_are_named),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
