/* Vocabularies written down here: what a file says and how text is then encoded. */
#include "vocabulary_samples.h"

#define BOTH (NIB_ADD_SPECIAL | NIB_PARSE_SPECIAL)

static void expect_ids(const struct nib_tokenizer *t, const char *text, unsigned flags,
                       const int32_t *expected, size_t n_expected)
{
    int32_t *ids;
    size_t n;
    assert_int_equal(nib_tokenizer_encode(t, nib_str_from(text), flags, &ids, &n, NULL), NIB_OK);
    assert_int_equal(n, n_expected);
    if (n > 0)
        assert_memory_equal(ids, expected, n * sizeof(*ids));
    free(ids);
}

#define EXPECT_IDS(t, text, flags, ...)                                                            \
    expect_ids(t, text, flags, (const int32_t[]){__VA_ARGS__},                                     \
               NIB_COUNT(((const int32_t[]){__VA_ARGS__})))

/* ---- what sound files give ------------------------------------------------------------------ */

static void test_bpe_merges_by_rank(void **state)
{
    (void)state;
    struct nib_tokenizer *t = open_plain(&bpe);
    EXPECT_IDS(t, "abc", 0, ABC); /* b c first, then a bc */
    EXPECT_IDS(t, "ab", 0, AB);
    EXPECT_IDS(t, "ab abc", 0, AB, BLANK, ABC); /* "a bc" before "Ġ a" */
    EXPECT_IDS(t, "aab", 0, A, AB);
    EXPECT_IDS(t, "az", 0, A); /* bytes that no token has are dropped */
    expect_ids(t, "", BOTH, NULL, 0);
    nib_tokenizer_free(t);
}

static void test_whole_words_are_taken_by_llama3_alone(void **state)
{
    (void)state;
    struct vocabulary v = bpe;
    v.n_merges = 1; /* "b c": nothing leads to "abc" */
    struct nib_tokenizer *t = open_plain(&v);
    EXPECT_IDS(t, "abc", 0, A, BC);
    nib_tokenizer_free(t);
    v.pre = "llama-bpe";
    t = open_plain(&v);
    EXPECT_IDS(t, "abc", 0, ABC);
    nib_tokenizer_free(t);
}

static void test_special_tokens_are_found_as_asked(void **state)
{
    (void)state;
    struct nib_tokenizer *t = open_plain(&bpe);
    EXPECT_IDS(t, "a<x>b", 0, A, LESS, X, MORE, B);
    EXPECT_IDS(t, "a<x>b", NIB_PARSE_SPECIAL, A, CONTROL, B);
    EXPECT_IDS(t, "<unk>", NIB_PARSE_SPECIAL, UNKNOWN);
    EXPECT_IDS(t, "a<u>b", 0, A, USER, B); /* user-defined: always */
    EXPECT_IDS(t, "<uu><u><<x>", 0, USER2, USER, LESS, LESS, X, MORE);
    EXPECT_IDS(t, "<<<u>", 0, LESS, LESS, USER);
    nib_tokenizer_free(t);
}

static void test_merges_never_make_control_tokens(void **state)
{
    (void)state;
    struct vocabulary v = bpe;
    int32_t types[NIB_COUNT(bpe_types)];
    memcpy(types, bpe_types, sizeof(types));
    types[BC] = 3;
    types[ABC] = 3;
    v.types = types;
    struct nib_tokenizer *t = open_plain(&v);
    EXPECT_IDS(t, "bc", 0, B, C);
    EXPECT_IDS(t, "abc", 0, AB, C);
    EXPECT_IDS(t, "abc", NIB_PARSE_SPECIAL, ABC);
    nib_tokenizer_free(t);
    v.pre = "llama-bpe"; /* nor does the word as a whole */
    t = open_plain(&v);
    EXPECT_IDS(t, "abc", 0, AB, C);
    nib_tokenizer_free(t);
}

static void test_special_tokens_are_silent_unless_asked_for(void **state)
{
    (void)state;
    struct nib_tokenizer *t = open_plain(&bpe);
    const int32_t ids[] = {A, CONTROL, USER, UNKNOWN, BLANK_A};
    char *text;
    size_t n;
    assert_int_equal(nib_tokenizer_decode(t, ids, 5, 0, &text, &n, NULL), NIB_OK);
    assert_string_equal(text, "a<u> a");
    free(text);
    assert_int_equal(nib_tokenizer_decode(t, ids, 5, NIB_PARSE_SPECIAL, &text, &n, NULL), NIB_OK);
    assert_string_equal(text, "a<x><u><unk> a");
    assert_int_equal(n, strlen(text));
    free(text);
    assert_string_equal(nib_tokenizer_name(t, CONTROL), "<x>");
    assert_string_equal(nib_tokenizer_name(t, BLANK_A), "Ġa");
    nib_tokenizer_free(t);
}

static void test_bos_and_eos_are_added_as_the_file_says(void **state)
{
    (void)state;
    struct gguf_builder b;
    vocabulary_put(&bpe, &b);
    gguf_add_u32(&b, "tokenizer.ggml.bos_token_id", CONTROL);
    gguf_add_u32(&b, "tokenizer.ggml.eos_token_id", UNKNOWN);
    struct nib_tokenizer *t = open_good(&b);
    EXPECT_IDS(t, "a", NIB_ADD_SPECIAL, A);
    assert_int_equal(nib_tokenizer_info(t)->bos_id, CONTROL);
    assert_int_equal(nib_tokenizer_info(t)->eos_id, UNKNOWN);
    assert_true(nib_tokenizer_is_end(t, UNKNOWN));
    assert_true(nib_tokenizer_is_end(t, IM_END));
    assert_false(nib_tokenizer_is_end(t, CONTROL));
    nib_tokenizer_free(t);

    vocabulary_put(&bpe, &b);
    gguf_add_u32(&b, "tokenizer.ggml.bos_token_id", CONTROL);
    gguf_add_u32(&b, "tokenizer.ggml.eos_token_id", UNKNOWN);
    gguf_add_bool(&b, "tokenizer.ggml.add_bos_token", true);
    gguf_add_bool(&b, "tokenizer.ggml.add_eos_token", true);
    t = open_good(&b);
    EXPECT_IDS(t, "a", NIB_ADD_SPECIAL, CONTROL, A, UNKNOWN);
    EXPECT_IDS(t, "a", 0, A);
    EXPECT_IDS(t, "", NIB_ADD_SPECIAL, CONTROL, UNKNOWN);
    nib_tokenizer_free(t);
}

static void test_eot_and_eom_ids_end_answers(void **state)
{
    (void)state;
    struct gguf_builder b;
    vocabulary_put(&bpe, &b);
    gguf_add_u32(&b, "tokenizer.ggml.eot_token_id", A);
    gguf_add_u32(&b, "tokenizer.ggml.eom_token_id", B);
    struct nib_tokenizer *t = open_good(&b);
    assert_true(nib_tokenizer_is_end(t, A));
    assert_true(nib_tokenizer_is_end(t, B));
    assert_false(nib_tokenizer_is_end(t, C));
    nib_tokenizer_free(t);
}

static void test_end_in_a_vocabulary_with_channels_ends_no_answer(void **state)
{
    (void)state;
    static const char *const tokens[] = {"<|end|>", "<|return|>", "<|call|>", "a"};
    const struct vocabulary v = {.model = "gpt2",
                                 .pre = "gpt-2",
                                 .tokens = tokens,
                                 .n_tokens = 4,
                                 .merges = tokens,
                                 .n_merges = 0};
    struct nib_tokenizer *t = open_plain(&v);
    assert_false(nib_tokenizer_is_end(t, 0));
    assert_true(nib_tokenizer_is_end(t, 1));
    assert_true(nib_tokenizer_is_end(t, 2));
    nib_tokenizer_free(t);
}

static void test_sentencepiece_merges_by_score(void **state)
{
    (void)state;
    struct nib_tokenizer *t = open_plain(&spm);
    EXPECT_IDS(t, "ab", NIB_ADD_SPECIAL, 1, 9);         /* "▁a", then "▁ab" */
    EXPECT_IDS(t, "bab", 0, 4, 6, 7);                   /* "▁" "b" "ab" */
    EXPECT_IDS(t, "b a", 0, 4, 6, 8);                   /* "▁" "b" "▁a" */
    EXPECT_IDS(t, "<s>", 0, 4, 10, 12);                 /* "<s" ">": never the control token */
    EXPECT_IDS(t, "a<s>a", NIB_PARSE_SPECIAL, 8, 1, 8); /* a blank after special tokens too */
    EXPECT_IDS(t, "bé", 0, 4, 6, 0);                    /* no bytes: unknown */
    nib_tokenizer_free(t);
}

static void test_space_prefix_is_as_the_file_says_and_comes_off_again(void **state)
{
    (void)state;
    for (int adds = 0; adds < 2; adds++) {
        struct gguf_builder b;
        vocabulary_put(&spm, &b);
        gguf_add_bool(&b, "tokenizer.ggml.add_space_prefix", adds);
        struct nib_tokenizer *t = open_good(&b);
        static const char *const texts[] = {"a", " a", "  a b", "a<s>a", "<s> a </s>b", ""};
        for (size_t i = 0; i < NIB_COUNT(texts); i++) {
            int32_t *ids;
            char *text;
            size_t n;
            assert_int_equal(
                nib_tokenizer_encode(t, nib_str_from(texts[i]), NIB_PARSE_SPECIAL, &ids, &n, NULL),
                NIB_OK);
            assert_int_equal(nib_tokenizer_decode(t, ids, n, NIB_PARSE_SPECIAL, &text, &n, NULL),
                             NIB_OK);
            assert_string_equal(text, texts[i]);
            free(ids);
            free(text);
        }
        nib_tokenizer_free(t);
    }
}

static void test_phi3_special_tokens_swallow_blanks(void **state)
{
    (void)state;
    struct gguf_builder b;
    vocabulary_put(&bpe, &b);
    gguf_add_string(&b, "general.name", "Phi-3 mini");
    struct nib_tokenizer *t = open_good(&b);
    EXPECT_IDS(t, "<x> \n a", NIB_PARSE_SPECIAL, CONTROL, A);
    EXPECT_IDS(t, "<unk> a", NIB_PARSE_SPECIAL, UNKNOWN, BLANK_A);
    EXPECT_IDS(t, "<x> ", NIB_PARSE_SPECIAL, CONTROL);
    nib_tokenizer_free(t);
    t = open_plain(&bpe);
    EXPECT_IDS(t, "<x> a", NIB_PARSE_SPECIAL, CONTROL, BLANK_A);
    nib_tokenizer_free(t);
}

static void test_clean_spaces_is_done_on_request(void **state)
{
    (void)state;
    static const char *const tokens[] = {"a", "Ġ", "?", "'", "s", ".", "t"};
    const struct vocabulary v = {.model = "gpt2",
                                 .pre = "gpt-2",
                                 .tokens = tokens,
                                 .n_tokens = NIB_COUNT(tokens),
                                 .merges = tokens,
                                 .n_merges = 0};
    struct nib_tokenizer *t = open_plain(&v);
    static const struct {
        const char *text, *clean;
    } cases[] = {{"a ? a . ", "a? a. "}, {"a ' a", "a'a"}, {"a 's a 't", "a's a 't"},
                 {"a  .", "a ."},        {" ", " "},       {" '", " '"}};
    for (size_t i = 0; i < NIB_COUNT(cases); i++) {
        for (int cleans = 0; cleans < 2; cleans++) {
            int32_t *ids;
            char *text;
            size_t n;
            assert_int_equal(
                nib_tokenizer_encode(t, nib_str_from(cases[i].text), 0, &ids, &n, NULL), NIB_OK);
            assert_int_equal(
                nib_tokenizer_decode(t, ids, n, cleans ? NIB_CLEAN_SPACES : 0, &text, &n, NULL),
                NIB_OK);
            assert_string_equal(text, cleans ? cases[i].clean : cases[i].text);
            assert_int_equal(n, strlen(text));
            free(ids);
            free(text);
        }
    }
    nib_tokenizer_free(t);
}

/* ---- Unigram and WordPiece ------------------------------------------------------------------ */

static const char *const t5_tokens[] = {"<pad>", "</s>", "<unk>", "▁", "a", "▁a", "<u>", "b"};
static const int32_t t5_types[] = {3, 3, 2, 1, 1, 1, 4, 1};
static const float t5_scores[] = {0, 0, 0, -3, -2, -1, 0, -2};
static const struct vocabulary t5 = {.model = "t5",
                                     .tokens = t5_tokens,
                                     .n_tokens = NIB_COUNT(t5_tokens),
                                     .types = t5_types,
                                     .scores = t5_scores};

static const char *const bert_tokens[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]",
                                          "▁a",    "b",     "▁,",    "▁你"};
static const int32_t bert_types[] = {3, 2, 3, 3, 1, 1, 1, 1};

static void put_bert(struct gguf_builder *b)
{
    const struct vocabulary v = {.model = "bert",
                                 .pre = "bert-bge",
                                 .tokens = bert_tokens,
                                 .n_tokens = NIB_COUNT(bert_tokens),
                                 .types = bert_types};
    vocabulary_put(&v, b);
    gguf_add_u32(b, "tokenizer.ggml.unknown_token_id", 1);
    gguf_add_u32(b, "tokenizer.ggml.seperator_token_id", 3);
}

static void test_unigram_normalises_and_ends(void **state)
{
    (void)state;
    struct nib_tokenizer *t = open_plain(&t5);
    EXPECT_IDS(t, "  a  ab ", NIB_ADD_SPECIAL, 5, 5, 7, 1);
    EXPECT_IDS(t, "a<u>a</s>", 0, 5, 6, 5, 2);
    EXPECT_IDS(t, "a</s>a", NIB_PARSE_SPECIAL, 5, 1, 5);
    expect_ids(t, " ", 0, NULL, 0);
    nib_tokenizer_free(t);
    struct gguf_builder b;
    vocabulary_put(&t5, &b);
    gguf_add_bool(&b, "tokenizer.ggml.add_space_prefix", false);
    gguf_add_bool(&b, "tokenizer.ggml.remove_extra_whitespaces", false);
    gguf_add_bool(&b, "tokenizer.ggml.add_eos_token", false);
    t = open_good(&b);
    EXPECT_IDS(t, "a  b ", NIB_ADD_SPECIAL, 4, 3, 3, 7, 3);
    nib_tokenizer_free(t);
}

static void test_unigram_needs_scores_and_a_sound_map(void **state)
{
    (void)state;
    static const char key[] = "tokenizer.ggml.precompiled_charsmap";
    struct gguf_builder b;
    struct vocabulary v = t5;
    v.scores = NULL;
    vocabulary_put(&v, &b);
    expect_refusal(&b, "tokenizer.ggml.scores");

    vocabulary_put(&t5, &b);
    gguf_add_array(&b, key, NIB_GGUF_U8, 5, "\x00\x00\x00\x01\x00", 5);
    expect_refusal(&b, "precompiled_charsmap");
    vocabulary_put(&t5, &b);
    gguf_add_array(&b, key, NIB_GGUF_I8, 9, "\x04\x00\x00\x00\xFF\xFF\xFF\xFFx", 9);
    expect_refusal(&b, "precompiled_charsmap");
    vocabulary_put(&t5, &b);
    gguf_add_array(&b, key, NIB_GGUF_I32, 1, &(int32_t){256}, 4);
    expect_refusal(&b, "precompiled_charsmap");
    vocabulary_put(&t5, &b);
    gguf_add_string(&b, key, "x");
    expect_refusal(&b, "precompiled_charsmap");
    vocabulary_put(&t5, &b); /* empty: none */
    gguf_add_array(&b, key, NIB_GGUF_U8, 0, "", 0);
    nib_tokenizer_free(open_good(&b));
}

static void test_unigram_tokens_have_512_bytes_at_most(void **state)
{
    (void)state;
    char text[514];
    memset(text, 'y', 513);
    text[513] = 0;
    const char *tokens[NIB_COUNT(t5_tokens)];
    memcpy(tokens, t5_tokens, sizeof(tokens));
    tokens[7] = text;
    struct vocabulary v = t5;
    v.tokens = tokens;
    struct gguf_builder b;
    vocabulary_put(&v, &b);
    expect_refusal(&b, "token 7 is 513 bytes");
}

static void test_wordpiece_takes_berts_words(void **state)
{
    (void)state;
    struct gguf_builder b;
    put_bert(&b);
    gguf_add_u32(&b, "tokenizer.ggml.cls_token_id", 2);
    struct nib_tokenizer *t = open_good(&b);
    EXPECT_IDS(t, "AB,\u00e1\xFF\tab你a", NIB_ADD_SPECIAL, 2, 4, 5, 6, 4, 4, 5, 7, 4, 3);
    EXPECT_IDS(t, "b [SEP] aa", 0, 1, 1, 1, 1, 1);
    EXPECT_IDS(t, "a[SEP]a", NIB_PARSE_SPECIAL, 4, 3, 4);
    nib_tokenizer_free(t);
    put_bert(&b);
    gguf_add_u32(&b, "tokenizer.ggml.cls_token_id", 8);
    expect_refusal(&b, "cls_token_id");
}

static void test_bpe_of_bars_keeps_line_feeds_together(void **state)
{
    (void)state;
    static const char *const tokens[] = {"<bos>", "a", "▁", "▁a", "\n", "\n\n", "<0xFF>", "▁▁"};
    static const int32_t types[] = {3, 1, 1, 1, 1, 1, 6, 1};
    static const char *const merges[] = {"▁ a", "▁ ▁"};
    const struct vocabulary v = {.model = "gemma4",
                                 .tokens = tokens,
                                 .n_tokens = NIB_COUNT(tokens),
                                 .types = types,
                                 .merges = merges,
                                 .n_merges = 2};
    struct nib_tokenizer *t = open_plain(&v);
    EXPECT_IDS(t, "a a\n\na  \n\n\n\xFF", 0, 1, 3, 5, 1, 7, 4, 4, 4, 6);
    nib_tokenizer_free(t);
}

/* ---- odd files that load -------------------------------------------------------------------- */

static void test_of_equal_tokens_the_lowest_id_counts(void **state)
{
    (void)state;
    struct vocabulary v = bpe;
    const char *tokens[NIB_COUNT(bpe_tokens)];
    memcpy(tokens, bpe_tokens, sizeof(tokens));
    tokens[IM_END] = "abc";
    tokens[MORE] = "a";
    tokens[USER2] = "<u>";
    v.tokens = tokens;
    struct nib_tokenizer *t = open_plain(&v);
    EXPECT_IDS(t, "abc", 0, ABC);
    EXPECT_IDS(t, "a", 0, A);
    EXPECT_IDS(t, "<u>", 0, USER);
    nib_tokenizer_free(t);
}

static void test_tokens_may_be_empty_or_any_bytes(void **state)
{
    (void)state;
    static const char *const tokens[] = {"", "\xFF\xFE", "a", ""};
    const struct vocabulary v = {.model = "gpt2",
                                 .pre = "smollm",
                                 .tokens = tokens,
                                 .n_tokens = 4,
                                 .types = (const int32_t[]){3, 4, 1, 1},
                                 .merges = tokens,
                                 .n_merges = 0};
    struct nib_tokenizer *t = open_plain(&v);
    EXPECT_IDS(t,
               "a\xFF\xFE"
               "a",
               BOTH, 2, 1, 2);
    char *text;
    size_t n;
    assert_int_equal(
        nib_tokenizer_decode(t, (const int32_t[]){0, 3}, 2, NIB_PARSE_SPECIAL, &text, &n, NULL),
        NIB_OK);
    assert_int_equal(n, 0);
    free(text);
    nib_tokenizer_free(t);
}

static void test_one_token_is_a_vocabulary(void **state)
{
    (void)state;
    const struct vocabulary v = {
        .model = "gpt2", .pre = "qwen2", .tokens = bpe_tokens, .n_tokens = 1, .merges = bpe_merges};
    struct nib_tokenizer *t = open_plain(&v);
    EXPECT_IDS(t, "a b", 0, A);
    nib_tokenizer_free(t);

    struct vocabulary one = spm;
    one.n_tokens = 1; /* without its default BOS, EOS */
    t = open_plain(&one);
    EXPECT_IDS(t, "a", BOTH, 0, 0);
    assert_int_equal(nib_tokenizer_info(t)->bos_id, -1);
    assert_int_equal(nib_tokenizer_info(t)->eos_id, -1);
    nib_tokenizer_free(t);
}

static void test_a_hundred_thousand_special_tokens_are_no_burden(void **state)
{
    (void)state;
    enum { N = 100000 };
    char(*names)[16] = malloc(N * sizeof(*names));
    const char **tokens = malloc(N * sizeof(*tokens));
    int32_t *types = malloc(N * sizeof(*types));
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof(names[i]), "<|%d|>", i);
        tokens[i] = names[i];
        types[i] = 4;
    }
    const struct vocabulary v = {.model = "gpt2",
                                 .pre = "gpt-2",
                                 .tokens = tokens,
                                 .n_tokens = N,
                                 .types = types,
                                 .merges = tokens,
                                 .n_merges = 0};
    struct nib_tokenizer *t = open_plain(&v);
    const size_t n_text = (size_t)1 << 20;
    char *text = malloc(n_text);
    for (size_t i = 0; i < n_text; i++)
        text[i] = "<|12345"[i % 7];
    int32_t *ids;
    size_t n;
    assert_int_equal(nib_tokenizer_encode(t, (struct nib_str){text, n_text}, 0, &ids, &n, NULL),
                     NIB_OK);
    assert_int_equal(n, 0);
    free(ids);
    EXPECT_IDS(t, "<|7|><|99999|>", 0, 7, 99999);
    nib_tokenizer_free(t);
    free(text);
    free(names);
    free(tokens);
    free(types);
}

static void test_texts_have_a_gibibyte_at_most(void **state)
{
    (void)state;
    struct nib_tokenizer *t = open_plain(&bpe);
    struct nib_error err;
    int32_t *ids = (int32_t *)1;
    size_t n = 1;
    assert_int_equal(
        nib_tokenizer_encode(t, (struct nib_str){"", ((size_t)1 << 30) + 1}, 0, &ids, &n, &err),
        NIB_ERROR_ARGUMENT);
    assert_null(ids);
    assert_int_equal(n, 0);
    nib_tokenizer_free(t);
    nib_tokenizer_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bpe_merges_by_rank),
        cmocka_unit_test(test_whole_words_are_taken_by_llama3_alone),
        cmocka_unit_test(test_special_tokens_are_found_as_asked),
        cmocka_unit_test(test_merges_never_make_control_tokens),
        cmocka_unit_test(test_special_tokens_are_silent_unless_asked_for),
        cmocka_unit_test(test_bos_and_eos_are_added_as_the_file_says),
        cmocka_unit_test(test_eot_and_eom_ids_end_answers),
        cmocka_unit_test(test_end_in_a_vocabulary_with_channels_ends_no_answer),
        cmocka_unit_test(test_sentencepiece_merges_by_score),
        cmocka_unit_test(test_space_prefix_is_as_the_file_says_and_comes_off_again),
        cmocka_unit_test(test_phi3_special_tokens_swallow_blanks),
        cmocka_unit_test(test_clean_spaces_is_done_on_request),
        cmocka_unit_test(test_unigram_normalises_and_ends),
        cmocka_unit_test(test_unigram_needs_scores_and_a_sound_map),
        cmocka_unit_test(test_unigram_tokens_have_512_bytes_at_most),
        cmocka_unit_test(test_wordpiece_takes_berts_words),
        cmocka_unit_test(test_bpe_of_bars_keeps_line_feeds_together),
        cmocka_unit_test(test_of_equal_tokens_the_lowest_id_counts),
        cmocka_unit_test(test_tokens_may_be_empty_or_any_bytes),
        cmocka_unit_test(test_one_token_is_a_vocabulary),
        cmocka_unit_test(test_a_hundred_thousand_special_tokens_are_no_burden),
        cmocka_unit_test(test_texts_have_a_gibibyte_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
