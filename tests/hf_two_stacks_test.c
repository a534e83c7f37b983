/*
 * Folders of models with an encoder and a decoder: keys of either stack, tables of sinusoidal
 * positions, embeddings that stacks share or do not, ids that generation begins and ends with.
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

static void expect_refused(const char *config, const struct hf_tensor *tensors, const char *words)
{
    struct nib_gguf *gguf;
    scratch_write(&scratch, "config.json", config);
    hf_write_weights(&scratch, "model.safetensors", tensors);
    assert_int_equal(nib_hf_open(&gguf, scratch.path, &err), NIB_ERROR_FILE);
    if (!strstr(err.message, words))
        fail_msg("\"%s\" without \"%s\"", err.message, words);
}

/* Two layers of 2 heads before three of 4, 8 wide, with more keys. */
#define STACKS(type, more)                                                                         \
    "{\"model_type\":\"" type "\",\"d_model\":8,\"encoder_layers\":2,\"decoder_layers\":3,"        \
    "\"encoder_attention_heads\":2,\"decoder_attention_heads\":4,\"encoder_ffn_dim\":16,"          \
    "\"decoder_ffn_dim\":24,\"max_position_embeddings\":6,\"vocab_size\":5" more "}"

#define T5(more)                                                                                   \
    "{\"model_type\":\"t5\",\"d_model\":8,\"num_layers\":1,\"num_heads\":2,\"d_kv\":3,"            \
    "\"d_ff\":16,\"vocab_size\":5" more "}"

static const struct hf_tensor only_shared[] = {
    {"model.shared.weight", {5, 8}, NULL},
    {0},
};

static const struct hf_tensor only_t5[] = {
    {"shared.weight", {5, 8}, NULL},
    {0},
};

/* ---- keys ------------------------------------------------------------------------------------ */

static void test_each_stack_has_its_numbers(void **state)
{
    (void)state;
    struct nib_gguf *g = open_folder(STACKS("bart", ",\"scale_embedding\":true"), only_shared);
    hf_expect_int(g, "bart.block_count", 2);
    hf_expect_int(g, "bart.decoder_block_count", 3);
    hf_expect_int(g, "bart.attention.head_count", 2);
    hf_expect_int(g, "bart.decoder.attention.head_count", 4);
    hf_expect_int(g, "bart.feed_forward_length", 16);
    hf_expect_int(g, "bart.decoder.feed_forward_length", 24);
    hf_expect_int(g, "bart.context_length", 6);
    hf_expect_float(g, "bart.attention.layer_norm_epsilon", 1e-5);
    hf_expect_float(g, "bart.embedding_scale", sqrt(8));
    hf_expect_string(g, "bart.feed_forward.activation", "gelu");
    static const char *const absent[] = {"bart.attention.head_count_kv",
                                         "bart.attention.key_length", "bart.logit_scale"};
    for (size_t i = 0; i < NIB_COUNT(absent); i++)
        assert_false(nib_gguf_has(g, absent[i]));
    nib_gguf_close(g);
}

static void test_where_norms_stand_is_the_familys(void **state)
{
    (void)state;
    static const struct {
        const char *config, *key;
        bool expected;
    } cases[] = {
        {STACKS("bart", ""), "bart.normalize_before", false},
        {STACKS("marian", ""), "marian.normalize_before", false},
        {STACKS("transformer", ""), "transformer.normalize_before", false},
        {STACKS("mbart", ""), "mbart.normalize_before", true},
        {STACKS("pegasus", ""), "pegasus.normalize_before", true},
        {STACKS("m2m_100", ""), "m2m_100.normalize_before", true},
        {T5(""), "t5.normalize_before", true},
    };
    for (size_t i = 0; i < NIB_COUNT(cases); i++) {
        const bool is_t5 = strncmp(cases[i].key, "t5.", 3) == 0;
        struct nib_gguf *g = open_folder(cases[i].config, is_t5 ? only_t5 : only_shared);
        hf_expect_bool(g, cases[i].key, cases[i].expected);
        nib_gguf_close(g);
    }
    expect_refused(STACKS("transformer", ",\"normalize_before\":true"), only_shared,
                   "normalize_before is true");
}

static const struct hf_tensor t5_tensors[] = {
    {"shared.weight", {5, 8}, NULL},
    {"lm_head.weight", {5, 8}, NULL},
    {"encoder.embed_tokens.weight", {5, 8}, NULL},
    {0},
};

static void test_t5_scales_by_its_version(void **state)
{
    (void)state;
    const struct {
        const char *config;
        bool has_head;
        double scale;
    } cases[] = {
        {T5(""), true, 1 / sqrt(8)}, /* a head that is there is used, if only as a copy */
        {T5(",\"tie_word_embeddings\":false"), true, 1},
        {T5(",\"tie_word_embeddings\":true,\"scale_decoder_outputs\":false"), true, 1},
        {T5(""), false, 1 / sqrt(8)},
        {T5(",\"scale_decoder_outputs\":false"), false, 1},
    };
    for (size_t i = 0; i < NIB_COUNT(cases); i++) {
        struct nib_gguf *g = open_folder(cases[i].config, cases[i].has_head ? t5_tensors : only_t5);
        hf_expect_float(g, "t5.logit_scale", cases[i].scale);
        hf_expect_float(g, "t5.attention.scale", 1);
        hf_expect_int(g, "t5.attention.key_length", 3);
        assert_int_equal(nib_gguf_find(g, "output.weight") != NULL, cases[i].has_head);
        assert_int_equal(nib_gguf_tensor_count(g), 1 + cases[i].has_head);
        nib_gguf_close(g);
    }
}

static void test_mt5_and_umt5_are_t5(void **state)
{
    (void)state;
    struct nib_gguf *g = open_folder("{\"model_type\":\"mt5\",\"d_model\":8,\"num_layers\":1,"
                                     "\"num_heads\":2,\"d_ff\":16,\"num_decoder_layers\":4}",
                                     only_t5);
    hf_expect_string(g, "general.architecture", "t5");
    hf_expect_int(g, "t5.attention.key_length", 64);
    hf_expect_int(g, "t5.decoder_block_count", 4);
    hf_expect_float(g, "t5.logit_scale", 1);
    hf_expect_string(g, "t5.feed_forward.activation", "gelu_tanh");
    nib_gguf_close(g);

    static const struct hf_tensor biases[] = {
        {"shared.weight", {5, 8}, NULL},
        {"encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", {32, 2}, NULL},
        {"encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight", {32, 2}, NULL},
        {0},
    };
    g = open_folder("{\"model_type\":\"umt5\",\"d_model\":8,\"num_layers\":2,\"num_heads\":2,"
                    "\"d_ff\":16,\"feed_forward_proj\":\"gated-silu\"}",
                    biases);
    hf_expect_string(g, "t5.feed_forward.activation", "silu");
    assert_int_equal(hf_get(g, "enc.blk.1.attn_rel_b.weight")->dims[0], 2);
    nib_gguf_close(g);
}

/* ---- positions ------------------------------------------------------------------------------- */

static void expect_table(const struct nib_gguf *g, const char *name,
                         double (*expected)(uint64_t at, size_t i))
{
    const struct nib_gguf_tensor *t = hf_get(g, name);
    assert_int_equal(t->dims[0], 8);
    assert_int_equal(t->dims[1], 6);
    for (uint64_t at = 0; at < 6; at++)
        for (size_t i = 0; i < 8; i++)
            if (fabs((double)hf_value(t, at, i) - expected(at, i)) > 1e-7)
                fail_msg("%s[%d][%zu] is %.9g, expected %.9g", name, (int)at, i,
                         (double)hf_value(t, at, i), expected(at, i));
}

static double of_marian(uint64_t at, size_t i)
{
    const double x = (double)at / pow(10000, (double)(i % 4) / 4);
    return i < 4 ? sin(x) : cos(x);
}

static double of_transformer(uint64_t at, size_t i)
{
    const double x = (double)at / pow(10000, (double)(i / 2) / 4);
    return i % 2 == 0 ? sin(x) : cos(x);
}

static double of_m2m100(uint64_t at, size_t i) /* pad_token_id 1 */
{
    const double x = (double)(at + 2) * pow(10000, -(double)(i % 4) / 3);
    return i < 4 ? sin(x) : cos(x);
}

static void test_tables_of_sines(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        double (*expected)(uint64_t at, size_t i);
    } cases[] = {
        {STACKS("marian", ""), of_marian},
        {STACKS("pegasus", ""), of_marian},
        {STACKS("transformer", ""), of_transformer},
        {STACKS("m2m_100", ",\"pad_token_id\":1"), of_m2m100},
    };
    for (size_t i = 0; i < NIB_COUNT(cases); i++) {
        struct nib_gguf *g = open_folder(cases[i].config, only_shared);
        expect_table(g, "enc.position_embd.weight", cases[i].expected);
        expect_table(g, "dec.position_embd.weight", cases[i].expected);
        nib_gguf_close(g);
    }
}

static void test_a_table_of_the_file_counts(void **state)
{
    (void)state;
    static const struct hf_tensor tensors[] = {
        {"model.shared.weight", {5, 8}, NULL},
        {"model.decoder.embed_positions.weight", {6, 8}, NULL},
        {0},
    };
    struct nib_gguf *g = open_folder(STACKS("pegasus", ""), tensors);
    expect_table(g, "enc.position_embd.weight", of_marian);
    assert_true(hf_value(hf_get(g, "dec.position_embd.weight"), 1, 0) == 5 * 8 + 8);
    assert_int_equal(nib_gguf_tensor_count(g), 3);
    nib_gguf_close(g);
}

static void test_tables_larger_than_the_model_are_refused(void **state)
{
    (void)state;
    expect_refused("{\"model_type\":\"marian\",\"d_model\":8,\"encoder_layers\":1,"
                   "\"encoder_attention_heads\":1,\"encoder_ffn_dim\":8,\"decoder_ffn_dim\":8,"
                   "\"max_position_embeddings\":4294967295}",
                   only_shared, "larger than all weights");
    expect_refused("{\"model_type\":\"marian\",\"d_model\":7,\"encoder_layers\":1,"
                   "\"encoder_attention_heads\":1,\"encoder_ffn_dim\":8,\"decoder_ffn_dim\":8}",
                   only_shared, "even d_model");
}

/* ---- embeddings ------------------------------------------------------------------------------ */

static const char *const tables[] = {"token_embd.weight", "enc.token_embd.weight",
                                     "dec.token_embd.weight", "output.weight"};

static void expect_tables(const char *config, const struct hf_tensor *tensors,
                          const char *const sources[4])
{
    struct nib_gguf *g = open_folder(config, tensors);
    for (size_t i = 0; i < NIB_COUNT(tables); i++) {
        const struct nib_gguf_tensor *t = nib_gguf_find(g, tables[i]);
        if ((t != NULL) != (sources[i] != NULL))
            fail_msg("%s is %s", tables[i], t ? "there" : "missing");
        if (t)
            assert_true(hf_value(t, 0, 0) == hf_first_value(tensors, sources[i]));
    }
    nib_gguf_close(g);
}

static void test_embeddings_that_stacks_share(void **state)
{
    (void)state;
    static const char *const enc = "model.encoder.embed_tokens.weight",
                             *const dec = "model.decoder.embed_tokens.weight",
                             *const shared = "model.shared.weight", *const head = "lm_head.weight";
    const struct hf_tensor all[] = {{"first", {1}, NULL},   {enc, {5, 8}, NULL},
                                    {dec, {5, 8}, NULL},    {head, {5, 8}, NULL},
                                    {shared, {5, 8}, NULL}, {0}};
    const struct hf_tensor own[] = {
        {enc, {5, 8}, NULL}, {dec, {5, 8}, NULL}, {head, {5, 8}, NULL}, {0}};
    const struct hf_tensor one[] = {{dec, {5, 8}, NULL}, {0}};
    const struct hf_tensor only_head[] = {{head, {5, 8}, NULL}, {0}};
    static const char untied[] = STACKS("bart", ",\"tie_word_embeddings\":false");
    static const char tied[] = STACKS("bart", "");
    expect_tables(tied, all + 1, (const char *const[]){shared, NULL, NULL, NULL});
    expect_tables(untied, all + 1, (const char *const[]){NULL, enc, dec, head});
    expect_tables(untied, own, (const char *const[]){NULL, enc, dec, head});
    expect_tables(tied, own, (const char *const[]){NULL, enc, dec, NULL});
    expect_tables(tied, one, (const char *const[]){dec, NULL, NULL, NULL});
    expect_tables(tied, only_head, (const char *const[]){head, NULL, NULL, NULL});
    expect_refused(untied, one, "tie_word_embeddings");
}

/* ---- generation ------------------------------------------------------------------------------ */

static void expect_ids(const struct nib_gguf *g, const char *key, size_t n_expected,
                       const int64_t *expected)
{
    size_t n = 0;
    int64_t ids[8];
    assert_true(nib_gguf_ints(g, key, &n));
    assert_int_equal(n, n_expected);
    nib_gguf_copy_ints(g, key, ids);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(ids[i], expected[i]);
}

static void test_ids_without_generation_config(void **state)
{
    (void)state;
    struct nib_gguf *g = open_folder(
        STACKS("marian", ",\"pad_token_id\":4,\"eos_token_id\":[3],\"bos_token_id\":null,"
                         "\"decoder_start_token_id\":4,\"bad_words_ids\":[[4],[1]]"),
        only_shared);
    hf_expect_int(g, "marian.decoder_start_token_id", 4);
    hf_expect_int(g, "tokenizer.ggml.eos_token_id", 3);
    hf_expect_int(g, "tokenizer.ggml.padding_token_id", 4);
    hf_expect_int(g, "nibble.forced_eos_token_id", 0); /* of the class */
    assert_false(nib_gguf_has(g, "tokenizer.ggml.bos_token_id"));
    assert_false(nib_gguf_has(g, "nibble.forced_bos_token_id"));
    expect_ids(g, "nibble.bad_token_ids", 2, (const int64_t[]){4, 1});
    expect_ids(g, "nibble.eos_token_ids", 1, (const int64_t[]){3});
    nib_gguf_close(g);

    g = open_folder(STACKS("bart", ",\"forced_eos_token_id\":null,\"forced_bos_token_id\":1"),
                    only_shared);
    hf_expect_int(g, "bart.decoder_start_token_id", 2);
    hf_expect_int(g, "nibble.forced_bos_token_id", 1);
    assert_false(nib_gguf_has(g, "nibble.forced_eos_token_id"));
    nib_gguf_close(g);

    g = open_folder(STACKS("mbart", ",\"bos_token_id\":3"), only_shared);
    hf_expect_int(g, "mbart.decoder_start_token_id", 3);
    nib_gguf_close(g);
}

static void test_generation_config_decides_alone(void **state)
{
    (void)state;
    static const char config[] =
        STACKS("mbart", ",\"forced_bos_token_id\":1,\"forced_eos_token_id\":2,"
                        "\"decoder_start_token_id\":2,\"eos_token_id\":2,\"bad_words_ids\":[[1]]");
    scratch_write(&scratch, "generation_config.json",
                  "{\"forced_eos_token_id\":[3],\"eos_token_id\":[2,3]}");
    struct nib_gguf *g = open_folder(config, only_shared);
    hf_expect_int(g, "mbart.decoder_start_token_id", 2);
    hf_expect_int(g, "nibble.forced_eos_token_id", 3);
    assert_false(nib_gguf_has(g, "nibble.forced_bos_token_id"));
    assert_false(nib_gguf_has(g, "nibble.bad_token_ids"));
    assert_false(nib_gguf_has(g, "tokenizer.ggml.eos_token_id"));
    expect_ids(g, "nibble.eos_token_ids", 2, (const int64_t[]){2, 3});
    nib_gguf_close(g);
}

static void test_wrong_ids_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *config, *words;
    } cases[] = {
        {STACKS("bart", ",\"decoder_start_token_id\":-1"), "decoder_start_token_id must be an id"},
        {STACKS("bart", ",\"forced_bos_token_id\":\"x\""), "forced_bos_token_id must be an id"},
        {STACKS("bart", ",\"forced_eos_token_id\":[1,2]"), "forced_eos_token_id must be an id"},
        {STACKS("bart", ",\"bad_words_ids\":[[1,2]]"), "bad_words_ids"},
        {STACKS("bart", ",\"bad_words_ids\":[1]"), "bad_words_ids"},
        {STACKS("bart", ",\"eos_token_id\":4294967296"), "eos_token_id"},
        {STACKS("bart", ",\"activation_function\":\"quick_gelu\""), "quick_gelu"},
    };
    for (size_t i = 0; i < NIB_COUNT(cases); i++)
        expect_refused(cases[i].config, only_shared, cases[i].words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_stack_has_its_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_where_norms_stand_is_the_familys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_t5_scales_by_its_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mt5_and_umt5_are_t5, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tables_of_sines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_table_of_the_file_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tables_larger_than_the_model_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_embeddings_that_stacks_share, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ids_without_generation_config, setup, teardown),
        cmocka_unit_test_setup_teardown(test_generation_config_decides_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_ids_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
