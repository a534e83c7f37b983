/*
 * Attention of one layer as the runtime does it (rotate, store, attend, merge), by one thread: a
 * token, or the last 64 of a prompt, over that many keys.  Every call takes another layer; the
 * layers together are many times the last-level cache.  Eight query heads share two KV heads.
 * Operations are counted as those of floats, for an int8 cache too.  A call's results are the
 * queries of the next, which changes no time.
 */
#include "yardstick.h"

#include "step.h"
#include "topology.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADS = 8, KV_HEADS = 2, HEAD = 64, MAX_ROWS = 64 };

static const struct nib_yard *yard;

struct attention_case {
    const char *isa;
    unsigned features;
    enum nib_kv type;
    size_t n_rows, n_keys;
};

/* A model and a step with nothing in them but what attention reads. */
struct attention {
    struct nib_cpu_plan *plan;
    struct nib_model model;
    struct nib_attention_weights weights;
    struct nib_kv_cache cache;
    struct nib_work work;
    struct nib_step step;
    struct nib_row rows[MAX_ROWS];
};

/* ---- data ------------------------------------------------------------------------------------ */

static struct nib_buffer random_buffer(size_t n_rows, size_t n_cols)
{
    struct nib_buffer b = {aligned_alloc(64, n_rows * n_cols * sizeof(float)), n_cols};
    for (size_t i = 0; b.data && i < n_rows * n_cols; i++)
        b.data[i] = nib_yard_random_float();
    return b;
}

/* Layer 0 of every segment has random keys and values, the others the same. */
static void fill_cache(struct attention *a)
{
    const struct nib_kv_cache *c = &a->cache;
    const size_t layer_bytes = c->n_heads * c->segment_bytes;
    float k[HEAD], v[HEAD];
    for (size_t segment = 0; segment < c->n_segments; segment++) {
        for (size_t head = 0; head < c->n_heads; head++)
            for (size_t i = 0; i < NIB_SEGMENT; i++) {
                for (size_t j = 0; j < HEAD; j++) {
                    k[j] = nib_yard_random_float();
                    v[j] = nib_yard_random_float();
                }
                nib_kv_store(c, &a->model.kernels, nib_kv_segment(c, 0, segment, 0, head), i, k, v);
            }
        for (size_t layer = 1; layer < c->n_layers; layer++)
            memcpy(nib_kv_segment(c, 0, segment, layer, 0), nib_kv_segment(c, 0, segment, 0, 0),
                   layer_bytes);
    }
}

static bool make_cache(struct attention *a, const struct attention_case *c)
{
    char content[64];
    a->cache = (struct nib_kv_cache){
        .type_k = c->type,
        .type_v = c->type,
        .d = HEAD,
        .n_sequences = 1,
        .n_layers = 1,
        .n_heads = KV_HEADS,
    };
    if (!nib_kv_cache_shape(&a->cache, c->n_keys))
        return false;
    a->cache.n_layers = yard->cold_bytes / a->cache.n_bytes;
    if (!nib_kv_cache_shape(&a->cache, c->n_keys) || a->cache.n_layers == 0)
        return false;
    a->cache.memory = yard->cold;
    snprintf(content, sizeof(content), "keys %d %zu", (int)c->type, c->n_keys);
    if (nib_yard_claim(content)) {
        memset(a->cache.memory, 0, a->cache.n_bytes);
        fill_cache(a);
    }
    return true;
}

static bool make_attention(struct attention *a, const struct attention_case *c)
{
    struct nib_work *w = &a->work;
    nib_kernels_init(&a->model.kernels, c->features);
    a->model.config = (struct nib_config){
        .n_ctx = (uint32_t)c->n_keys,
        .n_layers = 1,
        .n_embd = HEADS * HEAD,
        .n_ff = HEADS * HEAD,
        .n_heads = HEADS,
        .n_kv_heads = KV_HEADS,
        .d_head = HEAD,
        .n_rot = HEAD,
        .norm_eps = 1e-5f,
        .rope = {{.base = 10000, .magnitude = 1}},
    };
    if (nib_cpu_plan_create(&a->plan, 1, NULL) != NIB_OK ||
        nib_team_create(&w->team, a->plan, NULL) != NIB_OK || !make_cache(a, c))
        return false;
    for (size_t r = 0; r < c->n_rows; r++)
        a->rows[r] = (struct nib_row){.position = (uint32_t)(c->n_keys - c->n_rows + r)};
    a->weights.scale = 0.125f;
    w->model = &a->model;
    w->cache = &a->cache;
    w->rows = a->rows;
    w->n_rows = c->n_rows;
    w->q = random_buffer(c->n_rows, HEADS * HEAD);
    w->k = random_buffer(c->n_rows, KV_HEADS * HEAD);
    w->v = random_buffer(c->n_rows, KV_HEADS * HEAD);
    w->cosine[0] = random_buffer(c->n_rows, HEAD);
    w->sine[0] = random_buffer(c->n_rows, HEAD);
    a->step = (struct nib_step){.work = w, .kernels = &a->model.kernels, .n_threads = 1};
    a->step.attend =
        aligned_alloc(64, nib_attention_scratch_bytes(&a->model.config) / 64 * 64 + 64);
    return w->q.data && w->k.data && w->v.data && w->cosine[0].data && w->sine[0].data &&
           a->step.attend;
}

static void free_attention(struct attention *a)
{
    struct nib_work *w = &a->work;
    free(w->q.data);
    free(w->k.data);
    free(w->v.data);
    free(w->cosine[0].data);
    free(w->sine[0].data);
    free(a->step.attend);
    nib_team_free(w->team);
    nib_cpu_plan_free(a->plan);
}

/* ---- the bench ------------------------------------------------------------------------------- */

static void attend(void *data, int thread, int n_threads)
{
    struct attention *a = data;
    (void)thread, (void)n_threads;
    a->step.layer = (a->step.layer + 1) % a->cache.n_layers;
    nib_step_attend(&a->step, &a->weights);
}

static void run(void *data)
{
    struct attention *a = data;
    nib_team_run(a->work.team, attend, a);
}

static void bench_attention(struct nib_bench *b, const void *arg)
{
    const struct attention_case *c = arg;
    struct attention *a = calloc(1, sizeof(*a));
    if (a && make_attention(a, c)) {
        double n_pairs = 0; /* of a query and a key */
        for (size_t r = 0; r < c->n_rows; r++)
            n_pairs += (double)HEADS * (a->rows[r].position + 1);
        const double key_bytes = (double)(a->cache.segment_bytes) / NIB_SEGMENT;
        nib_yard_time(b, &(struct nib_timed_work){
                             .isa = c->isa,
                             .kind = NIB_WORK_FLOATS,
                             .n_ops = 4 * HEAD * n_pairs,
                             .n_bytes = key_bytes * KV_HEADS * (double)c->n_keys,
                             .is_cold = true,
                             .run = run,
                             .data = a,
                         });
    } else {
        nib_bench_fail(b, "out of memory");
    }
    if (a)
        free_attention(a);
    free(a);
}

static void register_level(const char *isa, unsigned features, void *data)
{
    static const char *const types[NIB_CACHE_COUNT] = {
        [NIB_CACHE_F16] = "f16", [NIB_CACHE_F32] = "f32", [NIB_CACHE_Q8] = "q8_0"};
    static const size_t rows[] = {1, 64}, keys[] = {128, 2048, 16384};
    (void)data;
    for (int type = 0; type < NIB_CACHE_COUNT; type++)
        for (size_t i = 0; i < 6; i++) {
            const size_t n_keys = yard->is_tiny ? keys[i % 3] / 64 + 64 : keys[i % 3];
            const struct attention_case c = {isa, features, (enum nib_kv)type, rows[i / 3], n_keys};
            char name[128];
            snprintf(name, sizeof(name), "attention/%s/%s/rows:%zu/keys:%zu", types[type], isa,
                     c.n_rows, n_keys);
            nib_bench_register(name, NIB_BENCH_CPU, bench_attention, &c, sizeof(c));
        }
}

void nib_register_attention(const struct nib_yard *y)
{
    yard = y;
    nib_yard_each_isa(register_level, NULL);
}
