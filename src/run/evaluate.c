/* Evaluation of batches of tokens, in chunks. */
#include "context.h"
#include "evaluation.h"

#include <stdlib.h>

static uint32_t batch_sequence(const struct nib_batch *b, size_t i)
{
    return b->sequences ? b->sequences[i] : 0;
}

/* Without a mask: is token i the last of its sequence? */
static bool is_last(const struct nib_batch *b, size_t i)
{
    for (size_t j = i + 1; j < b->n_tokens; j++)
        if (batch_sequence(b, j) == batch_sequence(b, i))
            return false;
    return true;
}

static bool wants_logits(const struct nib_batch *b, size_t i)
{
    if (b->wants_logits)
        return b->wants_logits[i];
    /* The common cases, without looking at the rest of the batch. */
    if (!b->sequences)
        return i + 1 == b->n_tokens;
    return is_last(b, i);
}

static enum nib_status check_batch(const struct nib_context *context, const struct nib_batch *b,
                                   uint32_t *lengths, struct nib_error *err)
{
    const struct nib_context_info *info = &context->info;
    if (b->n_tokens == 0)
        return nib_fail(err, NIB_ERROR_ARGUMENT, "an empty batch: give at least one token");
    memcpy(lengths, context->lengths, info->n_sequences * sizeof(*lengths));
    size_t n_logits = 0;
    for (size_t i = 0; i < b->n_tokens; i++) {
        const uint32_t sequence = batch_sequence(b, i);
        if (b->ids[i] < 0 || (uint32_t)b->ids[i] >= context->model->config.n_vocab)
            return nib_fail(err, NIB_ERROR_ARGUMENT, "token id %d: the vocabulary has 0 to %u",
                            b->ids[i], context->model->config.n_vocab - 1);
        if (sequence >= info->n_sequences)
            return nib_fail(err, NIB_ERROR_ARGUMENT, "sequence %u: the context has %u", sequence,
                            info->n_sequences);
        if (lengths[sequence] == info->n_ctx)
            return nib_fail(
                err, NIB_ERROR_CONTEXT,
                "the context is full: %zu tokens do not fit behind the %u of %u in use; "
                "use a larger one (-c) or a shorter text, or forget some (nib_sequence_shift())",
                b->n_tokens, context->lengths[sequence], info->n_ctx);
        if (context->sources && context->sources->lengths[context->source_of[sequence]] == 0)
            return nib_fail(
                err, NIB_ERROR_ARGUMENT,
                "sequence %u decodes from source %u, which is empty: nib_encode_sources() it "
                "first",
                sequence, context->source_of[sequence]);
        lengths[sequence]++;
        n_logits += wants_logits(b, i);
    }
    if (n_logits > info->n_logits)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "logits of %zu tokens are wanted, the context was made for %u (n_logits)",
                        n_logits, info->n_logits);
    return NIB_OK;
}

/* Compute the rows that were collected; logits go behind those of earlier chunks. */
static enum nib_status run_chunk(struct nib_context *context, size_t n_rows, size_t n_wanted,
                                 struct nib_error *err)
{
    struct nib_work *w = &context->work;
    const struct nib_buffer logits = w->logits, logits_max = w->logits_max;
    if (n_rows == 0)
        return NIB_OK;
    w->n_rows = n_rows;
    w->n_logits = n_wanted;
    w->is_cancelled[0] = w->is_cancelled[1] = false;
    atomic_store(&w->is_not_finite, false);
    w->logits.data += context->n_logits * logits.stride;
    w->logits_max.data += context->n_logits * logits_max.stride;
    nib_team_run(context->team, nib_step_run, w);
    w->logits = logits;
    w->logits_max = logits_max;
    context->n_logits += n_wanted;
    if (w->is_cancelled[0] || w->is_cancelled[1])
        return nib_fail(err, NIB_ERROR_CANCELLED, "the evaluation was cancelled");
    if (atomic_load(&w->is_not_finite))
        return nib_fail(
            err, NIB_ERROR_NUMERIC,
            "a logit is not a finite number: the model's weights hold NaN or infinity, or "
            "are too large; get the file again");
    return NIB_OK;
}

/* One row into the chunk at hand, which is computed when it is full. */
struct chunk {
    struct nib_context *context;
    size_t n_rows, n_wanted;
    struct nib_error *err;
};

static enum nib_status add_row(struct chunk *chunk, uint32_t sequence, uint32_t position,
                               int32_t id, bool is_wanted)
{
    struct nib_context *context = chunk->context;
    context->rows[chunk->n_rows] = (struct nib_row){sequence, position, id};
    if (is_wanted)
        context->logits_rows[chunk->n_wanted++] = (uint32_t)chunk->n_rows;
    if (++chunk->n_rows < context->info.n_batch)
        return NIB_OK;
    const enum nib_status status = run_chunk(context, chunk->n_rows, chunk->n_wanted, chunk->err);
    chunk->n_rows = chunk->n_wanted = 0;
    return status;
}

/* Without a cache, the past of a sequence goes before its first new token. */
static enum nib_status add_past(struct chunk *chunk, uint32_t sequence, uint32_t *length)
{
    const uint32_t n = chunk->context->lengths[sequence];
    enum nib_status status = NIB_OK;
    for (; *length < n && status == NIB_OK; ++*length)
        status =
            add_row(chunk, sequence, *length, chunk->context->histories[sequence][*length], false);
    return status;
}

static void copy_blocks(void *data, int thread, int n_threads)
{
    nib_kv_blocks_copy(data, thread, n_threads);
}

/* Sequences of the batch get room. */
static void reserve(struct nib_context *context, const struct nib_batch *batch,
                    const uint32_t *new_lengths)
{
    for (size_t i = 0; i < batch->n_tokens; i++) {
        const uint32_t s = batch_sequence(batch, i);
        if (is_last(batch, i))
            nib_kv_blocks_reserve(&context->blocks, s, context->has_cache ? context->lengths[s] : 0,
                                  new_lengths[s]);
    }
    if (context->blocks.n_copies > 0)
        nib_team_run(context->team, copy_blocks, &context->blocks);
    context->blocks.n_copies = 0;
}

/* What they have computed can be found by its content. */
static void learn(struct nib_context *context, const struct nib_batch *batch)
{
    if (!context->has_cache || context->sources)
        return;
    for (size_t i = 0; i < batch->n_tokens; i++) {
        const uint32_t s = batch_sequence(batch, i);
        if (context->lengths[s] >= NIB_SEGMENT && is_last(batch, i))
            nib_kv_blocks_learn(&context->blocks, s, context->histories[s], context->lengths[s]);
    }
}

/* Without a cache, what the encoder has read is computed again too. */
static enum nib_status refresh_sources(struct nib_context *context, const struct nib_batch *batch,
                                       struct nib_error *err)
{
    enum nib_status status = NIB_OK;
    for (size_t i = 0; i < batch->n_tokens && status == NIB_OK; i++) {
        const uint32_t source = context->source_of[batch_sequence(batch, i)];
        bool is_fresh = !is_last(batch, i);
        for (size_t j = 0; j < i && !is_fresh; j++)
            is_fresh = context->source_of[batch_sequence(batch, j)] == source && is_last(batch, j);
        if (!is_fresh)
            status = nib_sources_refresh(context, source, err);
    }
    return status;
}

void nib_evaluation_begin(struct nib_context *context)
{
    atomic_store(&context->cancel, false);
}

enum nib_status nib_evaluate(struct nib_context *context, const struct nib_batch *batch,
                             struct nib_error *err)
{
    nib_evaluation_begin(context);
    return nib_evaluate_part(context, batch, err);
}

enum nib_status nib_evaluate_part(struct nib_context *context, const struct nib_batch *batch,
                                  struct nib_error *err)
{
    const size_t n_sequences = context->info.n_sequences;
    uint32_t *lengths = malloc(n_sequences * sizeof(*lengths));
    if (!lengths)
        return nib_fail_memory(err, n_sequences * sizeof(*lengths), "a batch");
    context->n_logits = 0;
    enum nib_status status = check_batch(context, batch, lengths, err);
    if (status == NIB_OK && context->sources && !context->has_cache)
        status = refresh_sources(context, batch, err);

    /* From here, lengths[i] is how much of sequence i lies in the cache. */
    if (status == NIB_OK) {
        reserve(context, batch, lengths);
        if (context->has_cache)
            memcpy(lengths, context->lengths, n_sequences * sizeof(*lengths));
        else
            memset(lengths, 0, n_sequences * sizeof(*lengths));
    }
    struct chunk chunk = {.context = context, .err = err};
    for (size_t i = 0; i < batch->n_tokens && status == NIB_OK; i++) {
        const uint32_t sequence = batch_sequence(batch, i);
        if (!context->has_cache)
            status = add_past(&chunk, sequence, &lengths[sequence]);
        if (status != NIB_OK)
            break;
        context->histories[sequence][lengths[sequence]] = batch->ids[i];
        status =
            add_row(&chunk, sequence, lengths[sequence]++, batch->ids[i], wants_logits(batch, i));
    }
    if (status == NIB_OK)
        status = run_chunk(context, chunk.n_rows, chunk.n_wanted, err);
    if (status == NIB_OK) {
        for (size_t i = 0; i < batch->n_tokens; i++)
            context->lengths[batch_sequence(batch, i)] = lengths[batch_sequence(batch, i)];
        learn(context, batch);
    } else {
        context->n_logits = 0;
    }
    free(lengths);
    return status;
}
