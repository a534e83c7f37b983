/* Attributes, items and slices; methods of lists, dicts, ranges and cyclers. */
#include "template_eval.h"
#include "template_ops.h"
#include "template_text.h"

#include <math.h>

/* ---- attributes ----------------------------------------------------------------------------- */

const struct function *nib_tpl_find_function(const struct function *table, struct nib_str name)
{
    for (; table->name; table++) {
        if (strlen(table->name) == name.len && memcmp(table->name, name.data, name.len) == 0)
            return table;
    }
    return NULL;
}

static struct value float_is_integer(struct render *r, struct value self, const struct args *args)
{
    (void)r;
    (void)args;
    return nib_tpl_bool(isfinite(self.u.d) && floor(self.u.d) == self.u.d);
}

static struct value int_bit_length(struct render *r, struct value self, const struct args *args)
{
    (void)r;
    (void)args;
    const int64_t i = self.kind == V_BOOL ? self.u.b : self.u.i;
    int64_t n = 0;
    for (uint64_t rest = i < 0 ? 0 - (uint64_t)i : (uint64_t)i; rest; rest >>= 1)
        n++;
    return nib_tpl_int(n);
}

static const struct function float_methods[] = {
    {"is_integer", float_is_integer, .n_required = 0},
    {0},
};

static const struct function int_methods[] = {
    {"bit_length", int_bit_length, .n_required = 0},
    {0},
};

const struct function *nib_tpl_find_method(struct value self, struct nib_str name)
{
    const struct function *found;
    switch ((enum value_kind)self.kind) {
    case V_STRING:
        found = nib_tpl_find_function(nib_tpl_string_methods, name);
        return found ? found : nib_tpl_find_function(nib_tpl_letter_methods, name);
    case V_BOOL:
    case V_INT:
        return nib_tpl_find_function(int_methods, name);
    case V_FLOAT:
        return nib_tpl_find_function(float_methods, name);
    case V_LIST:
        return nib_tpl_find_function(nib_tpl_list_methods, name);
    case V_DICT:
        return nib_tpl_find_function(nib_tpl_dict_methods, name);
    case V_TUPLE:
    case V_RANGE:
        return nib_tpl_find_function(nib_tpl_tuple_methods, name);
    case V_LOOP:
        return nib_tpl_find_function(nib_tpl_loop_methods, name);
    case V_CYCLER:
        return nib_tpl_find_function(nib_tpl_cycler_methods, name);
    default:
        return NULL;
    }
}

/* What would change a list or dict, or leads into the interpreter, is there but must not be used.
 */
static bool is_unsafe(struct value object, struct nib_str name)
{
    static const char *const of_list[] = {"append", "clear", "pop",    "reverse",
                                          "insert", "sort",  "extend", "remove"};
    static const char *const of_dict[] = {"clear", "pop", "popitem", "setdefault", "update"};
    static const char *const dunder[] = {"__class__",   "__dict__",   "__doc__",  "__init__",
                                         "__globals__", "__module__", "__name__", "__call__"};
    for (size_t i = 0; object.kind == V_LIST && i < NIB_COUNT(of_list); i++) {
        if (nib_str_equal(name, nib_str_from(of_list[i])))
            return true;
    }
    for (size_t i = 0; object.kind == V_DICT && i < NIB_COUNT(of_dict); i++) {
        if (nib_str_equal(name, nib_str_from(of_dict[i])))
            return true;
    }
    for (size_t i = 0; i < NIB_COUNT(dunder); i++) {
        if (nib_str_equal(name, nib_str_from(dunder[i])))
            return true;
    }
    return false;
}

/* Attributes that are plain values. */
static struct value data_attribute(struct render *r, struct value object, struct nib_str name)
{
    const bool is_number = nib_tpl_is_number(object);
    if (is_number && nib_str_equal(name, NIB_STR("real")))
        return nib_tpl_plus(r, object);
    if (is_number && nib_str_equal(name, NIB_STR("imag")))
        return object.kind == V_FLOAT ? nib_tpl_float(0) : nib_tpl_int(0);
    if (object.group && nib_str_equal(name, NIB_STR("grouper")))
        return object.u.list->items[0];
    if (object.group && nib_str_equal(name, NIB_STR("list")))
        return object.u.list->items[1];
    if (object.kind == V_RANGE && nib_str_equal(name, NIB_STR("start")))
        return nib_tpl_int(object.u.range->start);
    if (object.kind == V_RANGE && nib_str_equal(name, NIB_STR("stop")))
        return nib_tpl_int(object.u.range->stop);
    if (object.kind == V_RANGE && nib_str_equal(name, NIB_STR("step")))
        return nib_tpl_int(object.u.range->step);
    if (object.kind == V_CYCLER && nib_str_equal(name, NIB_STR("current")))
        return object.u.cycler->items->items[object.u.cycler->at];
    if (object.kind == V_MACRO && nib_str_equal(name, NIB_STR("name")))
        return nib_tpl_macro_name(object.u.macro)
                   ? nib_tpl_string_value(nib_tpl_macro_name(object.u.macro))
                   : NIB_TPL_NONE;
    if (object.kind == V_LOOP)
        return nib_tpl_loop_attribute(r, object.u.loop, name);
    return (struct value){0};
}

/* getattr(): V_MISSING where there is none. */
static struct value attribute(struct render *r, struct value object, const struct string *name)
{
    const struct nib_str s = {name->data, name->len};
    if (object.kind == V_NAMESPACE) {
        const struct value *v = nib_tpl_dict_get(r, object.u.dict, nib_tpl_string_value(name));
        return v ? *v : (struct value){0};
    }
    const struct function *function = nib_tpl_find_method(object, s);
    if (function) {
        struct method *method = nib_tpl_alloc(r, sizeof *method);
        if (!method)
            return NIB_TPL_ERROR;
        *method = (struct method){function, object};
        return (struct value){.kind = V_METHOD, .u.method = method};
    }
    if (is_unsafe(object, s)) {
        struct value v = nib_tpl_undefined(r, object, nib_tpl_string_value(name));
        if (v.kind == V_UNDEFINED)
            v.u.undefined->is_unsafe = true;
        return v;
    }
    return data_attribute(r, object, s);
}

struct value nib_tpl_getattr(struct render *r, struct value object, const struct string *name)
{
    if (object.kind == V_UNDEFINED)
        return nib_tpl_undefined_error(r, object);
    const struct value found = attribute(r, object, name);
    if (found.kind != V_MISSING)
        return found;
    const struct value key = nib_tpl_string_value(name);
    const struct value *item =
        object.kind == V_DICT ? nib_tpl_dict_get(r, object.u.dict, key) : NULL;
    return item ? *item : nib_tpl_undefined(r, object, key);
}

/* ---- items ---------------------------------------------------------------------------------- */

static struct value char_at(struct render *r, const struct string *s, size_t i)
{
    const bool is_ascii = s->n_chars == s->len;
    size_t n = 1;
    if (!is_ascii)
        nib_tpl_charge_bytes(r, s->len);
    const size_t at = is_ascii ? i : nib_tpl_char_offset(s->data, s->len, i);
    nib_tpl_decode(s->data + at, s->data + s->len, &n);
    return nib_tpl_string_ref(r, s->data + at, n);
}

static struct value item_at(struct render *r, struct value object, size_t i)
{
    if (object.kind == V_STRING)
        return char_at(r, object.u.s, i);
    if (object.kind == V_RANGE)
        return nib_tpl_int(object.u.range->start + (int64_t)i * object.u.range->step);
    return object.u.list->items[i];
}

static bool is_indexed(struct value v)
{
    return v.kind == V_STRING || v.kind == V_LIST || v.kind == V_TUPLE || v.kind == V_RANGE;
}

struct value nib_tpl_getitem(struct render *r, struct value object, struct value key)
{
    if (object.kind == V_UNDEFINED)
        return nib_tpl_undefined_error(r, object);
    if (object.kind == V_DICT) {
        const struct value *item = nib_tpl_dict_get(r, object.u.dict, key);
        if (item)
            return *item;
    }
    if (is_indexed(object) && (key.kind == V_INT || key.kind == V_BOOL)) {
        const int64_t n = nib_tpl_length(object), at = key.kind == V_INT ? key.u.i : key.u.b;
        if (at >= -n && at < n)
            return item_at(r, object, (size_t)(at < 0 ? at + n : at));
    }
    if (key.kind == V_STRING) {
        const struct value found = attribute(r, object, key.u.s);
        if (found.kind != V_MISSING)
            return found;
    }
    return nib_tpl_undefined(r, object, key);
}

/* start and stop of a slice, within 0..n (or -1..n-1 going down). */
static bool slice_bound(struct render *r, struct value v, int64_t n, int64_t step, bool is_stop,
                        int64_t *out)
{
    const int64_t low = step < 0 ? -1 : 0, high = step < 0 ? n - 1 : n;
    if (v.kind == V_NONE) {
        *out = is_stop == (step > 0) ? high : low;
        return true;
    }
    if (!nib_tpl_to_int(r, v, "a slice index", out))
        return false;
    if (*out < 0)
        *out = *out < -n ? low : *out + n;
    if (*out < low)
        *out = low;
    if (*out > high)
        *out = high;
    return true;
}

static struct value slice_string(struct render *r, const struct string *s, int64_t start,
                                 int64_t step, size_t n)
{
    nib_tpl_charge_bytes(r, s->len);
    if (step == 1) {
        const size_t from = nib_tpl_char_offset(s->data, s->len, (size_t)start);
        const size_t len = nib_tpl_char_offset(s->data + from, s->len - from, n);
        return nib_tpl_string_ref(r, s->data + from, len);
    }
    const struct list *chars = nib_tpl_items(r, nib_tpl_string_value(s));
    const size_t mark = r->out.len;
    for (size_t i = 0; chars && i < n; i++, start += step)
        nib_tpl_put_str(r, chars->items[start]);
    return nib_tpl_take(r, mark);
}

static struct value slice_range(struct render *r, const struct range *range, int64_t start,
                                int64_t stop, int64_t step, size_t n)
{
    struct range *result = nib_tpl_alloc(r, sizeof *result);
    if (!result)
        return NIB_TPL_ERROR;
    int64_t factor;
    if (__builtin_mul_overflow(range->step, step, &factor))
        return nib_tpl_fail(r, "a range's step grows beyond 64 bits");
    result->start = range->start + start * range->step;
    result->step = factor;
    result->n = n;
    result->stop = range->start + stop * range->step;
    return (struct value){.kind = V_RANGE, .u.range = result};
}

struct value nib_tpl_slice(struct render *r, struct value object, struct value start_value,
                           struct value stop_value, struct value step_value)
{
    int64_t start, stop, given_step = 1;
    if (object.kind == V_UNDEFINED)
        return nib_tpl_undefined_error(r, object);
    if (!is_indexed(object))
        return nib_tpl_fail(r, "'%s' object cannot be sliced", nib_tpl_type_name(object));
    const int64_t length = nib_tpl_length(object);
    if (step_value.kind != V_NONE && !nib_tpl_to_int(r, step_value, "a slice step", &given_step))
        return NIB_TPL_ERROR;
    if (given_step == 0)
        return nib_tpl_fail(r, "a slice step cannot be zero");
    /* A longer step than the sequence has the effect of that length. */
    const int64_t step = given_step > length    ? length + 1
                         : given_step < -length ? -length - 1
                                                : given_step;
    if (!slice_bound(r, start_value, length, step, false, &start) ||
        !slice_bound(r, stop_value, length, step, true, &stop))
        return NIB_TPL_ERROR;
    size_t n = 0;
    if (step > 0 && start < stop)
        n = (size_t)((stop - start - 1) / step + 1);
    if (step < 0 && start > stop)
        n = (size_t)((start - stop - 1) / -step + 1);
    if (object.kind == V_STRING) {
        struct value v = slice_string(r, object.u.s, start, step, n);
        v.safe = object.safe;
        return v;
    }
    if (object.kind == V_RANGE)
        return slice_range(r, object.u.range, start, stop, given_step, n);
    struct list *list = nib_tpl_list_new(r, n);
    for (size_t i = 0; list && i < n; i++, start += step)
        list->items[list->n++] = object.u.list->items[start];
    return list ? (struct value){.kind = object.kind, .u.list = list} : NIB_TPL_ERROR;
}

/* ---- methods -------------------------------------------------------------------------------- */

static struct value list_count(struct render *r, struct value self, const struct args *args)
{
    const struct list *items = nib_tpl_items(r, self);
    int64_t n = 0;
    for (size_t i = 0; items && i < items->n; i++)
        n += nib_tpl_equal(r, items->items[i], args->items[0]);
    return items ? nib_tpl_int(n) : NIB_TPL_ERROR;
}

static struct value list_index(struct render *r, struct value self, const struct args *args)
{
    const struct list *items = nib_tpl_items(r, self);
    int64_t start = 0, stop = nib_tpl_length(self);
    if ((args->items[1].kind != V_MISSING &&
         !slice_bound(r, args->items[1], stop, 1, false, &start)) ||
        (args->items[2].kind != V_MISSING && !slice_bound(r, args->items[2], stop, 1, true, &stop)))
        return NIB_TPL_ERROR;
    for (int64_t i = start; items && i < stop; i++) {
        if (nib_tpl_equal(r, items->items[i], args->items[0]))
            return nib_tpl_int(i);
    }
    return nib_tpl_fail(r, "the value is not in the list");
}

static struct value list_copy(struct render *r, struct value self, const struct args *args)
{
    (void)r;
    (void)args;
    return self; /* lists never change */
}

const struct function nib_tpl_list_methods[] = {
    {"count", list_count, 1, .params = {"-"}},
    {"index", list_index, 1, .params = {"-", "-", "-"}},
    {"copy", list_copy, .n_required = 0},
    {0},
};

const struct function nib_tpl_tuple_methods[] = {
    {"count", list_count, 1, .params = {"-"}},
    {"index", list_index, 1, .params = {"-", "-", "-"}},
    {0},
};

static struct value dict_get(struct render *r, struct value self, const struct args *args)
{
    if (!nib_tpl_hashable(r, args->items[0]))
        return nib_tpl_fail(r, "unhashable type: '%s'", nib_tpl_type_name(args->items[0]));
    const struct value *item = nib_tpl_dict_get(r, self.u.dict, args->items[0]);
    if (item)
        return *item;
    return args->items[1].kind == V_MISSING ? NIB_TPL_NONE : args->items[1];
}

static struct value view_new(struct render *r, struct value self, int what)
{
    struct view *view = nib_tpl_alloc(r, sizeof *view);
    if (!view)
        return NIB_TPL_ERROR;
    view->what = what;
    view->dict = self.u.dict;
    return (struct value){.kind = V_VIEW, .u.view = view};
}

static struct value dict_keys(struct render *r, struct value self, const struct args *args)
{
    (void)args;
    return view_new(r, self, VIEW_KEYS);
}

static struct value dict_values(struct render *r, struct value self, const struct args *args)
{
    (void)args;
    return view_new(r, self, VIEW_VALUES);
}

static struct value dict_items(struct render *r, struct value self, const struct args *args)
{
    (void)args;
    return view_new(r, self, VIEW_ITEMS);
}

const struct function nib_tpl_dict_methods[] = {
    {"get", dict_get, 1, .params = {"-", "-"}}, {"items", dict_items, .n_required = 0},
    {"keys", dict_keys, .n_required = 0},       {"values", dict_values, .n_required = 0},
    {"copy", list_copy, .n_required = 0},       {0},
};

static struct value cycler_next(struct render *r, struct value self, const struct args *args)
{
    (void)r;
    (void)args;
    struct cycler *cycler = self.u.cycler;
    const struct value item = cycler->items->items[cycler->at];
    cycler->at = (cycler->at + 1) % cycler->items->n;
    return item;
}

static struct value cycler_reset(struct render *r, struct value self, const struct args *args)
{
    (void)r;
    (void)args;
    self.u.cycler->at = 0;
    return NIB_TPL_NONE;
}

const struct function nib_tpl_cycler_methods[] = {
    {"next", cycler_next, .n_required = 0},
    {"reset", cycler_reset, .n_required = 0},
    {0},
};
