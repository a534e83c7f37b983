/* What methods and filters on text share. */
#ifndef NIB_TEMPLATE_STRING_H
#define NIB_TEMPLATE_STRING_H

#include "template_value.h"

enum strip_side { STRIP_LEFT = 1, STRIP_RIGHT = 2 };
/* CASE_TITLE is str.title(), where every letter after another sign begins a word; CASE_WORDS is the
 * filter title, where only blanks, hyphens and opening brackets end one. */
enum text_case { CASE_UPPER, CASE_LOWER, CASE_TITLE, CASE_WORDS, CASE_CAPITAL, CASE_SWAP };
enum pad_side { PAD_LEFT, PAD_RIGHT, PAD_CENTER };

/* Without the characters of `chars` (NULL: blanks) at its ends. */
struct value nib_tpl_strip(struct render *r, const struct string *s, const struct string *chars,
                           enum strip_side side);
struct list *nib_tpl_split_lines(struct render *r, const struct string *s, bool keep_ends);
/* The first `count` occurrences; -1: all. */
struct value nib_tpl_replace(struct render *r, const struct string *s, const struct string *old,
                             const struct string *new, int64_t count);
struct value nib_tpl_convert_case(struct render *r, const struct string *s, enum text_case to);
struct value nib_tpl_pad(struct render *r, const struct string *s, int64_t width, int32_t fill,
                         enum pad_side side);
bool nib_tpl_has_case(const struct string *s, bool is_upper); /* str.isupper, str.islower */

#endif
