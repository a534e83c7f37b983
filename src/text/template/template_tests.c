/* Tests: what stands behind `is`. */
#include "template_ops.h"
#include "template_string.h"

#define TEST(name, result)                                                                         \
    static struct value name(struct render *r, struct value v, const struct args *args)            \
    {                                                                                              \
        (void)r;                                                                                   \
        (void)args;                                                                                \
        return nib_tpl_bool(result);                                                               \
    }

static bool is_string(struct value v)
{
    return v.kind == V_STRING;
}

static bool is_sequence(struct value v)
{
    return v.kind == V_STRING || v.kind == V_LIST || v.kind == V_TUPLE || v.kind == V_DICT ||
           v.kind == V_RANGE || v.kind == V_UNDEFINED;
}

static bool is_callable(struct value v)
{
    return v.kind == V_MACRO || v.kind == V_FUNCTION || v.kind == V_METHOD || v.kind == V_LOOP ||
           v.kind == V_JOINER || v.kind == V_UNDEFINED;
}

static bool is_same(struct value a, struct value b)
{
    if (a.kind != b.kind)
        return false;
    switch ((enum value_kind)a.kind) {
    case V_NONE:
        return true;
    case V_BOOL:
        return a.u.b == b.u.b;
    case V_INT:
        return a.u.i == b.u.i;
    case V_FLOAT:
        return false;
    default:
        return a.u.list == b.u.list;
    }
}

TEST(test_defined, v.kind != V_UNDEFINED)
TEST(test_undefined, v.kind == V_UNDEFINED)
TEST(test_none, v.kind == V_NONE)
TEST(test_boolean, v.kind == V_BOOL)
TEST(test_true, v.kind == V_BOOL && v.u.b)
TEST(test_false, v.kind == V_BOOL && !v.u.b)
TEST(test_integer, v.kind == V_INT || v.kind == V_BIG)
TEST(test_float, v.kind == V_FLOAT)
TEST(test_number, nib_tpl_is_number(v) || v.kind == V_BIG)
TEST(test_string, is_string(v))
TEST(test_mapping, v.kind == V_DICT)
TEST(test_sequence, is_sequence(v))
TEST(test_iterable, nib_tpl_is_iterable(v))
TEST(test_callable, is_callable(v))
TEST(test_escaped, v.safe)
TEST(test_sameas, is_same(v, args->items[0]))
TEST(test_filter, is_string(v) && nib_tpl_find_filter((struct nib_str){v.u.s->data, v.u.s->len}))
TEST(test_test, is_string(v) && nib_tpl_find_test((struct nib_str){v.u.s->data, v.u.s->len}))

static struct value is_remainder(struct render *r, struct value v, struct value divisor,
                                 int64_t remainder)
{
    const struct value rest = nib_tpl_binary(r, OP_MOD, v, divisor);
    if (rest.kind == V_ERROR)
        return rest;
    return nib_tpl_bool(nib_tpl_equal(r, rest, nib_tpl_int(remainder)));
}

static struct value test_odd(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    return is_remainder(r, v, nib_tpl_int(2), 1);
}

static struct value test_even(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    return is_remainder(r, v, nib_tpl_int(2), 0);
}

static struct value test_divisibleby(struct render *r, struct value v, const struct args *args)
{
    return is_remainder(r, v, args->items[0], 0);
}

static struct value test_upper(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    const struct value text = nib_tpl_str(r, v);
    return text.kind == V_ERROR ? text : nib_tpl_bool(nib_tpl_has_case(text.u.s, true));
}

static struct value test_lower(struct render *r, struct value v, const struct args *args)
{
    (void)args;
    const struct value text = nib_tpl_str(r, v);
    return text.kind == V_ERROR ? text : nib_tpl_bool(nib_tpl_has_case(text.u.s, false));
}

static struct value test_in(struct render *r, struct value v, const struct args *args)
{
    const bool is_in = nib_tpl_contains(r, args->items[0], v);
    return r->failed ? NIB_TPL_ERROR : nib_tpl_bool(is_in);
}

static struct value test_eq(struct render *r, struct value v, const struct args *args)
{
    return nib_tpl_bool(nib_tpl_equal(r, v, args->items[0]));
}

static struct value test_ne(struct render *r, struct value v, const struct args *args)
{
    return nib_tpl_bool(!nib_tpl_equal(r, v, args->items[0]));
}

static struct value test_lt(struct render *r, struct value v, const struct args *args)
{
    return nib_tpl_bool(nib_tpl_order(r, "<", v, args->items[0]) == ORDER_LESS);
}

static struct value test_gt(struct render *r, struct value v, const struct args *args)
{
    return nib_tpl_bool(nib_tpl_order(r, ">", v, args->items[0]) == ORDER_GREATER);
}

static struct value test_le(struct render *r, struct value v, const struct args *args)
{
    const enum order order = nib_tpl_order(r, "<=", v, args->items[0]);
    return nib_tpl_bool(order == ORDER_LESS || order == ORDER_EQUAL);
}

static struct value test_ge(struct render *r, struct value v, const struct args *args)
{
    const enum order order = nib_tpl_order(r, ">=", v, args->items[0]);
    return nib_tpl_bool(order == ORDER_GREATER || order == ORDER_EQUAL);
}

static const struct function tests[] = {
    {"defined", test_defined, .n_required = 0},
    {"undefined", test_undefined, .n_required = 0},
    {"none", test_none, .n_required = 0},
    {"boolean", test_boolean, .n_required = 0},
    {"true", test_true, .n_required = 0},
    {"false", test_false, .n_required = 0},
    {"integer", test_integer, .n_required = 0},
    {"float", test_float, .n_required = 0},
    {"number", test_number, .n_required = 0},
    {"string", test_string, .n_required = 0},
    {"mapping", test_mapping, .n_required = 0},
    {"sequence", test_sequence, .n_required = 0},
    {"iterable", test_iterable, .n_required = 0},
    {"callable", test_callable, .n_required = 0},
    {"escaped", test_escaped, .n_required = 0},
    {"sameas", test_sameas, 1, .params = {"other"}},
    {"filter", test_filter, .n_required = 0},
    {"test", test_test, .n_required = 0},
    {"odd", test_odd, .n_required = 0},
    {"even", test_even, .n_required = 0},
    {"divisibleby", test_divisibleby, 1, .params = {"num"}},
    {"upper", test_upper, .n_required = 0},
    {"lower", test_lower, .n_required = 0},
    {"in", test_in, 1, .params = {"seq"}},
    {"==", test_eq, 1, .params = {"-"}},
    {"eq", test_eq, 1, .params = {"-"}},
    {"equalto", test_eq, 1, .params = {"-"}},
    {"!=", test_ne, 1, .params = {"-"}},
    {"ne", test_ne, 1, .params = {"-"}},
    {"<", test_lt, 1, .params = {"-"}},
    {"lt", test_lt, 1, .params = {"-"}},
    {"lessthan", test_lt, 1, .params = {"-"}},
    {">", test_gt, 1, .params = {"-"}},
    {"gt", test_gt, 1, .params = {"-"}},
    {"greaterthan", test_gt, 1, .params = {"-"}},
    {"<=", test_le, 1, .params = {"-"}},
    {"le", test_le, 1, .params = {"-"}},
    {">=", test_ge, 1, .params = {"-"}},
    {"ge", test_ge, 1, .params = {"-"}},
    {0},
};

const struct function *nib_tpl_find_test(struct nib_str name)
{
    return nib_tpl_find_function(tests, name);
}
