/* Making values, and asking them: kind, truth, length, items. */
#include "template_value.h"
#include "template_eval.h"
#include "template_ops.h"
#include "template_text.h"

/* Bytes with room behind them, so that text built by s = s ~ part takes linear memory. */
struct tail {
    char *data;
    size_t used, cap;
};

/* ---- strings -------------------------------------------------------------------------------- */

struct value nib_tpl_string_ref(struct render *r, const char *data, size_t len)
{
    struct string *s = nib_tpl_alloc(r, sizeof *s);
    if (!s)
        return NIB_TPL_ERROR;
    *s = (struct string){data, len, nib_tpl_count_chars(data, len), NULL};
    return nib_tpl_string_value(s);
}

struct value nib_tpl_string(struct render *r, const char *data, size_t len)
{
    char *copy = nib_tpl_alloc(r, len ? len : 1);
    if (!copy)
        return NIB_TPL_ERROR;
    memcpy(copy, data ? data : "", len);
    return nib_tpl_string_ref(r, copy, len);
}

struct value nib_tpl_string_c(struct render *r, const char *zero_terminated)
{
    return nib_tpl_string_ref(r, zero_terminated, strlen(zero_terminated));
}

struct value nib_tpl_concat(struct render *r, const struct string *a, const struct string *b)
{
    struct string *s = nib_tpl_alloc(r, sizeof *s);
    if (!s)
        return NIB_TPL_ERROR;
    *s = (struct string){a->data, a->len + b->len, a->n_chars + b->n_chars, a->tail};
    bool fits = a->tail && a->tail->data + a->tail->used == a->data + a->len &&
                a->tail->cap - a->tail->used >= b->len;
    if (!fits) {
        const size_t cap = s->len < 256 ? s->len : 2 * s->len;
        struct tail *tail = nib_tpl_alloc(r, sizeof *tail);
        char *data = nib_tpl_alloc(r, cap ? cap : 1);
        if (!tail || !data)
            return NIB_TPL_ERROR;
        memcpy(data, a->data, a->len);
        *tail = (struct tail){data, a->len, cap};
        s->data = data;
        s->tail = tail;
    }
    memcpy(s->tail->data + s->tail->used, b->data, b->len);
    s->tail->used += b->len;
    return nib_tpl_string_value(s);
}

/* ---- lists ---------------------------------------------------------------------------------- */

struct list *nib_tpl_list_new(struct render *r, size_t cap)
{
    struct list *list = nib_tpl_alloc(r, sizeof *list);
    if (!list)
        return NULL;
    if (cap) {
        list->items = nib_tpl_alloc_array(r, cap, sizeof *list->items);
        if (!list->items)
            return NULL;
        list->cap = cap;
    }
    return list;
}

bool nib_tpl_list_add(struct render *r, struct list *list, struct value item)
{
    if (item.kind == V_ERROR)
        return false;
    if (list->n == list->cap) {
        const size_t cap = list->cap ? 2 * list->cap : 4;
        struct value *items = nib_tpl_alloc_array(r, cap, sizeof *items);
        if (!items)
            return false;
        if (list->n)
            memcpy(items, list->items, list->n * sizeof *items);
        list->items = items;
        list->cap = cap;
    }
    list->items[list->n++] = item;
    return true;
}

struct value nib_tpl_list_value(struct list *list)
{
    return list ? (struct value){.kind = V_LIST, .u.list = list} : NIB_TPL_ERROR;
}

struct value nib_tpl_tuple_value(struct list *list)
{
    return list ? (struct value){.kind = V_TUPLE, .u.list = list} : NIB_TPL_ERROR;
}

struct value nib_tpl_pair(struct render *r, struct value a, struct value b)
{
    struct list *pair = nib_tpl_list_new(r, 2);
    if (!pair || !nib_tpl_list_add(r, pair, a) || !nib_tpl_list_add(r, pair, b))
        return NIB_TPL_ERROR;
    return nib_tpl_tuple_value(pair);
}

struct value nib_tpl_iterator(struct render *r, const char *type, struct list *items)
{
    struct iterator *iterator = items ? nib_tpl_alloc(r, sizeof *iterator) : NULL;
    if (!iterator)
        return NIB_TPL_ERROR;
    *iterator = (struct iterator){.type = type, .items = items};
    return (struct value){.kind = V_ITERATOR, .u.iterator = iterator};
}

struct value nib_tpl_generator(struct render *r, function_fn *compute, struct value self,
                               const struct args *args)
{
    struct iterator *iterator = nib_tpl_alloc(r, sizeof *iterator);
    struct args *copy = nib_tpl_alloc(r, sizeof *copy);
    struct value *items = nib_tpl_alloc_array(r, args->n + 1, sizeof *items);
    if (!iterator || !copy || !items)
        return NIB_TPL_ERROR;
    *copy = *args;
    copy->items = items;
    if (args->n)
        memcpy(items, args->items, args->n * sizeof *items);
    *iterator =
        (struct iterator){.type = "generator", .compute = compute, .self = self, .args = copy};
    return (struct value){.kind = V_ITERATOR, .u.iterator = iterator};
}

struct list *nib_tpl_iterator_items(struct render *r, struct iterator *iterator)
{
    if (!iterator->items && nib_tpl_enter(r)) {
        const struct value list = iterator->compute(r, iterator->self, iterator->args);
        nib_tpl_leave(r);
        iterator->items = list.kind == V_ERROR || r->failed ? NULL : list.u.list;
    }
    return iterator->items;
}

/* ---- undefined ------------------------------------------------------------------------------ */

struct value nib_tpl_undefined(struct render *r, struct value object, struct value name)
{
    struct undefined *undefined = nib_tpl_alloc(r, sizeof *undefined);
    if (!undefined)
        return NIB_TPL_ERROR;
    undefined->object = object;
    undefined->name = name;
    return (struct value){.kind = V_UNDEFINED, .u.undefined = undefined};
}

struct value nib_tpl_undefined_hint(struct render *r, const char *hint)
{
    struct value v = nib_tpl_undefined(r, (struct value){0}, (struct value){0});
    if (v.kind == V_UNDEFINED)
        v.u.undefined->hint = hint;
    return v;
}

struct value nib_tpl_undefined_error(struct render *r, struct value v)
{
    const struct undefined *u = v.u.undefined;
    if (u->hint)
        return nib_tpl_fail(r, "%s", u->hint);
    size_t mark = r->out.len;
    nib_tpl_put_repr(r, u->name);
    const int len = (int)(r->out.len - mark > 100 ? 100 : r->out.len - mark);
    if (r->failed)
        return NIB_TPL_ERROR;
    const char *name = r->out.data + mark, *type = nib_tpl_type_name(u->object);
    if (u->is_unsafe)
        return nib_tpl_fail(r, "access to attribute %.*s of '%s' object is unsafe", len, name,
                            type);
    if (u->object.kind == V_MISSING)
        return nib_tpl_fail(r, "%.*s is undefined", len, name);
    if (u->object.kind == V_NONE)
        return nib_tpl_fail(r, "none has no %s %.*s",
                            u->name.kind == V_STRING ? "attribute" : "element", len, name);
    return nib_tpl_fail(r, "'%s object' has no %s %.*s", type,
                        u->name.kind == V_STRING ? "attribute" : "element", len, name);
}

/* ---- kinds and truth ------------------------------------------------------------------------ */

const char *nib_tpl_type_name(struct value v)
{
    static const char *const views[] = {"dict_keys", "dict_values", "dict_items"};
    switch ((enum value_kind)v.kind) {
    case V_NONE:
        return "NoneType";
    case V_BOOL:
        return "bool";
    case V_INT:
    case V_BIG:
        return "int";
    case V_FLOAT:
        return "float";
    case V_STRING:
        return v.safe ? "Markup" : "str";
    case V_LIST:
        return "list";
    case V_TUPLE:
        return v.group ? "_GroupTuple" : "tuple";
    case V_DICT:
        return "dict";
    case V_VIEW:
        return views[v.u.view->what];
    case V_RANGE:
        return "range";
    case V_ITERATOR:
        return v.u.iterator->type;
    case V_NAMESPACE:
        return "Namespace";
    case V_MACRO:
        return "Macro";
    case V_FUNCTION:
        return "function";
    case V_METHOD:
        return "builtin_function_or_method";
    case V_LOOP:
        return "LoopContext";
    case V_CYCLER:
        return "Cycler";
    case V_JOINER:
        return "Joiner";
    case V_MISSING:
    case V_ERROR:
    case V_UNDEFINED:
        break;
    }
    return "Undefined";
}

bool nib_tpl_is_number(struct value v)
{
    return v.kind == V_BOOL || v.kind == V_INT || v.kind == V_FLOAT;
}

bool nib_tpl_truth(struct value v)
{
    switch ((enum value_kind)v.kind) {
    case V_NONE:
    case V_UNDEFINED:
    case V_MISSING:
    case V_ERROR:
        return false;
    case V_BOOL:
        return v.u.b;
    case V_INT:
        return v.u.i != 0;
    case V_FLOAT:
        return v.u.d != 0;
    case V_STRING:
    case V_LIST:
    case V_TUPLE:
    case V_DICT:
    case V_RANGE:
    case V_VIEW:
    case V_LOOP:
        return nib_tpl_length(v) != 0;
    default:
        return true;
    }
}

bool nib_tpl_hashable(struct render *r, struct value v)
{
    if (v.kind != V_TUPLE)
        return v.kind != V_LIST && v.kind != V_DICT;
    bool hashable = nib_tpl_enter(r);
    for (size_t i = 0; hashable && i < v.u.list->n; i++)
        hashable = nib_tpl_charge(r, 1) && nib_tpl_hashable(r, v.u.list->items[i]);
    if (!r->failed)
        nib_tpl_leave(r);
    return hashable;
}

bool nib_tpl_to_int(struct render *r, struct value v, const char *what, int64_t *out)
{
    if (v.kind == V_BOOL || v.kind == V_INT) {
        *out = v.kind == V_BOOL ? v.u.b : v.u.i;
        return true;
    }
    if (v.kind == V_UNDEFINED)
        nib_tpl_undefined_error(r, v);
    else
        nib_tpl_fail(r, "%s must be an integer, not '%s'", what, nib_tpl_type_name(v));
    return false;
}

/* ---- length and items ----------------------------------------------------------------------- */

int64_t nib_tpl_length(struct value v)
{
    switch ((enum value_kind)v.kind) {
    case V_UNDEFINED:
        return 0;
    case V_STRING:
        return (int64_t)v.u.s->n_chars;
    case V_LIST:
    case V_TUPLE:
        return (int64_t)v.u.list->n;
    case V_DICT:
        return (int64_t)v.u.dict->n;
    case V_VIEW:
        return (int64_t)v.u.view->dict->n;
    case V_RANGE:
        return (int64_t)v.u.range->n;
    case V_LOOP:
        return nib_tpl_loop_length(v.u.loop);
    default:
        return -1;
    }
}

bool nib_tpl_is_iterable(struct value v)
{
    return nib_tpl_length(v) >= 0 || v.kind == V_ITERATOR;
}

static struct list *string_items(struct render *r, const struct string *s)
{
    struct list *list = nib_tpl_list_new(r, s->n_chars);
    const char *p = s->data, *end = s->data + s->len;
    for (size_t n; list && p < end; p += n) {
        nib_tpl_decode(p, end, &n);
        if (!nib_tpl_list_add(r, list, nib_tpl_string_ref(r, p, n)))
            return NULL;
    }
    return list;
}

static struct list *dict_items(struct render *r, const struct dict *dict, int what)
{
    struct list *list = nib_tpl_list_new(r, dict->n);
    for (size_t i = 0; list && i < dict->n; i++) {
        const struct dict_entry *e = &dict->entries[i];
        struct value item = what == VIEW_KEYS     ? e->key
                            : what == VIEW_VALUES ? e->value
                                                  : nib_tpl_pair(r, e->key, e->value);
        if (!nib_tpl_list_add(r, list, item))
            return NULL;
    }
    return list;
}

static struct list *range_items(struct render *r, const struct range *range)
{
    struct list *list = nib_tpl_list_new(r, range->n);
    for (size_t i = 0; list && i < range->n; i++)
        list->items[list->n++] = nib_tpl_int(range->start + (int64_t)i * range->step);
    return list;
}

static struct list *iterator_items(struct render *r, struct iterator *iterator)
{
    struct list *all = nib_tpl_iterator_items(r, iterator);
    struct list *list = all ? nib_tpl_alloc(r, sizeof *list) : NULL;
    if (list) {
        list->n = list->cap = all->n - iterator->next;
        list->items = list->n ? all->items + iterator->next : NULL;
        iterator->next = all->n;
    }
    return list;
}

struct list *nib_tpl_items(struct render *r, struct value v)
{
    if (r->failed)
        return NULL;
    const int64_t n = nib_tpl_length(v);
    if (n > 0 && !nib_tpl_charge(r, (size_t)n / 4))
        return NULL;
    switch ((enum value_kind)v.kind) {
    case V_UNDEFINED:
        return nib_tpl_list_new(r, 0);
    case V_LIST:
    case V_TUPLE:
        return v.u.list;
    case V_STRING:
        return string_items(r, v.u.s);
    case V_DICT:
        return dict_items(r, v.u.dict, VIEW_KEYS);
    case V_VIEW:
        return dict_items(r, v.u.view->dict, v.u.view->what);
    case V_RANGE:
        return range_items(r, v.u.range);
    case V_ITERATOR:
        return iterator_items(r, v.u.iterator);
    default:
        nib_tpl_fail(r, "'%s' object is not iterable", nib_tpl_type_name(v));
        return NULL;
    }
}

bool nib_tpl_contains(struct render *r, struct value container, struct value item)
{
    if (container.kind == V_STRING) {
        if (item.kind != V_STRING) {
            nib_tpl_fail(r, "'in <string>' requires a string on the left, not '%s'",
                         nib_tpl_type_name(item));
            return false;
        }
        const struct string *hay = container.u.s, *needle = item.u.s;
        nib_tpl_charge_bytes(r, hay->len);
        return needle->len == 0 || nib_tpl_find(hay->data, hay->len, needle->data, needle->len);
    }
    if (container.kind == V_DICT ||
        (container.kind == V_VIEW && container.u.view->what == VIEW_KEYS)) {
        if (!nib_tpl_hashable(r, item)) {
            nib_tpl_fail(r, "unhashable type: '%s'", nib_tpl_type_name(item));
            return false;
        }
        return nib_tpl_dict_get(
            r, container.kind == V_DICT ? container.u.dict : container.u.view->dict, item);
    }
    if (!nib_tpl_is_iterable(container) && !r->failed) {
        nib_tpl_fail(r, "argument of type '%s' is not iterable", nib_tpl_type_name(container));
        return false;
    }
    const struct list *list = nib_tpl_items(r, container);
    for (size_t i = 0; list && i < list->n; i++) {
        if (nib_tpl_equal(r, list->items[i], item))
            return true;
    }
    return false;
}
