/* Error sentences, and the small functions that every user of the library needs. */
#include "common.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <utf8proc.h>

static const char dots[] = "...";

/* One character of `text` in the form to be shown; returns the number of bytes it takes in the
 * text. */
static size_t escape_one(char shown[16], size_t *n_shown, const char *text, size_t n_bytes)
{
    utf8proc_int32_t c = -1;
    const utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n_bytes, &c);
    if (n <= 0) {
        *n_shown = (size_t)snprintf(shown, 16, "\\x%02x", (unsigned char)text[0]);
        return 1;
    }

    const utf8proc_category_t category = utf8proc_category(c);
    const bool is_hidden = category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
                           category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
    if (!is_hidden) {
        memcpy(shown, text, (size_t)n);
        *n_shown = (size_t)n;
    } else if (c == '\n' || c == '\t') {
        *n_shown = (size_t)snprintf(shown, 16, c == '\n' ? "\\n" : "\\t");
    } else {
        *n_shown = (size_t)snprintf(shown, 16, c < 0x80 ? "\\x%02x" : "\\u%04x", (unsigned)c);
    }
    return (size_t)n;
}

size_t nib_escape(char *out, size_t cap, const char *text, size_t n_bytes)
{
    if (cap == 0)
        return 0;

    size_t n_out = 0;
    size_t n_cut = 0; /* length of the longest prefix that leaves room for the dots */
    while (n_bytes > 0) {
        char shown[16];
        size_t n_shown;
        const size_t n_used = escape_one(shown, &n_shown, text, n_bytes);
        if (n_out + n_shown + 1 > cap) {
            const size_t room = cap - 1 - n_cut;
            const size_t n_dots = room < sizeof(dots) - 1 ? room : sizeof(dots) - 1;
            memcpy(out + n_cut, dots, n_dots);
            n_out = n_cut + n_dots;
            break;
        }
        memcpy(out + n_out, shown, n_shown);
        n_out += n_shown;
        if (n_out + sizeof(dots) <= cap)
            n_cut = n_out;
        text += n_used;
        n_bytes -= n_used;
    }
    out[n_out] = '\0';
    return n_out;
}

enum nib_status nib_fail(struct nib_error *err, enum nib_status status, const char *format, ...)
{
    if (!err)
        return status;

    /* Twice the room: what is cut is cut by nib_escape(), at a character.  The arguments may point
     * into *err, so that it is written last. */
    char raw[2 * sizeof(err->message)];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(raw, sizeof(raw), format, args);
    va_end(args);

    err->status = status;
    nib_escape(err->message, sizeof(err->message), raw, n < 0 ? 0 : strlen(raw));
    return status;
}

enum nib_status nib_fail_memory(struct nib_error *err, uint64_t n_bytes, const char *what)
{
    return nib_fail(err, NIB_ERROR_MEMORY,
                    "out of memory: could not get %" PRIu64 " bytes (%.1f MiB) for %s; close other "
                    "programs, or use a smaller model, context or batch",
                    n_bytes, (double)n_bytes / (1024.0 * 1024.0), what);
}

const char *nib_version(void)
{
    return NIB_VERSION;
}

void nib_free(void *memory)
{
    free(memory);
}
