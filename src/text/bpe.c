/*
 * BPE by a list of merges (Sennrich et al. 2016), of characters, or of bytes as in GPT-2 (Radford
 * et al. 2019): there a byte is written as one printable character in the vocabulary, "Ġ" is the
 * blank.
 */
#include "bars.h"
#include "hash.h"
#include "subword.h"
#include "utf8.h"

#include <stdlib.h>

struct merge_slot {
    int32_t left, right; /* left -1: free */
    uint32_t rank;
    int32_t id; /* what the two make */
};

struct nib_bpe {
    const struct nib_vocabulary *vocabulary;
    struct nib_bpe_options options;
    char *affixes;        /* the bytes of the prefix and the suffix */
    int32_t byte_id[256]; /* -1: the vocabulary lacks it */
    char letter[256][3];  /* UTF-8 */
    struct merge_slot *slots;
    unsigned slot_shift; /* 64 - log2 of their number */
    uint64_t seed;
    /* No merge makes a token that has a ▁ after another character: so words may be cut before each
     * such ▁.  Only asked for characters. */
    bool cuts_at_bars;
};

/* ---- letters -------------------------------------------------------------------------------- */

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

void nib_letter_from_byte(char letter[3], uint8_t byte)
{
    const unsigned c = letter_from_byte(byte);
    letter[0] = (char)(c < 0x80 ? c : 0xC0 | c >> 6);
    letter[1] = (char)(c < 0x80 ? 0 : 0x80 | (c & 0x3F));
    letter[2] = 0;
}

size_t nib_piece_from_letters(char *out, struct nib_str text)
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

static void find_byte_ids(struct nib_bpe *bpe)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        nib_letter_from_byte(bpe->letter[byte], (uint8_t)byte);
        bpe->byte_id[byte] =
            bpe->options.is_byte_level
                ? nib_vocabulary_find(bpe->vocabulary, bpe->letter[byte], strlen(bpe->letter[byte]))
                : nib_vocabulary_find_byte(bpe->vocabulary, (uint8_t)byte);
    }
}

/* ---- merges --------------------------------------------------------------------------------- */

static size_t slot_of(const struct nib_bpe *bpe, int32_t left, int32_t right)
{
    const uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    return (size_t)(pair * bpe->seed >> bpe->slot_shift);
}

/* The slot of this pair, or the free one where it belongs. */
static struct merge_slot *find_merge(const struct nib_bpe *bpe, int32_t left, int32_t right)
{
    const size_t mask = ((size_t)1 << (64 - bpe->slot_shift)) - 1;
    for (size_t i = slot_of(bpe, left, right);; i = (i + 1) & mask) {
        struct merge_slot *slot = &bpe->slots[i];
        if ((slot->left == left && slot->right == right) || slot->left < 0)
            return slot;
    }
}

static enum nib_status allocate_slots(struct nib_bpe *bpe, size_t n_merges, struct nib_error *err)
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

/* The token that is `text`; -1: none that text may become. */
static int32_t find_token(const struct nib_vocabulary *v, const char *text, size_t n)
{
    const int32_t id = nib_vocabulary_find(v, text, n);
    return id >= 0 && nib_token_comes_of_text(v, id) ? id : -1;
}

/* What the two make: the right one without the prefix of continuing symbols. */
static int32_t find_joined(const struct nib_bpe *bpe, const struct nib_bpe_merge *merge,
                           char *joined)
{
    const struct nib_vocabulary *v = bpe->vocabulary;
    const size_t skipped = bpe->options.continuing_prefix.len;
    if (merge->right.len < skipped ||
        merge->left.len + (merge->right.len - skipped) > v->max_text_bytes)
        return -1;
    memcpy(joined, merge->left.data, merge->left.len);
    memcpy(joined + merge->left.len, merge->right.data + skipped, merge->right.len - skipped);
    return nib_vocabulary_find(v, joined, merge->left.len + (merge->right.len - skipped));
}

static enum nib_status add_merge(struct nib_bpe *bpe, const struct nib_bpe_merge *merge,
                                 uint32_t rank, char *joined, struct nib_error *err)
{
    const struct nib_vocabulary *v = bpe->vocabulary;
    const int32_t left = nib_vocabulary_find(v, merge->left.data, merge->left.len);
    const int32_t right = nib_vocabulary_find(v, merge->right.data, merge->right.len);
    const int32_t id = left < 0 || right < 0 ? -1 : find_joined(bpe, merge, joined);
    if (id < 0)
        return nib_fail(
            err, NIB_ERROR_FILE,
            "%s: merge %u of the tokenizer, '%.*s' and '%.*s', is not two tokens that make a "
            "third, as every merge has to be; the file is damaged or was converted wrongly, get it "
            "again",
            bpe->options.path, (unsigned)rank, (int)(merge->left.len < 64 ? merge->left.len : 64),
            merge->left.data, (int)(merge->right.len < 64 ? merge->right.len : 64),
            merge->right.data);
    if (!nib_token_comes_of_text(v, id))
        return NIB_OK;
    bpe->cuts_at_bars = bpe->cuts_at_bars && nib_bar_cut(v->text[id], 0) == v->text[id].len;
    struct merge_slot *slot = find_merge(bpe, left, right);
    if (slot->left < 0) /* of equal ones the first */
        *slot = (struct merge_slot){.left = left, .right = right, .rank = rank, .id = id};
    return NIB_OK;
}

static enum nib_status add_merges(struct nib_bpe *bpe, const struct nib_bpe_merge *merges,
                                  size_t n_merges, struct nib_error *err)
{
    if (n_merges > NIB_MAX_MERGES)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: the tokenizer has %zu merges, expected at most %zu; the file is "
                        "damaged, get it again",
                        bpe->options.path, n_merges, NIB_MAX_MERGES);
    enum nib_status status = allocate_slots(bpe, n_merges, err);
    if (status != NIB_OK)
        return status;
    char *joined = malloc(bpe->vocabulary->max_text_bytes + 1);
    if (joined == NULL)
        return nib_fail_memory(err, bpe->vocabulary->max_text_bytes + 1, "the merges");
    for (size_t i = 0; i < n_merges && status == NIB_OK; i++)
        status = add_merge(bpe, &merges[i], (uint32_t)i, joined, err);
    free(joined);
    return status;
}

void nib_bpe_free(struct nib_bpe *bpe)
{
    if (bpe == NULL)
        return;
    free(bpe->affixes);
    free(bpe->slots);
    free(bpe);
}

/* Keep the prefix and the suffix. */
static enum nib_status copy_affixes(struct nib_bpe *bpe, struct nib_error *err)
{
    struct nib_str *prefix = &bpe->options.continuing_prefix, *suffix = &bpe->options.end_suffix;
    const size_t n = prefix->len + suffix->len;
    if (n > NIB_MAX_AFFIX_BYTES)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: the prefix and the suffix of the tokenizer's symbols have %zu bytes, "
                        "expected at most %d; the file is damaged, get it again",
                        bpe->options.path, n, NIB_MAX_AFFIX_BYTES);
    bpe->affixes = malloc(n + 1);
    if (bpe->affixes == NULL)
        return nib_fail_memory(err, n + 1, "the tokenizer");
    if (prefix->len > 0)
        memcpy(bpe->affixes, prefix->data, prefix->len);
    if (suffix->len > 0)
        memcpy(bpe->affixes + prefix->len, suffix->data, suffix->len);
    prefix->data = bpe->affixes;
    suffix->data = bpe->affixes + prefix->len;
    return NIB_OK;
}

enum nib_status nib_bpe_create(struct nib_bpe **out, const struct nib_vocabulary *vocabulary,
                               const struct nib_bpe_options *options,
                               const struct nib_bpe_merge *merges, size_t n_merges,
                               struct nib_error *err)
{
    *out = NULL;
    struct nib_bpe *bpe = calloc(1, sizeof(*bpe));
    if (bpe == NULL)
        return nib_fail_memory(err, sizeof(*bpe), "the tokenizer");
    bpe->vocabulary = vocabulary;
    bpe->options = *options;
    bpe->cuts_at_bars = !options->is_byte_level && options->continuing_prefix.len == 0 &&
                        options->end_suffix.len == 0 &&
                        nib_vocabulary_find(vocabulary, NIB_BAR, NIB_BAR_LEN) >= 0;
    enum nib_status status = copy_affixes(bpe, err);
    if (status == NIB_OK)
        status = add_merges(bpe, merges, n_merges, err);
    if (status != NIB_OK) {
        nib_bpe_free(bpe);
        return status;
    }
    bpe->options.path = NULL; /* the caller's */
    find_byte_ids(bpe);
    *out = bpe;
    return NIB_OK;
}

/* ---- encoding ------------------------------------------------------------------------------- */

static bool find_pair(const void *data, struct nib_symbol *left, const struct nib_symbol *right)
{
    const struct merge_slot *slot = find_merge(data, left->id, right->id);
    if (slot->left < 0)
        return false;
    left->pair_id = slot->id;
    left->pair_key = slot->rank;
    return true;
}

/* The token that is all of a word of bytes, -1: none. */
static int32_t whole_word_of_bytes(const struct nib_bpe *bpe, struct nib_str word)
{
    char letters[256];
    size_t n = 0;
    for (size_t i = 0; i < word.len; i++) {
        const char *letter = bpe->letter[(uint8_t)word.data[i]];
        if (n + 2 > sizeof(letters))
            return -1;
        memcpy(letters + n, letter, 2);
        n += letter[1] == 0 ? 1 : 2;
    }
    return find_token(bpe->vocabulary, letters, n);
}

static int32_t whole_word(const struct nib_bpe *bpe, struct nib_str word)
{
    if (bpe->options.is_byte_level)
        return whole_word_of_bytes(bpe, word);
    return find_token(bpe->vocabulary, word.data, word.len);
}

static void add_symbol(struct nib_merge *merge, size_t start, size_t end, int32_t id)
{
    merge->symbols[merge->n_symbols++] =
        (struct nib_symbol){.start = (uint32_t)start, .end = (uint32_t)end, .id = id};
}

/* A byte that the vocabulary lacks is dropped, as the models' own tokenizers do. */
static void symbols_from_bytes(const struct nib_bpe *bpe, struct nib_merge *merge,
                               struct nib_str word)
{
    for (size_t i = 0; i < word.len; i++) {
        const int32_t id = bpe->byte_id[(uint8_t)word.data[i]];
        if (id >= 0)
            add_symbol(merge, i, i + 1, id);
    }
}

/* A character with what the vocabulary writes around it at this place of a word. */
static int32_t find_character(const struct nib_bpe *bpe, struct nib_str word, size_t start,
                              size_t end)
{
    const struct nib_str *prefix = &bpe->options.continuing_prefix;
    const struct nib_str *suffix = &bpe->options.end_suffix;
    char text[NIB_MAX_AFFIX_BYTES + 4];
    size_t n = 0;
    if (start > 0) {
        memcpy(text, prefix->data, prefix->len);
        n = prefix->len;
    }
    memcpy(text + n, word.data + start, end - start);
    n += end - start;
    if (end == word.len) {
        memcpy(text + n, suffix->data, suffix->len);
        n += suffix->len;
    }
    return find_token(bpe->vocabulary, text, n);
}

static bool has_bytes(const struct nib_bpe *bpe, struct nib_str word, size_t start, size_t end)
{
    bool has_all = bpe->options.falls_back_to_bytes;
    for (size_t i = start; i < end; i++)
        has_all = has_all && bpe->byte_id[(uint8_t)word.data[i]] >= 0;
    return has_all;
}

static void symbols_from_characters(const struct nib_bpe *bpe, struct nib_merge *merge,
                                    struct nib_str word)
{
    bool is_after_unknown = false;
    for (size_t start = 0, end; start < word.len; start = end) {
        const int len = nib_utf8_scan(word.data + start, word.len - start);
        end = start + (len > 0 ? (size_t)len : 1);
        const int32_t id = find_character(bpe, word, start, end);
        if (id >= 0) {
            add_symbol(merge, start, end, id);
        } else if (has_bytes(bpe, word, start, end)) {
            for (size_t i = start; i < end; i++)
                add_symbol(merge, i, i + 1, bpe->byte_id[(uint8_t)word.data[i]]);
        } else if (bpe->options.unk_id >= 0) {
            if (!is_after_unknown || !bpe->options.fuses_unknown)
                add_symbol(merge, start, end, bpe->options.unk_id);
            is_after_unknown = true;
            continue;
        }
        is_after_unknown = false;
    }
}

static enum nib_status encode_part(const struct nib_bpe *bpe, struct nib_scratch *scratch,
                                   struct nib_str word, struct nib_error *err)
{
    struct nib_merge *merge = &scratch->merge;
    if (!nib_merge_reserve(merge, word.len))
        return nib_encode_no_memory(word.len, err);
    merge->n_symbols = 0;
    if (bpe->options.is_byte_level)
        symbols_from_bytes(bpe, merge, word);
    else
        symbols_from_characters(bpe, merge, word);
    if (merge->n_symbols == 0)
        return NIB_OK;
    if (!nib_merge_run(merge, find_pair, bpe))
        return nib_encode_no_memory(word.len, err);
    for (uint32_t i = 0; i != NIB_NO_SYMBOL; i = merge->symbols[i].next)
        if (!nib_ids_push(&scratch->ids, merge->symbols[i].id))
            return nib_encode_no_memory(word.len, err);
    return NIB_OK;
}

enum nib_status nib_bpe_encode(const struct nib_bpe *bpe, struct nib_scratch *scratch,
                               struct nib_str word, struct nib_error *err)
{
    const int32_t id = bpe->options.is_byte_level && word.len == 1
                           ? bpe->byte_id[(uint8_t)word.data[0]]
                       : bpe->options.takes_whole_words ? whole_word(bpe, word)
                                                        : -1;
    if (id >= 0)
        return nib_ids_push(&scratch->ids, id) ? NIB_OK : nib_encode_no_memory(word.len, err);
    enum nib_status status = NIB_OK;
    for (size_t from = 0, end; from < word.len && status == NIB_OK; from = end) {
        end = bpe->cuts_at_bars ? nib_bar_cut(word, from) : word.len;
        status = encode_part(bpe, scratch, (struct nib_str){word.data + from, end - from}, err);
    }
    return status;
}

enum nib_status nib_bpe_encode_invalid(const struct nib_bpe *bpe, struct nib_scratch *scratch,
                                       struct nib_str bytes, struct nib_error *err)
{
    for (size_t i = 0, run; i < bytes.len; i += run) {
        for (run = 0; i + run < bytes.len; run++)
            if (bpe->byte_id[(uint8_t)bytes.data[i + run]] < 0)
                break;
        enum nib_status status;
        if (run > 0) {
            status = nib_bpe_encode(bpe, scratch, (struct nib_str){bytes.data + i, run}, err);
        } else {
            status = nib_bpe_encode(bpe, scratch, NIB_STR(NIB_REPLACEMENT), err);
            run = 1;
        }
        if (status != NIB_OK)
            return status;
    }
    return NIB_OK;
}
