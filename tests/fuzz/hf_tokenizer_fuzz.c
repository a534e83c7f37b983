/*
 * Any bytes as a tokenizer.json and a text, cut at the first zero byte; where the first byte is M,
 * as a SentencePiece .model of 256 bytes a unit and a text.  What loads encodes and decodes any
 * text, and a stream gives what decoding gives.
 */
#include "hf_text_builder.h"

#include <stdlib.h>

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The text that decoding gives is that of a stream, but for zero bytes. */
static void compare_with_stream(const struct nib_tokenizer *t, const int32_t *ids, size_t n_ids)
{
    char *text;
    size_t n, at = 0;
    struct nib_text_stream *stream;
    if (nib_tokenizer_decode(t, ids, n_ids, 0, &text, &n, NULL) != NIB_OK)
        return;
    REQUIRE(nib_text_stream_create_from(&stream, t, NULL) == NIB_OK);
    for (size_t i = 0; i <= n_ids && memchr(text, 0, n) == NULL; i++) {
        const char *part =
            i < n_ids ? nib_text_stream_push(stream, ids[i]) : nib_text_stream_end(stream);
        const size_t len = strlen(part);
        REQUIRE(len <= n - at && memcmp(text + at, part, len) == 0);
        at += len;
    }
    REQUIRE(at == n || memchr(text, 0, n) != NULL);
    nib_text_stream_free(stream);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *bytes = (const char *)data;
    struct hf_texts texts = HF_NO_TEXTS;
    struct nib_str text = {bytes + n, 0};
    if (n > 2 && bytes[0] == 'M') {
        const size_t n_model = (size_t)data[1] * 256 < n - 2 ? (size_t)data[1] * 256 : n - 2;
        texts.model = (struct nib_str){bytes + 2, n_model};
        text = (struct nib_str){bytes + 2 + n_model, n - 2 - n_model};
    } else {
        const char *end = n == 0 ? NULL : memchr(bytes, 0, n);
        texts.json = (struct nib_str){n == 0 ? "" : bytes, end == NULL ? n : (size_t)(end - bytes)};
        if (end != NULL)
            text = (struct nib_str){end + 1, n - texts.json.len - 1};
    }
    struct nib_tokenizer *t;
    if (hf_texts_open(&t, &texts, NULL) != NIB_OK)
        return 0;
    for (unsigned flags = 0; flags < 4; flags++) {
        int32_t *ids;
        size_t n_ids;
        if (nib_tokenizer_encode(t, text, flags, &ids, &n_ids, NULL) != NIB_OK)
            continue;
        for (size_t i = 0; i < n_ids; i++)
            REQUIRE(ids[i] >= 0 && (size_t)ids[i] < nib_tokenizer_info(t)->n_vocab);
        compare_with_stream(t, ids, n_ids);
        free(ids);
    }
    nib_tokenizer_free(t);
    return 0;
}
