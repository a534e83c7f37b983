/* See run_job.h. */
#include "run_job.h"
#include "generate.h"
#include "settings.h"
#include "shift_settings.h"

#include <stdlib.h>
#include <string.h>

struct work {
    const struct nib_run_job *job;
    const struct nib_model_info *info;
    struct nib_context *context;
    struct nib_text_stream *stream; /* of a job that streams, else NULL */
    struct nib_beam_params beams;

    size_t *order; /* [n_order] lines that get an answer */
    size_t n_order, n_slots;
    struct nib_buffer *outputs; /* [n_lines] what is ready is not empty until it is printed */
    size_t n_printed;

    const size_t *batch; /* the lines in work */
    bool is_broken;      /* standard output is gone */
    size_t n_source, n_generated, n_cut, n_full, n_lacking, n_unanswered;
};

static const struct nib_line *line_at(const struct work *w, size_t i)
{
    return &w->job->lines->lines[w->batch[i]];
}

/* ---- choosing token by token ---------------------------------------------------------------- */

static int make_answers(const struct work *w, size_t n, struct nib_answer *answers)
{
    for (size_t i = 0; i < n; i++) {
        const struct nib_line *line = line_at(w, i);
        answers[i] = (struct nib_answer){
            .prompt = line->prefix,
            .n_prompt = line->n_prefix,
            .max_new = line->max_new == UINT32_MAX ? -1 : (int64_t)line->max_new,
            .is_cut = line->is_cut,
            .n_keep = nib_settings_keep(w->job->model, line->prefix, line->n_prefix),
            .number = w->batch[i],
        };
        const int exit_code =
            nib_settings_create_sampler(&answers[i].sampler, w->job->model, (uint32_t)w->batch[i],
                                        w->job->output->is_json || w->job->trace);
        if (exit_code != NIB_EXIT_OK)
            return exit_code;
        struct nib_error err;
        if (nib_sampler_add_prompt(answers[i].sampler, line->prefix, line->n_prefix, &err) !=
            NIB_OK)
            return nib_complain_error(&err);
    }
    return NIB_EXIT_OK;
}

static bool print_token(void *stream, int32_t id)
{
    const char *piece = nib_text_stream_push(stream, id);
    return !*piece || nib_print(piece, strlen(piece));
}

static int finish_stream(const struct work *w)
{
    const char *rest = nib_text_stream_end(w->stream);
    return nib_print(rest, strlen(rest)) && nib_print("\n", 1) ? NIB_EXIT_OK : NIB_EXIT_RUNTIME;
}

static int write_answers(struct work *w, const struct nib_answer *answers, size_t n)
{
    int exit_code = NIB_EXIT_OK;
    for (size_t i = 0; i < n && exit_code == NIB_EXIT_OK; i++) {
        exit_code = nib_run_write_answer(w->job->output, line_at(w, i), &answers[i],
                                         &w->outputs[w->batch[i]]);
        w->n_generated += answers[i].n_ids;
        w->n_cut += !answers[i].has_ended && !answers[i].has_no_room;
    }
    return exit_code;
}

/* Without a length, the end of the context is where an answer was to stop. */
static int tell_full_context(const struct work *w)
{
    char text[160];
    if (w->n_full == 0)
        return NIB_EXIT_OK;
    snprintf(text, sizeof text, "stopped: the context of %u tokens is full; -c N sets its size%s",
             nib_context_info(w->context)->n_ctx,
             w->job->beams                ? ""
             : nib_settings_wants_shift() ? ", --keep leaves nothing to forget"
                                          : ", --context-shift forgets and goes on");
    if (w->job->is_exact)
        return nib_complain(NIB_EXIT_RUNTIME, "%s", text);
    nib_note("%s", text);
    return NIB_EXIT_OK;
}

static int generate(struct work *w, size_t n, struct nib_answer *answers)
{
    const int64_t n_top = w->job->output->n_logprobs;
    const struct nib_generation generation = {
        .model = w->job->model,
        .context = w->context,
        .ignores_end = w->job->ignores_end,
        .shifts = nib_settings_wants_shift(),
        .has_many = w->n_order > 1,
        .n_top = n_top > 0 ? (size_t)n_top : 0,
        .trace = w->job->trace,
        .on_token = w->stream ? print_token : NULL,
        .data = w->stream,
    };
    struct nib_timing timing;
    struct nib_error err;
    int exit_code = NIB_EXIT_OK;
    for (uint32_t i = 0; i < nib_context_info(w->context)->n_sequences; i++)
        nib_sequence_truncate(w->context, i, 0);
    const enum nib_status status = nib_generate(&generation, answers, n, &timing, &err);
    if (w->stream)
        exit_code = finish_stream(w);
    else if (status == NIB_OK)
        exit_code = write_answers(w, answers, n);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    if (status == NIB_ERROR_CANCELLED && !nib_interrupt_seen())
        return NIB_EXIT_RUNTIME; /* standard output is gone, which has had its sentence */
    if (status != NIB_OK)
        return nib_complain_error(&err);
    for (size_t i = 0; i < n; i++)
        w->n_full += answers[i].has_no_room;
    if (!w->info->has_encoder)
        nib_note_timing(w->job->model, w->context, &timing);
    return NIB_EXIT_OK;
}

static int answer_batch(struct work *w, size_t n)
{
    struct nib_answer *answers = nib_grow(NULL, n, sizeof *answers);
    memset(answers, 0, n * sizeof *answers);
    int exit_code = make_answers(w, n, answers);
    if (exit_code == NIB_EXIT_OK)
        exit_code = generate(w, n, answers);
    for (size_t i = 0; i < n; i++) {
        nib_sampler_free(answers[i].sampler);
        nib_answer_free(&answers[i]);
    }
    free(answers);
    return exit_code;
}

/* ---- beams ---------------------------------------------------------------------------------- */

static void trace_step(void *data, size_t input, size_t step, const struct nib_hypothesis *beams,
                       size_t n_beams)
{
    struct work *w = data;
    if (!w->is_broken &&
        !nib_trace_hypotheses(w->job->trace, step, w->batch[input], beams, n_beams))
        w->is_broken = true;
    if (w->is_broken)
        nib_context_cancel(w->context);
}

static int write_found(struct work *w, size_t i, uint32_t max_new,
                       const struct nib_beam_output *found)
{
    static char no_answer[] = "every token that the answer could begin with is banned; ban fewer";
    const struct nib_line *line = line_at(w, i);
    struct nib_buffer *out = &w->outputs[w->batch[i]];
    if (found->n_best == 0) {
        struct nib_line failed = *line;
        failed.error = no_answer;
        w->n_unanswered++;
        return nib_run_write_nothing(w->job->output, &failed, w->batch[i], out);
    }
    w->n_generated += found->best[0].n_ids;
    *(line->is_cut ? &w->n_full : &w->n_cut) +=
        !found->best[0].is_ended && found->best[0].n_ids == max_new;
    for (size_t j = 0; j < found->n_best; j++)
        w->n_lacking += !found->best[j].has_phrases;
    return nib_run_write_best(w->job->output, line, w->batch[i], found, w->beams.n_best, out);
}

static int search_batch(struct work *w, size_t n)
{
    struct nib_beam_input *inputs = nib_grow(NULL, n, sizeof *inputs);
    struct nib_beam_output *found = nib_grow(NULL, n, sizeof *found);
    struct nib_error err;
    for (size_t i = 0; i < n; i++) {
        const struct nib_line *line = line_at(w, i);
        const uint64_t room = (uint64_t)nib_context_info(w->context)->n_ctx + 1 - line->n_prefix;
        inputs[i] = (struct nib_beam_input){line->prefix, line->n_prefix,
                                            line->max_new < room ? line->max_new : (uint32_t)room};
    }
    int exit_code =
        nib_beam_search(w->context, w->job->model, &w->beams, inputs, n, found, &err) == NIB_OK
            ? NIB_EXIT_OK
        : w->is_broken ? NIB_EXIT_RUNTIME /* which has had its sentence */
                       : nib_complain_error(&err);
    for (size_t i = 0; i < n && exit_code == NIB_EXIT_OK; i++)
        exit_code = write_found(w, i, inputs[i].max_new, &found[i]);
    nib_beam_outputs_free(found, n);
    free(inputs);
    free(found);
    return exit_code;
}

/* ---- contexts ----------------------------------------------------------------------------------
 */

/* Where positions depend on the size of the context, each line has one as large as it needs: its
 * answer is then the same whatever is run beside it. */
static bool has_own_contexts(const struct work *w)
{
    return w->info->scales_by_context && nib_settings.n_ctx == 0;
}

static void count_slots(struct work *w)
{
    enum { MOST_BEAMS = 1024 }; /* of all lines together */
    const size_t n_beams = w->job->beams ? w->beams.n_beams : 1;
    const size_t most = has_own_contexts(w) ? 1 : w->job->n_parallel;
    w->n_slots = w->n_order < most ? w->n_order : most;
    if (w->n_slots > MOST_BEAMS / n_beams)
        w->n_slots = MOST_BEAMS / n_beams;
}

static int create_context(struct work *w, uint32_t n_ctx)
{
    const struct nib_run_job *job = w->job;
    const uint32_t n_sequences = (uint32_t)w->n_slots * (w->job->beams ? w->beams.n_beams : 1);
    struct nib_context_shape shape = {
        .n_ctx = n_ctx, .n_sequences = n_sequences, .n_logits = n_sequences};
    for (size_t i = 0; i < w->n_order && w->info->has_encoder; i++) {
        const size_t n = job->lines->lines[w->order[i]].n_source;
        shape.n_ctx_source = n > shape.n_ctx_source ? (uint32_t)n : shape.n_ctx_source;
    }
    if (w->info->has_encoder)
        shape.n_sources = (uint32_t)w->n_slots;
    nib_interrupt_catch(NULL);
    nib_context_free(w->context);
    w->context = NULL;
    const int exit_code = nib_settings_create_shaped(&w->context, job->model, &shape);
    if (exit_code == NIB_EXIT_OK)
        nib_interrupt_catch(w->context);
    return exit_code;
}

/* For the next batch. */
static int fit_context(struct work *w)
{
    const struct nib_line *line = line_at(w, 0);
    const uint32_t limit = w->info->n_ctx_train;
    const uint64_t needed = (uint64_t)line->n_prefix + line->max_new;
    const uint32_t n_ctx = needed < limit ? (uint32_t)needed : limit;
    if (!has_own_contexts(w))
        return w->context ? NIB_EXIT_OK : create_context(w, w->job->n_ctx);
    return w->context && nib_context_info(w->context)->n_ctx == n_ctx ? NIB_EXIT_OK
                                                                      : create_context(w, n_ctx);
}

/* ---- batches -------------------------------------------------------------------------------- */

/* Source i is that of the i-th line of the batch. */
static int encode_batch(struct work *w, size_t n)
{
    struct nib_error err;
    size_t n_tokens = 0;
    for (size_t i = 0; i < n; i++)
        n_tokens += line_at(w, i)->n_source;
    int32_t *ids = nib_grow(NULL, n_tokens, sizeof *ids);
    uint32_t *sources = nib_grow(NULL, n_tokens, sizeof *sources);
    size_t at = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < line_at(w, i)->n_source; j++, at++) {
            ids[at] = line_at(w, i)->source[j];
            sources[at] = (uint32_t)i;
        }
    w->n_source += n_tokens;
    const enum nib_status status = nib_encode_sources(
        w->context, &(struct nib_batch){.n_tokens = n_tokens, .ids = ids, .sequences = sources},
        &err);
    free(ids);
    free(sources);
    return status == NIB_OK ? NIB_EXIT_OK : nib_complain_error(&err);
}

/* What is ready of the lines that come next. */
static int print_ready(struct work *w)
{
    const struct nib_run_lines *lines = w->job->lines;
    for (; w->n_printed < lines->n_lines; w->n_printed++) {
        struct nib_buffer *text = &w->outputs[w->n_printed];
        if (text->n_bytes == 0)
            break;
        const bool is_written = nib_print(text->data, text->n_bytes);
        nib_buffer_free(text);
        if (!is_written)
            return NIB_EXIT_RUNTIME;
    }
    return NIB_EXIT_OK;
}

static int run_batches(struct work *w)
{
    struct nib_progress progress;
    int exit_code = print_ready(w);
    nib_progress_start(&progress, w->info->has_encoder ? "decoding" : "generating");
    for (size_t first = 0; first < w->n_order && exit_code == NIB_EXIT_OK; first += w->n_slots) {
        const size_t left = w->n_order - first, n = left < w->n_slots ? left : w->n_slots;
        w->batch = w->order + first;
        exit_code = fit_context(w);
        if (exit_code == NIB_EXIT_OK && w->info->has_encoder)
            exit_code = encode_batch(w, n);
        if (exit_code == NIB_EXIT_OK)
            exit_code = w->job->beams ? search_batch(w, n) : answer_batch(w, n);
        if (exit_code == NIB_EXIT_OK && !w->stream)
            exit_code = print_ready(w);
        if (exit_code == NIB_EXIT_OK && nib_interrupt_seen())
            exit_code = NIB_EXIT_INTERRUPT;
        if (w->n_order > w->n_slots)
            nib_progress_update(&progress, first + n, w->n_order);
    }
    nib_progress_end(&progress);
    return exit_code;
}

/* ---- all ------------------------------------------------------------------------------------ */

struct place {
    size_t n_source, line;
};

/* The longest first: what does not fit into memory is seen at once. */
static int compare_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->n_source != y->n_source)
        return x->n_source > y->n_source ? -1 : 1;
    return (x->line > y->line) - (x->line < y->line);
}

static void sort_by_source(struct work *w)
{
    struct place *places = nib_grow(NULL, w->n_order + 1, sizeof *places);
    for (size_t i = 0; i < w->n_order; i++)
        places[i] = (struct place){w->job->lines->lines[w->order[i]].n_source, w->order[i]};
    qsort(places, w->n_order, sizeof *places, compare_places);
    for (size_t i = 0; i < w->n_order; i++)
        w->order[i] = places[i].line;
    free(places);
}

static int order_lines(struct work *w)
{
    const struct nib_run_lines *lines = w->job->lines;
    int exit_code = NIB_EXIT_OK;
    w->order = nib_grow(NULL, lines->n_lines + 1, sizeof *w->order);
    w->outputs = nib_grow(NULL, lines->n_lines + 1, sizeof *w->outputs);
    memset(w->outputs, 0, (lines->n_lines + 1) * sizeof *w->outputs);
    for (size_t i = 0; i < lines->n_lines && exit_code == NIB_EXIT_OK; i++) {
        const struct nib_line *line = &lines->lines[i];
        if (line->error && lines->n_lines == 1 && !w->job->output->is_json)
            continue; /* no other line counts on its place */
        if (line->error || line->is_blank)
            exit_code = nib_run_write_nothing(w->job->output, line, i, &w->outputs[i]);
        else
            w->order[w->n_order++] = i;
    }
    if (w->info->has_encoder)
        sort_by_source(w);
    return exit_code;
}

static void note_totals(const struct work *w, double seconds)
{
    if (w->info->has_encoder || w->job->beams)
        nib_note("%zu line%s: %zu source tokens, generated %zu tokens in %.2f s, %.1f tokens/s",
                 w->n_order, w->n_order == 1 ? "" : "s", w->n_source, w->n_generated, seconds,
                 seconds > 0 ? (double)w->n_generated / seconds : 0);
    if ((w->info->has_encoder || w->job->beams) && w->n_cut > 0 && !w->job->ignores_end)
        nib_note("%zu of them reached the maximum length; -n N sets it", w->n_cut);
    if (w->n_lacking > 0)
        nib_note(
            "%zu answers lack a text to force; allow more tokens (-n), or ask for fewer answers "
            "(--nbest)",
            w->n_lacking);
}

static int run(struct work *w)
{
    struct nib_error err;
    const double started = nib_seconds();
    int exit_code = NIB_EXIT_OK;
    count_slots(w);
    if (w->job->streams && nib_text_stream_create(&w->stream, w->job->model, &err) != NIB_OK)
        exit_code = nib_complain_error(&err);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    exit_code = run_batches(w);
    nib_interrupt_catch(NULL);
    if (exit_code != NIB_EXIT_OK)
        return exit_code;
    note_totals(w, nib_seconds() - started);
    if (w->n_unanswered > 0)
        return nib_complain(NIB_EXIT_RUNTIME,
                            "%zu of %zu lines: every token that the answer could begin with is "
                            "banned; ban fewer",
                            w->n_unanswered, w->job->lines->n_lines);
    return tell_full_context(w);
}

int nib_run_lines_answer(const struct nib_run_job *job)
{
    struct work w = {.job = job, .info = nib_model_info(job->model)};
    if (job->beams) {
        w.beams = *job->beams;
        w.beams.on_step = job->trace ? trace_step : NULL;
        w.beams.data = &w;
    }
    int exit_code = order_lines(&w);
    if (exit_code == NIB_EXIT_OK)
        exit_code = run(&w);
    for (size_t i = 0; w.outputs && i < job->lines->n_lines; i++)
        nib_buffer_free(&w.outputs[i]);
    free(w.outputs);
    free(w.order);
    nib_text_stream_free(w.stream);
    nib_context_free(w.context);
    return exit_code;
}
