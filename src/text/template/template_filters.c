/* Filters on single values: defaults, numbers, JSON, escapes; and where every filter is looked up.
 */
#include "template_ops.h"
#include "template_text.h"

#include <math.h>
#include <stdio.h>

/* ---- defaults and attributes ---------------------------------------------------------------- */

static struct value filter_default(struct render *r, struct value v, const struct args *args)
{
    static const struct string empty = {.data = ""};
    (void)r;
    const bool is_missing =
        v.kind == V_UNDEFINED || (nib_tpl_truth(args->items[1]) && !nib_tpl_truth(v));
    if (!is_missing)
        return v;
    return args->items[0].kind == V_MISSING ? nib_tpl_string_value(&empty) : args->items[0];
}

static struct value filter_string(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    return nib_tpl_str(r, v);
}

static struct value filter_length(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    const int64_t n = nib_tpl_length(v);
    if (n >= 0)
        return nib_tpl_int(n);
    return nib_tpl_fail(r, "object of type '%s' has no length", nib_tpl_type_name(v));
}

/* Methods and other attributes, but not what a mapping holds under that name. */
static struct value filter_attr(struct render *r, struct value v, const struct args *args)
{
    const struct value name = args->items[0];
    if (name.kind != V_STRING)
        return nib_tpl_fail(r, "attr: the name must be a string");
    if (v.kind == V_DICT) {
        const struct string *s = name.u.s;
        if (!nib_tpl_find_method(v, (struct nib_str){s->data, s->len}))
            return nib_tpl_undefined(r, v, name);
    }
    return nib_tpl_getattr(r, v, name.u.s);
}

/* ---- numbers -------------------------------------------------------------------------------- */

static struct value int_of_text(struct render *r, const struct string *s, const struct args *args)
{
    const struct nib_str text = {s->data, s->len};
    int64_t base = 10;
    struct value v;
    double d;
    if (args->items[1].kind != V_MISSING && !nib_tpl_to_int(r, args->items[1], "base", &base))
        return NIB_TPL_ERROR;
    if (base != 0 && (base < 2 || base > 36))
        return nib_tpl_fail(r, "int: the base must be 0 or 2 to 36");
    if (nib_tpl_parse_int(r, text, (int)base, &v))
        return v;
    if (nib_tpl_parse_float(text, &d) && isfinite(d))
        return nib_tpl_int_of_float(r, d);
    return args->items[0].kind == V_MISSING ? nib_tpl_int(0) : args->items[0];
}

static struct value filter_int(struct render *r, struct value v, const struct args *args)
{
    switch ((enum value_kind)v.kind) {
    case V_UNDEFINED:
        return nib_tpl_undefined_error(r, v);
    case V_BOOL:
        return nib_tpl_int(v.u.b);
    case V_INT:
    case V_BIG:
        return v;
    case V_FLOAT:
        if (isnan(v.u.d))
            break;
        return nib_tpl_int_of_float(r, v.u.d);
    case V_STRING:
        return int_of_text(r, v.u.s, args);
    default:
        break;
    }
    return args->items[0].kind == V_MISSING ? nib_tpl_int(0) : args->items[0];
}

static struct value filter_float(struct render *r, struct value v, const struct args *args)
{
    double d;
    if (v.kind == V_UNDEFINED)
        return nib_tpl_undefined_error(r, v);
    if (v.kind == V_FLOAT)
        return v;
    if (v.kind == V_BOOL || v.kind == V_INT)
        return nib_tpl_float(v.kind == V_BOOL ? (double)v.u.b : (double)v.u.i);
    if ((v.kind == V_STRING || v.kind == V_BIG) &&
        nib_tpl_parse_float((struct nib_str){v.u.s->data, v.u.s->len}, &d))
        return nib_tpl_float(d);
    return args->items[0].kind == V_MISSING ? nib_tpl_float(0) : args->items[0];
}

static struct value filter_abs(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    if (v.kind == V_FLOAT)
        return nib_tpl_float(fabs(v.u.d));
    if (v.kind == V_INT && v.u.i < 0)
        return nib_tpl_negate(r, v);
    if (v.kind == V_UNDEFINED)
        return nib_tpl_undefined_error(r, v);
    return nib_tpl_plus(r, v);
}

/* To a multiple of 10^places, halves to even. */
static struct value round_int(struct render *r, int64_t i, int64_t places)
{
    int64_t unit = 1;
    if (places < -18)
        return nib_tpl_int(0);
    for (; places < 0; places++)
        unit *= 10;
    int64_t rest = i % unit, whole = i - rest;
    if (rest < 0) {
        rest += unit;
        whole -= unit;
    }
    const bool is_up = rest > unit - rest || (rest == unit - rest && (whole / unit) % 2 != 0);
    if (is_up && __builtin_add_overflow(whole, unit, &whole))
        return nib_tpl_fail(r, "an integer grows beyond 64 bits");
    return nib_tpl_int(whole);
}

static struct value filter_round(struct render *r, struct value v, const struct args *args)
{
    int64_t places = 0;
    const struct value method = args->items[1];
    if (args->items[0].kind != V_MISSING &&
        !nib_tpl_to_int(r, args->items[0], "precision", &places))
        return NIB_TPL_ERROR;
    if (v.kind == V_UNDEFINED)
        return nib_tpl_undefined_error(r, v);
    if (!nib_tpl_is_number(v))
        return nib_tpl_fail(r, "round: expected a number, not '%s'", nib_tpl_type_name(v));
    struct nib_str name = NIB_STR("common");
    if (method.kind == V_STRING)
        name = (struct nib_str){method.u.s->data, method.u.s->len};
    const bool is_ceil = nib_str_equal(name, NIB_STR("ceil"));
    if (nib_str_equal(name, NIB_STR("common"))) {
        if (v.kind == V_FLOAT)
            return nib_tpl_float(nib_tpl_round(v.u.d, places));
        v = nib_tpl_plus(r, v);
        return places >= 0 ? v : round_int(r, v.u.i, places);
    }
    if (!is_ceil && !nib_str_equal(name, NIB_STR("floor")))
        return nib_tpl_fail(r, "round: the method must be common, ceil or floor");
    const double unit = pow(10, (double)places);
    const double d = (v.kind == V_FLOAT  ? v.u.d
                      : v.kind == V_BOOL ? (double)v.u.b
                                         : (double)v.u.i) *
                     unit;
    return nib_tpl_float((is_ceil ? ceil(d) : floor(d)) / unit);
}

static struct value filter_filesizeformat(struct render *r, struct value v, const struct args *args)
{
    static const char prefixes[] = "kMGTPEZY";
    struct value none[NIB_TPL_MAX_PARAMS] = {NIB_TPL_NONE};
    const struct value size = filter_float(r, v, &(struct args){.items = none});
    const bool is_binary = nib_tpl_truth(args->items[0]);
    const double base = is_binary ? 1024 : 1000;
    char text[64];
    if (size.kind == V_ERROR)
        return size;
    if (size.kind != V_FLOAT)
        return nib_tpl_fail(r, "filesizeformat: expected a number");
    double n = size.u.d;
    if (n == 1)
        return nib_tpl_string_c(r, "1 Byte");
    if (n < base || isnan(n)) {
        snprintf(text, sizeof text, "%.0f Bytes", trunc(n) + 0.0); /* no "-0" */
    } else {
        size_t i = 0;
        double unit = base * base;
        for (; i < 7 && n >= unit; i++)
            unit *= base;
        /* One decimal, by hand: printf's point is the locale's. */
        const double tenths = nib_tpl_round(base * n / unit, 1) * 10;
        snprintf(text, sizeof text, "%.0f.%d %c%sB", trunc(round(tenths) / 10),
                 (int)fmod(round(tenths), 10), is_binary && i == 0 ? 'K' : prefixes[i],
                 is_binary ? "i" : "");
    }
    return nib_tpl_string(r, text, strlen(text));
}

static struct value filter_format(struct render *r, struct value v, const struct args *args)
{
    const struct value format = nib_tpl_str(r, v);
    if (format.kind == V_ERROR)
        return format;
    if (args->n && args->n_keywords)
        return nib_tpl_fail(r, "format: use either positions or keywords");
    struct list list = {args->items, args->n, args->n};
    struct value arg = nib_tpl_tuple_value(&list);
    if (args->n_keywords) {
        struct dict *dict = nib_tpl_dict_new(r);
        for (size_t i = 0; i < args->n_keywords; i++)
            nib_tpl_dict_set(r, dict, nib_tpl_string_value(args->keywords[i].name),
                             args->keywords[i].value);
        arg = nib_tpl_dict_value(dict);
    }
    return nib_tpl_percent(r, format.u.s, arg);
}

/* ---- JSON and HTML -------------------------------------------------------------------------- */

/* A string, or that many blanks; NULL for none. */
static const struct string *json_indent(struct render *r, struct value v)
{
    int64_t width;
    if (v.kind == V_MISSING || v.kind == V_NONE)
        return NULL;
    if (v.kind == V_STRING)
        return v.u.s;
    if (!nib_tpl_to_int(r, v, "indent", &width))
        return NULL;
    const size_t mark = r->out.len;
    nib_tpl_put_repeated(r, ' ', width > 0 ? (size_t)width : 0);
    const struct value blanks = nib_tpl_take(r, mark);
    return blanks.kind == V_ERROR ? NULL : blanks.u.s;
}

static bool json_separators(struct render *r, struct value v, struct json_options *options)
{
    if (v.kind == V_MISSING || v.kind == V_NONE)
        return true;
    const struct list *pair = nib_tpl_items(r, v);
    if (!pair || pair->n != 2 || pair->items[0].kind != V_STRING ||
        pair->items[1].kind != V_STRING) {
        nib_tpl_fail(r, "tojson: separators must be two strings");
        return false;
    }
    const struct string *item = pair->items[0].u.s, *key = pair->items[1].u.s;
    options->item_separator = (struct nib_str){item->data, item->len};
    options->key_separator = (struct nib_str){key->data, key->len};
    return true;
}

static struct value filter_tojson(struct render *r, struct value v, const struct args *args)
{
    struct json_options options = {
        .ensure_ascii = nib_tpl_truth(args->items[0]),
        .indent = json_indent(r, args->items[1]),
        .sort_keys = nib_tpl_truth(args->items[3]),
        .key_separator = NIB_STR(": "),
    };
    options.item_separator = options.indent ? NIB_STR(",") : NIB_STR(", ");
    if (!json_separators(r, args->items[2], &options))
        return NIB_TPL_ERROR;
    const size_t mark = r->out.len;
    nib_tpl_put_json(r, v, &options);
    return nib_tpl_take(r, mark);
}

static struct value escape_text(struct render *r, const struct string *s)
{
    const size_t mark = r->out.len;
    nib_tpl_charge_bytes(r, s->len);
    for (size_t i = 0; i < s->len && !r->failed; i++) {
        switch (s->data[i]) {
        case '&':
            nib_tpl_put_c(r, "&amp;");
            break;
        case '<':
            nib_tpl_put_c(r, "&lt;");
            break;
        case '>':
            nib_tpl_put_c(r, "&gt;");
            break;
        case '\'':
            nib_tpl_put_c(r, "&#39;");
            break;
        case '"':
            nib_tpl_put_c(r, "&#34;");
            break;
        default:
            nib_tpl_put(r, &s->data[i], 1);
        }
    }
    struct value v = nib_tpl_take(r, mark);
    v.safe = true;
    return v;
}

struct value nib_tpl_escape(struct render *r, struct value v)
{
    if (v.safe || v.kind == V_ERROR)
        return v;
    const struct value text = nib_tpl_str(r, v);
    return text.kind == V_ERROR ? text : escape_text(r, text.u.s);
}

static struct value filter_escape(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    return nib_tpl_escape(r, v);
}

static struct value filter_forceescape(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    v.safe = false;
    return nib_tpl_escape(r, v);
}

static struct value filter_safe(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    struct value text = nib_tpl_str(r, v);
    text.safe = true;
    return text;
}

static struct value filter_xmlattr(struct render *r, struct value v, const struct args *args)
{
    if (v.kind != V_DICT)
        return nib_tpl_fail(r, "xmlattr: expected a mapping, not '%s'", nib_tpl_type_name(v));
    const bool has_blank = args->items[0].kind == V_MISSING || nib_tpl_truth(args->items[0]);
    const size_t mark = r->out.len;
    for (size_t i = 0; i < v.u.dict->n && !r->failed; i++) {
        const struct dict_entry *e = &v.u.dict->entries[i];
        if (e->value.kind == V_NONE || e->value.kind == V_UNDEFINED)
            continue;
        const struct value key = nib_tpl_escape(r, e->key), value = nib_tpl_escape(r, e->value);
        if (e->key.kind != V_STRING)
            return nib_tpl_fail(r, "xmlattr: names must be strings");
        for (size_t k = 0; k < e->key.u.s->len; k++) {
            if (strchr(" \t\n\r\f\v/>=", e->key.u.s->data[k]))
                return nib_tpl_fail(r, "xmlattr: a name holds a blank, '/', '>' or '='");
        }
        if (has_blank || r->out.len > mark)
            nib_tpl_put(r, " ", 1);
        nib_tpl_put_str(r, key);
        nib_tpl_put(r, "=\"", 2);
        nib_tpl_put_str(r, value);
        nib_tpl_put(r, "\"", 1);
    }
    return nib_tpl_take(r, mark);
}

const struct function nib_tpl_value_filters[] = {
    {"default", filter_default, .params = {"default_value", "boolean"}},
    {"d", filter_default, .params = {"default_value", "boolean"}},
    {"string", filter_string, .n_required = 0},
    {"length", filter_length, .n_required = 0},
    {"count", filter_length, .n_required = 0},
    {"attr", filter_attr, 1, .params = {"name"}},
    {"int", filter_int, .params = {"default", "base"}},
    {"float", filter_float, .params = {"default"}},
    {"abs", filter_abs, .n_required = 0},
    {"round", filter_round, .params = {"precision", "method"}},
    {"filesizeformat", filter_filesizeformat, .params = {"binary"}},
    {"format", filter_format, .is_variadic = true},
    {"tojson", filter_tojson, .params = {"ensure_ascii", "indent", "separators", "sort_keys"}},
    {"escape", filter_escape, .n_required = 0},
    {"e", filter_escape, .n_required = 0},
    {"forceescape", filter_forceescape, .n_required = 0},
    {"safe", filter_safe, .n_required = 0},
    {"xmlattr", filter_xmlattr, .params = {"autospace"}},
    {0},
};

const struct function *nib_tpl_find_filter(struct nib_str name)
{
    const struct function *f = nib_tpl_find_function(nib_tpl_value_filters, name);
    if (!f)
        f = nib_tpl_find_function(nib_tpl_text_filters, name);
    if (!f)
        f = nib_tpl_find_function(nib_tpl_sequence_filters, name);
    return f;
}
