/*
 * Running a parsed template: scopes, expressions, statements, macros and loops.
 */
#ifndef NIB_TEMPLATE_EVAL_H
#define NIB_TEMPLATE_EVAL_H

#include "template_function.h"

struct node;

struct variable {
    const struct string *name; /* interned by the parser: equal names are one pointer */
    struct value value;
};

struct scope {
    struct scope *parent;
    struct variable *variables;
    size_t n, cap;
    bool is_captured; /* a macro may look into it later */
};

/* The tree in `body`, with the variables of `context`, into r->out. */
bool nib_tpl_run(struct render *r, const struct node *body, struct dict *context);

struct value nib_tpl_eval(struct render *r, struct scope *scope, const struct node *expression);

/* Anything that can be called, or an error. */
struct value nib_tpl_call(struct render *r, struct value callee, const struct args *args);

/* Names that the interpreter itself gives values to; the parser interns them as these. */
extern const struct string nib_tpl_name_loop, nib_tpl_name_caller, nib_tpl_name_kwargs,
    nib_tpl_name_varargs;

bool nib_tpl_assign(struct render *r, struct scope *scope, const struct string *name,
                    struct value value);
/* Store into a name, a namespace's attribute, or a tuple of them. */
bool nib_tpl_assign_target(struct render *r, struct scope *scope, const struct node *target,
                           struct value value);
struct names;
/* A scope in which the names of `unset` (NULL: none) are undefined. */
struct scope *nib_tpl_scope_new(struct render *r, struct scope *parent, const struct names *unset);
bool nib_tpl_scope_reset(struct render *r, struct scope *scope, const struct names *unset);

/* Arguments of a call, filter or test as they are written: with *args and **kwargs spread. */
bool nib_tpl_eval_args(struct render *r, struct scope *scope, const struct node *first,
                       struct args *out);

struct value nib_tpl_macro_call(struct render *r, struct macro *macro, const struct args *args);
const struct string *nib_tpl_macro_name(const struct macro *macro); /* NULL: a call block */

struct value nib_tpl_loop_call(struct render *r, struct loop *loop, struct value iterable);
struct value nib_tpl_loop_attribute(struct render *r, struct loop *loop, struct nib_str name);
int64_t nib_tpl_loop_length(struct loop *loop); /* -1: failed */

#endif
