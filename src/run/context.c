/* Contexts: sequences of tokens, their KV cache, and the evaluation of batches in chunks. */
#include "context.h"
#include "key_bias.h"
#include "os.h"
#include "positions.h"
#include "step.h"
#include "topology.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { MAX_BATCH = 4096, MAX_SEQUENCES = 65536 };

struct nib_context {
    const struct nib_model *model;
    struct nib_context_info info;
    bool has_cache; /* false: every evaluation starts at position 0 */
    struct nib_cpu_plan *plan;
    struct nib_team *team;
    struct nib_kv_cache cache;
    struct nib_key_bias key_bias;
    uint8_t *key_bias_memory;
    uint32_t *lengths;   /* [n_sequences] */
    int32_t **histories; /* [n_sequences][n_ctx], only without a cache */
    struct nib_work work;
    struct nib_row *rows;  /* [n_batch] */
    uint32_t *logits_rows; /* [max(n_batch, n_logits)] */
    size_t n_logits;       /* of the last evaluation */
    uint8_t *arena;
    size_t arena_bytes;
    atomic_bool cancel;
};

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

static enum nib_kv cache_type(enum nib_kv_type type)
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

/* Cut `n_bytes` off the arena, in whole cache lines; a NULL base only counts. */
static void *cut(uint8_t *base, size_t *used, uint64_t n_bytes)
{
    void *p = base ? base + *used : NULL;
    *used += ((size_t)n_bytes + 63) & ~(size_t)63;
    return p;
}

static struct nib_buffer cut_buffer(uint8_t *base, size_t *used, size_t n_rows, size_t n_cols)
{
    const size_t stride = (n_cols + 15) & ~(size_t)15;
    return (struct nib_buffer){cut(base, used, n_rows * stride * sizeof(float)), stride};
}

/* What feed-forward layers and experts work in.  gate and up serve rows of n_ff values and pairs of
 * n_ff_expert. */
static void place_wide(struct nib_context *context, uint8_t *base, size_t *used)
{
    const struct nib_config *c = &context->model->config;
    struct nib_work *w = &context->work;
    struct nib_routing *t = &w->routing;
    const size_t n = context->info.n_batch, n_pairs = n * c->n_experts_used;
    size_t n_wide = c->n_ff > c->n_ff_shared ? c->n_ff : c->n_ff_shared;
    n_wide = n_wide > c->n_ff_expert ? n_wide : c->n_ff_expert;
    w->gate = cut_buffer(base, used, n > n_pairs ? n : n_pairs, n_wide);
    w->up = cut_buffer(base, used, n > n_pairs ? n : n_pairs, n_wide);
    if (c->n_experts == 0)
        return;
    t->scores = cut_buffer(base, used, n, ((c->n_experts + 15) & ~15u) + NIB_GROUP);
    t->output = cut_buffer(base, used, n_pairs, c->n_embd);
    t->expert = cut(base, used, n_pairs * sizeof(*t->expert));
    t->weight = cut(base, used, n_pairs * sizeof(*t->weight));
    t->pair = cut(base, used, n_pairs * sizeof(*t->pair));
    t->row = cut(base, used, n_pairs * sizeof(*t->row));
    t->first = cut(base, used, (c->n_experts + 1) * sizeof(*t->first));
}

static uint64_t key_bias_bytes(const struct nib_context *context)
{
    return context->cache.type_k == NIB_CACHE_Q8
               ? nib_key_bias_bytes(context->model, context->cache.n_segments)
               : 0;
}

/* Lay out everything but the KV cache; called once to count and once to place. */
static size_t place(struct nib_context *context, uint8_t *base)
{
    const struct nib_config *c = &context->model->config;
    struct nib_work *w = &context->work;
    const size_t n = context->info.n_batch, n_logits = context->info.n_logits;
    const size_t n_attended = (size_t)c->n_heads * c->d_head;
    const size_t n_keyed = (size_t)c->n_kv_heads * c->d_head;
    const size_t n_most = n > n_logits ? n : n_logits;
    const size_t n_widest = nib_step_widest_row(c);
    size_t used = 0;

    w->x = cut_buffer(base, &used, n, c->n_embd);
    w->branch = cut_buffer(base, &used, n, c->n_embd);
    w->q = cut_buffer(base, &used, n, n_attended);
    w->k = cut_buffer(base, &used, n, n_keyed);
    w->v = cut_buffer(base, &used, n, n_keyed);
    place_wide(context, base, &used);
    for (int i = 0; i < NIB_ROPE_COUNT; i++) {
        const size_t n_angles = c->rope[i].base > 0 ? c->n_rot / 2 : 0;
        w->cosine[i] = cut_buffer(base, &used, n, n_angles);
        w->sine[i] = cut_buffer(base, &used, n, n_angles);
        w->rope_frequency[i] = cut(base, &used, n_angles * sizeof(float));
    }
    context->key_bias_memory = cut(base, &used, key_bias_bytes(context));
    w->logits = cut_buffer(base, &used, n_logits, c->n_vocab);
    const size_t n_inputs = n_most * (c->n_experts > 0 ? c->n_experts_used : 1);
    for (int kind = 0; kind < NIB_ACT_COUNT; kind++)
        w->act[kind] = cut(base, &used, nib_act_bytes((enum nib_act_kind)kind, n_inputs, n_widest));
    w->partial_floats = nib_attention_partial_floats(c);
    w->partials = cut(base, &used,
                      (uint64_t)NIB_FEW_ROWS * c->n_kv_heads * context->cache.n_segments *
                          w->partial_floats * sizeof(float));
    w->n_done = cut(base, &used, NIB_MAX_SPLIT_RUNS * c->n_kv_heads * sizeof(*w->n_done));
    w->scratch_bytes = nib_step_scratch_bytes(c);
    w->scratch = cut(base, &used, w->scratch_bytes * (size_t)context->info.n_threads);
    context->rows = cut(base, &used, n * sizeof(struct nib_row));
    context->logits_rows = cut(base, &used, n_most * sizeof(uint32_t));
    context->lengths = cut(base, &used, context->info.n_sequences * sizeof(uint32_t));
    if (!context->has_cache) {
        const size_t n_seq = context->info.n_sequences;
        context->histories = cut(base, &used, n_seq * sizeof(int32_t *));
        for (size_t i = 0; i < n_seq; i++) {
            int32_t *history = cut(base, &used, (uint64_t)context->info.n_ctx * sizeof(int32_t));
            if (base)
                context->histories[i] = history;
        }
    }
    return used;
}

/* Without its sizes and memory. */
static struct nib_kv_cache cache_of(const struct nib_model *model, enum nib_kv_type type_k,
                                    enum nib_kv_type type_v, size_t n_sequences)
{
    return (struct nib_kv_cache){.type_k = cache_type(type_k),
                                 .type_v = cache_type(type_v),
                                 .d = model->config.d_head,
                                 .n_sequences = n_sequences,
                                 .n_layers = model->config.n_layers,
                                 .n_heads = model->config.n_kv_heads};
}

static enum nib_status allocate(struct nib_context *context, struct nib_error *err)
{
    struct nib_kv_cache *cache = &context->cache;
    if (!nib_kv_cache_shape(cache, context->info.n_ctx))
        return nib_fail(
            err, NIB_ERROR_ARGUMENT,
            "a context of %u tokens for %u sequences is too large to count; use a smaller one",
            context->info.n_ctx, context->info.n_sequences);
    context->arena_bytes = place(context, NULL);
    const uint64_t need = (uint64_t)cache->n_bytes + context->arena_bytes;
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
    context->info.n_kv_bytes = cache->n_bytes;
    context->info.n_scratch_bytes = context->arena_bytes;
    return NIB_OK;
}

uint64_t nib_kv_bytes(const struct nib_model *model, uint32_t n_ctx, enum nib_kv_type type_k,
                      enum nib_kv_type type_v)
{
    if (!is_kv_type(type_k) || !is_kv_type(type_v))
        return 0;
    struct nib_kv_cache cache = cache_of(model, type_k, type_v, 1);
    return nib_kv_cache_shape(&cache, n_ctx) ? cache.n_bytes : UINT64_MAX;
}

/* What depends on positions alone. */
static void fill_tables(struct nib_context *context)
{
    const struct nib_config *c = &context->model->config;
    struct nib_work *w = &context->work;
    for (int i = 0; i < NIB_ROPE_COUNT; i++)
        if (c->rope[i].base > 0)
            nib_rope_frequencies((float *)w->rope_frequency[i], &c->rope[i], c->n_rot,
                                 context->info.n_ctx);
    if (key_bias_bytes(context) == 0)
        return;
    nib_key_bias_init(&context->key_bias, context->model, w->rope_frequency,
                      context->cache.n_segments, context->key_bias_memory);
    w->key_bias = &context->key_bias;
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
    context->model = model;
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
    status = allocate(context, err);
    if (status != NIB_OK)
        goto fail;
    struct nib_work *w = &context->work;
    w->model = model;
    w->cache = &context->cache;
    w->team = context->team;
    w->rows = context->rows;
    w->logits_rows = context->logits_rows;
    w->cancel = &context->cancel;
    fill_tables(context);
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

/* ---- evaluation ----------------------------------------------------------------------------- */

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
                "use a larger one (-c) or a shorter text",
                b->n_tokens, context->lengths[sequence], info->n_ctx);
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
    const struct nib_buffer logits = w->logits;
    if (n_rows == 0)
        return NIB_OK;
    w->n_rows = n_rows;
    w->n_logits = n_wanted;
    w->is_cancelled[0] = w->is_cancelled[1] = false;
    atomic_store(&w->is_not_finite, false);
    w->logits.data += context->n_logits * logits.stride;
    nib_team_run(context->team, nib_step_run, w);
    w->logits = logits;
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

enum nib_status nib_evaluate(struct nib_context *context, const struct nib_batch *batch,
                             struct nib_error *err)
{
    const size_t n_sequences = context->info.n_sequences;
    uint32_t *lengths = malloc(n_sequences * sizeof(*lengths));
    if (!lengths)
        return nib_fail_memory(err, n_sequences * sizeof(*lengths), "a batch");
    atomic_store(&context->cancel, false);
    context->n_logits = 0;
    enum nib_status status = check_batch(context, batch, lengths, err);

    /* From here, lengths[i] is how much of sequence i lies in the cache. */
    if (status == NIB_OK) {
        if (context->has_cache)
            memcpy(lengths, context->lengths, n_sequences * sizeof(*lengths));
        else
            memset(lengths, 0, n_sequences * sizeof(*lengths));
    }
    struct chunk chunk = {.context = context, .err = err};
    for (size_t i = 0; i < batch->n_tokens && status == NIB_OK; i++) {
        const uint32_t sequence = batch_sequence(batch, i);
        if (!context->has_cache) {
            status = add_past(&chunk, sequence, &lengths[sequence]);
            if (status != NIB_OK)
                break;
            context->histories[sequence][lengths[sequence]] = batch->ids[i];
        }
        status =
            add_row(&chunk, sequence, lengths[sequence]++, batch->ids[i], wants_logits(batch, i));
    }
    if (status == NIB_OK)
        status = run_chunk(context, chunk.n_rows, chunk.n_wanted, err);
    if (status == NIB_OK)
        for (size_t i = 0; i < batch->n_tokens; i++)
            context->lengths[batch_sequence(batch, i)] = lengths[batch_sequence(batch, i)];
    else
        context->n_logits = 0;
    free(lengths);
    return status;
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
    if (sequence < context->info.n_sequences && n < context->lengths[sequence])
        context->lengths[sequence] = n;
}

void nib_context_cancel(struct nib_context *context)
{
    atomic_store_explicit(&context->cancel, true, memory_order_relaxed);
}

struct nib_team *nib_context_team(struct nib_context *context)
{
    return context->team;
}
