#include "attend.h"

#include <math.h>
#include <string.h>

size_t nib_attend_place(struct nib_attend *a, size_t d, uint8_t *memory)
{
    const size_t n = NIB_MAX_QUERIES, width = nib_pad16(d);
    float *p = (float *)(void *)memory;
    a->q = p, p += n * width;
    a->scores = p, p += n * NIB_TILE;
    a->wide = p, p += NIB_TILE * width;
    a->q_codes = (int16_t *)p, p += n * width / 2;
    a->p_codes = (int16_t *)p, p += n * NIB_TILE / 2;
    a->q_scale = p, p += n;
    a->p_scale = p, p += n;
    a->state = (struct nib_softmax *)(void *)p;
    return (size_t)((uint8_t *)(a->state + n) - memory);
}

void nib_attend_query(struct nib_attend *a, size_t i, float scale)
{
    const struct nib_kv_cache *c = a->cache;
    float *q = a->q + i * c->d_padded;
    if (c->type_k != NIB_CACHE_Q8) {
        a->kernels->scale(q, scale, c->d);
        return;
    }
    /* Both q and k are turned, not normalised: their dot grows by the size of a block. */
    const size_t block = nib_kv_block(c->d);
    a->kernels->scale(q, scale / (float)block, c->d);
    a->kernels->hadamard(q, c->d, block);
    a->q_scale[i] = a->kernels->codes15(a->q_codes + i * c->d_padded, q, NULL, 0, c->d, c->d);
}

void nib_attend_finish(const struct nib_attend *a, float *sums, float sum)
{
    const struct nib_kv_cache *c = a->cache;
    if (c->type_v != NIB_CACHE_Q8) {
        a->kernels->scale(sums, 1.0f / sum, c->d);
        return;
    }
    const size_t block = nib_kv_block(c->d); /* turned twice is `block` times the vector */
    a->kernels->scale(sums, 1.0f / sum / (float)block, c->d);
    a->kernels->hadamard(sums, c->d, block);
}

/* ---- one tile ------------------------------------------------------------------------------- */

/* Queries [begin, end) see keys of the tile: from[i] <= key < to[i], none beyond n_keys. */
struct tile {
    size_t first; /* position of its first key */
    const uint8_t *keys, *values;
    const uint8_t *next; /* the keys to come */
    size_t begin, end, n_keys;
    uint8_t from[NIB_MAX_QUERIES], to[NIB_MAX_QUERIES];
};

static size_t clip(size_t key, size_t first)
{
    return key <= first ? 0 : key - first < NIB_TILE ? key - first : NIB_TILE;
}

/* Both ends of what rows see only grow, so the rows that see something are neighbours. */
static void find_visible(const struct nib_attend *a, struct tile *t)
{
    t->begin = t->end = t->n_keys = 0;
    for (size_t r = 0; r < a->n_rows; r++) {
        size_t begin, end;
        nib_visible_keys(a->rule, a->position + r, a->n_keys, &begin, &end);
        begin = clip(begin, t->first);
        end = clip(end, t->first);
        if (begin >= end)
            continue;
        if (t->end == 0)
            t->begin = r * a->group;
        t->end = (r + 1) * a->group;
        t->n_keys = end > t->n_keys ? end : t->n_keys;
        memset(t->from + r * a->group, (int)begin, a->group);
        memset(t->to + r * a->group, (int)end, a->group);
    }
}

/* Widen a f16 tile once where many rows read it; the bits are the same. */
static const void *widened(struct nib_attend *a, const void *tile, enum nib_kv *type,
                           size_t n_values, size_t n_queries)
{
    if (*type != NIB_CACHE_F16 || n_queries < 12)
        return tile;
    a->kernels->from_f16(a->wide, tile, n_values);
    *type = NIB_CACHE_F32;
    return a->wide;
}

static void score(struct nib_attend *a, const struct tile *t)
{
    const struct nib_kv_cache *c = a->cache;
    const size_t n = t->end - t->begin;
    float *scores = a->scores + t->begin * NIB_TILE;
    if (c->type_k == NIB_CACHE_Q8) {
        const struct nib_dots d = {.out = scores,
                                   .out_stride = NIB_TILE,
                                   .a = a->q_codes + t->begin * c->d_padded,
                                   .a_stride = c->d_padded,
                                   .a_scale = a->q_scale + t->begin,
                                   .b = (const int8_t *)t->keys,
                                   .b_row = 64,
                                   .b_run = (c->d + 3) / 4 * 64,
                                   .b_scale = nib_kv_key_scales(c, t->keys),
                                   .next = t->values,
                                   .n_rows = n,
                                   .n_inner = (c->d + 3) / 4 * 4,
                                   .n_cols = nib_pad16(t->n_keys)};
        a->kernels->dots(&d);
        return;
    }
    enum nib_kv type = c->type_k;
    const void *keys = widened(a, t->keys, &type, c->d * nib_pad16(t->n_keys), n);
    a->kernels->scores[type](scores, NIB_TILE, a->q + t->begin * c->d_padded, c->d_padded, keys,
                             c->d * 16, t->values, n, c->d, nib_pad16(t->n_keys));
}

/* The terms of query i, over all lanes that its softmax reads. */
static void add_terms(struct nib_attend *a, const struct tile *t, size_t i)
{
    const struct nib_attention_rule *rule = a->rule;
    const size_t n = nib_pad16(t->to[i]), head = a->head + i % a->group;
    const int64_t distance = (int64_t)t->first - (int64_t)(a->position + i / a->group);
    float *s = a->scores + i * NIB_TILE;
    if (rule->soft_cap > 0)
        a->kernels->soft_cap(s, rule->soft_cap, n);
    if (rule->slope)
        a->kernels->add_distance(s, rule->slope[head], (float)distance, n);
    if (rule->bias)
        a->kernels->add(s, nib_distance_bias_run(rule->bias, head, distance), n);
}

static void add_values(struct nib_attend *a, const struct tile *t, const float *factor, float *sums)
{
    const struct nib_kv_cache *c = a->cache;
    const size_t n = t->end - t->begin;
    sums += t->begin * c->d_padded;
    if (c->type_v == NIB_CACHE_Q8) {
        const size_t n_inner = (t->n_keys + 3) / 4 * 4;
        const float *scales = nib_kv_value_scales(c, t->values);
        for (size_t i = t->begin; i < t->end; i++)
            a->p_scale[i] = a->kernels->codes15(a->p_codes + i * NIB_TILE, a->scores + i * NIB_TILE,
                                                scales, t->from[i], t->to[i], n_inner);
        const struct nib_dots d = {.out = sums,
                                   .out_stride = c->d_padded,
                                   .a = a->p_codes + t->begin * NIB_TILE,
                                   .a_stride = NIB_TILE,
                                   .a_scale = a->p_scale + t->begin,
                                   .b = (const int8_t *)t->values,
                                   .b_row = c->d_padded * 4,
                                   .b_run = 64,
                                   .keep = factor + t->begin,
                                   .next = t->next,
                                   .n_rows = n,
                                   .n_inner = n_inner,
                                   .n_cols = c->d_padded};
        a->kernels->dots(&d);
        return;
    }
    enum nib_kv type = c->type_v;
    const void *values = widened(a, t->values, &type, c->d_padded * t->n_keys, n);
    a->kernels->values[type](sums, c->d_padded, factor + t->begin, a->scores + t->begin * NIB_TILE,
                             NIB_TILE, t->from + t->begin, t->to + t->begin, values, c->d_padded,
                             t->next, n, c->d_padded);
}

/* q[i] times what the keys of the segment are held without. */
static float mean_score(const struct nib_attend *a, size_t i)
{
    const float *q = a->q + i * a->cache->d_padded;
    const size_t n = a->cache->d;
    float sum[16] = {0};
    size_t j = 0;
    for (; j + 16 <= n; j += 16)
        for (size_t k = 0; k < 16; k++)
            sum[k] += q[j + k] * a->mean[j + k];
    for (size_t k = 0; j + k < n; k++)
        sum[k] += q[j + k] * a->mean[j + k];
    return nib_sum16(sum);
}

void nib_attend_segment(struct nib_attend *a, const uint8_t *memory, size_t segment, float *sums)
{
    const struct nib_attention_rule *rule = a->rule;
    const bool has_terms = rule->soft_cap > 0 || rule->slope || rule->bias;
    const size_t n = a->n_rows * a->group;
    memset(sums, 0, n * a->cache->d_padded * sizeof(float));
    for (size_t i = 0; i < n; i++)
        a->state[i] = (struct nib_softmax){.max = -INFINITY};

    for (size_t j = 0; j < NIB_SEGMENT / NIB_TILE; j++) {
        struct tile t = {.first = segment * NIB_SEGMENT + j * NIB_TILE,
                         .keys = nib_kv_keys(a->cache, memory, j),
                         .values = nib_kv_values(a->cache, memory, j),
                         .next = j + 1 < NIB_SEGMENT / NIB_TILE
                                     ? nib_kv_keys(a->cache, memory, j + 1)
                                     : a->next};
        float factor[NIB_MAX_QUERIES];
        find_visible(a, &t);
        if (t.end == 0)
            continue;
        score(a, &t);
        for (size_t i = t.begin; i < t.end; i++) {
            if (has_terms)
                add_terms(a, &t, i);
            factor[i] = a->kernels->softmax_tile(&a->state[i], a->scores + i * NIB_TILE, t.from[i],
                                                 t.to[i]);
        }
        add_values(a, &t, factor, sums);
    }
    if (a->mean)
        for (size_t i = 0; i < n; i++)
            a->state[i].max += mean_score(a, i);
}
