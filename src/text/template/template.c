/* Chat templates: parse once, render with a conversation. */
#include "template.h"
#include "template_eval.h"
#include "template_parser.h"

#include <stdlib.h>

struct nib_template {
    struct arena arena;
    struct node *body;
};

enum nib_status nib_template_parse(struct nib_template **out, struct nib_str source,
                                   struct nib_error *err)
{
    *out = NULL;
    struct nib_template *tpl = calloc(1, sizeof *tpl);
    if (!tpl)
        return nib_fail_memory(err, sizeof *tpl, "a chat template");
    tpl->arena.max_bytes = NIB_TEMPLATE_MAX_OUTPUT;
    const enum nib_status status = nib_tpl_parse(&tpl->body, source, &tpl->arena, err);
    if (status != NIB_OK) {
        nib_template_free(tpl);
        return status;
    }
    *out = tpl;
    return NIB_OK;
}

void nib_template_free(struct nib_template *tpl)
{
    if (!tpl)
        return;
    nib_tpl_arena_free(&tpl->arena);
    free(tpl);
}

static bool render(struct render *r, const struct nib_template *tpl, struct nib_str json)
{
    const struct value context = nib_tpl_read_json(r, json);
    if (context.kind == V_ERROR)
        return false;
    if (context.kind != V_DICT) {
        nib_tpl_fail(r, "the variables must be a JSON object");
        return false;
    }
    if (!nib_tpl_run(r, tpl->body, context.u.dict))
        return false;
    nib_tpl_put(r, "", 1); /* the zero that ends it */
    return !r->failed;
}

enum nib_status nib_template_render(const struct nib_template *tpl, struct nib_str json,
                                    int64_t now, char **text, size_t *n_bytes,
                                    struct nib_error *err)
{
    struct nib_error unused;
    struct render r = {
        .arena = {.max_bytes = NIB_TEMPLATE_MAX_OUTPUT},
        .now = now,
        .line = 1,
        .err = err ? err : &unused,
    };
    *text = NULL;
    *n_bytes = 0;
    const bool is_ok = render(&r, tpl, json);
    nib_tpl_arena_free(&r.arena);
    if (!is_ok) {
        free(r.out.data);
        return r.status;
    }
    *n_bytes = r.out.len - 1;
    *text = r.out.data;
    return NIB_OK;
}
