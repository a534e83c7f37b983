/* UTF-8 as of Unicode 15, section 3.9: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef NIB_UTF8_H
#define NIB_UTF8_H

#include "common.h"

#define NIB_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/*
 * Look at the n >= 1 bytes at `p`.  A character stands there: its length, 1..4.  None can: minus
 * the number of bytes that one U+FFFD replaces (the longest start of a character, at least 1).  The
 * bytes end before it is decided: 0.
 */
static inline int nib_utf8_scan(const char *p, size_t n)
{
    const unsigned char *u = (const unsigned char *)p;
    const unsigned char lead = u[0];
    if (lead < 0x80)
        return 1;
    if (lead < 0xC2 || lead > 0xF4)
        return -1;
    const int len = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    for (int i = 1; i < len; i++) {
        if ((size_t)i == n)
            return 0;
        if (u[i] < low || u[i] > high)
            return -i;
        low = 0x80;
        high = 0xBF;
    }
    return len;
}

/* How many bytes at the start of `text` are whole valid characters. */
static inline size_t nib_utf8_valid_prefix(struct nib_str text)
{
    size_t i = 0;
    while (i < text.len) {
        uint64_t eight;
        if (text.len - i >= 8 &&
            (memcpy(&eight, text.data + i, 8), (eight & UINT64_C(0x8080808080808080)) == 0)) {
            i += 8;
            continue;
        }
        const int len = nib_utf8_scan(text.data + i, text.len - i);
        if (len <= 0)
            break;
        i += (size_t)len;
    }
    return i;
}

/* How many bytes at the start of `text` belong to no character. */
static inline size_t nib_utf8_invalid_prefix(struct nib_str text)
{
    size_t n = 0;
    while (n < text.len) {
        const int len = nib_utf8_scan(text.data + n, text.len - n);
        if (len > 0)
            break;
        n = len == 0 ? text.len : n + (size_t)-len;
    }
    return n;
}

#endif
