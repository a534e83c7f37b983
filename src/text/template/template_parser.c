/* Parser of text and statements, and what both halves of the parser use. */
#include "template_parser.h"
#include "template.h"
#include "template_eval.h"
#include "template_text.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- tokens --------------------------------------------------------------------------------- */

void *nib_tpl_parse_fail(struct parser *p, unsigned line, const char *format, ...)
{
    if (!p->failed) {
        char text[sizeof p->err->message];
        va_list args;
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        p->failed = true;
        p->status = nib_fail(p->err, NIB_ERROR_TEMPLATE, "chat template, line %u: %s", line, text);
    }
    p->current.kind = T_ERROR;
    return NULL;
}

static struct token read_token(struct parser *p)
{
    struct token token = {.kind = T_ERROR};
    if (!p->failed)
        token = nib_tpl_next_token(&p->lexer);
    if (token.kind == T_ERROR && !p->failed) {
        p->failed = true; /* the lexer has said why */
        p->status = NIB_ERROR_TEMPLATE;
    }
    return token;
}

void nib_tpl_parse_next(struct parser *p)
{
    p->current = p->has_ahead && !p->failed ? p->ahead : read_token(p);
    p->has_ahead = false;
}

struct token nib_tpl_parse_ahead(struct parser *p)
{
    if (!p->has_ahead)
        p->ahead = read_token(p);
    p->has_ahead = true;
    return p->ahead;
}

bool nib_tpl_parse_is(const struct parser *p, enum token_kind kind)
{
    return p->current.kind == kind;
}

bool nib_tpl_parse_is_name(const struct parser *p, const char *name)
{
    return p->current.kind == T_NAME && nib_str_equal(p->current.text, nib_str_from(name));
}

bool nib_tpl_parse_skip(struct parser *p, enum token_kind kind)
{
    if (p->current.kind != kind)
        return false;
    nib_tpl_parse_next(p);
    return true;
}

bool nib_tpl_parse_skip_name(struct parser *p, const char *name)
{
    if (!nib_tpl_parse_is_name(p, name))
        return false;
    nib_tpl_parse_next(p);
    return true;
}

bool nib_tpl_parse_expect(struct parser *p, enum token_kind kind)
{
    if (nib_tpl_parse_skip(p, kind))
        return true;
    if (p->current.kind == T_NAME)
        nib_tpl_parse_fail(
            p, p->current.line, "expected %s, found '%.*s'", nib_tpl_token_name(kind),
            (int)(p->current.text.len > 60 ? 60 : p->current.text.len), p->current.text.data);
    else
        nib_tpl_parse_fail(p, p->current.line, "expected %s, found %s", nib_tpl_token_name(kind),
                           nib_tpl_token_name(p->current.kind));
    return false;
}

static bool expect_name(struct parser *p, const char *name)
{
    if (nib_tpl_parse_skip_name(p, name))
        return true;
    nib_tpl_parse_fail(p, p->current.line, "expected '%s'", name);
    return false;
}

bool nib_tpl_parse_enter(struct parser *p)
{
    if (p->failed)
        return false;
    if (p->depth >= NIB_TEMPLATE_MAX_DEPTH) {
        nib_tpl_parse_fail(p, p->current.line,
                           "expressions or blocks are nested more than %d levels deep",
                           NIB_TEMPLATE_MAX_DEPTH);
        return false;
    }
    p->depth++;
    return true;
}

void nib_tpl_parse_leave(struct parser *p)
{
    p->depth--;
}

/* ---- names and nodes ------------------------------------------------------------------------ */

static void *allocate(struct parser *p, size_t n_bytes)
{
    void *memory = p->failed ? NULL : nib_tpl_arena_alloc(p->arena, n_bytes);
    if (!memory)
        nib_tpl_parse_fail(p, p->current.line, "the template is too large");
    return memory;
}

struct value nib_tpl_parse_string(struct parser *p, struct nib_str text)
{
    struct string *s = allocate(p, sizeof *s);
    char *data = s ? allocate(p, text.len + 1) : NULL;
    if (!data)
        return NIB_TPL_ERROR;
    memcpy(data, text.data ? text.data : "", text.len);
    *s = (struct string){data, text.len, nib_tpl_count_chars(data, text.len), NULL};
    return nib_tpl_string_value(s);
}

static size_t hash(struct nib_str s)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.data[i]) * 0x100000001b3u;
    return (size_t)(h ^ h >> 32);
}

static const struct string **find_slot(struct parser *p, struct nib_str text)
{
    size_t i = hash(text) & (p->n_slots - 1);
    while (p->names[i] &&
           !nib_str_equal((struct nib_str){p->names[i]->data, p->names[i]->len}, text))
        i = (i + 1) & (p->n_slots - 1);
    return &p->names[i];
}

/* Names that the interpreter knows by address. */
static void intern_own_names(struct parser *p)
{
    const struct string *own[] = {&nib_tpl_name_loop, &nib_tpl_name_caller, &nib_tpl_name_kwargs,
                                  &nib_tpl_name_varargs};
    for (size_t i = 0; i < NIB_COUNT(own); i++)
        *find_slot(p, (struct nib_str){own[i]->data, own[i]->len}) = own[i];
    p->n_names = NIB_COUNT(own);
}

static bool grow_names(struct parser *p)
{
    const struct string **old = p->names;
    const size_t n_old = p->n_slots;
    p->n_slots = n_old ? 2 * n_old : 256;
    p->names = allocate(p, p->n_slots * sizeof *p->names);
    for (size_t i = 0; p->names && i < n_old; i++) {
        if (old[i])
            *find_slot(p, (struct nib_str){old[i]->data, old[i]->len}) = old[i];
    }
    if (p->names && !old)
        intern_own_names(p);
    return p->names != NULL;
}

const struct string *nib_tpl_intern(struct parser *p, struct nib_str text)
{
    if (p->failed || (2 * p->n_names >= p->n_slots && !grow_names(p)))
        return NULL;
    const struct string **slot = find_slot(p, text);
    if (!*slot) {
        const struct value v = nib_tpl_parse_string(p, text);
        if (v.kind == V_ERROR)
            return NULL;
        *slot = v.u.s;
        p->n_names++;
    }
    return *slot;
}

const struct string *nib_tpl_parse_name(struct parser *p)
{
    const struct nib_str text = p->current.text;
    if (!nib_tpl_parse_expect(p, T_NAME))
        return NULL;
    return nib_tpl_intern(p, text);
}

struct node *nib_tpl_node(struct parser *p, enum node_kind kind, unsigned line)
{
    struct node *node = allocate(p, sizeof *node);
    if (node) {
        node->kind = (uint8_t)kind;
        node->line = line;
        node->depth = 1;
    }
    return node;
}

static void deepen(struct node *node, const struct node *list)
{
    for (; list; list = list->next) {
        if (node->depth <= list->depth)
            node->depth = (uint16_t)(list->depth + 1);
    }
}

/* A single child is no list: its own `next` belongs to the list that it may be in. */
static void deepen_one(struct node *node, const struct node *child)
{
    if (child && node->depth <= child->depth)
        node->depth = (uint16_t)(child->depth + 1);
}

bool nib_tpl_node_done(struct parser *p, struct node *node)
{
    if (p->failed || !node)
        return false;
    deepen_one(node, node->a);
    deepen_one(node, node->b);
    deepen_one(node, node->c);
    deepen(node, node->list);
    deepen(node, node->target);
    deepen(node, node->otherwise);
    if (node->depth > NIB_TEMPLATE_MAX_DEPTH) {
        nib_tpl_parse_fail(p, node->line,
                           "expressions or blocks are nested more than %d levels deep",
                           NIB_TEMPLATE_MAX_DEPTH);
        return false;
    }
    return true;
}

struct node **nib_tpl_append(struct node **tail, struct node *node)
{
    if (!node || !tail)
        return NULL;
    *tail = node;
    return &node->next;
}

/* ---- statements ----------------------------------------------------------------------------- */

static bool parse_body(struct parser *p, struct node **list, const char *const *ends);

/* The body of a block up to one of its end tags, whose name is then current. */
static bool parse_block(struct parser *p, struct node **list, const char *const *ends)
{
    nib_tpl_parse_skip(p, T_COLON);
    return nib_tpl_parse_expect(p, T_BLOCK_END) && parse_body(p, list, ends);
}

static bool parse_block_to(struct parser *p, struct node **list, const char *end)
{
    if (!parse_block(p, list, (const char *const[]){end, NULL}))
        return false;
    nib_tpl_parse_next(p);
    return !p->failed;
}

static struct node *parse_set(struct parser *p)
{
    struct node *node = nib_tpl_node(p, S_SET, p->current.line);
    nib_tpl_parse_next(p);
    if (!node || !(node->target = nib_tpl_parse_target(p, true, NULL)))
        return NULL;
    if (nib_tpl_parse_skip(p, T_ASSIGN)) {
        node->a = nib_tpl_parse_tuple(p, false, NULL);
        return node->a ? node : NULL;
    }
    node->kind = S_SETBLOCK;
    node->a = nib_tpl_parse_filters(p, NULL, false);
    return !p->failed && parse_block_to(p, &node->list, "endset") ? node : NULL;
}

static bool names_loop(const struct node *target)
{
    if (target->kind == E_NAME)
        return target->name == &nib_tpl_name_loop;
    bool found = false;
    for (const struct node *t = target->list; t && !found; t = t->next)
        found = names_loop(t);
    return found;
}

static struct node *parse_for(struct parser *p)
{
    struct node *node = nib_tpl_node(p, S_FOR, p->current.line);
    nib_tpl_parse_next(p);
    if (!node || !(node->target = nib_tpl_parse_target(p, false, "in")) || !expect_name(p, "in"))
        return NULL;
    if (names_loop(node->target))
        return nib_tpl_parse_fail(p, node->line, "a loop cannot assign to 'loop'");
    node->a = nib_tpl_parse_tuple(p, true, "recursive");
    if (!node->a)
        return NULL;
    if (nib_tpl_parse_skip_name(p, "if") && !(node->b = nib_tpl_parse_expression(p)))
        return NULL;
    node->op = nib_tpl_parse_skip_name(p, "recursive");
    p->n_loops++;
    const bool is_ok = parse_block(p, &node->list, (const char *const[]){"endfor", "else", NULL});
    p->n_loops--;
    if (!is_ok)
        return NULL;
    const bool has_else = nib_tpl_parse_is_name(p, "else");
    nib_tpl_parse_next(p);
    return !has_else || parse_block_to(p, &node->otherwise, "endfor") ? node : NULL;
}

/* if and elif are branches side by side, so that a long chain is not a deep tree. */
static struct node *parse_if(struct parser *p)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    const struct node *unknown = p->unknown;
    struct node *first = NULL, **tail = &first;
    do {
        struct node *node = nib_tpl_node(p, S_IF, p->current.line);
        nib_tpl_parse_next(p);
        if (!node || !(node->a = nib_tpl_parse_tuple(p, true, NULL)) ||
            !parse_block(p, &node->list, ends) || !nib_tpl_node_done(p, node))
            return NULL;
        tail = nib_tpl_append(tail, node);
    } while (nib_tpl_parse_is_name(p, "elif"));

    struct node *result = nib_tpl_node(p, S_IF, first->line);
    if (!result)
        return NULL;
    const bool has_else = nib_tpl_parse_is_name(p, "else");
    nib_tpl_parse_next(p);
    if (has_else && !parse_block_to(p, &result->otherwise, "endif"))
        return NULL;
    result->list = first;
    p->unknown = unknown;
    return result;
}

/* (a, b=1): names with defaults after those without */
static bool parse_signature(struct parser *p, struct node **list)
{
    bool has_default = false;
    struct node *first = NULL, **tail = &first;
    if (!nib_tpl_parse_expect(p, T_LPAREN))
        return false;
    for (bool is_first = true; !nib_tpl_parse_is(p, T_RPAREN); is_first = false) {
        if (!is_first && !nib_tpl_parse_expect(p, T_COMMA))
            return false;
        struct node *param = nib_tpl_node(p, E_PARAM, p->current.line);
        const struct string *name = nib_tpl_parse_name(p);
        if (!param || !name)
            return false;
        param->name = name;
        for (const struct node *other = first; other; other = other->next) {
            if (other->name == name)
                nib_tpl_parse_fail(p, param->line, "two parameters are named '%.*s'",
                                   (int)(name->len > 60 ? 60 : name->len), name->data);
        }
        if (nib_tpl_parse_skip(p, T_ASSIGN)) {
            param->a = nib_tpl_parse_expression(p);
            has_default = true;
        } else if (has_default) {
            nib_tpl_parse_fail(p, param->line,
                               "a parameter without default follows one that has a default");
        } else if (name == &nib_tpl_name_caller) {
            nib_tpl_parse_fail(p, param->line, "the parameter 'caller' needs a default");
        }
        if (!nib_tpl_node_done(p, param))
            return false;
        tail = nib_tpl_append(tail, param);
        if (!first)
            first = param;
    }
    nib_tpl_parse_next(p);
    *list = first;
    return !p->failed;
}

/* Signature and body of a macro or of a call block. */
static bool parse_macro_body(struct parser *p, struct node *node, const char *end)
{
    struct macro_frame frame = {.parent = p->macro};
    const unsigned n_loops = p->n_loops;
    p->macro = &frame;
    p->n_loops = 0;
    const bool is_ok = parse_block_to(p, &node->list, end);
    p->n_loops = n_loops;
    p->macro = frame.parent;
    node->op = (uint8_t)frame.uses;
    return is_ok;
}

static struct node *parse_macro(struct parser *p)
{
    struct node *node = nib_tpl_node(p, S_MACRO, p->current.line);
    nib_tpl_parse_next(p);
    if (!node || !(node->name = nib_tpl_parse_name(p)) || !parse_signature(p, &node->target))
        return NULL;
    return parse_macro_body(p, node, "endmacro") ? node : NULL;
}

static struct node *parse_call_block(struct parser *p)
{
    struct node *node = nib_tpl_node(p, S_CALL, p->current.line);
    nib_tpl_parse_next(p);
    if (!node || (nib_tpl_parse_is(p, T_LPAREN) && !parse_signature(p, &node->target)))
        return NULL;
    node->a = nib_tpl_parse_expression(p);
    if (!node->a)
        return NULL;
    if (node->a->kind != E_CALL)
        return nib_tpl_parse_fail(p, node->line, "{%% call %%} needs a call, as in name()");
    return parse_macro_body(p, node, "endcall") ? node : NULL;
}

static struct node *parse_filter_block(struct parser *p)
{
    struct node *node = nib_tpl_node(p, S_FILTER, p->current.line);
    nib_tpl_parse_next(p);
    if (!node || !(node->a = nib_tpl_parse_filters(p, NULL, true)))
        return NULL;
    return parse_block_to(p, &node->list, "endfilter") ? node : NULL;
}

static struct node *parse_with(struct parser *p)
{
    struct node *node = nib_tpl_node(p, S_WITH, p->current.line);
    struct node **tail = node ? &node->target : NULL;
    nib_tpl_parse_next(p);
    while (tail && !nib_tpl_parse_is(p, T_BLOCK_END)) {
        if (node->target && !nib_tpl_parse_expect(p, T_COMMA))
            return NULL;
        struct node *param = nib_tpl_node(p, E_PARAM, p->current.line);
        if (!param || !(param->target = nib_tpl_parse_target(p, false, NULL)) ||
            !nib_tpl_parse_expect(p, T_ASSIGN) || !(param->a = nib_tpl_parse_expression(p)) ||
            !nib_tpl_node_done(p, param))
            return NULL;
        tail = nib_tpl_append(tail, param);
    }
    return tail && parse_block_to(p, &node->list, "endwith") ? node : NULL;
}

static struct node *parse_print(struct parser *p)
{
    struct node *node = nib_tpl_node(p, S_PRINT, p->current.line);
    struct node **tail = node ? &node->list : NULL;
    nib_tpl_parse_next(p);
    while (tail && !nib_tpl_parse_is(p, T_BLOCK_END)) {
        if (node->list && !nib_tpl_parse_expect(p, T_COMMA))
            return NULL;
        struct node *output = nib_tpl_node(p, S_OUTPUT, p->current.line);
        if (!output || !(output->a = nib_tpl_parse_expression(p)) || !nib_tpl_node_done(p, output))
            return NULL;
        tail = nib_tpl_append(tail, output);
    }
    return tail ? node : NULL;
}

/* Training marks what the model has to learn; the text is printed like any other. */
static struct node *parse_generation(struct parser *p)
{
    struct node *node = nib_tpl_node(p, S_SCOPE, p->current.line);
    nib_tpl_parse_next(p);
    return node && parse_block_to(p, &node->list, "endgeneration") ? node : NULL;
}

/* Nothing can extend a chat template, so a block is just printed where it stands. */
static struct node *parse_named_block(struct parser *p)
{
    struct node *node = nib_tpl_node(p, S_BLOCK, p->current.line);
    nib_tpl_parse_next(p);
    if (!node || !(node->name = nib_tpl_parse_name(p)))
        return NULL;
    node->op = nib_tpl_parse_skip_name(p, "scoped");
    nib_tpl_parse_skip_name(p, "required");
    const unsigned n_loops = p->n_loops;
    p->n_loops = 0;
    const bool is_ok = parse_block_to(p, &node->list, "endblock");
    p->n_loops = n_loops;
    if (is_ok && nib_tpl_parse_is(p, T_NAME))
        nib_tpl_parse_next(p); /* its name again */
    return is_ok ? node : NULL;
}

static struct node *parse_jump(struct parser *p)
{
    const unsigned line = p->current.line;
    const bool is_break = nib_tpl_parse_is_name(p, "break");
    nib_tpl_parse_next(p);
    if (p->n_loops == 0)
        return nib_tpl_parse_fail(p, line, "'%s' outside of a loop",
                                  is_break ? "break" : "continue");
    return nib_tpl_node(p, is_break ? S_BREAK : S_CONTINUE, line);
}

static struct node *fail_statement(struct parser *p)
{
    static const char *const unsupported[] = {"include",    "import",   "from",  "extends",
                                              "block",      "do",       "trans", "debug",
                                              "autoescape", "pluralize"};
    const struct nib_str name = p->current.text;
    for (size_t i = 0; i < NIB_COUNT(unsupported); i++) {
        if (nib_str_equal(name, nib_str_from(unsupported[i])))
            return nib_tpl_parse_fail(
                p, p->current.line,
                "{%% %s %%} is not supported in chat templates; use a template "
                "without it",
                unsupported[i]);
    }
    return nib_tpl_parse_fail(p, p->current.line, "there is no tag {%% %.*s %%} here",
                              (int)(name.len > 60 ? 60 : name.len), name.data);
}

static struct node *parse_statement(struct parser *p)
{
    static const struct {
        const char *name;
        struct node *(*parse)(struct parser *p);
    } statements[] = {
        {"set", parse_set},           {"if", parse_if},           {"for", parse_for},
        {"macro", parse_macro},       {"call", parse_call_block}, {"filter", parse_filter_block},
        {"block", parse_named_block}, {"with", parse_with},       {"generation", parse_generation},
        {"break", parse_jump},        {"continue", parse_jump},   {"print", parse_print},
    };
    for (size_t i = 0; i < NIB_COUNT(statements); i++) {
        if (nib_tpl_parse_is_name(p, statements[i].name)) {
            struct node *node = statements[i].parse(p);
            return node && nib_tpl_node_done(p, node) ? node : NULL;
        }
    }
    if (!nib_tpl_parse_is(p, T_NAME))
        return nib_tpl_parse_fail(p, p->current.line, "expected the name of a tag, found %s",
                                  nib_tpl_token_name(p->current.kind));
    return fail_statement(p);
}

static bool at_end_tag(const struct parser *p, const char *const *ends)
{
    for (; ends && *ends; ends++) {
        if (nib_tpl_parse_is_name(p, *ends))
            return true;
    }
    return false;
}

static struct node *parse_text(struct parser *p)
{
    struct node *node = nib_tpl_node(p, S_TEXT, p->current.line);
    if (node)
        node->value = nib_tpl_parse_string(p, p->current.text);
    nib_tpl_parse_next(p);
    return node;
}

static struct node *parse_output(struct parser *p)
{
    struct node *node = nib_tpl_node(p, S_OUTPUT, p->current.line);
    nib_tpl_parse_next(p);
    if (!node || !(node->a = nib_tpl_parse_tuple(p, false, NULL)) || !nib_tpl_node_done(p, node))
        return NULL;
    return nib_tpl_parse_expect(p, T_VARIABLE_END) ? node : NULL;
}

static void fail_open_block(struct parser *p, unsigned line, const char *const *ends)
{
    while (strncmp(*ends, "end", 3) != 0)
        ends++; /* not else or elif */
    nib_tpl_parse_fail(p, line, "the block that begins here is not closed; add {%% %s %%}", *ends);
}

/* Up to one of the end tags, or the template's end where `ends` is NULL. */
static bool parse_nodes(struct parser *p, struct node **tail, const char *const *ends)
{
    const unsigned line = p->current.line;
    while (tail && !p->failed) {
        switch (p->current.kind) {
        case T_DATA:
            tail = nib_tpl_append(tail, parse_text(p));
            break;
        case T_VARIABLE_BEGIN:
            tail = nib_tpl_append(tail, parse_output(p));
            break;
        case T_BLOCK_BEGIN:
            nib_tpl_parse_next(p);
            if (at_end_tag(p, ends))
                return true;
            tail = nib_tpl_append(tail, parse_statement(p));
            if (tail)
                nib_tpl_parse_expect(p, T_BLOCK_END);
            break;
        default:
            if (ends)
                fail_open_block(p, line, ends);
            return !p->failed;
        }
    }
    return false;
}

static bool parse_body(struct parser *p, struct node **list, const char *const *ends)
{
    if (!nib_tpl_parse_enter(p))
        return false;
    const bool is_ok = parse_nodes(p, list, ends);
    nib_tpl_parse_leave(p);
    return is_ok;
}

enum nib_status nib_tpl_parse(struct node **out, struct nib_str source, struct arena *arena,
                              struct nib_error *err)
{
    struct parser p = {.arena = arena, .err = err};
    *out = NULL;
    enum nib_status status = nib_tpl_lexer_init(&p.lexer, source, arena, err);
    if (status != NIB_OK)
        return status;
    nib_tpl_parse_next(&p);
    struct node *body = nib_tpl_node(&p, S_SCOPE, 1);
    if (body && parse_body(&p, &body->list, NULL) && p.unknown)
        nib_tpl_parse_fail(&p, p.unknown->line, "there is no %s '%.*s'",
                           p.unknown->kind == E_FILTER ? "filter" : "test",
                           (int)p.unknown->name->len, p.unknown->name->data);
    if (!p.failed && !nib_tpl_find_unset(body, arena))
        nib_tpl_parse_fail(&p, 1, "the template is too large");
    if (p.failed)
        return p.status;
    *out = body;
    return NIB_OK;
}
