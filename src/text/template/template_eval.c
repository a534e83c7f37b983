/* Expressions, names and calls. */
#include "template_eval.h"
#include "template_parser.h"

#define OWN_NAME(text)                                                                             \
    {                                                                                              \
        .data = text, .len = sizeof(text) - 1, .n_chars = sizeof(text) - 1                         \
    }

const struct string nib_tpl_name_loop = OWN_NAME("loop");
const struct string nib_tpl_name_caller = OWN_NAME("caller");
const struct string nib_tpl_name_kwargs = OWN_NAME("kwargs");
const struct string nib_tpl_name_varargs = OWN_NAME("varargs");

/* ---- names ---------------------------------------------------------------------------------- */

static struct variable *find_variable(struct render *r, const struct scope *scope,
                                      const struct string *name)
{
    nib_tpl_charge(r, scope->n / 16);
    for (size_t i = 0; i < scope->n; i++) {
        if (scope->variables[i].name == name)
            return &scope->variables[i];
    }
    return NULL;
}

static struct value lookup(struct render *r, const struct scope *scope, const struct string *name)
{
    const struct value key = nib_tpl_string_value(name);
    for (; scope; scope = scope->parent) {
        const struct variable *variable = find_variable(r, scope, name);
        if (variable && variable->value.kind != V_MISSING)
            return variable->value;
        if (variable)
            return nib_tpl_undefined(r, (struct value){0}, key);
    }
    const struct value *given = nib_tpl_dict_get(r, r->context, key);
    if (given)
        return *given;
    const struct function *function = nib_tpl_find_global((struct nib_str){name->data, name->len});
    if (function)
        return (struct value){.kind = V_FUNCTION, .u.function = function};
    return nib_tpl_undefined(r, (struct value){0}, key);
}

bool nib_tpl_assign(struct render *r, struct scope *scope, const struct string *name,
                    struct value value)
{
    if (value.kind == V_ERROR || r->failed)
        return false;
    struct variable *variable = find_variable(r, scope, name);
    if (variable) {
        variable->value = value;
        return true;
    }
    if (scope->n == scope->cap) {
        const size_t cap = scope->cap ? 2 * scope->cap : 4;
        struct variable *variables = nib_tpl_alloc_array(r, cap, sizeof *variables);
        if (!variables)
            return false;
        if (scope->n)
            memcpy(variables, scope->variables, scope->n * sizeof *variables);
        scope->variables = variables;
        scope->cap = cap;
    }
    scope->variables[scope->n++] = (struct variable){name, value};
    return true;
}

bool nib_tpl_scope_reset(struct render *r, struct scope *scope, const struct names *unset)
{
    scope->n = 0;
    for (size_t i = 0; unset && i < unset->n; i++) {
        if (!nib_tpl_assign(r, scope, unset->names[i], (struct value){.kind = V_MISSING}))
            return false;
    }
    return true;
}

struct scope *nib_tpl_scope_new(struct render *r, struct scope *parent, const struct names *unset)
{
    struct scope *scope = nib_tpl_alloc(r, sizeof *scope);
    if (!scope)
        return NULL;
    scope->parent = parent;
    return nib_tpl_scope_reset(r, scope, unset) ? scope : NULL;
}

static bool assign_tuple(struct render *r, struct scope *scope, const struct node *target,
                         struct value value)
{
    const struct list *items = nib_tpl_items(r, value);
    if (!items)
        return false;
    size_t n = 0;
    for (const struct node *t = target->list; t; t = t->next)
        n++;
    if (items->n != n) {
        nib_tpl_fail(r, "cannot unpack %zu values into %zu names", items->n, n);
        return false;
    }
    size_t i = 0;
    for (const struct node *t = target->list; t; t = t->next) {
        if (!nib_tpl_assign_target(r, scope, t, items->items[i++]))
            return false;
    }
    return true;
}

bool nib_tpl_assign_target(struct render *r, struct scope *scope, const struct node *target,
                           struct value value)
{
    if (value.kind == V_ERROR)
        return false;
    if (target->kind == E_NAME)
        return nib_tpl_assign(r, scope, target->name, value);
    if (target->kind == E_TUPLE)
        return assign_tuple(r, scope, target, value);
    const struct value ns = lookup(r, scope, target->name);
    if (ns.kind != V_NAMESPACE) {
        nib_tpl_fail(r, "cannot assign attribute on non-namespace object '%.*s'",
                     (int)(target->name->len > 60 ? 60 : target->name->len), target->name->data);
        return false;
    }
    return nib_tpl_dict_set(r, ns.u.dict, target->value, value);
}

/* ---- calls ---------------------------------------------------------------------------------- */

static bool add_keyword(struct render *r, struct args *args, const struct string *name,
                        struct value value)
{
    for (size_t i = 0; i < args->n_keywords; i++) {
        const struct string *other = args->keywords[i].name;
        if (other == name ||
            (other->len == name->len && memcmp(other->data, name->data, name->len) == 0)) {
            nib_tpl_fail(r, "got multiple values for keyword argument '%.*s'",
                         (int)(name->len > 60 ? 60 : name->len), name->data);
            return false;
        }
    }
    args->keywords[args->n_keywords++] = (struct keyword){name, value};
    return nib_tpl_charge(r, args->n_keywords / 8);
}

/* f(*list): items behind those so far. */
static bool spread_list(struct render *r, struct args *args, struct value value)
{
    const struct list *items = nib_tpl_items(r, value);
    if (!items)
        return false;
    struct value *all = nib_tpl_alloc_array(r, args->n + items->n + 1, sizeof *all);
    if (!all)
        return false;
    if (args->n)
        memcpy(all, args->items, args->n * sizeof *all);
    if (items->n)
        memcpy(all + args->n, items->items, items->n * sizeof *all);
    args->items = all;
    args->n += items->n;
    return true;
}

/* f(**dict): its pairs as keywords. */
static bool spread_dict(struct render *r, struct args *args, struct value value)
{
    if (value.kind != V_DICT) {
        nib_tpl_fail(r, "argument after ** must be a mapping, not %s", nib_tpl_type_name(value));
        return false;
    }
    const struct dict *dict = value.u.dict;
    struct keyword *all = nib_tpl_alloc_array(r, args->n_keywords + dict->n + 1, sizeof *all);
    if (!all)
        return false;
    if (args->n_keywords)
        memcpy(all, args->keywords, args->n_keywords * sizeof *all);
    args->keywords = all;
    for (size_t i = 0; i < dict->n; i++) {
        if (dict->entries[i].key.kind != V_STRING) {
            nib_tpl_fail(r, "keywords must be strings");
            return false;
        }
        if (!add_keyword(r, args, dict->entries[i].key.u.s, dict->entries[i].value))
            return false;
    }
    return true;
}

bool nib_tpl_eval_args(struct render *r, struct scope *scope, const struct node *first,
                       struct args *out)
{
    *out = (struct args){0};
    if (!first)
        return !r->failed;
    size_t n[4] = {0};
    for (const struct node *arg = first; arg; arg = arg->next)
        n[arg->op]++;
    /* One keyword more than needed: a call block adds its caller. */
    out->items = nib_tpl_alloc_array(r, n[ARG_POSITION] + 1, sizeof *out->items);
    out->keywords = nib_tpl_alloc_array(r, n[ARG_KEYWORD] + 1, sizeof *out->keywords);
    for (const struct node *arg = first; arg && !r->failed; arg = arg->next) {
        const struct value value = nib_tpl_eval(r, scope, arg->a);
        if (value.kind == V_ERROR)
            break;
        if (arg->op == ARG_POSITION)
            out->items[out->n++] = value;
        else if (arg->op == ARG_KEYWORD)
            add_keyword(r, out, arg->name, value);
        else if (arg->op == ARG_LIST)
            spread_list(r, out, value);
        else
            spread_dict(r, out, value);
    }
    return !r->failed;
}

static int find_param(const struct function *f, const struct string *name)
{
    for (int i = 0; i < NIB_TPL_MAX_PARAMS && f->params[i]; i++) {
        if (strlen(f->params[i]) == name->len && name->data[0] != '-' &&
            memcmp(f->params[i], name->data, name->len) == 0)
            return i;
    }
    return -1;
}

struct value nib_tpl_apply(struct render *r, const struct function *f, struct value self,
                           const struct args *args)
{
    if (self.kind == V_ERROR || r->failed)
        return NIB_TPL_ERROR;
    if (self.kind == V_STRING && !nib_tpl_charge_bytes(r, self.u.s->len))
        return NIB_TPL_ERROR;
    if (f->is_variadic)
        return f->call(r, self, args);
    struct value items[NIB_TPL_MAX_PARAMS] = {{0}};
    size_t n_params = 0;
    while (n_params < NIB_TPL_MAX_PARAMS && f->params[n_params])
        n_params++;
    if (args->n > n_params)
        return nib_tpl_fail(r, "%s() takes at most %zu arguments, %zu were given", f->name,
                            n_params, args->n);
    for (size_t i = 0; i < args->n; i++)
        items[i] = args->items[i];
    for (size_t i = 0; i < args->n_keywords; i++) {
        const struct string *name = args->keywords[i].name;
        const int param = find_param(f, name);
        if (param < 0 || items[param].kind != V_MISSING)
            return nib_tpl_fail(r, "%s() got an unexpected keyword argument '%.*s'", f->name,
                                (int)(name->len > 60 ? 60 : name->len), name->data);
        items[param] = args->keywords[i].value;
    }
    for (size_t i = 0; i < f->n_required; i++) {
        if (items[i].kind == V_MISSING)
            return nib_tpl_fail(r, "%s() is missing its argument %zu", f->name, i + 1);
    }
    return f->call(r, self, &(struct args){.items = items, .n = n_params});
}

static struct value call_joiner(struct joiner *joiner)
{
    static const struct string empty = {.data = ""};
    if (joiner->was_used)
        return joiner->separator;
    joiner->was_used = true;
    return nib_tpl_string_value(&empty);
}

struct value nib_tpl_call(struct render *r, struct value callee, const struct args *args)
{
    switch ((enum value_kind)callee.kind) {
    case V_FUNCTION:
        return nib_tpl_apply(r, callee.u.function, (struct value){0}, args);
    case V_METHOD:
        return nib_tpl_apply(r, callee.u.method->function, callee.u.method->self, args);
    case V_MACRO:
        return nib_tpl_macro_call(r, callee.u.macro, args);
    case V_LOOP:
        if (args->n != 1 || args->n_keywords)
            return nib_tpl_fail(r, "loop() takes one argument");
        return nib_tpl_loop_call(r, callee.u.loop, args->items[0]);
    case V_JOINER:
        return call_joiner(callee.u.joiner);
    case V_UNDEFINED:
        return nib_tpl_undefined_error(r, callee);
    case V_ERROR:
        return callee;
    default:
        return nib_tpl_fail(r, "'%s' object is not callable", nib_tpl_type_name(callee));
    }
}

/* ---- expressions ---------------------------------------------------------------------------- */

static struct value eval_call(struct render *r, struct scope *scope, const struct node *node)
{
    const struct value callee = nib_tpl_eval(r, scope, node->a);
    struct args args;
    if (callee.kind == V_ERROR || !nib_tpl_eval_args(r, scope, node->list, &args))
        return NIB_TPL_ERROR;
    r->line = node->line;
    return nib_tpl_call(r, callee, &args);
}

static struct value eval_named(struct render *r, struct scope *scope, const struct node *node)
{
    struct args args;
    const struct value self = node->a ? nib_tpl_eval(r, scope, node->a) : r->block_value;
    if (self.kind == V_ERROR)
        return self;
    if (!node->function) {
        r->line = node->line;
        return nib_tpl_fail(r, "there is no %s '%.*s'", node->kind == E_FILTER ? "filter" : "test",
                            (int)node->name->len, node->name->data);
    }
    if (!nib_tpl_eval_args(r, scope, node->list, &args))
        return NIB_TPL_ERROR;
    r->line = node->line;
    return nib_tpl_apply(r, node->function, self, &args);
}

static struct value compare(struct render *r, enum compare_op op, struct value a, struct value b)
{
    static const char *const symbols[] = {"==", "!=", "<", "<=", ">", ">="};
    if (op == CMP_EQ || op == CMP_NE)
        return nib_tpl_bool(nib_tpl_equal(r, a, b) == (op == CMP_EQ));
    if (op == CMP_IN || op == CMP_NOT_IN)
        return nib_tpl_bool(nib_tpl_contains(r, b, a) == (op == CMP_IN));
    const enum order order = nib_tpl_order(r, symbols[op], a, b);
    switch (op) {
    case CMP_LT:
        return nib_tpl_bool(order == ORDER_LESS);
    case CMP_LE:
        return nib_tpl_bool(order == ORDER_LESS || order == ORDER_EQUAL);
    case CMP_GT:
        return nib_tpl_bool(order == ORDER_GREATER);
    default:
        return nib_tpl_bool(order == ORDER_GREATER || order == ORDER_EQUAL);
    }
}

static struct value eval_compare(struct render *r, struct scope *scope, const struct node *node)
{
    struct value left = nib_tpl_eval(r, scope, node->a), result = nib_tpl_bool(true);
    for (const struct node *operand = node->list; operand; operand = operand->next) {
        const struct value right = left.kind == V_ERROR ? left : nib_tpl_eval(r, scope, operand->a);
        if (right.kind == V_ERROR)
            return right;
        r->line = operand->line;
        result = compare(r, operand->op, left, right);
        if (r->failed)
            return NIB_TPL_ERROR;
        if (!result.u.b)
            break;
        left = right;
    }
    return result;
}

static struct value eval_concat(struct render *r, struct scope *scope, const struct node *node)
{
    struct value text = {0};
    for (const struct node *part = node->list; part; part = part->next) {
        const struct value next = nib_tpl_str(r, nib_tpl_eval(r, scope, part));
        if (next.kind == V_ERROR)
            return next;
        text = part == node->list ? next : nib_tpl_concat(r, text.u.s, next.u.s);
        if (text.kind == V_ERROR)
            return text;
    }
    text.safe = false;
    return text;
}

static struct value eval_list(struct render *r, struct scope *scope, const struct node *node)
{
    struct list *list = nib_tpl_list_new(r, 0);
    for (const struct node *item = node->list; list && item; item = item->next) {
        if (!nib_tpl_list_add(r, list, nib_tpl_eval(r, scope, item)))
            return NIB_TPL_ERROR;
    }
    return node->kind == E_LIST ? nib_tpl_list_value(list) : nib_tpl_tuple_value(list);
}

static struct value eval_dict(struct render *r, struct scope *scope, const struct node *node)
{
    struct dict *dict = nib_tpl_dict_new(r);
    for (const struct node *key = node->list; dict && key; key = key->next->next) {
        const struct value k = nib_tpl_eval(r, scope, key);
        if (k.kind == V_ERROR || !nib_tpl_dict_set(r, dict, k, nib_tpl_eval(r, scope, key->next)))
            return NIB_TPL_ERROR;
    }
    return nib_tpl_dict_value(dict);
}

static struct value eval_slice(struct render *r, struct scope *scope, struct value object,
                               const struct node *slice)
{
    struct value part[3];
    const struct node *nodes[3] = {slice->a, slice->b, slice->c};
    for (int i = 0; i < 3; i++) {
        part[i] = nodes[i] ? nib_tpl_eval(r, scope, nodes[i]) : NIB_TPL_NONE;
        if (part[i].kind == V_ERROR)
            return part[i];
    }
    r->line = slice->line;
    return nib_tpl_slice(r, object, part[0], part[1], part[2]);
}

static struct value eval_item(struct render *r, struct scope *scope, const struct node *node)
{
    const struct value object = nib_tpl_eval(r, scope, node->a);
    if (object.kind == V_ERROR)
        return object;
    if (node->b->kind == E_SLICE)
        return eval_slice(r, scope, object, node->b);
    const struct value key = nib_tpl_eval(r, scope, node->b);
    r->line = node->line;
    return key.kind == V_ERROR ? key : nib_tpl_getitem(r, object, key);
}

static struct value eval_binary(struct render *r, struct scope *scope, const struct node *node)
{
    const struct value a = nib_tpl_eval(r, scope, node->a);
    const struct value b = a.kind == V_ERROR ? a : nib_tpl_eval(r, scope, node->b);
    if (b.kind == V_ERROR)
        return b;
    r->line = node->line;
    return nib_tpl_binary(r, node->op, a, b);
}

static struct value eval_unary(struct render *r, struct scope *scope, const struct node *node)
{
    const struct value v = nib_tpl_eval(r, scope, node->a);
    if (v.kind == V_ERROR)
        return v;
    r->line = node->line;
    switch (node->kind) {
    case E_ATTR:
        return nib_tpl_getattr(r, v, node->name);
    case E_NEG:
        return nib_tpl_negate(r, v);
    case E_POS:
        return nib_tpl_plus(r, v);
    default:
        return nib_tpl_bool(!nib_tpl_truth(v));
    }
}

static struct value eval_condition(struct render *r, struct scope *scope, const struct node *node)
{
    const struct value test = nib_tpl_eval(r, scope, node->a);
    if (test.kind == V_ERROR)
        return test;
    if (nib_tpl_truth(test))
        return nib_tpl_eval(r, scope, node->b);
    if (node->c)
        return nib_tpl_eval(r, scope, node->c);
    return nib_tpl_undefined_hint(r, "the inline if was false and has no else");
}

static struct value eval(struct render *r, struct scope *scope, const struct node *node)
{
    struct value v;
    switch ((enum node_kind)node->kind) {
    case E_CONST:
        return node->value;
    case E_NAME:
        return lookup(r, scope, node->name);
    case E_ATTR:
    case E_NOT:
    case E_NEG:
    case E_POS:
        return eval_unary(r, scope, node);
    case E_ITEM:
        return eval_item(r, scope, node);
    case E_CALL:
        return eval_call(r, scope, node);
    case E_FILTER:
    case E_TEST:
        return eval_named(r, scope, node);
    case E_BINARY:
        return eval_binary(r, scope, node);
    case E_AND:
    case E_OR:
        v = nib_tpl_eval(r, scope, node->a);
        if (v.kind == V_ERROR || nib_tpl_truth(v) == (node->kind == E_OR))
            return v;
        return nib_tpl_eval(r, scope, node->b);
    case E_CONCAT:
        return eval_concat(r, scope, node);
    case E_COMPARE:
        return eval_compare(r, scope, node);
    case E_COND:
        return eval_condition(r, scope, node);
    case E_LIST:
    case E_TUPLE:
        return eval_list(r, scope, node);
    case E_DICT:
        return eval_dict(r, scope, node);
    default:
        assert(!"not an expression");
        return NIB_TPL_ERROR;
    }
}

struct value nib_tpl_eval(struct render *r, struct scope *scope, const struct node *node)
{
    if (r->failed || !nib_tpl_charge(r, 1) || !nib_tpl_enter(r))
        return NIB_TPL_ERROR;
    const struct value v = eval(r, scope, node);
    nib_tpl_leave(r);
    return r->failed ? NIB_TPL_ERROR : v;
}
