/* Methods of strings that look at letters: case, character classes, padding. */
#include "template_function.h"
#include "template_string.h"
#include "template_text.h"

#include <utf8proc.h>

/* ---- case ----------------------------------------------------------------------------------- */

static void put_upper(struct render *r, int32_t c)
{
    if (c == 0xdf)
        nib_tpl_put(r, "SS", 2);
    else
        nib_tpl_put_char(r, utf8proc_toupper(c));
}

static void put_title(struct render *r, int32_t c)
{
    if (c == 0xdf)
        nib_tpl_put(r, "Ss", 2);
    else
        nib_tpl_put_char(r, utf8proc_totitle(c));
}

static bool is_cased(int32_t c)
{
    return nib_tpl_is_upper(c) || nib_tpl_is_lower(c) || nib_tpl_is_title(c);
}

/* A capital sigma at the end of a word becomes the final one. */
static void put_lower(struct render *r, const struct string *s, const char *p, int32_t c)
{
    size_t n;
    const char *end = s->data + s->len;
    if (c == 0x3a3) {
        nib_tpl_decode(p, end, &n);
        const char *before = p > s->data ? nib_tpl_previous_char(s->data, p) : NULL;
        const bool is_final = before && is_cased(nib_tpl_decode(before, p, &(size_t){0})) &&
                              (p + n == end || !is_cased(nib_tpl_decode(p + n, end, &(size_t){0})));
        nib_tpl_put_char(r, is_final ? 0x3c2 : 0x3c3);
    } else if (c == 0x130) {
        nib_tpl_put_char(r, 'i');
        nib_tpl_put_char(r, 0x307);
    } else {
        nib_tpl_put_char(r, utf8proc_tolower(c));
    }
}

static bool is_word_gap(int32_t c)
{
    return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || nib_tpl_is_space(c);
}

struct value nib_tpl_convert_case(struct render *r, const struct string *s, enum text_case to)
{
    const size_t mark = r->out.len;
    const char *p = s->data, *end = s->data + s->len;
    bool is_inside = false; /* of a word, for CASE_TITLE; behind the first, for CASE_CAPITAL */
    for (size_t n; p < end && !r->failed; p += n) {
        const int32_t c = nib_tpl_decode(p, end, &n);
        const bool is_upper = nib_tpl_is_upper(c);
        if (to == CASE_UPPER || (to == CASE_SWAP && !is_upper) || (to == CASE_WORDS && !is_inside))
            put_upper(r, c);
        else if ((to == CASE_TITLE || to == CASE_CAPITAL) && !is_inside)
            put_title(r, c);
        else
            put_lower(r, s, p, c);
        is_inside = to == CASE_CAPITAL || (to == CASE_TITLE && is_cased(c)) ||
                    (to == CASE_WORDS && !is_word_gap(c));
    }
    return nib_tpl_take(r, mark);
}

static struct value str_upper(struct render *r, struct value self, const struct args *args)
{
    (void)args;
    return nib_tpl_convert_case(r, self.u.s, CASE_UPPER);
}

static struct value str_lower(struct render *r, struct value self, const struct args *args)
{
    (void)args;
    return nib_tpl_convert_case(r, self.u.s, CASE_LOWER);
}

static struct value str_title(struct render *r, struct value self, const struct args *args)
{
    (void)args;
    return nib_tpl_convert_case(r, self.u.s, CASE_TITLE);
}

static struct value str_capitalize(struct render *r, struct value self, const struct args *args)
{
    (void)args;
    return nib_tpl_convert_case(r, self.u.s, CASE_CAPITAL);
}

static struct value str_swapcase(struct render *r, struct value self, const struct args *args)
{
    (void)args;
    return nib_tpl_convert_case(r, self.u.s, CASE_SWAP);
}

static struct value str_casefold(struct render *r, struct value self, const struct args *args)
{
    (void)args;
    const size_t mark = r->out.len;
    const char *p = self.u.s->data, *end = p + self.u.s->len;
    for (size_t n; p < end && !r->failed; p += n) {
        utf8proc_int32_t folded[4];
        const utf8proc_ssize_t k =
            utf8proc_decompose_char(nib_tpl_decode(p, end, &n), folded, 4, UTF8PROC_CASEFOLD, NULL);
        for (utf8proc_ssize_t i = 0; i < k && i < 4; i++)
            nib_tpl_put_char(r, folded[i]);
    }
    return nib_tpl_take(r, mark);
}

/* ---- questions ------------------------------------------------------------------------------ */

/* Is there a character, and do all pass? */
static struct value all(struct value self, bool (*test)(int32_t c))
{
    const struct string *s = self.u.s;
    const char *p = s->data, *end = s->data + s->len;
    for (size_t n; p < end; p += n) {
        if (!test(nib_tpl_decode(p, end, &n)))
            return nib_tpl_bool(false);
    }
    return nib_tpl_bool(s->len > 0);
}

bool nib_tpl_has_case(const struct string *s, bool is_upper)
{
    const char *p = s->data, *end = s->data + s->len;
    bool found = false;
    for (size_t n; p < end; p += n) {
        const int32_t c = nib_tpl_decode(p, end, &n);
        if (nib_tpl_is_title(c) || (is_upper ? nib_tpl_is_lower(c) : nib_tpl_is_upper(c)))
            return false;
        found |= is_upper ? nib_tpl_is_upper(c) : nib_tpl_is_lower(c);
    }
    return found;
}

static bool is_alnum(int32_t c)
{
    return nib_tpl_is_alpha(c) || nib_tpl_is_numeric(c);
}

static bool is_ascii(int32_t c)
{
    return c < 0x80;
}

#define QUESTION(name, test)                                                                       \
    static struct value name(struct render *r, struct value self, const struct args *args)         \
    {                                                                                              \
        (void)r;                                                                                   \
        (void)args;                                                                                \
        return test;                                                                               \
    }

QUESTION(str_isalpha, all(self, nib_tpl_is_alpha))
QUESTION(str_isdigit, all(self, nib_tpl_is_digit))
QUESTION(str_isdecimal, all(self, nib_tpl_is_decimal))
QUESTION(str_isnumeric, all(self, nib_tpl_is_numeric))
QUESTION(str_isalnum, all(self, is_alnum))
QUESTION(str_isspace, all(self, nib_tpl_is_space))
QUESTION(str_isascii, nib_tpl_bool(self.u.s->len == 0 || all(self, is_ascii).u.b))
QUESTION(str_isprintable, nib_tpl_bool(self.u.s->len == 0 || all(self, nib_tpl_is_printable).u.b))
QUESTION(str_isupper, nib_tpl_bool(nib_tpl_has_case(self.u.s, true)))
QUESTION(str_islower, nib_tpl_bool(nib_tpl_has_case(self.u.s, false)))
QUESTION(str_isidentifier,
         nib_tpl_bool(nib_tpl_is_identifier((struct nib_str){self.u.s->data, self.u.s->len})))

/* Every word begins with a capital and goes on with small letters. */
static struct value str_istitle(struct render *r, struct value self, const struct args *args)
{
    (void)r;
    (void)args;
    const char *p = self.u.s->data, *end = p + self.u.s->len;
    bool is_inside = false, found = false;
    for (size_t n; p < end; p += n) {
        const int32_t c = nib_tpl_decode(p, end, &n);
        const bool is_upper = nib_tpl_is_upper(c) || nib_tpl_is_title(c);
        if (is_inside ? is_upper : nib_tpl_is_lower(c))
            return nib_tpl_bool(false);
        is_inside = is_cased(c);
        found |= is_inside;
    }
    return nib_tpl_bool(found);
}

/* ---- padding -------------------------------------------------------------------------------- */

struct value nib_tpl_pad(struct render *r, const struct string *s, int64_t width, int32_t fill,
                         enum pad_side side)
{
    const int64_t missing = width - (int64_t)s->n_chars;
    const size_t mark = r->out.len;
    const size_t n = missing > 0 ? (size_t)missing : 0;
    /* Of an odd number of blanks Python's center() puts the extra one left if the width is odd. */
    const size_t left = side == PAD_LEFT     ? n
                        : side == PAD_CENTER ? n / 2 + (n & (size_t)width & 1)
                                             : 0;
    nib_tpl_put_repeated(r, fill, left);
    nib_tpl_put(r, s->data, s->len);
    nib_tpl_put_repeated(r, fill, n - left);
    return nib_tpl_take(r, mark);
}

static struct value pad(struct render *r, struct value self, const struct args *args,
                        enum pad_side side)
{
    int64_t width;
    int32_t fill = ' ';
    if (!nib_tpl_to_int(r, args->items[0], "width", &width))
        return NIB_TPL_ERROR;
    if (args->items[1].kind != V_MISSING) {
        const struct value v = args->items[1];
        size_t n;
        if (v.kind != V_STRING || v.u.s->n_chars != 1)
            return nib_tpl_fail(r, "the fill character must be exactly one character");
        fill = nib_tpl_decode(v.u.s->data, v.u.s->data + v.u.s->len, &n);
    }
    return nib_tpl_pad(r, self.u.s, width, fill, side);
}

static struct value str_center(struct render *r, struct value self, const struct args *args)
{
    return pad(r, self, args, PAD_CENTER);
}

static struct value str_ljust(struct render *r, struct value self, const struct args *args)
{
    return pad(r, self, args, PAD_RIGHT);
}

static struct value str_rjust(struct render *r, struct value self, const struct args *args)
{
    return pad(r, self, args, PAD_LEFT);
}

static struct value str_zfill(struct render *r, struct value self, const struct args *args)
{
    const struct string *s = self.u.s;
    int64_t width;
    if (!nib_tpl_to_int(r, args->items[0], "width", &width))
        return NIB_TPL_ERROR;
    const bool has_sign = s->len > 0 && (s->data[0] == '-' || s->data[0] == '+');
    const int64_t missing = width - (int64_t)s->n_chars;
    const size_t mark = r->out.len;
    nib_tpl_put(r, s->data, has_sign);
    nib_tpl_put_repeated(r, '0', missing > 0 ? (size_t)missing : 0);
    nib_tpl_put(r, s->data + has_sign, s->len - has_sign);
    return nib_tpl_take(r, mark);
}

static struct value str_expandtabs(struct render *r, struct value self, const struct args *args)
{
    int64_t width = 8, column = 0;
    if (args->items[0].kind != V_MISSING && !nib_tpl_to_int(r, args->items[0], "tabsize", &width))
        return NIB_TPL_ERROR;
    const char *p = self.u.s->data, *end = p + self.u.s->len;
    const size_t mark = r->out.len;
    for (size_t n; p < end && !r->failed; p += n) {
        const int32_t c = nib_tpl_decode(p, end, &n);
        if (c == '\t') {
            const int64_t blanks = width > 0 ? width - column % width : 0;
            nib_tpl_put_repeated(r, ' ', (size_t)blanks);
            column += blanks;
        } else {
            nib_tpl_put(r, p, n);
            column = c == '\n' || c == '\r' ? 0 : column + 1;
        }
    }
    return nib_tpl_take(r, mark);
}

const struct function nib_tpl_letter_methods[] = {
    {"upper", str_upper, .n_required = 0},
    {"lower", str_lower, .n_required = 0},
    {"title", str_title, .n_required = 0},
    {"capitalize", str_capitalize, .n_required = 0},
    {"swapcase", str_swapcase, .n_required = 0},
    {"casefold", str_casefold, .n_required = 0},
    {"isalpha", str_isalpha, .n_required = 0},
    {"isdigit", str_isdigit, .n_required = 0},
    {"isdecimal", str_isdecimal, .n_required = 0},
    {"isnumeric", str_isnumeric, .n_required = 0},
    {"isalnum", str_isalnum, .n_required = 0},
    {"isspace", str_isspace, .n_required = 0},
    {"isascii", str_isascii, .n_required = 0},
    {"isprintable", str_isprintable, .n_required = 0},
    {"isupper", str_isupper, .n_required = 0},
    {"islower", str_islower, .n_required = 0},
    {"istitle", str_istitle, .n_required = 0},
    {"isidentifier", str_isidentifier, .n_required = 0},
    {"center", str_center, 1, .params = {"-", "-"}},
    {"ljust", str_ljust, 1, .params = {"-", "-"}},
    {"rjust", str_rjust, 1, .params = {"-", "-"}},
    {"zfill", str_zfill, 1, .params = {"-"}},
    {"expandtabs", str_expandtabs, .params = {"tabsize"}},
    {0},
};
