/* A template as a tree, in one arena, and how it is parsed. */
#ifndef NIB_TEMPLATE_PARSER_H
#define NIB_TEMPLATE_PARSER_H

#include "template_lexer.h"
#include "template_ops.h"

enum node_kind {
    /* expressions             what the fields of struct node hold */
    E_CONST,   /* value */
    E_NAME,    /* name */
    E_ATTR,    /* a.name */
    E_ITEM,    /* a[b] */
    E_SLICE,   /* a:b:c, each may be NULL; only below E_ITEM */
    E_CALL,    /* a(list) */
    E_FILTER,  /* a|name(list); a is NULL at the head of a filter or set block */
    E_TEST,    /* a is name(list) */
    E_NOT,     /* not a */
    E_NEG,     /* -a */
    E_POS,     /* +a */
    E_BINARY,  /* a op b */
    E_AND,     /* a and b */
    E_OR,      /* a or b */
    E_CONCAT,  /* list joined by ~ */
    E_COMPARE, /* a, then list of E_OPERAND */
    E_OPERAND, /* op a */
    E_COND,    /* b if a else c; c may be NULL */
    E_LIST,    /* [list] */
    E_TUPLE,   /* (list) */
    E_DICT,    /* {list}, keys and values in turn */
    E_ARG,     /* below calls: a, name=a, *a or **a by op */

    /* statements */
    S_TEXT,     /* value */
    S_OUTPUT,   /* {{ a }} */
    S_IF,       /* list of branches, each S_IF with a: list; otherwise */
    S_FOR,      /* target in a (if b): list; otherwise; op: is it recursive? */
    S_SET,      /* target = a */
    S_SETBLOCK, /* target = list, through the filters a or NULL */
    S_MACRO,    /* name(target list, each E_PARAM): list; op: enum macro_use */
    S_CALL,     /* call a with a macro like S_MACRO, without name */
    S_FILTER,   /* list through the filters a */
    S_WITH,     /* target list, each E_PARAM with its value: list */
    S_SCOPE,    /* list, with names of its own */
    S_PRINT,    /* list of S_OUTPUT */
    S_BLOCK,    /* list; op: does it see the names around it, or only those of the template? */
    S_BREAK,
    S_CONTINUE,

    E_PARAM, /* name, a: its default or NULL; in S_WITH target and a */
    E_NSREF, /* name.value, as a target */
};

enum compare_op { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE, CMP_IN, CMP_NOT_IN };
enum arg_kind { ARG_POSITION, ARG_KEYWORD, ARG_LIST, ARG_DICT };
enum macro_use { USES_CALLER = 1, USES_KWARGS = 2, USES_VARARGS = 4 };

struct node {
    uint8_t kind, op;
    uint16_t depth; /* 1 + the deepest child's: at most NIB_TEMPLATE_MAX_DEPTH */
    unsigned line;
    struct node *next; /* in the list it is in */
    struct node *a, *b, *c;
    struct node *list, *target, *otherwise;
    const struct string *name;
    struct value value;
    const struct names *unset, *unset_otherwise; /* what its scopes begin with as undefined */
    const struct function *function; /* of E_FILTER and E_TEST; NULL: unknown, fails when reached */
};

struct names {
    size_t n;
    const struct string *names[];
};

/* The macro being parsed: which of the names that exist only inside of macros its body uses. */
struct macro_frame {
    struct macro_frame *parent;
    unsigned uses;
};

struct parser {
    struct lexer lexer;
    struct token current, ahead;
    bool has_ahead, failed;
    struct arena *arena;
    struct nib_error *err;
    enum nib_status status;
    unsigned depth;   /* of the recursion of the parser itself */
    unsigned n_loops; /* around, inside of the same macro: break and continue need one */
    /* The first unknown filter or test that is not below an if: that is an error at once, others
     * are one when they are reached. */
    const struct node *unknown;
    struct macro_frame *macro;
    const struct string **names; /* interned, open addressing */
    size_t n_names, n_slots;
};

enum nib_status nib_tpl_parse(struct node **out, struct nib_str source, struct arena *arena,
                              struct nib_error *err);

/* Fill `unset` of a whole tree (template_scopes.c); false: no memory. */
bool nib_tpl_find_unset(struct node *root, struct arena *arena);

/* ---- between template_parser.c and template_expression.c ------------------------------------ */

/* All give NULL or false after a failure, which is recorded once. */
void *nib_tpl_parse_fail(struct parser *p, unsigned line, const char *format, ...) NIB_PRINTF(3, 4);
void nib_tpl_parse_next(struct parser *p);
struct token nib_tpl_parse_ahead(struct parser *p);
bool nib_tpl_parse_is(const struct parser *p, enum token_kind kind);
bool nib_tpl_parse_is_name(const struct parser *p, const char *name);
bool nib_tpl_parse_skip(struct parser *p, enum token_kind kind);
bool nib_tpl_parse_skip_name(struct parser *p, const char *name);
bool nib_tpl_parse_expect(struct parser *p, enum token_kind kind);
const struct string *nib_tpl_parse_name(struct parser *p); /* expects one, interned */
const struct string *nib_tpl_intern(struct parser *p, struct nib_str text);
struct value nib_tpl_parse_string(struct parser *p, struct nib_str text); /* copies */
bool nib_tpl_parse_enter(struct parser *p);
void nib_tpl_parse_leave(struct parser *p);

struct node *nib_tpl_node(struct parser *p, enum node_kind kind, unsigned line);
/* Set depth from the children; false: too deep. */
bool nib_tpl_node_done(struct parser *p, struct node *node);
struct node **nib_tpl_append(struct node **tail, struct node *node); /* the new tail */

struct node *nib_tpl_parse_expression(struct parser *p);
/* One expression, or several with commas: a tuple.  With is_condition, "if" ends it. */
struct node *nib_tpl_parse_tuple(struct parser *p, bool is_condition, const char *end_name);
/* Names, tuples of names and, with_namespace, attributes of namespaces. */
struct node *nib_tpl_parse_target(struct parser *p, bool with_namespace, const char *end_name);
/* "|name(args)|..." around `node`; with is_inline the first one has no "|". */
struct node *nib_tpl_parse_filters(struct parser *p, struct node *node, bool is_inline);

#endif
