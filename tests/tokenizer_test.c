/*
 * Encoding and decoding against the references in tests/data/gguf-vocab: real vocabularies with
 * what llama.cpp (NAME.jsonl, NAME.out) and the tokenizers and sentencepiece libraries
 * (tiny-*.jsonl) gave.
 */
#include "tokenizer.h"

#include "gguf.h"
#include "quick.h"
#include "utf8.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>
#include <yyjson.h>

#define DATA NIB_TEST_DATA "/gguf-vocab/"
#define BOTH (NIB_ADD_SPECIAL | NIB_PARSE_SPECIAL)

/* Vocabularies are compressed in the repository; the build unpacks them. */
static struct nib_tokenizer *open_vocabulary(const char *folder, const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s%s.gguf", folder, name);
    struct nib_error err = {0};
    struct nib_gguf *gguf;
    struct nib_tokenizer *tokenizer;
    if (nib_gguf_open(&gguf, path, &err) != NIB_OK)
        fail_msg("%s", err.message);
    if (nib_tokenizer_from_gguf(&tokenizer, gguf, &err) != NIB_OK)
        fail_msg("%s", err.message);
    nib_gguf_close(gguf); /* a tokenizer lives without its file */
    return tokenizer;
}

static struct nib_tokenizer *open_real(const char *name)
{
    return open_vocabulary(NIB_TEST_VOCABULARIES "/", name);
}

static char *read_file(const char *path, size_t *n)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *n = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(*n + 1);
    assert_int_equal(fread(text, 1, *n, file), *n);
    text[*n] = 0;
    fclose(file);
    return text;
}

/* ---- comparing ------------------------------------------------------------------------------ */

static char *bytes_from_hex(const char *hex, size_t *n)
{
    *n = strlen(hex) / 2;
    char *bytes = malloc(*n + 1);
    for (size_t i = 0; i < *n; i++) {
        const char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        bytes[i] = (char)strtoul(pair, NULL, 16);
    }
    bytes[*n] = 0;
    return bytes;
}

static size_t count_of(yyjson_val *array)
{
    return yyjson_arr_size(array);
}

static bool equals_ids(yyjson_val *expected, const int32_t *ids, size_t n)
{
    if (count_of(expected) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (yyjson_get_int(yyjson_arr_get(expected, i)) != ids[i])
            return false;
    return true;
}

static bool encodes_to(const struct nib_tokenizer *t, struct nib_str text, unsigned flags,
                       yyjson_val *expected)
{
    int32_t *ids;
    size_t n;
    struct nib_error err;
    if (nib_tokenizer_encode(t, text, flags, &ids, &n, &err) != NIB_OK)
        fail_msg("%s", err.message);
    assert_non_null(ids);
    const bool is_equal = equals_ids(expected, ids, n);
    if (!is_equal) {
        fprintf(stderr, "'%.*s' flags %u gave", (int)text.len, text.data, flags);
        for (size_t i = 0; i < n; i++)
            fprintf(stderr, " %d", (int)ids[i]);
        fprintf(stderr, "\nexpected");
        for (size_t i = 0; i < count_of(expected); i++)
            fprintf(stderr, " %d", yyjson_get_int(yyjson_arr_get(expected, i)));
        fprintf(stderr, "\n");
    }
    free(ids);
    return is_equal;
}

/* ---- the golden files ----------------------------------------------------------------------- */

/* What the reference library does with bytes that are no text. */
enum invalid { KEPT, REPLACED, REPLACED_BYTE_BY_BYTE };

struct rules {
    unsigned decode_flags;
    enum invalid invalid;
    int skips_id; /* lines to decode that have this id; -1: none */
};

/* As the library of the reference would have shown it; in place of `text`, which is freed. */
static struct nib_str show_as(char *text, size_t n, enum invalid invalid)
{
    char *out = malloc(3 * n + 1);
    size_t n_out = 0;
    for (size_t i = 0, used; i < n; i += used) {
        const int len = nib_utf8_scan(text + i, n - i);
        const bool is_shown = len > 0 || invalid == KEPT;
        used = len > 0                            ? (size_t)len
               : invalid == REPLACED_BYTE_BY_BYTE ? 1
               : len < 0                          ? (size_t)-len
                                                  : n - i;
        memcpy(out + n_out, is_shown ? text + i : NIB_REPLACEMENT, is_shown ? used : 3);
        n_out += is_shown ? used : 3;
    }
    free(text);
    return (struct nib_str){out, n_out};
}

static bool decodes_to(const struct nib_tokenizer *t, yyjson_val *array, const struct rules *rules,
                       struct nib_str expected)
{
    const size_t n_ids = yyjson_arr_size(array);
    int32_t *ids = malloc(n_ids * sizeof(*ids) + 1);
    bool is_skipped = false;
    for (size_t i = 0; i < n_ids; i++) {
        ids[i] = yyjson_get_int(yyjson_arr_get(array, i));
        is_skipped = is_skipped || ids[i] == rules->skips_id;
    }
    char *bytes;
    size_t n;
    struct nib_error err;
    if (nib_tokenizer_decode(t, ids, n_ids, rules->decode_flags, &bytes, &n, &err) != NIB_OK)
        fail_msg("%s", err.message);
    const struct nib_str text = show_as(bytes, n, rules->invalid);
    const bool is_equal = is_skipped || nib_str_equal(text, expected);
    if (!is_equal)
        fprintf(stderr, "decoding gave '%.*s', expected '%.*s'\n", (int)text.len, text.data,
                (int)expected.len, expected.data);
    free((char *)text.data);
    free(ids);
    return is_equal;
}

struct counts {
    size_t encoded, decoded, failed;
};

static void check_line(const struct nib_tokenizer *t, yyjson_val *line, const struct rules *rules,
                       struct counts *counts)
{
    const char *hex = yyjson_get_str(yyjson_obj_get(line, "hex"));
    const char *decoded_hex = yyjson_get_str(yyjson_obj_get(line, "decoded_hex"));
    yyjson_val *ids = yyjson_obj_get(line, "ids");
    yyjson_val *ids_special = yyjson_obj_get(line, "ids_special");
    struct nib_str text;
    if (hex != NULL) {
        text.data = bytes_from_hex(hex, &text.len);
        /* Where the library replaces bytes, we keep them. */
        if (rules->invalid == KEPT || nib_utf8_valid_prefix(text) == text.len) {
            counts->failed += !encodes_to(t, text, 0, ids);
            if (ids_special != NULL)
                counts->failed += !encodes_to(t, text, BOTH, ids_special);
            counts->encoded++;
        }
        free((char *)text.data);
    }
    if (decoded_hex != NULL) {
        text.data = bytes_from_hex(decoded_hex, &text.len);
        counts->failed += !decodes_to(t, ids, rules, text);
        free((char *)text.data);
        counts->decoded++;
    }
}

static struct counts check_jsonl(const struct nib_tokenizer *t, const char *name,
                                 struct rules rules)
{
    char path[512];
    snprintf(path, sizeof(path), "%s%s.jsonl", DATA, name);
    size_t n;
    char *text = read_file(path, &n);
    struct counts counts = {0};
    for (char *line = text; *line != 0;) {
        const size_t len = strcspn(line, "\n");
        yyjson_doc *doc = yyjson_read(line, len, 0);
        assert_non_null(doc);
        check_line(t, yyjson_doc_get_root(doc), &rules, &counts);
        yyjson_doc_free(doc);
        line += len + (line[len] == '\n');
    }
    free(text);
    assert_int_equal(counts.failed, 0);
    return counts;
}

/* texts.inp: texts between lines "__ggml_vocab_test__"; NAME.out: a line of ids for each. */
static void check_inp_out(const struct nib_tokenizer *t, const char *name)
{
    static const char separator[] = "\n__ggml_vocab_test__\n";
    char path[512];
    snprintf(path, sizeof(path), "%s%s.out", DATA, name);
    size_t n_in, n_out;
    char *in = read_file(DATA "texts.inp", &n_in);
    char *out = read_file(path, &n_out);
    const char *text = in, *line = out;
    size_t n_texts = 0;
    while (text != NULL && *line != 0) {
        const char *end = strstr(text, separator);
        const size_t n = end != NULL ? (size_t)(end - text) : strlen(text);
        int32_t *ids;
        size_t n_ids;
        assert_int_equal(nib_tokenizer_encode(t, (struct nib_str){text, n}, 0, &ids, &n_ids, NULL),
                         NIB_OK);
        for (size_t i = 0; i < n_ids; i++) {
            char *next;
            assert_int_equal(strtol(line, &next, 10), ids[i]);
            line = next;
        }
        free(ids);
        line += strspn(line, " ");
        assert_int_equal(*line, '\n');
        line++;
        text = end == NULL ? NULL : end + sizeof(separator) - 1;
        n_texts++;
    }
    assert_true(n_texts >= 40);
    free(in);
    free(out);
}

static void check_real(const char *name, const char *kind, const char *pre, bool adds_bos,
                       bool adds_eos)
{
    struct nib_tokenizer *t = open_real(name);
    assert_string_equal(nib_tokenizer_info(t)->kind, kind);
    assert_string_equal(nib_tokenizer_info(t)->pre_tokenizer, pre);
    assert_int_equal(nib_tokenizer_info(t)->adds_bos, adds_bos);
    assert_int_equal(nib_tokenizer_info(t)->adds_eos, adds_eos);
    const struct rules rules = {NIB_CLEAN_SPACES | NIB_PARSE_SPECIAL, KEPT, -1};
    const struct counts counts = check_jsonl(t, name, rules);
    assert_int_equal(counts.encoded, 190);
    assert_int_equal(counts.decoded, 190);
    check_inp_out(t, name);
    nib_tokenizer_free(t);
}

static void test_gpt2_matches_reference(void **state)
{
    (void)state;
    check_real("gpt-2", "bpe", "gpt-2", false, false);
}

static void test_llama_bpe_matches_reference(void **state)
{
    (void)state;
    check_real("llama-bpe", "bpe", "llama-bpe", true, false);
}

static void test_qwen2_matches_reference(void **state)
{
    (void)state;
    check_real("qwen2", "bpe", "qwen2", false, false);
}

static void test_llama_spm_matches_reference(void **state)
{
    (void)state;
    check_real("llama-spm", "sentencepiece", "", true, false);
}

static void test_phi3_matches_reference(void **state)
{
    (void)state;
    check_real("phi-3", "sentencepiece", "", true, false);
}

static void test_falcon_matches_reference(void **state)
{
    (void)state;
    check_real("falcon", "bpe", "falcon", false, false);
}

static void test_bert_matches_reference(void **state)
{
    (void)state;
    check_real("bert-bge", "wordpiece", "", true, true);
}

static void test_smollm2_matches_reference(void **state)
{
    (void)state;
    struct nib_tokenizer *t = open_real("smollm2");
    const struct counts counts =
        check_jsonl(t, "smollm2", (struct rules){NIB_PARSE_SPECIAL, KEPT, -1});
    assert_int_equal(counts.encoded, 6 + 190 + 9);
    assert_int_equal(counts.decoded, 5);
    nib_tokenizer_free(t);
}

static void test_tiny_llama3_matches_tokenizers_library(void **state)
{
    (void)state;
    struct nib_tokenizer *t = open_vocabulary(DATA, "tiny-llama3");
    const struct counts counts =
        check_jsonl(t, "tiny-llama3", (struct rules){NIB_PARSE_SPECIAL, REPLACED, -1});
    assert_int_equal(counts.encoded, 210);
    assert_int_equal(counts.decoded, 270);
    nib_tokenizer_free(t);
}

static void test_tiny_spm_matches_sentencepiece_library(void **state)
{
    (void)state;
    struct nib_tokenizer *t = open_vocabulary(DATA, "tiny-spm");
    /* The library shows the unknown token, id 0, as " ⁇ ". */
    const struct counts counts =
        check_jsonl(t, "tiny-spm", (struct rules){0, REPLACED_BYTE_BY_BYTE, 0});
    assert_int_equal(counts.encoded, 210);
    assert_int_equal(counts.decoded, 281);
    nib_tokenizer_free(t);
}

static void test_tiny_unigram_matches_sentencepiece_library(void **state)
{
    (void)state;
    struct nib_tokenizer *t = open_real("tiny-unigram");
    assert_string_equal(nib_tokenizer_info(t)->kind, "unigram");
    assert_false(nib_tokenizer_info(t)->adds_bos);
    assert_true(nib_tokenizer_info(t)->adds_eos);
    /* The library shows the unknown token, id 2, as " ⁇ ".  Bytes that are no text are unknown to
     * both. */
    const struct counts counts = check_jsonl(t, "tiny-unigram", (struct rules){0, KEPT, 2});
    assert_int_equal(counts.encoded, 221);
    assert_int_equal(counts.decoded, 281);
    nib_tokenizer_free(t);
}

/* ---- any bytes ------------------------------------------------------------------------------ */

/* Those that lose nothing of any text. */
static const char *const real_names[] = {"gpt-2",   "falcon",    "llama-bpe", "qwen2",
                                         "smollm2", "llama-spm", "phi-3"};
static const char *const normalizing_names[] = {"bert-bge", "tiny-unigram"};

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Pieces of text in no order, with bytes in between that are none. */
static size_t make_noise(char *out, size_t n, uint32_t *state)
{
    static const char *const parts[] = {" ",        "  ",       "the ",         "é",         "你好",
                                        "👍🏽", "\n",       "123",          "'s",        "\xFF",
                                        "\xE2\x82", "\xC0\x80", "\xED\xA0\x80", "a",         "\t",
                                        "▁",        "\u0301",   "<s>",          "<|im_end|>"};
    size_t n_out = 0;
    while (n_out + 16 < n) {
        const uint32_t r = next_random(state);
        if (r % 5 == 0) {
            out[n_out++] = (char)(r >> 8);
            continue;
        }
        const char *part = parts[r / 5 % NIB_COUNT(parts)];
        memcpy(out + n_out, part, strlen(part));
        n_out += strlen(part);
    }
    return n_out;
}

/* SentencePiece takes "▁" for a blank: that is how its texts come back. */
static struct nib_str with_blanks(char *text, size_t n)
{
    size_t n_out = 0;
    for (size_t i = 0; i < n; i++) {
        const bool is_blank = n - i >= 3 && memcmp(text + i, "▁", 3) == 0;
        text[n_out++] = is_blank ? ' ' : text[i];
        i += is_blank ? 2 : 0;
    }
    return (struct nib_str){text, n_out};
}

static void test_any_bytes_come_back(void **state)
{
    (void)state;
    for (size_t v = 0; v < NIB_COUNT(real_names); v++) {
        if (strcmp(real_names[v], "smollm2") == 0 || strcmp(real_names[v], "falcon") == 0)
            continue; /* their vocabularies lack bytes that no text has */
        struct nib_tokenizer *t = open_real(real_names[v]);
        const bool is_spm = strcmp(nib_tokenizer_info(t)->kind, "sentencepiece") == 0;
        uint32_t seed = 7;
        for (size_t round = 0; round < 200; round++) {
            char text[300];
            const size_t n = make_noise(text, 20 + round, &seed);
            int32_t *ids;
            size_t n_ids, n_out;
            char *out;
            assert_int_equal(
                nib_tokenizer_encode(t, (struct nib_str){text, n}, 0, &ids, &n_ids, NULL), NIB_OK);
            assert_int_equal(nib_tokenizer_decode(t, ids, n_ids, 0, &out, &n_out, NULL), NIB_OK);
            const struct nib_str expected =
                is_spm ? with_blanks(text, n) : (struct nib_str){text, n};
            assert_true(nib_str_equal((struct nib_str){out, n_out}, expected));
            free(ids);
            free(out);
        }
        nib_tokenizer_free(t);
    }
}

static void test_invalid_bytes_that_the_vocabulary_lacks_become_replacement_characters(void **state)
{
    (void)state;
    struct nib_tokenizer *t = open_real("smollm2");
    int32_t *ids;
    size_t n_ids, n;
    char *out;
    assert_int_equal(nib_tokenizer_encode(t, NIB_STR("a\xFF\x80z"), 0, &ids, &n_ids, NULL), NIB_OK);
    assert_int_equal(nib_tokenizer_decode(t, ids, n_ids, 0, &out, &n, NULL), NIB_OK);
    assert_string_equal(out, "a" NIB_REPLACEMENT "\x80z");
    free(ids);
    free(out);
    nib_tokenizer_free(t);
}

/* ---- streams -------------------------------------------------------------------------------- */

static bool is_whole(const char *text)
{
    return nib_utf8_valid_prefix(nib_str_from(text)) == strlen(text);
}

/* Encode, stream the ids; the text that came out is to be freed. */
static char *stream_text(const struct nib_tokenizer *t, struct nib_str text)
{
    int32_t *ids;
    size_t n_ids, n = 0;
    struct nib_text_stream *stream;
    assert_int_equal(nib_tokenizer_encode(t, text, 0, &ids, &n_ids, NULL), NIB_OK);
    assert_int_equal(nib_text_stream_create_from(&stream, t, NULL), NIB_OK);
    char *out = malloc(3 * text.len + 2);
    for (size_t i = 0; i <= n_ids; i++) {
        const char *part =
            i < n_ids ? nib_text_stream_push(stream, ids[i]) : nib_text_stream_end(stream);
        assert_true(is_whole(part));
        strcpy(out + n, part);
        n += strlen(part);
    }
    assert_string_equal(nib_text_stream_end(stream), "");
    nib_text_stream_free(stream);
    free(ids);
    return out;
}

static void test_stream_gives_whole_characters_and_all_text(void **state)
{
    (void)state;
    static const char text[] =
        "Grüße, 你好 👩‍👩‍👧‍👦 ﷽ \xF0\x9F\x91\x8D\xF0\x9F\x8F\xBD ꙮ";
    for (size_t v = 0; v < NIB_COUNT(real_names); v++) {
        struct nib_tokenizer *t = open_real(real_names[v]);
        char *out = stream_text(t, nib_str_from(text));
        const bool is_spm = strcmp(nib_tokenizer_info(t)->kind, "sentencepiece") == 0;
        assert_string_equal(out + is_spm, text);
        free(out);
        nib_tokenizer_free(t);
    }
}

static void test_stream_replaces_what_is_no_text(void **state)
{
    (void)state;
    static const struct {
        struct nib_str text;
        const char *shown;
    } cases[] = {
        {NIB_STR("a\xE2\x82"), "a" NIB_REPLACEMENT},
        {NIB_STR("a\xE2\x82z"), "a" NIB_REPLACEMENT "z"},
        {NIB_STR("\xF0\x9F\x91"), NIB_REPLACEMENT},
        {NIB_STR("\xFF\xFE"), NIB_REPLACEMENT NIB_REPLACEMENT},
        {NIB_STR("\xE2\xC3\xA9"), NIB_REPLACEMENT "é"},
        {NIB_STR("\xED\xA0\x80"), NIB_REPLACEMENT NIB_REPLACEMENT NIB_REPLACEMENT},
        {NIB_STR("x\0y"), "x" NIB_REPLACEMENT "y"},
    };
    struct nib_tokenizer *t = open_real("gpt-2");
    for (size_t i = 0; i < NIB_COUNT(cases); i++) {
        char *out = stream_text(t, cases[i].text);
        assert_string_equal(out, cases[i].shown);
        free(out);
    }
    nib_tokenizer_free(t);
}

static void test_stream_is_silent_on_special_tokens_and_foreign_ids(void **state)
{
    (void)state;
    struct nib_tokenizer *t = open_real("smollm2");
    struct nib_text_stream *stream;
    assert_int_equal(nib_text_stream_create_from(&stream, t, NULL), NIB_OK);
    assert_string_equal(nib_text_stream_push(stream, 2), "");
    assert_string_equal(nib_text_stream_push(stream, -1), "");
    assert_string_equal(nib_text_stream_push(stream, 1 << 30), "");
    assert_string_equal(nib_text_stream_push(stream, 504), "The");
    assert_string_equal(nib_text_stream_end(stream), "");
    nib_text_stream_free(stream);
    nib_text_stream_free(NULL);
    nib_tokenizer_free(t);
}

/* ---- names, ends ---------------------------------------------------------------------------- */

static void test_ends_of_answers_are_known(void **state)
{
    (void)state;
    static const struct {
        const char *vocabulary, *names[4];
    } cases[] = {
        {"gpt-2", {"<|endoftext|>"}},
        {"llama-bpe", {"<|end_of_text|>", "<|eot_id|>"}},
        {"qwen2", {"<|endoftext|>", "<|im_end|>"}},
        {"smollm2", {"<|im_end|>", "<|endoftext|>"}},
        {"llama-spm", {"</s>"}},
        {"phi-3", {"<|end|>", "<|endoftext|>", "</s>"}},
    };
    for (size_t c = 0; c < NIB_COUNT(cases); c++) {
        struct nib_tokenizer *t = open_real(cases[c].vocabulary);
        for (size_t i = 0; i < 4 && cases[c].names[i] != NULL; i++) {
            int32_t *ids;
            size_t n;
            assert_int_equal(nib_tokenizer_encode(t, nib_str_from(cases[c].names[i]),
                                                  NIB_PARSE_SPECIAL, &ids, &n, NULL),
                             NIB_OK);
            assert_int_equal(n, 1);
            assert_string_equal(nib_tokenizer_name(t, ids[0]), cases[c].names[i]);
            assert_true(nib_tokenizer_is_end(t, ids[0]));
            free(ids);
        }
        assert_true(nib_tokenizer_is_end(t, nib_tokenizer_info(t)->eos_id));
        assert_false(nib_tokenizer_is_end(t, 300));
        assert_false(nib_tokenizer_is_end(t, -1));
        assert_false(nib_tokenizer_is_end(t, INT32_MAX));
        assert_null(nib_tokenizer_name(t, (int32_t)nib_tokenizer_info(t)->n_vocab));
        nib_tokenizer_free(t);
    }
}

static void test_decode_refuses_ids_outside_of_the_vocabulary(void **state)
{
    (void)state;
    struct nib_tokenizer *t = open_real("gpt-2");
    struct nib_error err;
    char *text = (char *)1;
    size_t n = 1;
    assert_int_equal(nib_tokenizer_decode(t, (int32_t[]){5, 50257}, 2, 0, &text, &n, &err),
                     NIB_ERROR_ARGUMENT);
    assert_null(text);
    assert_int_equal(n, 0);
    assert_non_null(strstr(err.message, "50257"));
    nib_tokenizer_free(t);
}

static void test_a_control_token_in_text_stays_text_unless_asked_for(void **state)
{
    (void)state;
    struct nib_tokenizer *t = open_real("smollm2");
    int32_t *ids;
    size_t n;
    const struct nib_str text = NIB_STR("<|im_end|>");
    assert_int_equal(nib_tokenizer_encode(t, text, NIB_ADD_SPECIAL, &ids, &n, NULL), NIB_OK);
    assert_true(n > 1);
    for (size_t i = 0; i < n; i++)
        assert_false(nib_tokenizer_is_end(t, ids[i]));
    free(ids);
    nib_tokenizer_free(t);
}

/* ---- speed: bounds that only a quadratic step would break, under sanitizers too ------------- */

/* A sixteenth of it where each second counts: the bound is the same. */
static size_t megabyte(void)
{
    return is_quick() ? (size_t)1 << 16 : (size_t)1 << 20;
}

static double encode_seconds(const struct nib_tokenizer *t, const char *unit)
{
    const size_t len = strlen(unit), size = megabyte();
    char *text = malloc(size + len);
    size_t n = 0;
    for (; n < size; n += len)
        memcpy(text + n, unit, len);
    struct timespec begin, end;
    int32_t *ids;
    size_t n_ids;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    assert_int_equal(nib_tokenizer_encode(t, (struct nib_str){text, n}, 0, &ids, &n_ids, NULL),
                     NIB_OK);
    clock_gettime(CLOCK_MONOTONIC, &end);
    free(ids);
    free(text);
    return (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
}

static void test_a_megabyte_of_anything_takes_seconds_at_most(void **state)
{
    (void)state;
    static const char *const units[] = {"The ships came in, one after another; 12 of them. ",
                                        "a",
                                        "A",
                                        "1",
                                        " ",
                                        "\n",
                                        "\u0301",
                                        "你",
                                        "👍",
                                        "\xFF",
                                        "a ",
                                        " \n",
                                        "<|",
                                        "'"};
    for (size_t v = 0; v < NIB_COUNT(real_names) + NIB_COUNT(normalizing_names); v++) {
        struct nib_tokenizer *t =
            open_real(v < NIB_COUNT(real_names) ? real_names[v]
                                                : normalizing_names[v - NIB_COUNT(real_names)]);
        for (size_t i = 0; i < NIB_COUNT(units); i++)
            assert_true(encode_seconds(t, units[i]) < 10);
        nib_tokenizer_free(t);
    }
}

/* ---- threads -------------------------------------------------------------------------------- */

struct job {
    const struct nib_tokenizer *tokenizer;
    size_t n_ids;
};

static void *encode_often(void *data)
{
    struct job *job = data;
    static const char text[] = "One tokenizer, many threads: 你好 \xFF 1234 don't\n\n  stop";
    for (int i = 0; i < 200; i++) {
        int32_t *ids;
        size_t n;
        if (nib_tokenizer_encode(job->tokenizer, nib_str_from(text), BOTH, &ids, &n, NULL) ==
            NIB_OK)
            job->n_ids += n;
        free(ids);
    }
    return NULL;
}

static void test_threads_share_a_tokenizer(void **state)
{
    (void)state;
    for (size_t v = 0; v < NIB_COUNT(real_names); v++) {
        struct nib_tokenizer *t = open_real(real_names[v]);
        struct job jobs[4];
        pthread_t threads[4];
        for (size_t i = 0; i < 4; i++) {
            jobs[i] = (struct job){.tokenizer = t};
            assert_int_equal(pthread_create(&threads[i], NULL, encode_often, &jobs[i]), 0);
        }
        for (size_t i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
            assert_true(jobs[i].n_ids > 200 * 10 && jobs[i].n_ids == jobs[0].n_ids);
        }
        nib_tokenizer_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2_matches_reference),
        cmocka_unit_test(test_llama_bpe_matches_reference),
        cmocka_unit_test(test_qwen2_matches_reference),
        cmocka_unit_test(test_llama_spm_matches_reference),
        cmocka_unit_test(test_phi3_matches_reference),
        cmocka_unit_test(test_falcon_matches_reference),
        cmocka_unit_test(test_bert_matches_reference),
        cmocka_unit_test(test_smollm2_matches_reference),
        cmocka_unit_test(test_tiny_llama3_matches_tokenizers_library),
        cmocka_unit_test(test_tiny_spm_matches_sentencepiece_library),
        cmocka_unit_test(test_tiny_unigram_matches_sentencepiece_library),
        cmocka_unit_test(test_any_bytes_come_back),
        cmocka_unit_test(
            test_invalid_bytes_that_the_vocabulary_lacks_become_replacement_characters),
        cmocka_unit_test(test_stream_gives_whole_characters_and_all_text),
        cmocka_unit_test(test_stream_replaces_what_is_no_text),
        cmocka_unit_test(test_stream_is_silent_on_special_tokens_and_foreign_ids),
        cmocka_unit_test(test_ends_of_answers_are_known),
        cmocka_unit_test(test_decode_refuses_ids_outside_of_the_vocabulary),
        cmocka_unit_test(test_a_control_token_in_text_stays_text_unless_asked_for),
        cmocka_unit_test(test_a_megabyte_of_anything_takes_seconds_at_most),
        cmocka_unit_test(test_threads_share_a_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
