/* UTF-8 and the character classes of Python's str. */
#define _GNU_SOURCE /* memmem, which is linear in the worst case too */
#include "template_text.h"

#include <utf8proc.h>

size_t nib_tpl_encode(int32_t c, char out[4])
{
    if (c < 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        c = 0xfffd;
    return (size_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)out);
}

size_t nib_tpl_count_chars(const char *data, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += (data[i] & 0xc0) != 0x80;
    return n;
}

size_t nib_tpl_char_offset(const char *data, size_t len, size_t i)
{
    size_t at = 0;
    for (; at < len; at++) {
        if ((data[at] & 0xc0) != 0x80 && i-- == 0)
            break;
    }
    return at;
}

const char *nib_tpl_previous_char(const char *data, const char *end)
{
    do
        end--;
    while (end > data && (*end & 0xc0) == 0x80);
    return end;
}

bool nib_tpl_is_space(int32_t c)
{
    if (c < 0x80)
        return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool nib_tpl_is_line_end(int32_t c)
{
    return (c >= '\n' && c <= '\r') || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
           c == 0x2029;
}

bool nib_tpl_is_alpha(int32_t c)
{
    if (c < 0x80)
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return true;
    default:
        return false;
    }
}

bool nib_tpl_is_decimal(int32_t c)
{
    if (c < 0x80)
        return c >= '0' && c <= '9';
    return utf8proc_category(c) == UTF8PROC_CATEGORY_ND;
}

/* Unicode's Numeric_Type=Digit beyond Nd: superscripts, subscripts, circled digits. */
bool nib_tpl_is_digit(int32_t c)
{
    return nib_tpl_is_decimal(c) || c == 0xb2 || c == 0xb3 || c == 0xb9 || c == 0x2070 ||
           (c >= 0x2074 && c <= 0x2079) || (c >= 0x2080 && c <= 0x2089) ||
           (c >= 0x2460 && c <= 0x2468) || (c >= 0x2474 && c <= 0x247c) ||
           (c >= 0x2488 && c <= 0x2490) || c == 0x24ea || (c >= 0x24f5 && c <= 0x24fd) ||
           c == 0x24ff || (c >= 0x2776 && c <= 0x277e) || (c >= 0x2780 && c <= 0x2788) ||
           (c >= 0x278a && c <= 0x2792);
}

bool nib_tpl_is_numeric(int32_t c)
{
    if (nib_tpl_is_digit(c))
        return true;
    if (c < 0x80)
        return false;
    const utf8proc_category_t category = utf8proc_category(c);
    return category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_NO;
}

bool nib_tpl_is_upper(int32_t c)
{
    return c < 0x80 ? c >= 'A' && c <= 'Z' : utf8proc_isupper(c) != 0;
}

bool nib_tpl_is_lower(int32_t c)
{
    return c < 0x80 ? c >= 'a' && c <= 'z' : utf8proc_islower(c) != 0;
}

bool nib_tpl_is_title(int32_t c)
{
    return c >= 0x80 && utf8proc_category(c) == UTF8PROC_CATEGORY_LT;
}

bool nib_tpl_is_printable(int32_t c)
{
    if (c < 0x80)
        return c >= ' ' && c < 0x7f;
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
        return false;
    default:
        return true;
    }
}

bool nib_tpl_is_word(int32_t c)
{
    return c == '_' || nib_tpl_is_alpha(c) || nib_tpl_is_numeric(c);
}

bool nib_tpl_is_identifier(struct nib_str s)
{
    const char *p = s.data, *end = s.data + s.len;
    for (size_t n; p < end; p += n) {
        int32_t c = nib_tpl_decode(p, end, &n);
        if (c == '_' || nib_tpl_is_alpha(c))
            continue;
        if (p == s.data)
            return false;
        utf8proc_category_t category = utf8proc_category(c);
        if (category != UTF8PROC_CATEGORY_ND && category != UTF8PROC_CATEGORY_NL &&
            category != UTF8PROC_CATEGORY_MN && category != UTF8PROC_CATEGORY_MC &&
            category != UTF8PROC_CATEGORY_PC)
            return false;
    }
    return s.len > 0;
}

const char *nib_tpl_find(const char *hay, size_t n_hay, const char *needle, size_t n_needle)
{
    return memmem(hay, n_hay, needle, n_needle);
}

/* There is no memrmem(); a rolling hash (Rabin-Karp) keeps it linear whatever the text is. */
const char *nib_tpl_find_last(const char *hay, size_t n_hay, const char *needle, size_t n_needle)
{
    const uint64_t base = 0x9e3779b97f4a7c15u;
    if (n_hay < n_needle)
        return NULL;
    const char *p = hay + (n_hay - n_needle);
    uint64_t want = 0, have = 0, top = 1; /* sum of byte[i] * base^i; top: base^(n_needle - 1) */
    for (size_t i = n_needle; i-- > 0;) {
        want = want * base + (unsigned char)needle[i];
        have = have * base + (unsigned char)p[i];
        top = i == 0 ? top : top * base;
    }
    for (;; p--) {
        if (have == want && memcmp(p, needle, n_needle) == 0)
            return p;
        if (p == hay)
            return NULL;
        have = (have - (unsigned char)p[n_needle - 1] * top) * base + (unsigned char)p[-1];
    }
}
