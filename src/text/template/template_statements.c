/* Statements: text and output, conditions, loops, assignments, macros. */
#include "template.h"
#include "template_eval.h"
#include "template_parser.h"

/* What comes after a statement. */
enum flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE, FLOW_ERROR };

struct macro {
    const struct node *node; /* S_MACRO or S_CALL */
    struct scope *scope;     /* where it was defined */
};

struct loop {
    struct render *r;
    const struct node *node;             /* S_FOR */
    struct scope *scope;                 /* around the loop */
    const struct list *source;           /* or */
    const struct range *range;           /* which is never written out */
    size_t at;                           /* the next item of source or range */
    bool is_filtered;                    /* node->b still has to be asked about source */
    struct value before, current, after; /* after: V_MISSING unless it was looked at already */
    int64_t index0, depth0;
    struct value changed; /* arguments of the last loop.changed(), or V_MISSING */
};

static enum flow exec(struct render *r, struct scope *scope, const struct node *body);

/* ---- loops ---------------------------------------------------------------------------------- */

static size_t source_length(const struct loop *loop)
{
    return loop->range ? loop->range->n : loop->source->n;
}

static struct value source_item(const struct loop *loop, size_t i)
{
    if (loop->range)
        return nib_tpl_int(loop->range->start + (int64_t)i * loop->range->step);
    return loop->source->items[i];
}

/* The next item that passes the loop's "if", or V_MISSING at the end. */
static struct value fetch(struct loop *loop)
{
    struct render *r = loop->r;
    if (loop->after.kind != V_MISSING) {
        const struct value item = loop->after;
        loop->after.kind = V_MISSING;
        return item;
    }
    while (loop->at < source_length(loop) && nib_tpl_charge(r, 1)) {
        const struct value item = source_item(loop, loop->at++);
        if (!loop->is_filtered)
            return item;
        struct scope *scope = nib_tpl_scope_new(r, loop->scope, NULL);
        if (!scope || !nib_tpl_assign_target(r, scope, loop->node->target, item))
            break;
        const struct value test = nib_tpl_eval(r, scope, loop->node->b);
        if (test.kind != V_ERROR && nib_tpl_truth(test))
            return item;
    }
    return r->failed ? NIB_TPL_ERROR : (struct value){0};
}

static struct value peek(struct loop *loop)
{
    if (loop->after.kind == V_MISSING)
        loop->after = fetch(loop);
    return loop->after;
}

int64_t nib_tpl_loop_length(struct loop *loop)
{
    if (loop->is_filtered) {
        struct list *rest = nib_tpl_list_new(loop->r, 0);
        const struct value after = loop->after;
        loop->after.kind = V_MISSING;
        while (rest) {
            const struct value item = fetch(loop);
            if (item.kind == V_MISSING || !nib_tpl_list_add(loop->r, rest, item))
                break;
        }
        if (loop->r->failed)
            return -1;
        loop->after = after;
        loop->source = rest;
        loop->range = NULL;
        loop->at = 0;
        loop->is_filtered = false;
    }
    return loop->index0 + 1 + (int64_t)(source_length(loop) - loop->at) +
           (loop->after.kind != V_MISSING);
}

struct value nib_tpl_loop_attribute(struct render *r, struct loop *loop, struct nib_str name)
{
    if (nib_str_equal(name, NIB_STR("index")))
        return nib_tpl_int(loop->index0 + 1);
    if (nib_str_equal(name, NIB_STR("index0")))
        return nib_tpl_int(loop->index0);
    if (nib_str_equal(name, NIB_STR("first")))
        return nib_tpl_bool(loop->index0 == 0);
    if (nib_str_equal(name, NIB_STR("depth")))
        return nib_tpl_int(loop->depth0 + 1);
    if (nib_str_equal(name, NIB_STR("depth0")))
        return nib_tpl_int(loop->depth0);
    if (nib_str_equal(name, NIB_STR("previtem")))
        return loop->index0 == 0 ? nib_tpl_undefined_hint(r, "there is no previous item")
                                 : loop->before;
    const bool is_next = nib_str_equal(name, NIB_STR("nextitem"));
    if (is_next || nib_str_equal(name, NIB_STR("last"))) {
        const struct value next = peek(loop);
        if (next.kind == V_ERROR)
            return next;
        if (!is_next)
            return nib_tpl_bool(next.kind == V_MISSING);
        return next.kind == V_MISSING ? nib_tpl_undefined_hint(r, "there is no next item") : next;
    }
    const bool is_rev = nib_str_equal(name, NIB_STR("revindex"));
    const bool is_rev0 = nib_str_equal(name, NIB_STR("revindex0"));
    if (!is_rev && !is_rev0 && !nib_str_equal(name, NIB_STR("length")))
        return (struct value){0};
    const int64_t length = nib_tpl_loop_length(loop);
    if (length < 0)
        return NIB_TPL_ERROR;
    return nib_tpl_int(is_rev    ? length - loop->index0
                       : is_rev0 ? length - loop->index0 - 1
                                 : length);
}

static struct value loop_cycle(struct render *r, struct value self, const struct args *args)
{
    if (args->n == 0 || args->n_keywords)
        return nib_tpl_fail(r, "loop.cycle() needs items");
    return args->items[(size_t)self.u.loop->index0 % args->n];
}

static struct value loop_changed(struct render *r, struct value self, const struct args *args)
{
    struct loop *loop = self.u.loop;
    struct list *now = nib_tpl_list_new(r, args->n);
    for (size_t i = 0; now && i < args->n; i++)
        nib_tpl_list_add(r, now, args->items[i]);
    const struct value tuple = nib_tpl_tuple_value(now);
    if (tuple.kind == V_ERROR)
        return tuple;
    if (loop->changed.kind == V_TUPLE && nib_tpl_equal(r, loop->changed, tuple))
        return nib_tpl_bool(false);
    loop->changed = tuple;
    return nib_tpl_bool(true);
}

const struct function nib_tpl_loop_methods[] = {
    {"cycle", loop_cycle, .is_variadic = true},
    {"changed", loop_changed, .is_variadic = true},
    {0},
};

/* The names of an iteration live in a scope of their own; it is used again unless a macro has kept
 * it. */
static enum flow run_loop(struct render *r, struct loop *loop)
{
    struct scope *scope = NULL;
    for (;;) {
        const struct value item = fetch(loop);
        if (item.kind == V_ERROR)
            return FLOW_ERROR;
        if (item.kind == V_MISSING)
            break;
        loop->index0++;
        loop->before = loop->current;
        loop->current = item;
        if (!scope || scope->is_captured)
            scope = nib_tpl_scope_new(r, loop->scope, NULL);
        if (!scope || !nib_tpl_scope_reset(r, scope, loop->node->unset))
            return FLOW_ERROR;
        const struct value self = {.kind = V_LOOP, .u.loop = loop};
        if (!nib_tpl_assign(r, scope, &nib_tpl_name_loop, self) ||
            !nib_tpl_assign_target(r, scope, loop->node->target, item))
            return FLOW_ERROR;
        const enum flow flow = exec(r, scope, loop->node->list);
        if (flow == FLOW_ERROR)
            return flow;
        if (flow == FLOW_BREAK)
            break;
    }
    if (loop->index0 >= 0 || !loop->node->otherwise)
        return FLOW_NEXT;
    scope = nib_tpl_scope_new(r, loop->scope, loop->node->unset_otherwise);
    return scope ? exec(r, scope, loop->node->otherwise) : FLOW_ERROR;
}

static enum flow exec_for(struct render *r, struct scope *scope, const struct node *node,
                          struct value iterable, int64_t depth0)
{
    const bool is_range = iterable.kind == V_RANGE;
    const struct list *source =
        iterable.kind == V_ERROR || is_range ? NULL : nib_tpl_items(r, iterable);
    struct loop *loop = source || is_range ? nib_tpl_alloc(r, sizeof *loop) : NULL;
    if (!loop)
        return FLOW_ERROR;
    *loop = (struct loop){
        .r = r,
        .node = node,
        .scope = scope,
        .source = source,
        .range = is_range ? iterable.u.range : NULL,
        .is_filtered = node->b != NULL,
        .index0 = -1,
        .depth0 = depth0,
    };
    return run_loop(r, loop);
}

static bool enter_call(struct render *r)
{
    if (r->n_calls >= NIB_TEMPLATE_MAX_DEPTH) {
        nib_tpl_fail(r, "macros or recursive loops call each other more than %d levels deep",
                     NIB_TEMPLATE_MAX_DEPTH);
        return false;
    }
    if (!nib_tpl_enter(r))
        return false;
    r->n_calls++;
    return true;
}

static void leave_call(struct render *r)
{
    r->n_calls--;
    nib_tpl_leave(r);
}

struct value nib_tpl_loop_call(struct render *r, struct loop *loop, struct value iterable)
{
    if (!loop->node->op)
        return nib_tpl_fail(r, "the loop must be marked 'recursive' to be called");
    if (!enter_call(r))
        return NIB_TPL_ERROR;
    const size_t mark = r->out.len;
    const enum flow flow = exec_for(r, loop->scope, loop->node, iterable, loop->depth0 + 1);
    leave_call(r);
    return flow == FLOW_ERROR ? NIB_TPL_ERROR : nib_tpl_take(r, mark);
}

/* ---- macros --------------------------------------------------------------------------------- */

const struct string *nib_tpl_macro_name(const struct macro *macro)
{
    return macro->node->name;
}

static struct value macro_new(struct render *r, struct scope *scope, const struct node *node)
{
    struct macro *macro = nib_tpl_alloc(r, sizeof *macro);
    if (!macro)
        return NIB_TPL_ERROR;
    *macro = (struct macro){node, scope};
    for (; scope; scope = scope->parent)
        scope->is_captured = true;
    return (struct value){.kind = V_MACRO, .u.macro = macro};
}

/* Take the keyword out of those left; V_MISSING if it is not there. */
static struct value take_keyword(struct args *args, const struct string *name)
{
    for (size_t i = 0; i < args->n_keywords; i++) {
        const struct keyword k = args->keywords[i];
        if (k.name->len == name->len && memcmp(k.name->data, name->data, name->len) == 0) {
            for (size_t j = i + 1; j < args->n_keywords; j++)
                args->keywords[j - 1] = args->keywords[j];
            args->n_keywords--;
            return k.value;
        }
    }
    return (struct value){0};
}

/* What the parameters did not take goes to kwargs and varargs, if the body looks at them. */
static bool bind_rest(struct render *r, struct scope *scope, const struct node *node,
                      struct args *args, size_t n_params)
{
    if (node->op & USES_KWARGS) {
        struct dict *kwargs = nib_tpl_dict_new(r);
        for (size_t i = 0; kwargs && i < args->n_keywords; i++)
            nib_tpl_dict_set(r, kwargs, nib_tpl_string_value(args->keywords[i].name),
                             args->keywords[i].value);
        nib_tpl_assign(r, scope, &nib_tpl_name_kwargs, nib_tpl_dict_value(kwargs));
    } else if (args->n_keywords) {
        const struct string *name = args->keywords[0].name;
        nib_tpl_fail(r, "the macro takes no keyword argument '%.*s'",
                     (int)(name->len > 60 ? 60 : name->len), name->data);
    }
    if (node->op & USES_VARARGS) {
        struct list *varargs = nib_tpl_list_new(r, 0);
        for (size_t i = n_params; varargs && i < args->n; i++)
            nib_tpl_list_add(r, varargs, args->items[i]);
        nib_tpl_assign(r, scope, &nib_tpl_name_varargs, nib_tpl_tuple_value(varargs));
    } else if (args->n > n_params) {
        nib_tpl_fail(r, "the macro takes not more than %zu arguments, %zu were given", n_params,
                     args->n);
    }
    return !r->failed;
}

static bool bind_defaults(struct render *r, struct scope *scope, const struct node *param,
                          const bool *is_given)
{
    size_t n = 0;
    for (const struct node *p = param; p; p = p->next) {
        if (!is_given[n++])
            nib_tpl_assign(r, scope, p->name, (struct value){.kind = V_MISSING});
    }
    for (size_t i = 0; param && !r->failed; param = param->next, i++) {
        if (is_given[i])
            continue;
        const struct value value =
            param->a ? nib_tpl_eval(r, scope, param->a)
                     : nib_tpl_undefined(r, (struct value){0}, nib_tpl_string_value(param->name));
        nib_tpl_assign(r, scope, param->name, value);
    }
    return !r->failed;
}

/* Parameters by position, then by keyword, then their defaults, which may use those before. */
static bool bind(struct render *r, struct scope *scope, const struct node *node, struct args *args)
{
    size_t n_params = 0;
    bool has_caller = false;
    for (const struct node *param = node->target; param; param = param->next)
        n_params++;
    bool *is_given = nib_tpl_alloc(r, n_params + 1);
    if (!is_given)
        return false;
    size_t i = 0;
    for (const struct node *param = node->target; param; param = param->next, i++) {
        const struct value value = i < args->n ? args->items[i] : take_keyword(args, param->name);
        is_given[i] = value.kind != V_MISSING;
        has_caller |= param->name == &nib_tpl_name_caller;
        if (is_given[i] && !nib_tpl_assign(r, scope, param->name, value))
            return false;
    }
    if ((node->op & USES_CALLER) && !has_caller) {
        struct value caller = take_keyword(args, &nib_tpl_name_caller);
        if (caller.kind == V_MISSING || caller.kind == V_NONE)
            caller = nib_tpl_undefined_hint(r, "no caller is defined: use {% call %}");
        nib_tpl_assign(r, scope, &nib_tpl_name_caller, caller);
    }
    return bind_rest(r, scope, node, args, n_params) &&
           bind_defaults(r, scope, node->target, is_given);
}

struct value nib_tpl_macro_call(struct render *r, struct macro *macro, const struct args *args)
{
    const unsigned line = r->line;
    struct args left = *args;
    if (!enter_call(r))
        return NIB_TPL_ERROR;
    const size_t mark = r->out.len;
    struct scope *scope = nib_tpl_scope_new(r, macro->scope, macro->node->unset);
    const bool is_ok = scope && bind(r, scope, macro->node, &left) &&
                       exec(r, scope, macro->node->list) != FLOW_ERROR;
    leave_call(r);
    if (!is_ok)
        return NIB_TPL_ERROR;
    r->line = line;
    return nib_tpl_take(r, mark);
}

static bool exec_call(struct render *r, struct scope *scope, const struct node *node)
{
    const struct value callee = nib_tpl_eval(r, scope, node->a->a);
    struct args args;
    if (callee.kind == V_ERROR || !nib_tpl_eval_args(r, scope, node->a->list, &args))
        return false;
    struct keyword *keywords = nib_tpl_alloc_array(r, args.n_keywords + 1, sizeof *keywords);
    const struct value caller = macro_new(r, scope, node);
    if (!keywords || caller.kind == V_ERROR)
        return false;
    if (args.n_keywords)
        memcpy(keywords, args.keywords, args.n_keywords * sizeof *keywords);
    keywords[args.n_keywords++] = (struct keyword){&nib_tpl_name_caller, caller};
    args.keywords = keywords;
    r->line = node->line;
    nib_tpl_put_str(r, nib_tpl_call(r, callee, &args));
    return !r->failed;
}

/* ---- the rest ------------------------------------------------------------------------------- */

static enum flow exec_scope(struct render *r, struct scope *parent, const struct node *node)
{
    struct scope *scope = nib_tpl_scope_new(r, parent, node->unset);
    return scope ? exec(r, scope, node->list) : FLOW_ERROR;
}

/* The body's text through the block's filters, in *out. */
static enum flow exec_captured(struct render *r, struct scope *scope, const struct node *node,
                               struct value *out)
{
    const size_t mark = r->out.len;
    const enum flow flow = exec_scope(r, scope, node);
    if (flow != FLOW_NEXT) {
        r->out.len = mark; /* a jump out of the block drops its text */
        return flow;
    }
    *out = nib_tpl_take(r, mark);
    if (node->a) {
        r->block_value = *out;
        *out = nib_tpl_eval(r, scope, node->a);
    }
    return out->kind == V_ERROR ? FLOW_ERROR : FLOW_NEXT;
}

static enum flow exec_block(struct render *r, struct scope *scope, const struct node *node)
{
    struct value text;
    const enum flow flow = exec_captured(r, scope, node, &text);
    if (flow != FLOW_NEXT)
        return flow;
    if (node->kind == S_FILTER)
        nib_tpl_put_str(r, text);
    else
        nib_tpl_assign_target(r, scope, node->target, text);
    return r->failed ? FLOW_ERROR : FLOW_NEXT;
}

static enum flow exec_if(struct render *r, struct scope *scope, const struct node *node)
{
    for (const struct node *branch = node->list; branch; branch = branch->next) {
        const struct value test = nib_tpl_eval(r, scope, branch->a);
        if (test.kind == V_ERROR)
            return FLOW_ERROR;
        if (nib_tpl_truth(test))
            return exec(r, scope, branch->list);
    }
    return exec(r, scope, node->otherwise);
}

static enum flow exec_with(struct render *r, struct scope *outer, const struct node *node)
{
    struct scope *scope = nib_tpl_scope_new(r, outer, node->unset);
    for (const struct node *param = node->target; scope && param; param = param->next) {
        if (!nib_tpl_assign_target(r, scope, param->target, nib_tpl_eval(r, outer, param->a)))
            return FLOW_ERROR;
    }
    return scope ? exec(r, scope, node->list) : FLOW_ERROR;
}

static enum flow exec_one(struct render *r, struct scope *scope, const struct node *node)
{
    struct value v = {0};
    switch ((enum node_kind)node->kind) {
    case S_TEXT:
        nib_tpl_put(r, node->value.u.s->data, node->value.u.s->len);
        break;
    case S_OUTPUT:
        v = nib_tpl_eval(r, scope, node->a);
        nib_tpl_put_str(r, v);
        break;
    case S_IF:
        return exec_if(r, scope, node);
    case S_FOR:
        v = nib_tpl_eval(r, scope, node->a);
        return exec_for(r, scope, node, v, 0);
    case S_SET:
        nib_tpl_assign_target(r, scope, node->target, nib_tpl_eval(r, scope, node->a));
        break;
    case S_MACRO:
        nib_tpl_assign(r, scope, node->name, macro_new(r, scope, node));
        break;
    case S_CALL:
        exec_call(r, scope, node);
        break;
    case S_SETBLOCK:
    case S_FILTER:
        return exec_block(r, scope, node);
    case S_WITH:
        return exec_with(r, scope, node);
    case S_PRINT:
        return exec(r, scope, node->list);
    case S_SCOPE:
        return exec_scope(r, scope, node);
    case S_BLOCK:
        while (!node->op && scope->parent)
            scope = scope->parent;
        return exec_scope(r, scope, node);
    case S_BREAK:
        return FLOW_BREAK;
    case S_CONTINUE:
        return FLOW_CONTINUE;
    default:
        assert(!"not a statement");
    }
    return r->failed ? FLOW_ERROR : FLOW_NEXT;
}

static enum flow exec(struct render *r, struct scope *scope, const struct node *body)
{
    if (!nib_tpl_enter(r))
        return FLOW_ERROR;
    enum flow flow = FLOW_NEXT;
    for (; body && flow == FLOW_NEXT; body = body->next) {
        r->line = body->line;
        flow = nib_tpl_charge(r, 1) ? exec_one(r, scope, body) : FLOW_ERROR;
    }
    nib_tpl_leave(r);
    return flow;
}

bool nib_tpl_run(struct render *r, const struct node *body, struct dict *context)
{
    r->context = context;
    struct scope *scope = nib_tpl_scope_new(r, NULL, body->unset);
    return scope && exec(r, scope, body->list) != FLOW_ERROR;
}
