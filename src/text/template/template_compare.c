/* Equality and order of values. */
#include "template_value.h"

#include <math.h>

static int64_t int_of(struct value v)
{
    return v.kind == V_BOOL ? v.u.b : v.u.i;
}

/* Exact, where (double)i would round. */
static enum order order_int_float(int64_t i, double d)
{
    if (isnan(d))
        return ORDER_NONE;
    if (d >= 0x1p63)
        return ORDER_LESS;
    if (d < -0x1p63)
        return ORDER_GREATER;
    const int64_t whole = (int64_t)d;
    const double rest = d - (double)whole;
    if (i != whole)
        return i < whole ? ORDER_LESS : ORDER_GREATER;
    return rest > 0 ? ORDER_LESS : rest < 0 ? ORDER_GREATER : ORDER_EQUAL;
}

static enum order order_numbers(struct value a, struct value b)
{
    if (a.kind == V_FLOAT && b.kind == V_FLOAT) {
        if (isnan(a.u.d) || isnan(b.u.d))
            return ORDER_NONE;
        return a.u.d < b.u.d ? ORDER_LESS : a.u.d > b.u.d ? ORDER_GREATER : ORDER_EQUAL;
    }
    if (a.kind == V_FLOAT) {
        enum order order = order_int_float(int_of(b), a.u.d);
        return order == ORDER_NONE ? order : (enum order) - (int)order;
    }
    if (b.kind == V_FLOAT)
        return order_int_float(int_of(a), b.u.d);
    const int64_t x = int_of(a), y = int_of(b);
    return x < y ? ORDER_LESS : x > y ? ORDER_GREATER : ORDER_EQUAL;
}

static bool equal_lists(struct render *r, const struct list *a, const struct list *b)
{
    if (a == b)
        return true;
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        if (!nib_tpl_equal(r, a->items[i], b->items[i]))
            return false;
    }
    return true;
}

static bool equal_dicts(struct render *r, const struct dict *a, const struct dict *b)
{
    if (a == b)
        return true;
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const struct value *other = nib_tpl_dict_get(r, b, a->entries[i].key);
        if (!other || !nib_tpl_equal(r, a->entries[i].value, *other))
            return false;
    }
    return true;
}

static bool equal_strings(struct render *r, const struct string *a, const struct string *b)
{
    if (a->len != b->len)
        return false;
    nib_tpl_charge_bytes(r, a->len);
    return a->data == b->data || memcmp(a->data, b->data, a->len) == 0;
}

static bool equal_ranges(const struct range *a, const struct range *b)
{
    return a->n == b->n &&
           (a->n == 0 || (a->start == b->start && (a->n == 1 || a->step == b->step)));
}

/* What Python compares by identity. */
static bool same_object(struct value a, struct value b)
{
    return a.kind == b.kind && (const void *)a.u.s == (const void *)b.u.s;
}

static bool equal_same_kind(struct render *r, struct value a, struct value b)
{
    switch ((enum value_kind)a.kind) {
    case V_STRING:
    case V_BIG:
        return equal_strings(r, a.u.s, b.u.s);
    case V_LIST:
    case V_TUPLE:
        return equal_lists(r, a.u.list, b.u.list);
    case V_DICT:
        return equal_dicts(r, a.u.dict, b.u.dict);
    case V_RANGE:
        return equal_ranges(a.u.range, b.u.range);
    case V_NONE:
    case V_UNDEFINED:
        return true;
    default:
        return same_object(a, b);
    }
}

bool nib_tpl_equal(struct render *r, struct value a, struct value b)
{
    if (!nib_tpl_charge(r, 1))
        return false;
    if (nib_tpl_is_number(a) && nib_tpl_is_number(b))
        return order_numbers(a, b) == ORDER_EQUAL;
    if (a.kind != b.kind || !nib_tpl_enter(r))
        return false;
    bool equal = equal_same_kind(r, a, b);
    nib_tpl_leave(r);
    return equal;
}

static enum order order_strings(const struct string *a, const struct string *b)
{
    /* The order of UTF-8 bytes is that of code points. */
    int order = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);
    if (order == 0)
        return a->len < b->len ? ORDER_LESS : a->len > b->len ? ORDER_GREATER : ORDER_EQUAL;
    return order < 0 ? ORDER_LESS : ORDER_GREATER;
}

static enum order order_lists(struct render *r, const char *op, const struct list *a,
                              const struct list *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        const bool equal = nib_tpl_equal(r, a->items[i], b->items[i]);
        if (r->failed)
            return ORDER_ERROR;
        if (!equal)
            return nib_tpl_order(r, op, a->items[i], b->items[i]);
    }
    return a->n < b->n ? ORDER_LESS : a->n > b->n ? ORDER_GREATER : ORDER_EQUAL;
}

enum order nib_tpl_order(struct render *r, const char *op, struct value a, struct value b)
{
    if (!nib_tpl_charge(r, 1))
        return ORDER_ERROR;
    if (nib_tpl_is_number(a) && nib_tpl_is_number(b))
        return order_numbers(a, b);
    if (a.kind == V_STRING && b.kind == V_STRING) {
        nib_tpl_charge_bytes(r, a.u.s->len < b.u.s->len ? a.u.s->len : b.u.s->len);
        return order_strings(a.u.s, b.u.s);
    }
    if (a.kind == b.kind && (a.kind == V_LIST || a.kind == V_TUPLE)) {
        if (!nib_tpl_enter(r))
            return ORDER_ERROR;
        enum order order = order_lists(r, op, a.u.list, b.u.list);
        nib_tpl_leave(r);
        return order;
    }
    if (a.kind == V_UNDEFINED || b.kind == V_UNDEFINED)
        nib_tpl_undefined_error(r, a.kind == V_UNDEFINED ? a : b);
    else
        nib_tpl_fail(r, "'%s' not supported between '%s' and '%s'", op, nib_tpl_type_name(a),
                     nib_tpl_type_name(b));
    return ORDER_ERROR;
}
