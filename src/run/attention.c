/*
 * Attention of a step: keys and values into the cache, then every row over the segments it sees,
 * which are merged in ascending order (docs/numerics.md, rule 6).  Every (row, head, segment) is
 * one chain of operations wherever it is computed (attend.c), so work may be cut two ways:
 *
 *   by segment   where there are few rows: a thread takes the segments it owns, of all rows that
 * are neighbours in a sequence; the results go to `partials`, and the thread that brings the last
 * one of a KV head merges them; by run       else: a unit is a KV head with a run of rows.
 */
#include "attend.h"
#include "key_bias.h"

#include <math.h>
#include <stdatomic.h>

enum {
    MANY_QUERIES = 66, /* as many as fit beside a tile of keys in L1 and L2; a multiple of 6 */
};

static size_t group_size(const struct nib_config *c)
{
    return c->n_heads / c->n_kv_heads;
}

/* Rows at consecutive positions of one sequence, or any that look at one source, and the segments
 * that any of them sees. */
struct run {
    size_t row, n_rows;
    size_t sequence, position;
    size_t n_keys;                /* of the sequence that is looked at */
    size_t segment, segments_end; /* [segment, segments_end) */
};

/* What a thread works with. */
struct attention {
    struct nib_step *step;
    const struct nib_attention_weights *weights;
    const struct nib_kv_cache *cache;
    const struct nib_key_bias *key_bias; /* of this layer's keys; or NULL */
    size_t layer;                        /* of the cache; an encoder's holds one at a time */
    struct nib_attend attend;
    float *segment; /* [NIB_MAX_QUERIES][d_padded] sums of the segment at hand */
    float *total;   /* [NIB_MAX_QUERIES][d_padded] sums of all segments before it */
};

static size_t place_attention(struct attention *a, size_t d, uint8_t *memory)
{
    const size_t n = NIB_MAX_QUERIES * nib_pad16(d);
    a->segment = (float *)(void *)memory;
    a->total = a->segment + n;
    return 2 * n * sizeof(float) + nib_attend_place(&a->attend, d, (uint8_t *)(a->total + n));
}

size_t nib_attention_scratch_bytes(const struct nib_config *config)
{
    struct attention nowhere; /* only differences count */
    return place_attention(&nowhere, config->d_head, (uint8_t *)64);
}

/* A partial result of one (row, KV head, segment): sums [group][d_padded], then max and sum
 * [group]. */
size_t nib_attention_partial_floats(const struct nib_config *c)
{
    return nib_pad16(group_size(c) * (nib_pad16(c->d_head) + 2));
}

static bool is_cross(const struct attention *a)
{
    return a->weights->rule.kind == NIB_ATTENTION_CROSS;
}

/* ---- queries, keys and values --------------------------------------------------------------- */

/* out = rotate(norm(head)) of head `i` of row r, which is at x. */
static void rotate_head(const struct attention *a, float *out, const float *x,
                        const struct nib_head_norm *norm, size_t i, size_t r)
{
    const struct nib_step *s = a->step;
    const struct nib_work *w = s->work;
    const struct nib_config *c = &w->model->config;
    const int rope = a->weights->rope;
    if (norm->norm.w && !norm->is_whole) {
        struct nib_norm own = norm->norm;
        own.w += i * norm->stride;
        nib_step_normalize(s, out, x, &own, c->d_head);
    } else {
        memcpy(out, x, c->d_head * sizeof(float));
    }
    if (!is_cross(a) && rope != NIB_ROPE_NONE && c->n_rot > 0)
        s->kernels->rope(out, w->cosine[rope].data + r * w->cosine[rope].stride,
                         w->sine[rope].data + r * w->sine[rope].stride, c->n_rot / 2);
}

static void key_mean(const struct attention *a, float *mean, size_t segment, size_t head)
{
    nib_key_bias_mean(a->key_bias, a->step->kernels, mean, a->step->layer, head, a->weights->rope,
                      segment);
}

/* The queries of a run that share KV head `head`. */
static void load_queries(struct attention *a, const struct run *run, size_t head)
{
    const struct nib_work *w = a->step->work;
    const struct nib_config *c = &w->model->config;
    struct nib_attend *at = &a->attend;
    at->head = head * at->group;
    at->n_rows = run->n_rows;
    at->position = run->position;
    at->n_keys = run->n_keys;
    for (size_t i = 0; i < run->n_rows * at->group; i++) {
        const size_t r = run->row + i / at->group;
        const size_t h = at->head + i % at->group;
        float *q = at->q + i * a->cache->d_padded;
        rotate_head(a, q, w->q.data + r * w->q.stride + h * c->d_head, &a->weights->q_norm, h, r);
        if (a->key_bias)
            a->step->kernels->mul(q, nib_key_bias_scale(a->key_bias, a->step->layer, head),
                                  c->d_head);
        nib_attend_query(at, i, a->weights->scale);
    }
}

/* k / s - m, see key_bias.h. */
static void leave_bias_out(const struct attention *a, float *k, size_t segment, size_t head)
{
    const float *scale = nib_key_bias_scale(a->key_bias, a->step->layer, head);
    float mean[NIB_MAX_HEAD];
    key_mean(a, mean, segment, head);
    for (size_t i = 0; i < a->cache->d; i++)
        k[i] = k[i] / scale[i] - mean[i];
}

/* Keys and values of all rows that fall into segments this thread owns. */
static void store_owned(const struct attention *a)
{
    const struct nib_step *s = a->step;
    const struct nib_work *w = s->work;
    const struct nib_config *c = &w->model->config;
    float k[NIB_MAX_HEAD];
    for (size_t r = 0; r < w->n_rows; r++) {
        const size_t position = w->rows[r].position, segment = position / NIB_SEGMENT;
        for (size_t head = 0; head < c->n_kv_heads; head++) {
            if (nib_kv_owner(w->cache, segment, head, s->n_threads) != s->thread)
                continue;
            rotate_head(a, k, w->k.data + r * w->k.stride + head * c->d_head, &a->weights->k_norm,
                        head, r);
            if (a->key_bias)
                leave_bias_out(a, k, segment, head);
            nib_kv_store(w->cache, s->kernels,
                         nib_kv_segment(w->cache, w->rows[r].sequence, segment, a->layer, head),
                         position % NIB_SEGMENT, k, w->v.data + r * w->v.stride + head * c->d_head);
        }
    }
}

/* ---- runs ----------------------------------------------------------------------------------- */

/* Keys that the sequence of `row` has once this chunk is stored. */
static size_t count_keys(const struct nib_work *w, size_t row)
{
    size_t last = row;
    for (size_t r = row + 1; r < w->n_rows; r++)
        if (w->rows[r].sequence == w->rows[row].sequence)
            last = r;
    return w->rows[last].position + (size_t)1;
}

/* The sequence of the cache that a row looks at. */
static size_t sequence_of(const struct attention *a, size_t row)
{
    const struct nib_work *w = a->step->work;
    const uint32_t sequence = w->rows[row].sequence;
    return is_cross(a) ? w->source_of[sequence] : sequence;
}

static struct run find_run(const struct attention *a, size_t row)
{
    const struct nib_work *w = a->step->work;
    const struct nib_row *rows = w->rows;
    const struct nib_attention_rule *rule = &a->weights->rule;
    const size_t most = MANY_QUERIES / a->attend.group > 1 ? MANY_QUERIES / a->attend.group : 1;
    struct run run = {.row = row, .n_rows = 1, .position = rows[row].position};
    run.sequence = sequence_of(a, row);
    while (run.n_rows < most && row + run.n_rows < w->n_rows &&
           sequence_of(a, row + run.n_rows) == run.sequence &&
           (is_cross(a) || rows[row + run.n_rows].position == run.position + run.n_rows))
        run.n_rows++;
    if (is_cross(a))
        run.n_keys = w->cross_keys[run.sequence];
    else if (rule->kind == NIB_ATTENTION_ALL)
        run.n_keys = count_keys(w, row);

    size_t begin, end, unused;
    nib_visible_keys(rule, run.position, run.n_keys, &begin, &unused);
    nib_visible_keys(rule, run.position + run.n_rows - 1, run.n_keys, &unused, &end);
    run.segment = begin / NIB_SEGMENT;
    run.segments_end = (end + NIB_SEGMENT - 1) / NIB_SEGMENT;
    return run;
}

static bool sees_segment(const struct attention *a, const struct run *run, size_t r, size_t segment)
{
    size_t begin, end;
    nib_visible_keys(&a->weights->rule, run->position + r, run->n_keys, &begin, &end);
    return begin < (segment + 1) * NIB_SEGMENT && end > segment * NIB_SEGMENT;
}

static const uint8_t *segment_memory(const struct attention *a, const struct run *run,
                                     size_t segment, size_t head)
{
    return nib_kv_segment(a->cache, run->sequence, segment, a->layer, head);
}

/* `sums` and state of the queries at hand over one segment. */
static void attend_segment(struct attention *a, const struct run *run, size_t segment, size_t head,
                           float *sums)
{
    float mean[NIB_MAX_HEAD];
    if (a->key_bias) {
        key_mean(a, mean, segment, head);
        a->step->kernels->hadamard(mean, a->cache->d, nib_kv_block(a->cache->d));
    }
    a->attend.mean = a->key_bias ? mean : NULL;
    nib_attend_segment(&a->attend, segment_memory(a, run, segment, head), segment, sums);
}

/* ---- merging -------------------------------------------------------------------------------- */

/* One query over the segments so far; none yet: `is_begun` is false. */
struct merged {
    float max, sum;
    bool is_begun;
};

static void merge(const struct attention *a, struct merged *m, float *total, const float *sums,
                  float max, float sum)
{
    const size_t d = a->cache->d_padded;
    if (m->is_begun) {
        a->step->kernels->softmax_merge(total, &m->max, &m->sum, sums, max, sum, d);
        return;
    }
    if (total != sums)
        memcpy(total, sums, d * sizeof(float));
    *m = (struct merged){max, sum, true};
}

/* The result of query i of the run takes the place of the query. */
static void write_output(const struct attention *a, const struct run *run, size_t i, float *total,
                         float sum)
{
    const struct nib_work *w = a->step->work;
    const size_t d = a->cache->d, group = a->attend.group;
    nib_attend_finish(&a->attend, total, sum);
    memcpy(w->q.data + (run->row + i / group) * w->q.stride + (a->attend.head + i % group) * d,
           total, d * sizeof(float));
}

/* ---- by run --------------------------------------------------------------------------------- */

static void attend_run(struct attention *a, const struct run *run, size_t head)
{
    const size_t n = run->n_rows * a->attend.group, d = a->cache->d_padded;
    struct merged merged[NIB_MAX_QUERIES] = {{0}};
    load_queries(a, run, head);
    for (size_t segment = run->segment; segment < run->segments_end; segment++) {
        float *sums = segment == run->segment ? a->total : a->segment;
        a->attend.next =
            segment + 1 < run->segments_end ? segment_memory(a, run, segment + 1, head) : NULL;
        attend_segment(a, run, segment, head, sums);
        for (size_t i = 0; i < n; i++)
            if (sees_segment(a, run, i / a->attend.group, segment))
                merge(a, &merged[i], a->total + i * d, sums + i * d, a->attend.state[i].max,
                      nib_sum16(a->attend.state[i].sum));
    }
    for (size_t i = 0; i < n; i++)
        write_output(a, run, i, a->total + i * d, merged[i].sum);
}

static void attend_runs(struct attention *a)
{
    const struct nib_step *s = a->step;
    /* Later runs see more keys, so units are dealt out in turn. */
    size_t unit = 0;
    for (size_t r = 0; r < s->work->n_rows;) {
        const struct run run = find_run(a, r);
        for (size_t head = 0; head < a->cache->n_heads; head++, unit++)
            if (unit % (size_t)s->n_threads == (size_t)s->thread)
                attend_run(a, &run, head);
        r += run.n_rows;
    }
}

/* ---- by segment ----------------------------------------------------------------------------- */

/* Partial results of a run's KV head: [segments][rows]. */
static float *partial(const struct attention *a, float *partials, const struct run *run,
                      size_t segment, size_t row)
{
    const size_t i = (segment - run->segment) * run->n_rows + row;
    return partials + i * a->step->work->partial_floats;
}

static void keep_partials(struct attention *a, float *partials, const struct run *run,
                          size_t segment)
{
    const size_t group = a->attend.group, n = group * a->cache->d_padded;
    for (size_t r = 0; r < run->n_rows; r++) {
        float *sums = partial(a, partials, run, segment, r);
        const struct nib_softmax *state = a->attend.state + r * group;
        memcpy(sums, a->segment + r * n, n * sizeof(float));
        for (size_t i = 0; i < group; i++) {
            sums[n + 2 * i] = state[i].max;
            sums[n + 2 * i + 1] = nib_sum16(state[i].sum);
        }
    }
}

static void merge_partials(struct attention *a, float *partials, const struct run *run)
{
    const size_t group = a->attend.group, d = a->cache->d_padded;
    for (size_t i = 0; i < run->n_rows * group; i++) {
        const size_t head = i % group;
        struct merged merged = {0};
        for (size_t segment = run->segment; segment < run->segments_end; segment++) {
            const float *sums = partial(a, partials, run, segment, i / group);
            const float *max_sum = sums + group * d + 2 * head;
            if (sees_segment(a, run, i / group, segment))
                merge(a, &merged, a->total, sums + head * d, max_sum[0], max_sum[1]);
        }
        write_output(a, run, i, a->total, merged.sum);
    }
}

/* The first of the run's segments from `segment` on that this thread owns, or segments_end. */
static size_t next_owned(const struct attention *a, const struct run *run, size_t head,
                         size_t segment)
{
    while (segment < run->segments_end &&
           nib_kv_owner(a->cache, segment, head, a->step->n_threads) != a->step->thread)
        segment++;
    return segment;
}

/* The memory of the first one of KV head `head`; NULL if there is none. */
static const uint8_t *first_owned(const struct attention *a, const struct run *run, size_t head)
{
    if (head == a->cache->n_heads)
        return NULL;
    const size_t segment = next_owned(a, run, head, run->segment);
    return segment < run->segments_end ? segment_memory(a, run, segment, head) : NULL;
}

/* This thread's segments of one KV head; who brings the last merges all, as all have read their
 * queries by then. */
static void attend_owned(struct attention *a, const struct run *run, size_t head, float *partials,
                         atomic_uint *n_done)
{
    unsigned n = 0;
    for (size_t segment = next_owned(a, run, head, run->segment), next; segment < run->segments_end;
         segment = next) {
        next = next_owned(a, run, head, segment + 1);
        a->attend.next = next < run->segments_end ? segment_memory(a, run, next, head)
                                                  : first_owned(a, run, head + 1);
        if (n++ == 0)
            load_queries(a, run, head);
        attend_segment(a, run, segment, head, a->segment);
        keep_partials(a, partials, run, segment);
    }
    const unsigned n_all = (unsigned)(run->segments_end - run->segment);
    if (n == 0 || atomic_fetch_add_explicit(n_done, n, memory_order_acq_rel) + n < n_all)
        return;
    atomic_store_explicit(n_done, 0, memory_order_relaxed); /* for the next layer */
    merge_partials(a, partials, run);
}

static void attend_segments(struct attention *a)
{
    struct nib_work *w = a->step->work;
    float *partials = w->partials;
    atomic_uint *n_done = w->n_done;
    for (size_t r = 0; r < w->n_rows;) {
        const struct run run = find_run(a, r);
        const size_t n = (run.segments_end - run.segment) * run.n_rows;
        for (size_t head = 0; head < a->cache->n_heads; head++) {
            attend_owned(a, &run, head, partials, n_done++);
            partials += n * w->partial_floats;
        }
        r += run.n_rows;
    }
}

/* All threads decide alike: by segment where runs are too few to go round and partials have room.
 */
static bool is_by_segment(const struct attention *a)
{
    const struct nib_work *w = a->step->work;
    const size_t n_threads = (size_t)a->step->n_threads;
    size_t n_runs = 0, n_partials = 0;
    if (n_threads == 1)
        return false;
    for (size_t r = 0; r < w->n_rows; n_runs++) {
        const struct run run = find_run(a, r);
        n_partials += (run.segments_end - run.segment) * run.n_rows;
        r += run.n_rows;
        if (n_partials > w->partial_room || n_runs == NIB_MAX_SPLIT_RUNS)
            return false;
    }
    return n_runs * a->cache->n_heads < 4 * n_threads;
}

/* ---- both ----------------------------------------------------------------------------------- */

void nib_step_attend(struct nib_step *s, const struct nib_attention_weights *weights)
{
    const struct nib_config *c = &s->work->model->config;
    struct attention a = {.step = s, .weights = weights};
    a.cache = is_cross(&a) ? s->work->cross : s->work->cache;
    if (s->work->key_bias && nib_key_bias_in(weights))
        a.key_bias = s->work->key_bias;
    a.layer = s->layer % a.cache->n_layers;
    place_attention(&a, c->d_head, s->attend);
    a.attend.kernels = s->kernels;
    a.attend.cache = a.cache;
    a.attend.rule = &weights->rule;
    a.attend.group = group_size(c);

    const bool by_segment = is_by_segment(&a);
    if (!is_cross(&a)) {
        store_owned(&a);
        if (!by_segment)
            nib_step_barrier(s);
    }
    if (by_segment)
        attend_segments(&a);
    else
        attend_runs(&a);
}
