/*
 * What a template can call: filters, tests, methods and globals, each a row of a table with its
 * parameters, so that arguments are matched in one place.
 */
#ifndef NIB_TEMPLATE_FUNCTION_H
#define NIB_TEMPLATE_FUNCTION_H

#include "template_value.h"

enum { NIB_TPL_MAX_PARAMS = 6 };

struct keyword {
    const struct string *name;
    struct value value;
};

struct args {
    struct value *items;
    size_t n;
    struct keyword *keywords;
    size_t n_keywords;
};

struct function {
    const char *name;
    function_fn *call; /* self: the value left of a filter or test, the object of a method */
    uint8_t n_required;
    bool is_variadic; /* takes `args` as they were written */
    /* Else args->items[i] is the argument of the i-th parameter, V_MISSING where there is none.  A
     * parameter named "-" cannot be given by keyword. */
    const char *params[NIB_TPL_MAX_PARAMS];
};

struct method {
    const struct function *function;
    struct value self;
};

struct cycler {
    struct list *items;
    size_t at;
};

struct joiner {
    struct value separator;
    bool was_used;
};

/* Match arguments with parameters and call; what is wrong with them is recorded. */
struct value nib_tpl_apply(struct render *r, const struct function *function, struct value self,
                           const struct args *args);

/* NULL: there is none. */
const struct function *nib_tpl_find_filter(struct nib_str name);
const struct function *nib_tpl_find_test(struct nib_str name);
const struct function *nib_tpl_find_global(struct nib_str name);
const struct function *nib_tpl_find_method(struct value self, struct nib_str name);

/* Rows of a table that ends with a NULL name. */
const struct function *nib_tpl_find_function(const struct function *table, struct nib_str name);

extern const struct function nib_tpl_string_methods[];
extern const struct function nib_tpl_letter_methods[];
extern const struct function nib_tpl_list_methods[];
extern const struct function nib_tpl_dict_methods[];
extern const struct function nib_tpl_tuple_methods[];
extern const struct function nib_tpl_loop_methods[];
extern const struct function nib_tpl_cycler_methods[];
extern const struct function nib_tpl_text_filters[];
extern const struct function nib_tpl_sequence_filters[];
extern const struct function nib_tpl_value_filters[];

#endif
