/*
 * Attention as an online softmax (Milakov and Gimelshein, 2018; Dao et al., "FlashAttention", 2022)
 * over tiles of NIB_TILE keys inside segments of NIB_SEGMENT keys, the segments merged in ascending
 * order (docs/numerics.md, rule 6).  Every (row, head, segment) is one chain of operations wherever
 * it is computed, so work may be cut two ways:
 *
 *   few rows    a thread takes the segments it owns; the partial results of all segments go to
 *               `partials`, and nib_step_attention_output() merges them behind the barrier;
 *   many rows   owners store the keys and values first; then a unit is a KV head with a run of
 * rows.
 *
 * The query heads that share a KV head are rows of one tile, so keys and values are read once for
 * all.
 */
#include "step.h"

#include <math.h>

enum {
    MAX_QUERIES = NIB_MAX_GROUP, /* rows of a tile: query heads x tokens */
    MANY_QUERIES = 64,           /* as many as fit beside a tile of keys in L1 and L2 */
    MAX_HEAD = 512,              /* see config.c */
};

static size_t pad16(size_t n)
{
    return (n + 15) & ~(size_t)15;
}

/* A thread's memory for one tile of queries. */
struct scratch {
    float *q;                  /* [MAX_QUERIES][d_padded], rotated and scaled */
    float *scores;             /* [MAX_QUERIES][NIB_TILE] */
    float *segment;            /* [MAX_QUERIES][d_padded] sums of the segment at hand */
    float *total;              /* [MAX_QUERIES][d_padded] sums of all segments before it */
    float *wide;               /* [NIB_TILE][d_padded] a tile of keys or values as f32 */
    float *output;             /* [NIB_FEW_ROWS][n_heads * d] */
    struct nib_softmax *state; /* [MAX_QUERIES] */
};

static struct scratch place_scratch(const struct nib_config *c, uint8_t *memory, size_t *n_bytes)
{
    const size_t d = pad16(c->d_head);
    const size_t n_queries = MAX_QUERIES;
    float *p = (float *)(void *)memory;
    struct scratch s;
    s.q = p, p += n_queries * d;
    s.scores = p, p += n_queries * NIB_TILE;
    s.segment = p, p += n_queries * d;
    s.total = p, p += n_queries * d;
    s.wide = p, p += NIB_TILE * d;
    s.output = p, p += NIB_FEW_ROWS * pad16((size_t)c->n_heads * c->d_head);
    s.state = (struct nib_softmax *)(void *)p;
    *n_bytes = (size_t)((uint8_t *)(s.state + n_queries) - memory);
    return s;
}

size_t nib_attention_scratch_bytes(const struct nib_config *config)
{
    size_t n_bytes;
    uint8_t *nowhere = (uint8_t *)64; /* only differences count */
    place_scratch(config, nowhere, &n_bytes);
    return n_bytes;
}

/* A partial result of one (row, KV head, segment): sums [group][d_padded], then max and sum
 * [group]. */
size_t nib_attention_partial_floats(const struct nib_config *c)
{
    const size_t group = c->n_heads / c->n_kv_heads;
    return pad16(group * (pad16(c->d_head) + 2));
}

static struct scratch step_scratch(struct nib_step *s)
{
    size_t n_bytes;
    return place_scratch(&s->work->model->config, s->attend, &n_bytes);
}

/* ---- queries, keys and values --------------------------------------------------------------- */

/* out = rotate(norm(head)) of row r. */
static void rotate_head(struct nib_step *s, float *out, const float *head,
                        const struct nib_norm *norm, size_t r)
{
    const struct nib_work *w = s->work;
    const struct nib_config *c = &w->model->config;
    if (norm->w)
        s->kernels->rms_norm(out, head, norm->w, c->d_head, c->norm_eps);
    else
        memcpy(out, head, c->d_head * sizeof(float));
    s->kernels->rope(out, w->cosine.data + r * w->cosine.stride, w->sine.data + r * w->sine.stride,
                     c->n_rot / 2);
}

/* The query heads of KV head `head` of row r, as consecutive rows of a tile. */
static void load_queries(struct nib_step *s, float *q, const struct nib_attention_weights *weights,
                         size_t r, size_t head)
{
    const struct nib_config *c = &s->work->model->config;
    const size_t group = c->n_heads / c->n_kv_heads, d = pad16(c->d_head);
    const float *row = s->work->q.data + r * s->work->q.stride;
    for (size_t i = 0; i < group; i++) {
        rotate_head(s, q + i * d, row + (head * group + i) * c->d_head, &weights->q_norm, r);
        s->kernels->scale(q + i * d, c->score_scale, c->d_head);
    }
}

/* Keys and values of all rows that fall into segments this thread owns. */
static void store_owned(struct nib_step *s, const struct nib_attention_weights *weights)
{
    const struct nib_work *w = s->work;
    const struct nib_config *c = &w->model->config;
    float k[MAX_HEAD];
    for (size_t r = 0; r < w->n_rows; r++) {
        const size_t segment = w->rows[r].position / NIB_SEGMENT;
        for (size_t head = 0; head < c->n_kv_heads; head++) {
            if (nib_kv_owner(w->cache, segment, head, s->n_threads) != s->thread)
                continue;
            rotate_head(s, k, w->k.data + r * w->k.stride + head * c->d_head, &weights->k_norm, r);
            nib_kv_store(w->cache, s->kernels,
                         nib_kv_segment(w->cache, w->rows[r].sequence, segment, s->layer, head),
                         w->rows[r].position % NIB_SEGMENT, k,
                         w->v.data + r * w->v.stride + head * c->d_head);
        }
    }
}

/* ---- one segment ---------------------------------------------------------------------------- */

/* Which queries meet which keys: query i is of the token at position first_position + i / group. */
struct queries {
    size_t n, group;
    size_t first_position;
};

/* How many keys of the tile that starts at `begin` query i sees: those at positions <= its own. */
static size_t visible(const struct queries *q, size_t i, size_t begin)
{
    const size_t end = q->first_position + i / q->group + 1;
    return end <= begin ? 0 : end - begin < NIB_TILE ? end - begin : NIB_TILE;
}

/* Widen a f16 tile once where many rows read it; the bits are the same. */
static const void *widened(struct nib_step *s, float *wide, const void *tile, enum nib_kv *type,
                           size_t n_values, size_t n_queries)
{
    if (*type != NIB_CACHE_F16 || n_queries < 12)
        return tile;
    s->kernels->from_f16(wide, tile, n_values);
    *type = NIB_CACHE_F32;
    return wide;
}

/* sums, state = softmax(q k^T) v over the visible keys of one segment. */
static void attend_segment(struct nib_step *s, struct scratch *m, const struct queries *q,
                           const uint8_t *memory, size_t segment, float *sums)
{
    const struct nib_kv_cache *c = s->work->cache;
    const size_t last_key = q->first_position + (q->n - 1) / q->group;
    const size_t begin = segment * NIB_SEGMENT;
    memset(sums, 0, q->n * c->d_padded * sizeof(float));
    for (size_t i = 0; i < q->n; i++)
        m->state[i] = (struct nib_softmax){.max = -INFINITY};

    for (size_t tile = 0; tile < NIB_SEGMENT / NIB_TILE; tile++) {
        const size_t first = begin + tile * NIB_TILE;
        if (first > last_key)
            break;
        const size_t n_keys = visible(q, q->n - 1, first);
        enum nib_kv type = c->type_k;
        const void *keys =
            widened(s, m->wide, nib_kv_keys(c, memory, tile), &type, c->d * NIB_TILE, q->n);
        s->kernels->scores[type](m->scores, NIB_TILE, m->q, c->d_padded, keys, NIB_TILE, q->n, c->d,
                                 pad16(n_keys));

        float factor[MAX_QUERIES];
        uint8_t from[MAX_QUERIES] = {0}, to[MAX_QUERIES];
        for (size_t i = 0; i < q->n; i++) {
            to[i] = (uint8_t)visible(q, i, first);
            factor[i] = s->kernels->softmax_tile(&m->state[i], m->scores + i * NIB_TILE, 0, to[i]);
        }
        type = c->type_v;
        const void *values =
            widened(s, m->wide, nib_kv_values(c, memory, tile), &type, c->d_padded * n_keys, q->n);
        s->kernels->values[type](sums, c->d_padded, factor, m->scores, NIB_TILE, from, to, values,
                                 c->d_padded, q->n, c->d_padded);
    }
}

/* ---- few rows: by owner --------------------------------------------------------------------- */

static float *partial(const struct nib_work *w, size_t r, size_t head, size_t segment)
{
    const size_t i = (r * w->cache->n_heads + head) * w->cache->n_segments + segment;
    return w->partials + i * w->partial_floats;
}

static void attend_owned(struct nib_step *s, const struct nib_attention_weights *weights)
{
    const struct nib_work *w = s->work;
    const struct nib_config *c = &w->model->config;
    const size_t group = c->n_heads / c->n_kv_heads;
    struct scratch m = step_scratch(s);
    for (size_t r = 0; r < w->n_rows; r++) {
        const struct nib_row *row = &w->rows[r];
        for (size_t head = 0; head < c->n_kv_heads; head++) {
            bool has_queries = false;
            for (size_t segment = 0; segment <= row->position / NIB_SEGMENT; segment++) {
                if (nib_kv_owner(w->cache, segment, head, s->n_threads) != s->thread)
                    continue;
                if (!has_queries)
                    load_queries(s, m.q, weights, r, head);
                has_queries = true;
                const struct queries q = {group, group, row->position};
                float *sums = partial(w, r, head, segment);
                attend_segment(s, &m, &q,
                               nib_kv_segment(w->cache, row->sequence, segment, s->layer, head),
                               segment, sums);
                float *max_sum = sums + group * w->cache->d_padded;
                for (size_t i = 0; i < group; i++) {
                    max_sum[2 * i] = m.state[i].max;
                    max_sum[2 * i + 1] = nib_sum16(m.state[i].sum);
                }
            }
        }
    }
}

/* Query head i of the group: all segments merged in ascending order, divided by the sum. */
static void merge_partials(struct nib_step *s, float *out, float *total, size_t r, size_t head,
                           size_t i)
{
    const struct nib_work *w = s->work;
    const size_t d = w->cache->d_padded, d_head = w->cache->d;
    const size_t group = w->model->config.n_heads / w->model->config.n_kv_heads;
    float max = 0, sum = 0;
    for (size_t segment = 0; segment <= w->rows[r].position / NIB_SEGMENT; segment++) {
        const float *sums = partial(w, r, head, segment);
        const float *max_sum = sums + group * d + 2 * i;
        if (segment == 0) {
            memcpy(total, sums + i * d, d * sizeof(float));
            max = max_sum[0];
            sum = max_sum[1];
        } else {
            s->kernels->softmax_merge(total, &max, &sum, sums + i * d, max_sum[0], max_sum[1], d);
        }
    }
    s->kernels->scale(total, 1.0f / sum, d_head);
    memcpy(out, total, d_head * sizeof(float));
}

/* ---- many rows: by KV head and run of tokens ------------------------------------------------ */

static void attend_run(struct nib_step *s, struct scratch *m,
                       const struct nib_attention_weights *weights, size_t r0, size_t n,
                       size_t head)
{
    const struct nib_work *w = s->work;
    const struct nib_config *c = &w->model->config;
    const size_t group = c->n_heads / c->n_kv_heads, d = w->cache->d_padded;
    const struct queries q = {n * group, group, w->rows[r0].position};
    float max[MAX_QUERIES], sum[MAX_QUERIES];
    for (size_t t = 0; t < n; t++)
        load_queries(s, m->q + t * group * d, weights, r0 + t, head);

    const size_t last = w->rows[r0 + n - 1].position / NIB_SEGMENT;
    for (size_t segment = 0; segment <= last; segment++) {
        float *sums = segment == 0 ? m->total : m->segment;
        attend_segment(s, m, &q,
                       nib_kv_segment(w->cache, w->rows[r0].sequence, segment, s->layer, head),
                       segment, sums);
        for (size_t i = 0; i < q.n; i++) {
            const float segment_sum = nib_sum16(m->state[i].sum);
            if (segment == 0) {
                max[i] = m->state[i].max;
                sum[i] = segment_sum;
            } else if (visible(&q, i, segment * NIB_SEGMENT) > 0) {
                s->kernels->softmax_merge(m->total + i * d, &max[i], &sum[i], sums + i * d,
                                          m->state[i].max, segment_sum, d);
            }
        }
    }
    for (size_t i = 0; i < q.n; i++) {
        float *out =
            w->q.data + (r0 + i / group) * w->q.stride + (head * group + i % group) * c->d_head;
        s->kernels->scale(m->total + i * d, 1.0f / sum[i], c->d_head);
        memcpy(out, m->total + i * d, c->d_head * sizeof(float));
    }
}

/* Rows from r on that are consecutive positions of one sequence, at most `most`. */
static size_t run_length(const struct nib_work *w, size_t r, size_t most)
{
    size_t n = 1;
    while (n < most && r + n < w->n_rows && w->rows[r + n].sequence == w->rows[r].sequence &&
           w->rows[r + n].position == w->rows[r].position + n)
        n++;
    return n;
}

static void attend_many(struct nib_step *s, const struct nib_attention_weights *weights)
{
    const struct nib_work *w = s->work;
    const struct nib_config *c = &w->model->config;
    const size_t group = c->n_heads / c->n_kv_heads;
    const size_t most = MANY_QUERIES / group > 1 ? MANY_QUERIES / group : 1;
    struct scratch m = step_scratch(s);
    /* Later runs see more keys, so units are dealt out in turn. */
    size_t unit = 0;
    for (size_t r = 0, n; r < w->n_rows; r += n) {
        n = run_length(w, r, most);
        for (size_t head = 0; head < c->n_kv_heads; head++, unit++)
            if (unit % (size_t)s->n_threads == (size_t)s->thread)
                attend_run(s, &m, weights, r, n, head);
    }
}

/* ---- both ----------------------------------------------------------------------------------- */

void nib_step_attend(struct nib_step *s, const struct nib_attention_weights *weights)
{
    store_owned(s, weights);
    if (s->work->n_rows <= NIB_FEW_ROWS) {
        attend_owned(s, weights);
    } else {
        nib_step_barrier(s);
        attend_many(s, weights);
    }
}

struct nib_buffer nib_step_attention_output(struct nib_step *s)
{
    const struct nib_work *w = s->work;
    const struct nib_config *c = &w->model->config;
    if (w->n_rows > NIB_FEW_ROWS)
        return w->q;
    const size_t group = c->n_heads / c->n_kv_heads;
    const struct scratch m = step_scratch(s);
    const struct nib_buffer out = {m.output, pad16((size_t)c->n_heads * c->d_head)};
    for (size_t r = 0; r < w->n_rows; r++)
        for (size_t i = 0; i < c->n_heads; i++)
            merge_partials(s, out.data + r * out.stride + i * c->d_head, m.total, r, i / group,
                           i % group);
    return out;
}
