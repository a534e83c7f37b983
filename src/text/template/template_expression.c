/*
 * Parser of expressions.  From loose to tight: if-else, or, and, not, comparisons, + -, ~, * / //
 * %,
 * **, unary, then postfix (.name [item] (call)), filters and tests.
 */
#include "template_parser.h"

#include <stdlib.h>

static struct node *parse_unary(struct parser *p, bool with_filters);
static struct node *parse_or(struct parser *p);

static struct node *unary(struct parser *p, enum node_kind kind, unsigned line, struct node *a)
{
    struct node *node = a ? nib_tpl_node(p, kind, line) : NULL;
    if (!node)
        return NULL;
    node->a = a;
    return nib_tpl_node_done(p, node) ? node : NULL;
}

static struct node *binary(struct parser *p, enum node_kind kind, int op, unsigned line,
                           struct node *a, struct node *b)
{
    struct node *node = a && b ? nib_tpl_node(p, kind, line) : NULL;
    if (!node)
        return NULL;
    node->op = (uint8_t)op;
    node->a = a;
    node->b = b;
    return nib_tpl_node_done(p, node) ? node : NULL;
}

/* ---- literals ------------------------------------------------------------------------------- */

static struct node *constant(struct parser *p, unsigned line, struct value value)
{
    struct node *node = nib_tpl_node(p, E_CONST, line);
    if (node)
        node->value = value;
    return node;
}

static struct node *parse_number(struct parser *p)
{
    const struct token token = p->current;
    char digits[512];
    size_t n = 0;
    for (size_t i = 0; i < token.text.len; i++) {
        if (token.text.data[i] == '_')
            continue;
        if (n == sizeof digits)
            return nib_tpl_parse_fail(p, token.line, "a number has too many digits");
        digits[n++] = token.text.data[i];
    }
    struct value value = {0};
    const struct nib_str text = {digits, n};
    if (token.kind == T_FLOAT) {
        value.kind = V_FLOAT;
        nib_tpl_parse_float(text, &value.u.d);
    } else {
        struct render scratch = {.arena = *p->arena, .err = p->err}; /* for the digits of V_BIG */
        const bool is_int = nib_tpl_parse_int(&scratch, text, 0, &value);
        *p->arena = scratch.arena;
        free(scratch.out.data);
        if (!is_int)
            return nib_tpl_parse_fail(p, token.line, "a number is too large");
    }
    nib_tpl_parse_next(p);
    return constant(p, token.line, value);
}

/* Adjacent strings are one. */
static struct node *parse_strings(struct parser *p)
{
    const unsigned line = p->current.line;
    struct nib_str text = p->current.text;
    nib_tpl_parse_next(p);
    while (nib_tpl_parse_is(p, T_STRING)) {
        const struct nib_str more = p->current.text;
        char *joined = nib_tpl_arena_alloc(p->arena, text.len + more.len + 1);
        if (!joined)
            return nib_tpl_parse_fail(p, line, "the template is too large");
        memcpy(joined, text.data, text.len);
        memcpy(joined + text.len, more.data, more.len);
        text = (struct nib_str){joined, text.len + more.len};
        nib_tpl_parse_next(p);
    }
    return constant(p, line, nib_tpl_parse_string(p, text));
}

static struct node *parse_list(struct parser *p)
{
    struct node *node = nib_tpl_node(p, E_LIST, p->current.line);
    nib_tpl_parse_next(p);
    struct node **tail = node ? &node->list : NULL;
    while (tail && !nib_tpl_parse_is(p, T_RBRACKET)) {
        tail = nib_tpl_append(tail, nib_tpl_parse_expression(p));
        if (!nib_tpl_parse_is(p, T_RBRACKET) && !nib_tpl_parse_expect(p, T_COMMA))
            return NULL;
    }
    nib_tpl_parse_next(p);
    return tail && nib_tpl_node_done(p, node) ? node : NULL;
}

static struct node *parse_dict(struct parser *p)
{
    struct node *node = nib_tpl_node(p, E_DICT, p->current.line);
    nib_tpl_parse_next(p);
    struct node **tail = node ? &node->list : NULL;
    while (tail && !nib_tpl_parse_is(p, T_RBRACE)) {
        tail = nib_tpl_append(tail, nib_tpl_parse_expression(p));
        if (!tail || !nib_tpl_parse_expect(p, T_COLON))
            return NULL;
        tail = nib_tpl_append(tail, nib_tpl_parse_expression(p));
        if (!nib_tpl_parse_is(p, T_RBRACE) && !nib_tpl_parse_expect(p, T_COMMA))
            return NULL;
    }
    nib_tpl_parse_next(p);
    return tail && nib_tpl_node_done(p, node) ? node : NULL;
}

static bool is_tuple_end(const struct parser *p, const char *end_name)
{
    return nib_tpl_parse_is(p, T_VARIABLE_END) || nib_tpl_parse_is(p, T_BLOCK_END) ||
           nib_tpl_parse_is(p, T_RPAREN) || (end_name && nib_tpl_parse_is_name(p, end_name));
}

static struct node *parse_parentheses(struct parser *p)
{
    const unsigned line = p->current.line;
    struct node *node;
    nib_tpl_parse_next(p);
    if (nib_tpl_parse_is(p, T_RPAREN))
        node = nib_tpl_node(p, E_TUPLE, line);
    else
        node = nib_tpl_parse_tuple(p, false, NULL);
    return nib_tpl_parse_expect(p, T_RPAREN) ? node : NULL;
}

/* While a macro is parsed, note the names that exist only inside of one. */
static void note_name(struct parser *p, struct nib_str name)
{
    unsigned use = nib_str_equal(name, NIB_STR("caller"))    ? USES_CALLER
                   : nib_str_equal(name, NIB_STR("kwargs"))  ? USES_KWARGS
                   : nib_str_equal(name, NIB_STR("varargs")) ? USES_VARARGS
                                                             : 0;
    for (struct macro_frame *frame = p->macro; use && frame; frame = frame->parent)
        frame->uses |= use;
}

static struct node *parse_name(struct parser *p)
{
    const struct token token = p->current;
    const struct nib_str s = token.text;
    nib_tpl_parse_next(p);
    if (nib_str_equal(s, NIB_STR("true")) || nib_str_equal(s, NIB_STR("True")))
        return constant(p, token.line, nib_tpl_bool(true));
    if (nib_str_equal(s, NIB_STR("false")) || nib_str_equal(s, NIB_STR("False")))
        return constant(p, token.line, nib_tpl_bool(false));
    if (nib_str_equal(s, NIB_STR("none")) || nib_str_equal(s, NIB_STR("None")))
        return constant(p, token.line, NIB_TPL_NONE);
    note_name(p, s);
    struct node *node = nib_tpl_node(p, E_NAME, token.line);
    if (node)
        node->name = nib_tpl_intern(p, s);
    return node;
}

static struct node *parse_primary(struct parser *p)
{
    switch (p->current.kind) {
    case T_NAME:
        return parse_name(p);
    case T_STRING:
        return parse_strings(p);
    case T_INTEGER:
    case T_FLOAT:
        return parse_number(p);
    case T_LPAREN:
        return parse_parentheses(p);
    case T_LBRACKET:
        return parse_list(p);
    case T_LBRACE:
        return parse_dict(p);
    default:
        return nib_tpl_parse_fail(p, p->current.line, "expected an expression, found %s",
                                  nib_tpl_token_name(p->current.kind));
    }
}

/* ---- calls and subscripts ------------------------------------------------------------------- */

static struct node *parse_arg(struct parser *p)
{
    struct node *arg = nib_tpl_node(p, E_ARG, p->current.line);
    if (!arg)
        return NULL;
    if (nib_tpl_parse_skip(p, T_MUL)) {
        arg->op = ARG_LIST;
    } else if (nib_tpl_parse_skip(p, T_POW)) {
        arg->op = ARG_DICT;
    } else if (nib_tpl_parse_is(p, T_NAME) && nib_tpl_parse_ahead(p).kind == T_ASSIGN) {
        arg->op = ARG_KEYWORD;
        arg->name = nib_tpl_parse_name(p);
        nib_tpl_parse_next(p);
    }
    arg->a = nib_tpl_parse_expression(p);
    return arg->a && nib_tpl_node_done(p, arg) ? arg : NULL;
}

/* Positions before keywords and *args, those before **kwargs. */
static bool parse_args(struct parser *p, struct node **list)
{
    const unsigned line = p->current.line;
    bool seen[4] = {false};
    nib_tpl_parse_next(p);
    while (!nib_tpl_parse_is(p, T_RPAREN)) {
        struct node *arg = parse_arg(p);
        if (!arg)
            return false;
        const bool is_late = (arg->op == ARG_POSITION && (seen[ARG_KEYWORD] || seen[ARG_LIST])) ||
                             (arg->op == ARG_LIST && seen[ARG_LIST]) || seen[ARG_DICT];
        if (is_late)
            return nib_tpl_parse_fail(p, line, "arguments of a call are in a wrong order") != NULL;
        seen[arg->op] = true;
        list = nib_tpl_append(list, arg);
        if (!nib_tpl_parse_is(p, T_RPAREN) && !nib_tpl_parse_expect(p, T_COMMA))
            return false;
    }
    nib_tpl_parse_next(p);
    return !p->failed;
}

static struct node *parse_call(struct parser *p, struct node *callee)
{
    struct node *node = nib_tpl_node(p, E_CALL, p->current.line);
    if (!node || !parse_args(p, &node->list))
        return NULL;
    node->a = callee;
    return nib_tpl_node_done(p, node) ? node : NULL;
}

static struct node *parse_slice_part(struct parser *p)
{
    if (nib_tpl_parse_is(p, T_COLON) || nib_tpl_parse_is(p, T_RBRACKET) ||
        nib_tpl_parse_is(p, T_COMMA))
        return NULL;
    return nib_tpl_parse_expression(p);
}

static struct node *parse_subscript_item(struct parser *p)
{
    const unsigned line = p->current.line;
    struct node *first = NULL;
    if (!nib_tpl_parse_is(p, T_COLON)) {
        first = nib_tpl_parse_expression(p);
        if (!first || !nib_tpl_parse_is(p, T_COLON))
            return first;
    }
    struct node *slice = nib_tpl_node(p, E_SLICE, line);
    if (!slice)
        return NULL;
    slice->a = first;
    nib_tpl_parse_next(p);
    slice->b = parse_slice_part(p);
    if (nib_tpl_parse_skip(p, T_COLON))
        slice->c = parse_slice_part(p);
    return !p->failed && nib_tpl_node_done(p, slice) ? slice : NULL;
}

static struct node *parse_brackets(struct parser *p, unsigned line)
{
    struct node *tuple = nib_tpl_node(p, E_TUPLE, line);
    struct node **tail = tuple ? &tuple->list : NULL;
    size_t n = 0;
    for (; tail && !nib_tpl_parse_is(p, T_RBRACKET); n++) {
        if (n > 0 && !nib_tpl_parse_expect(p, T_COMMA))
            return NULL;
        struct node *item = parse_subscript_item(p);
        tail = nib_tpl_append(tail, item);
        if (item && item->kind == E_SLICE && (n > 0 || nib_tpl_parse_is(p, T_COMMA)))
            return nib_tpl_parse_fail(p, line, "a slice must stand alone in its brackets");
    }
    nib_tpl_parse_next(p);
    if (!tail || !nib_tpl_node_done(p, tuple))
        return NULL;
    return n == 1 ? tuple->list : tuple;
}

static struct node *parse_subscript(struct parser *p, struct node *object)
{
    const unsigned line = p->current.line;
    if (nib_tpl_parse_skip(p, T_LBRACKET))
        return binary(p, E_ITEM, 0, line, object, parse_brackets(p, line));
    nib_tpl_parse_next(p); /* "." */
    if (nib_tpl_parse_is(p, T_INTEGER))
        return binary(p, E_ITEM, 0, line, object, parse_number(p));
    const struct string *name = nib_tpl_parse_name(p);
    struct node *node = name ? unary(p, E_ATTR, line, object) : NULL;
    if (node)
        node->name = name;
    return node;
}

static struct node *parse_postfix(struct parser *p, struct node *node)
{
    while (node) {
        if (nib_tpl_parse_is(p, T_DOT) || nib_tpl_parse_is(p, T_LBRACKET))
            node = parse_subscript(p, node);
        else if (nib_tpl_parse_is(p, T_LPAREN))
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

/* ---- filters and tests ---------------------------------------------------------------------- */

/* name or name.name */
static bool parse_dotted(struct parser *p, char *out, size_t size, size_t *len)
{
    *len = 0;
    do {
        const struct nib_str part = p->current.text;
        if (!nib_tpl_parse_is(p, T_NAME) || *len + part.len + 1 >= size)
            return nib_tpl_parse_fail(p, p->current.line,
                                      "expected the name of a filter or test") != NULL;
        if (*len)
            out[(*len)++] = '.';
        memcpy(out + *len, part.data, part.len);
        *len += part.len;
        nib_tpl_parse_next(p);
    } while (nib_tpl_parse_skip(p, T_DOT));
    return !p->failed;
}

static struct node *parse_named(struct parser *p, enum node_kind kind, struct node *subject)
{
    char text[80];
    struct nib_str name = {text, 0};
    struct node *node = nib_tpl_node(p, kind, p->current.line);
    if (!node || !parse_dotted(p, text, sizeof text, &name.len))
        return NULL;
    node->a = subject;
    node->name = nib_tpl_intern(p, name);
    node->function = kind == E_FILTER ? nib_tpl_find_filter(name) : nib_tpl_find_test(name);
    if (!node->function && !p->unknown)
        p->unknown = node;
    return node;
}

struct node *nib_tpl_parse_filters(struct parser *p, struct node *node, bool is_inline)
{
    while (is_inline || nib_tpl_parse_is(p, T_PIPE)) {
        if (!is_inline)
            nib_tpl_parse_next(p);
        is_inline = false;
        node = parse_named(p, E_FILTER, node);
        if (!node || (nib_tpl_parse_is(p, T_LPAREN) && !parse_args(p, &node->list)) ||
            !nib_tpl_node_done(p, node))
            return NULL;
    }
    return node;
}

static bool starts_test_argument(const struct parser *p)
{
    switch (p->current.kind) {
    case T_NAME:
        return !nib_tpl_parse_is_name(p, "else") && !nib_tpl_parse_is_name(p, "or") &&
               !nib_tpl_parse_is_name(p, "and");
    case T_STRING:
    case T_INTEGER:
    case T_FLOAT:
    case T_LBRACKET:
    case T_LBRACE:
        return true;
    default:
        return false;
    }
}

/* x is [not] name, name(args) or name arg */
static struct node *parse_test(struct parser *p, struct node *subject)
{
    const unsigned line = p->current.line;
    nib_tpl_parse_next(p);
    const bool is_negated = nib_tpl_parse_skip_name(p, "not");
    struct node *node = parse_named(p, E_TEST, subject);
    if (!node)
        return NULL;
    if (nib_tpl_parse_is(p, T_LPAREN)) {
        if (!parse_args(p, &node->list))
            return NULL;
    } else if (starts_test_argument(p)) {
        if (nib_tpl_parse_is_name(p, "is"))
            return nib_tpl_parse_fail(p, line, "tests cannot be chained with 'is'");
        node->list = unary(p, E_ARG, line, parse_postfix(p, parse_primary(p)));
        if (!node->list)
            return NULL;
    }
    if (!nib_tpl_node_done(p, node))
        return NULL;
    return is_negated ? unary(p, E_NOT, line, node) : node;
}

static struct node *parse_filters_and_tests(struct parser *p, struct node *node)
{
    while (node) {
        if (nib_tpl_parse_is(p, T_PIPE))
            node = nib_tpl_parse_filters(p, node, false);
        else if (nib_tpl_parse_is_name(p, "is"))
            node = parse_test(p, node);
        else if (nib_tpl_parse_is(p, T_LPAREN))
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

/* ---- operators ------------------------------------------------------------------------------ */

static struct node *parse_signed(struct parser *p)
{
    const unsigned line = p->current.line;
    if (nib_tpl_parse_skip(p, T_SUB))
        return unary(p, E_NEG, line, parse_unary(p, false));
    if (nib_tpl_parse_skip(p, T_ADD))
        return unary(p, E_POS, line, parse_unary(p, false));
    return parse_primary(p);
}

static struct node *parse_unary(struct parser *p, bool with_filters)
{
    if (!nib_tpl_parse_enter(p))
        return NULL;
    struct node *node = parse_postfix(p, parse_signed(p));
    if (with_filters)
        node = parse_filters_and_tests(p, node);
    nib_tpl_parse_leave(p);
    return node;
}

static struct node *parse_pow(struct parser *p)
{
    struct node *left = parse_unary(p, true);
    while (left && nib_tpl_parse_is(p, T_POW)) {
        const unsigned line = p->current.line;
        nib_tpl_parse_next(p);
        left = binary(p, E_BINARY, OP_POW, line, left, parse_unary(p, true));
    }
    return left;
}

static struct node *parse_product(struct parser *p)
{
    struct node *left = parse_pow(p);
    while (left) {
        const enum token_kind kind = p->current.kind;
        const unsigned line = p->current.line;
        if (kind != T_MUL && kind != T_DIV && kind != T_FLOORDIV && kind != T_MOD)
            break;
        nib_tpl_parse_next(p);
        const enum binary_op op = kind == T_MUL        ? OP_MUL
                                  : kind == T_DIV      ? OP_DIV
                                  : kind == T_FLOORDIV ? OP_FLOORDIV
                                                       : OP_MOD;
        left = binary(p, E_BINARY, op, line, left, parse_pow(p));
    }
    return left;
}

static struct node *parse_concat(struct parser *p)
{
    const unsigned line = p->current.line;
    struct node *first = parse_product(p);
    if (!first || !nib_tpl_parse_is(p, T_TILDE))
        return first;
    struct node *node = nib_tpl_node(p, E_CONCAT, line);
    struct node **tail = node ? nib_tpl_append(&node->list, first) : NULL;
    while (tail && nib_tpl_parse_skip(p, T_TILDE))
        tail = nib_tpl_append(tail, parse_product(p));
    return tail && nib_tpl_node_done(p, node) ? node : NULL;
}

static struct node *parse_sum(struct parser *p)
{
    struct node *left = parse_concat(p);
    while (left && (nib_tpl_parse_is(p, T_ADD) || nib_tpl_parse_is(p, T_SUB))) {
        const enum binary_op op = nib_tpl_parse_is(p, T_ADD) ? OP_ADD : OP_SUB;
        const unsigned line = p->current.line;
        nib_tpl_parse_next(p);
        left = binary(p, E_BINARY, op, line, left, parse_concat(p));
    }
    return left;
}

/* The comparison at the current token, which is skipped; -1: there is none. */
static int skip_comparison(struct parser *p)
{
    static const enum token_kind kinds[] = {T_EQ, T_NE, T_LT, T_LE, T_GT, T_GE};
    for (size_t i = 0; i < NIB_COUNT(kinds); i++) {
        if (nib_tpl_parse_skip(p, kinds[i]))
            return (int)(CMP_EQ + i);
    }
    if (nib_tpl_parse_skip_name(p, "in"))
        return CMP_IN;
    if (nib_tpl_parse_is_name(p, "not")) {
        const struct token ahead = nib_tpl_parse_ahead(p);
        if (ahead.kind == T_NAME && nib_str_equal(ahead.text, NIB_STR("in"))) {
            nib_tpl_parse_next(p);
            nib_tpl_parse_next(p);
            return CMP_NOT_IN;
        }
    }
    return -1;
}

static struct node *parse_compare(struct parser *p)
{
    const unsigned line = p->current.line;
    struct node *first = parse_sum(p), *node = NULL, **tail = NULL;
    for (int op; first && (op = skip_comparison(p)) >= 0;) {
        if (!node) {
            node = nib_tpl_node(p, E_COMPARE, line);
            if (!node)
                return NULL;
            node->a = first;
            tail = &node->list;
        }
        struct node *operand = unary(p, E_OPERAND, line, parse_sum(p));
        if (!operand)
            return NULL;
        operand->op = (uint8_t)op;
        tail = nib_tpl_append(tail, operand);
    }
    if (!node)
        return first;
    return nib_tpl_node_done(p, node) ? node : NULL;
}

static struct node *parse_not(struct parser *p)
{
    const unsigned line = p->current.line;
    if (!nib_tpl_parse_is_name(p, "not"))
        return parse_compare(p);
    nib_tpl_parse_next(p);
    if (!nib_tpl_parse_enter(p))
        return NULL;
    struct node *node = unary(p, E_NOT, line, parse_not(p));
    nib_tpl_parse_leave(p);
    return node;
}

static struct node *parse_and(struct parser *p)
{
    struct node *left = parse_not(p);
    for (unsigned line = p->current.line; left && nib_tpl_parse_skip_name(p, "and");)
        left = binary(p, E_AND, 0, line, left, parse_not(p));
    return left;
}

static struct node *parse_or(struct parser *p)
{
    struct node *left = parse_and(p);
    for (unsigned line = p->current.line; left && nib_tpl_parse_skip_name(p, "or");)
        left = binary(p, E_OR, 0, line, left, parse_and(p));
    return left;
}

static struct node *parse_conditional(struct parser *p)
{
    const struct node *unknown = p->unknown;
    struct node *value = parse_or(p);
    while (value && nib_tpl_parse_is_name(p, "if")) {
        struct node *node = nib_tpl_node(p, E_COND, p->current.line);
        nib_tpl_parse_next(p);
        if (!node)
            return NULL;
        node->b = value;
        node->a = parse_or(p);
        if (node->a && nib_tpl_parse_skip_name(p, "else")) {
            node->c = nib_tpl_parse_expression(p);
            if (!node->c)
                return NULL;
        }
        value = node->a && nib_tpl_node_done(p, node) ? node : NULL;
        p->unknown = unknown;
    }
    return value;
}

struct node *nib_tpl_parse_expression(struct parser *p)
{
    if (p->failed || !nib_tpl_parse_enter(p))
        return NULL;
    struct node *node = parse_conditional(p);
    nib_tpl_parse_leave(p);
    return node;
}

/* A tuple of the list that begins with `first`. */
static struct node *tuple_of(struct parser *p, struct node *first, unsigned line)
{
    struct node *node = nib_tpl_node(p, E_TUPLE, line);
    if (!node)
        return NULL;
    node->list = first;
    return nib_tpl_node_done(p, node) ? node : NULL;
}

struct node *nib_tpl_parse_tuple(struct parser *p, bool is_condition, const char *end_name)
{
    const unsigned line = p->current.line;
    struct node *first = NULL, **tail = &first;
    bool is_tuple = false;
    while (!is_tuple_end(p, end_name)) {
        tail = nib_tpl_append(tail, is_condition ? parse_or(p) : nib_tpl_parse_expression(p));
        if (!tail || !nib_tpl_parse_is(p, T_COMMA))
            break;
        is_tuple = true;
        nib_tpl_parse_next(p);
    }
    if (p->failed)
        return NULL;
    if (!first)
        return nib_tpl_parse_fail(p, line, "expected an expression, found %s",
                                  nib_tpl_token_name(p->current.kind));
    return is_tuple ? tuple_of(p, first, line) : first;
}

/* ---- targets of assignments ----------------------------------------------------------------- */

static struct node *parse_one_target(struct parser *p, bool with_namespace);

static struct node *parse_target_list(struct parser *p, bool with_namespace, const char *end_name)
{
    const unsigned line = p->current.line;
    struct node *first = NULL, **tail = &first;
    bool is_tuple = false;
    while (!is_tuple_end(p, end_name) && !nib_tpl_parse_is(p, T_ASSIGN)) {
        tail = nib_tpl_append(tail, parse_one_target(p, with_namespace));
        if (!tail || !nib_tpl_parse_is(p, T_COMMA))
            break;
        is_tuple = true;
        nib_tpl_parse_next(p);
    }
    if (p->failed)
        return NULL;
    if (!first)
        return nib_tpl_parse_fail(p, line, "expected a name to assign to");
    return is_tuple ? tuple_of(p, first, line) : first;
}

static bool is_constant_name(struct nib_str s)
{
    static const char *const names[] = {"true", "True", "false", "False", "none", "None"};
    for (size_t i = 0; i < NIB_COUNT(names); i++) {
        if (nib_str_equal(s, nib_str_from(names[i])))
            return true;
    }
    return false;
}

static struct node *parse_one_target(struct parser *p, bool with_namespace)
{
    const unsigned line = p->current.line;
    if (!nib_tpl_parse_enter(p))
        return NULL;
    struct node *node = NULL;
    if (nib_tpl_parse_skip(p, T_LPAREN)) {
        node = parse_target_list(p, with_namespace, NULL);
        node = nib_tpl_parse_expect(p, T_RPAREN) ? node : NULL;
    } else if (!nib_tpl_parse_is(p, T_NAME) || is_constant_name(p->current.text)) {
        nib_tpl_parse_fail(p, line, "expected a name to assign to");
    } else {
        node = nib_tpl_node(p, E_NAME, line);
        const struct string *name = nib_tpl_parse_name(p);
        if (node)
            node->name = name;
        if (node && with_namespace && nib_tpl_parse_skip(p, T_DOT)) {
            node->kind = E_NSREF;
            const struct string *attribute = nib_tpl_parse_name(p);
            node->value = nib_tpl_string_value(attribute);
            node = attribute ? node : NULL;
        }
    }
    nib_tpl_parse_leave(p);
    return node;
}

struct node *nib_tpl_parse_target(struct parser *p, bool with_namespace, const char *end_name)
{
    return parse_target_list(p, with_namespace, end_name);
}
