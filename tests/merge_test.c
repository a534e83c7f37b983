/* Both kinds of BPE on random vocabularies against the slowest possible way of doing the same. */
#include "vocabulary_builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define N_TOKENS 40
#define MAX_LEN  12
#define MAX_TEXT 60

/* Random words over three letters, which are the first tokens. */
struct random_vocabulary {
    char text[N_TOKENS][MAX_LEN + 1];
    const char *tokens[N_TOKENS];
    char merge_text[4 * N_TOKENS][2 * MAX_LEN + 2];
    const char *merges[4 * N_TOKENS];
    float scores[N_TOKENS];
    size_t n_merges, n_tokens;
};

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static int find_token(const struct random_vocabulary *v, const char *text)
{
    for (size_t i = 0; i < v->n_tokens; i++)
        if (strcmp(v->text[i], text) == 0)
            return (int)i;
    return -1;
}

/* Is there a "▁" after another letter? */
static bool has_inner_blank(const char *text)
{
    while (strncmp(text, "▁", 3) == 0)
        text += 3;
    return strstr(text, "▁") != NULL;
}

static void make_random_vocabulary(struct random_vocabulary *v, const char *const letters[3],
                                   bool allows_inner_blanks, uint32_t *state)
{
    *v = (struct random_vocabulary){.n_tokens = 3};
    for (size_t i = 0; i < 3; i++)
        strcpy(v->text[i], letters[i]);
    for (int tries = 0; tries < 300 && v->n_tokens < N_TOKENS; tries++) {
        char left[MAX_LEN + 1], right[MAX_LEN + 1];
        strcpy(left, v->text[next_random(state) % v->n_tokens]);
        strcpy(right, v->text[next_random(state) % v->n_tokens]);
        char joined[2 * MAX_LEN + 1];
        snprintf(joined, sizeof(joined), "%.12s%.12s", left, right);
        if (strlen(joined) > MAX_LEN || v->n_merges == NIB_COUNT(v->merges) ||
            (!allows_inner_blanks && has_inner_blank(joined)))
            continue;
        snprintf(v->merge_text[v->n_merges++], sizeof(v->merge_text[0]), "%s %s", left, right);
        if (find_token(v, joined) < 0)
            strcpy(v->text[v->n_tokens++], joined);
    }
    for (size_t i = 0; i < v->n_tokens; i++) {
        v->tokens[i] = v->text[i];
        v->scores[i] = (float)(next_random(state) % 7) - 3; /* many are equal */
    }
    for (size_t i = 0; i < v->n_merges; i++)
        v->merges[i] = v->merge_text[i];
}

/* The rank of merging two tokens: the first such merge, for SentencePiece minus the score. */
static bool pair_rank(const struct random_vocabulary *v, bool is_spm, const char *left,
                      const char *right, float *rank)
{
    char text[4 * MAX_LEN + 2];
    if (is_spm) {
        snprintf(text, sizeof(text), "%.12s%.12s", left, right);
        const int id = find_token(v, text);
        *rank = id < 0 ? 0 : -v->scores[id];
        return id >= 0;
    }
    snprintf(text, sizeof(text), "%.24s %.24s", left, right);
    for (size_t i = 0; i < v->n_merges; i++)
        if (strcmp(v->merges[i], text) == 0) {
            *rank = (float)i;
            return true;
        }
    return false;
}

static size_t encode_slowly(const struct random_vocabulary *v, bool is_spm, const char *text,
                            int32_t *ids)
{
    static char parts[MAX_TEXT + 1][2 * MAX_LEN + 1];
    size_t n = 0;
    for (size_t len; *text != 0; text += len, n++) {
        len = (unsigned char)*text < 0x80 ? 1 : 3;
        snprintf(parts[n], sizeof(parts[n]), "%.*s", (int)len, text);
    }
    for (;;) {
        size_t best = n;
        float best_rank = 0, rank;
        for (size_t i = 0; i + 1 < n; i++)
            if (pair_rank(v, is_spm, parts[i], parts[i + 1], &rank) &&
                (best == n || rank < best_rank)) {
                best = i;
                best_rank = rank;
            }
        if (best == n)
            break;
        memmove(parts[best] + strlen(parts[best]), parts[best + 1], strlen(parts[best + 1]) + 1);
        memmove(parts[best + 1], parts[best + 2], (n - best - 2) * sizeof(parts[0]));
        n--;
    }
    for (size_t i = 0; i < n; i++)
        ids[i] = find_token(v, parts[i]);
    return n;
}

static void check_random(bool is_spm)
{
    static const char *const letters[2][3] = {{"a", "b", "c"}, {"a", "b", "▁"}};
    uint32_t seed = 1;
    for (int round = 0; round < 60; round++) {
        struct random_vocabulary r;
        make_random_vocabulary(&r, letters[is_spm], round % 2 == 0, &seed);
        const struct vocabulary v = {.model = is_spm ? "llama" : "gpt2",
                                     .pre = "gpt-2",
                                     .tokens = r.tokens,
                                     .n_tokens = r.n_tokens,
                                     .scores = is_spm ? r.scores : NULL,
                                     .merges = r.merges,
                                     .n_merges = r.n_merges};
        struct gguf_builder b;
        vocabulary_put(&v, &b);
        gguf_add_bool(&b, "tokenizer.ggml.add_space_prefix", false);
        struct nib_tokenizer *t;
        struct nib_error err;
        if (vocabulary_open(&t, &b, &err) != NIB_OK)
            fail_msg("%s", err.message);
        for (int i = 0; i < 50; i++) {
            char text[MAX_TEXT + 1], escaped[3 * MAX_TEXT + 1] = "";
            const size_t n = 1 + next_random(&seed) % MAX_TEXT;
            for (size_t j = 0; j < n; j++) {
                const char *letter = letters[is_spm][next_random(&seed) % 3];
                text[j] = letter[1] == 0 ? letter[0] : ' ';
                strcat(escaped, letter);
            }
            int32_t expected[MAX_TEXT];
            const size_t n_expected = encode_slowly(&r, is_spm, escaped, expected);
            int32_t *ids;
            size_t n_ids;
            assert_int_equal(
                nib_tokenizer_encode(t, (struct nib_str){text, n}, 0, &ids, &n_ids, NULL), NIB_OK);
            assert_int_equal(n_ids, n_expected);
            assert_memory_equal(ids, expected, n_ids * sizeof(*ids));
            free(ids);
        }
        nib_tokenizer_free(t);
    }
}

static void test_bpe_equals_the_slowest_way(void **state)
{
    (void)state;
    check_random(false);
}

static void test_sentencepiece_equals_the_slowest_way(void **state)
{
    (void)state;
    check_random(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bpe_equals_the_slowest_way),
        cmocka_unit_test(test_sentencepiece_equals_the_slowest_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
