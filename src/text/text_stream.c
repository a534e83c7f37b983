/* Streaming detokenisation: struct nib_text_stream of nibble.h. */
#include "tokenizer.h"
#include "utf8.h"

#include <stdlib.h>

#define MAX_PENDING 3 /* bytes of a character that has not ended */

struct nib_text_stream {
    const struct nib_tokenizer *tokenizer;
    char *bytes; /* what has not been given out, then the next piece */
    char *text;  /* what is given out: at most a U+FFFD for each byte */
    size_t n_pending;
};

enum nib_status nib_text_stream_create_from(struct nib_text_stream **out,
                                            const struct nib_tokenizer *tokenizer,
                                            struct nib_error *err)
{
    *out = NULL;
    const size_t n = MAX_PENDING + nib_tokenizer_max_piece_bytes(tokenizer);
    const size_t n_text = n * (sizeof(NIB_REPLACEMENT) - 1) + 1;
    struct nib_text_stream *s = malloc(sizeof(*s) + n + n_text);
    if (s == NULL)
        return nib_fail_memory(err, sizeof(*s) + n + n_text, "a text stream");
    *s = (struct nib_text_stream){.tokenizer = tokenizer};
    s->bytes = (char *)(s + 1);
    s->text = s->bytes + n;
    s->text[0] = 0;
    *out = s;
    return NIB_OK;
}

/* Give out bytes[0 .. n) as far as characters are complete; a zero byte, which a C string cannot
 * hold, becomes U+FFFD as well. */
static const char *give_out(struct nib_text_stream *s, size_t n, bool is_end)
{
    char *out = s->text;
    size_t i = 0;
    while (i < n) {
        const int len = nib_utf8_scan(s->bytes + i, n - i);
        if (len == 0 && !is_end)
            break;
        if (len > 0 && s->bytes[i] != 0)
            out = (char *)memcpy(out, s->bytes + i, (size_t)len) + len;
        else
            out = (char *)memcpy(out, NIB_REPLACEMENT, 3) + 3;
        i += len == 0 ? n - i : (size_t)(len < 0 ? -len : len);
    }
    *out = 0;
    s->n_pending = n - i;
    memmove(s->bytes, s->bytes + i, s->n_pending);
    return s->text;
}

const char *nib_text_stream_push(struct nib_text_stream *s, int32_t id)
{
    const struct nib_str piece = nib_tokenizer_piece(s->tokenizer, id, 0);
    if (piece.len > 0)
        memcpy(s->bytes + s->n_pending, piece.data, piece.len);
    return give_out(s, s->n_pending + piece.len, false);
}

const char *nib_text_stream_end(struct nib_text_stream *s)
{
    return give_out(s, s->n_pending, true);
}

void nib_text_stream_free(struct nib_text_stream *s)
{
    free(s);
}
