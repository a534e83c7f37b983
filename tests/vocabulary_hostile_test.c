/* Files whose vocabularies lie: each is refused with a sentence that says where. */
#include "vocabulary_samples.h"

static void test_unknown_kinds_and_pre_tokenizers_are_refused_by_name(void **state)
{
    (void)state;
    struct gguf_builder b;
    struct vocabulary v = bpe;
    v.model = "wordcount";
    vocabulary_put(&v, &b);
    expect_refusal(&b, "wordcount");
    v.model = NULL;
    vocabulary_put(&v, &b);
    expect_refusal(&b, "tokenizer.ggml.model");
    v = bpe;
    v.pre = "kabbala";
    vocabulary_put(&v, &b);
    expect_refusal(&b, "kabbala");
    v.pre = NULL;
    vocabulary_put(&v, &b);
    expect_refusal(&b, "tokenizer.ggml.pre");
}

static void test_vocabularies_have_1_to_4_million_tokens(void **state)
{
    (void)state;
    struct gguf_builder b;
    struct vocabulary v = bpe;
    v.tokens = NULL;
    vocabulary_put(&v, &b);
    expect_refusal(&b, "tokenizer.ggml.tokens");
    v.tokens = bpe_tokens;
    v.n_tokens = 0;
    vocabulary_put(&v, &b);
    expect_refusal(&b, "0 tokens");

    const size_t too_many = ((size_t)4 << 20) + 1;
    v = bpe;
    v.tokens = NULL;
    v.types = NULL;
    vocabulary_put(&v, &b);
    uint64_t *empty_strings = calloc(too_many, sizeof(*empty_strings));
    gguf_add_array(&b, "tokenizer.ggml.tokens", NIB_GGUF_STRING, too_many, empty_strings,
                   too_many * sizeof(*empty_strings));
    free(empty_strings);
    expect_refusal(&b, "4194305 tokens");
}

static void test_tokens_have_64_kib_at_most(void **state)
{
    (void)state;
    char *text = malloc(65538);
    memset(text, 'y', 65537);
    text[65537] = 0;
    const char *tokens[] = {"a", text};
    const struct vocabulary v = {.model = "gpt2",
                                 .pre = "gpt-2",
                                 .tokens = tokens,
                                 .n_tokens = 2,
                                 .merges = tokens,
                                 .n_merges = 0};
    struct gguf_builder b;
    vocabulary_put(&v, &b);
    expect_refusal(&b, "token 1 is 65537 bytes");
    text[65536] = 0;
    nib_tokenizer_free(open_plain(&v));

    struct vocabulary special = v;
    special.types = (const int32_t[]){1, 3};
    vocabulary_put(&special, &b);
    expect_refusal(&b, "token 1 is 65536 bytes long, expected at most 512");
    free(text);
}

static void test_scores_and_types_are_as_many_as_tokens_and_of_their_kind(void **state)
{
    (void)state;
    struct gguf_builder b;
    static const float scores[20];
    static const int32_t types[20];
    static const int8_t bytes[20];
    const size_t n = spm.n_tokens;
    static const char scores_key[] = "tokenizer.ggml.scores";
    static const char types_key[] = "tokenizer.ggml.token_type";
    struct vocabulary v = spm;
    v.scores = NULL;
    vocabulary_put(&v, &b);
    expect_refusal(&b, scores_key);
    vocabulary_put(&v, &b);
    gguf_add_array(&b, scores_key, NIB_GGUF_I8, n, bytes, n);
    expect_refusal(&b, scores_key);
    for (size_t count = n - 1; count <= n + 1; count += 2) {
        vocabulary_put(&v, &b);
        gguf_add_array(&b, scores_key, NIB_GGUF_F32, count, scores, count * sizeof(float));
        expect_refusal(&b, scores_key);
    }
    v = spm;
    v.types = NULL;
    for (size_t count = n - 1; count <= n + 1; count += 2) {
        vocabulary_put(&v, &b);
        gguf_add_array(&b, types_key, NIB_GGUF_I32, count, types, count * sizeof(int32_t));
        expect_refusal(&b, types_key);
    }
    vocabulary_put(&v, &b);
    gguf_add_array(&b, types_key, NIB_GGUF_F32, n, scores, n * sizeof(float));
    expect_refusal(&b, types_key);
    vocabulary_put(&v, &b);
    gguf_add_string(&b, types_key, "normal");
    expect_refusal(&b, types_key);
}

static void test_scores_are_numbers(void **state)
{
    (void)state;
    struct gguf_builder b;
    struct vocabulary v = spm;
    float scores[NIB_COUNT(spm_scores)];
    memcpy(scores, spm_scores, sizeof(scores));
    const uint32_t nan_bits = UINT32_C(0x7FC00000);
    memcpy(&scores[5], &nan_bits, sizeof(nan_bits));
    v.scores = scores;
    vocabulary_put(&v, &b);
    expect_refusal(&b, "score");
}

static void test_types_are_known_ones(void **state)
{
    (void)state;
    static const int32_t bad[] = {-5, 7, 99, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < NIB_COUNT(bad); i++) {
        struct gguf_builder b;
        struct vocabulary v = bpe;
        int32_t types[NIB_COUNT(bpe_types)];
        memcpy(types, bpe_types, sizeof(types));
        types[3] = bad[i];
        v.types = types;
        vocabulary_put(&v, &b);
        expect_refusal(&b, "token 3 has the type");
    }
}

static void test_byte_tokens_are_two_hexadecimal_digits(void **state)
{
    (void)state;
    static const char *const bad[] = {"<0x-1>", "<0xZZ>", "<0x1FF>", "<0x1>",   "<0x 1>",
                                      "<0x+1>", "0x61",   "",        "<0x61>>", "<0X61>"};
    for (size_t i = 0; i < NIB_COUNT(bad); i++) {
        struct gguf_builder b;
        struct vocabulary v = spm;
        const char *tokens[NIB_COUNT(spm_tokens)];
        memcpy(tokens, spm_tokens, sizeof(tokens));
        tokens[3] = bad[i];
        v.tokens = tokens;
        vocabulary_put(&v, &b);
        expect_refusal(&b, "token 3 is of the type byte");
    }
}

static void test_ids_of_special_tokens_are_in_the_vocabulary(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "tokenizer.ggml.bos_token_id",     "tokenizer.ggml.eos_token_id",
        "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.eot_token_id",
        "tokenizer.ggml.eom_token_id",     "tokenizer.ggml.padding_token_id"};
    static const uint32_t bad[] = {NIB_COUNT(bpe_tokens), INT32_MAX, UINT32_MAX};
    for (size_t i = 0; i < NIB_COUNT(keys); i++) {
        struct gguf_builder b;
        for (size_t j = 0; j < NIB_COUNT(bad); j++) {
            vocabulary_put(&bpe, &b);
            gguf_add_u32(&b, keys[i], bad[j]);
            expect_refusal(&b, keys[i]);
        }
        vocabulary_put(&bpe, &b);
        gguf_add_value(&b, keys[i], NIB_GGUF_I32, &(int32_t){-1}, 4);
        expect_refusal(&b, keys[i]);
        vocabulary_put(&bpe, &b);
        gguf_add_string(&b, keys[i], "2");
        expect_refusal(&b, keys[i]);
    }
}

static void test_bos_and_eos_to_add_exist(void **state)
{
    (void)state;
    struct gguf_builder b;
    vocabulary_put(&bpe, &b);
    gguf_add_bool(&b, "tokenizer.ggml.add_bos_token", true);
    expect_refusal(&b, "add_bos_token");
    vocabulary_put(&bpe, &b);
    gguf_add_bool(&b, "tokenizer.ggml.add_eos_token", true);
    expect_refusal(&b, "add_eos_token");
}

static void test_merges_are_two_tokens_that_make_a_third(void **state)
{
    (void)state;
    static const char *const bad[] = {"",      "ab",  " ",   "a ",  " b",
                                      "a b c", "a q", "q a", "c a", "a  b"};
    struct gguf_builder b;
    for (size_t i = 0; i < NIB_COUNT(bad); i++) {
        struct vocabulary v = bpe;
        const char *merges[] = {"b c", bad[i]};
        v.merges = merges;
        v.n_merges = 2;
        vocabulary_put(&v, &b);
        expect_refusal(&b, "merge 1");
    }
    struct vocabulary v = bpe;
    v.merges = NULL;
    vocabulary_put(&v, &b);
    expect_refusal(&b, "tokenizer.ggml.merges");
    vocabulary_put(&v, &b);
    gguf_add_array(&b, "tokenizer.ggml.merges", NIB_GGUF_U32, 1, &(uint32_t){1}, 4);
    expect_refusal(&b, "tokenizer.ggml.merges");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_kinds_and_pre_tokenizers_are_refused_by_name),
        cmocka_unit_test(test_vocabularies_have_1_to_4_million_tokens),
        cmocka_unit_test(test_tokens_have_64_kib_at_most),
        cmocka_unit_test(test_scores_and_types_are_as_many_as_tokens_and_of_their_kind),
        cmocka_unit_test(test_scores_are_numbers),
        cmocka_unit_test(test_types_are_known_ones),
        cmocka_unit_test(test_byte_tokens_are_two_hexadecimal_digits),
        cmocka_unit_test(test_ids_of_special_tokens_are_in_the_vocabulary),
        cmocka_unit_test(test_bos_and_eos_to_add_exist),
        cmocka_unit_test(test_merges_are_two_tokens_that_make_a_third),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
