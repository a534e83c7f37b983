/*
 * Chat templates: the part of Jinja (https://jinja.palletsprojects.com/en/stable/templates/) that
 * chat templates use, set up as Hugging Face transformers does it: trim_blocks, lstrip_blocks, loop
 * controls, tojson without ASCII escapes, raise_exception, strftime_now.  Anything else is an error
 * that names the construct and its line.
 *
 * Templates come from model files and are not trusted: there are no host objects, and depth, steps
 * and output are bounded (NIB_TEMPLATE_MAX_*).
 */
#ifndef NIB_TEMPLATE_H
#define NIB_TEMPLATE_H

#include "common.h"

enum {
    NIB_TEMPLATE_MAX_SOURCE = 1 << 20,  /* bytes */
    NIB_TEMPLATE_MAX_DEPTH = 128,       /* nesting of expressions, blocks, macro calls */
    NIB_TEMPLATE_MAX_STEPS = 10000000,  /* nodes evaluated */
    NIB_TEMPLATE_MAX_OUTPUT = 64 << 20, /* bytes, of the output and of all values alive */
};

struct nib_template;

enum nib_status nib_template_parse(struct nib_template **out, struct nib_str source,
                                   struct nib_error *err);
void nib_template_free(struct nib_template *tpl);

/*
 * Render with the variables of `json`, an object ({"messages": [...], "add_generation_prompt":
 * true, "bos_token": "...", ...}).  `now` is the time for strftime_now, in seconds since 1970 UTC.
 * *text is malloc'ed and zero-terminated.
 */
enum nib_status nib_template_render(const struct nib_template *tpl, struct nib_str json,
                                    int64_t now, char **text, size_t *n_bytes,
                                    struct nib_error *err);

#endif
