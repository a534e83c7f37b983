/*
 * Any bytes as text, for each pre-tokenizer and both kinds, on small vocabularies that have all
 * bytes: encoding succeeds, its ids decode to the same bytes, and a stream of them is valid UTF-8.
 * The first byte of the input chooses the tokenizer and the flags.
 */
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

static const char *const pre_tokenizers[] = {"gpt-2", "smollm", "llama-bpe", "qwen2"};
static const char *const bpe_words[] = {"Ġa", "ab",    "the",   "th",  "Ġthe", "ĊĊ",
                                        "12", "ĠĠ",    "ðŁ",    "ðŁĳ", "âĢ",   "<x>",
                                        "<x", "<xyz>", "<|u|>", "'s",  "ĠĠĠĠ"};
static const int32_t bpe_word_types[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 4, 3, 4, 1, 1};
static const char *const bpe_merges[] = {"Ġ Ġ",  "t h", "th e", "Ġ the", "Ġ a", "a b",  "ð Ł",
                                         "ðŁ ĳ", "â Ģ", "1 2",  "Ċ Ċ",   "' s", "ĠĠ ĠĠ"};
static const char *const spm_words[] = {"▁", "a",   "b",   "▁a",   "ab", "▁▁", "▁▁▁▁", "é",
                                        "👍", "<s>", "<u>", "▁the", "th", "t",  "h",    "the"};
static const int32_t spm_word_types[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 4, 1, 1, 1, 1, 1};

static struct nib_tokenizer *tokenizers[NIB_COUNT(pre_tokenizers) + 2];

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

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct gguf_builder b;
    struct nib_error err;
    struct vocabulary v = {.model = "gpt2",
                           .tokens = tokens,
                           .types = types,
                           .merges = bpe_merges,
                           .n_merges = NIB_COUNT(bpe_merges)};
    make_letters();
    v.n_tokens = add_words(bpe_words, bpe_word_types, NIB_COUNT(bpe_words));
    for (size_t i = 0; i < NIB_COUNT(pre_tokenizers); i++) {
        v.pre = pre_tokenizers[i];
        vocabulary_put(&v, &b);
        REQUIRE(vocabulary_open(&tokenizers[i], &b, &err) == NIB_OK);
    }
    make_bytes();
    v = (struct vocabulary){.model = "llama", .tokens = tokens, .types = types, .scores = scores};
    v.n_tokens = add_words(spm_words, spm_word_types, NIB_COUNT(spm_words));
    for (size_t i = 0; i < 2; i++) {
        vocabulary_put(&v, &b);
        gguf_add_bool(&b, "tokenizer.ggml.add_space_prefix", i == 0);
        gguf_add_u32(&b, "tokenizer.ggml.bos_token_id", N_LETTERS + 9);
        REQUIRE(vocabulary_open(&tokenizers[NIB_COUNT(pre_tokenizers) + i], &b, &err) == NIB_OK);
    }
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    const struct nib_tokenizer *t = tokenizers[(data[0] & 0x3F) % NIB_COUNT(tokenizers)];
    const unsigned flags = (data[0] & 0x80) != 0 ? NIB_PARSE_SPECIAL : 0;
    const bool is_spm = strcmp(nib_tokenizer_info(t)->kind, "sentencepiece") == 0;
    /* An exact copy, so that a byte read past its end is seen. */
    char *text = malloc(n);
    memcpy(text, data + 1, n - 1);
    n--;

    int32_t *ids;
    size_t n_ids, n_out;
    char *out;
    REQUIRE(nib_tokenizer_encode(t, (struct nib_str){text, n}, flags, &ids, &n_ids, NULL) ==
            NIB_OK);
    REQUIRE(nib_tokenizer_decode(t, ids, n_ids, flags, &out, &n_out, NULL) == NIB_OK);
    if (is_spm)
        n = blanks_for_bars(text, n);
    REQUIRE(n_out == n && memcmp(out, text, n) == 0);
    check_stream(t, ids, n_ids);
    free(ids);
    free(out);
    free(text);
    return 0;
}
