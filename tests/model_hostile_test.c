/* Opening models from files that lie: in every number and in every tensor. */
#define _GNU_SOURCE /* nftw() */
#include "model_check.h"

#include <math.h>

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
        {"llama.vocab_size", 1, 1 << 24},        {"llama.expert_count", 0, 4096},
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
    expect_refusal(&d, "dimension_count is 1,", "even");
    draft_int(&d, "llama.embedding_length", 4096);
    draft_int(&d, "llama.attention.head_count", 4);
    expect_refusal(&d, "key_length is 1024", "at most 512");

    draft_init(&d);
    draft_int(&d, "llama.attention.key_length", 15);
    expect_refusal(&d, "dimension_count is 15", "even");
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

/* Attention keeps the heads of a group in arrays of NIB_MAX_GROUP rows. */
static void test_groups_of_heads_have_a_limit(void **state)
{
    (void)state;
    struct model_draft d;
    draft_init(&d);
    draft_int(&d, "llama.attention.key_length", 2);
    draft_int(&d, "llama.attention.head_count", NIB_MAX_GROUP);
    draft_int(&d, "llama.attention.head_count_kv", 1);
    for (int layer = 0; layer < DRAFT_LAYERS; layer++) {
        char name[64];
        snprintf(name, sizeof(name), "blk.%d.attn_q.weight", layer);
        draft_matrix(&d, name, 2 * NIB_MAX_GROUP, DRAFT_EMBD);
        snprintf(name, sizeof(name), "blk.%d.attn_k.weight", layer);
        draft_matrix(&d, name, 2, DRAFT_EMBD);
        snprintf(name, sizeof(name), "blk.%d.attn_v.weight", layer);
        draft_matrix(&d, name, 2, DRAFT_EMBD);
        snprintf(name, sizeof(name), "blk.%d.attn_output.weight", layer);
        draft_matrix(&d, name, DRAFT_EMBD, 2 * NIB_MAX_GROUP);
    }
    struct nib_model *model = open_good(&d);
    struct nib_context *context;
    struct nib_error err;
    int32_t ids[70] = {0};
    assert_int_equal(nib_context_create(&context, model, NULL, &err), NIB_OK);
    assert_int_equal(nib_evaluate(context, &(struct nib_batch){.n_tokens = 70, .ids = ids}, &err),
                     NIB_OK);
    assert_int_equal(nib_evaluate(context, &(struct nib_batch){.n_tokens = 1, .ids = ids}, &err),
                     NIB_OK);
    assert_true(isfinite(nib_logits(context, 0)[0]));
    nib_context_free(context);
    nib_model_close(model);

    draft_int(&d, "llama.attention.head_count", 2 * NIB_MAX_GROUP);
    expect_refusal(&d, "llama.attention.head_count is 256", "at most 128 heads");
    draft_int(&d, "llama.attention.head_count_kv", 2);
    expect_refusal(&d, "blk.0.attn_q.weight: 256 rows, expected 512", "");
}

static void test_a_number_may_be_given_for_each_layer(void **state)
{
    (void)state;
    static const char *const keys[] = {"llama.attention.head_count_kv",
                                       "llama.attention.head_count", "llama.feed_forward_length"};
    static const int64_t values[] = {DRAFT_KV_HEADS, DRAFT_HEADS, DRAFT_FF};
    for (size_t i = 0; i < NIB_COUNT(keys); i++) {
        struct model_draft d;
        draft_init(&d);
        int64_t layers[] = {values[i], values[i], values[i]};
        draft_ints(&d, keys[i], layers, DRAFT_LAYERS);
        nib_model_close(open_good(&d));
        draft_ints(&d, keys[i], layers, 3);
        expect_refusal(&d, keys[i], "has 3 values, expected one or one for each of the 2 layers");
        draft_ints(&d, keys[i], layers, 0);
        expect_refusal(&d, keys[i], "has 0 values");
        layers[1] = 1;
        draft_ints(&d, keys[i], layers, DRAFT_LAYERS);
        expect_refusal(&d, keys[i], "1 in layer 1, but nibble runs only models whose layers");
        layers[0] = layers[1] = -5;
        draft_ints(&d, keys[i], layers, DRAFT_LAYERS);
        expect_refusal(&d, keys[i], "[2] -5, -5, expected an integer from 1");
    }
    struct model_draft d;
    draft_init(&d);
    draft_ints(&d, "llama.embedding_length", (int64_t[]){DRAFT_EMBD, DRAFT_EMBD}, 2);
    expect_refusal(&d, "llama.embedding_length", "expected an integer");
}

static void test_what_does_not_run_is_refused_by_name(void **state)
{
    (void)state;
    struct model_draft d;
    draft_init(&d);
    draft_string(&d, "general.architecture", "mamba\x1b[31m");
    expect_refusal(&d, "\"mamba\\x1b[31m\"", "nibble runs: ");
    draft_int(&d, "general.architecture", 1);
    expect_refusal(&d, "general.architecture", "missing or no string");
    draft_remove(&d, "general.architecture");
    expect_refusal(&d, "general.architecture", "missing or no string");

    draft_init(&d);
    draft_int(&d, "llama.expert_count", 8);
    expect_refusal(&d, "llama.expert_used_count is missing", "from 1 to the number of experts, 8");
    draft_int(&d, "llama.expert_used_count", 9);
    expect_refusal(&d, "llama.expert_used_count is 9", "from 1 to the number of experts, 8");
    draft_int(&d, "llama.expert_used_count", 2);
    draft_int(&d, "llama.expert_count", 0);
    nib_model_close(open_good(&d));

    draft_init(&d);
    draft_string(&d, "llama.rope.scaling.type", "mrope");
    expect_refusal(&d, "llama.rope.scaling.type", "mrope");
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
    static const uint32_t types[] = {NIB_TYPE_I32, NIB_TYPE_F64, NIB_TYPE_I8};
    for (size_t i = 0; i < NIB_COUNT(types); i++) {
        d = sound;
        draft_tensor(&d, "blk.0.ffn_up.weight")->type = types[i];
        expect_refusal(&d, "blk.0.ffn_up.weight", nib_type_info(types[i])->name);
        expect_refusal(&d, "F32, F16, Q4_0, Q4_1", "MXFP4: use");
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
        cmocka_unit_test(test_integers_are_held_to_their_ranges),
        cmocka_unit_test(test_floats_are_held_to_their_ranges),
        cmocka_unit_test(test_required_keys_must_be_there),
        cmocka_unit_test(test_heads_must_fit_each_other),
        cmocka_unit_test(test_groups_of_heads_have_a_limit),
        cmocka_unit_test(test_a_number_may_be_given_for_each_layer),
        cmocka_unit_test(test_what_does_not_run_is_refused_by_name),
        cmocka_unit_test(test_missing_tensors_are_named),
        cmocka_unit_test(test_tensors_of_wrong_shape_are_named),
        cmocka_unit_test(test_tensors_of_types_that_do_not_run_are_named),
        cmocka_unit_test(test_tensors_that_would_be_left_out_are_named),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
