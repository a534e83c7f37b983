/* See generate.h. */
#include "generate.h"
#include "settings.h"
#include "shift_settings.h"
#include "trace.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct batch { /* what nib_batch points to; `owners` are the answers whose logits come out, in order
                */
    int32_t *ids;
    uint32_t *sequences;
    size_t *owners;
    size_t n_owners;
};

static enum nib_status cancelled(struct nib_error *err)
{
    *err = (struct nib_error){.status = NIB_ERROR_CANCELLED, .message = "interrupted"};
    return NIB_ERROR_CANCELLED;
}

static enum nib_status evaluate_prompts(const struct nib_generation *generation,
                                        const struct nib_answer *answers, size_t n_answers,
                                        struct batch *batch, struct nib_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < n_answers; i++) {
        for (size_t j = 0; j < answers[i].n_prompt; j++, n++) {
            batch->ids[n] = answers[i].prompt[j];
            batch->sequences[n] = (uint32_t)i;
        }
        batch->owners[i] = i;
    }
    batch->n_owners = n_answers;
    const struct nib_batch all = {.n_tokens = n, .ids = batch->ids, .sequences = batch->sequences};
    return nib_evaluate(generation->context, &all, err);
}

/* `logits` are those that the choice was made from. */
static void answer_add(const struct nib_generation *generation, struct nib_answer *answer,
                       const struct nib_choice *choice, const float *logits)
{
    const size_t n = answer->n_ids, n_top = generation->n_top;
    if ((n & (n - 1)) == 0) {
        const size_t capacity = n ? 2 * n : 1;
        answer->ids = nib_grow(answer->ids, capacity, sizeof *answer->ids);
        answer->logprobs = nib_grow(answer->logprobs, capacity, sizeof *answer->logprobs);
        if (n_top > 0)
            answer->top = nib_grow(answer->top, capacity * n_top, sizeof *answer->top);
    }
    answer->ids[n] = choice->id;
    answer->logprobs[n] = choice->logprob;
    answer->n_ids++;
    if (n_top == 0)
        return;
    struct nib_id_logprob *top = answer->top + n * n_top;
    const size_t n_vocab = nib_model_info(generation->model)->n_vocab;
    for (size_t i = nib_top_logprobs(logits, n_vocab, n_top, top); i < n_top; i++)
        top[i] = (struct nib_id_logprob){-1, -INFINITY}; /* a small vocabulary */
}

/* Before the choice becomes part of the answer. */
static bool trace_choice(const struct nib_generation *generation, const struct nib_answer *answer,
                         uint32_t sequence, size_t row, size_t n_rows,
                         const struct nib_choice *choice)
{
    const bool is_first = answer->n_ids == 0;
    const size_t n_input = is_first ? answer->n_prompt : 1;
    return nib_trace_choice(
        generation->trace,
        &(struct nib_trace_step){
            .step = answer->n_ids,
            .sequence = answer->number,
            .input = is_first ? answer->prompt : &answer->ids[answer->n_ids - 1],
            .n_input = n_input,
            .position = nib_sequence_length(generation->context, sequence) - n_input,
            .n_rows = n_rows,
            .logits = nib_logits(generation->context, row),
            .sampler = answer->sampler,
            .choice = *choice,
        });
}

/* Does the answer go on after its latest token? */
static bool goes_on(const struct nib_generation *generation, struct nib_answer *answer,
                    uint32_t sequence)
{
    const int32_t id = answer->ids[answer->n_ids - 1];
    if (!generation->ignores_end && nib_token_is_end(generation->model, id)) {
        answer->has_ended = true;
        return false;
    }
    if (answer->max_new >= 0 && answer->n_ids >= (uint64_t)answer->max_new) {
        answer->has_no_room = answer->is_cut;
        return false;
    }
    const uint32_t n_ctx = nib_context_info(generation->context)->n_ctx;
    const bool can_shift = generation->shifts && answer->n_keep < n_ctx;
    answer->has_no_room = !can_shift && nib_sequence_length(generation->context, sequence) >= n_ctx;
    return !answer->has_no_room;
}

static enum nib_status choose_id(const struct nib_generation *generation,
                                 const struct nib_answer *answer, const float *logits,
                                 struct nib_choice *choice, struct nib_error *err)
{
    const struct nib_model_info *info = nib_model_info(generation->model);
    const enum nib_status status = nib_sampler_choose(answer->sampler, logits, choice, err);
    const bool is_last = answer->max_new >= 0 && answer->n_ids + 1 == (uint64_t)answer->max_new;
    if (status == NIB_OK && is_last && info->forced_eos_id >= 0 && !generation->ignores_end) {
        choice->id = info->forced_eos_id;
        choice->logprob = nib_logprob(logits, info->n_vocab, choice->id);
    }
    return status;
}

/* A token for each answer in batch->owners; what is to be evaluated next is left in *batch. */
static enum nib_status choose(const struct nib_generation *generation, struct nib_answer *answers,
                              struct batch *batch, struct nib_error *err)
{
    size_t n = 0;
    const size_t n_rows = batch->n_owners;
    for (size_t row = 0; row < n_rows; row++) {
        const size_t i = batch->owners[row];
        const float *logits = nib_logits(generation->context, row);
        struct nib_choice choice;
        const enum nib_status status = choose_id(generation, &answers[i], logits, &choice, err);
        if (status != NIB_OK)
            return status;
        if (generation->trace &&
            !trace_choice(generation, &answers[i], (uint32_t)i, row, n_rows, &choice))
            return cancelled(err);
        answer_add(generation, &answers[i], &choice, logits);
        const bool is_live = goes_on(generation, &answers[i], (uint32_t)i);
        if (generation->on_token && !generation->on_token(generation->data, choice.id))
            return cancelled(err);
        if (is_live) {
            batch->ids[n] = choice.id;
            batch->sequences[n] = (uint32_t)i;
            batch->owners[n++] = i; /* n <= row: not read any more */
        }
    }
    batch->n_owners = n;
    return NIB_OK;
}

/* Said where it happens; on a terminal not in the middle of the text's line. */
static void note_shift(const struct nib_generation *generation, const struct nib_answer *answer,
                       const struct nib_shift *shift)
{
    char text[160];
    nib_shift_describe(shift, text, sizeof text);
    if (generation->on_token && !nib_is_quiet() && nib_is_terminal(stdout) &&
        nib_is_terminal(stderr))
        fputc('\n', stderr);
    if (generation->has_many)
        nib_note("sequence %zu: %s", answer->number, text);
    else
        nib_note("%s", text);
}

static enum nib_status shift(const struct nib_generation *generation, struct nib_answer *answer,
                             uint32_t sequence, struct nib_timing *timing, struct nib_error *err)
{
    const double started = nib_seconds();
    const struct nib_shift plan =
        nib_shift_of(nib_sequence_length(generation->context, sequence), answer->n_keep);
    const enum nib_status status = nib_sequence_shift(
        generation->context, sequence, (uint32_t)plan.n_keep, (uint32_t)plan.n_discard, err);
    if (status != NIB_OK)
        return status;
    answer->n_forgotten += plan.n_discard;
    timing->n_shifts++;
    timing->n_shifted += plan.length - plan.n_keep - plan.n_discard;
    timing->shift_s += nib_seconds() - started;
    note_shift(generation, answer, &plan);
    if (generation->trace &&
        !nib_trace_shift(generation->trace, answer->n_ids, answer->number, &plan))
        return cancelled(err);
    return NIB_OK;
}

/* For the tokens that are to be evaluated next. */
static enum nib_status make_room(const struct nib_generation *generation,
                                 struct nib_answer *answers, const struct batch *batch,
                                 struct nib_timing *timing, struct nib_error *err)
{
    const uint32_t n_ctx = nib_context_info(generation->context)->n_ctx;
    enum nib_status status = NIB_OK;
    for (size_t i = 0; i < batch->n_owners && status == NIB_OK; i++)
        if (nib_sequence_length(generation->context, batch->sequences[i]) >= n_ctx)
            status =
                shift(generation, &answers[batch->owners[i]], batch->sequences[i], timing, err);
    return status;
}

static enum nib_status step(const struct nib_generation *generation, const struct batch *batch,
                            struct nib_timing *timing, struct nib_error *err)
{
    const double started = nib_seconds();
    const struct nib_batch live = {
        .n_tokens = batch->n_owners, .ids = batch->ids, .sequences = batch->sequences};
    const enum nib_status status = nib_evaluate(generation->context, &live, err);
    if (status != NIB_OK)
        return status;
    timing->generation_s += nib_seconds() - started;
    timing->n_steps++;
    timing->n_decoded += batch->n_owners;
    for (size_t i = 0; i < batch->n_owners; i++)
        timing->n_positions += nib_sequence_length(generation->context, batch->sequences[i]);
    return NIB_OK;
}

static enum nib_status run(const struct nib_generation *generation, struct nib_answer *answers,
                           size_t n_answers, struct batch *batch, struct nib_timing *timing,
                           struct nib_error *err)
{
    const double started = nib_seconds();
    enum nib_status status = evaluate_prompts(generation, answers, n_answers, batch, err);
    timing->prompt_s = nib_seconds() - started;
    bool is_first = true;
    bool wants_ids = false;
    for (size_t i = 0; i < n_answers; i++)
        wants_ids |= answers[i].max_new != 0;
    if (!wants_ids)
        return status;
    while (status == NIB_OK) {
        if (nib_interrupt_seen())
            return cancelled(err);
        status = choose(generation, answers, batch, err);
        if (is_first)
            timing->first_token_s = nib_seconds() - started;
        is_first = false;
        if (status != NIB_OK || batch->n_owners == 0)
            break;
        status = make_room(generation, answers, batch, timing, err);
        if (status == NIB_OK)
            status = step(generation, batch, timing, err);
    }
    return status;
}

enum nib_status nib_generate(const struct nib_generation *generation, struct nib_answer *answers,
                             size_t n_answers, struct nib_timing *timing, struct nib_error *err)
{
    size_t n_prompt = 0;
    for (size_t i = 0; i < n_answers; i++)
        n_prompt += answers[i].n_prompt;
    *timing = (struct nib_timing){.n_prompt = n_prompt};
    struct batch batch = {
        .ids = nib_grow(NULL, n_prompt + n_answers, sizeof *batch.ids),
        .sequences = nib_grow(NULL, n_prompt + n_answers, sizeof *batch.sequences),
        .owners = nib_grow(NULL, n_answers, sizeof *batch.owners),
    };
    const enum nib_status status = run(generation, answers, n_answers, &batch, timing, err);
    for (size_t i = 0; i < n_answers; i++)
        timing->n_generated += answers[i].n_ids;
    free(batch.ids);
    free(batch.sequences);
    free(batch.owners);
    return status;
}

void nib_answer_free(struct nib_answer *answer)
{
    free(answer->ids);
    free(answer->logprobs);
    free(answer->top);
    answer->ids = NULL;
    answer->logprobs = NULL;
    answer->top = NULL;
    answer->n_ids = 0;
}

static void add_ids(struct nib_buffer *out, const int32_t *ids, size_t n_ids)
{
    char number[16];
    for (size_t i = 0; i < n_ids; i++) {
        const int n = snprintf(number, sizeof number, "%s%" PRId32, i ? " " : "", ids[i]);
        nib_buffer_add(out, number, (size_t)n);
    }
}

enum nib_status nib_text_of(const struct nib_model *model, const int32_t *ids, size_t n_ids,
                            struct nib_buffer *out, struct nib_error *err)
{
    struct nib_text_stream *stream;
    if (!*nib_model_info(model)->tokenizer) {
        add_ids(out, ids, n_ids);
        return NIB_OK;
    }
    const enum nib_status status = nib_text_stream_create(&stream, model, err);
    if (status != NIB_OK)
        return status;
    for (size_t i = 0; i < n_ids; i++) {
        const char *piece = nib_text_stream_push(stream, ids[i]);
        nib_buffer_add(out, piece, strlen(piece));
    }
    const char *rest = nib_text_stream_end(stream);
    nib_buffer_add(out, rest, strlen(rest));
    nib_text_stream_free(stream);
    return NIB_OK;
}

static double rate(double count, double seconds)
{
    return seconds > 0 ? count / seconds : 0;
}

/* Measured once: a program works with one set of threads. */
static double measured_bandwidth(struct nib_context *context)
{
    static double bandwidth;
    if (bandwidth <= 0)
        bandwidth = nib_measure_bandwidth(context);
    return bandwidth;
}

void nib_note_timing(const struct nib_model *model, struct nib_context *context,
                     const struct nib_timing *timing)
{
    char share[80] = "";
    if (nib_is_quiet())
        return;
    if (timing->n_steps > 0 && measured_bandwidth(context) > 0) {
        const double n_bytes =
            (double)nib_model_info(model)->n_token_bytes * (double)timing->n_steps +
            (double)timing->n_positions * nib_settings_position_bytes(model);
        snprintf(share, sizeof share, " = %.0f %% of the memory's %.1f GB/s",
                 100.0 * rate(n_bytes, timing->generation_s) / measured_bandwidth(context),
                 1e-9 * measured_bandwidth(context));
    }
    nib_note(
        "prompt %zu tokens, %.1f tokens/s | generated %zu tokens, %.1f tokens/s%s | first token "
        "after %.3f s",
        timing->n_prompt, rate((double)timing->n_prompt, timing->prompt_s), timing->n_generated,
        rate((double)timing->n_decoded, timing->generation_s), share, timing->first_token_s);
    if (timing->n_shifts > 0)
        nib_note("%zu context shift%s: %zu tokens computed anew in %.3f s", timing->n_shifts,
                 timing->n_shifts == 1 ? "" : "s", timing->n_shifted, timing->shift_s);
}
