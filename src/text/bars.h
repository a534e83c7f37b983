/* "▁" (U+2581), which SentencePiece and its relatives write for a blank. */
#ifndef NIB_BARS_H
#define NIB_BARS_H

#include "common.h"

#define NIB_BAR     "\xE2\x96\x81"
#define NIB_BAR_LEN ((size_t)3)

static inline bool nib_is_bar(const char *p, size_t n)
{
    return n >= NIB_BAR_LEN && memcmp(p, NIB_BAR, NIB_BAR_LEN) == 0;
}

/*
 * Where the part of `text` that begins at `from` ends: before the next ▁ that does not follow one.
 * If no token goes on beyond such a place, the parts can be encoded one by one.
 */
static inline size_t nib_bar_cut(struct nib_str text, size_t from)
{
    bool was_bar = true;
    for (size_t i = from; i < text.len;) {
        const bool is_bar = nib_is_bar(text.data + i, text.len - i);
        if (is_bar && !was_bar)
            return i;
        was_bar = is_bar;
        i += is_bar ? NIB_BAR_LEN : 1;
    }
    return text.len;
}

#endif
