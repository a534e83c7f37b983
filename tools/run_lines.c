/* See run_lines.h. */
#include "run_lines.h"
#include "terminal.h"

#include <stdlib.h>
#include <string.h>

static void allocate(struct nib_run_lines *out, size_t n)
{
    *out = (struct nib_run_lines){.lines = nib_grow(NULL, n + 1, sizeof *out->lines), .n_lines = n};
    memset(out->lines, 0, (n + 1) * sizeof *out->lines);
}

static int32_t *copy_ids(const int32_t *ids, size_t n)
{
    int32_t *copy = nib_grow(NULL, n + 1, sizeof *copy);
    if (n > 0)
        memcpy(copy, ids, n * sizeof *copy);
    return copy;
}

static int tokenize(const struct nib_model *model, const char *text, size_t n_bytes, unsigned flags,
                    int32_t **ids, size_t *n_ids)
{
    int32_t *own;
    struct nib_error err;
    if (nib_tokenize(model, text, n_bytes, flags, &own, n_ids, &err) != NIB_OK)
        return nib_complain_error(&err);
    *ids = copy_ids(own, *n_ids);
    nib_free(own);
    return NIB_EXIT_OK;
}

/* ---- prompts and ids ------------------------------------------------------------------------ */

int nib_run_lines_from_prompt(struct nib_run_lines *out, const struct nib_model *model,
                              const struct nib_buffer *text, bool is_chat)
{
    const unsigned flags = is_chat ? NIB_PARSE_SPECIAL : NIB_ADD_SPECIAL | NIB_PARSE_SPECIAL;
    allocate(out, 1);
    out->texts = (struct nib_texts){1, nib_grow(NULL, 1, sizeof *out->texts.texts)};
    out->texts.texts[0] = (struct nib_buffer){0};
    nib_buffer_add(&out->texts.texts[0], text->data ? text->data : "", text->n_bytes);
    struct nib_line *line = &out->lines[0];
    line->text = out->texts.texts[0].data;
    const int exit_code =
        tokenize(model, line->text, text->n_bytes, flags, &line->prefix, &line->n_prefix);
    if (exit_code != NIB_EXIT_OK || line->n_prefix > 0)
        return exit_code;
    return is_chat ? nib_complain(NIB_EXIT_FILE, "the chat template makes no text of the prompt; "
                                                 "use another template")
                   : nib_complain(NIB_EXIT_USAGE, "the prompt is empty; give some text");
}

int nib_run_lines_from_ids(struct nib_run_lines *out, const struct nib_model *model,
                           const char *path)
{
    const struct nib_model_info *info = nib_model_info(model);
    struct nib_lists lists;
    *out = (struct nib_run_lines){0};
    const int exit_code = nib_read_ids(path, info->n_source_vocab, false, &lists);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    allocate(out, lists.n_lists);
    for (size_t i = 0; i < lists.n_lists; i++) {
        const size_t n = lists.starts[i + 1] - lists.starts[i];
        int32_t *ids = copy_ids(lists.ids + lists.starts[i], n);
        struct nib_line *line = &out->lines[i];
        *(info->has_encoder ? &line->source : &line->prefix) = ids;
        *(info->has_encoder ? &line->n_source : &line->n_prefix) = n;
    }
    nib_lists_free(&lists);
    return NIB_EXIT_OK;
}

/* ---- sources -------------------------------------------------------------------------------- */

static int tokenize_source(struct nib_line *line, const struct nib_model *model,
                           const struct nib_languages *l)
{
    const int32_t end = nib_model_info(model)->eos_id;
    const bool adds = l->source == NIB_LANGUAGE_NOWHERE;
    int32_t *text = NULL;
    size_t n_text = 0;
    const int exit_code =
        tokenize(model, line->text, strlen(line->text),
                 adds ? NIB_ADD_SPECIAL | NIB_PARSE_SPECIAL : NIB_PARSE_SPECIAL, &text, &n_text);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    int32_t *ids = nib_grow(NULL, n_text + 3, sizeof *ids);
    size_t n = 0;
    if (l->target == NIB_LANGUAGE_SOURCE_PREFIX)
        ids[n++] = l->target_id;
    if (l->source == NIB_LANGUAGE_PREFIX)
        ids[n++] = l->source_id;
    memcpy(ids + n, text, n_text * sizeof *ids);
    n += n_text;
    if (!adds && end >= 0)
        ids[n++] = end;
    if (l->source == NIB_LANGUAGE_SUFFIX)
        ids[n++] = l->source_id;
    free(text);
    line->source = ids;
    line->n_source = n;
    return NIB_EXIT_OK;
}

int nib_run_lines_from_sources(struct nib_run_lines *out, const struct nib_model *model,
                               struct nib_texts *texts, const struct nib_languages *languages)
{
    allocate(out, texts->n_texts);
    out->texts = *texts;
    *texts = (struct nib_texts){0};
    int exit_code = NIB_EXIT_OK;
    for (size_t i = 0; i < out->n_lines && exit_code == NIB_EXIT_OK; i++) {
        struct nib_line *line = &out->lines[i];
        line->text = out->texts.texts[i].data;
        line->is_blank = line->text[strspn(line->text, " \t\r\n\f\v")] == 0;
        if (!line->is_blank)
            exit_code = tokenize_source(line, model, languages);
        line->is_blank |= line->n_source == 0;
    }
    return exit_code;
}

/* ---- what answers begin with ---------------------------------------------------------------- */

static int begin_with_lists(struct nib_run_lines *lines, const struct nib_model *model,
                            const char *path)
{
    struct nib_lists lists;
    int exit_code = nib_read_ids(path, nib_model_info(model)->n_vocab, false, &lists);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    if (lists.n_lists != 1 && lists.n_lists != lines->n_lines)
        exit_code = nib_complain(NIB_EXIT_USAGE,
                                 "%s has %zu lists for %zu sources; give one for each, or one for "
                                 "all",
                                 path, lists.n_lists, lines->n_lines);
    for (size_t i = 0; i < lines->n_lines && exit_code == NIB_EXIT_OK; i++) {
        const size_t list = lists.n_lists == 1 ? 0 : i;
        struct nib_line *line = &lines->lines[i];
        line->n_prefix = lists.starts[list + 1] - lists.starts[list];
        line->prefix = copy_ids(lists.ids + lists.starts[list], line->n_prefix);
    }
    nib_lists_free(&lists);
    return exit_code;
}

int nib_run_lines_begin(struct nib_run_lines *lines, const struct nib_model *model,
                        const struct nib_languages *languages, const char *decoder_ids)
{
    const struct nib_model_info *info = nib_model_info(model);
    if (decoder_ids)
        return begin_with_lists(lines, model, decoder_ids);
    int32_t start[2] = {info->decoder_start_id, info->forced_bos_id};
    if (languages->target == NIB_LANGUAGE_DECODER_START)
        start[0] = languages->target_id;
    else if (languages->target == NIB_LANGUAGE_FORCED_BOS)
        start[1] = languages->target_id;
    for (size_t i = 0; i < lines->n_lines; i++) {
        lines->lines[i].n_prefix = start[1] >= 0 ? 2 : 1;
        lines->lines[i].prefix = copy_ids(start, lines->lines[i].n_prefix);
    }
    return NIB_EXIT_OK;
}

/* ---- lengths -------------------------------------------------------------------------------- */

static void fail_line(struct nib_run_lines *lines, size_t i, const char *error)
{
    const size_t n = strlen(error) + 1;
    struct nib_line *line = &lines->lines[i];
    line->error = nib_grow(NULL, n, 1);
    memcpy(line->error, error, n);
    lines->n_failed++;
    if (lines->n_lines == 1)
        nib_complain(NIB_EXIT_RUNTIME, "%s", error);
    else
        nib_complain(NIB_EXIT_RUNTIME, "line %zu of %zu: %s", i + 1, lines->n_lines, error);
}

static void limit_line(struct nib_line *line, bool has_encoder, const struct nib_run_limits *limits)
{
    enum { MORE = 64, MOST = 1 << 20 };
    /* The last id is not evaluated any more. */
    const uint64_t room = (uint64_t)limits->n_ctx + 1 - line->n_prefix;
    uint64_t wanted = limits->n_predict >= 0 ? (uint64_t)limits->n_predict : UINT64_MAX;
    if (limits->n_predict < 0 && has_encoder)
        wanted = 2 * line->n_source + MORE + limits->n_forced;
    if (limits->shifts) {
        line->max_new = wanted < UINT32_MAX ? (uint32_t)wanted : UINT32_MAX;
        return;
    }
    line->is_cut = room < wanted;
    const uint64_t n = room < wanted ? room : wanted;
    line->max_new = (uint32_t)(n < MOST ? n : MOST);
}

void nib_run_lines_limit(struct nib_run_lines *lines, const struct nib_model *model,
                         const struct nib_run_limits *limits)
{
    const struct nib_model_info *info = nib_model_info(model);
    for (size_t i = 0; i < lines->n_lines; i++) {
        struct nib_line *line = &lines->lines[i];
        if (line->is_blank)
            continue;
        char error[256] = "";
        if (info->has_encoder && line->n_source > info->n_ctx_train)
            snprintf(error, sizeof error,
                     "%zu tokens, and the model reads at most %u; use a shorter text or cut it "
                     "into sentences",
                     line->n_source, info->n_ctx_train);
        else if (line->n_prefix > limits->n_ctx)
            snprintf(error, sizeof error,
                     "the %s has %zu tokens, more than the context's %u; shorten it or set a "
                     "larger context with -c",
                     info->has_encoder ? "answer's beginning" : "prompt", line->n_prefix,
                     limits->n_ctx);
        else
            limit_line(line, info->has_encoder, limits);
        if (line->is_cut && line->max_new < limits->n_forced)
            snprintf(error, sizeof error,
                     "what is to be forced takes %zu tokens, and the context has room for %u; "
                     "force less or set a larger context with -c",
                     limits->n_forced, line->max_new);
        if (*error)
            fail_line(lines, i, error);
    }
}

void nib_run_lines_free(struct nib_run_lines *lines)
{
    for (size_t i = 0; i < lines->n_lines; i++) {
        free(lines->lines[i].source);
        free(lines->lines[i].prefix);
        free(lines->lines[i].error);
    }
    free(lines->lines);
    nib_texts_free(&lines->texts);
    *lines = (struct nib_run_lines){0};
}
