/*
 * The models of subwords on vocabularies written down here, Unigram and BPE also against the
 * slowest possible ways of doing the same; tries, maps of characters, SentencePiece's
 * normalisation.
 */
#include "subword.h"

#include "bars.h"
#include "sp_normalize.h"
#include "trie.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define MAX_TOKENS 512

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* ---- vocabularies --------------------------------------------------------------------------- */

struct tokens {
    const char *const *texts;
    size_t n;
    const uint8_t *types;
    const float *scores;
};

static struct nib_vocabulary make_vocabulary(struct tokens tokens)
{
    struct nib_str texts[MAX_TOKENS];
    struct nib_vocabulary v = {.bos_id = -1, .eos_id = -1, .unk_id = -1};
    struct nib_error err;
    assert_true(tokens.n <= MAX_TOKENS);
    for (size_t i = 0; i < tokens.n; i++)
        texts[i] = nib_str_from(tokens.texts[i]);
    const struct nib_token_list list = {.path = "model",
                                        .n_tokens = tokens.n,
                                        .texts = texts,
                                        .types = tokens.types,
                                        .scores = tokens.scores};
    if (nib_vocabulary_create(&v, &list, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return v;
}

static void expect_ids(struct nib_scratch *scratch, const int32_t *expected, size_t n)
{
    assert_int_equal(scratch->ids.n, n);
    if (n > 0)
        assert_memory_equal(scratch->ids.data, expected, n * sizeof(*expected));
    scratch->ids.n = 0;
}

#define EXPECT_IDS(scratch, ...)                                                                   \
    expect_ids(scratch, (const int32_t[]){__VA_ARGS__}, NIB_COUNT(((const int32_t[]){__VA_ARGS__})))

static void test_a_vocabulary_has_1_to_4_million_tokens(void **state)
{
    (void)state;
    struct nib_vocabulary v = {0};
    struct nib_error err;
    const struct nib_token_list list = {.path = "model"};
    assert_int_equal(nib_vocabulary_create(&v, &list, &err), NIB_ERROR_FILE);
    nib_vocabulary_free(&v);
}

static void test_bytes_are_found_by_their_names(void **state)
{
    (void)state;
    struct nib_vocabulary v = make_vocabulary(
        (struct tokens){.texts = (const char *[]){"<0x0A>", "<0xff>", "<0xFF>"}, .n = 3});
    assert_int_equal(nib_vocabulary_find_byte(&v, 10), 0);
    assert_int_equal(nib_vocabulary_find_byte(&v, 255), 2);
    assert_int_equal(nib_vocabulary_find_byte(&v, 11), -1);
    nib_vocabulary_free(&v);
}

/* ---- BPE ------------------------------------------------------------------------------------ */

static const char *const bpe_texts[] = {"<unk>", "a",      "b",      "c",    "ab",   "abc",
                                        "▁",     "<0xC3>", "<0xA9>", "é",    "##b",  "c</w>",
                                        "b</w>", "ab</w>", "▁a",     "##bc", "ab##c"};
enum { UNK, A, B, C, AB, ABC, BAR, BYTE_C3, BYTE_A9, E_ACUTE, _B, C_, B_, AB_, BAR_A, _BC, X };
static const uint8_t bpe_types[] = {2, 1, 1, 1, 1, 1, 1, 6, 6, 3, 1, 1, 1, 1, 1, 1, 1};

static struct nib_bpe *make_bpe(const struct nib_vocabulary *v, struct nib_bpe_options options,
                                const char *const (*merges)[2], size_t n_merges)
{
    struct nib_bpe_merge list[16] = {0};
    struct nib_error err;
    struct nib_bpe *bpe;
    for (size_t i = 0; i < n_merges; i++)
        list[i] = (struct nib_bpe_merge){nib_str_from(merges[i][0]), nib_str_from(merges[i][1])};
    options.path = "model";
    if (nib_bpe_create(&bpe, v, &options, list, n_merges, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return bpe;
}

static void bpe_encode(const struct nib_bpe *bpe, struct nib_scratch *scratch, const char *text)
{
    assert_int_equal(nib_bpe_encode(bpe, scratch, nib_str_from(text), NULL), NIB_OK);
}

static void test_bpe_of_characters_merges_by_rank(void **state)
{
    (void)state;
    struct nib_vocabulary v =
        make_vocabulary((struct tokens){bpe_texts, NIB_COUNT(bpe_texts), bpe_types, NULL});
    struct nib_scratch scratch = {0};
    static const char *const merges[][2] = {{"a", "b"}, {"ab", "c"}, {"▁", "a"}};
    struct nib_bpe *bpe = make_bpe(&v, (struct nib_bpe_options){.unk_id = -1}, merges, 3);
    bpe_encode(bpe, &scratch, "abcab▁a▁b");
    EXPECT_IDS(&scratch, ABC, AB, BAR_A, BAR, B);
    bpe_encode(bpe, &scratch, "aéb"); /* what is unknown is gone before neighbours merge */
    EXPECT_IDS(&scratch, AB);
    bpe_encode(bpe, &scratch, "");
    expect_ids(&scratch, NULL, 0);
    nib_bpe_free(bpe);
    nib_bpe_free(NULL);
    nib_scratch_free(&scratch);
    nib_vocabulary_free(&v);
}

static void test_bpe_falls_back_to_bytes_or_to_the_unknown_token(void **state)
{
    (void)state;
    struct nib_vocabulary v =
        make_vocabulary((struct tokens){bpe_texts, NIB_COUNT(bpe_texts), bpe_types, NULL});
    struct nib_scratch scratch = {0};
    struct nib_bpe_options options = {.unk_id = UNK, .falls_back_to_bytes = true};
    struct nib_bpe *bpe = make_bpe(&v, options, NULL, 0);
    bpe_encode(bpe, &scratch, "aéü👍b"); /* "é" is a control token, of "ü" a byte is missing */
    EXPECT_IDS(&scratch, A, BYTE_C3, BYTE_A9, UNK, UNK, B);
    nib_bpe_free(bpe);
    options.fuses_unknown = true;
    bpe = make_bpe(&v, options, NULL, 0);
    bpe_encode(bpe, &scratch, "ü👍éü\xFF\xFF");
    EXPECT_IDS(&scratch, UNK, BYTE_C3, BYTE_A9, UNK);
    nib_bpe_free(bpe);
    options.falls_back_to_bytes = false;
    bpe = make_bpe(&v, options, NULL, 0);
    bpe_encode(bpe, &scratch, "éüa👍");
    EXPECT_IDS(&scratch, UNK, A, UNK);
    nib_bpe_free(bpe);
    nib_scratch_free(&scratch);
    nib_vocabulary_free(&v);
}

static void test_bpe_takes_whole_words_where_asked(void **state)
{
    (void)state;
    struct nib_vocabulary v =
        make_vocabulary((struct tokens){bpe_texts, NIB_COUNT(bpe_texts), bpe_types, NULL});
    struct nib_scratch scratch = {0};
    struct nib_bpe *bpe =
        make_bpe(&v, (struct nib_bpe_options){.unk_id = UNK, .takes_whole_words = true}, NULL, 0);
    bpe_encode(bpe, &scratch, "abc");
    EXPECT_IDS(&scratch, ABC);
    bpe_encode(bpe, &scratch, "é"); /* never a control token */
    EXPECT_IDS(&scratch, UNK);
    nib_bpe_free(bpe);
    nib_scratch_free(&scratch);
    nib_vocabulary_free(&v);
}

static void test_bpe_marks_later_and_last_symbols(void **state)
{
    (void)state;
    struct nib_vocabulary v =
        make_vocabulary((struct tokens){bpe_texts, NIB_COUNT(bpe_texts), bpe_types, NULL});
    struct nib_scratch scratch = {0};
    static const char *const with_suffix[][2] = {{"a", "b</w>"}};
    struct nib_bpe_options options = {.unk_id = -1, .end_suffix = NIB_STR("</w>")};
    struct nib_bpe *bpe = make_bpe(&v, options, with_suffix, 1);
    bpe_encode(bpe, &scratch, "ab");
    EXPECT_IDS(&scratch, AB_);
    bpe_encode(bpe, &scratch, "abc");
    EXPECT_IDS(&scratch, A, B, C_);
    nib_bpe_free(bpe);

    static const char *const with_prefix[][2] = {{"a", "##b"}};
    options = (struct nib_bpe_options){.unk_id = -1, .continuing_prefix = NIB_STR("##")};
    bpe = make_bpe(&v, options, with_prefix, 1);
    bpe_encode(bpe, &scratch, "ab");
    EXPECT_IDS(&scratch, AB);
    bpe_encode(bpe, &scratch, "bb");
    EXPECT_IDS(&scratch, B, _B);
    nib_bpe_free(bpe);
    nib_scratch_free(&scratch);
    nib_vocabulary_free(&v);
}

static void test_merges_are_two_tokens_that_make_a_third(void **state)
{
    (void)state;
    struct nib_vocabulary v =
        make_vocabulary((struct tokens){bpe_texts, NIB_COUNT(bpe_texts), bpe_types, NULL});
    static const char *const bad[][2] = {{"a", "x"}, {"x", "a"}, {"a", "c"}, {"", "a"}, {"a", ""}};
    for (size_t i = 0; i < NIB_COUNT(bad); i++) {
        const struct nib_bpe_merge merge = {nib_str_from(bad[i][0]), nib_str_from(bad[i][1])};
        struct nib_bpe *bpe;
        struct nib_error err;
        assert_int_equal(nib_bpe_create(&bpe, &v,
                                        &(struct nib_bpe_options){.path = "model", .unk_id = -1},
                                        &merge, 1, &err),
                         NIB_ERROR_FILE);
        assert_null(bpe);
        assert_non_null(strstr(err.message, "model: merge 0"));
    }
    char suffix[NIB_MAX_AFFIX_BYTES + 1];
    memset(suffix, 'x', sizeof(suffix));
    const struct nib_bpe_options options = {.path = "model",
                                            .end_suffix = {suffix, sizeof(suffix)}};
    struct nib_bpe *bpe;
    struct nib_error err;
    assert_int_equal(nib_bpe_create(&bpe, &v, &options, NULL, 0, &err), NIB_ERROR_FILE);
    assert_non_null(strstr(err.message, "suffix"));
    nib_vocabulary_free(&v);
}

/* ---- Unigram -------------------------------------------------------------------------------- */

static const char *const unigram_texts[] = {"<unk>",  "a",      "b",  "ab", "▁",   "▁a", "aa",
                                            "<0xC3>", "<0xA9>", "xy", "no", "<s>", "ba"};
static const uint8_t unigram_types[] = {2, 1, 1, 1, 1, 1, 1, 6, 6, 4, 5, 3, 1};
static const float unigram_scores[] = {0, -2, -2, -3, -1, -2, -5, 0, 0, 0, -1, -1, -3};

static struct nib_unigram *make_unigram(const struct nib_vocabulary *v,
                                        struct nib_unigram_options options)
{
    struct nib_error err;
    struct nib_unigram *u;
    options.path = "model";
    if (nib_unigram_create(&u, v, &options, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return u;
}

static void unigram_encode(const struct nib_unigram *u, struct nib_scratch *scratch,
                           const char *text)
{
    assert_int_equal(nib_unigram_encode(u, scratch, nib_str_from(text), NULL), NIB_OK);
}

static void test_unigram_takes_the_tokens_of_the_largest_sum(void **state)
{
    (void)state;
    const struct tokens tokens = {unigram_texts, NIB_COUNT(unigram_texts), unigram_types,
                                  unigram_scores};
    struct nib_vocabulary v = make_vocabulary(tokens);
    struct nib_scratch scratch = {0};
    struct nib_unigram *u = make_unigram(&v, (struct nib_unigram_options){.unk_id = 0});
    unigram_encode(u, &scratch, "ab▁aa▁ab");
    EXPECT_IDS(&scratch, 3, 5, 1, 4, 3);
    unigram_encode(u, &scratch, "aba"); /* ab a or a ba: of equal sums the longest last token */
    EXPECT_IDS(&scratch, 1, 12);
    unigram_encode(u, &scratch, "axyb"); /* user-defined */
    EXPECT_IDS(&scratch, 1, 9, 2);
    unigram_encode(u, &scratch, "anob<s>"); /* unused and control tokens are not of text */
    EXPECT_IDS(&scratch, 1, 0, 2, 0);
    unigram_encode(u, &scratch, "aé\xFFü"); /* unknown neighbours are one */
    EXPECT_IDS(&scratch, 1, 0);
    unigram_encode(u, &scratch, "");
    expect_ids(&scratch, NULL, 0);
    nib_unigram_free(u);
    u = make_unigram(&v, (struct nib_unigram_options){.unk_id = 0, .falls_back_to_bytes = true});
    unigram_encode(u, &scratch, "üéüa");
    EXPECT_IDS(&scratch, 0, 7, 8, 0, 1);
    nib_unigram_free(u);
    u = make_unigram(&v, (struct nib_unigram_options){.unk_id = -1});
    unigram_encode(u, &scratch, "éaü");
    EXPECT_IDS(&scratch, 1);
    nib_unigram_free(u);
    nib_unigram_free(NULL);
    nib_scratch_free(&scratch);
    nib_vocabulary_free(&v);
}

static void test_unigram_tokens_have_512_bytes_at_most(void **state)
{
    (void)state;
    char text[514];
    memset(text, 'a', 513);
    text[513] = 0;
    const char *const texts[] = {"a", text};
    const float scores[] = {0, 0};
    struct nib_unigram *u;
    struct nib_error err;
    struct nib_vocabulary v = make_vocabulary((struct tokens){texts, 2, NULL, scores});
    assert_int_equal(
        nib_unigram_create(&u, &v, &(struct nib_unigram_options){.path = "model"}, &err),
        NIB_ERROR_FILE);
    assert_null(u);
    assert_non_null(strstr(err.message, "token 1 is 513 bytes"));
    nib_vocabulary_free(&v);
}

/* The largest sum of all ways to cut `text`, by trying all. */
static double largest_sum(const struct nib_vocabulary *v, const char *text, double unk_score)
{
    if (*text == 0)
        return 0;
    double best = -1e30;
    bool has_character = false;
    const size_t n_bar = nib_is_bar(text, strlen(text)) ? NIB_BAR_LEN : 1;
    for (size_t i = 0; i < v->n_tokens; i++)
        if (v->text[i].len > 0 && strncmp(text, v->text[i].data, v->text[i].len) == 0) {
            const double sum =
                (double)v->score[i] + largest_sum(v, text + v->text[i].len, unk_score);
            best = sum > best ? sum : best;
            has_character = has_character || v->text[i].len == n_bar;
        }
    if (!has_character) {
        const double sum = unk_score + largest_sum(v, text + n_bar, unk_score);
        best = sum > best ? sum : best;
    }
    return best;
}

static void test_unigram_equals_the_slowest_way(void **state)
{
    (void)state;
    static const char *const letters[] = {"a", "b", "▁"};
    uint32_t seed = 11;
    for (size_t round = 0; round < 300; round++) {
        char text[24][16];
        const char *texts[24];
        float scores[24];
        const size_t n = 4 + next_random(&seed) % 20;
        for (size_t i = 0; i < n; i++) {
            const size_t n_letters = 1 + next_random(&seed) % 4;
            text[i][0] = 0;
            for (size_t k = 0; k < n_letters; k++)
                strcat(text[i], letters[next_random(&seed) % 3]);
            texts[i] = text[i];
            for (size_t j = 0; j < i; j++)
                if (strcmp(text[i], text[j]) == 0)
                    texts[i] = ""; /* once each */
            scores[i] = -(float)(next_random(&seed) % 64) / 8;
        }
        texts[0] = "b"; /* at least one, so that the lowest score is of a token */
        for (size_t i = 1; i < n; i++)
            texts[i] = strcmp(texts[i], "b") == 0 ? "" : texts[i];
        double min_score = (double)scores[0];
        for (size_t i = 0; i < n; i++)
            if (texts[i][0] != 0 && (double)scores[i] < min_score)
                min_score = (double)scores[i];
        struct nib_vocabulary v = make_vocabulary((struct tokens){texts, n, NULL, scores});
        struct nib_unigram *u = make_unigram(&v, (struct nib_unigram_options){.unk_id = -1});
        struct nib_scratch scratch = {0};
        char line[64] = "";
        for (size_t k = 0; k < 12; k++)
            strcat(line, letters[next_random(&seed) % 3]);
        unigram_encode(u, &scratch, line);
        /* Walk the tokens through the text; what they leave out was unknown. */
        double sum = 0;
        const char *p = line;
        for (size_t i = 0; i < scratch.ids.n; i++) {
            const struct nib_str token = v.text[scratch.ids.data[i]];
            while (strncmp(p, token.data, token.len) != 0) {
                assert_true(*p != 0);
                sum += min_score - 10;
                p += nib_is_bar(p, strlen(p)) ? NIB_BAR_LEN : 1;
            }
            sum += (double)v.score[scratch.ids.data[i]];
            p += token.len;
        }
        for (; *p != 0; p += nib_is_bar(p, strlen(p)) ? NIB_BAR_LEN : 1)
            sum += min_score - 10;
        const double expected = largest_sum(&v, line, min_score - 10);
        if (sum != expected)
            fail_msg("'%s': %f, expected %f", line, sum, expected);
        nib_scratch_free(&scratch);
        nib_unigram_free(u);
        nib_vocabulary_free(&v);
    }
}

/* ---- WordPiece ------------------------------------------------------------------------------ */

static void wordpiece_encode(const struct nib_wordpiece *w, struct nib_scratch *scratch,
                             const char *text)
{
    assert_int_equal(nib_wordpiece_encode(w, scratch, nib_str_from(text), NULL), NIB_OK);
}

static void test_wordpiece_takes_the_longest_tokens(void **state)
{
    (void)state;
    static const char *const texts[] = {"[UNK]", "un",  "##able", "##a", "unab", "##le",
                                        "é",     "##é", "[CLS]",  "#",   "##"};
    static const uint8_t types[] = {2, 1, 1, 1, 1, 1, 1, 1, 3, 1, 1};
    struct nib_vocabulary v =
        make_vocabulary((struct tokens){texts, NIB_COUNT(texts), types, NULL});
    struct nib_scratch scratch = {0};
    struct nib_wordpiece *w;
    struct nib_wordpiece_options options = {
        .path = "model", .continuing_prefix = NIB_STR("##"), .unk_id = 0, .max_characters = 5};
    assert_int_equal(nib_wordpiece_create(&w, &v, &options, NULL), NIB_OK);
    wordpiece_encode(w, &scratch, "una");
    EXPECT_IDS(&scratch, 1, 3);
    wordpiece_encode(w, &scratch, "unabl"); /* the longest one leads nowhere: no way back */
    EXPECT_IDS(&scratch, 0);
    wordpiece_encode(w, &scratch, "éé");
    EXPECT_IDS(&scratch, 6, 7);
    wordpiece_encode(w, &scratch, "ééééé"); /* characters, not bytes */
    EXPECT_IDS(&scratch, 6, 7, 7, 7, 7);
    wordpiece_encode(w, &scratch, "éééééé");
    EXPECT_IDS(&scratch, 0);
    wordpiece_encode(w, &scratch, "##");
    EXPECT_IDS(&scratch, 10);
    wordpiece_encode(w, &scratch, "able"); /* goes on, does not begin */
    EXPECT_IDS(&scratch, 0);
    wordpiece_encode(w, &scratch, "[CLS]"); /* control tokens are not of text */
    EXPECT_IDS(&scratch, 0);
    wordpiece_encode(w, &scratch, "");
    expect_ids(&scratch, NULL, 0);
    nib_wordpiece_free(w);
    options.max_characters = 0;
    options.unk_id = -1;
    assert_int_equal(nib_wordpiece_create(&w, &v, &options, NULL), NIB_OK);
    wordpiece_encode(w, &scratch, "éééééé");
    EXPECT_IDS(&scratch, 6, 7, 7, 7, 7, 7);
    wordpiece_encode(w, &scratch, "x");
    expect_ids(&scratch, NULL, 0);
    nib_wordpiece_free(w);
    options.continuing_prefix = NIB_STR("@@"); /* no token has it: words of one token alone */
    assert_int_equal(nib_wordpiece_create(&w, &v, &options, NULL), NIB_OK);
    wordpiece_encode(w, &scratch, "unun");
    expect_ids(&scratch, NULL, 0);
    wordpiece_encode(w, &scratch, "un");
    EXPECT_IDS(&scratch, 1);
    nib_wordpiece_free(w);
    nib_wordpiece_free(NULL);
    nib_scratch_free(&scratch);
    nib_vocabulary_free(&v);
}

/* ---- tries ---------------------------------------------------------------------------------- */

static int32_t trie_find(const struct nib_trie *trie, struct nib_str text)
{
    uint32_t node = NIB_TRIE_ROOT;
    for (size_t i = 0; i < text.len; i++)
        if ((node = nib_trie_step(trie, node, (uint8_t)text.data[i])) == NIB_TRIE_ROOT)
            return -1;
    return trie->nodes[node].id;
}

static void test_a_trie_finds_its_texts_and_no_others(void **state)
{
    (void)state;
    enum { N = 400 };
    static char bytes[N][4];
    struct nib_trie_entry entries[N], sorted[N];
    uint32_t seed = 3;
    for (size_t i = 0; i < N; i++) {
        const size_t len = 1 + next_random(&seed) % 3;
        for (size_t k = 0; k < len; k++) /* nodes of few children, and of many */
            bytes[i][k] = (char)(k == 1 ? next_random(&seed) % 4 : next_random(&seed));
        entries[i] = (struct nib_trie_entry){{bytes[i], len}, (int32_t)i};
    }
    memcpy(sorted, entries, sizeof(sorted));
    struct nib_trie trie;
    assert_int_equal(nib_trie_create(&trie, sorted, N, "model", NULL), NIB_OK);
    for (size_t i = 0; i < N; i++) {
        size_t first = 0; /* the lowest id of this text */
        while (!nib_str_equal(entries[first].text, entries[i].text))
            first++;
        assert_int_equal(trie_find(&trie, entries[i].text), first);
    }
    for (size_t i = 0; i < 2000; i++) {
        char text[3];
        for (size_t k = 0; k < 3; k++)
            text[k] = (char)(k == 1 ? next_random(&seed) % 4 : next_random(&seed));
        int32_t expected = -1;
        for (size_t j = N; j-- > 0;)
            if (nib_str_equal(entries[j].text, (struct nib_str){text, 3}))
                expected = (int32_t)j;
        assert_int_equal(trie_find(&trie, (struct nib_str){text, 3}), expected);
    }
    nib_trie_free(&trie);
    assert_int_equal(nib_trie_create(&trie, NULL, 0, "model", NULL), NIB_OK);
    assert_int_equal(trie_find(&trie, NIB_STR("a")), -1);
    nib_trie_free(&trie);
}

/* ---- maps of characters --------------------------------------------------------------------- */

/* Node k has its children at base 256 * (k + 1), unused units are of no label. */
#define N_NODES 6
#define N_UNITS (256 * (N_NODES + 1))

struct map {
    uint8_t blob[4 + 4 * N_UNITS + 600];
    size_t n;
};

static void put_u32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

static uint8_t *unit_at(struct map *map, size_t i)
{
    return map->blob + 4 + 4 * i;
}

/* `byte` leads from node `from` to node `to`, whose value is `value`; -1: it has none. */
static void put_edge(struct map *map, size_t from, uint8_t byte, size_t to, int value)
{
    const size_t index = 256 * (from + 1) + byte, base = 256 * (to + 1);
    put_u32(unit_at(map, index),
            byte | (uint32_t)(value >= 0) << 8 | (uint32_t)(index ^ base) << 10);
    if (value >= 0)
        put_u32(unit_at(map, base), UINT32_C(1) << 31 | (uint32_t)value);
}

/* "a" to "b", "ab" to "XY", "é" to "e", " " and tab to " ". */
static void make_map(struct map *map)
{
    static const char texts[] = "b\0XY\0e\0 ";
    memset(map->blob, 0xFF, sizeof(map->blob));
    put_u32(map->blob, 4 * N_UNITS);
    put_u32(unit_at(map, 0), 256u << 10);
    put_edge(map, 0, 'a', 1, 0);
    put_edge(map, 1, 'b', 2, 2);
    put_edge(map, 0, 0xC3, 3, -1);
    put_edge(map, 3, 0xA9, 4, 5);
    put_edge(map, 0, '\t', 5, 7);
    memcpy(map->blob + 4 + 4 * N_UNITS, texts, sizeof(texts));
    map->n = 4 + 4 * N_UNITS + sizeof(texts);
}

static enum nib_status open_map(struct nib_charsmap **out, const struct map *map, size_t n,
                                struct nib_error *err)
{
    uint8_t *copy = malloc(n + 1); /* exact, so that a byte read past its end is seen */
    uint8_t *exact = realloc(copy, n > 0 ? n : 1);
    memcpy(exact, map->blob, n);
    const enum nib_status status = nib_charsmap_create(out, exact, n, "model", err);
    free(exact);
    return status;
}

static void test_charsmap_finds_the_longest_and_the_shortest(void **state)
{
    (void)state;
    struct map map;
    struct nib_charsmap *m;
    struct nib_str text;
    make_map(&map);
    assert_int_equal(open_map(&m, &map, map.n, NULL), NIB_OK);
    assert_int_equal(nib_charsmap_longest(m, NIB_STR("abc"), &text), 2);
    assert_true(nib_str_equal(text, NIB_STR("XY")));
    assert_int_equal(nib_charsmap_shortest(m, NIB_STR("abc"), &text), 1);
    assert_true(nib_str_equal(text, NIB_STR("b")));
    assert_int_equal(nib_charsmap_longest(m, NIB_STR("a"), &text), 1);
    assert_int_equal(nib_charsmap_longest(m, NIB_STR("é"), &text), 2);
    assert_true(nib_str_equal(text, NIB_STR("e")));
    assert_int_equal(nib_charsmap_longest(m, NIB_STR("\xC3"), &text), 0);
    assert_int_equal(nib_charsmap_longest(m, NIB_STR("b"), &text), 0);
    assert_int_equal(nib_charsmap_longest(m, NIB_STR("\0a"), &text), 0);
    assert_int_equal(nib_charsmap_longest(m, NIB_STR(""), &text), 0);
    nib_charsmap_free(m);
    nib_charsmap_free(NULL);
}

static void expect_bad_map(struct map *map)
{
    struct nib_charsmap *m;
    struct nib_error err;
    assert_int_equal(open_map(&m, map, map->n, &err), NIB_ERROR_FILE);
    assert_null(m);
    assert_non_null(strstr(err.message, "precompiled_charsmap"));
    make_map(map);
}

static void test_charsmaps_that_lead_out_of_themselves_are_refused(void **state)
{
    (void)state;
    static struct map map;
    make_map(&map);
    for (size_t n = 0; n < 12; n++) {
        map.n = n;
        expect_bad_map(&map);
    }
    map.n = 4 + 4 * N_UNITS; /* no texts */
    expect_bad_map(&map);
    map.n--; /* the last text has no end */
    expect_bad_map(&map);
    put_u32(map.blob, 4 * N_UNITS + 1);
    expect_bad_map(&map);
    put_u32(map.blob, 0);
    expect_bad_map(&map);
    put_u32(map.blob, UINT32_MAX - 3);
    expect_bad_map(&map);
    put_edge(&map, 1, 'b', 2, 8 + 1); /* behind the texts */
    expect_bad_map(&map);
    put_edge(&map, 1, 'b', 2, INT32_MAX);
    expect_bad_map(&map);
    put_edge(&map, 1, 'b', 60, -1); /* a value behind the units */
    put_u32(unit_at(&map, 256 * 2 + 'b'), 'b' | 1u << 8 | 1u << 20 << 10);
    expect_bad_map(&map);
    /* A text of 257 bytes; 256 are fine. */
    struct nib_charsmap *m;
    memset(map.blob + 4 + 4 * N_UNITS, 'x', 300);
    map.blob[4 + 4 * N_UNITS + 8 + 256] = 0;
    map.n = 4 + 4 * N_UNITS + 8 + 257;
    put_edge(&map, 0, 'a', 1, 8);
    put_edge(&map, 1, 'b', 2, 9);
    put_edge(&map, 3, 0xA9, 4, 9);
    put_edge(&map, 0, '\t', 5, 9);
    assert_int_equal(open_map(&m, &map, map.n, NULL), NIB_OK);
    nib_charsmap_free(m);
    put_edge(&map, 0, 'a', 1, 7);
    expect_bad_map(&map);
}

/* Whatever the bytes are: an error, or a map that can be used. */
static void test_damaged_charsmaps_do_no_harm(void **state)
{
    (void)state;
    static struct map map;
    uint32_t seed = 17;
    size_t n_opened = 0;
    for (size_t round = 0; round < 3000; round++) {
        make_map(&map);
        for (size_t i = 0; i < 1 + round % 8; i++) {
            const size_t node = next_random(&seed) % (N_NODES + 1);
            uint8_t *unit = unit_at(
                &map, node * 256 + (next_random(&seed) % 2 ? 'a' : next_random(&seed) % 256));
            put_u32(unit, round % 2 == 0 ? next_random(&seed) << 8 | next_random(&seed)
                                         : 'a' | (next_random(&seed) % 4096) << 10);
        }
        struct nib_charsmap *m;
        if (open_map(&m, &map, map.n, NULL) != NIB_OK)
            continue;
        struct nib_str text;
        (void)nib_charsmap_longest(m, NIB_STR("aaaaaaaaaaaaaaab\xC3\xA9"), &text);
        (void)nib_charsmap_longest(m, NIB_STR("\xC3\xA9"), &text);
        nib_charsmap_free(m);
        n_opened++;
    }
    assert_true(n_opened > 100);
}

/* ---- SentencePiece's normalisation ---------------------------------------------------------- */

static void test_sentencepiece_normalisation(void **state)
{
    (void)state;
    struct map map;
    struct nib_charsmap *m;
    make_map(&map);
    assert_int_equal(open_map(&m, &map, map.n, NULL), NIB_OK);
    const struct nib_sp_normalizer plain = {0}, bars = {.adds_blank = true, .writes_bars = true},
                                   t5 = {.map = m,
                                         .adds_blank = true,
                                         .removes_extra_blanks = true,
                                         .writes_bars = true},
                                   behind = {.adds_blank = true,
                                             .adds_blank_behind = true,
                                             .removes_extra_blanks = true,
                                             .writes_bars = true},
                                   single = {.map = m, .removes_extra_blanks = true};
    const struct {
        const struct nib_sp_normalizer *normalizer;
        const char *text, *expected;
    } cases[] = {
        {&plain, " a  b ", " a  b "},
        {&plain, "\xFFx\xE2\x82", "\xEF\xBF\xBDx\xEF\xBF\xBD\xEF\xBF\xBD"},
        {&bars, " a", "▁▁a"},
        {&bars, "", ""},
        {&bars, " ", "▁▁"},
        {&t5, "  ab \t c\t", "▁XY▁c"},
        {&t5, " \t ", ""},
        {&t5, "aé", "▁be"},
        {&behind, " x  y ", "x▁y▁"},
        {&behind, "  ", ""},
        {&single, "\t\tx  \t y ", "x y"},
    };
    struct nib_buffer out = {0};
    for (size_t i = 0; i < NIB_COUNT(cases); i++) {
        assert_true(nib_sp_normalize(cases[i].normalizer, &out, nib_str_from(cases[i].text)));
        if (!nib_str_equal((struct nib_str){out.data, out.n}, nib_str_from(cases[i].expected)))
            fail_msg("'%s' gave '%.*s'", cases[i].text, (int)out.n, out.data);
    }
    free(out.data);
    nib_charsmap_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_vocabulary_has_1_to_4_million_tokens),
        cmocka_unit_test(test_bytes_are_found_by_their_names),
        cmocka_unit_test(test_bpe_of_characters_merges_by_rank),
        cmocka_unit_test(test_bpe_falls_back_to_bytes_or_to_the_unknown_token),
        cmocka_unit_test(test_bpe_takes_whole_words_where_asked),
        cmocka_unit_test(test_bpe_marks_later_and_last_symbols),
        cmocka_unit_test(test_merges_are_two_tokens_that_make_a_third),
        cmocka_unit_test(test_unigram_takes_the_tokens_of_the_largest_sum),
        cmocka_unit_test(test_unigram_tokens_have_512_bytes_at_most),
        cmocka_unit_test(test_unigram_equals_the_slowest_way),
        cmocka_unit_test(test_wordpiece_takes_the_longest_tokens),
        cmocka_unit_test(test_a_trie_finds_its_texts_and_no_others),
        cmocka_unit_test(test_charsmap_finds_the_longest_and_the_shortest),
        cmocka_unit_test(test_charsmaps_that_lead_out_of_themselves_are_refused),
        cmocka_unit_test(test_damaged_charsmaps_do_no_harm),
        cmocka_unit_test(test_sentencepiece_normalisation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
