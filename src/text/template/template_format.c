/* Text with values in it: the % operator and str.format(). */
#include "template_ops.h"
#include "template_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* One field, as "%-8.2f" or "{:<8.2f}" describes it. */
struct spec {
    int32_t fill; /* 0: not given */
    char align;   /* '<', '>', '^', '=', or 0 */
    char sign;    /* '+', ' ', '-' (only for negative numbers), or 0 */
    bool alternate, zero;
    char grouping;            /* ',', '_', or 0 */
    int64_t width, precision; /* -1: not given */
    char type;                /* 0: not given */
};

enum { MAX_PRECISION = 300, NUMBER_CHARS = 1024 };

/* ---- numbers -------------------------------------------------------------------------------- */

/* printf's text of a float; its decimal point is the locale's, ours is ".". */
static void float_text(char out[NUMBER_CHARS], double d, int precision, char type, bool alternate)
{
    char text[NUMBER_CHARS], format[8];
    snprintf(format, sizeof format, "%%%s.*%c", alternate ? "#" : "", type);
    snprintf(text, sizeof text, format, precision, d);
    char *q = out;
    bool in_point = false;
    for (const char *p = text; *p; p++) {
        const bool is_own = (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || *p == '-' ||
                            *p == '+' || (*p >= 'A' && *p <= 'Z');
        if (is_own)
            *q++ = *p;
        else if (!in_point)
            *q++ = '.';
        in_point = !is_own;
    }
    *q = '\0';
}

/* "{:.3}": like g, but always recognisable as a float. */
static void general_text(char out[NUMBER_CHARS], double d, int precision)
{
    char text[NUMBER_CHARS];
    if (precision == 0)
        precision = 1;
    float_text(text, d, precision - 1, 'e', false);
    const char *e = strchr(text, 'e');
    const int point = e && isfinite(d) ? atoi(e + 1) + 1 : 0;
    if (isfinite(d) && (point <= -4 || point > precision - 1)) {
        size_t n = (size_t)(e - text);
        if (memchr(text, '.', n)) {
            while (text[n - 1] == '0')
                n--;
            if (text[n - 1] == '.')
                n--;
        }
        snprintf(out, NUMBER_CHARS, "%.*s%s", (int)n, text, e);
        return;
    }
    float_text(out, d, precision, 'g', false);
    if (isfinite(d) && !strchr(out, '.'))
        memcpy(out + strlen(out), ".0", 3);
}

static size_t digits_text(char *out, uint64_t n, unsigned base, bool is_upper)
{
    char text[65];
    size_t at = sizeof text;
    do
        text[--at] = (is_upper ? "0123456789ABCDEF" : "0123456789abcdef")[n % base];
    while ((n /= base) > 0);
    memcpy(out, text + at, sizeof text - at);
    return sizeof text - at;
}

/* Digits with a separator every three of them, or four of other bases, from the end of the whole
 * part; with zeros in front until they take `width` characters together. */
static void put_grouped(struct render *r, const char *text, const struct spec *spec, int64_t width)
{
    const bool is_decimal = !spec->type || !strchr("bxXo", spec->type);
    const size_t every = is_decimal ? 3 : 4;
    const size_t whole = strspn(text, is_decimal ? "0123456789" : "0123456789abcdefABCDEF");
    const int64_t rest = (int64_t)strlen(text + whole);
    size_t n = whole;
    while (whole > 0 && (int64_t)(n + (n - 1) / every) + rest < width)
        n++;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && (n - i) % every == 0)
            nib_tpl_put(r, &spec->grouping, 1);
        nib_tpl_put(r, i < n - whole ? "0" : text + (i - (n - whole)), 1);
    }
    nib_tpl_put_c(r, text + whole);
}

/* Sign, prefix and digits in a field. */
static void put_number(struct render *r, const struct spec *spec, bool is_negative,
                       const char *prefix, const char *text)
{
    const size_t mark = r->out.len;
    const char align = spec->align ? spec->align : spec->zero ? '=' : '>';
    const int32_t fill = spec->fill ? spec->fill : spec->zero ? '0' : ' ';
    const char sign = is_negative ? '-' : spec->sign == '-' ? '\0' : spec->sign;
    if (sign)
        nib_tpl_put(r, &sign, 1);
    nib_tpl_put_c(r, prefix);
    const size_t head = r->out.len;
    const bool has_zeros = align == '=' && fill == '0';
    if (spec->grouping)
        put_grouped(r, text, spec, has_zeros ? spec->width - (int64_t)(head - mark) : 0);
    else
        nib_tpl_put_c(r, text);
    if (r->failed)
        return;

    const size_t len = r->out.len - mark, n_head = head - mark;
    const int64_t missing = spec->width - (int64_t)len;
    if (missing <= 0)
        return;
    char copy[2 * NUMBER_CHARS];
    if (len > sizeof copy)
        return;
    memcpy(copy, r->out.data + mark, len);
    r->out.len = mark;
    const size_t n = (size_t)missing;
    const size_t before = align == '>' ? n : align == '^' ? n / 2 : 0;
    const size_t between = align == '=' ? n : 0;
    nib_tpl_put_repeated(r, fill, before);
    nib_tpl_put(r, copy, n_head);
    nib_tpl_put_repeated(r, fill, between);
    nib_tpl_put(r, copy + n_head, len - n_head);
    nib_tpl_put_repeated(r, fill, n - before - between);
}

static void put_int(struct render *r, const struct spec *spec, int64_t i)
{
    const unsigned base = spec->type == 'x' || spec->type == 'X' ? 16
                          : spec->type == 'o'                    ? 8
                          : spec->type == 'b'                    ? 2
                                                                 : 10;
    const uint64_t magnitude = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    char text[80 + MAX_PRECISION], digits[80];
    const size_t n = digits_text(digits, magnitude, base, spec->type == 'X');
    const size_t zeros =
        spec->precision > (int64_t)n ? (size_t)spec->precision - n : 0; /* "%.5d" */
    memset(text, '0', zeros);
    memcpy(text + zeros, digits, n);
    text[zeros + n] = '\0';
    const char *prefix = !spec->alternate    ? ""
                         : spec->type == 'x' ? "0x"
                         : spec->type == 'X' ? "0X"
                         : spec->type == 'o' ? "0o"
                         : spec->type == 'b' ? "0b"
                                             : "";
    put_number(r, spec, i < 0, prefix, text);
}

static void put_float(struct render *r, const struct spec *spec, double d)
{
    char text[NUMBER_CHARS];
    const double magnitude = fabs(d);
    const int precision = spec->precision < 0 ? 6 : (int)spec->precision;
    if (spec->type == '%') {
        float_text(text, magnitude * 100, precision, 'f', spec->alternate);
        memcpy(text + strlen(text), "%", 2);
    } else if (spec->type) {
        float_text(text, magnitude, spec->type == 'g' && precision == 0 ? 1 : precision, spec->type,
                   spec->alternate);
    } else if (spec->precision >= 0) {
        general_text(text, magnitude, precision);
    } else {
        text[nib_tpl_float_repr(text, magnitude)] = '\0';
    }
    put_number(r, spec, signbit(d) && !isnan(d), "", text);
}

static void put_text(struct render *r, const struct spec *spec, const struct string *s)
{
    size_t len = s->len, n_chars = s->n_chars;
    if (spec->precision >= 0 && (uint64_t)spec->precision < n_chars) {
        n_chars = (size_t)spec->precision;
        len = nib_tpl_char_offset(s->data, s->len, n_chars);
    }
    const int64_t missing = spec->width - (int64_t)n_chars;
    const size_t n = missing > 0 ? (size_t)missing : 0;
    const size_t before = spec->align == '>' ? n : spec->align == '^' ? n / 2 : 0;
    const int32_t fill = spec->fill ? spec->fill : spec->zero ? '0' : ' ';
    nib_tpl_put_repeated(r, fill, before);
    nib_tpl_put(r, s->data, len);
    nib_tpl_put_repeated(r, fill, n - before);
}

static bool is_int(struct value v)
{
    return v.kind == V_INT || v.kind == V_BOOL;
}

static int64_t int_of(struct value v)
{
    return v.kind == V_BOOL ? v.u.b : v.u.i;
}

static bool to_float(struct value v, double *out)
{
    if (!nib_tpl_is_number(v))
        return false;
    *out = v.kind == V_FLOAT ? v.u.d : (double)int_of(v);
    return true;
}

/* ---- % -------------------------------------------------------------------------------------- */

struct percent {
    struct render *r;
    struct value arg;
    size_t next; /* argument of a tuple, or 1 once the only one was used */
};

static struct value next_arg(struct percent *p)
{
    const bool is_tuple = p->arg.kind == V_TUPLE;
    if (p->next >= (is_tuple ? p->arg.u.list->n : 1))
        return nib_tpl_fail(p->r, "not enough arguments for a format string");
    p->next++;
    return is_tuple ? p->arg.u.list->items[p->next - 1] : p->arg;
}

/* "*" or digits; `out` stays where there is none. */
static bool percent_number(struct percent *p, const char **at, const char *end, int64_t *out)
{
    if (*at < end && **at == '*') {
        ++*at;
        const struct value v = next_arg(p);
        return v.kind != V_ERROR && nib_tpl_to_int(p->r, v, "a width or precision", out);
    }
    for (bool is_first = true; *at < end && **at >= '0' && **at <= '9'; ++*at, is_first = false) {
        *out = is_first ? 0 : *out;
        if (*out > NIB_TPL_MAX_RANGE * 1000) {
            nib_tpl_fail(p->r, "a width in a format string is too large");
            return false;
        }
        *out = *out * 10 + (**at - '0');
    }
    return true;
}

/* "(key)" of a dict; the value it stands for. */
static struct value percent_key(struct percent *p, const char **at, const char *end)
{
    const char *begin = ++*at;
    for (int depth = 1; *at < end; ++*at) {
        depth += **at == '(' ? 1 : **at == ')' ? -1 : 0;
        if (depth == 0)
            break;
    }
    if (*at == end)
        return nib_tpl_fail(p->r, "a key in a format string is not closed");
    if (p->arg.kind != V_DICT)
        return nib_tpl_fail(p->r, "a format string with keys needs a mapping");
    const struct string key = {.data = begin, .len = (size_t)(*at - begin)};
    ++*at;
    const struct value *v = nib_tpl_dict_get(p->r, p->arg.u.dict, nib_tpl_string_value(&key));
    return v ? *v
             : nib_tpl_fail(p->r, "a format string needs the key '%.*s'",
                            (int)(key.len > 60 ? 60 : key.len), key.data);
}

static void put_character(struct percent *p, const struct spec *spec, struct value v)
{
    char bytes[4];
    struct string one = {.data = bytes, .n_chars = 1};
    if (v.kind == V_STRING && v.u.s->n_chars == 1)
        one = *v.u.s;
    else if (is_int(v) && int_of(v) >= 0 && int_of(v) <= 0x10ffff)
        one.len = nib_tpl_encode((int32_t)int_of(v), bytes);
    else
        nib_tpl_fail(p->r, "%%c requires an integer or a character");
    put_text(p->r, spec, &one);
}

static void put_percent_number(struct percent *p, struct spec *spec, struct value v)
{
    double d;
    if (!to_float(v, &d)) {
        if (v.kind == V_UNDEFINED)
            nib_tpl_undefined_error(p->r, v);
        else
            nib_tpl_fail(p->r, "%%%c requires a number, not '%s'", spec->type,
                         nib_tpl_type_name(v));
        return;
    }
    if (spec->precision > MAX_PRECISION) {
        nib_tpl_fail(p->r, "a precision in a format string is too large");
        return;
    }
    if (strchr("eEfFgG", spec->type)) {
        put_float(p->r, spec, d);
        return;
    }
    if (v.kind == V_FLOAT) {
        v = strchr("diu", spec->type) ? nib_tpl_int_of_float(p->r, d)
                                      : nib_tpl_fail(p->r, "%%%c requires an integer", spec->type);
        if (v.kind == V_ERROR)
            return;
    }
    put_int(p->r, spec, int_of(v));
}

static void put_conversion(struct percent *p, struct spec *spec, struct value v)
{
    struct render *r = p->r;
    const size_t mark = r->out.len;
    struct value text;
    switch (spec->type) {
    case 's':
    case 'r':
    case 'a':
        if (spec->type == 's')
            nib_tpl_put_str(r, v);
        else
            nib_tpl_put_repr(r, v);
        text = nib_tpl_take(r, mark);
        if (text.kind != V_ERROR)
            put_text(r, spec, text.u.s);
        break;
    case 'c':
        put_character(p, spec, v);
        break;
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o':
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
        put_percent_number(p, spec, v);
        break;
    default:
        nib_tpl_fail(r, "unsupported format character '%c'", spec->type);
    }
}

/* What follows a "%"; gives where it ends. */
static const char *percent_field(struct percent *p, const char *at, const char *end)
{
    struct spec spec = {.width = -1, .precision = -1, .align = '>'};
    struct value v = {0};
    if (at < end && *at == '(')
        v = percent_key(p, &at, end);
    for (; at < end && strchr("-+ #0", *at) && *at; at++) {
        if (*at == '-')
            spec.align = '<';
        else if (*at == '#')
            spec.alternate = true;
        else if (*at == '0')
            spec.zero = true;
        else if (*at == '+' || !spec.sign)
            spec.sign = *at;
    }
    if (!percent_number(p, &at, end, &spec.width))
        return NULL;
    if (spec.width < -1) {
        spec.align = '<';
        spec.width = -spec.width;
    }
    if (at < end && *at == '.') {
        at++;
        spec.precision = 0;
        if (!percent_number(p, &at, end, &spec.precision))
            return NULL;
    }
    while (at < end && strchr("hlL", *at) && *at)
        at++;
    if (at == end) {
        nib_tpl_fail(p->r, "a format string ends within a field");
        return NULL;
    }
    spec.type = *at;
    if (spec.type == '%') {
        nib_tpl_put(p->r, "%", 1);
        return at + 1;
    }
    if (v.kind == V_MISSING)
        v = next_arg(p);
    const bool is_text = strchr("srac", spec.type) != NULL;
    if (spec.type == 'c')
        spec.precision = -1;
    if (is_text)
        spec.zero = false;
    else if (spec.zero && spec.align == '>')
        spec.align = '=';
    else
        spec.zero = false;
    if (v.kind != V_ERROR)
        put_conversion(p, &spec, v);
    return at + 1;
}

struct value nib_tpl_percent(struct render *r, const struct string *format, struct value arg)
{
    struct percent p = {r, arg, 0};
    const size_t mark = r->out.len;
    const char *at = format->data, *end = format->data + format->len;
    while (at && at < end && !r->failed) {
        const char *field = memchr(at, '%', (size_t)(end - at));
        nib_tpl_put(r, at, (size_t)((field ? field : end) - at));
        if (!field)
            break;
        nib_tpl_charge(r, 1);
        at = percent_field(&p, field + 1, end);
    }
    /* Whatever has keys may be left unused. */
    const bool may_stay =
        arg.kind == V_DICT || arg.kind == V_LIST || arg.kind == V_RANGE || arg.kind == V_UNDEFINED;
    if (p.next < (arg.kind == V_TUPLE ? arg.u.list->n : 1) && !may_stay)
        nib_tpl_fail(r, "not all arguments were used by a format string");
    return nib_tpl_take(r, mark);
}

/* ---- str.format() --------------------------------------------------------------------------- */

struct format {
    struct render *r;
    const struct args *args;
    size_t next; /* of "{}" */
    int depth;
};

/* [[fill]align][sign][#][0][width][grouping][.precision][type] */
static bool parse_spec(struct render *r, struct nib_str s, struct spec *spec)
{
    const char *p = s.data, *end = s.data + s.len;
    *spec = (struct spec){.width = -1, .precision = -1};
    size_t n = 0;
    if (p < end)
        spec->fill = nib_tpl_decode(p, end, &n);
    if (p + n < end && strchr("<>^=", p[n]) && p[n]) {
        spec->align = p[n];
        p += n + 1;
    } else {
        spec->fill = 0;
        if (p < end && strchr("<>^=", *p) && *p)
            spec->align = *p++;
    }
    if (p < end && (*p == '+' || *p == ' ' || *p == '-')) {
        spec->sign = *p;
        p++;
    }
    if (p < end && *p == '#') {
        spec->alternate = true;
        p++;
    }
    if (p < end && *p == '0') {
        spec->zero = true;
        p++;
    }
    int64_t *const numbers[2] = {&spec->width, &spec->precision};
    for (int i = 0; i < 2; i++) {
        const char *begin = p;
        for (int64_t value = 0; p < end && *p >= '0' && *p <= '9' && value < NIB_TPL_MAX_RANGE; p++)
            *numbers[i] = value = value * 10 + (*p - '0');
        if (i == 1) {
            if (p == begin)
                goto malformed;
            break;
        }
        if (p < end && (*p == ',' || *p == '_'))
            spec->grouping = *p++;
        if (p == end || *p != '.')
            break;
        p++;
    }
    if (p < end)
        spec->type = *p++;
    const char *no_grouping = spec->grouping == ',' ? "bcoxXn" : "cn";
    if (spec->grouping && spec->type && strchr(no_grouping, spec->type))
        goto malformed;
    if (p == end && spec->precision <= MAX_PRECISION)
        return true;
malformed:
    nib_tpl_fail(r, "malformed format '%.*s'", (int)(s.len > 60 ? 60 : s.len), s.data);
    return false;
}

static void format_number(struct render *r, struct spec *spec, struct value v)
{
    double d = 0;
    const bool as_int = is_int(v) && strchr("bcdoxXn", spec->type); /* also '\0' */
    to_float(v, &d);
    if (as_int && spec->type == 'c') {
        struct percent p = {.r = r};
        spec->align = spec->align ? spec->align : '<';
        put_character(&p, spec, v);
    } else if (as_int) {
        if (spec->precision >= 0)
            nib_tpl_fail(r, "a precision is not allowed in the format of an integer");
        else
            put_int(r, spec, int_of(v));
    } else if (spec->type == '\0' || strchr("eEfFgG%n", spec->type)) {
        if (spec->type == 'n')
            spec->type = 'g';
        put_float(r, spec, d);
    } else {
        nib_tpl_fail(r, "unknown format code '%c' for '%s'", spec->type, nib_tpl_type_name(v));
    }
}

static void format_value(struct render *r, struct value v, struct nib_str text)
{
    struct spec spec;
    if (text.len == 0) {
        nib_tpl_put_str(r, v);
        return;
    }
    if (!parse_spec(r, text, &spec))
        return;
    if (v.kind == V_STRING && (spec.type == '\0' || spec.type == 's') && spec.align != '=' &&
        !spec.sign && !spec.grouping && !spec.alternate) {
        put_text(r, &spec, v.u.s);
    } else if (nib_tpl_is_number(v)) {
        format_number(r, &spec, v);
    } else {
        nib_tpl_fail(r, "unsupported format '%.*s' for '%s'", (int)(text.len > 60 ? 60 : text.len),
                     text.data, nib_tpl_type_name(v));
    }
}

/* The argument that a field begins with: a number, a name, or nothing for the next one. */
static struct value field_argument(struct format *f, struct nib_str name)
{
    struct render *r = f->r;
    bool is_number = name.len > 0 && name.len < 9;
    size_t n = 0;
    for (size_t i = 0; i < name.len && is_number; i++) {
        is_number = name.data[i] >= '0' && name.data[i] <= '9';
        n = n * 10 + (size_t)(name.data[i] - '0');
    }
    if (name.len == 0)
        n = f->next++;
    if (name.len == 0 || is_number)
        return n < f->args->n ? f->args->items[n]
                              : nib_tpl_fail(r, "format() has no argument %zu", n);
    for (size_t i = 0; i < f->args->n_keywords; i++) {
        const struct string *key = f->args->keywords[i].name;
        if (key->len == name.len && memcmp(key->data, name.data, name.len) == 0)
            return f->args->keywords[i].value;
    }
    return nib_tpl_fail(r, "format() has no argument '%.*s'", (int)(name.len > 60 ? 60 : name.len),
                        name.data);
}

/* name(.attribute | [item])* */
static struct value field_value(struct format *f, struct nib_str field)
{
    struct render *r = f->r;
    const char *p = field.data, *end = field.data + field.len;
    while (p < end && *p != '.' && *p != '[')
        p++;
    struct value v = field_argument(f, (struct nib_str){field.data, (size_t)(p - field.data)});
    while (p < end && v.kind != V_ERROR) {
        const bool is_item = *p++ == '[';
        const char *begin = p;
        while (p < end && (is_item ? *p != ']' : *p != '.' && *p != '['))
            p++;
        const struct nib_str part = {begin, (size_t)(p - begin)};
        const struct value name = nib_tpl_string(r, part.data, part.len);
        struct value key = name;
        if (part.len == 0 || (is_item && p == end) || name.kind == V_ERROR)
            return nib_tpl_fail(r, "a field of format() is malformed");
        p += is_item;
        if (!is_item) {
            v = nib_tpl_getattr(r, v, name.u.s);
            continue;
        }
        if (part.data[0] >= '0' && part.data[0] <= '9')
            nib_tpl_parse_int(r, part, 10, &key);
        v = nib_tpl_getitem(r, v, key);
    }
    return v;
}

static void format_text(struct format *f, struct nib_str text);

/* The inside of "{...}": field[!conversion][:spec], where spec may have fields in it. */
static void format_field(struct format *f, struct nib_str inside)
{
    struct render *r = f->r;
    const char *end = inside.data + inside.len, *p = inside.data;
    while (p < end && *p != ':' && *p != '!') {
        if (*p == '[') {
            while (p < end && *p != ']')
                p++;
        }
        p += p < end;
    }
    struct value v = field_value(f, (struct nib_str){inside.data, (size_t)(p - inside.data)});
    const size_t mark = r->out.len;
    if (p < end && *p == '!' && v.kind != V_ERROR) {
        const char conversion = p + 1 < end ? p[1] : '\0';
        if (conversion == 'r' || conversion == 'a')
            nib_tpl_put_repr(r, v);
        else if (conversion == 's')
            nib_tpl_put_str(r, v);
        else
            nib_tpl_fail(r, "unknown conversion in a field of format()");
        v = nib_tpl_take(r, mark);
        p += 2;
        if (p < end && *p != ':')
            nib_tpl_fail(r, "a field of format() is malformed");
    }
    struct nib_str spec = {p + (p < end), (size_t)(end - p) - (p < end)};
    if (spec.len > 0 && memchr(spec.data, '{', spec.len)) {
        if (f->depth >= 2) {
            nib_tpl_fail(r, "fields of format() are nested too deeply");
            return;
        }
        f->depth++;
        format_text(f, spec);
        f->depth--;
        const struct value text = nib_tpl_take(r, mark);
        if (text.kind == V_ERROR)
            return;
        spec = (struct nib_str){text.u.s->data, text.u.s->len};
    }
    if (!r->failed)
        format_value(r, v, spec);
}

static void format_text(struct format *f, struct nib_str text)
{
    struct render *r = f->r;
    const char *p = text.data, *end = text.data + text.len;
    while (p < end && nib_tpl_charge(r, 1)) {
        if ((*p == '{' || *p == '}') && p + 1 < end && p[1] == *p) {
            nib_tpl_put(r, p, 1);
            p += 2;
        } else if (*p == '{') {
            const char *begin = ++p;
            for (int depth = 1; p < end; p++) {
                depth += *p == '{' ? 1 : *p == '}' ? -1 : 0;
                if (depth == 0)
                    break;
            }
            if (p == end) {
                nib_tpl_fail(r, "a field of format() is not closed");
                return;
            }
            format_field(f, (struct nib_str){begin, (size_t)(p - begin)});
            p++;
        } else if (*p == '}') {
            nib_tpl_fail(r, "a single '}' in a format string");
        } else {
            const char *begin = p;
            while (p < end && *p != '{' && *p != '}')
                p++;
            nib_tpl_put(r, begin, (size_t)(p - begin));
        }
    }
}

struct value nib_tpl_format(struct render *r, const struct string *format, const struct args *args)
{
    struct format f = {.r = r, .args = args};
    const size_t mark = r->out.len;
    format_text(&f, (struct nib_str){format->data, format->len});
    return nib_tpl_take(r, mark);
}
