/* Opening models: what a sound file gives, and how weights lie in memory. */
#define _GNU_SOURCE /* nftw() */
#include "model_check.h"
#include "pack_weights.h"

#include <math.h>

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
    assert_int_equal(info->n_tokens, DRAFT_VOCAB);
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

/* As files have it whose matrices were padded: the rows past the tokens are there, nameless. */
static void test_matrices_may_have_more_rows_than_there_are_tokens(void **state)
{
    (void)state;
    struct model_draft d;
    draft_init(&d);
    draft_matrix(&d, "token_embd.weight", DRAFT_VOCAB + 5, DRAFT_EMBD);
    struct nib_model *model = open_good(&d);
    assert_int_equal(nib_model_info(model)->n_vocab, DRAFT_VOCAB + 5);
    assert_int_equal(nib_model_info(model)->n_tokens, DRAFT_VOCAB);

    const int32_t padding = DRAFT_VOCAB, last = DRAFT_VOCAB + 4, beyond = DRAFT_VOCAB + 5;
    struct nib_context *context;
    struct nib_error err;
    assert_int_equal(nib_context_create(&context, model, NULL, &err), NIB_OK);
    assert_int_equal(nib_evaluate(context, &(struct nib_batch){.n_tokens = 1, .ids = &last}, &err),
                     NIB_OK);
    for (int i = 0; i < DRAFT_VOCAB + 5; i++)
        assert_true(isfinite(nib_logits(context, 0)[i]));
    assert_int_equal(
        nib_evaluate(context, &(struct nib_batch){.n_tokens = 1, .ids = &beyond}, &err),
        NIB_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "token id 19"));
    nib_context_free(context);

    assert_null(nib_token_name(model, padding));
    assert_false(nib_token_is_end(model, padding));
    char *text;
    size_t n_bytes;
    assert_int_equal(nib_detokenize(model, &padding, 1, 0, &text, &n_bytes, &err),
                     NIB_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "id 14"));
    struct nib_text_stream *stream;
    assert_int_equal(nib_text_stream_create(&stream, model, NULL), NIB_OK);
    assert_string_equal(nib_text_stream_push(stream, padding), "");
    nib_text_stream_free(stream);
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
    assert_null(model->config.rope[NIB_ROPE_GLOBAL].factors);
    nib_model_close(model);

    draft_float(&d, "llama.rope.scaling.factor", 4);
    draft_string(&d, "llama.rope.scaling.type", "linear");
    model = open_good(&d);
    for (size_t i = 0; i < DRAFT_D_HEAD / 2; i++)
        assert_true(model->config.rope[NIB_ROPE_GLOBAL].factors[i] == 4);
    nib_model_close(model);

    static const float freqs[] = {1, 1, 1.5f, 2, 3, 8, 8, 8};
    draft_vector(&d, "rope_freqs.weight", DRAFT_D_HEAD / 2);
    draft_tensor(&d, "rope_freqs.weight")->values = freqs;
    model = open_good(&d);
    for (size_t i = 0; i < DRAFT_D_HEAD / 2; i++)
        assert_true(model->config.rope[NIB_ROPE_GLOBAL].factors[i] == 4 * freqs[i]);
    nib_model_close(model);

    draft_string(&d, "llama.rope.scaling.type", "none");
    model = open_good(&d);
    for (size_t i = 0; i < DRAFT_D_HEAD / 2; i++)
        assert_true(model->config.rope[NIB_ROPE_GLOBAL].factors[i] == freqs[i]);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sound_file_opens),
        cmocka_unit_test(test_metadata_outlives_the_file),
        cmocka_unit_test(test_without_a_template_chat_says_so),
        cmocka_unit_test(test_text_goes_through_the_models_tokenizer),
        cmocka_unit_test(test_rotated_rows_are_reordered_to_halves),
        cmocka_unit_test(test_output_is_the_embedding_unless_the_file_has_one),
        cmocka_unit_test(test_matrices_may_have_more_rows_than_there_are_tokens),
        cmocka_unit_test(test_norms_of_half_floats_are_widened),
        cmocka_unit_test(test_rope_factors_hold_the_linear_scale),
        cmocka_unit_test(test_threads_pack_the_same_bytes),
        cmocka_unit_test(test_bad_parameters_are_refused),
        cmocka_unit_test(test_the_environment_chooses_the_instruction_set),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
