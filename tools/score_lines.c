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
    const struct nib_lists *lines, *sources; /* NULL without an encoder */
    struct nib_token_texts texts;
    size_t limit, n_rows, n_slots; /* tokens of a line, rows of logits, sequences */
    size_t n_top, n_failed;

    /* the batch */
    int32_t *ids;
    uint32_t *sequences;
    bool *wants_logits;
    size_t *owners; /* [n_rows] index into lines->ids of the token that a row gave */
    size_t n_tokens, n_wanted;
    bool is_numeric; /* it failed with NIB_ERROR_NUMERIC, of which nothing was said yet */

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

static size_t source_length(const struct scoring *s, size_t line)
{
    return s->sources ? s->sources->starts[line + 1] - s->sources->starts[line] : 1;
}

static bool is_too_long(const struct scoring *s, size_t line)
{
    return line_length(s, line) > s->limit;
}

/* An empty source comes of a text without a tab. */
static bool can_be_scored(const struct scoring *s, size_t line)
{
    const size_t n_source = source_length(s, line);
    return !is_too_long(s, line) && n_source > 0 &&
           (!s->sources || n_source <= nib_context_info(s->context)->n_ctx_source);
}

/* Tokens that the line begins with and whose probability is not asked for: nothing comes before
 * the first; a language after the start id is not the model's choice. */
static size_t count_given(const struct scoring *s, size_t line)
{
    const int32_t *ids = s->lines->ids + line_begin(s, line);
    const int32_t forced = nib_model_info(s->model)->forced_bos_id;
    return s->sources && line_length(s, line) > 1 && forced >= 0 && ids[1] == forced ? 2 : 1;
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
    const enum nib_status status = nib_evaluate(s->context, &batch, &err);
    s->is_numeric = status == NIB_ERROR_NUMERIC;
    if (s->is_numeric)
        return nib_exit_code(status);
    if (status != NIB_OK)
        return nib_complain_error(&err);
    return nib_interrupt_seen() ? NIB_EXIT_INTERRUPT : read_rows(s);
}

static int encode_sources(struct scoring *s, size_t first, size_t n)
{
    const size_t begin = s->sources->starts[first];
    uint32_t *numbers = nib_grow(NULL, s->sources->starts[first + n] - begin + 1, sizeof *numbers);
    int32_t *ids = nib_grow(NULL, s->sources->starts[first + n] - begin + 1, sizeof *ids);
    struct nib_batch batch = {.ids = ids, .sequences = numbers};
    struct nib_error err;
    int exit_code = NIB_EXIT_OK;
    for (size_t slot = 0; slot < n; slot++) {
        const size_t at = s->sources->starts[first + slot];
        for (size_t i = 0; can_be_scored(s, first + slot) && i < source_length(s, first + slot);
             i++, batch.n_tokens++) {
            ids[batch.n_tokens] = s->sources->ids[at + i];
            numbers[batch.n_tokens] = (uint32_t)slot;
        }
    }
    if (batch.n_tokens > 0 && nib_encode_sources(s->context, &batch, &err) != NIB_OK)
        exit_code = nib_complain_error(&err);
    free(numbers);
    free(ids);
    return exit_code;
}

/* The lines [first, first + n), each in a sequence of its own. */
static int evaluate_together(struct scoring *s, size_t first, size_t n)
{
    s->n_tokens = s->n_wanted = 0;
    s->is_numeric = false;
    int exit_code = s->sources ? encode_sources(s, first, n) : NIB_EXIT_OK;
    for (size_t slot = 0; slot < n && exit_code == NIB_EXIT_OK; slot++) {
        const size_t begin = line_begin(s, first + slot);
        const size_t end = begin + line_length(s, first + slot);
        nib_sequence_truncate(s->context, (uint32_t)slot, 0);
        if (!can_be_scored(s, first + slot))
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

/* Logits that are no numbers end a batch: then the lines one by one, so that only those whose own
 * they are have no result. */
static int evaluate(struct scoring *s, size_t first, size_t n)
{
    int exit_code = evaluate_together(s, first, n);
    if (exit_code == NIB_EXIT_OK || !s->is_numeric)
        return exit_code;
    exit_code = NIB_EXIT_OK;
    for (size_t line = first; line < first + n && exit_code == NIB_EXIT_OK; line++) {
        exit_code = evaluate_together(s, line, 1);
        if (exit_code == NIB_EXIT_OK || !s->is_numeric)
            continue;
        for (size_t i = 0; i < line_length(s, line); i++)
            s->logprobs[line_begin(s, line) - s->base + i] = NAN;
        exit_code = NIB_EXIT_OK;
    }
    return exit_code;
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

static void add_numbers(struct scoring *s, yyjson_mut_doc *doc, yyjson_mut_val *root, size_t line)
{
    const size_t begin = line_begin(s, line) - s->base, n = line_length(s, line);
    const size_t n_given = count_given(s, line);
    yyjson_mut_val *logprobs = yyjson_mut_obj_add_arr(doc, root, "logprobs");
    yyjson_mut_val *top = s->n_top > 0 ? yyjson_mut_obj_add_arr(doc, root, "top_logprobs") : NULL;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double logprob = i < n_given ? NAN : s->logprobs[begin + i];
        yyjson_mut_arr_append(logprobs, nib_json_number(doc, logprob));
        if (top)
            yyjson_mut_arr_append(top,
                                  i < n_given ? yyjson_mut_null(doc) : top_of(s, doc, begin + i));
        sum += i < n_given ? 0 : logprob;
    }
    const double mean = n > n_given ? sum / (double)(n - n_given) : NAN;
    yyjson_mut_obj_add_val(doc, root, "sum", nib_json_number(doc, sum));
    yyjson_mut_obj_add_val(doc, root, "mean", nib_json_number(doc, mean));
    yyjson_mut_obj_add_val(doc, root, "perplexity", nib_json_number(doc, exp(-mean)));
}

/* Why a line has no result; "" if it has one. */
static void find_error(const struct scoring *s, size_t line, char *out, size_t size)
{
    const size_t n = line_length(s, line), n_source = source_length(s, line);
    *out = 0;
    if (is_too_long(s, line))
        snprintf(out, size,
                 "%zu tokens, more than the context's %zu; split the text or set a larger context "
                 "with -c",
                 n, s->limit);
    else if (n_source == 0)
        snprintf(out, size, "no source; write source, tab, target");
    else if (!can_be_scored(s, line))
        snprintf(out, size, "a source of %zu tokens, more than the model's %u; split the text",
                 n_source, nib_context_info(s->context)->n_ctx_source);
    for (size_t i = count_given(s, line); i < n && !*out; i++)
        if (isnan(s->logprobs[line_begin(s, line) + i - s->base]))
            snprintf(out, size,
                     "a logit is not a finite number: the model's weights are too large for this "
                     "text, or hold values that are not numbers; get the file again");
}

static int print_line(struct scoring *s, size_t line)
{
    char error[160];
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    find_error(s, line, error, sizeof error);
    if (*error) {
        yyjson_mut_obj_add_uint(doc, root, "line", line);
        yyjson_mut_obj_add_str(doc, root, "error", error);
        s->n_failed++;
    } else {
        nib_json_add_ids(doc, root, &s->texts, s->lines->ids + line_begin(s, line),
                         line_length(s, line));
        add_numbers(s, doc, root, line);
    }
    return nib_json_print_line(doc);
}

/* The lines [begin, end), n_slots at a time. */
static int score_range(struct scoring *s, size_t begin, size_t end, struct nib_progress *progress)
{
    int exit_code = NIB_EXIT_OK;
    for (size_t first = begin; first < end && exit_code == NIB_EXIT_OK;) {
        const size_t n = end - first < s->n_slots ? end - first : s->n_slots;
        const size_t n_window = line_begin(s, first + n) - line_begin(s, first);
        s->base = line_begin(s, first);
        s->logprobs = nib_grow(s->logprobs, n_window + 1, sizeof *s->logprobs);
        s->top = nib_grow(s->top, n_window * s->n_top + 1, sizeof *s->top);
        exit_code = evaluate(s, first, n);
        for (size_t i = 0; i < n && exit_code == NIB_EXIT_OK; i++)
            exit_code = print_line(s, first + i);
        first += n;
        nib_progress_update(progress, line_begin(s, first), line_begin(s, s->lines->n_lists));
    }
    return exit_code;
}

/* ---- input ---------------------------------------------------------------------------------- */

static void lists_add(struct nib_lists *out, const int32_t *ids, size_t n_ids)
{
    const size_t n = out->n_lists, used = n ? out->starts[n] : 0;
    if ((n & (n - 1)) == 0)
        out->starts = nib_grow(out->starts, 2 * n + 2, sizeof *out->starts);
    out->ids = nib_grow(out->ids, used + n_ids + 1, sizeof *out->ids);
    if (n_ids > 0)
        memcpy(out->ids + used, ids, n_ids * sizeof *ids);
    out->starts[n] = used;
    out->starts[n + 1] = used + n_ids;
    out->n_lists++;
}

static int add_text(const struct nib_model *model, const char *text, size_t n_bytes,
                    struct nib_lists *out)
{
    int32_t *ids;
    size_t n_ids;
    struct nib_error err;
    if (nib_tokenize(model, text, n_bytes, NIB_ADD_SPECIAL | NIB_PARSE_SPECIAL, &ids, &n_ids,
                     &err) != NIB_OK)
        return nib_complain_error(&err);
    lists_add(out, ids, n_ids);
    nib_free(ids);
    return NIB_EXIT_OK;
}

/* Between the ids that the decoder is begun and ended with. */
static int add_target(const struct nib_model *model, const char *text, size_t n_bytes,
                      struct nib_lists *out)
{
    const struct nib_model_info *info = nib_model_info(model);
    int32_t *ids;
    size_t n_ids, n = 0;
    struct nib_error err;
    if (nib_tokenize(model, text, n_bytes, NIB_PARSE_SPECIAL, &ids, &n_ids, &err) != NIB_OK)
        return nib_complain_error(&err);
    int32_t *whole = nib_grow(NULL, n_ids + 3, sizeof *whole);
    whole[n++] = info->decoder_start_id;
    if (info->forced_bos_id >= 0)
        whole[n++] = info->forced_bos_id;
    for (size_t i = 0; i < n_ids; i++)
        whole[n++] = ids[i];
    if (info->eos_id >= 0)
        whole[n++] = info->eos_id;
    lists_add(out, whole, n);
    free(whole);
    nib_free(ids);
    return NIB_EXIT_OK;
}

/* A text, or source, tab and target. */
static int add_line(const struct nib_model *model, const char *text, size_t n_bytes,
                    struct nib_lists *lines, struct nib_lists *sources)
{
    if (!nib_model_info(model)->has_encoder)
        return add_text(model, text, n_bytes, lines);
    const char *tab = memchr(text, '\t', n_bytes);
    if (!tab) {
        lists_add(sources, NULL, 0);
        lists_add(lines, NULL, 0);
        return NIB_EXIT_OK;
    }
    const size_t n_source = (size_t)(tab - text);
    const int exit_code = add_text(model, text, n_source, sources);
    return exit_code == NIB_EXIT_OK ? add_target(model, tab + 1, n_bytes - n_source - 1, lines)
                                    : exit_code;
}

static int read_ids(const struct nib_model *model, const struct nib_score_lines *wanted,
                    struct nib_lists *lines, struct nib_lists *sources)
{
    const struct nib_model_info *info = nib_model_info(model);
    if (!info->has_encoder)
        return nib_read_ids(wanted->ids_file, info->n_vocab, true, lines);
    if (!wanted->decoder_ids_file)
        return nib_complain(NIB_EXIT_USAGE,
                            "this model has an encoder: give what is decoded from the sequences "
                            "with --decoder-ids FILE, each beginning with %d",
                            (int)info->decoder_start_id);
    int exit_code = nib_read_ids(wanted->ids_file, info->n_source_vocab, false, sources);
    if (exit_code == NIB_EXIT_OK)
        exit_code = nib_read_ids(wanted->decoder_ids_file, info->n_vocab, true, lines);
    if (exit_code == NIB_EXIT_OK && lines->n_lists != sources->n_lists)
        exit_code = nib_complain(
            NIB_EXIT_USAGE, "%s has %zu sequences and %s %zu; give one to decode for each",
            wanted->ids_file, sources->n_lists, wanted->decoder_ids_file, lines->n_lists);
    return exit_code;
}

static int read_lines(const struct nib_model *model, const struct nib_score_lines *wanted,
                      struct nib_lists *lines, struct nib_lists *sources)
{
    if (wanted->ids_file)
        return read_ids(model, wanted, lines, sources);
    if (wanted->text)
        return add_line(model, wanted->text, strlen(wanted->text), lines, sources);
    struct nib_texts texts;
    int exit_code = nib_read_texts(wanted->texts_file, &texts);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    for (size_t i = 0; i < texts.n_texts && exit_code == NIB_EXIT_OK; i++)
        exit_code = add_line(model, texts.texts[i].data, texts.texts[i].n_bytes, lines, sources);
    nib_texts_free(&texts);
    return exit_code;
}

/* ---- all ------------------------------------------------------------------------------------ */

/* Of those that the context may hold. */
static size_t longest_line(const struct scoring *s, size_t begin, size_t end)
{
    size_t longest = 1;
    for (size_t i = begin; i < end; i++)
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

static int score_in_context(struct scoring *s, size_t begin, size_t end,
                            struct nib_progress *progress)
{
    int exit_code =
        nib_settings_create_context(&s->context, s->model, (uint32_t)longest_line(s, begin, end),
                                    (uint32_t)s->n_slots, (uint32_t)s->n_rows);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    nib_interrupt_catch(s->context);
    exit_code = score_range(s, begin, end, progress);
    nib_interrupt_catch(NULL);
    nib_context_free(s->context);
    return exit_code;
}

/* Where positions depend on the size of the context, each line has one of its own: its result is
 * then the same whatever is scored beside it. */
static int score_all(struct scoring *s)
{
    const size_t n = s->lines->n_lists;
    struct nib_progress progress;
    int exit_code = NIB_EXIT_OK;
    nib_progress_start(&progress, "scoring");
    if (!nib_model_info(s->model)->scales_by_context || nib_settings.n_ctx) {
        exit_code = score_in_context(s, 0, n, &progress);
    } else {
        s->n_slots = 1;
        for (size_t i = 0; i < n && exit_code == NIB_EXIT_OK; i++)
            exit_code = score_in_context(s, i, i + 1, &progress);
    }
    nib_progress_end(&progress);
    return exit_code;
}

static int score(struct scoring *s, size_t n_parallel)
{
    s->limit =
        nib_settings.n_ctx ? (size_t)nib_settings.n_ctx : nib_model_info(s->model)->n_ctx_train;
    s->n_slots = s->lines->n_lists < n_parallel ? s->lines->n_lists : n_parallel;
    s->n_rows = choose_rows(s->model);
    s->ids = nib_grow(NULL, s->n_rows, sizeof *s->ids);
    s->sequences = nib_grow(NULL, s->n_rows, sizeof *s->sequences);
    s->wants_logits = nib_grow(NULL, s->n_rows, sizeof *s->wants_logits);
    s->owners = nib_grow(NULL, s->n_rows, sizeof *s->owners);
    const int exit_code = score_all(s);
    free(s->ids);
    free(s->sequences);
    free(s->wants_logits);
    free(s->owners);
    free(s->logprobs);
    free(s->top);
    if (exit_code != NIB_EXIT_OK || s->n_failed == 0)
        return exit_code;
    return nib_complain(NIB_EXIT_RUNTIME,
                        "%zu of %zu lines could not be scored; \"error\" in their place says why",
                        s->n_failed, s->lines->n_lists);
}

int nib_score_lines(const struct nib_model *model, const struct nib_score_lines *wanted)
{
    struct nib_lists lines = {0}, sources = {0};
    struct scoring s = {.model = model, .lines = &lines, .n_top = wanted->n_top};
    int exit_code = read_lines(model, wanted, &lines, &sources);
    if (exit_code == NIB_EXIT_OK && lines.n_lists > 0) {
        s.sources = nib_model_info(model)->has_encoder ? &sources : NULL;
        nib_token_texts_create(&s.texts, model);
        exit_code = score(&s, wanted->n_parallel);
        nib_token_texts_free(&s.texts);
    }
    nib_lists_free(&lines);
    nib_lists_free(&sources);
    return exit_code;
}
