/* SentencePiece's normalisation, see sp_normalize.h. */
#include "sp_normalize.h"

#include "utf8.h"

#define BAR NIB_STR("\xE2\x96\x81") /* ▁ */

/* The bytes at the start of `text` that are replaced as one, at least 1, and by what. */
static size_t normalize_prefix(const struct nib_sp_normalizer *normalizer, struct nib_str text,
                               struct nib_str *replacement)
{
    const struct nib_charsmap *map = normalizer->map;
    size_t n = normalizer->kept == NULL ? 0 : nib_trie_longest(normalizer->kept, text, NULL);
    if (n > 0) {
        *replacement = (struct nib_str){text.data, n};
        return n;
    }
    n = map == NULL ? 0 : nib_charsmap_longest(map, text, replacement);
    if (n > 0)
        return n;
    const int len = nib_utf8_scan(text.data, text.len);
    *replacement =
        len > 0 ? (struct nib_str){text.data, (size_t)len} : nib_str_from(NIB_REPLACEMENT);
    return len > 0 ? (size_t)len : 1;
}

static size_t skip_leading_blanks(const struct nib_sp_normalizer *normalizer, struct nib_str text)
{
    size_t from = 0;
    while (from < text.len) {
        struct nib_str part;
        const size_t n = normalize_prefix(
            normalizer, (struct nib_str){text.data + from, text.len - from}, &part);
        if (!nib_str_equal(part, NIB_STR(" ")))
            break;
        from += n;
    }
    return from;
}

static bool append(const struct nib_sp_normalizer *normalizer, struct nib_buffer *out,
                   struct nib_str part)
{
    if (!normalizer->writes_bars)
        return nib_buffer_append(out, part.data, part.len);
    bool is_fine = true;
    for (size_t from = 0; from < part.len && is_fine;) {
        const char *blank = memchr(part.data + from, ' ', part.len - from);
        const size_t end = blank == NULL ? part.len : (size_t)(blank - part.data);
        is_fine = nib_buffer_append(out, part.data + from, end - from) &&
                  (blank == NULL || nib_buffer_append(out, BAR.data, BAR.len));
        from = end + 1;
    }
    return is_fine;
}

static void remove_trailing_blanks(struct nib_buffer *out, struct nib_str blank)
{
    while (out->n >= blank.len &&
           memcmp(out->data + out->n - blank.len, blank.data, blank.len) == 0)
        out->n -= blank.len;
}

bool nib_sp_normalize(const struct nib_sp_normalizer *normalizer, struct nib_buffer *out,
                      struct nib_str text)
{
    const bool removes = normalizer->removes_extra_blanks;
    const struct nib_str blank = NIB_STR(" ");
    out->n = 0;
    size_t from = removes ? skip_leading_blanks(normalizer, text) : 0;
    if (from == text.len)
        return true;
    bool is_fine = true;
    if (normalizer->adds_blank && !normalizer->adds_blank_behind)
        is_fine = append(normalizer, out, blank);
    bool is_after_blank = removes;
    while (from < text.len && is_fine) {
        struct nib_str part;
        from += normalize_prefix(normalizer, (struct nib_str){text.data + from, text.len - from},
                                 &part);
        while (is_after_blank && part.len > 0 && part.data[0] == ' ') {
            part.data++;
            part.len--;
        }
        if (part.len == 0)
            continue;
        is_fine = append(normalizer, out, part);
        is_after_blank = removes && part.data[part.len - 1] == ' ';
    }
    if (removes)
        remove_trailing_blanks(out, normalizer->writes_bars ? BAR : blank);
    if (normalizer->adds_blank && normalizer->adds_blank_behind && is_fine)
        is_fine = append(normalizer, out, blank);
    return is_fine;
}
