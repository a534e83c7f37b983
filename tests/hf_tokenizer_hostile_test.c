/*
 * tokenizer.json and .model files that are wrong, and texts that are hard: each gives an error that
 * names what is wrong, or an answer in time that grows with the text.
 */
#include "golden_data.h"
#include "hf_text_builder.h"
#include "quick.h"

#include <time.h>

#define MODEL                                                                                      \
    "{\"type\":\"WordLevel\",\"vocab\":{\"<unk>\":0,\"<s>\":1,\"a\":2},\"unk_token\":\"<unk>\"}"
#define FILE_WITH(added, normalizer, pre, post, decoder, model)                                    \
    "{\"version\":\"1.0\",\"added_tokens\":" added ",\"normalizer\":" normalizer                   \
    ",\"pre_tokenizer\":" pre ",\"post_processor\":" post ",\"decoder\":" decoder                  \
    ",\"model\":" model "}"
#define FILE_NORMALIZER(part) FILE_WITH("[]", part, "null", "null", "null", MODEL)
#define FILE_PRE(part)        FILE_WITH("[]", "null", part, "null", "null", MODEL)
#define FILE_POST(part)       FILE_WITH("[]", "null", "null", part, "null", MODEL)
#define FILE_DECODER(part)    FILE_WITH("[]", "null", "null", "null", part, MODEL)
#define FILE_MODEL(part)      FILE_WITH("[]", "null", "null", "null", "null", part)
#define FILE_ADDED(part)      FILE_WITH(part, "null", "null", "null", "null", MODEL)

/* ---- helpers -------------------------------------------------------------------------------- */

struct text {
    char *data;
    size_t n, capacity;
};

static void put(struct text *t, const char *s)
{
    const size_t n = strlen(s);
    if (t->capacity - t->n < n + 1) {
        t->capacity = 2 * t->capacity + n + 256;
        t->data = realloc(t->data, t->capacity);
        assert_non_null(t->data);
    }
    memcpy(t->data + t->n, s, n + 1);
    t->n += n;
}

static void put_times(struct text *t, const char *s, size_t n)
{
    while (n-- > 0)
        put(t, s);
}

static enum nib_status open_bytes(struct nib_tokenizer **out, const char *json, size_t n,
                                  struct nib_error *err)
{
    struct hf_texts texts = HF_NO_TEXTS;
    texts.json = (struct nib_str){json, n};
    return hf_texts_open(out, &texts, err);
}

/* The error is of the file, and its sentence has `word`. */
static void expect_refused(const char *json, const char *word)
{
    struct nib_tokenizer *t;
    struct nib_error err = {0};
    if (open_bytes(&t, json, strlen(json), &err) == NIB_OK)
        fail_msg("accepted: %.200s", json);
    assert_null(t);
    assert_int_equal(err.status, NIB_ERROR_FILE);
    if (strstr(err.message, word) == NULL)
        fail_msg("'%s' says nothing of '%s'", err.message, word);
}

static struct nib_tokenizer *expect_opened(const char *json)
{
    struct nib_tokenizer *t;
    struct nib_error err = {0};
    if (open_bytes(&t, json, strlen(json), &err) != NIB_OK)
        fail_msg("%s: %.300s", err.message, json);
    return t;
}

static double now(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- files ---------------------------------------------------------------------------------- */

static void test_files_without_any_tokenizer_are_refused(void **state)
{
    (void)state;
    const struct hf_texts texts = HF_NO_TEXTS;
    struct nib_tokenizer *t;
    struct nib_error err;
    assert_int_equal(hf_texts_open(&t, &texts, &err), NIB_ERROR_FILE);
    assert_non_null(strstr(err.message, "tokenizer.json"));
}

static void test_text_that_is_no_json_is_refused(void **state)
{
    (void)state;
    expect_refused("", "JSON");
    expect_refused("{", "JSON");
    expect_refused("\xEF\xBB\xBF" FILE_MODEL(MODEL), "JSON"); /* byte order mark */
    expect_refused("{\"version\":\"1.0\",}", "JSON");
    expect_refused("{\"a\":\"\xFF\"}", "JSON");
    expect_refused("[]", "version");
    expect_refused("{}", "type");
    expect_refused("{\"version\":\"2.0\"}", "version");
    expect_refused("{\"version\":\"1.0\"}", "model");
}

static void test_deep_nesting_is_refused(void **state)
{
    (void)state;
    struct text t = {0};
    put(&t, "{\"version\":\"1.0\",\"x\":");
    put_times(&t, "[", 100000);
    put_times(&t, "]", 100000);
    put(&t, "}");
    expect_refused(t.data, "deep");
    free(t.data);

    t = (struct text){0};
    put_times(&t, "{\"type\":\"Sequence\",\"normalizers\":[", 40);
    put_times(&t, "]}", 40);
    struct text file = {0};
    put(&file, "{\"version\":\"1.0\",\"model\":" MODEL ",\"normalizer\":");
    put(&file, t.data);
    put(&file, "}");
    expect_refused(file.data, "deep");
    free(file.data);
    free(t.data);
}

static void test_ten_thousand_parts_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *role, *head;
    } roles[] = {{"normalizer", "{\"type\":\"Sequence\",\"normalizers\":["},
                 {"pre_tokenizer", "{\"type\":\"Sequence\",\"pretokenizers\":["},
                 {"decoder", "{\"type\":\"Sequence\",\"decoders\":["},
                 {"post_processor", "{\"type\":\"Sequence\",\"processors\":["}};
    for (size_t i = 0; i < NIB_COUNT(roles); i++) {
        struct text file = {0};
        put(&file, "{\"version\":\"1.0\",\"model\":" MODEL ",\"");
        put(&file, roles[i].role);
        put(&file, "\":");
        put(&file, roles[i].head);
        for (int k = 0; k < 10000; k++) {
            put(&file, k > 0 ? "," : "");
            put(&file, i == 1   ? "{\"type\":\"Whitespace\"}"
                       : i == 2 ? "{\"type\":\"Fuse\"}"
                       : i == 3 ? "{\"type\":\"ByteLevel\"}"
                                : "{\"type\":\"NFC\"}");
        }
        put(&file, "]}}");
        expect_refused(file.data, "parts");
        free(file.data);
    }
}

static void test_a_key_that_is_there_twice_counts_as_the_last(void **state)
{
    (void)state;
    struct nib_tokenizer *t =
        expect_opened("{\"version\":\"0\",\"model\":1,\"model\":" MODEL ",\"version\":\"1.0\"}");
    assert_int_equal(nib_tokenizer_info(t)->n_vocab, 3);
    nib_tokenizer_free(t);
}

static void test_unknown_components_are_refused_by_name(void **state)
{
    (void)state;
    expect_refused(FILE_NORMALIZER("{\"type\":\"Foo\"}"), "normalizer 'Foo'");
    expect_refused(FILE_PRE("{\"type\":\"Foo\"}"), "pre-tokenizer 'Foo'");
    expect_refused(FILE_POST("{\"type\":\"Foo\"}"), "post-processor 'Foo'");
    expect_refused(FILE_DECODER("{\"type\":\"Foo\"}"), "decoder 'Foo'");
    expect_refused(FILE_MODEL("{\"type\":\"Foo\"}"), "model 'Foo'");
    expect_refused(FILE_NORMALIZER("{\"x\":1}"), "type");
    expect_refused(FILE_PRE("7"), "type");
}

static void test_fields_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *json, *word;
    } rows[] = {
        {FILE_NORMALIZER("{\"type\":\"Strip\",\"strip_left\":1}"), "strip_left"},
        {FILE_NORMALIZER("{\"type\":\"Prepend\"}"), "prepend"},
        {FILE_NORMALIZER("{\"type\":\"Replace\",\"content\":\"x\",\"pattern\":\"y\"}"), "pattern"},
        {FILE_NORMALIZER("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"!\"}"), "base64"},
        {FILE_NORMALIZER("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}"),
         "charsmap"},
        {FILE_NORMALIZER("{\"type\":\"BertNormalizer\"}"), "clean_text"},
        {FILE_PRE("{\"type\":\"ByteLevel\"}"), "add_prefix_space"},
        {FILE_PRE("{\"type\":\"Metaspace\",\"replacement\":\"ab\"}"), "replacement"},
        {FILE_PRE("{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"x\"}"),
         "prepend_scheme"},
        {FILE_PRE("{\"type\":\"Metaspace\",\"replacement\":\"_\",\"add_prefix_space\":false}"),
         "prepend_scheme"},
        {FILE_PRE("{\"type\":\"Punctuation\",\"behavior\":\"x\"}"), "behavior"},
        {FILE_PRE("{\"type\":\"FixedLength\",\"length\":0}"), "length"},
        {FILE_PRE("{\"type\":\"Split\",\"pattern\":{\"String\":\"x\"},\"invert\":false}"),
         "behavior"},
        {FILE_POST("{\"type\":\"BertProcessing\",\"sep\":[\"x\",1]}"), "cls"},
        {FILE_POST("{\"type\":\"BertProcessing\",\"sep\":[\"x\",1],\"cls\":[\"y\",99]}"), "id"},
        {FILE_POST("{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}}]"
                   ",\"pair\":[],\"special_tokens\":{}}"),
         "special_tokens"},
        {FILE_POST("{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"B\"}}]"
                   ",\"pair\":[],\"special_tokens\":{}}"),
         "single"},
        {FILE_DECODER("{\"type\":\"WordPiece\"}"), "prefix"},
        {FILE_DECODER("{\"type\":\"Strip\",\"content\":\"\",\"start\":0,\"stop\":0}"), "content"},
        {FILE_ADDED("[{\"id\":1,\"content\":\"x\"}]"), "special"},
        {FILE_ADDED("{}"), "added_tokens"},
    };
    for (size_t i = 0; i < NIB_COUNT(rows); i++)
        expect_refused(rows[i].json, rows[i].word);
}

static void test_models_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *model, *word;
    } rows[] = {
        {"{\"type\":\"WordLevel\",\"vocab\":{},\"unk_token\":\"x\"}", "0 tokens"},
        {"{\"type\":\"WordLevel\",\"vocab\":{\"a\":-1},\"unk_token\":\"x\"}", "vocab"},
        {"{\"type\":\"WordLevel\",\"vocab\":{\"a\":4000000000},\"unk_token\":\"x\"}", "4000000000"},
        {"{\"type\":\"WordLevel\",\"vocab\":{\"a\":1,\"b\":1},\"unk_token\":\"x\"}", "have the id"},
        {"{\"type\":\"WordLevel\",\"vocab\":{\"a\":0}}", "unk_token"},
        {"{\"type\":\"WordLevel\",\"vocab\":[],\"unk_token\":\"x\"}", "vocab"},
        {"{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}", "vocab"},
        {"{\"type\":\"Unigram\",\"vocab\":[[\"a\",NaN]]}", "finite"},
        {"{\"type\":\"Unigram\",\"vocab\":[[\"a\",0]],\"unk_id\":1}", "unk_id"},
        {"{\"type\":\"WordPiece\",\"vocab\":{\"a\":0},\"unk_token\":\"a\"}", "continuing"},
        {"{\"type\":\"BPE\",\"vocab\":{\"a\":0}}", "merges"},
        {"{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[\"aa\"]}", "merge 0"},
        {"{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[\"a a a\"]}", "merge 0"},
        {"{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[\"a b\"]}", "merge 0"},
        {"{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[[\"a\"]]}", "merge 0"},
        {"{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[\"a a\",[\"a\",\"a\"]]}",
         "merge 1"},
    };
    for (size_t i = 0; i < NIB_COUNT(rows); i++) {
        struct text file = {0};
        put(&file, "{\"version\":\"1.0\",\"model\":");
        put(&file, rows[i].model);
        put(&file, "}");
        expect_refused(file.data, rows[i].word);
        free(file.data);
    }
}

static void test_patterns_that_cannot_be_used_are_refused(void **state)
{
    (void)state;
    static const char *const patterns[] = {
        "(",      "a)",       "[a",        "\\\\p{Nope}",           "\\\\p{",    "*",     "(?~ab)",
        "(?z:a)", "(?<=a+)b", "a{100000}", "[[[[[[[[[[[[[[[[[[[[a", "(?(1)a|b)", "[z-a]", "\\\\",
        "(?<n"};
    for (size_t i = 0; i < NIB_COUNT(patterns); i++) {
        struct text file = {0};
        put(&file, "{\"version\":\"1.0\",\"model\":" MODEL ",\"pre_tokenizer\":{\"type\":\"Split\","
                   "\"behavior\":\"Isolated\",\"invert\":false,\"pattern\":{\"Regex\":\"");
        put(&file, patterns[i]);
        put(&file, "\"}}}");
        expect_refused(file.data, "pattern");
        free(file.data);
    }
    struct text file = {0};
    put(&file, "{\"version\":\"1.0\",\"model\":" MODEL ",\"pre_tokenizer\":{\"type\":\"Split\","
               "\"behavior\":\"Isolated\",\"invert\":false,\"pattern\":{\"Regex\":\"");
    put_times(&file, "a", 1 << 20);
    put(&file, "\"}}}");
    expect_refused(file.data, "pattern");
    free(file.data);
}

static void test_patterns_without_end_give_up(void **state)
{
    (void)state;
    static const char *const patterns[] = {"(a+)+b", "(a|a)*b", "(?:a*)*b", "(a*)(a*)(a*)(a*)b"};
    for (size_t i = 0; i < NIB_COUNT(patterns); i++) {
        struct text file = {0}, text = {0};
        put(&file, "{\"version\":\"1.0\",\"model\":" MODEL ",\"pre_tokenizer\":{\"type\":\"Split\","
                   "\"behavior\":\"Isolated\",\"invert\":false,\"pattern\":{\"Regex\":\"");
        put(&file, patterns[i]);
        put(&file, "\"}}}");
        put_times(&text, "a", 20000);
        struct nib_tokenizer *t = expect_opened(file.data);
        int32_t *ids;
        size_t n;
        struct nib_error err = {0};
        const double start = now();
        if (nib_tokenizer_encode(t, (struct nib_str){text.data, text.n}, 0, &ids, &n, &err) ==
            NIB_OK)
            free(ids);
        else
            assert_non_null(strstr(err.message, "pattern"));
        assert_true(now() - start < 30);
        nib_tokenizer_free(t);
        free(file.data);
        free(text.data);
    }
}

static void test_normalizers_that_blow_text_up_are_refused(void **state)
{
    (void)state;
    struct text file = {0};
    put(&file, "{\"version\":\"1.0\",\"model\":" MODEL
               ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[");
    for (int i = 0; i < 64; i++) {
        put(&file, i > 0 ? "," : "");
        put(&file, "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aaaa\"}");
    }
    put(&file, "]}}");
    struct nib_tokenizer *t = expect_opened(file.data);
    int32_t *ids;
    size_t n;
    struct nib_error err = {0};
    assert_int_equal(nib_tokenizer_encode(t, NIB_STR("a"), 0, &ids, &n, &err), NIB_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "normalizer"));
    nib_tokenizer_free(t);
    free(file.data);
}

/* A hundred thousand added tokens with the same beginnings. */
static void test_many_added_tokens_take_no_more_than_seconds(void **state)
{
    (void)state;
    struct text file = {0}, text = {0};
    put(&file, "{\"version\":\"1.0\",\"model\":" MODEL ",\"added_tokens\":[");
    for (int i = 0; i < 100000; i++) {
        char token[256];
        snprintf(token, sizeof(token),
                 "%s{\"id\":%d,\"content\":\"<|the|same|%d|\",\"single_word\":false,\"lstrip\":"
                 "false,\"rstrip\":false,\"normalized\":%s,\"special\":true}",
                 i > 0 ? "," : "", 3 + i, i, i % 2 != 0 ? "true" : "false");
        put(&file, token);
    }
    put(&file, "]}");
    put_times(&text, "<|the|same|99999", 60000);
    put(&text, "<|the|same|99998|<|the|same|99999|");
    const double start = now();
    struct nib_tokenizer *t = expect_opened(file.data);
    int32_t *ids;
    size_t n;
    assert_int_equal(nib_tokenizer_encode(t, (struct nib_str){text.data, text.n}, NIB_PARSE_SPECIAL,
                                          &ids, &n, NULL),
                     NIB_OK);
    assert_true(now() - start < 20);
    assert_int_equal(n, 3);
    assert_int_equal(ids[1], 3 + 99998);
    assert_int_equal(ids[2], 3 + 99999);
    free(ids);
    nib_tokenizer_free(t);
    free(file.data);
    free(text.data);
}

static void test_added_tokens_may_be_empty_or_words(void **state)
{
    (void)state;
    struct nib_tokenizer *t = expect_opened(
        FILE_ADDED("[{\"id\":77,\"content\":\"\",\"single_word\":false,\"lstrip\":false,"
                   "\"rstrip\":false,\"normalized\":false,\"special\":true},{\"id\":99,\"content\":"
                   "\"the\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                   "\"normalized\":true,\"special\":false}]"));
    assert_int_equal(nib_tokenizer_info(t)->n_vocab, 4);
    nib_tokenizer_free(t);
}

/* ---- .model files --------------------------------------------------------------------------- */

static void test_damaged_models_are_refused_or_work(void **state)
{
    (void)state;
    size_t n;
    uint8_t *file = golden_read("tokenizers/sp-bpe/tokenizer.model", &n);
    struct hf_texts texts = HF_NO_TEXTS;
    uint32_t seed = 1;
    for (size_t i = 0; i < 600; i++) {
        uint8_t *copy = malloc(n);
        assert_non_null(copy);
        memcpy(copy, file, n);
        size_t len = n;
        seed = seed * 1664525 + 1013904223;
        if (i % 3 == 0)
            len = seed % n;
        for (size_t k = 0; i % 3 != 0 && k < 1 + i % 7; k++) {
            seed = seed * 1664525 + 1013904223;
            copy[seed % n] = (uint8_t)(seed >> 24);
        }
        uint8_t *exact = malloc(len + 1);
        assert_non_null(exact);
        memcpy(exact, copy, len);
        texts.model = (struct nib_str){(const char *)exact, len};
        struct nib_tokenizer *t;
        if (hf_texts_open(&t, &texts, NULL) == NIB_OK) {
            int32_t *ids;
            size_t n_ids;
            assert_int_equal(
                nib_tokenizer_encode(t, NIB_STR("Hello, w\xC3\xB6rld  1"), 0, &ids, &n_ids, NULL),
                NIB_OK);
            free(ids);
            nib_tokenizer_free(t);
        }
        free(copy);
        free(exact);
    }
    free(file);
}

static void test_models_without_pieces_are_refused(void **state)
{
    (void)state;
    static const char *const files[] = {"", "\x12\x02\x18\x02", "\x0A\x05", "\xFF\xFF\xFF",
                                        "\x0A\x03\x0A\x01z"};
    for (size_t i = 0; i < NIB_COUNT(files); i++) {
        struct hf_texts texts = HF_NO_TEXTS;
        struct nib_tokenizer *t;
        struct nib_error err;
        texts.model = nib_str_from(files[i]);
        assert_int_equal(hf_texts_open(&t, &texts, &err), NIB_ERROR_FILE);
        assert_non_null(strstr(err.message, "SentencePiece"));
    }
}

#define MARK "\xEF\xBF\xBD" /* U+FFFD */

/* Neither a piece nor what stands for unknown text need be UTF-8; what is decoded is, at once as in
 * a stream. */
static void test_pieces_that_are_no_utf8_are_decoded_as_marks(void **state)
{
    (void)state;
    static const char file[] = "\x0A\x09\x0A\x05<unk>\x18\x02" /* unknown */
                               "\x0A\x06\x0A\x02"
                               "a\xFF\x18\x04"                     /* user-defined */
                               "\x12\x06\x18\x04\xE2\x02\x01\xFE"; /* characters; unknown: FE */
    struct hf_texts texts = HF_NO_TEXTS;
    struct nib_tokenizer *t;
    texts.model = (struct nib_str){file, sizeof(file) - 1};
    assert_int_equal(hf_texts_open(&t, &texts, NULL), NIB_OK);
    static const int32_t ids[] = {0, 1, 0};
    char *text, streamed[64] = "";
    size_t n;
    assert_int_equal(nib_tokenizer_decode(t, ids, 3, 0, &text, &n, NULL), NIB_OK);
    assert_string_equal(text, MARK "a" MARK MARK);
    free(text);
    struct nib_text_stream *stream;
    assert_int_equal(nib_text_stream_create_from(&stream, t, NULL), NIB_OK);
    for (size_t i = 0; i < 3; i++)
        strcat(streamed, nib_text_stream_push(stream, ids[i]));
    assert_string_equal(strcat(streamed, nib_text_stream_end(stream)), MARK "a" MARK MARK);
    nib_text_stream_free(stream);
    nib_tokenizer_free(t);
}

/* ---- a megabyte ----------------------------------------------------------------------------- */

static void check_megabyte(const struct nib_tokenizer *t, const char *name)
{
    static const char *const units[] = {"a",
                                        " ",
                                        "\n",
                                        "1",
                                        ".",
                                        "\xE4\xB8\xAD",
                                        "\xCC\x81",
                                        "\xCC\xA7\xCC\x81",
                                        "\xF0\x9F\x91\x8D",
                                        "ab c. 12\n",
                                        "<s",
                                        "\xE2\x96\x81",
                                        "\xFF",
                                        "'s",
                                        "\xC3\xA9"};
    for (size_t i = 0; i < NIB_COUNT(units); i++) {
        struct text text = {0};
        put_times(&text, units[i], ((size_t)1 << (is_quick() ? 14 : 20)) / strlen(units[i]));
        int32_t *ids;
        size_t n;
        struct nib_error err = {0};
        const double start = now();
        if (nib_tokenizer_encode(t, (struct nib_str){text.data, text.n}, NIB_PARSE_SPECIAL, &ids,
                                 &n, &err) != NIB_OK)
            fail_msg("%s: %s", name, err.message);
        const double seconds = now() - start;
        /* What is not linear would take minutes, and end by the test's time limit. */
        if (seconds > 1)
            print_message("%s: a megabyte of '%s' took %.2f s\n", name, units[i], seconds);
        char *back;
        size_t n_back;
        assert_int_equal(nib_tokenizer_decode(t, ids, n, 0, &back, &n_back, NULL), NIB_OK);
        free(back);
        free(ids);
        free(text.data);
    }
}

static void test_a_megabyte_of_anything_is_encoded_in_time(void **state)
{
    (void)state;
    static const char *const folders[] = {"bpe-bytelevel", "bpe-llama3-split",  "sp-bpe",
                                          "sp-unigram",    "wordpiece-uncased", "toy-numbers"};
    for (size_t i = 0; i < 2 * NIB_COUNT(folders); i++) {
        const bool is_model = i >= NIB_COUNT(folders);
        const char *folder = folders[i % NIB_COUNT(folders)];
        struct hf_texts texts = HF_NO_TEXTS;
        struct nib_tokenizer *t;
        char path[256];
        if (is_model && strncmp(folder, "sp-", 3) != 0)
            continue;
        snprintf(path, sizeof(path), "tokenizers/%s/%s", folder,
                 is_model ? "tokenizer.model" : "tokenizer.json");
        size_t n;
        struct nib_str file;
        file.data = (const char *)golden_read(path, &n);
        file.len = n;
        *(is_model ? &texts.model : &texts.json) = file;
        assert_int_equal(hf_texts_open(&t, &texts, NULL), NIB_OK);
        check_megabyte(t, path);
        nib_tokenizer_free(t);
        free((char *)(uintptr_t)file.data);
    }
}

static void test_every_component_takes_a_megabyte_in_time(void **state)
{
    (void)state;
    static const char *const files[] = {
        FILE_NORMALIZER("{\"type\":\"NFC\"}"),
        FILE_NORMALIZER("{\"type\":\"NFKD\"}"),
        FILE_NORMALIZER("{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":"
                        "true,\"strip_accents\":null,\"lowercase\":true}"),
        FILE_NORMALIZER("{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true}"),
        FILE_NORMALIZER("{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"\\\\s+|a\"},\"content\":"
                        "\"x\"}"),
        FILE_PRE("{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true}"),
        FILE_PRE("{\"type\":\"Whitespace\"}"),
        FILE_PRE("{\"type\":\"BertPreTokenizer\"}"),
        FILE_PRE("{\"type\":\"Metaspace\",\"replacement\":\"_\"}"),
        FILE_PRE("{\"type\":\"Digits\",\"individual_digits\":true}"),
        FILE_PRE("{\"type\":\"UnicodeScripts\"}"),
        FILE_PRE("{\"type\":\"FixedLength\",\"length\":1}"),
        FILE_PRE("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\w+|\\\\s+(?!\\\\S)|\\\\s+\"},"
                 "\"behavior\":\"MergedWithNext\",\"invert\":false}"),
    };
    for (size_t i = 0; i < NIB_COUNT(files); i++) {
        struct nib_tokenizer *t = expect_opened(files[i]);
        check_megabyte(t, files[i]);
        nib_tokenizer_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_without_any_tokenizer_are_refused),
        cmocka_unit_test(test_text_that_is_no_json_is_refused),
        cmocka_unit_test(test_deep_nesting_is_refused),
        cmocka_unit_test(test_ten_thousand_parts_are_refused),
        cmocka_unit_test(test_a_key_that_is_there_twice_counts_as_the_last),
        cmocka_unit_test(test_unknown_components_are_refused_by_name),
        cmocka_unit_test(test_fields_are_checked),
        cmocka_unit_test(test_models_are_checked),
        cmocka_unit_test(test_patterns_that_cannot_be_used_are_refused),
        cmocka_unit_test(test_patterns_without_end_give_up),
        cmocka_unit_test(test_normalizers_that_blow_text_up_are_refused),
        cmocka_unit_test(test_many_added_tokens_take_no_more_than_seconds),
        cmocka_unit_test(test_added_tokens_may_be_empty_or_words),
        cmocka_unit_test(test_damaged_models_are_refused_or_work),
        cmocka_unit_test(test_models_without_pieces_are_refused),
        cmocka_unit_test(test_pieces_that_are_no_utf8_are_decoded_as_marks),
        cmocka_unit_test(test_a_megabyte_of_anything_is_encoded_in_time),
        cmocka_unit_test(test_every_component_takes_a_megabyte_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
