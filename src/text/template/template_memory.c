/* The arena and the state of one rendering: bounded memory, steps and frames, and the text buffer.
 */
#include "template.h"
#include "template_text.h"
#include "template_value.h"

#include <stdarg.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCK_BYTES = 32 << 10 };

struct arena_block {
    struct arena_block *next;
    size_t used, cap;
    alignas(max_align_t) char data[];
};

void *nib_tpl_arena_alloc(struct arena *arena, size_t n_bytes)
{
    const size_t align = alignof(max_align_t);
    if (n_bytes > arena->max_bytes)
        return NULL;
    n_bytes = (n_bytes + align - 1) / align * align;
    struct arena_block *block = arena->blocks;
    if (!block || block->cap - block->used < n_bytes) {
        size_t cap = n_bytes > BLOCK_BYTES / 4 ? n_bytes : BLOCK_BYTES;
        if (cap > arena->max_bytes - arena->n_bytes)
            return NULL;
        block = calloc(1, sizeof(*block) + cap);
        if (!block)
            return NULL;
        block->cap = cap;
        arena->n_bytes += cap;
        /* A large block is full at once: the one in use stays in front. */
        if (cap != BLOCK_BYTES && arena->blocks) {
            block->next = arena->blocks->next;
            arena->blocks->next = block;
        } else {
            block->next = arena->blocks;
            arena->blocks = block;
        }
    }
    void *memory = block->data + block->used;
    block->used += n_bytes;
    return memory;
}

void nib_tpl_arena_free(struct arena *arena)
{
    for (struct arena_block *block = arena->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    arena->blocks = NULL;
    arena->n_bytes = 0;
}

struct value nib_tpl_fail(struct render *r, const char *format, ...)
{
    if (!r->failed) {
        char text[sizeof r->err->message];
        va_list args;
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        r->failed = true;
        r->status =
            nib_fail(r->err, NIB_ERROR_TEMPLATE, "chat template, line %u: %s", r->line, text);
    }
    return NIB_TPL_ERROR;
}

static void fail_budget(struct render *r)
{
    nib_tpl_fail(
        r,
        "the template and its values need more than %d MB; shorten the conversation or use "
        "another template",
        NIB_TEMPLATE_MAX_OUTPUT >> 20);
}

bool nib_tpl_charge(struct render *r, size_t steps)
{
    r->steps += steps;
    if (r->steps > NIB_TEMPLATE_MAX_STEPS) {
        nib_tpl_fail(r, "the template does not end within %d steps; use another template",
                     NIB_TEMPLATE_MAX_STEPS);
        return false;
    }
    return !r->failed;
}

bool nib_tpl_charge_bytes(struct render *r, size_t n_bytes)
{
    return nib_tpl_charge(r, n_bytes / 32);
}

bool nib_tpl_enter(struct render *r)
{
    if (r->frames >= NIB_TPL_MAX_FRAMES) {
        nib_tpl_fail(r, "expressions, values or calls are nested too deeply");
        return false;
    }
    r->frames++;
    return true;
}

void nib_tpl_leave(struct render *r)
{
    r->frames--;
}

void *nib_tpl_alloc(struct render *r, size_t n_bytes)
{
    if (r->failed)
        return NULL;
    void *memory = nib_tpl_arena_alloc(&r->arena, n_bytes);
    if (!memory)
        fail_budget(r);
    return memory;
}

void *nib_tpl_alloc_array(struct render *r, size_t n, size_t size)
{
    if (n > r->arena.max_bytes / size) {
        fail_budget(r);
        return NULL;
    }
    return nib_tpl_alloc(r, n * size);
}

/* The arena's limit shrinks by what the text buffer takes, so that both together stay below it. */
static bool out_reserve(struct render *r, size_t n)
{
    if (r->failed)
        return false;
    size_t left = r->out.cap - r->out.len;
    if (n <= left)
        return true;
    size_t grow = r->out.cap < 4096 ? 4096 : r->out.cap;
    if (grow < n - left)
        grow = n - left;
    size_t free_bytes = r->arena.max_bytes - r->arena.n_bytes;
    if (grow > free_bytes) /* not by the bytes at hand alone: each time all of it may be copied */
        grow = n - left > free_bytes / 2 ? n - left : free_bytes / 2;
    char *data = grow <= free_bytes ? realloc(r->out.data, r->out.cap + grow) : NULL;
    if (!data) {
        fail_budget(r);
        return false;
    }
    r->arena.max_bytes -= grow;
    r->out.data = data;
    r->out.cap += grow;
    return true;
}

void nib_tpl_put(struct render *r, const char *data, size_t len)
{
    if (len == 0 || !out_reserve(r, len))
        return;
    memcpy(r->out.data + r->out.len, data, len);
    r->out.len += len;
}

void nib_tpl_put_c(struct render *r, const char *zero_terminated)
{
    nib_tpl_put(r, zero_terminated, strlen(zero_terminated));
}

void nib_tpl_put_char(struct render *r, int32_t code_point)
{
    char bytes[4];
    nib_tpl_put(r, bytes, nib_tpl_encode(code_point, bytes));
}

void nib_tpl_put_repeated(struct render *r, int32_t code_point, size_t n)
{
    char bytes[4];
    size_t len = nib_tpl_encode(code_point, bytes);
    if (n > r->arena.max_bytes) {
        fail_budget(r);
        return;
    }
    if (!out_reserve(r, n * len))
        return;
    for (size_t i = 0; i < n; i++, r->out.len += len)
        memcpy(r->out.data + r->out.len, bytes, len);
}

struct value nib_tpl_take(struct render *r, size_t mark)
{
    if (r->failed)
        return NIB_TPL_ERROR;
    const char *data = r->out.data ? r->out.data + mark : "";
    struct value v = nib_tpl_string(r, data, r->out.len - mark);
    r->out.len = mark;
    return v;
}
