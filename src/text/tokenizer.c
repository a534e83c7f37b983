/* The tokenizer as the rest of nibble sees it, on the codec of its kind of file. */
#include "tokenizer.h"

#include "clean_spaces.h"
#include "gguf.h"
#include "text_codec.h"

#include <stdlib.h>

struct nib_tokenizer {
    struct nib_tokenizer_info info;
    const struct nib_codec *codec;
    void *self;
};

/* ---- making one ----------------------------------------------------------------------------- */

static const struct nib_codec *find_codec(const struct nib_gguf *gguf)
{
    static const struct {
        const char *key;
        const struct nib_codec *codec;
    } keys[] = {{"tokenizer.ggml.model", &nib_codec_gguf},
                {"tokenizer.huggingface.json", &nib_codec_hf},
                {"nibble.tokenizer.model", &nib_codec_sp}};
    for (size_t i = 0; i < NIB_COUNT(keys); i++)
        if (nib_gguf_has(gguf, keys[i].key))
            return keys[i].codec;
    return NULL;
}

enum nib_status nib_tokenizer_from_gguf(struct nib_tokenizer **out, const struct nib_gguf *gguf,
                                        struct nib_error *err)
{
    *out = NULL;
    const struct nib_codec *codec = find_codec(gguf);
    if (codec == NULL)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: there is no tokenizer, expected tokenizer.ggml.model or "
                        "tokenizer.huggingface.json in a GGUF file, tokenizer.json or "
                        "tokenizer.model beside a Hugging Face model; get the missing file, or "
                        "convert the model again with its vocabulary",
                        nib_gguf_path(gguf));
    struct nib_tokenizer *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return nib_fail_memory(err, sizeof(*t), "the tokenizer");
    t->codec = codec;
    const enum nib_status status = codec->create(&t->self, &t->info, gguf, err);
    if (status != NIB_OK) {
        free(t);
        return status;
    }
    *out = t;
    return NIB_OK;
}

void nib_tokenizer_free(struct nib_tokenizer *t)
{
    if (t == NULL)
        return;
    t->codec->free(t->self);
    free(t);
}

/* ---- looking things up ---------------------------------------------------------------------- */

const struct nib_tokenizer_info *nib_tokenizer_info(const struct nib_tokenizer *t)
{
    return &t->info;
}

static bool has_id(const struct nib_tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->info.n_vocab;
}

const char *nib_tokenizer_name(const struct nib_tokenizer *t, int32_t id)
{
    return has_id(t, id) ? t->codec->name(t->self, id) : NULL;
}

bool nib_tokenizer_is_end(const struct nib_tokenizer *t, int32_t id)
{
    return has_id(t, id) && t->codec->is_end(t->self, id);
}

/* ---- encoding ------------------------------------------------------------------------------- */

enum nib_status nib_tokenizer_encode(const struct nib_tokenizer *t, struct nib_str text,
                                     unsigned flags, int32_t **ids, size_t *n_ids,
                                     struct nib_error *err)
{
    *ids = NULL;
    *n_ids = 0;
    if (text.len > NIB_MAX_TEXT_BYTES)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "the text has %zu bytes, expected at most %zu; pass it in parts", text.len,
                        NIB_MAX_TEXT_BYTES);
    struct nib_scratch scratch = {0};
    scratch.ids.capacity = text.len / 4 + 16;
    scratch.ids.data = malloc(scratch.ids.capacity * sizeof(int32_t));
    enum nib_status status = NIB_OK;
    if (scratch.ids.data == NULL)
        status =
            nib_fail_memory(err, scratch.ids.capacity * sizeof(int32_t), "the ids of the text");
    else
        status = t->codec->encode(t->self, &scratch, text, flags, err);
    if (status == NIB_OK) {
        *ids = scratch.ids.data;
        *n_ids = scratch.ids.n;
        scratch.ids.data = NULL;
    }
    nib_scratch_free(&scratch);
    return status;
}

/* ---- decoding ------------------------------------------------------------------------------- */

enum nib_status nib_tokenizer_decoding_create(struct nib_tokenizer_decoding *out,
                                              const struct nib_tokenizer *t, unsigned flags,
                                              struct nib_error *err)
{
    *out = (struct nib_tokenizer_decoding){.tokenizer = t};
    return t->codec->decoding_create(&out->data, t->self, flags, err);
}

void nib_tokenizer_decoding_free(struct nib_tokenizer_decoding *d)
{
    if (d->data != NULL)
        d->tokenizer->codec->decoding_free(d->data);
    d->data = NULL;
}

enum nib_status nib_tokenizer_decoding_push(struct nib_tokenizer_decoding *d, int32_t id,
                                            struct nib_buffer *text, struct nib_error *err)
{
    return has_id(d->tokenizer, id) ? d->tokenizer->codec->decoding_push(d->data, id, text, err)
                                    : NIB_OK;
}

enum nib_status nib_tokenizer_decoding_end(struct nib_tokenizer_decoding *d,
                                           struct nib_buffer *text, struct nib_error *err)
{
    return d->tokenizer->codec->decoding_end(d->data, text, err);
}

enum nib_status nib_tokenizer_decode(const struct nib_tokenizer *t, const int32_t *ids,
                                     size_t n_ids, unsigned flags, char **text, size_t *n_bytes,
                                     struct nib_error *err)
{
    *text = NULL;
    *n_bytes = 0;
    for (size_t i = 0; i < n_ids; i++)
        if (!has_id(t, ids[i]))
            return nib_fail(
                err, NIB_ERROR_ARGUMENT,
                "id %d at position %zu is not in the vocabulary, expected 0 .. %zu; check "
                "that the ids belong to this model",
                (int)ids[i], i, t->info.n_vocab - 1);
    struct nib_buffer out = {0};
    struct nib_tokenizer_decoding d;
    enum nib_status status = nib_tokenizer_decoding_create(&d, t, flags, err);
    for (size_t i = 0; i < n_ids && status == NIB_OK; i++)
        status = nib_tokenizer_decoding_push(&d, ids[i], &out, err);
    if (status == NIB_OK)
        status = nib_tokenizer_decoding_end(&d, &out, err);
    nib_tokenizer_decoding_free(&d);
    if (status == NIB_OK && !nib_buffer_append(&out, "", 1))
        status = nib_fail_memory(err, out.n + 1, "the text of the ids");
    if (status != NIB_OK) {
        free(out.data);
        return status;
    }
    *n_bytes = out.n - 1;
    if ((flags & NIB_CLEAN_SPACES) != 0 && t->codec->cleans_spaces(t->self))
        *n_bytes = nib_clean_spaces(out.data, *n_bytes);
    out.data[*n_bytes] = 0;
    *text = out.data;
    return NIB_OK;
}
