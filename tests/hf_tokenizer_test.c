/*
 * tokenizer.json and SentencePiece's .model against the libraries tokenizers (0.23) and
 * sentencepiece (0.2): tests/data/tokenizers.  pipelines.jsonl has random settings of every
 * component, with what the library made of random texts.
 */
#include "golden_data.h"
#include "hf_text_builder.h"

#define FLAGS_ALL (NIB_ADD_SPECIAL | NIB_PARSE_SPECIAL)

static size_t n_checked;

/* ---- helpers -------------------------------------------------------------------------------- */

static struct nib_str read_text(const char *folder, const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "tokenizers/%s/%s", folder, name);
    struct nib_str text;
    text.data = (const char *)golden_read(path, &text.len);
    return text;
}

static void free_text(struct nib_str text)
{
    free((char *)(uintptr_t)text.data);
}

static struct nib_tokenizer *open_json(const char *json, const char *config)
{
    struct hf_texts texts = HF_NO_TEXTS;
    struct nib_tokenizer *t;
    struct nib_error err = {0};
    texts.json = nib_str_from(json);
    if (config != NULL)
        texts.config = nib_str_from(config);
    if (hf_texts_open(&t, &texts, &err) != NIB_OK)
        fail_msg("%s\n%s", err.message, json);
    return t;
}

static char *from_hex(const char *hex, size_t *n)
{
    *n = strlen(hex) / 2;
    char *bytes = malloc(*n + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < *n; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        bytes[i] = (char)byte;
    }
    bytes[*n] = 0;
    return bytes;
}

static int32_t *ids_of(yyjson_val *array, size_t *n)
{
    *n = yyjson_arr_size(array);
    int32_t *ids = malloc((*n + 1) * sizeof(*ids));
    assert_non_null(ids);
    size_t i, max;
    yyjson_val *id;
    yyjson_arr_foreach(array, i, max, id) ids[i] = (int32_t)yyjson_get_int(id);
    return ids;
}

static void check_encode(const struct nib_tokenizer *t, yyjson_val *row, const char *key,
                         unsigned flags, const char *where)
{
    yyjson_val *expected_json = yyjson_obj_get(row, key);
    if (expected_json == NULL || yyjson_obj_get(row, "hex") == NULL)
        return;
    size_t n_text, n_expected, n;
    char *text = from_hex(yyjson_get_str(yyjson_obj_get(row, "hex")), &n_text);
    int32_t *expected = ids_of(expected_json, &n_expected), *ids;
    struct nib_error err = {0};
    if (nib_tokenizer_encode(t, (struct nib_str){text, n_text}, flags, &ids, &n, &err) != NIB_OK)
        fail_msg("%s: %s", where, err.message);
    if (n != n_expected || memcmp(ids, expected, n * sizeof(*ids)) != 0)
        fail_msg("%s: %s of '%s' (%s): %zu ids, expected %zu or others", where, key, text,
                 yyjson_get_str(yyjson_obj_get(row, "hex")), n, n_expected);
    free(ids);
    free(expected);
    free(text);
    n_checked++;
}

/* Decoding as a whole; without special tokens as a stream too. */
static void check_decode(const struct nib_tokenizer *t, yyjson_val *row, const char *ids_key,
                         const char *key, unsigned flags, const char *where)
{
    yyjson_val *hex = yyjson_obj_get(row, key);
    if (hex == NULL)
        return;
    size_t n_ids, n_expected, n;
    int32_t *ids = ids_of(yyjson_obj_get(row, ids_key), &n_ids);
    char *expected = from_hex(yyjson_get_str(hex), &n_expected), *text;
    struct nib_error err = {0};
    if (nib_tokenizer_decode(t, ids, n_ids, flags, &text, &n, &err) != NIB_OK)
        fail_msg("%s: %s", where, err.message);
    if (n != n_expected || memcmp(text, expected, n) != 0)
        fail_msg("%s: %s: '%s', expected '%s'", where, key, text, expected);
    free(text);
    if (flags == 0 && memchr(expected, 0, n_expected) == NULL) {
        struct nib_text_stream *stream;
        struct nib_buffer_of_test {
            char *data;
            size_t n;
        } all = {calloc(1, 4 * n_expected + 64), 0};
        assert_int_equal(nib_text_stream_create_from(&stream, t, NULL), NIB_OK);
        for (size_t i = 0; i <= n_ids; i++) {
            const char *part =
                i < n_ids ? nib_text_stream_push(stream, ids[i]) : nib_text_stream_end(stream);
            const size_t len = strlen(part);
            assert_true(all.n + len < 4 * n_expected + 64);
            memcpy(all.data + all.n, part, len);
            all.n += len;
        }
        if (strcmp(all.data, expected) != 0)
            fail_msg("%s: stream gives '%s', expected '%s'", where, all.data, expected);
        nib_text_stream_free(stream);
        free(all.data);
    }
    free(expected);
    free(ids);
    n_checked++;
}

/* Call `check` for every line of a file. */
static void each_row(struct nib_str file, const struct nib_tokenizer *t, const char *where,
                     void (*check)(const struct nib_tokenizer *t, yyjson_val *row,
                                   const char *where))
{
    for (size_t i = 0; i < file.len;) {
        const char *end = memchr(file.data + i, '\n', file.len - i);
        const size_t n = end == NULL ? file.len - i : (size_t)(end - file.data) - i;
        yyjson_doc *doc = yyjson_read(file.data + i, n, 0);
        assert_non_null(doc);
        check(t, yyjson_doc_get_root(doc), where);
        yyjson_doc_free(doc);
        i += n + 1;
    }
}

static void check_hf_row(const struct nib_tokenizer *t, yyjson_val *row, const char *where)
{
    check_encode(t, row, "ids", NIB_PARSE_SPECIAL, where);
    check_encode(t, row, "ids_special", FLAGS_ALL, where);
    check_decode(t, row, "ids", "decoded_hex", NIB_PARSE_SPECIAL, where);
    check_decode(t, row, yyjson_obj_get(row, "ids_special") != NULL ? "ids_special" : "ids",
                 "decoded_skip_hex", 0, where);
}

static void check_sp_row(const struct nib_tokenizer *t, yyjson_val *row, const char *where)
{
    check_encode(t, row, "ids", 0, where);
    check_decode(t, row, "ids", "decoded_hex", 0, where);
}

static void check_json_folder(const char *folder, const char *config_name)
{
    struct nib_str json = read_text(folder, "tokenizer.json");
    struct nib_str golden = read_text(folder, "golden_hf.jsonl");
    struct nib_str config =
        config_name == NULL ? (struct nib_str){0} : read_text(folder, config_name);
    struct hf_texts texts = HF_NO_TEXTS;
    struct nib_tokenizer *t;
    struct nib_error err = {0};
    texts.json = json;
    texts.config = config;
    if (hf_texts_open(&t, &texts, &err) != NIB_OK)
        fail_msg("%s: %s", folder, err.message);
    n_checked = 0;
    each_row(golden, t, folder, check_hf_row);
    assert_true(n_checked > 300);
    nib_tokenizer_free(t);
    free_text(json);
    free_text(golden);
    free_text(config);
}

static void check_model_folder(const char *folder)
{
    struct nib_str model = read_text(folder, "tokenizer.model");
    struct nib_str golden = read_text(folder, "golden_sp.jsonl");
    struct hf_texts texts = HF_NO_TEXTS;
    struct nib_tokenizer *t;
    struct nib_error err = {0};
    texts.model = model;
    if (hf_texts_open(&t, &texts, &err) != NIB_OK)
        fail_msg("%s: %s", folder, err.message);
    n_checked = 0;
    each_row(golden, t, folder, check_sp_row);
    assert_true(n_checked > 300);
    nib_tokenizer_free(t);
    free_text(model);
    free_text(golden);
}

/* ---- against the libraries ------------------------------------------------------------------ */

static void test_byte_level_bpe_matches_library(void **state)
{
    (void)state;
    check_json_folder("bpe-bytelevel", "tokenizer_config.json");
}

static void test_llama3_bpe_matches_library(void **state)
{
    (void)state;
    check_json_folder("bpe-llama3-split", "tokenizer_config.json");
}

static void test_bpe_with_byte_fallback_matches_library(void **state)
{
    (void)state;
    check_json_folder("sp-bpe", "tokenizer_config.json");
}

static void test_unigram_matches_library(void **state)
{
    (void)state;
    check_json_folder("sp-unigram", "tokenizer_config.json");
}

static void test_wordpiece_matches_library(void **state)
{
    (void)state;
    check_json_folder("wordpiece-uncased", NULL);
}

static void test_word_level_matches_library(void **state)
{
    (void)state;
    check_json_folder("toy-numbers", NULL);
}

static void test_sentencepiece_bpe_model_matches_library(void **state)
{
    (void)state;
    check_model_folder("sp-bpe");
}

static void test_sentencepiece_unigram_model_matches_library(void **state)
{
    (void)state;
    check_model_folder("sp-unigram");
}

/* "@V" and "@S" in the text of a row stand for the shared vocabulary. */
static char *fill_in(const char *text, const char *vocab, const char *scores)
{
    const char *mark = strstr(text, "@V"), *what = vocab;
    if (mark == NULL) {
        mark = strstr(text, "@S");
        what = scores;
    }
    assert_non_null(mark);
    const size_t n = strlen(text) + strlen(what) + 1;
    char *out = malloc(n);
    assert_non_null(out);
    snprintf(out, n, "%.*s%s%s", (int)(mark - text), text, what, mark + 2);
    return out;
}

static char *pipeline_vocab, *pipeline_scores;

static void check_pipeline(const struct nib_tokenizer *unused, yyjson_val *row, const char *where)
{
    (void)unused;
    (void)where;
    if (yyjson_obj_get(row, "vocab") != NULL) {
        pipeline_vocab = strdup(yyjson_get_str(yyjson_obj_get(row, "vocab")));
        pipeline_scores = strdup(yyjson_get_str(yyjson_obj_get(row, "scores")));
        return;
    }
    const char *text = yyjson_get_str(yyjson_obj_get(row, "tokenizer"));
    char *json = fill_in(text, pipeline_vocab, pipeline_scores);
    struct nib_tokenizer *t = open_json(json, NULL);
    size_t i, max;
    yyjson_val *one;
    yyjson_arr_foreach(yyjson_obj_get(row, "encode"), i, max, one) check_hf_row(t, one, text);
    yyjson_arr_foreach(yyjson_obj_get(row, "decode"), i, max, one)
    {
        check_decode(t, one, "ids", "decoded_hex", NIB_PARSE_SPECIAL, text);
        check_decode(t, one, "ids", "decoded_skip_hex", 0, text);
    }
    nib_tokenizer_free(t);
    free(json);
}

static void test_random_settings_of_all_components_match_library(void **state)
{
    (void)state;
    size_t n;
    struct nib_str file;
    file.data = (const char *)golden_read("tokenizers/pipelines.jsonl", &n);
    file.len = n;
    n_checked = 0;
    each_row(file, NULL, "pipelines", check_pipeline);
    assert_true(n_checked > 5000);
    free(pipeline_vocab);
    free(pipeline_scores);
    free_text(file);
}

/* ---- what the other files say --------------------------------------------------------------- */

#define SMALL(added, post)                                                                         \
    "{\"version\":\"1.0\",\"added_tokens\":[" added "],\"normalizer\":null,"                       \
    "\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"},\"post_processor\":" post                    \
    ",\"decoder\":null,\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"<unk>\":0,\"<s>\":1,"        \
    "\"</s>\":2,\"a\":3,\"b\":4},\"unk_token\":\"<unk>\"}}"
#define ADDED(content, special)                                                                    \
    "{\"id\":1,\"content\":\"" content "\",\"single_word\":false,\"lstrip\":false,"                \
    "\"rstrip\":false,\"normalized\":false,\"special\":" special "}"
#define SPECIALS ADDED("<s>", "true") "," ADDED("</s>", "true")
#define BOS_TEMPLATE                                                                               \
    "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\","              \
    "\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[],"                    \
    "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[1],\"tokens\":[\"<s>\"]}}}"

static void expect_ids(const struct nib_tokenizer *t, const char *text, unsigned flags,
                       const int32_t *expected, size_t n_expected)
{
    int32_t *ids;
    size_t n;
    struct nib_error err = {0};
    if (nib_tokenizer_encode(t, nib_str_from(text), flags, &ids, &n, &err) != NIB_OK)
        fail_msg("%s", err.message);
    assert_int_equal(n, n_expected);
    assert_memory_equal(ids, expected, n * sizeof(*ids));
    free(ids);
}

#define EXPECT(t, text, flags, ...)                                                                \
    expect_ids(t, text, flags, (const int32_t[]){__VA_ARGS__},                                     \
               sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static void test_names_in_the_config_become_ids(void **state)
{
    (void)state;
    struct nib_tokenizer *t =
        open_json(SMALL(SPECIALS, BOS_TEMPLATE),
                  "{\"bos_token\":\"<s>\",\"eos_token\":{\"content\":\"</s>\",\"lstrip\":false}}");
    const struct nib_tokenizer_info *info = nib_tokenizer_info(t);
    assert_string_equal(info->kind, "wordlevel");
    assert_int_equal(info->n_vocab, 5);
    assert_int_equal(info->bos_id, 1);
    assert_int_equal(info->eos_id, 2);
    assert_int_equal(info->unk_id, 0);
    assert_true(info->adds_bos);
    assert_false(info->adds_eos);
    assert_true(nib_tokenizer_is_end(t, 2));
    assert_false(nib_tokenizer_is_end(t, 1));
    assert_string_equal(nib_tokenizer_name(t, 3), "a");
    EXPECT(t, "a b", FLAGS_ALL, 1, 3, 4);
    nib_tokenizer_free(t);
}

static void test_additions_of_the_config_win_over_the_template(void **state)
{
    (void)state;
    struct nib_tokenizer *t =
        open_json(SMALL(SPECIALS, BOS_TEMPLATE), "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\","
                                                 "\"add_bos_token\":false,\"add_eos_token\":true}");
    assert_false(nib_tokenizer_info(t)->adds_bos);
    assert_true(nib_tokenizer_info(t)->adds_eos);
    EXPECT(t, "a b", FLAGS_ALL, 3, 4, 2);
    nib_tokenizer_free(t);
}

static void test_keys_win_over_names(void **state)
{
    (void)state;
    struct hf_texts texts = HF_NO_TEXTS;
    texts.json = nib_str_from(SMALL(SPECIALS, "null"));
    texts.config = nib_str_from("{\"eos_token\":\"</s>\"}");
    texts.eos_id = 4;
    texts.end_ids = (const int32_t[]){3};
    texts.n_end_ids = 1;
    struct nib_tokenizer *t;
    assert_int_equal(hf_texts_open(&t, &texts, NULL), NIB_OK);
    assert_int_equal(nib_tokenizer_info(t)->eos_id, 4);
    assert_true(nib_tokenizer_is_end(t, 4));
    assert_true(nib_tokenizer_is_end(t, 3));
    nib_tokenizer_free(t);
    texts.end_ids = (const int32_t[]){99};
    assert_int_equal(hf_texts_open(&t, &texts, NULL), NIB_ERROR_FILE);
}

static void test_special_tokens_in_text_stay_text_unless_asked_for(void **state)
{
    (void)state;
    struct nib_tokenizer *t = open_json(SMALL(SPECIALS "," ADDED("[U]", "false"), "null"), NULL);
    EXPECT(t, "a </s> b[U]", NIB_PARSE_SPECIAL, 3, 2, 4, 5);
    EXPECT(t, "a </s> b[U]", 0, 3, 0, 4, 5);
    nib_tokenizer_free(t);
}

static void test_added_tokens_of_the_config_count_too(void **state)
{
    (void)state;
    struct nib_tokenizer *t = open_json(
        SMALL(SPECIALS, "null"), "{\"added_tokens_decoder\":{\"7\":" ADDED(
                                     "<|im_end|>", "true") ",\"6\":" ADDED("<x>", "false") "}}");
    assert_int_equal(nib_tokenizer_info(t)->n_vocab, 7);
    EXPECT(t, "a<x><|im_end|>", NIB_PARSE_SPECIAL, 3, 5, 6);
    assert_true(nib_tokenizer_is_end(t, 6));
    nib_tokenizer_free(t);
}

static void test_invalid_bytes_become_replacement_characters(void **state)
{
    (void)state;
    struct nib_str json = read_text("sp-bpe", "tokenizer.json");
    struct hf_texts texts = HF_NO_TEXTS;
    struct nib_tokenizer *t;
    texts.json = json;
    assert_int_equal(hf_texts_open(&t, &texts, NULL), NIB_OK);
    int32_t *ids, *same;
    size_t n, n_same;
    assert_int_equal(nib_tokenizer_encode(t, NIB_STR("a\xFF\xE2\x82z"), 0, &ids, &n, NULL), NIB_OK);
    assert_int_equal(
        nib_tokenizer_encode(t, NIB_STR("a\xEF\xBF\xBD\xEF\xBF\xBDz"), 0, &same, &n_same, NULL),
        NIB_OK);
    assert_int_equal(n, n_same);
    assert_memory_equal(ids, same, n * sizeof(*ids));
    free(ids);
    free(same);
    nib_tokenizer_free(t);
    free_text(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_byte_level_bpe_matches_library),
        cmocka_unit_test(test_llama3_bpe_matches_library),
        cmocka_unit_test(test_bpe_with_byte_fallback_matches_library),
        cmocka_unit_test(test_unigram_matches_library),
        cmocka_unit_test(test_wordpiece_matches_library),
        cmocka_unit_test(test_word_level_matches_library),
        cmocka_unit_test(test_sentencepiece_bpe_model_matches_library),
        cmocka_unit_test(test_sentencepiece_unigram_model_matches_library),
        cmocka_unit_test(test_random_settings_of_all_components_match_library),
        cmocka_unit_test(test_names_in_the_config_become_ids),
        cmocka_unit_test(test_additions_of_the_config_win_over_the_template),
        cmocka_unit_test(test_keys_win_over_names),
        cmocka_unit_test(test_special_tokens_in_text_stay_text_unless_asked_for),
        cmocka_unit_test(test_added_tokens_of_the_config_count_too),
        cmocka_unit_test(test_invalid_bytes_become_replacement_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
