/* Operators, attributes, items and text formats, as Python defines them. */
#ifndef NIB_TEMPLATE_OPS_H
#define NIB_TEMPLATE_OPS_H

#include "template_function.h"

enum binary_op { OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_FLOORDIV, OP_MOD, OP_POW };

struct value nib_tpl_binary(struct render *r, enum binary_op op, struct value a, struct value b);
struct value nib_tpl_negate(struct render *r, struct value v);
struct value nib_tpl_plus(struct render *r, struct value v);
struct value nib_tpl_concat(struct render *r, const struct string *a, const struct string *b);

/* object.name and object[key]: undefined where there is nothing. */
struct value nib_tpl_getattr(struct render *r, struct value object, const struct string *name);
struct value nib_tpl_getitem(struct render *r, struct value object, struct value key);
/* object[start:stop:step], V_NONE for what is left out */
struct value nib_tpl_slice(struct render *r, struct value object, struct value start,
                           struct value stop, struct value step);

/* int(text, base) and float(text); false: not a number.  An integer beyond 64 bits gives V_BIG. */
bool nib_tpl_parse_int(struct render *r, struct nib_str text, int base, struct value *out);
bool nib_tpl_parse_float(struct nib_str text, double *out);
/* int(d): V_BIG is not made, it fails. */
struct value nib_tpl_int_of_float(struct render *r, double d);
/* Round to `places` decimals, halves to even, as round() does. */
double nib_tpl_round(double d, int64_t places);

/* format % args; `arg` is a tuple, a dict or one value. */
struct value nib_tpl_percent(struct render *r, const struct string *format, struct value arg);
/* format.format(*items, **keywords) */
struct value nib_tpl_format(struct render *r, const struct string *format, const struct args *args);

/* strftime() in English for a time in seconds since 1970 UTC. */
void nib_tpl_put_time(struct render *r, struct nib_str format, int64_t time);

struct json_options {
    bool ensure_ascii, sort_keys;
    const struct string *indent; /* NULL: all in one line */
    struct nib_str item_separator, key_separator;
};
void nib_tpl_put_json(struct render *r, struct value v, const struct json_options *options);

/* The JSON text as a value; fails for what is not JSON or nested too deeply. */
struct value nib_tpl_read_json(struct render *r, struct nib_str json);

/* "<b>" -> "&lt;b&gt;" */
struct value nib_tpl_escape(struct render *r, struct value v);

#endif
