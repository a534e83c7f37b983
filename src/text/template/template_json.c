/* JSON in, as the variables of a template, and out, as json.dumps() writes it. */
#include "template.h"
#include "template_ops.h"
#include "template_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <yyjson.h>

/* ---- in ------------------------------------------------------------------------------------- */

static struct value from_json(struct render *r, yyjson_val *json, int depth);

static struct value string_from(struct render *r, yyjson_val *json)
{
    return nib_tpl_string(r, yyjson_get_str(json), yyjson_get_len(json));
}

static struct value list_from(struct render *r, yyjson_val *json, int depth)
{
    struct list *list = nib_tpl_list_new(r, yyjson_arr_size(json));
    yyjson_arr_iter iter;
    yyjson_arr_iter_init(json, &iter);
    for (yyjson_val *item; list && (item = yyjson_arr_iter_next(&iter));) {
        if (!nib_tpl_list_add(r, list, from_json(r, item, depth + 1)))
            return NIB_TPL_ERROR;
    }
    return nib_tpl_list_value(list);
}

static struct value dict_from(struct render *r, yyjson_val *json, int depth)
{
    struct dict *dict = nib_tpl_dict_new(r);
    yyjson_obj_iter iter;
    yyjson_obj_iter_init(json, &iter);
    for (yyjson_val *key; dict && (key = yyjson_obj_iter_next(&iter));) {
        const struct value value = from_json(r, yyjson_obj_iter_get_val(key), depth + 1);
        if (!nib_tpl_dict_set(r, dict, string_from(r, key), value))
            return NIB_TPL_ERROR;
    }
    return nib_tpl_dict_value(dict);
}

/* Numbers that fit neither int64 nor double arrive as their text. */
static struct value number_from(struct render *r, yyjson_val *json)
{
    char text[24];
    struct nib_str s = {text, 0};
    struct value v;
    double d;
    if (yyjson_is_real(json))
        return nib_tpl_float(yyjson_get_real(json));
    if (yyjson_is_sint(json) || (yyjson_is_uint(json) && yyjson_get_uint(json) <= INT64_MAX))
        return nib_tpl_int(yyjson_get_sint(json));
    if (yyjson_is_uint(json))
        s.len = (size_t)snprintf(text, sizeof text, "%" PRIu64, yyjson_get_uint(json));
    else
        s = (struct nib_str){yyjson_get_raw(json), yyjson_get_len(json)};
    if (nib_tpl_parse_int(r, s, 10, &v))
        return v;
    if (nib_tpl_parse_float(s, &d))
        return nib_tpl_float(d);
    return nib_tpl_fail(r, "a number in the conversation has too many digits");
}

static struct value from_json(struct render *r, yyjson_val *json, int depth)
{
    if (depth > NIB_TEMPLATE_MAX_DEPTH)
        return nib_tpl_fail(r, "the conversation or its tools are nested more than %d levels deep",
                            NIB_TEMPLATE_MAX_DEPTH);
    switch (yyjson_get_type(json)) {
    case YYJSON_TYPE_BOOL:
        return nib_tpl_bool(yyjson_get_bool(json));
    case YYJSON_TYPE_NUM:
    case YYJSON_TYPE_RAW:
        return number_from(r, json);
    case YYJSON_TYPE_STR:
        return string_from(r, json);
    case YYJSON_TYPE_ARR:
        return list_from(r, json, depth);
    case YYJSON_TYPE_OBJ:
        return dict_from(r, json, depth);
    default:
        return NIB_TPL_NONE;
    }
}

struct value nib_tpl_read_json(struct render *r, struct nib_str json)
{
    yyjson_read_err error;
    yyjson_doc *doc =
        yyjson_read_opts((char *)(uintptr_t)json.data, json.len,
                         YYJSON_READ_ALLOW_INF_AND_NAN | YYJSON_READ_BIGNUM_AS_RAW, NULL, &error);
    if (!doc)
        return nib_tpl_fail(r, "the conversation is not JSON: %s at byte %zu", error.msg,
                            error.pos);
    const struct value v = from_json(r, yyjson_doc_get_root(doc), 0);
    yyjson_doc_free(doc);
    return v;
}

/* ---- out ------------------------------------------------------------------------------------ */

struct writer {
    struct render *r;
    const struct json_options *options;
    size_t depth;
};

static void put_value(struct writer *w, struct value v);

static void put_unicode_escape(struct render *r, uint32_t c)
{
    char escape[16];
    if (c < 0x10000)
        snprintf(escape, sizeof escape, "\\u%04" PRIx32, c);
    else
        snprintf(escape, sizeof escape, "\\u%04" PRIx32 "\\u%04" PRIx32,
                 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
    nib_tpl_put_c(r, escape);
}

static void put_string(struct writer *w, const struct string *s)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    struct render *r = w->r;
    const char *p = s->data, *end = s->data + s->len, *plain = p;
    nib_tpl_charge_bytes(r, s->len);
    nib_tpl_put(r, "\"", 1);
    for (size_t n; p < end && !r->failed; p += n) {
        const int32_t c = nib_tpl_decode(p, end, &n);
        const bool is_plain = (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') ||
                              (c >= 0x80 && !w->options->ensure_ascii);
        if (is_plain)
            continue;
        nib_tpl_put(r, plain, (size_t)(p - plain));
        plain = p + n;
        const char *simple = c && c < 0x80 ? strchr(from, (char)c) : NULL;
        if (simple) {
            const char escape[2] = {'\\', to[simple - from]};
            nib_tpl_put(r, escape, 2);
        } else {
            put_unicode_escape(r, (uint32_t)c);
        }
    }
    nib_tpl_put(r, plain, (size_t)(end - plain));
    nib_tpl_put(r, "\"", 1);
}

static void put_float(struct writer *w, double d)
{
    char text[NIB_TPL_FLOAT_CHARS];
    if (isnan(d))
        nib_tpl_put_c(w->r, "NaN");
    else if (isinf(d))
        nib_tpl_put_c(w->r, d < 0 ? "-Infinity" : "Infinity");
    else
        nib_tpl_put(w->r, text, nib_tpl_float_repr(text, d));
}

static void new_line(struct writer *w)
{
    const struct string *indent = w->options->indent;
    if (!indent)
        return;
    nib_tpl_put(w->r, "\n", 1);
    for (size_t i = 0; i < w->depth; i++)
        nib_tpl_put(w->r, indent->data, indent->len);
}

static void put_separator(struct writer *w, bool is_first)
{
    if (!is_first)
        nib_tpl_put(w->r, w->options->item_separator.data, w->options->item_separator.len);
    new_line(w);
}

static void put_array(struct writer *w, const struct list *list)
{
    if (list->n == 0) {
        nib_tpl_put(w->r, "[]", 2);
        return;
    }
    nib_tpl_put(w->r, "[", 1);
    w->depth++;
    for (size_t i = 0; i < list->n && !w->r->failed; i++) {
        put_separator(w, i == 0);
        put_value(w, list->items[i]);
    }
    w->depth--;
    new_line(w);
    nib_tpl_put(w->r, "]", 1);
}

/* Keys of JSON are strings: numbers, booleans and null are written as such. */
static void put_key(struct writer *w, struct value key)
{
    struct render *r = w->r;
    if (key.kind == V_STRING) {
        put_string(w, key.u.s);
    } else if (key.kind <= V_FLOAT && key.kind >= V_NONE) {
        nib_tpl_put(r, "\"", 1);
        put_value(w, key);
        nib_tpl_put(r, "\"", 1);
    } else {
        nib_tpl_fail(r, "tojson: keys must be strings, numbers, booleans or none, not '%s'",
                     nib_tpl_type_name(key));
    }
}

/* Entry numbers by ascending keys: insertion sort would be quadratic, so merge upwards. */
static size_t *sorted_keys(struct render *r, const struct dict *dict)
{
    size_t *order = nib_tpl_alloc_array(r, dict->n, sizeof *order);
    size_t *other = nib_tpl_alloc_array(r, dict->n, sizeof *other);
    if (!order || !other)
        return NULL;
    for (size_t i = 0; i < dict->n; i++)
        order[i] = i;
    for (size_t width = 1; width < dict->n && !r->failed; width *= 2) {
        for (size_t begin = 0; begin < dict->n; begin += 2 * width) {
            const size_t middle = begin + width < dict->n ? begin + width : dict->n;
            const size_t end = begin + 2 * width < dict->n ? begin + 2 * width : dict->n;
            for (size_t i = begin, j = middle, k = begin; k < end; k++) {
                const bool is_right =
                    j < end &&
                    (i == middle || nib_tpl_order(r, "<", dict->entries[order[j]].key,
                                                  dict->entries[order[i]].key) == ORDER_LESS);
                other[k] = is_right ? order[j++] : order[i++];
            }
        }
        size_t *swap = order;
        order = other;
        other = swap;
    }
    return r->failed ? NULL : order;
}

static void put_object(struct writer *w, const struct dict *dict)
{
    struct render *r = w->r;
    if (dict->n == 0) {
        nib_tpl_put(r, "{}", 2);
        return;
    }
    const size_t *order = w->options->sort_keys ? sorted_keys(r, dict) : NULL;
    nib_tpl_put(r, "{", 1);
    w->depth++;
    for (size_t i = 0; i < dict->n && !r->failed; i++) {
        const struct dict_entry *e = &dict->entries[order ? order[i] : i];
        put_separator(w, i == 0);
        put_key(w, e->key);
        nib_tpl_put(r, w->options->key_separator.data, w->options->key_separator.len);
        put_value(w, e->value);
    }
    w->depth--;
    new_line(w);
    nib_tpl_put(r, "}", 1);
}

static void put_value(struct writer *w, struct value v)
{
    struct render *r = w->r;
    if (!nib_tpl_charge(r, 1) || !nib_tpl_enter(r))
        return;
    switch ((enum value_kind)v.kind) {
    case V_NONE:
        nib_tpl_put_c(r, "null");
        break;
    case V_BOOL:
        nib_tpl_put_c(r, v.u.b ? "true" : "false");
        break;
    case V_INT:
    case V_BIG:
        nib_tpl_put_repr(r, v);
        break;
    case V_FLOAT:
        put_float(w, v.u.d);
        break;
    case V_STRING:
        put_string(w, v.u.s);
        break;
    case V_LIST:
    case V_TUPLE:
        put_array(w, v.u.list);
        break;
    case V_DICT:
        put_object(w, v.u.dict);
        break;
    default:
        nib_tpl_fail(r, "tojson: object of type %s is not JSON serializable", nib_tpl_type_name(v));
    }
    nib_tpl_leave(r);
}

void nib_tpl_put_json(struct render *r, struct value v, const struct json_options *options)
{
    struct writer w = {r, options, 0};
    put_value(&w, v);
}
