/* str() and repr() of every kind of value. */
#include "template_eval.h"
#include "template_ops.h"
#include "template_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Digits and exponent come from "%.*e"; the character between the first two digits is the locale's
 * and is left out, so the result is the same in every locale.
 */
size_t nib_tpl_float_repr(char out[NIB_TPL_FLOAT_CHARS], double d)
{
    if (isnan(d))
        return (size_t)snprintf(out, NIB_TPL_FLOAT_CHARS, "nan");
    if (isinf(d))
        return (size_t)snprintf(out, NIB_TPL_FLOAT_CHARS, d < 0 ? "-inf" : "inf");
    char text[NIB_TPL_FLOAT_CHARS];
    /* 15 digits that read back are the shortest once zeros are cut, but for subnormal numbers. */
    int precision = fabs(d) < 0x1p-1022 ? 0 : 14;
    do
        snprintf(text, sizeof text, "%.*e", precision, fabs(d));
    while (strtod(text, NULL) != fabs(d) && ++precision < 17);

    char digits[20];
    int n = 0;
    const char *p = text;
    for (; *p && *p != 'e'; p++) {
        if (*p >= '0' && *p <= '9' && n < 18)
            digits[n++] = *p;
    }
    const int exponent = atoi(p + 1);
    while (n > 1 && digits[n - 1] == '0')
        n--;

    char *q = out;
    if (signbit(d))
        *q++ = '-';
    if (exponent < -4 || exponent >= 16) {
        *q++ = digits[0];
        if (n > 1)
            *q++ = '.';
        memcpy(q, digits + 1, (size_t)n - 1);
        q += n - 1;
        q += snprintf(q, 8, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        return (size_t)(q - out);
    }
    if (exponent < 0) {
        *q++ = '0';
        *q++ = '.';
        for (int i = -1; i > exponent; i--)
            *q++ = '0';
        memcpy(q, digits, (size_t)n);
        q += n;
    } else {
        for (int i = 0; i < n || i <= exponent; i++) {
            if (i == exponent + 1)
                *q++ = '.';
            *q++ = i < n ? digits[i] : '0';
        }
        if (n <= exponent + 1) {
            *q++ = '.';
            *q++ = '0';
        }
    }
    *q = '\0';
    return (size_t)(q - out);
}

static void put_repr_string(struct render *r, const struct string *s)
{
    const char *p = s->data, *end = s->data + s->len;
    const bool has_single = s->len && memchr(p, '\'', s->len);
    const char quote = has_single && !memchr(p, '"', s->len) ? '"' : '\'';
    nib_tpl_charge_bytes(r, s->len);
    nib_tpl_put(r, &quote, 1);
    for (size_t n; p < end && !r->failed; p += n) {
        const int32_t c = nib_tpl_decode(p, end, &n);
        char escape[16];
        if (c == quote || c == '\\')
            snprintf(escape, sizeof escape, "\\%c", (char)c);
        else if (c == '\n' || c == '\r' || c == '\t')
            snprintf(escape, sizeof escape, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (nib_tpl_is_printable(c)) {
            nib_tpl_put(r, p, n);
            continue;
        } else
            snprintf(escape, sizeof escape,
                     c < 0x100     ? "\\x%02" PRIx32
                     : c < 0x10000 ? "\\u%04" PRIx32
                                   : "\\U%08" PRIx32,
                     (uint32_t)c);
        nib_tpl_put_c(r, escape);
    }
    nib_tpl_put(r, &quote, 1);
}

static void put_list(struct render *r, const struct list *list, const char *open, const char *close)
{
    nib_tpl_put_c(r, open);
    for (size_t i = 0; i < list->n && !r->failed; i++) {
        if (i)
            nib_tpl_put_c(r, ", ");
        nib_tpl_put_repr(r, list->items[i]);
    }
    nib_tpl_put_c(r, close);
}

static void put_dict(struct render *r, const struct dict *dict)
{
    nib_tpl_put_c(r, "{");
    for (size_t i = 0; i < dict->n && !r->failed; i++) {
        if (i)
            nib_tpl_put_c(r, ", ");
        nib_tpl_put_repr(r, dict->entries[i].key);
        nib_tpl_put_c(r, ": ");
        nib_tpl_put_repr(r, dict->entries[i].value);
    }
    nib_tpl_put_c(r, "}");
}

static void put_view(struct render *r, struct value v)
{
    nib_tpl_put_c(r, nib_tpl_type_name(v));
    const struct list *items = nib_tpl_items(r, v);
    if (items)
        put_list(r, items, "([", "])");
}

static void put_int(struct render *r, int64_t i)
{
    char text[24];
    nib_tpl_put(r, text, (size_t)snprintf(text, sizeof text, "%" PRId64, i));
}

static void put_range(struct render *r, const struct range *range)
{
    nib_tpl_put_c(r, "range(");
    put_int(r, range->start);
    nib_tpl_put_c(r, ", ");
    put_int(r, range->stop);
    if (range->step != 1) {
        nib_tpl_put_c(r, ", ");
        put_int(r, range->step);
    }
    nib_tpl_put_c(r, ")");
}

static void put_object(struct render *r, struct value v)
{
    nib_tpl_put_c(r, "<");
    nib_tpl_put_c(r, nib_tpl_type_name(v));
    if (v.kind == V_MACRO) {
        nib_tpl_put_c(r, " ");
        const struct string *name = nib_tpl_macro_name(v.u.macro);
        if (name)
            put_repr_string(r, name);
        else
            nib_tpl_put_c(r, "anonymous");
    } else if (v.kind == V_LOOP) {
        nib_tpl_put_c(r, " ");
        nib_tpl_put_repr(r, nib_tpl_loop_attribute(r, v.u.loop, NIB_STR("index")));
        nib_tpl_put_c(r, "/");
        put_int(r, nib_tpl_loop_length(v.u.loop));
    } else {
        nib_tpl_put_c(r, " object"); /* Python adds its address here */
    }
    nib_tpl_put_c(r, ">");
}

static void put_repr(struct render *r, struct value v)
{
    char text[NIB_TPL_FLOAT_CHARS];
    switch ((enum value_kind)v.kind) {
    case V_MISSING:
    case V_ERROR:
        break;
    case V_UNDEFINED:
        nib_tpl_put_c(r, "Undefined");
        break;
    case V_NONE:
        nib_tpl_put_c(r, "None");
        break;
    case V_BOOL:
        nib_tpl_put_c(r, v.u.b ? "True" : "False");
        break;
    case V_INT:
        put_int(r, v.u.i);
        break;
    case V_BIG:
        nib_tpl_put(r, v.u.s->data, v.u.s->len);
        break;
    case V_FLOAT:
        nib_tpl_put(r, text, nib_tpl_float_repr(text, v.u.d));
        break;
    case V_STRING:
        if (v.safe)
            nib_tpl_put_c(r, "Markup(");
        put_repr_string(r, v.u.s);
        if (v.safe)
            nib_tpl_put_c(r, ")");
        break;
    case V_LIST:
        put_list(r, v.u.list, "[", "]");
        break;
    case V_TUPLE:
        put_list(r, v.u.list, "(", v.u.list->n == 1 ? ",)" : ")");
        break;
    case V_DICT:
        put_dict(r, v.u.dict);
        break;
    case V_NAMESPACE:
        nib_tpl_put_c(r, "<Namespace ");
        put_dict(r, v.u.dict);
        nib_tpl_put_c(r, ">");
        break;
    case V_VIEW:
        put_view(r, v);
        break;
    case V_RANGE:
        put_range(r, v.u.range);
        break;
    default:
        put_object(r, v);
        break;
    }
}

void nib_tpl_put_repr(struct render *r, struct value v)
{
    if (nib_tpl_charge(r, 1) && nib_tpl_enter(r)) {
        put_repr(r, v);
        nib_tpl_leave(r);
    }
}

void nib_tpl_put_str(struct render *r, struct value v)
{
    if (v.kind == V_STRING)
        nib_tpl_put(r, v.u.s->data, v.u.s->len);
    else if (v.kind != V_UNDEFINED)
        nib_tpl_put_repr(r, v);
}

struct value nib_tpl_str(struct render *r, struct value v)
{
    if (v.kind == V_STRING || v.kind == V_ERROR)
        return v;
    const size_t mark = r->out.len;
    nib_tpl_put_str(r, v);
    return nib_tpl_take(r, mark);
}
