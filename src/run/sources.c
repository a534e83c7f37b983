/* What an encoder-decoder model decodes from: sources are encoded, several in a chunk. */
#include "context.h"
#include "os.h"

#include <stdlib.h>

/* ---- memory ---------------------------------------------------------------------------------- */

static size_t place(struct nib_context *context, uint8_t *base)
{
    struct nib_sources *s = context->sources;
    const struct nib_config *decoder = &context->model->config;
    const struct nib_work_size size = {
        .n_rows = context->info.n_batch > s->n_ctx ? context->info.n_batch : s->n_ctx,
        .n_segments = s->cache.n_segments,
        .n_keyed = (size_t)decoder->n_kv_heads * decoder->d_head,
        .n_ctx = s->n_ctx,
        .n_threads = context->info.n_threads};
    size_t used = nib_work_place(&s->work, &size, base);
    s->rows = nib_cut(base, &used, size.n_rows * sizeof(*s->rows));
    s->chunk = nib_cut(base, &used, NIB_SOURCES_OF_CHUNK * sizeof(*s->chunk));
    s->lengths = nib_cut(base, &used, s->n_sources * sizeof(*s->lengths));
    s->histories = nib_cut(base, &used, s->n_sources * sizeof(int32_t *));
    for (size_t i = 0; i < s->n_sources; i++) {
        int32_t *history = nib_cut(base, &used, (uint64_t)s->n_ctx * sizeof(int32_t));
        if (base)
            s->histories[i] = history;
    }
    return used;
}

enum nib_status nib_sources_plan(struct nib_context *context,
                                 const struct nib_context_params *params, uint64_t *n_bytes,
                                 struct nib_error *err)
{
    const struct nib_model *model = context->model, *encoder = model->encoder;
    *n_bytes = 0;
    if (!encoder)
        return NIB_OK;
    struct nib_sources *s = context->sources = calloc(1, sizeof(*s));
    if (!s)
        return nib_fail_memory(err, sizeof(*s), "a context");
    s->n_ctx = params->n_ctx_source > 0 ? params->n_ctx_source : encoder->config.n_ctx;
    s->n_sources = params->n_sources > 0 ? params->n_sources : params->n_sequences;
    if (s->n_ctx > encoder->config.n_ctx)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "sources of %u tokens: the model was trained for %u; use at most that",
                        s->n_ctx, encoder->config.n_ctx);
    context->info.n_sources = s->n_sources;
    context->info.n_ctx_source = s->n_ctx;
    s->work.model = encoder;
    const struct nib_kv_cache cache = {.type_k = nib_cache_type(params->type_k),
                                       .type_v = nib_cache_type(params->type_v)};
    s->cache = s->cross = cache;
    s->cache.d = encoder->config.d_head;
    s->cache.n_heads = encoder->config.n_kv_heads;
    s->cache.n_layers = 1;
    s->cache.n_sequences =
        s->n_sources < NIB_SOURCES_OF_CHUNK ? s->n_sources : NIB_SOURCES_OF_CHUNK;
    s->cross.d = model->config.d_head;
    s->cross.n_heads = model->config.n_kv_heads;
    s->cross.n_layers = model->config.n_layers;
    s->cross.n_sequences = s->n_sources;
    if (!nib_kv_cache_shape(&s->cache, s->n_ctx) || !nib_kv_cache_shape(&s->cross, s->n_ctx))
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "%u sources of %u tokens are too many to count; use fewer", s->n_sources,
                        s->n_ctx);
    s->arena_bytes = place(context, NULL);
    *n_bytes = (uint64_t)s->cache.n_bytes + s->cross.n_bytes + s->arena_bytes;
    return NIB_OK;
}

enum nib_status nib_sources_allocate(struct nib_context *context, struct nib_error *err)
{
    struct nib_sources *s = context->sources;
    if (!s)
        return NIB_OK;
    s->arena = nib_os_alloc(s->arena_bytes);
    s->cache.memory = nib_os_alloc(s->cache.n_bytes);
    s->cross.memory = nib_os_alloc(s->cross.n_bytes);
    if (!s->arena || !s->cache.memory || !s->cross.memory)
        return nib_fail_memory(err, (uint64_t)s->arena_bytes + s->cache.n_bytes + s->cross.n_bytes,
                               "the context");
    place(context, s->arena);
    s->work.cache = &s->cache;
    s->work.team = context->team;
    s->work.rows = s->rows;
    s->work.cancel = &context->cancel;
    return NIB_OK;
}

void nib_sources_free(struct nib_sources *s)
{
    if (!s)
        return;
    nib_os_free(s->cache.memory, s->cache.n_bytes);
    nib_os_free(s->cross.memory, s->cross.n_bytes);
    nib_os_free(s->arena, s->arena_bytes);
    free(s);
}

/* ---- encoding -------------------------------------------------------------------------------- */

/* Compute the chunk of n sources, whose histories and lengths are set. */
static enum nib_status run_chunk(struct nib_context *context, size_t n, struct nib_error *err)
{
    struct nib_sources *s = context->sources;
    struct nib_work *w = &s->work;
    w->n_rows = 0;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < s->lengths[s->chunk[i]]; j++)
            s->rows[w->n_rows++] = (struct nib_row){i, j, s->histories[s->chunk[i]][j]};
    if (n == 0)
        return NIB_OK;
    w->is_cancelled[0] = w->is_cancelled[1] = false;
    struct nib_encoding encoding = {w, context->model, &s->cross, s->chunk};
    nib_team_run(context->team, nib_encode_run, &encoding);
    if (!w->is_cancelled[0] && !w->is_cancelled[1])
        return NIB_OK;
    return nib_fail(err, NIB_ERROR_CANCELLED, "the evaluation was cancelled");
}

/* Sources that are new: after a failure they are empty. */
static enum nib_status encode_chunk(struct nib_context *context, size_t n, struct nib_error *err)
{
    struct nib_sources *s = context->sources;
    const enum nib_status status = run_chunk(context, n, err);
    for (size_t i = 0; i < n && status != NIB_OK; i++)
        s->lengths[s->chunk[i]] = 0;
    if (n > 0)
        s->n_last = s->lengths[s->chunk[n - 1]];
    return status;
}

/* Tokens of the batch's source that begins at token i. */
static size_t count_tokens(const struct nib_batch *b, size_t i)
{
    size_t n = 1;
    while (i + n < b->n_tokens && (!b->sequences || b->sequences[i + n] == b->sequences[i]))
        n++;
    return n;
}

static enum nib_status check_source(const struct nib_context *context, const struct nib_batch *b,
                                    size_t i, size_t n, struct nib_error *err)
{
    const struct nib_sources *s = context->sources;
    const uint32_t n_vocab = context->model->encoder->config.n_vocab;
    const uint32_t source = b->sequences ? b->sequences[i] : 0;
    if (source >= s->n_sources)
        return nib_fail(err, NIB_ERROR_ARGUMENT, "source %u: the context has %u", source,
                        s->n_sources);
    for (size_t j = 0; b->sequences && j < i; j++)
        if (b->sequences[j] == source)
            return nib_fail(err, NIB_ERROR_ARGUMENT,
                            "source %u stands in two places of the batch; its tokens must be "
                            "neighbours",
                            source);
    if (n > s->n_ctx)
        return nib_fail(err, NIB_ERROR_CONTEXT,
                        "source %u has %zu tokens, and the model reads at most %u; use a shorter "
                        "text or cut it into sentences",
                        source, n, s->n_ctx);
    for (size_t j = i; j < i + n; j++)
        if (b->ids[j] < 0 || (uint32_t)b->ids[j] >= n_vocab)
            return nib_fail(err, NIB_ERROR_ARGUMENT,
                            "token id %d of source %u: the vocabulary has 0 to %u", b->ids[j],
                            source, n_vocab - 1);
    return NIB_OK;
}

/* Sequences that decode from a source which is replaced begin anew. */
static void set_source(struct nib_context *context, uint32_t source, const int32_t *ids, size_t n)
{
    struct nib_sources *s = context->sources;
    memcpy(s->histories[source], ids, n * sizeof(*ids));
    s->lengths[source] = (uint32_t)n;
    for (uint32_t i = 0; i < context->info.n_sequences; i++)
        if (context->source_of[i] == source)
            nib_sequence_truncate(context, i, 0);
}

enum nib_status nib_encode_sources(struct nib_context *context, const struct nib_batch *b,
                                   struct nib_error *err)
{
    struct nib_sources *s = context->sources;
    if (!s)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "models of the family %s have no encoder; evaluate the text itself",
                        context->model->family->name);
    if (b->n_tokens == 0)
        return nib_fail(err, NIB_ERROR_ARGUMENT, "an empty batch: give at least one token");
    enum nib_status status = NIB_OK;
    for (size_t i = 0, n; i < b->n_tokens && status == NIB_OK; i += n) {
        n = count_tokens(b, i);
        status = check_source(context, b, i, n, err);
    }
    const size_t room = context->info.n_batch > s->n_ctx ? context->info.n_batch : s->n_ctx;
    size_t n_chunk = 0, n_rows = 0;
    atomic_store(&context->cancel, false);
    for (size_t i = 0, n; i < b->n_tokens && status == NIB_OK; i += n) {
        n = count_tokens(b, i);
        if (n_rows + n > room || n_chunk == s->cache.n_sequences) {
            status = encode_chunk(context, n_chunk, err);
            n_chunk = n_rows = 0;
        }
        if (status != NIB_OK)
            break;
        const uint32_t source = b->sequences ? b->sequences[i] : 0;
        set_source(context, source, b->ids + i, n);
        s->chunk[n_chunk++] = source;
        n_rows += n;
    }
    return status == NIB_OK ? encode_chunk(context, n_chunk, err) : status;
}

enum nib_status nib_sources_refresh(struct nib_context *context, uint32_t source,
                                    struct nib_error *err)
{
    context->sources->chunk[0] = source;
    context->sources->n_last = 0; /* what the last one gave is overwritten */
    return run_chunk(context, 1, err);
}

/* ---- asking ---------------------------------------------------------------------------------- */

const float *nib_encoder_output(const struct nib_context *context, size_t i)
{
    const struct nib_sources *s = context->sources;
    if (!s || i >= s->n_last)
        return NULL;
    return s->work.x.data + (s->work.n_rows - s->n_last + i) * s->work.x.stride;
}

enum nib_status nib_sequence_set_source(struct nib_context *context, uint32_t sequence,
                                        uint32_t source, struct nib_error *err)
{
    if (sequence >= context->info.n_sequences || source >= context->info.n_sources)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "sequence %u from source %u: the context has %u sequences and %u sources",
                        sequence, source, context->info.n_sequences, context->info.n_sources);
    nib_sequence_truncate(context, sequence, 0);
    context->source_of[sequence] = source;
    return NIB_OK;
}
