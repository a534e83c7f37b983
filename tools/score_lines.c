/* See score_lines.h. */
#include "score_lines.h"
#include "settings.h"
#include "token_texts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Lines are evaluated one behind the other: a batch takes as many tokens of as many of them as
 * there are rows of logits and sequences, and a line may go on in the next batch. */
struct scoring {
    const struct nib_model *model;
    struct nib_context *context;
    const struct nib_lists *lines;
    struct nib_token_texts texts;
    size_t limit, n_rows, n_slots; /* tokens of a line, rows of logits, sequences */
    size_t n_top, n_failed;

    /* the batch */
    int32_t *ids;
    uint32_t *sequences;
    bool *wants_logits;
    size_t *owners; /* [n_rows] index into lines->ids of the token that a row gave */
    size_t n_tokens, n_wanted;

    /* of the lines in work, a place for each token: of the one with the index i of lines->ids at
     * i - base */
    size_t base;
    double *logprobs;           /* [n_window] */
    struct nib_id_logprob *top; /* [n_window * n_top] */
};

static size_t line_begin(const struct scoring *s, size_t line)
{
    return s->lines->starts[line];
}

static size_t line_length(const struct scoring *s, size_t line)
{
    return s->lines->starts[line + 1] - s->lines->starts[line];
}

static bool is_too_long(const struct scoring *s, size_t line)
{
    return line_length(s, line) > s->limit;
}

/* ---- evaluation ----------------------------------------------------------------------------- */

/* The token with the index i of all, of the line [begin, end), in sequence `slot`. */
static void batch_add(struct scoring *s, size_t i, size_t end, uint32_t slot)
{
    const size_t n = s->n_tokens++;
    s->ids[n] = s->lines->ids[i];
    s->sequences[n] = slot;
    s->wants_logits[n] = i + 1 < end; /* what comes after the last token is not asked for */
    if (s->wants_logits[n])
        s->owners[s->n_wanted++] = i;
}

/* A row of logits says how probable the token after its own was. */
static int read_rows(struct scoring *s)
{
    const size_t n_vocab = nib_model_info(s->model)->n_vocab;
    for (size_t row = 0; row < s->n_wanted; row++) {
        const float *logits = nib_logits(s->context, row);
        const size_t next = s->owners[row] + 1, at = next - s->base;
        s->logprobs[at] = nib_logprob(logits, n_vocab, s->lines->ids[next]);
        if (s->n_top == 0)
            continue;
        struct nib_id_logprob *top = s->top + at * s->n_top;
        for (size_t i = nib_top_logprobs(logits, n_vocab, s->n_top, top); i < s->n_top; i++)
            top[i] = (struct nib_id_logprob){-1, -INFINITY};
    }
    s->n_tokens = s->n_wanted = 0;
    return NIB_EXIT_OK;
}

static int batch_flush(struct scoring *s)
{
    const struct nib_batch batch = {.n_tokens = s->n_tokens,
                                    .ids = s->ids,
                                    .sequences = s->sequences,
                                    .wants_logits = s->wants_logits};
    struct nib_error err;
    if (s->n_tokens == 0)
        return NIB_EXIT_OK;
    if (nib_evaluate(s->context, &batch, &err) != NIB_OK)
        return nib_complain_error(&err);
    return nib_interrupt_seen() ? NIB_EXIT_INTERRUPT : read_rows(s);
}

/* The lines [first, first + n), each in a sequence of its own. */
static int evaluate(struct scoring *s, size_t first, size_t n)
{
    int exit_code = NIB_EXIT_OK;
    for (size_t slot = 0; slot < n && exit_code == NIB_EXIT_OK; slot++) {
        const size_t begin = line_begin(s, first + slot);
        const size_t end = begin + line_length(s, first + slot);
        nib_sequence_truncate(s->context, (uint32_t)slot, 0);
        if (is_too_long(s, first + slot))
            continue;
        for (size_t i = begin; i < end && exit_code == NIB_EXIT_OK; i++) {
            if (s->n_tokens == s->n_rows)
                exit_code = batch_flush(s);
            if (exit_code == NIB_EXIT_OK)
                batch_add(s, i, end, (uint32_t)slot);
        }
    }
    return exit_code == NIB_EXIT_OK ? batch_flush(s) : exit_code;
}

/* ---- results -------------------------------------------------------------------------------- */

static yyjson_mut_val *top_of(struct scoring *s, yyjson_mut_doc *doc, size_t at)
{
    const struct nib_id_logprob *top = s->top + at * s->n_top;
    size_t n = 0;
    while (n < s->n_top && top[n].id >= 0)
        n++;
    return nib_json_logprobs(doc, &s->texts, top, n);
}

/* The first token has no probability: nothing comes before it. */
static void add_numbers(struct scoring *s, yyjson_mut_doc *doc, yyjson_mut_val *root, size_t begin,
                        size_t n)
{
    yyjson_mut_val *logprobs = yyjson_mut_obj_add_arr(doc, root, "logprobs");
    yyjson_mut_val *top = s->n_top > 0 ? yyjson_mut_obj_add_arr(doc, root, "top_logprobs") : NULL;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t at = begin + i - s->base;
        yyjson_mut_arr_append(logprobs, i == 0 ? yyjson_mut_null(doc)
                                               : nib_json_number(doc, s->logprobs[at]));
        if (top)
            yyjson_mut_arr_append(top, i == 0 ? yyjson_mut_null(doc) : top_of(s, doc, at));
        sum += i == 0 ? 0 : s->logprobs[at];
    }
    const double mean = n > 1 ? sum / (double)(n - 1) : NAN;
    yyjson_mut_obj_add_val(doc, root, "sum", nib_json_number(doc, sum));
    yyjson_mut_obj_add_val(doc, root, "mean", nib_json_number(doc, mean));
    yyjson_mut_obj_add_val(doc, root, "perplexity", nib_json_number(doc, exp(-mean)));
}

static int print_line(struct scoring *s, size_t line)
{
    const size_t begin = line_begin(s, line), n = line_length(s, line);
    char error[160] = "";
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    if (is_too_long(s, line))
        snprintf(error, sizeof error,
                 "%zu tokens, more than the context's %zu; split the text or set a larger context "
                 "with -c",
                 n, s->limit);
    for (size_t i = 1; i < n && !*error; i++)
        if (isnan(s->logprobs[begin + i - s->base]))
            snprintf(error, sizeof error,
                     "a logit before token %zu is not a number: the model's weights hold values "
                     "that are not numbers; get the model file again or use another",
                     i);
    if (*error) {
        yyjson_mut_obj_add_uint(doc, root, "line", line);
        yyjson_mut_obj_add_str(doc, root, "error", error);
        s->n_failed++;
    } else {
        nib_json_add_ids(doc, root, &s->texts, s->lines->ids + begin, n);
        add_numbers(s, doc, root, begin, n);
    }
    return nib_json_print_line(doc);
}

static int score_lines(struct scoring *s)
{
    struct nib_progress progress;
    int exit_code = NIB_EXIT_OK;
    nib_progress_start(&progress, "scoring");
    for (size_t first = 0; first < s->lines->n_lists && exit_code == NIB_EXIT_OK;) {
        const size_t left = s->lines->n_lists - first, n = left < s->n_slots ? left : s->n_slots;
        const size_t n_window = line_begin(s, first + n) - line_begin(s, first);
        s->base = line_begin(s, first);
        s->logprobs = nib_grow(s->logprobs, n_window + 1, sizeof *s->logprobs);
        s->top = nib_grow(s->top, n_window * s->n_top + 1, sizeof *s->top);
        exit_code = evaluate(s, first, n);
        for (size_t i = 0; i < n && exit_code == NIB_EXIT_OK; i++)
            exit_code = print_line(s, first + i);
        first += n;
        nib_progress_update(&progress, line_begin(s, first), line_begin(s, s->lines->n_lists));
    }
    nib_progress_end(&progress);
    return exit_code;
}

/* ---- input ---------------------------------------------------------------------------------- */

static int add_text(const struct nib_model *model, const char *text, size_t n_bytes,
                    struct nib_lists *out)
{
    int32_t *ids;
    size_t n_ids;
    struct nib_error err;
    if (nib_tokenize(model, text, n_bytes, NIB_ADD_SPECIAL | NIB_PARSE_SPECIAL, &ids, &n_ids,
                     &err) != NIB_OK)
        return nib_complain_error(&err);
    const size_t n = out->n_lists, used = n ? out->starts[n] : 0;
    if ((n & (n - 1)) == 0)
        out->starts = nib_grow(out->starts, 2 * n + 2, sizeof *out->starts);
    out->ids = nib_grow(out->ids, used + n_ids + 1, sizeof *out->ids);
    if (n_ids > 0)
        memcpy(out->ids + used, ids, n_ids * sizeof *ids);
    out->starts[n] = used;
    out->starts[n + 1] = used + n_ids;
    out->n_lists++;
    nib_free(ids);
    return NIB_EXIT_OK;
}

static int read_lines(const struct nib_model *model, const struct nib_score_lines *wanted,
                      struct nib_lists *out)
{
    *out = (struct nib_lists){0};
    if (wanted->ids_file)
        return nib_read_ids(wanted->ids_file, nib_model_info(model)->n_vocab, true, out);
    if (wanted->text)
        return add_text(model, wanted->text, strlen(wanted->text), out);
    struct nib_texts texts;
    int exit_code = nib_read_texts(wanted->texts_file, &texts);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    for (size_t i = 0; i < texts.n_texts && exit_code == NIB_EXIT_OK; i++)
        exit_code = add_text(model, texts.texts[i].data, texts.texts[i].n_bytes, out);
    nib_texts_free(&texts);
    return exit_code;
}

/* ---- all ------------------------------------------------------------------------------------ */

/* Positions for the longest line that the context may hold. */
static size_t longest_line(const struct scoring *s)
{
    size_t longest = 1;
    for (size_t i = 0; i < s->lines->n_lists; i++)
        if (!is_too_long(s, i) && line_length(s, i) > longest)
            longest = line_length(s, i);
    return longest;
}

/* Rows of logits that a batch of -b tokens may give, at most 1 GiB of them. */
static size_t choose_rows(const struct nib_model *model)
{
    const uint64_t row_bytes = (uint64_t)nib_model_info(model)->n_vocab * sizeof(float);
    const uint64_t affordable = ((uint64_t)1 << 30) / row_bytes;
    const uint64_t n_rows = (uint64_t)nib_settings.n_batch;
    return n_rows < affordable ? (size_t)n_rows : affordable ? (size_t)affordable : 1;
}

static int score(struct scoring *s, size_t n_parallel)
{
    s->limit =
        nib_settings.n_ctx ? (size_t)nib_settings.n_ctx : nib_model_info(s->model)->n_ctx_train;
    s->n_slots = s->lines->n_lists < n_parallel ? s->lines->n_lists : n_parallel;
    s->n_rows = choose_rows(s->model);
    int exit_code = nib_settings_create_context(&s->context, s->model, (uint32_t)longest_line(s),
                                                (uint32_t)s->n_slots, (uint32_t)s->n_rows);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    s->ids = nib_grow(NULL, s->n_rows, sizeof *s->ids);
    s->sequences = nib_grow(NULL, s->n_rows, sizeof *s->sequences);
    s->wants_logits = nib_grow(NULL, s->n_rows, sizeof *s->wants_logits);
    s->owners = nib_grow(NULL, s->n_rows, sizeof *s->owners);
    nib_interrupt_catch(s->context);
    exit_code = score_lines(s);
    nib_interrupt_catch(NULL);
    free(s->ids);
    free(s->sequences);
    free(s->wants_logits);
    free(s->owners);
    free(s->logprobs);
    free(s->top);
    nib_context_free(s->context);
    if (exit_code == NIB_EXIT_OK && s->n_failed > 0)
        exit_code = nib_complain(NIB_EXIT_RUNTIME,
                                 "%zu of %zu lines could not be scored; \"error\" in their place "
                                 "says why",
                                 s->n_failed, s->lines->n_lists);
    return exit_code;
}

int nib_score_lines(const struct nib_model *model, const struct nib_score_lines *wanted)
{
    struct nib_lists lines;
    struct scoring s = {.model = model, .lines = &lines, .n_top = wanted->n_top};
    int exit_code = read_lines(model, wanted, &lines);
    if (exit_code == NIB_EXIT_OK && lines.n_lists > 0) {
        nib_token_texts_create(&s.texts, model);
        exit_code = score(&s, wanted->n_parallel);
        nib_token_texts_free(&s.texts);
    }
    nib_lists_free(&lines);
    return exit_code;
}
