/* Makes tokenizers from vocabularies written down in a test. */
#ifndef VOCABULARY_BUILDER_H
#define VOCABULARY_BUILDER_H

#include "gguf_builder.h"
#include "gguf_file.h"
#include "tokenizer.h"

struct vocabulary {
    const char *model, *pre; /* NULL: no such key */
    const char *const *tokens;
    size_t n_tokens;
    const int32_t *types; /* [n_tokens], or NULL: no such key */
    const float *scores;  /* the same */
    const char *const *merges;
    size_t n_merges;
};

static inline void vocabulary_put(const struct vocabulary *v, struct gguf_builder *b)
{
    gguf_builder_init(b);
    gguf_add_string(b, "general.architecture", "llama");
    if (v->model != NULL)
        gguf_add_string(b, "tokenizer.ggml.model", v->model);
    if (v->pre != NULL)
        gguf_add_string(b, "tokenizer.ggml.pre", v->pre);
    if (v->tokens != NULL)
        gguf_add_strings(b, "tokenizer.ggml.tokens", v->tokens, v->n_tokens);
    if (v->types != NULL)
        gguf_add_array(b, "tokenizer.ggml.token_type", NIB_GGUF_I32, v->n_tokens, v->types,
                       v->n_tokens * sizeof(*v->types));
    if (v->scores != NULL)
        gguf_add_array(b, "tokenizer.ggml.scores", NIB_GGUF_F32, v->n_tokens, v->scores,
                       v->n_tokens * sizeof(*v->scores));
    if (v->merges != NULL)
        gguf_add_strings(b, "tokenizer.ggml.merges", v->merges, v->n_merges);
}

/* Takes the builder.  The file is gone when this returns: a tokenizer must not need it any more. */
static inline enum nib_status vocabulary_open(struct nib_tokenizer **out, struct gguf_builder *b,
                                              struct nib_error *err)
{
    size_t n;
    uint8_t *image = gguf_builder_image(b, &n);
    gguf_builder_free(b);
    struct nib_gguf *gguf;
    *err = (struct nib_error){0};
    *out = NULL;
    enum nib_status status = nib_gguf_open_memory(&gguf, image, n, "model.gguf", err);
    if (status == NIB_OK) {
        status = nib_tokenizer_from_gguf(out, gguf, err);
        nib_gguf_close(gguf);
    }
    memset(image, 0xAA, n);
    free(image);
    return status;
}

#endif
