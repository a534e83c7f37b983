/* UTF-8 and the character classes of Python's str, by utf8proc.  Text is valid UTF-8 here: sources
 * and JSON are checked when they come in. */
#ifndef NIB_TEMPLATE_TEXT_H
#define NIB_TEMPLATE_TEXT_H

#include "common.h"

/* Code point at p, and its length in bytes; p < end. */
static inline int32_t nib_tpl_decode(const char *p, const char *end, size_t *len)
{
    const unsigned char *s = (const unsigned char *)p;
    if (s[0] < 0x80) {
        *len = 1;
        return s[0];
    }
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if ((size_t)(end - p) < n)
        n = (size_t)(end - p);
    int32_t c = s[0] & (0x7f >> n);
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (s[i] & 0x3f);
    *len = n;
    return c;
}

size_t nib_tpl_encode(int32_t code_point, char out[4]); /* surrogates and the like as U+FFFD */
size_t nib_tpl_count_chars(const char *data, size_t len);
/* Byte offset of the i-th character, or len. */
size_t nib_tpl_char_offset(const char *data, size_t len, size_t i);
/* Start of the character that ends at `end` > data. */
const char *nib_tpl_previous_char(const char *data, const char *end);

bool nib_tpl_is_space(int32_t c);    /* str.isspace, and \s of re */
bool nib_tpl_is_line_end(int32_t c); /* str.splitlines */
bool nib_tpl_is_alpha(int32_t c);
bool nib_tpl_is_decimal(int32_t c);
bool nib_tpl_is_digit(int32_t c);
bool nib_tpl_is_numeric(int32_t c);
bool nib_tpl_is_upper(int32_t c);
bool nib_tpl_is_lower(int32_t c);
bool nib_tpl_is_title(int32_t c);
bool nib_tpl_is_printable(int32_t c);
bool nib_tpl_is_word(int32_t c); /* \w of re */
bool nib_tpl_is_identifier(struct nib_str s);

/* First occurrence of a non-empty needle, or NULL. */
const char *nib_tpl_find(const char *hay, size_t n_hay, const char *needle, size_t n_needle);
const char *nib_tpl_find_last(const char *hay, size_t n_hay, const char *needle, size_t n_needle);

#endif
