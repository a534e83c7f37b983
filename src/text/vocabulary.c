/* The vocabulary and the table from texts to ids, see vocabulary.h. */
#include "vocabulary.h"

#include "hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The tag is a part of the hash: most misses end without a look at the text. */
struct nib_token_slot {
    uint32_t tag;
    int32_t id; /* -1: free */
};

uint64_t nib_hash_seed(const void *memory)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* libFuzzer follows what an input runs through */
    (void)memory;
    return 1;
#else
    struct timespec now = {0};
    timespec_get(&now, TIME_UTC);
    return nib_hash_mix((uint64_t)(uintptr_t)memory ^ (uint64_t)now.tv_nsec << 32 ^
                        (uint64_t)now.tv_sec);
#endif
}

static enum nib_status allocate_tokens(struct nib_vocabulary *v, size_t n, struct nib_error *err)
{
    v->text = calloc(n, sizeof(*v->text));
    v->piece = calloc(n, sizeof(*v->piece));
    v->type = malloc(n);
    v->flags = calloc(n, 1);
    if (v->text == NULL || v->piece == NULL || v->type == NULL || v->flags == NULL)
        return nib_fail_memory(err, n * (2 * sizeof(*v->text) + 2), "the vocabulary");
    memset(v->type, NIB_TOKEN_NORMAL, n);
    v->n_tokens = n;
    return NIB_OK;
}

/* Copy the texts. */
static enum nib_status load_texts(struct nib_vocabulary *v, const struct nib_token_list *list,
                                  struct nib_error *err)
{
    size_t n_bytes = 0;
    for (size_t i = 0; i < v->n_tokens; i++) {
        const size_t len = list->texts[i].len;
        if (len > NIB_MAX_TOKEN_BYTES)
            return nib_fail(err, NIB_ERROR_FILE,
                            "%s: token %zu is %zu bytes long, expected at most %zu; the file is "
                            "damaged, get it again",
                            list->path, i, len, NIB_MAX_TOKEN_BYTES);
        n_bytes += len + 1;
        if (len > v->max_text_bytes)
            v->max_text_bytes = len;
    }
    char *p = v->texts = malloc(n_bytes);
    if (p == NULL)
        return nib_fail_memory(err, n_bytes, "the vocabulary");
    for (size_t i = 0; i < v->n_tokens; i++) {
        const size_t len = list->texts[i].len;
        if (len > 0)
            memcpy(p, list->texts[i].data, len);
        p[len] = 0;
        v->text[i] = (struct nib_str){p, len};
        p += len + 1;
    }
    return NIB_OK;
}

static enum nib_status load_types(struct nib_vocabulary *v, const struct nib_token_list *list,
                                  struct nib_error *err)
{
    for (size_t i = 0; list->types != NULL && i < v->n_tokens; i++) {
        const uint8_t type = list->types[i];
        assert(type < NIB_TOKEN_TYPE_COUNT);
        if (type == NIB_TOKEN_BYTE && nib_byte_token_value(v->text[i]) < 0)
            return nib_fail(err, NIB_ERROR_FILE,
                            "%s: token %zu is of the type byte but its text is '%.16s', expected "
                            "<0x00> .. <0xFF>; the file is damaged, get it again",
                            list->path, i, v->text[i].data);
        v->type[i] = type == NIB_TOKEN_UNDEFINED ? NIB_TOKEN_NORMAL : type;
    }
    return NIB_OK;
}

static enum nib_status load_scores(struct nib_vocabulary *v, const struct nib_token_list *list,
                                   struct nib_error *err)
{
    if (list->scores == NULL)
        return NIB_OK;
    v->score = malloc(v->n_tokens * sizeof(*v->score));
    if (v->score == NULL)
        return nib_fail_memory(err, v->n_tokens * sizeof(*v->score), "the scores of tokens");
    memcpy(v->score, list->scores, v->n_tokens * sizeof(*v->score));
    return NIB_OK;
}

/* The slot of this text, or the free one where it belongs. */
static struct nib_token_slot *find_slot(const struct nib_vocabulary *v, uint64_t hash,
                                        const char *text, size_t n)
{
    const uint32_t tag = (uint32_t)(hash >> 32);
    for (size_t i = (size_t)hash & v->slot_mask;; i = (i + 1) & v->slot_mask) {
        struct nib_token_slot *slot = &v->slots[i];
        if (slot->id < 0)
            return slot;
        if (slot->tag == tag && v->text[slot->id].len == n &&
            memcmp(v->text[slot->id].data, text, n) == 0)
            return slot;
    }
}

static enum nib_status build_table(struct nib_vocabulary *v, struct nib_error *err)
{
    size_t n_slots = 16;
    while (n_slots < 2 * v->n_tokens)
        n_slots *= 2;
    v->slots = malloc(n_slots * sizeof(*v->slots));
    if (v->slots == NULL)
        return nib_fail_memory(err, n_slots * sizeof(*v->slots), "the table of tokens");
    memset(v->slots, 0xFF, n_slots * sizeof(*v->slots));
    v->slot_mask = n_slots - 1;
    v->seed = nib_hash_seed(v->slots);
    for (size_t i = 0; i < v->n_tokens; i++) {
        const struct nib_str text = v->text[i];
        if (text.len == 0)
            continue;
        const uint64_t hash = nib_hash_bytes(v->seed, text.data, text.len);
        struct nib_token_slot *slot = find_slot(v, hash, text.data, text.len);
        if (slot->id < 0)
            *slot = (struct nib_token_slot){.tag = (uint32_t)(hash >> 32), .id = (int32_t)i};
    }
    return NIB_OK;
}

int32_t nib_vocabulary_find(const struct nib_vocabulary *v, const char *text, size_t n)
{
    if (n == 0 || n > v->max_text_bytes)
        return -1;
    return find_slot(v, nib_hash_bytes(v->seed, text, n), text, n)->id;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int nib_byte_token_value(struct nib_str text)
{
    if (text.len != 6 || memcmp(text.data, "<0x", 3) != 0 || text.data[5] != '>')
        return -1;
    const int high = hex_value(text.data[3]), low = hex_value(text.data[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

int32_t nib_vocabulary_find_byte(const struct nib_vocabulary *v, uint8_t byte)
{
    char name[8];
    const int n = snprintf(name, sizeof(name), "<0x%02X>", byte);
    return nib_vocabulary_find(v, name, (size_t)n);
}

enum nib_status nib_vocabulary_create(struct nib_vocabulary *v, const struct nib_token_list *list,
                                      struct nib_error *err)
{
    const size_t n = list->n_tokens;
    if (n == 0 || n > NIB_MAX_TOKENS)
        return nib_fail(
            err, NIB_ERROR_FILE,
            "%s: the vocabulary has %zu tokens, expected 1 to %zu; the file is damaged, "
            "get it again",
            list->path, n, NIB_MAX_TOKENS);
    enum nib_status status = allocate_tokens(v, n, err);
    if (status == NIB_OK)
        status = load_texts(v, list, err);
    if (status == NIB_OK)
        status = load_types(v, list, err);
    if (status == NIB_OK)
        status = load_scores(v, list, err);
    if (status == NIB_OK)
        status = build_table(v, err);
    return status;
}

enum nib_status nib_vocabulary_make_pieces(struct nib_vocabulary *v, nib_piece_fn *piece,
                                           struct nib_error *err)
{
    size_t n_bytes = 1;
    for (size_t i = 0; i < v->n_tokens; i++)
        n_bytes += v->text[i].len;
    char *p = v->pieces = malloc(n_bytes);
    if (p == NULL)
        return nib_fail_memory(err, n_bytes, "the texts of tokens");
    for (size_t i = 0; i < v->n_tokens; i++) {
        size_t len = 0;
        if (v->type[i] == NIB_TOKEN_NORMAL) {
            len = piece(p, v->text[i]);
            v->piece[i] = (struct nib_str){p, len};
        } else if (v->type[i] == NIB_TOKEN_BYTE) {
            *p = (char)nib_byte_token_value(v->text[i]);
            v->piece[i] = (struct nib_str){p, len = 1};
        } else {
            v->piece[i] = v->text[i];
        }
        p += len;
        if (v->piece[i].len > v->max_piece_bytes)
            v->max_piece_bytes = v->piece[i].len;
    }
    return NIB_OK;
}

void nib_vocabulary_free(struct nib_vocabulary *v)
{
    free(v->text);
    free(v->piece);
    free(v->type);
    free(v->flags);
    free(v->score);
    free(v->slots);
    free(v->texts);
    free(v->pieces);
    *v = (struct nib_vocabulary){0};
}
