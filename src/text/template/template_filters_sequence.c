/* Filters on sequences: picking, ordering, grouping, mapping. */
#include "template_ops.h"
#include "template_string.h"
#include "template_text.h"

/* ---- attributes of items -------------------------------------------------------------------- */

/* "a.b.0" of an item, each part by item.a or item[0]; `fallback` where a part is undefined. */
static struct value path_of(struct render *r, struct value item, struct nib_str path,
                            struct value fallback)
{
    const char *p = path.data, *end = path.data + path.len;
    for (;;) {
        const char *dot = memchr(p, '.', (size_t)(end - p));
        const struct nib_str part = {p, (size_t)((dot ? dot : end) - p)};
        bool is_number = part.len > 0;
        for (size_t i = 0; i < part.len; i++)
            is_number &= part.data[i] >= '0' && part.data[i] <= '9';
        struct value key;
        if (!is_number || !nib_tpl_parse_int(r, part, 10, &key))
            key = nib_tpl_string_ref(r, part.data, part.len);
        item = key.kind == V_ERROR ? key : nib_tpl_getitem(r, item, key);
        if (item.kind == V_UNDEFINED && fallback.kind != V_MISSING && fallback.kind != V_NONE)
            item = fallback;
        if (!dot || item.kind == V_ERROR)
            return item;
        p = dot + 1;
    }
}

static struct value attribute_of(struct render *r, struct value item, struct value attribute,
                                 struct value fallback)
{
    if (attribute.kind == V_MISSING || attribute.kind == V_NONE)
        return item;
    if (attribute.kind == V_STRING)
        return path_of(r, item, (struct nib_str){attribute.u.s->data, attribute.u.s->len},
                       fallback);
    item = nib_tpl_getitem(r, item, attribute);
    const bool has_fallback = fallback.kind != V_MISSING && fallback.kind != V_NONE;
    return item.kind == V_UNDEFINED && has_fallback ? fallback : item;
}

static struct value fold_case(struct render *r, struct value v, bool is_sensitive)
{
    if (is_sensitive || v.kind != V_STRING)
        return v;
    return nib_tpl_convert_case(r, v.u.s, CASE_LOWER);
}

/* ---- picking -------------------------------------------------------------------------------- */

static struct value filter_first(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    const struct list *rest = v.kind == V_ITERATOR ? nib_tpl_iterator_items(r, v.u.iterator) : NULL;
    if (rest && v.u.iterator->next < rest->n)
        return rest->items[v.u.iterator->next++];
    const bool has_items =
        v.kind == V_STRING || v.kind == V_LIST || v.kind == V_TUPLE || v.kind == V_RANGE;
    if (has_items && nib_tpl_length(v) > 0)
        return nib_tpl_getitem(r, v, nib_tpl_int(0));
    const struct list *items = nib_tpl_items(r, v);
    if (!items)
        return NIB_TPL_ERROR;
    return items->n ? items->items[0]
                    : nib_tpl_undefined_hint(r, "there is no first item, the sequence is empty");
}

static struct value filter_last(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    if (v.kind == V_ITERATOR)
        return nib_tpl_fail(r, "last: '%s' object is not reversible", nib_tpl_type_name(v));
    const bool has_items =
        v.kind == V_STRING || v.kind == V_LIST || v.kind == V_TUPLE || v.kind == V_RANGE;
    if (has_items && nib_tpl_length(v) > 0)
        return nib_tpl_getitem(r, v, nib_tpl_int(-1));
    const struct list *items = nib_tpl_items(r, v);
    if (!items)
        return NIB_TPL_ERROR;
    return items->n ? items->items[items->n - 1]
                    : nib_tpl_undefined_hint(r, "there is no last item, the sequence is empty");
}

static struct value copy_list(struct render *r, const struct list *items)
{
    struct list *list = items ? nib_tpl_list_new(r, items->n) : NULL;
    for (size_t i = 0; list && i < items->n; i++)
        list->items[list->n++] = items->items[i];
    return nib_tpl_list_value(list);
}

static struct value filter_list(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    return copy_list(r, nib_tpl_items(r, v));
}

static struct value filter_join(struct render *r, struct value v, const struct args *args)
{
    const struct list *items = nib_tpl_items(r, v);
    const size_t mark = r->out.len;
    for (size_t i = 0; items && i < items->n && nib_tpl_charge(r, 1); i++) {
        if (i && args->items[0].kind != V_MISSING)
            nib_tpl_put_str(r, args->items[0]);
        nib_tpl_put_str(r, attribute_of(r, items->items[i], args->items[1], (struct value){0}));
    }
    return nib_tpl_take(r, mark);
}

static struct value filter_reverse(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    if (v.kind == V_STRING)
        return nib_tpl_slice(r, v, NIB_TPL_NONE, NIB_TPL_NONE, nib_tpl_int(-1));
    const struct value copy = copy_list(r, nib_tpl_items(r, v));
    if (copy.kind == V_ERROR)
        return copy;
    struct list *list = copy.u.list;
    for (size_t i = 0; i < list->n / 2; i++) {
        const struct value item = list->items[i];
        list->items[i] = list->items[list->n - 1 - i];
        list->items[list->n - 1 - i] = item;
    }
    return v.kind == V_ITERATOR ? copy : nib_tpl_iterator(r, "list_reverseiterator", list);
}

static struct value compute_items(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    struct view view = {VIEW_ITEMS, v.u.dict};
    if (v.kind == V_UNDEFINED)
        return nib_tpl_list_value(nib_tpl_list_new(r, 0));
    if (v.kind != V_DICT)
        return nib_tpl_fail(r, "can only get item pairs from a mapping, not '%s'",
                            nib_tpl_type_name(v));
    const struct value items = {.kind = V_VIEW, .u.view = &view};
    return nib_tpl_list_value(nib_tpl_items(r, items));
}

static struct value filter_items(struct render *r, struct value v, const struct args *args)
{
    return nib_tpl_generator(r, compute_items, v, args);
}

static struct value compute_unique(struct render *r, struct value v, const struct args *args)
{
    const bool is_sensitive = nib_tpl_truth(args->items[0]);
    const struct list *items = nib_tpl_items(r, v);
    struct dict *seen = nib_tpl_dict_new(r);
    struct list *result = nib_tpl_list_new(r, 0);
    for (size_t i = 0; items && seen && result && i < items->n && !r->failed; i++) {
        const struct value key = fold_case(
            r, attribute_of(r, items->items[i], args->items[1], (struct value){0}), is_sensitive);
        const size_t n = seen->n;
        if (nib_tpl_dict_set(r, seen, key, NIB_TPL_NONE) && seen->n > n)
            nib_tpl_list_add(r, result, items->items[i]);
    }
    return r->failed ? NIB_TPL_ERROR : nib_tpl_list_value(result);
}

static struct value filter_unique(struct render *r, struct value v, const struct args *args)
{
    return nib_tpl_generator(r, compute_unique, v, args);
}

/* ---- ordering ------------------------------------------------------------------------------- */

struct keyed {
    struct value key, item;
};

/* Stable merge sort by key; equal items keep their order in reverse, too. */
static struct keyed *sort(struct render *r, struct keyed *a, size_t n, bool is_reverse)
{
    const enum order want = is_reverse ? ORDER_GREATER : ORDER_LESS;
    struct keyed *b = nib_tpl_alloc_array(r, n + 1, sizeof *b);
    for (size_t width = 1; b && width < n && !r->failed; width *= 2) {
        for (size_t begin = 0; begin < n; begin += 2 * width) {
            const size_t middle = begin + width < n ? begin + width : n;
            const size_t end = begin + 2 * width < n ? begin + 2 * width : n;
            for (size_t i = begin, j = middle, k = begin; k < end; k++) {
                const bool is_right =
                    j < end && (i == middle || nib_tpl_order(r, "<", a[j].key, a[i].key) == want);
                b[k] = is_right ? a[j++] : a[i++];
            }
        }
        struct keyed *swap = a;
        a = b;
        b = swap;
    }
    return r->failed ? NULL : a;
}

static struct value unkeyed(struct render *r, const struct keyed *a, size_t n)
{
    struct list *list = a ? nib_tpl_list_new(r, n) : NULL;
    for (size_t i = 0; list && i < n; i++)
        list->items[list->n++] = a[i].item;
    return nib_tpl_list_value(list);
}

/* The keys of an item for "a,b": a list, so that equal ones need no order. */
static struct value sort_key(struct render *r, struct value item, struct value attribute,
                             bool is_sensitive)
{
    struct list *keys = nib_tpl_list_new(r, 1);
    if (!keys)
        return NIB_TPL_ERROR;
    if (attribute.kind != V_STRING) {
        item = attribute_of(r, item, attribute, (struct value){0});
        nib_tpl_list_add(r, keys, fold_case(r, item, is_sensitive));
        return r->failed ? NIB_TPL_ERROR : nib_tpl_list_value(keys);
    }
    const char *p = attribute.u.s->data, *end = p + attribute.u.s->len;
    for (const char *comma; !r->failed; p = comma + 1) {
        comma = memchr(p, ',', (size_t)(end - p));
        const struct nib_str path = {p, (size_t)((comma ? comma : end) - p)};
        const struct value v = path_of(r, item, path, (struct value){0});
        nib_tpl_list_add(r, keys, fold_case(r, v, is_sensitive));
        if (!comma)
            break;
    }
    return r->failed ? NIB_TPL_ERROR : nib_tpl_list_value(keys);
}

static struct value filter_sort(struct render *r, struct value v, const struct args *args)
{
    const bool is_sensitive = nib_tpl_truth(args->items[1]);
    const struct list *items = nib_tpl_items(r, v);
    struct keyed *keyed = items ? nib_tpl_alloc_array(r, items->n + 1, sizeof *keyed) : NULL;
    if (!keyed)
        return NIB_TPL_ERROR;
    for (size_t i = 0; i < items->n && !r->failed; i++)
        keyed[i] = (struct keyed){sort_key(r, items->items[i], args->items[2], is_sensitive),
                                  items->items[i]};
    return unkeyed(r, sort(r, keyed, items->n, nib_tpl_truth(args->items[0])), items->n);
}

static struct value filter_dictsort(struct render *r, struct value v, const struct args *args)
{
    const struct value by = args->items[1];
    struct nib_str name = NIB_STR("key");
    if (v.kind == V_UNDEFINED)
        return nib_tpl_undefined_error(r, v);
    if (v.kind != V_DICT)
        return nib_tpl_fail(r, "dictsort: expected a mapping, not '%s'", nib_tpl_type_name(v));
    if (by.kind == V_STRING)
        name = (struct nib_str){by.u.s->data, by.u.s->len};
    const bool by_value = nib_str_equal(name, NIB_STR("value"));
    if (!by_value && !nib_str_equal(name, NIB_STR("key")))
        return nib_tpl_fail(r, "dictsort: the order is by 'key' or by 'value'");
    const struct dict *dict = v.u.dict;
    struct keyed *keyed = nib_tpl_alloc_array(r, dict->n + 1, sizeof *keyed);
    for (size_t i = 0; keyed && i < dict->n && !r->failed; i++) {
        const struct dict_entry *e = &dict->entries[i];
        const struct value key = by_value ? e->value : e->key;
        keyed[i] = (struct keyed){fold_case(r, key, nib_tpl_truth(args->items[0])),
                                  nib_tpl_pair(r, e->key, e->value)};
    }
    if (!keyed || r->failed)
        return NIB_TPL_ERROR;
    return unkeyed(r, sort(r, keyed, dict->n, nib_tpl_truth(args->items[2])), dict->n);
}

static struct value extreme(struct render *r, struct value v, const struct args *args,
                            enum order want)
{
    const bool is_sensitive = nib_tpl_truth(args->items[0]);
    const struct list *items = nib_tpl_items(r, v);
    if (!items)
        return NIB_TPL_ERROR;
    if (items->n == 0)
        return nib_tpl_undefined_hint(r,
                                      "there is no least or greatest item, the sequence is empty");
    struct keyed best = {{0}, items->items[0]};
    for (size_t i = 0; i < items->n && !r->failed; i++) {
        const struct value key = fold_case(
            r, attribute_of(r, items->items[i], args->items[1], (struct value){0}), is_sensitive);
        if (key.kind == V_ERROR)
            return key;
        if (i == 0 || nib_tpl_order(r, want == ORDER_LESS ? "<" : ">", key, best.key) == want)
            best = (struct keyed){key, items->items[i]};
    }
    return r->failed ? NIB_TPL_ERROR : best.item;
}

static struct value filter_min(struct render *r, struct value v, const struct args *args)
{
    return extreme(r, v, args, ORDER_LESS);
}

static struct value filter_max(struct render *r, struct value v, const struct args *args)
{
    return extreme(r, v, args, ORDER_GREATER);
}

static struct value filter_sum(struct render *r, struct value v, const struct args *args)
{
    struct value sum = args->items[1].kind == V_MISSING ? nib_tpl_int(0) : args->items[1];
    const struct list *items = nib_tpl_items(r, v);
    if (sum.kind == V_STRING)
        return nib_tpl_fail(r, "sum: strings cannot be summed, use join");
    for (size_t i = 0; items && i < items->n && sum.kind != V_ERROR; i++) {
        const struct value item =
            attribute_of(r, items->items[i], args->items[0], (struct value){0});
        sum = nib_tpl_binary(r, OP_ADD, sum, item);
    }
    return items ? sum : NIB_TPL_ERROR;
}

/* ---- grouping ------------------------------------------------------------------------------- */

static struct value group_new(struct render *r, const struct args *args, const struct keyed *a,
                              size_t n)
{
    const struct value items = unkeyed(r, a, n);
    const bool is_sensitive = nib_tpl_truth(args->items[2]);
    const struct value key =
        is_sensitive ? a[0].key : attribute_of(r, a[0].item, args->items[0], args->items[1]);
    struct value group =
        items.kind == V_ERROR || key.kind == V_ERROR ? NIB_TPL_ERROR : nib_tpl_pair(r, key, items);
    group.group = true;
    return group;
}

static struct value filter_groupby(struct render *r, struct value v, const struct args *args)
{
    const bool is_sensitive = nib_tpl_truth(args->items[2]);
    const struct list *items = nib_tpl_items(r, v);
    struct keyed *keyed = items ? nib_tpl_alloc_array(r, items->n + 1, sizeof *keyed) : NULL;
    if (!keyed)
        return NIB_TPL_ERROR;
    for (size_t i = 0; i < items->n && !r->failed; i++) {
        const struct value key = attribute_of(r, items->items[i], args->items[0], args->items[1]);
        keyed[i] = (struct keyed){fold_case(r, key, is_sensitive), items->items[i]};
    }
    keyed = r->failed ? NULL : sort(r, keyed, items->n, false);
    struct list *groups = keyed ? nib_tpl_list_new(r, 0) : NULL;
    for (size_t begin = 0, end; groups && begin < items->n && !r->failed; begin = end) {
        for (end = begin + 1; end < items->n; end++) {
            if (!nib_tpl_equal(r, keyed[begin].key, keyed[end].key))
                break;
        }
        nib_tpl_list_add(r, groups, group_new(r, args, keyed + begin, end - begin));
    }
    return r->failed ? NIB_TPL_ERROR : nib_tpl_list_value(groups);
}

static struct value compute_batch(struct render *r, struct value v, const struct args *args)
{
    int64_t size;
    const struct list *items = nib_tpl_items(r, v);
    struct list *batches = nib_tpl_list_new(r, 0), *batch = NULL;
    const struct value fill = args->items[1];
    if (!items || !batches || !nib_tpl_to_int(r, args->items[0], "linecount", &size))
        return NIB_TPL_ERROR;
    for (size_t i = 0; i < items->n && !r->failed; i++) {
        if (!batch || (int64_t)batch->n == size) {
            batch = nib_tpl_list_new(r, 0);
            nib_tpl_list_add(r, batches, nib_tpl_list_value(batch));
        }
        if (batch)
            nib_tpl_list_add(r, batch, items->items[i]);
    }
    const bool has_fill = fill.kind != V_MISSING && fill.kind != V_NONE;
    while (batch && has_fill && (int64_t)batch->n < size && !r->failed)
        nib_tpl_list_add(r, batch, fill);
    return r->failed ? NIB_TPL_ERROR : nib_tpl_list_value(batches);
}

static struct value filter_batch(struct render *r, struct value v, const struct args *args)
{
    return nib_tpl_generator(r, compute_batch, v, args);
}

static struct value compute_slice(struct render *r, struct value v, const struct args *args)
{
    int64_t count;
    const struct list *items = nib_tpl_items(r, v);
    struct list *slices = nib_tpl_list_new(r, 0);
    const struct value fill = args->items[1];
    const bool has_fill = fill.kind != V_MISSING && fill.kind != V_NONE;
    if (!items || !slices || !nib_tpl_to_int(r, args->items[0], "slices", &count))
        return NIB_TPL_ERROR;
    if (count == 0)
        return nib_tpl_fail(r, "slice: division by zero");
    size_t at = 0;
    for (int64_t i = 0; i < count && !r->failed; i++) {
        const bool is_longer = (uint64_t)i < items->n % (uint64_t)count;
        const size_t n = items->n / (uint64_t)count + is_longer;
        struct list *slice = nib_tpl_list_new(r, n + 1);
        for (size_t k = 0; slice && k < n; k++)
            nib_tpl_list_add(r, slice, items->items[at++]);
        if (slice && has_fill && !is_longer)
            nib_tpl_list_add(r, slice, fill);
        nib_tpl_list_add(r, slices, nib_tpl_list_value(slice));
    }
    return r->failed ? NIB_TPL_ERROR : nib_tpl_list_value(slices);
}

static struct value filter_slice(struct render *r, struct value v, const struct args *args)
{
    return nib_tpl_generator(r, compute_slice, v, args);
}

/* ---- mapping -------------------------------------------------------------------------------- */

static const struct function *named(struct render *r, struct value name, const char *what,
                                    const struct function *(*find)(struct nib_str name))
{
    const struct function *f = NULL;
    if (name.kind != V_STRING)
        nib_tpl_fail(r, "the name of a %s must be a string, not '%s'", what,
                     nib_tpl_type_name(name));
    else if (!(f = find((struct nib_str){name.u.s->data, name.u.s->len})))
        nib_tpl_fail(r, "there is no %s '%.*s'", what,
                     (int)(name.u.s->len > 60 ? 60 : name.u.s->len), name.u.s->data);
    return f;
}

/* map(attribute=..., default=...) */
static struct value map_attribute(struct render *r, const struct list *items,
                                  const struct args *args)
{
    struct value attribute = {0}, fallback = {0};
    for (size_t i = 0; i < args->n_keywords; i++) {
        const struct string *name = args->keywords[i].name;
        const struct nib_str s = {name->data, name->len};
        if (nib_str_equal(s, NIB_STR("attribute")))
            attribute = args->keywords[i].value;
        else if (nib_str_equal(s, NIB_STR("default")))
            fallback = args->keywords[i].value;
        else
            return nib_tpl_fail(r, "map: unexpected keyword argument '%.*s'",
                                (int)(name->len > 60 ? 60 : name->len), name->data);
    }
    if (attribute.kind == V_MISSING)
        return nib_tpl_fail(r, "map needs the name of a filter, or attribute=");
    struct list *result = nib_tpl_list_new(r, items->n);
    for (size_t i = 0; result && i < items->n && nib_tpl_charge(r, 1); i++)
        nib_tpl_list_add(r, result, attribute_of(r, items->items[i], attribute, fallback));
    return r->failed ? NIB_TPL_ERROR : nib_tpl_list_value(result);
}

static struct value compute_map(struct render *r, struct value v, const struct args *args)
{
    if (!nib_tpl_truth(v))
        return nib_tpl_list_value(nib_tpl_list_new(r, 0));
    const struct list *items = nib_tpl_items(r, v);
    if (!items)
        return NIB_TPL_ERROR;
    if (args->n == 0)
        return map_attribute(r, items, args);
    const struct function *f = named(r, args->items[0], "filter", nib_tpl_find_filter);
    const struct args rest = {args->items + 1, args->n - 1, args->keywords, args->n_keywords};
    struct list *result = f ? nib_tpl_list_new(r, items->n) : NULL;
    for (size_t i = 0; result && i < items->n && nib_tpl_charge(r, 1); i++)
        nib_tpl_list_add(r, result, nib_tpl_apply(r, f, items->items[i], &rest));
    return r->failed ? NIB_TPL_ERROR : nib_tpl_list_value(result);
}

static struct value filter_map(struct render *r, struct value v, const struct args *args)
{
    return nib_tpl_generator(r, compute_map, v, args);
}

/* select, reject and, by_attribute, selectattr and rejectattr */
static struct value choose(struct render *r, struct value v, const struct args *args,
                           bool by_attribute, bool want)
{
    if (!nib_tpl_truth(v))
        return nib_tpl_list_value(nib_tpl_list_new(r, 0));
    if (by_attribute && args->n == 0)
        return nib_tpl_fail(r, "selectattr and rejectattr need the name of an attribute");
    const size_t first = by_attribute ? 1 : 0;
    const struct function *test = NULL;
    if (args->n > first && !(test = named(r, args->items[first], "test", nib_tpl_find_test)))
        return NIB_TPL_ERROR;
    struct args rest = {0};
    if (test)
        rest = (struct args){args->items + first + 1, args->n - first - 1, args->keywords,
                             args->n_keywords};
    const struct list *items = nib_tpl_items(r, v);
    struct list *result = items ? nib_tpl_list_new(r, 0) : NULL;
    for (size_t i = 0; result && i < items->n && nib_tpl_charge(r, 1); i++) {
        struct value asked = items->items[i];
        if (by_attribute)
            asked = attribute_of(r, asked, args->items[0], (struct value){0});
        if (test)
            asked = nib_tpl_apply(r, test, asked, &rest);
        if (asked.kind != V_ERROR && nib_tpl_truth(asked) == want)
            nib_tpl_list_add(r, result, items->items[i]);
    }
    return r->failed ? NIB_TPL_ERROR : nib_tpl_list_value(result);
}

static struct value compute_select(struct render *r, struct value v, const struct args *args)
{
    return choose(r, v, args, false, true);
}

static struct value filter_select(struct render *r, struct value v, const struct args *args)
{
    return nib_tpl_generator(r, compute_select, v, args);
}

static struct value compute_reject(struct render *r, struct value v, const struct args *args)
{
    return choose(r, v, args, false, false);
}

static struct value filter_reject(struct render *r, struct value v, const struct args *args)
{
    return nib_tpl_generator(r, compute_reject, v, args);
}

static struct value compute_selectattr(struct render *r, struct value v, const struct args *args)
{
    return choose(r, v, args, true, true);
}

static struct value filter_selectattr(struct render *r, struct value v, const struct args *args)
{
    return nib_tpl_generator(r, compute_selectattr, v, args);
}

static struct value compute_rejectattr(struct render *r, struct value v, const struct args *args)
{
    return choose(r, v, args, true, false);
}

static struct value filter_rejectattr(struct render *r, struct value v, const struct args *args)
{
    return nib_tpl_generator(r, compute_rejectattr, v, args);
}

const struct function nib_tpl_sequence_filters[] = {
    {"first", filter_first, .n_required = 0},
    {"last", filter_last, .n_required = 0},
    {"list", filter_list, .n_required = 0},
    {"join", filter_join, .params = {"d", "attribute"}},
    {"reverse", filter_reverse, .n_required = 0},
    {"items", filter_items, .n_required = 0},
    {"unique", filter_unique, .params = {"case_sensitive", "attribute"}},
    {"sort", filter_sort, .params = {"reverse", "case_sensitive", "attribute"}},
    {"dictsort", filter_dictsort, .params = {"case_sensitive", "by", "reverse"}},
    {"min", filter_min, .params = {"case_sensitive", "attribute"}},
    {"max", filter_max, .params = {"case_sensitive", "attribute"}},
    {"sum", filter_sum, .params = {"attribute", "start"}},
    {"groupby", filter_groupby, 1, .params = {"attribute", "default", "case_sensitive"}},
    {"batch", filter_batch, 1, .params = {"linecount", "fill_with"}},
    {"slice", filter_slice, 1, .params = {"slices", "fill_with"}},
    {"map", filter_map, .is_variadic = true},
    {"select", filter_select, .is_variadic = true},
    {"reject", filter_reject, .is_variadic = true},
    {"selectattr", filter_selectattr, .is_variadic = true},
    {"rejectattr", filter_rejectattr, .is_variadic = true},
    {0},
};
