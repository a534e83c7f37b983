/* Makes tokenizers of the texts of a Hugging Face folder: tokenizer.json, .model files. */
#ifndef HF_TEXT_BUILDER_H
#define HF_TEXT_BUILDER_H

#include "gguf_file.h"
#include "gguf_image.h"
#include "tokenizer.h"

struct hf_texts {
    struct nib_str json, config, model; /* data NULL: no such key */
    int64_t bos_id, eos_id;             /* -1: no such key */
    const int32_t *end_ids;
    size_t n_end_ids;
};

#define HF_NO_TEXTS                                                                                \
    {                                                                                              \
        .bos_id = -1, .eos_id = -1                                                                 \
    }

/* The texts are gone when this returns: a tokenizer must not need them any more. */
static inline enum nib_status hf_texts_open(struct nib_tokenizer **out, const struct hf_texts *t,
                                            struct nib_error *err)
{
    struct nib_gguf_image image;
    struct nib_gguf *gguf = NULL;
    *out = NULL;
    nib_gguf_image_begin(&image);
    if (t->json.data != NULL)
        nib_gguf_put_string(&image, "tokenizer.huggingface.json", t->json);
    if (t->config.data != NULL)
        nib_gguf_put_string(&image, "nibble.tokenizer.config", t->config);
    if (t->model.data != NULL)
        nib_gguf_put_array(&image, "nibble.tokenizer.model", NIB_GGUF_U8, t->model.data,
                           t->model.len);
    if (t->bos_id >= 0)
        nib_gguf_put_u32(&image, "tokenizer.ggml.bos_token_id", (uint32_t)t->bos_id);
    if (t->eos_id >= 0)
        nib_gguf_put_u32(&image, "tokenizer.ggml.eos_token_id", (uint32_t)t->eos_id);
    if (t->n_end_ids > 0)
        nib_gguf_put_array(&image, "nibble.eos_token_ids", NIB_GGUF_I32, t->end_ids, t->n_end_ids);
    enum nib_status status = nib_gguf_image_end(&image, err);
    if (status == NIB_OK)
        status = nib_gguf_open_memory(&gguf, image.data, image.n_bytes, "test", err);
    if (status == NIB_OK)
        status = nib_tokenizer_from_gguf(out, gguf, err);
    nib_gguf_close(gguf);
    nib_gguf_image_free(&image);
    return status;
}

#endif
