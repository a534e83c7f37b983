/* Functions that every template has: range, dict, namespace, cycler, joiner, and those that
 * transformers adds, raise_exception and strftime_now. */
#include "template_ops.h"

static struct value global_range(struct render *r, struct value self, const struct args *args)
{
    (void)self;
    int64_t number[3] = {0, 0, 1};
    size_t n_args = 0;
    for (; n_args < 3 && args->items[n_args].kind != V_MISSING; n_args++) {
        if (!nib_tpl_to_int(r, args->items[n_args], "an argument of range()", &number[n_args]))
            return NIB_TPL_ERROR;
    }
    if (n_args == 1) {
        number[1] = number[0];
        number[0] = 0;
    }
    const int64_t start = number[0], stop = number[1], step = number[2];
    if (step == 0)
        return nib_tpl_fail(r, "range() needs a step that is not zero");
    uint64_t n = 0;
    if (step > 0 && start < stop)
        n = ((uint64_t)stop - (uint64_t)start - 1) / (uint64_t)step + 1;
    if (step < 0 && start > stop)
        n = ((uint64_t)start - (uint64_t)stop - 1) / (0 - (uint64_t)step) + 1;
    if (n > NIB_TPL_MAX_RANGE)
        return nib_tpl_fail(r, "range() has %llu items, at most %d are allowed",
                            (unsigned long long)n, NIB_TPL_MAX_RANGE);
    struct range *range = nib_tpl_alloc(r, sizeof *range);
    if (!range)
        return NIB_TPL_ERROR;
    *range = (struct range){start, stop, step, (size_t)n};
    return (struct value){.kind = V_RANGE, .u.range = range};
}

/* dict(mapping or pairs, name=value, ...) */
static struct dict *make_dict(struct render *r, const struct args *args)
{
    struct dict *dict = nib_tpl_dict_new(r);
    if (args->n > 1)
        nib_tpl_fail(r, "dict() takes at most one argument without a name");
    if (args->n == 1 && args->items[0].kind == V_DICT) {
        const struct dict *other = args->items[0].u.dict;
        for (size_t i = 0; i < other->n; i++)
            nib_tpl_dict_set(r, dict, other->entries[i].key, other->entries[i].value);
    } else if (args->n == 1) {
        const struct list *pairs = nib_tpl_items(r, args->items[0]);
        for (size_t i = 0; pairs && i < pairs->n && !r->failed; i++) {
            const struct list *pair = nib_tpl_items(r, pairs->items[i]);
            if (pair && pair->n != 2)
                nib_tpl_fail(r, "dict() expects pairs, item %zu has %zu values", i, pair->n);
            if (!r->failed)
                nib_tpl_dict_set(r, dict, pair->items[0], pair->items[1]);
        }
    }
    for (size_t i = 0; i < args->n_keywords; i++)
        nib_tpl_dict_set(r, dict, nib_tpl_string_value(args->keywords[i].name),
                         args->keywords[i].value);
    return r->failed ? NULL : dict;
}

static struct value global_dict(struct render *r, struct value self, const struct args *args)
{
    (void)self;
    return nib_tpl_dict_value(make_dict(r, args));
}

static struct value global_namespace(struct render *r, struct value self, const struct args *args)
{
    (void)self;
    struct dict *dict = make_dict(r, args);
    return dict ? (struct value){.kind = V_NAMESPACE, .u.dict = dict} : NIB_TPL_ERROR;
}

static struct value global_cycler(struct render *r, struct value self, const struct args *args)
{
    (void)self;
    if (args->n == 0 || args->n_keywords)
        return nib_tpl_fail(r, "cycler() needs items");
    struct cycler *cycler = nib_tpl_alloc(r, sizeof *cycler);
    struct list *items = nib_tpl_list_new(r, args->n);
    for (size_t i = 0; items && i < args->n; i++)
        nib_tpl_list_add(r, items, args->items[i]);
    if (!cycler || r->failed)
        return NIB_TPL_ERROR;
    cycler->items = items;
    return (struct value){.kind = V_CYCLER, .u.cycler = cycler};
}

static struct value global_joiner(struct render *r, struct value self, const struct args *args)
{
    (void)self;
    struct joiner *joiner = nib_tpl_alloc(r, sizeof *joiner);
    if (!joiner)
        return NIB_TPL_ERROR;
    joiner->separator =
        args->items[0].kind == V_MISSING ? nib_tpl_string_c(r, ", ") : args->items[0];
    return (struct value){.kind = V_JOINER, .u.joiner = joiner};
}

static struct value global_raise(struct render *r, struct value self, const struct args *args)
{
    (void)self;
    const struct value text = nib_tpl_str(r, args->items[0]);
    if (text.kind == V_ERROR)
        return text;
    return nib_tpl_fail(r, "%.*s", (int)(text.u.s->len > 480 ? 480 : text.u.s->len),
                        text.u.s->data);
}

static struct value global_strftime(struct render *r, struct value self, const struct args *args)
{
    (void)self;
    if (args->items[0].kind != V_STRING)
        return nib_tpl_fail(r, "strftime_now() needs a format");
    const struct string *format = args->items[0].u.s;
    const size_t mark = r->out.len;
    nib_tpl_put_time(r, (struct nib_str){format->data, format->len}, r->now);
    return nib_tpl_take(r, mark);
}

static const struct function globals[] = {
    {"range", global_range, 1, .params = {"-", "-", "-"}},
    {"dict", global_dict, .is_variadic = true},
    {"namespace", global_namespace, .is_variadic = true},
    {"cycler", global_cycler, .is_variadic = true},
    {"joiner", global_joiner, .params = {"sep"}},
    {"raise_exception", global_raise, 1, .params = {"message"}},
    {"strftime_now", global_strftime, 1, .params = {"format"}},
    {0},
};

const struct function *nib_tpl_find_global(struct nib_str name)
{
    return nib_tpl_find_function(globals, name);
}
