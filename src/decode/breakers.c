/*
 * Sequences of ids whose text holds one of the texts at which repetitions end: a token that has it
 * all, or one that ends in its beginning, followed by the tokens of the rest.
 */
#include "common.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_TEXT_BYTES = 64, MAX_PIECE_BYTES = 1024 };

struct found {
    struct { /* ids[begin, begin + n) */
        size_t begin, n;
    } * lists;
    int32_t *ids;
    size_t n_lists, n_ids, lists_capacity, ids_capacity;
};

static bool add(struct found *f, int32_t head, const int32_t *tail, size_t n_tail)
{
    if (f->n_lists == f->lists_capacity) {
        const size_t capacity = 2 * f->lists_capacity + 64;
        void *lists = realloc(f->lists, capacity * sizeof(*f->lists));
        if (!lists)
            return false;
        f->lists = lists;
        f->lists_capacity = capacity;
    }
    if (f->ids_capacity - f->n_ids < n_tail + 1) {
        const size_t capacity = 2 * f->ids_capacity + n_tail + 64;
        int32_t *ids = realloc(f->ids, capacity * sizeof(*ids));
        if (!ids)
            return false;
        f->ids = ids;
        f->ids_capacity = capacity;
    }
    f->lists[f->n_lists].begin = f->n_ids;
    f->lists[f->n_lists++].n = n_tail + 1;
    f->ids[f->n_ids++] = head;
    for (size_t i = 0; i < n_tail; i++)
        f->ids[f->n_ids++] = tail[i];
    return true;
}

/* The token's text ends in the first `n` bytes of `text`: the rest follows. */
static enum nib_status add_rest(struct found *f, const struct nib_model *model, int32_t head,
                                const char *text, size_t n, struct nib_error *err)
{
    int32_t *tail;
    size_t n_tail;
    enum nib_status status =
        nib_tokenize(model, text + n, strlen(text) - n, NIB_PARSE_SPECIAL, &tail, &n_tail, err);
    if (status == NIB_OK && n_tail > 0 && !add(f, head, tail, n_tail))
        status = nib_fail_memory(err, f->n_ids * sizeof(*f->ids), "DRY's breakers");
    nib_free(tail);
    return status;
}

static enum nib_status look_at(struct found *f, const struct nib_model *model, int32_t id,
                               const char *piece, const char *text, struct nib_error *err)
{
    if (strstr(piece, text))
        return add(f, id, NULL, 0)
                   ? NIB_OK
                   : nib_fail_memory(err, f->n_lists * sizeof(*f->lists), "DRY's breakers");
    const size_t n_piece = strlen(piece), n_text = strlen(text);
    for (size_t n = 1; n < n_text && n <= n_piece; n++)
        if (memcmp(piece + n_piece - n, text, n) == 0) {
            const enum nib_status status = add_rest(f, model, id, text, n, err);
            if (status != NIB_OK)
                return status;
        }
    return NIB_OK;
}

/* What a token adds to a text that begins with the token `before`, a letter; -1: nothing. */
static const char *text_of(struct nib_text_stream *stream, int32_t before, int32_t id,
                           const struct nib_model *model, char *text, size_t size)
{
    size_t n = 0;
    const int32_t ids[] = {before, id};
    for (size_t i = before < 0 ? 1 : 0; i < 2; i++) {
        const char *piece = nib_text_stream_push(stream, ids[i]);
        n += (size_t)snprintf(text + n, size - n, "%s", piece);
        n = n < size ? n : size - 1;
    }
    snprintf(text + n, size - n, "%s", nib_text_stream_end(stream));
    const char *added = text + (before >= 0 && *text ? 1 : 0);
    return *added ? added : nib_token_name(model, id);
}

/* Decoders take the blank off a text's first token: a token that is one letter goes before.  Not
 * one of bytes, "<0x41>": bytes side by side are read together. */
static int32_t find_letter(struct nib_text_stream *stream, const struct nib_model *model)
{
    char text[MAX_PIECE_BYTES];
    for (int32_t id = 0; id < (int32_t)nib_model_info(model)->n_tokens; id++) {
        const char *piece = text_of(stream, -1, id, model, text, sizeof(text));
        const char *name = nib_token_name(model, id);
        if (piece == text && isalpha((unsigned char)text[0]) && !text[1] && name && *name != '<')
            return id;
    }
    return -1;
}

static enum nib_status find(struct found *f, const struct nib_model *model,
                            const char *const *texts, size_t n_texts, struct nib_error *err)
{
    char text[MAX_PIECE_BYTES];
    struct nib_text_stream *stream;
    enum nib_status status = nib_text_stream_create(&stream, model, err);
    if (status != NIB_OK)
        return status;
    const int32_t before = find_letter(stream, model);
    for (int32_t id = 0; id < (int32_t)nib_model_info(model)->n_tokens && status == NIB_OK; id++) {
        const char *piece = text_of(stream, before, id, model, text, sizeof(text));
        for (size_t i = 0; piece && i < n_texts && status == NIB_OK; i++)
            status = look_at(f, model, id, piece, texts[i], err);
    }
    nib_text_stream_free(stream);
    return status;
}

/* The lists, and behind them the ids. */
static struct nib_id_list *join(const struct found *f)
{
    struct nib_id_list *out = malloc((f->n_lists + 1) * sizeof(*out) + f->n_ids * sizeof(*f->ids));
    if (!out)
        return NULL;
    int32_t *ids = (int32_t *)(out + f->n_lists + 1);
    if (f->n_ids > 0)
        memcpy(ids, f->ids, f->n_ids * sizeof(*ids));
    for (size_t i = 0; i < f->n_lists; i++)
        out[i] = (struct nib_id_list){ids + f->lists[i].begin, f->lists[i].n};
    return out;
}

enum nib_status nib_dry_breakers(const struct nib_model *model, const char *const *texts,
                                 size_t n_texts, struct nib_id_list **out, size_t *n_out,
                                 struct nib_error *err)
{
    struct found found = {0};
    enum nib_status status = NIB_OK;
    *out = NULL;
    *n_out = 0;
    for (size_t i = 0; i < n_texts; i++)
        if (!*texts[i] || strlen(texts[i]) > MAX_TEXT_BYTES)
            return nib_fail(err, NIB_ERROR_ARGUMENT,
                            "DRY's breaker %zu has %zu bytes; give texts of 1 to %d bytes", i,
                            strlen(texts[i]), MAX_TEXT_BYTES);
    if (n_texts > 0)
        status = find(&found, model, texts, n_texts, err);
    if (status == NIB_OK) {
        *out = join(&found);
        *n_out = *out ? found.n_lists : 0;
        if (!*out)
            status = nib_fail_memory(err, found.n_ids * 16, "DRY's breakers");
    }
    free(found.lists);
    free(found.ids);
    return status;
}
