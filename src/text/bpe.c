/*
 * Byte-level BPE (GPT-2, Radford et al. 2019; tokenizer.ggml.model "gpt2"): text is split into
 * words, a word into its bytes, and neighbours are merged in the order of the file's list of
 * merges.  In the file a byte is written as one printable character: "Ġ" is the blank.
 */
#include "encoder.h"
#include "gguf.h"
#include "hash.h"
#include "utf8.h"

#include <stdlib.h>

#define KEY_MERGES "tokenizer.ggml.merges"

struct merge_slot {
    int32_t left, right; /* left -1: free */
    uint32_t rank;
    int32_t id; /* what the two make */
};

struct bpe {
    const struct nib_vocabulary *vocabulary;
    struct nib_pretokenizer *pretokenizer;
    bool takes_whole_words;
    int32_t byte_id[256]; /* -1: the vocabulary lacks it */
    char letter[256][2];  /* UTF-8 */
    uint8_t letter_len[256];
    struct merge_slot *slots;
    unsigned slot_shift; /* 64 - log2 of their number */
    uint64_t seed;
};

/*
 * The character that stands for a byte is the byte itself where Latin-1 prints it; the other 68
 * bytes (0..32, 127..160, 173) are the characters from 256 on, in order.
 */
static unsigned letter_from_byte(unsigned byte)
{
    if (byte <= 32)
        return 256 + byte;
    if (byte >= 127 && byte <= 160)
        return 256 + 33 + (byte - 127);
    return byte == 173 ? 256 + 67 : byte;
}

/* -1: stands for no byte. */
static int byte_from_letter(unsigned letter)
{
    if (letter < 256)
        return letter_from_byte(letter) == letter ? (int)letter : -1;
    const unsigned n = letter - 256;
    return n < 33 ? (int)n : n < 67 ? (int)(n - 33 + 127) : n == 67 ? 173 : -1;
}

static void make_letters(struct bpe *bpe)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        const unsigned c = letter_from_byte(byte);
        bpe->letter_len[byte] = c < 0x80 ? 1 : 2;
        bpe->letter[byte][0] = (char)(c < 0x80 ? c : 0xC0 | c >> 6);
        bpe->letter[byte][1] = (char)(0x80 | (c & 0x3F));
        bpe->byte_id[byte] =
            nib_vocabulary_find(bpe->vocabulary, bpe->letter[byte], bpe->letter_len[byte]);
    }
}

/* Letters back to bytes.  A text that has others is no byte-level token and stands for itself. */
static size_t piece_from_letters(char *out, struct nib_str text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len;) {
        const unsigned char *u = (const unsigned char *)text.data + i;
        const int len = nib_utf8_scan(text.data + i, text.len - i);
        const int byte = len == 1   ? byte_from_letter(u[0])
                         : len == 2 ? byte_from_letter((u[0] & 0x1Fu) << 6 | (u[1] & 0x3Fu))
                                    : -1;
        if (byte < 0) {
            memcpy(out, text.data, text.len);
            return text.len;
        }
        out[n++] = (char)byte;
        i += (size_t)len;
    }
    return n;
}

/* ---- merges --------------------------------------------------------------------------------- */

static size_t slot_of(const struct bpe *bpe, int32_t left, int32_t right)
{
    const uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    return (size_t)(pair * bpe->seed >> bpe->slot_shift);
}

/* The slot of this pair, or the free one where it belongs. */
static struct merge_slot *find_merge(const struct bpe *bpe, int32_t left, int32_t right)
{
    const size_t mask = ((size_t)1 << (64 - bpe->slot_shift)) - 1;
    for (size_t i = slot_of(bpe, left, right);; i = (i + 1) & mask) {
        struct merge_slot *slot = &bpe->slots[i];
        if ((slot->left == left && slot->right == right) || slot->left < 0)
            return slot;
    }
}

static enum nib_status allocate_slots(struct bpe *bpe, size_t n_merges, struct nib_error *err)
{
    unsigned log2 = 4;
    while ((size_t)1 << log2 < 2 * n_merges)
        log2++;
    const size_t n_bytes = sizeof(*bpe->slots) << log2;
    bpe->slots = malloc(n_bytes);
    if (bpe->slots == NULL)
        return nib_fail_memory(err, n_bytes, "the merges of the tokenizer");
    memset(bpe->slots, 0xFF, n_bytes);
    bpe->slot_shift = 64 - log2;
    bpe->seed = nib_hash_seed(bpe->slots) | 1;
    return NIB_OK;
}

/* "Ġt he": the blank that separates is the first one after the first byte. */
static enum nib_status add_merge(struct bpe *bpe, struct nib_str text, uint32_t rank, char *joined,
                                 const char *path, struct nib_error *err)
{
    const struct nib_vocabulary *v = bpe->vocabulary;
    const char *blank = text.len < 3 ? NULL : memchr(text.data + 1, ' ', text.len - 1);
    int32_t left = -1, right = -1, id = -1;
    if (blank != NULL && text.len - 1 <= v->max_text_bytes) {
        const size_t n = (size_t)(blank - text.data);
        left = nib_vocabulary_find(v, text.data, n);
        right = nib_vocabulary_find(v, blank + 1, text.len - n - 1);
        memcpy(joined, text.data, n);
        memcpy(joined + n, blank + 1, text.len - n - 1);
        id = nib_vocabulary_find(v, joined, text.len - 1);
    }
    if (left < 0 || right < 0 || id < 0)
        return nib_fail(
            err, NIB_ERROR_FILE,
            "%s: merge %u, '%.*s', is not two tokens that make a third, as every merge of "
            "%s has to be; the file is damaged or was converted wrongly, get it again",
            path, rank, (int)(text.len < 64 ? text.len : 64), text.data, KEY_MERGES);
    if (v->type[id] == NIB_TOKEN_CONTROL || v->type[id] == NIB_TOKEN_UNKNOWN)
        return NIB_OK; /* these never come of text */
    struct merge_slot *slot = find_merge(bpe, left, right);
    if (slot->left < 0) /* of equal ones the first */
        *slot = (struct merge_slot){.left = left, .right = right, .rank = rank, .id = id};
    return NIB_OK;
}

static enum nib_status load_merges(struct bpe *bpe, const struct nib_gguf *gguf,
                                   struct nib_error *err)
{
    size_t n;
    if (!nib_gguf_strings(gguf, KEY_MERGES, &n) || n > 4 * NIB_MAX_TOKENS)
        return nib_fail(
            err, NIB_ERROR_FILE,
            "%s: %s is missing, too long, or not an array of strings; the file is damaged "
            "or was made by an old converter, convert it again",
            nib_gguf_path(gguf), KEY_MERGES);
    enum nib_status status = allocate_slots(bpe, n, err);
    if (status != NIB_OK)
        return status;
    struct nib_str *merges = malloc(n * sizeof(*merges) + 1);
    char *joined = malloc(bpe->vocabulary->max_text_bytes + 1);
    if (merges == NULL || joined == NULL) {
        status = nib_fail_memory(err, n * sizeof(*merges), "the merges of the tokenizer");
    } else {
        nib_gguf_copy_strings(gguf, KEY_MERGES, merges);
        for (size_t i = 0; i < n && status == NIB_OK; i++)
            status = add_merge(bpe, merges[i], (uint32_t)i, joined, nib_gguf_path(gguf), err);
    }
    free(merges);
    free(joined);
    return status;
}

static void bpe_free(void *encoder)
{
    struct bpe *bpe = encoder;
    if (bpe == NULL)
        return;
    nib_pretokenizer_free(bpe->pretokenizer);
    free(bpe->slots);
    free(bpe);
}

static enum nib_status bpe_create(void **out, struct nib_encoder_traits *traits,
                                  const struct nib_vocabulary *vocabulary,
                                  const struct nib_gguf *gguf, struct nib_error *err)
{
    *out = NULL;
    struct bpe *bpe = calloc(1, sizeof(*bpe));
    if (bpe == NULL)
        return nib_fail_memory(err, sizeof(*bpe), "the tokenizer");
    bpe->vocabulary = vocabulary;
    make_letters(bpe);
    struct nib_str name = NIB_STR("(none)");
    (void)nib_gguf_string(gguf, "tokenizer.ggml.pre", &name);
    enum nib_status status =
        nib_pretokenizer_create(&bpe->pretokenizer, name, nib_gguf_path(gguf), err);
    if (status == NIB_OK)
        status = load_merges(bpe, gguf, err);
    if (status != NIB_OK) {
        bpe_free(bpe);
        return status;
    }
    const struct nib_pretokenizer_traits *pre = nib_pretokenizer_traits(bpe->pretokenizer);
    bpe->takes_whole_words = pre->takes_whole_words;
    *traits = (struct nib_encoder_traits){
        .pre_tokenizer = pre->name, .adds_bos = pre->adds_bos, .cleans_spaces = pre->cleans_spaces};
    *out = bpe;
    return NIB_OK;
}

/* ---- encoding ------------------------------------------------------------------------------- */

struct job {
    const struct bpe *bpe;
    struct nib_scratch *scratch;
};

static enum nib_status no_memory(size_t n_bytes, struct nib_error *err)
{
    return nib_fail_memory(err, n_bytes * sizeof(struct nib_symbol), "encoding text");
}

static bool find_pair(const void *data, struct nib_symbol *left, const struct nib_symbol *right)
{
    if (left->id < 0 || right->id < 0)
        return false;
    const struct merge_slot *slot = find_merge(data, left->id, right->id);
    if (slot->left < 0)
        return false;
    left->pair_id = slot->id;
    left->pair_key = slot->rank;
    return true;
}

/* The token that is all of `word`, -1: none. */
static int32_t whole_word(const struct bpe *bpe, struct nib_str word)
{
    char letters[256];
    size_t n = 0;
    for (size_t i = 0; i < word.len; i++) {
        const uint8_t byte = (uint8_t)word.data[i];
        if (n + 2 > sizeof(letters))
            return -1;
        memcpy(letters + n, bpe->letter[byte], 2);
        n += bpe->letter_len[byte];
    }
    const int32_t id = nib_vocabulary_find(bpe->vocabulary, letters, n);
    return id >= 0 && nib_token_is_special(bpe->vocabulary, id) ? -1 : id;
}

static enum nib_status encode_word(void *data, struct nib_str word, struct nib_error *err)
{
    const struct job *job = data;
    const struct bpe *bpe = job->bpe;
    struct nib_merge *merge = &job->scratch->merge;
    struct nib_ids *ids = &job->scratch->ids;
    const int32_t id = word.len == 1            ? bpe->byte_id[(uint8_t)word.data[0]]
                       : bpe->takes_whole_words ? whole_word(bpe, word)
                                                : -1;
    if (id >= 0)
        return nib_ids_push(ids, id) ? NIB_OK : no_memory(word.len, err);

    if (!nib_merge_reserve(merge, word.len))
        return no_memory(word.len, err);
    merge->n_symbols = word.len;
    for (uint32_t i = 0; i < word.len; i++)
        merge->symbols[i] = (struct nib_symbol){
            .start = i, .end = i + 1, .id = bpe->byte_id[(uint8_t)word.data[i]]};
    if (!nib_merge_run(merge, find_pair, bpe))
        return no_memory(word.len, err);
    for (uint32_t i = 0; i != NIB_NO_SYMBOL; i = merge->symbols[i].next)
        /* A byte that the vocabulary lacks is dropped, as the models' own tokenizers do. */
        if (merge->symbols[i].id >= 0 && !nib_ids_push(ids, merge->symbols[i].id))
            return no_memory(word.len, err);
    return NIB_OK;
}

/* Bytes that are no text: runs of those that the vocabulary has, and U+FFFD for each other. */
static enum nib_status encode_bytes(struct job *job, struct nib_str bytes, struct nib_error *err)
{
    for (size_t i = 0, run; i < bytes.len; i += run) {
        for (run = 0; i + run < bytes.len; run++)
            if (job->bpe->byte_id[(uint8_t)bytes.data[i + run]] < 0)
                break;
        enum nib_status status;
        if (run > 0) {
            status = encode_word(job, (struct nib_str){bytes.data + i, run}, err);
        } else {
            status = encode_word(job, NIB_STR(NIB_REPLACEMENT), err);
            run = 1;
        }
        if (status != NIB_OK)
            return status;
    }
    return NIB_OK;
}

/* The number of bytes at the start of `text` that belong to no character. */
static size_t invalid_prefix(struct nib_str text)
{
    size_t n = 0;
    while (n < text.len) {
        const int len = nib_utf8_scan(text.data + n, text.len - n);
        if (len > 0)
            break;
        n = len == 0 ? text.len : n + (size_t)-len;
    }
    return n;
}

static enum nib_status bpe_encode(const void *encoder, struct nib_scratch *scratch,
                                  struct nib_str text, bool with_space_prefix,
                                  struct nib_error *err)
{
    (void)with_space_prefix; /* not a thing of this kind */
    struct job job = {.bpe = encoder, .scratch = scratch};
    while (text.len > 0) {
        const struct nib_str valid = {text.data, nib_utf8_valid_prefix(text)};
        const struct nib_str rest = {text.data + valid.len, text.len - valid.len};
        const struct nib_str invalid = {rest.data, invalid_prefix(rest)};
        enum nib_status status = nib_pretokenizer_split(job.bpe->pretokenizer, &scratch->split,
                                                        valid, encode_word, &job, err);
        if (status == NIB_OK)
            status = encode_bytes(&job, invalid, err);
        if (status != NIB_OK)
            return status;
        text = (struct nib_str){rest.data + invalid.len, rest.len - invalid.len};
    }
    return NIB_OK;
}

const struct nib_encoder_kind nib_encoder_bpe = {
    .model = "gpt2",
    .name = "bpe",
    .default_bos_id = -1,
    .default_eos_id = -1,
    .default_unk_id = -1,
    .piece = piece_from_letters,
    .create = bpe_create,
    .free = bpe_free,
    .encode = bpe_encode,
};
