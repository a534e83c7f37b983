/* The vocabulary in a GGUF file: tokenizer.ggml.{tokens,token_type,scores}. */
#include "gguf.h"
#include "vocabulary.h"

#include <stdlib.h>

#define KEY_TOKENS "tokenizer.ggml.tokens"
#define KEY_SCORES "tokenizer.ggml.scores"
#define KEY_TYPES  "tokenizer.ggml.token_type"

static enum nib_status wrong_count(const struct nib_gguf *gguf, const char *key, size_t n,
                                   size_t n_tokens, struct nib_error *err)
{
    return nib_fail(
        err, NIB_ERROR_FILE,
        "%s: %s has %zu elements for %zu tokens, expected as many; the file is damaged, "
        "get it again",
        nib_gguf_path(gguf), key, n, n_tokens);
}

static enum nib_status wrong_kind(const struct nib_gguf *gguf, const char *key,
                                  const char *expected, struct nib_error *err)
{
    return nib_fail(err, NIB_ERROR_FILE,
                    "%s: %s is missing or not an array of %s; the file is damaged or was converted "
                    "wrongly, get it again",
                    nib_gguf_path(gguf), key, expected);
}

/* Both arrays are to be freed even after a failure, and NULL where the file has none. */
static enum nib_status read_types(uint8_t **out, size_t n_tokens, const struct nib_gguf *gguf,
                                  struct nib_error *err)
{
    if (!nib_gguf_has(gguf, KEY_TYPES))
        return NIB_OK;
    size_t n;
    if (!nib_gguf_ints(gguf, KEY_TYPES, &n))
        return wrong_kind(gguf, KEY_TYPES, "integers", err);
    if (n != n_tokens)
        return wrong_count(gguf, KEY_TYPES, n, n_tokens, err);
    int64_t *types = malloc(n * sizeof(*types));
    *out = malloc(n);
    enum nib_status status = NIB_OK;
    if (types == NULL || *out == NULL)
        status = nib_fail_memory(err, n * (sizeof(*types) + 1), "the types of tokens");
    else
        nib_gguf_copy_ints(gguf, KEY_TYPES, types);
    for (size_t i = 0; i < n && status == NIB_OK; i++) {
        if (types[i] < 0 || types[i] >= NIB_TOKEN_TYPE_COUNT)
            status =
                nib_fail(err, NIB_ERROR_FILE,
                         "%s: token %zu has the type %lld, expected 0..%d; the file is damaged, "
                         "get it again",
                         nib_gguf_path(gguf), i, (long long)types[i], NIB_TOKEN_TYPE_COUNT - 1);
        else
            (*out)[i] = (uint8_t)types[i];
    }
    free(types);
    return status;
}

static enum nib_status read_scores(float **out, size_t n_tokens, const struct nib_gguf *gguf,
                                   struct nib_error *err)
{
    if (!nib_gguf_has(gguf, KEY_SCORES))
        return NIB_OK;
    size_t n;
    if (!nib_gguf_floats(gguf, KEY_SCORES, &n))
        return wrong_kind(gguf, KEY_SCORES, "finite floats", err);
    if (n != n_tokens)
        return wrong_count(gguf, KEY_SCORES, n, n_tokens, err);
    *out = malloc(n * sizeof(**out));
    if (*out == NULL)
        return nib_fail_memory(err, n * sizeof(**out), "the scores of tokens");
    nib_gguf_copy_floats(gguf, KEY_SCORES, *out);
    return NIB_OK;
}

enum nib_status nib_vocabulary_load(struct nib_vocabulary *v, const struct nib_gguf *gguf,
                                    struct nib_error *err)
{
    size_t n;
    if (!nib_gguf_strings(gguf, KEY_TOKENS, &n))
        return wrong_kind(gguf, KEY_TOKENS, "strings", err);
    struct nib_str *texts = malloc(n * sizeof(*texts) + 1);
    uint8_t *types = NULL;
    float *scores = NULL;
    enum nib_status status = NIB_OK;
    if (texts == NULL)
        status = nib_fail_memory(err, n * sizeof(*texts), "the vocabulary");
    else
        nib_gguf_copy_strings(gguf, KEY_TOKENS, texts);
    if (status == NIB_OK)
        status = read_types(&types, n, gguf, err);
    if (status == NIB_OK)
        status = read_scores(&scores, n, gguf, err);
    if (status == NIB_OK) {
        const struct nib_token_list list = {.path = nib_gguf_path(gguf),
                                            .n_tokens = n,
                                            .texts = texts,
                                            .types = types,
                                            .scores = scores};
        status = nib_vocabulary_create(v, &list, err);
    }
    free(texts);
    free(types);
    free(scores);
    return status;
}
