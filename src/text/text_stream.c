/* Streaming detokenisation: struct nib_text_stream of nibble.h. */
#include "text_codec.h"
#include "utf8.h"

#include <stdlib.h>

struct nib_text_stream {
    struct nib_tokenizer_decoding decoding;
    struct nib_buffer bytes; /* what has been decoded and not given out */
    struct nib_buffer text;  /* what is given out */
};

enum nib_status nib_text_stream_create_from(struct nib_text_stream **out,
                                            const struct nib_tokenizer *tokenizer,
                                            struct nib_error *err)
{
    struct nib_text_stream *s = *out = calloc(1, sizeof(*s));
    if (s == NULL)
        return nib_fail_memory(err, sizeof(*s), "a text stream");
    const enum nib_status status =
        nib_tokenizer_decoding_create(&s->decoding, tokenizer, NIB_DECODE_STREAM, err);
    if (status != NIB_OK) {
        nib_text_stream_free(s);
        *out = NULL;
    }
    return status;
}

/* Give out the bytes as far as characters are complete; a zero byte, which a C string cannot hold,
 * becomes U+FFFD as well.  Without memory what has come since is lost: "". */
static const char *give_out(struct nib_text_stream *s, bool is_end)
{
    bool is_fine = true;
    size_t i = 0;
    s->text.n = 0;
    while (i < s->bytes.n && is_fine) {
        const size_t left = s->bytes.n - i;
        const int len = nib_utf8_scan(s->bytes.data + i, left);
        if (len == 0 && !is_end)
            break;
        is_fine = len > 0 && s->bytes.data[i] != 0
                      ? nib_buffer_append(&s->text, s->bytes.data + i, (size_t)len)
                      : nib_buffer_append(&s->text, NIB_REPLACEMENT, 3);
        i += len == 0 ? left : (size_t)(len < 0 ? -len : len);
    }
    if (i > 0)
        memmove(s->bytes.data, s->bytes.data + i, s->bytes.n - i);
    s->bytes.n -= i;
    return is_fine && nib_buffer_append(&s->text, "", 1) ? s->text.data : "";
}

const char *nib_text_stream_push(struct nib_text_stream *s, int32_t id)
{
    (void)nib_tokenizer_decoding_push(&s->decoding, id, &s->bytes, NULL);
    return give_out(s, false);
}

const char *nib_text_stream_end(struct nib_text_stream *s)
{
    (void)nib_tokenizer_decoding_end(&s->decoding, &s->bytes, NULL);
    return give_out(s, true);
}

void nib_text_stream_free(struct nib_text_stream *s)
{
    if (s == NULL)
        return;
    nib_tokenizer_decoding_free(&s->decoding);
    free(s->bytes.data);
    free(s->text.data);
    free(s);
}
