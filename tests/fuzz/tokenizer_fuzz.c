/*
 * Any bytes as text, for each pre-tokenizer and kind, on small vocabularies that have all bytes:
 * encoding succeeds, its ids decode (to the same bytes, where the kind keeps them), and a stream of
 * them is valid UTF-8.  The first two bytes of the input choose the tokenizer and the flags; one
 * choice is to take the rest as a map of characters.
 */
#include "charsmap.h"
#include "split_patterns.h"
#include "utf8.h"
#include "vocabulary_builder.h"

#define N_LETTERS 256
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MAX_PRE_TOKENIZERS 128
static const char *const bpe_words[] = {"Ġa", "ab",    "the",   "th",  "Ġthe", "ĊĊ",
                                        "12", "ĠĠ",    "ðŁ",    "ðŁĳ", "âĢ",   "<x>",
                                        "<x", "<xyz>", "<|u|>", "'s",  "ĠĠĠĠ"};
static const int32_t bpe_word_types[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 4, 3, 4, 1, 1};
static const char *const bpe_merges[] = {"Ġ Ġ",  "t h", "th e", "Ġ the", "Ġ a", "a b",  "ð Ł",
                                         "ðŁ ĳ", "â Ģ", "1 2",  "Ċ Ċ",   "' s", "ĠĠ ĠĠ"};
static const char *const spm_words[] = {"▁", "a",   "b",   "▁a",   "ab", "▁▁", "▁▁▁▁", "é",
                                        "👍", "<s>", "<u>", "▁the", "th", "t",  "h",    "the"};
static const char *const spm_merges[] = {"▁ a", "a b", "▁ ▁", "▁▁ ▁▁", "t h"};
static const int32_t spm_word_types[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 4, 1, 1, 1, 1, 1};

static struct nib_tokenizer *tokenizers[MAX_PRE_TOKENIZERS + 8];
static bool keeps_bytes[NIB_COUNT(tokenizers)];
static size_t n_tokenizers;

static char texts[N_LETTERS][8];
static const char *tokens[N_LETTERS + 32];
static int32_t types[N_LETTERS + 32];
static float scores[N_LETTERS + 32];

static size_t add_words(const char *const *words, const int32_t *word_types, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tokens[N_LETTERS + i] = words[i];
        types[N_LETTERS + i] = word_types[i];
        scores[N_LETTERS + i] = (float)(i % 5);
    }
    return N_LETTERS + n;
}

/* The printable characters that stand for bytes, in no order. */
static void make_letters(void)
{
    size_t n = 0;
    for (unsigned c = 33; c < 256 + 68; c++) {
        if ((c >= 127 && c <= 160) || c == 173)
            continue;
        if (c < 128)
            snprintf(texts[n], sizeof(texts[n]), "%c", (int)c);
        else
            snprintf(texts[n], sizeof(texts[n]), "%c%c", (int)(0xC0 | c >> 6),
                     (int)(0x80 | (c & 0x3F)));
        n++;
    }
    REQUIRE(n == N_LETTERS);
    for (size_t i = 0; i < N_LETTERS; i++) {
        tokens[i] = texts[i];
        types[i] = 1;
    }
}

static void make_bytes(void)
{
    for (unsigned i = 0; i < N_LETTERS; i++) {
        snprintf(texts[i], sizeof(texts[i]), "<0x%02X>", i);
        types[i] = 6;
    }
}

static void add_tokenizer(struct gguf_builder *b, bool keeps)
{
    struct nib_error err;
    REQUIRE(n_tokenizers < NIB_COUNT(tokenizers));
    keeps_bytes[n_tokenizers] = keeps;
    REQUIRE(vocabulary_open(&tokenizers[n_tokenizers++], b, &err) == NIB_OK);
}

/* One of each pattern. */
static void add_bpe(void)
{
    struct gguf_builder b;
    struct vocabulary v = {.model = "gpt2",
                           .tokens = tokens,
                           .types = types,
                           .merges = bpe_merges,
                           .n_merges = NIB_COUNT(bpe_merges)};
    make_letters();
    v.n_tokens = add_words(bpe_words, bpe_word_types, NIB_COUNT(bpe_words));
    const struct nib_split_pattern *last = NULL;
    const struct nib_split_row *row;
    for (size_t i = 0; (row = nib_split_row_at(i)) != NULL; i++) {
        if (row->pattern == last)
            continue;
        last = row->pattern;
        v.pre = row->traits.name;
        vocabulary_put(&v, &b);
        add_tokenizer(&b, true);
    }
}

static void add_others(void)
{
    struct gguf_builder b;
    make_bytes();
    struct vocabulary v = {.model = "llama", .tokens = tokens, .types = types, .scores = scores};
    v.n_tokens = add_words(spm_words, spm_word_types, NIB_COUNT(spm_words));
    for (size_t i = 0; i < 2; i++) {
        vocabulary_put(&v, &b);
        gguf_add_bool(&b, "tokenizer.ggml.add_space_prefix", i == 0);
        gguf_add_u32(&b, "tokenizer.ggml.bos_token_id", N_LETTERS + 9);
        add_tokenizer(&b, true);
    }
    v.model = "t5";
    for (size_t i = 0; i < 2; i++) {
        vocabulary_put(&v, &b);
        gguf_add_bool(&b, "tokenizer.ggml.remove_extra_whitespaces", i == 0);
        add_tokenizer(&b, false);
    }
    v.model = "bert";
    vocabulary_put(&v, &b);
    add_tokenizer(&b, false);
    v.model = "gemma4";
    v.merges = spm_merges;
    v.n_merges = NIB_COUNT(spm_merges);
    vocabulary_put(&v, &b);
    add_tokenizer(&b, true);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    add_bpe();
    add_others();
    return 0;
}

/* SentencePiece takes "▁" for a blank, except in the names of special tokens. */
static size_t blanks_for_bars(char *text, size_t n)
{
    size_t n_out = 0;
    for (size_t i = 0; i < n; i++) {
        const bool is_bar = n - i >= 3 && memcmp(text + i, "▁", 3) == 0;
        text[n_out++] = is_bar ? ' ' : text[i];
        i += is_bar ? 2 : 0;
    }
    return n_out;
}

static void check_stream(const struct nib_tokenizer *t, const int32_t *ids, size_t n_ids)
{
    struct nib_text_stream *stream;
    REQUIRE(nib_text_stream_create_from(&stream, t, NULL) == NIB_OK);
    for (size_t i = 0; i <= n_ids; i++) {
        const struct nib_str part = nib_str_from(i < n_ids ? nib_text_stream_push(stream, ids[i])
                                                           : nib_text_stream_end(stream));
        REQUIRE(nib_utf8_valid_prefix(part) == part.len);
    }
    nib_text_stream_free(stream);
}

/* A map that is refused, or one that can be used. */
static void check_charsmap(const uint8_t *data, size_t n)
{
    struct nib_charsmap *map;
    struct nib_str replacement;
    if (nib_charsmap_create(&map, data, n, "map", NULL) != NIB_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        const struct nib_str text = {(const char *)data + i, n - i};
        REQUIRE(nib_charsmap_shortest(map, text, &replacement) <=
                nib_charsmap_longest(map, text, &replacement));
    }
    nib_charsmap_free(map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    const size_t i = data[0] % (n_tokenizers + 1);
    const unsigned flags = (data[1] & 1) != 0 ? NIB_PARSE_SPECIAL : 0;
    data += 2;
    n -= 2;
    if (i == n_tokenizers) {
        check_charsmap(data, n);
        return 0;
    }
    const struct nib_tokenizer *t = tokenizers[i];
    /* An exact copy, so that a byte read past its end is seen. */
    char *text = malloc(n + (n == 0));
    memcpy(text, data, n);

    int32_t *ids;
    size_t n_ids, n_out;
    char *out;
    REQUIRE(nib_tokenizer_encode(t, (struct nib_str){text, n}, flags, &ids, &n_ids, NULL) ==
            NIB_OK);
    REQUIRE(nib_tokenizer_decode(t, ids, n_ids, flags, &out, &n_out, NULL) == NIB_OK);
    if (nib_tokenizer_info(t)->pre_tokenizer[0] == 0 ||
        strcmp(nib_tokenizer_info(t)->pre_tokenizer, "gemma4") == 0)
        n = blanks_for_bars(text, n);
    if (keeps_bytes[i])
        REQUIRE(n_out == n && memcmp(out, text, n) == 0);
    check_stream(t, ids, n_ids);
    free(ids);
    free(out);
    free(text);
    return 0;
}
