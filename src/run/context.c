/* Contexts: sequences of tokens with their KV cache. */
#include "context.h"
#include "os.h"
#include "topology.h"

#include <stdlib.h>

enum { MAX_BATCH = 4096, MAX_SEQUENCES = 65536 };

void nib_context_params_init(struct nib_context_params *params)
{
    *params = (struct nib_context_params){.n_batch = 512,
                                          .n_sequences = 1,
                                          .type_k = NIB_KV_F16,
                                          .type_v = NIB_KV_F16,
                                          .kv_cache = true};
}

static bool is_kv_type(enum nib_kv_type type)
{
    return type == NIB_KV_F16 || type == NIB_KV_F32 || type == NIB_KV_Q8_0;
}

enum nib_kv nib_cache_type(enum nib_kv_type type)
{
    return type == NIB_KV_F16 ? NIB_CACHE_F16 : type == NIB_KV_F32 ? NIB_CACHE_F32 : NIB_CACHE_Q8;
}

static enum nib_status check_params(struct nib_context_params *p, const struct nib_model *model,
                                    struct nib_error *err)
{
    if (p->n_batch < 1 || p->n_batch > MAX_BATCH)
        return nib_fail(err, NIB_ERROR_ARGUMENT, "batch of %u tokens: use 1 to %d", p->n_batch,
                        MAX_BATCH);
    if (p->n_sequences < 1 || p->n_sequences > MAX_SEQUENCES)
        return nib_fail(err, NIB_ERROR_ARGUMENT, "%u sequences: use 1 to %d", p->n_sequences,
                        MAX_SEQUENCES);
    if (!is_kv_type(p->type_k) || !is_kv_type(p->type_v))
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "cache type %d: use NIB_KV_F16, NIB_KV_F32 or NIB_KV_Q8_0",
                        is_kv_type(p->type_k) ? (int)p->type_v : (int)p->type_k);
    if (p->n_ctx == 0)
        p->n_ctx = model->config.n_ctx;
    if (p->n_ctx > model->config.n_ctx)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "context of %u tokens: the model was trained for %u; use at most that",
                        p->n_ctx, model->config.n_ctx);
    if (p->n_logits == 0)
        p->n_logits = p->n_sequences;
    return NIB_OK;
}

/* ---- memory --------------------------------------------------------------------------------- */

/* What an int8 cache needs for the biases of keys. */
static void place_key_bias(struct nib_context *context, uint8_t *base, size_t *used)
{
    const struct nib_kv_cache *cache = &context->cache;
    struct nib_work *w = &context->work;
    if (cache->type_k != NIB_CACHE_Q8)
        return;
    const uint64_t n_bytes = nib_key_bias_bytes(w->model, cache->n_segments);
    uint8_t *memory = nib_cut(base, used, n_bytes);
    if (!base || n_bytes == 0)
        return;
    nib_key_bias_init(&context->key_bias, w->model, w->rope_frequency, cache->n_segments, memory);
    w->key_bias = &context->key_bias;
}

/* Lay out everything but caches; called once to count and once to place. */
static size_t place(struct nib_context *context, uint8_t *base)
{
    const struct nib_context_info *info = &context->info;
    const struct nib_sources *sources = context->sources;
    size_t n_segments = context->cache.n_segments;
    if (sources && sources->cross.n_segments > n_segments)
        n_segments = sources->cross.n_segments;
    const struct nib_work_size size = {.n_rows = info->n_batch,
                                       .n_logits = info->n_logits,
                                       .n_segments = n_segments,
                                       .n_ctx = info->n_ctx,
                                       .n_threads = info->n_threads};
    const size_t n_most = info->n_batch > info->n_logits ? info->n_batch : info->n_logits;
    size_t used = nib_work_place(&context->work, &size, base);
    place_key_bias(context, base, &used);
    context->rows = nib_cut(base, &used, info->n_batch * sizeof(struct nib_row));
    context->logits_rows = nib_cut(base, &used, n_most * sizeof(uint32_t));
    context->lengths = nib_cut(base, &used, info->n_sequences * sizeof(uint32_t));
    context->source_of = nib_cut(base, &used, info->n_sequences * sizeof(uint32_t));
    context->histories = nib_cut(base, &used, info->n_sequences * sizeof(int32_t *));
    for (size_t i = 0; i < info->n_sequences; i++) {
        int32_t *history = nib_cut(base, &used, (uint64_t)info->n_ctx * sizeof(int32_t));
        if (base)
            context->histories[i] = history;
    }
    return used;
}

/* Without its sizes and memory. */
static struct nib_kv_cache cache_of(const struct nib_model *model, enum nib_kv_type type_k,
                                    enum nib_kv_type type_v, size_t n_sequences)
{
    return (struct nib_kv_cache){.type_k = nib_cache_type(type_k),
                                 .type_v = nib_cache_type(type_v),
                                 .d = model->config.d_head,
                                 .n_sequences = n_sequences,
                                 .n_layers = model->config.n_layers,
                                 .n_heads = model->config.n_kv_heads};
}

static enum nib_status allocate(struct nib_context *context,
                                const struct nib_context_params *params, struct nib_error *err)
{
    struct nib_kv_cache *cache = &context->cache;
    if (!nib_kv_cache_shape(cache, context->info.n_ctx))
        return nib_fail(
            err, NIB_ERROR_ARGUMENT,
            "a context of %u tokens for %u sequences is too large to count; use a smaller one",
            context->info.n_ctx, context->info.n_sequences);
    uint64_t n_sources = 0;
    const enum nib_status status = nib_sources_plan(context, params, &n_sources, err);
    if (status != NIB_OK)
        return status;
    context->arena_bytes = place(context, NULL);
    const uint64_t need = (uint64_t)cache->n_bytes + context->arena_bytes + n_sources;
    const uint64_t have = nib_os_memory_available();
    if (need > have)
        return nib_fail(err, NIB_ERROR_MEMORY,
                        "a context of %u tokens needs %.1f MB, %.1f MB are free; use a smaller one "
                        "(-c) or fewer sequences",
                        context->info.n_ctx, (double)need / 1e6, (double)have / 1e6);
    context->arena = nib_os_alloc(context->arena_bytes);
    cache->memory = nib_os_alloc(cache->n_bytes);
    if (!context->arena || !cache->memory)
        return nib_fail_memory(err, need, "the context");
    place(context, context->arena);
    for (uint32_t i = 0; i < context->info.n_sequences; i++)
        context->source_of[i] = i < context->info.n_sources ? i : 0;
    context->info.n_kv_bytes = cache->n_bytes;
    context->info.n_scratch_bytes = context->arena_bytes + n_sources;
    return nib_kv_blocks_create(&context->blocks, cache, err);
}

uint64_t nib_kv_bytes(const struct nib_model *model, uint32_t n_ctx, enum nib_kv_type type_k,
                      enum nib_kv_type type_v)
{
    if (!is_kv_type(type_k) || !is_kv_type(type_v))
        return 0;
    struct nib_kv_cache cache = cache_of(model, type_k, type_v, 1);
    return nib_kv_cache_shape(&cache, n_ctx) ? cache.n_bytes : UINT64_MAX;
}

enum nib_status nib_context_create(struct nib_context **out, const struct nib_model *model,
                                   const struct nib_context_params *params, struct nib_error *err)
{
    struct nib_context_params p;
    nib_context_params_init(&p);
    if (params)
        p = *params;
    *out = NULL;
    if (check_params(&p, model, err) != NIB_OK)
        return NIB_ERROR_ARGUMENT;

    struct nib_context *context = calloc(1, sizeof(*context));
    if (!context)
        return nib_fail_memory(err, sizeof(*context), "a context");
    context->model = context->work.model = model;
    context->has_cache = p.kv_cache;
    enum nib_status status = nib_cpu_plan_create(&context->plan, p.n_threads, err);
    if (status == NIB_OK)
        status = nib_team_create(&context->team, context->plan, err);
    if (status != NIB_OK)
        goto fail;
    context->info = (struct nib_context_info){
        .n_ctx = p.n_ctx,
        .n_batch = p.n_batch,
        .n_sequences = p.n_sequences,
        .n_logits = p.n_logits,
        .n_threads = nib_team_size(context->team),
        .cpu_plan = nib_cpu_plan_text(context->plan),
    };
    context->cache = cache_of(model, p.type_k, p.type_v, p.n_sequences);
    status = allocate(context, &p, err);
    if (status == NIB_OK)
        status = nib_sources_allocate(context, err);
    if (status != NIB_OK)
        goto fail;
    struct nib_work *w = &context->work;
    w->cache = &context->cache;
    w->team = context->team;
    w->rows = context->rows;
    w->logits_rows = context->logits_rows;
    w->cancel = &context->cancel;
    if (context->sources) {
        w->cross = &context->sources->cross;
        w->cross_keys = context->sources->lengths;
        w->source_of = context->source_of;
    }
    *out = context;
    return NIB_OK;

fail:
    nib_context_free(context);
    return status;
}

void nib_context_free(struct nib_context *context)
{
    if (!context)
        return;
    nib_sources_free(context->sources);
    nib_kv_blocks_free(&context->blocks);
    nib_os_free(context->cache.memory, context->cache.n_bytes);
    nib_os_free(context->arena, context->arena_bytes);
    nib_team_free(context->team);
    nib_cpu_plan_free(context->plan);
    free(context);
}

void nib_context_memory(const struct nib_context *context, struct nib_memory_info *out)
{
    const struct nib_kv_cache *cache = &context->cache;
    const struct nib_pages pages = nib_os_pages(cache->memory, cache->n_bytes);
    *out = (struct nib_memory_info){cache->n_bytes, pages.resident, pages.huge};
}

const struct nib_context_info *nib_context_info(const struct nib_context *context)
{
    return &context->info;
}

const float *nib_logits(const struct nib_context *context, size_t i)
{
    if (i >= context->n_logits)
        return NULL;
    const struct nib_buffer *logits = &context->work.logits;
    return logits->data + i * logits->stride;
}

uint32_t nib_sequence_length(const struct nib_context *context, uint32_t sequence)
{
    return sequence < context->info.n_sequences ? context->lengths[sequence] : 0;
}

void nib_sequence_truncate(struct nib_context *context, uint32_t sequence, uint32_t n)
{
    if (sequence >= context->info.n_sequences || n >= context->lengths[sequence])
        return;
    context->lengths[sequence] = n;
    nib_kv_blocks_truncate(&context->blocks, sequence, n);
}

enum nib_status nib_sequence_fork(struct nib_context *context, uint32_t from, uint32_t to,
                                  struct nib_error *err)
{
    const uint32_t n = context->info.n_sequences;
    if (from >= n || to >= n)
        return nib_fail(err, NIB_ERROR_ARGUMENT, "sequence %u: the context has %u",
                        from >= n ? from : to, n);
    const uint32_t length = context->lengths[from];
    if (context->has_cache)
        nib_kv_blocks_fork(&context->blocks, from, to, length);
    if (from != to)
        memcpy(context->histories[to], context->histories[from], length * sizeof(int32_t));
    context->lengths[to] = length;
    context->source_of[to] = context->source_of[from];
    return NIB_OK;
}

/* What an encoder has read is no part of a block's content. */
uint32_t nib_sequence_reuse(struct nib_context *context, uint32_t sequence, const int32_t *ids,
                            size_t n_ids)
{
    if (sequence >= context->info.n_sequences)
        return 0;
    nib_sequence_truncate(context, sequence, 0);
    if (!context->has_cache || context->sources)
        return 0;
    if (n_ids > context->info.n_ctx)
        n_ids = context->info.n_ctx;
    const size_t n = nib_kv_blocks_reuse(&context->blocks, sequence, ids, n_ids);
    memcpy(context->histories[sequence], ids, n * sizeof(*ids));
    return context->lengths[sequence] = (uint32_t)n;
}

void nib_context_cancel(struct nib_context *context)
{
    atomic_store_explicit(&context->cancel, true, memory_order_relaxed);
}

struct nib_team *nib_context_team(struct nib_context *context)
{
    return context->team;
}
