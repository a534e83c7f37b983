/*
 * Values of a template while it is rendered, with the meaning that Python gives them: what they
 * are, how they are made, compared, hashed and walked.
 *
 * Everything lives in the arena of one rendering and is released with it.  A failure is recorded
 * once, in struct render; from then on functions give a value of kind V_ERROR, NULL or false, and
 * callers hand that on.
 */
#ifndef NIB_TEMPLATE_VALUE_H
#define NIB_TEMPLATE_VALUE_H

#include "common.h"

enum {
    /* Interpreter frames at once.  An expression of the deepest nesting the parser accepts fits
     * into it several times over; a frame takes well below 1 KB of stack. */
    NIB_TPL_MAX_FRAMES = 1024,
    NIB_TPL_MAX_RANGE = 100000, /* items of a range(), as in Jinja's sandbox */
};

/* ---- memory --------------------------------------------------------------------------------- */

struct arena_block;

struct arena {
    struct arena_block *blocks;
    size_t n_bytes, max_bytes;
};

/* Zeroed, aligned for any type; NULL if that would pass max_bytes or there is no memory. */
void *nib_tpl_arena_alloc(struct arena *arena, size_t n_bytes);
void nib_tpl_arena_free(struct arena *arena);

/* ---- values --------------------------------------------------------------------------------- */

enum value_kind {
    V_MISSING, /* an argument that was not given; never seen by a template */
    V_ERROR,   /* the rendering failed */
    V_UNDEFINED,
    V_NONE,
    V_BOOL,
    V_INT,
    V_BIG, /* an integer beyond 64 bits, as its digits: may be printed and compared, not computed
              with */
    V_FLOAT,
    V_STRING,
    V_LIST,
    V_TUPLE,
    V_DICT,
    V_VIEW, /* dict.keys(), .values(), .items() */
    V_RANGE,
    V_ITERATOR, /* what map, select, reverse ... give: can be walked once */
    V_NAMESPACE,
    V_MACRO,
    V_FUNCTION, /* a global */
    V_METHOD,   /* a function bound to a value */
    V_LOOP,
    V_CYCLER,
    V_JOINER,
};

/* UTF-8; never changed once made. */
struct string {
    const char *data;
    size_t len, n_chars;
    struct tail *tail; /* not NULL: data lies in a buffer with room behind it, see concat */
};

struct render;

struct value {
    uint8_t kind;
    bool safe;  /* a string that is HTML already (Markup) */
    bool group; /* a tuple of groupby, with .grouper and .list */
    union {
        bool b;
        int64_t i;
        double d;
        const struct string *s;
        struct list *list; /* V_LIST, V_TUPLE */
        struct dict *dict; /* V_DICT, V_NAMESPACE */
        struct view *view;
        struct range *range;
        struct iterator *iterator;
        struct undefined *undefined;
        struct macro *macro;             /* template_eval.h */
        struct loop *loop;               /* template_eval.h */
        const struct function *function; /* template_function.h */
        struct method *method;           /* template_function.h */
        struct cycler *cycler;           /* template_function.h */
        struct joiner *joiner;           /* template_function.h */
    } u;
};

struct list {
    struct value *items;
    size_t n, cap;
};

struct dict_entry {
    struct value key, value;
    uint64_t hash;
};

/* In the order of insertion; index is an open-addressing table of entry numbers + 1, once it pays.
 */
struct dict {
    struct dict_entry *entries;
    size_t n, cap;
    uint32_t *index;
    size_t n_index;
};

struct view {
    enum { VIEW_KEYS, VIEW_VALUES, VIEW_ITEMS } what;
    struct dict *dict;
};

struct range {
    int64_t start, stop, step;
    size_t n;
};

struct args;
typedef struct value function_fn(struct render *r, struct value self, const struct args *args);

/* Generators do nothing before they are asked: what goes wrong in one is no error until then. */
struct iterator {
    const char *type;   /* what Python calls it */
    struct list *items; /* NULL: not computed yet */
    size_t next;
    function_fn *compute; /* gives a list */
    struct value self;
    const struct args *args;
};

/* Says what was looked up in vain, for the error that its use gives. */
struct undefined {
    const char *hint;    /* a sentence, or NULL: about name and object */
    struct value object; /* V_MISSING: `name` is a variable */
    struct value name;
    bool is_unsafe; /* an attribute that the sandbox refuses */
};

/* ---- one rendering -------------------------------------------------------------------------- */

struct render {
    struct arena arena; /* max_bytes also bounds out.cap */
    struct {
        char *data;
        size_t len, cap;
    } out; /* the text so far, and behind it strings being built */
    size_t steps;
    unsigned frames, n_calls;
    unsigned line; /* of the template, of what is being evaluated */
    int64_t now;
    bool failed;
    struct nib_error *err;
    enum nib_status status;
    struct dict *context;     /* the variables that the template was given */
    struct value block_value; /* what the filters of a set or filter block begin with */
};

/* Record a failure, with the line in front; the first one stays. */
struct value nib_tpl_fail(struct render *r, const char *format, ...) NIB_PRINTF(2, 3);

/* Count work that is not bounded by memory: n bytes read cost about n / 32 steps. */
bool nib_tpl_charge(struct render *r, size_t steps);
bool nib_tpl_charge_bytes(struct render *r, size_t n_bytes);

bool nib_tpl_enter(struct render *r); /* one more frame; false: nested too deeply */
void nib_tpl_leave(struct render *r);

void *nib_tpl_alloc(struct render *r, size_t n_bytes);              /* zeroed */
void *nib_tpl_alloc_array(struct render *r, size_t n, size_t size); /* n * size, checked */

/* Strings are built at the end of `out`: mark = r->out.len, put ..., take(mark). */
void nib_tpl_put(struct render *r, const char *data, size_t len);
void nib_tpl_put_c(struct render *r, const char *zero_terminated);
void nib_tpl_put_char(struct render *r, int32_t code_point);
void nib_tpl_put_repeated(struct render *r, int32_t code_point, size_t n);
struct value nib_tpl_take(struct render *r, size_t mark);

/* ---- making values -------------------------------------------------------------------------- */

#define NIB_TPL_NONE  ((struct value){.kind = V_NONE})
#define NIB_TPL_ERROR ((struct value){.kind = V_ERROR})

static inline struct value nib_tpl_bool(bool b)
{
    return (struct value){.kind = V_BOOL, .u.b = b};
}

static inline struct value nib_tpl_int(int64_t i)
{
    return (struct value){.kind = V_INT, .u.i = i};
}

static inline struct value nib_tpl_float(double d)
{
    return (struct value){.kind = V_FLOAT, .u.d = d};
}

static inline struct value nib_tpl_string_value(const struct string *s)
{
    return (struct value){.kind = V_STRING, .u.s = s};
}

struct value nib_tpl_string(struct render *r, const char *data, size_t len); /* copies */
struct value nib_tpl_string_c(struct render *r, const char *zero_terminated);
struct value nib_tpl_string_ref(struct render *r, const char *data, size_t len); /* does not copy */

struct list *nib_tpl_list_new(struct render *r, size_t cap);
bool nib_tpl_list_add(struct render *r, struct list *list, struct value item);
struct value nib_tpl_list_value(struct list *list);                          /* NULL: V_ERROR */
struct value nib_tpl_tuple_value(struct list *list);                         /* NULL: V_ERROR */
struct value nib_tpl_pair(struct render *r, struct value a, struct value b); /* a tuple */
struct value nib_tpl_iterator(struct render *r, const char *type, struct list *items);
/* A generator of the items that compute(self, args) will give. */
struct value nib_tpl_generator(struct render *r, function_fn *compute, struct value self,
                               const struct args *args);
struct list *nib_tpl_iterator_items(struct render *r, struct iterator *iterator); /* all of them */

struct dict *nib_tpl_dict_new(struct render *r);
bool nib_tpl_dict_set(struct render *r, struct dict *dict, struct value key, struct value value);
/* NULL: no such key, or it cannot be a key. */
struct value *nib_tpl_dict_get(struct render *r, const struct dict *dict, struct value key);
struct value nib_tpl_dict_value(struct dict *dict); /* NULL: V_ERROR */

struct value nib_tpl_undefined(struct render *r, struct value object, struct value name);
struct value nib_tpl_undefined_hint(struct render *r, const char *hint);
struct value nib_tpl_undefined_error(struct render *r, struct value undefined);

/* ---- asking values -------------------------------------------------------------------------- */

const char *nib_tpl_type_name(struct value v); /* Python's: "str", "dict", ... */
bool nib_tpl_truth(struct value v);
bool nib_tpl_is_number(struct value v); /* bool, int, float */
bool nib_tpl_hashable(struct render *r, struct value v);

/* ==; a failure (values nested too deeply) is in r->failed. */
bool nib_tpl_equal(struct render *r, struct value a, struct value b);

enum order { ORDER_LESS = -1, ORDER_EQUAL = 0, ORDER_GREATER = 1, ORDER_NONE = 2, ORDER_ERROR = 3 };

/* For < and its relatives; ORDER_NONE: one is not a number; ORDER_ERROR: `op` does not exist for
 * them, recorded. */
enum order nib_tpl_order(struct render *r, const char *op, struct value a, struct value b);

/* Any int-like value as int64; false, with an error that names `what`, if it is none. */
bool nib_tpl_to_int(struct render *r, struct value v, const char *what, int64_t *out);

/* len(); -1: it has none. */
int64_t nib_tpl_length(struct value v);
bool nib_tpl_is_iterable(struct value v);

/* All items in order.  A list or tuple gives its own list, which must not be changed; an iterator
 * is used up.  NULL: recorded "object is not iterable". */
struct list *nib_tpl_items(struct render *r, struct value v);

/* `item in container` */
bool nib_tpl_contains(struct render *r, struct value container, struct value item);

/* ---- printing (template_print.c) ------------------------------------------------------------ */

void nib_tpl_put_str(struct render *r, struct value v);  /* str(v) */
void nib_tpl_put_repr(struct render *r, struct value v); /* repr(v) */
struct value nib_tpl_str(struct render *r, struct value v);

enum { NIB_TPL_FLOAT_CHARS = 40 };

/* The shortest decimal that reads back as d, in Python's layout: "1.0", "1e-05", "inf". */
size_t nib_tpl_float_repr(char out[NIB_TPL_FLOAT_CHARS], double d);

#endif
