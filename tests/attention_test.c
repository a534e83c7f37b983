/*
 * Attention of whole steps: every rule of visibility and bias, head sizes, grouped heads and types
 * of cache against the textbook formula in double precision; and equal bits for any backend, number
 * of threads and cutting into chunks.
 */
#include "kernel_check.h"

#include "attend.h"
#include "key_bias.h"
#include "positions.h"
#include "quick.h"
#include "topology.h"

enum { N_SEQUENCES = 2, MAX_THREADS = 5 };

/* ---- one problem ---------------------------------------------------------------------------- */

struct problem {
    size_t d, n_heads, n_kv_heads;
    struct nib_attention_rule rule;
    enum nib_kv type_k, type_v;
    size_t n_tokens[N_SEQUENCES], n_cross[N_SEQUENCES];
    struct nib_row *rows; /* both sequences, in pieces of any length */
    size_t n_rows;
    float *q, *k, *v;           /* [n_rows][heads * d] */
    float *cross_k, *cross_v;   /* [N_SEQUENCES][n_cross][kv heads * d] */
    float *slopes, *bias_table; /* of rule */
    struct nib_distance_bias bias;
    size_t n_rot;         /* values of a head that the step rotates */
    float *cosine, *sine; /* [n_rows][n_rot / 2] */
    float *key_bias;      /* [kv heads * d], in k already; or NULL */
    bool keeps_bias;      /* in the cache */
};

static float *normal_floats(size_t n)
{
    float *x = malloc(n * sizeof(*x));
    for (size_t i = 0; i < n; i++) /* a sum of three is near enough to normal */
        x[i] = random_unit() + random_unit() + random_unit();
    return x;
}

static void make_rows(struct problem *p)
{
    size_t next[N_SEQUENCES] = {0};
    p->n_rows = p->n_tokens[0] + p->n_tokens[1];
    p->rows = malloc(p->n_rows * sizeof(*p->rows));
    for (size_t r = 0; r < p->n_rows;) {
        const uint32_t sequence = (uint32_t)random_below(N_SEQUENCES);
        for (size_t n = 1 + random_below(90); n > 0 && next[sequence] < p->n_tokens[sequence]; n--)
            p->rows[r++] = (struct nib_row){sequence, (uint32_t)next[sequence]++, 0};
    }
}

static void make_terms(struct problem *p)
{
    p->slopes = normal_floats(p->n_heads);
    for (size_t i = 0; i < p->n_heads; i++)
        p->slopes[i] = 0.1f * fabsf(p->slopes[i]);
    p->bias = (struct nib_distance_bias){.n_before = 100, .n_after = 40};
    const size_t n = nib_distance_bias_length(&p->bias);
    p->bias_table = normal_floats(p->n_heads * n);
    for (size_t h = 0; h < p->n_heads; h++) {
        float *row = p->bias_table + h * n;
        for (size_t i = 0; i < NIB_TILE - 1; i++) {
            row[i] = row[NIB_TILE - 1];
            row[n - 1 - i] = row[n - NIB_TILE];
        }
    }
    p->bias.table = p->bias_table;
    if (p->rule.slope)
        p->rule.slope = p->slopes;
    if (p->rule.bias)
        p->rule.bias = &p->bias;
}

static const struct nib_rope rope = {.base = 1e6f, .magnitude = 1};

static void make_angles(struct problem *p)
{
    const size_t n = p->n_rot / 2;
    float frequency[256];
    nib_rope_frequencies(frequency, &rope, p->n_rot, 4096);
    p->cosine = malloc((p->n_rows * n + 1) * sizeof(float));
    p->sine = malloc((p->n_rows * n + 1) * sizeof(float));
    for (size_t r = 0; r < p->n_rows; r++)
        nib_rope_angles(p->cosine + r * n, p->sine + r * n, frequency, n, p->rows[r].position,
                        rope.magnitude);
}

/* Fills in what the problem at *p leaves open: rows, inputs, terms (rule.slope and rule.bias: any
 * pointer asks for them). */
static void make_problem(struct problem *p)
{
    const size_t n_keyed = p->n_kv_heads * p->d;
    make_rows(p);
    make_terms(p);
    make_angles(p);
    p->q = normal_floats(p->n_rows * p->n_heads * p->d);
    p->k = normal_floats(p->n_rows * n_keyed);
    p->v = normal_floats(p->n_rows * n_keyed);
    p->cross_k = normal_floats((p->n_cross[0] + p->n_cross[1]) * n_keyed);
    p->cross_v = normal_floats((p->n_cross[0] + p->n_cross[1]) * n_keyed);
}

static void free_problem(struct problem *p)
{
    free(p->rows), free(p->q), free(p->k), free(p->v), free(p->cross_k), free(p->cross_v);
    free(p->slopes), free(p->bias_table);
    free(p->cosine), free(p->sine), free(p->key_bias);
}

static float score_scale(const struct problem *p)
{
    return 1.0f / sqrtf((float)p->d);
}

/* ---- through the step ----------------------------------------------------------------------- */

struct stage {
    struct nib_work work;
    struct nib_attention_weights weights;
};

static void run_stage(void *data, int thread, int n_threads)
{
    struct stage *stage = data;
    struct nib_step s = {.work = &stage->work,
                         .kernels = &stage->work.model->kernels,
                         .thread = thread,
                         .n_threads = n_threads,
                         .layer = 1,
                         .attend =
                             stage->work.scratch + (size_t)thread * stage->work.scratch_bytes};
    nib_step_attend(&s, &stage->weights);
}

static void *zeroed(size_t n_bytes)
{
    void *p = aligned_alloc(64, (n_bytes + 63) / 64 * 64);
    assert_non_null(p);
    return memset(p, 0, n_bytes);
}

static struct nib_kv_cache make_cache(const struct problem *p, size_t n_ctx)
{
    struct nib_kv_cache c = {.type_k = p->type_k,
                             .type_v = p->type_v,
                             .d = p->d,
                             .n_sequences = N_SEQUENCES,
                             .n_layers = 2,
                             .n_heads = p->n_kv_heads};
    assert_true(nib_kv_cache_shape(&c, n_ctx));
    c.memory = zeroed(c.n_bytes);
    return c;
}

static void fill_cross(const struct problem *p, const struct nib_kernels *kernels,
                       const struct nib_kv_cache *cache)
{
    size_t at = 0;
    for (size_t s = 0; s < N_SEQUENCES; s++)
        for (size_t i = 0; i < p->n_cross[s]; i++)
            for (size_t head = 0; head < p->n_kv_heads; head++, at += p->d)
                nib_kv_store(cache, kernels, nib_kv_segment(cache, s, i / NIB_SEGMENT, 1, head),
                             i % NIB_SEGMENT, p->cross_k + at, p->cross_v + at);
}

/* Makes what the cache does with the problem's biases part of the stage; returns its memory. */
static uint8_t *place_key_bias(const struct problem *p, struct stage *stage,
                               struct nib_key_bias *kb, struct nib_model *model)
{
    float frequency[256];
    const float *const frequencies[NIB_ROPE_COUNT] = {frequency, frequency};
    stage->weights.k.b = p->key_bias;
    model->layers[1].attn = stage->weights;
    const uint64_t n_bytes = nib_key_bias_bytes(model, stage->work.cache->n_segments);
    if (n_bytes == 0 || p->type_k != NIB_CACHE_Q8 || p->keeps_bias)
        return NULL;
    uint8_t *memory = zeroed((size_t)n_bytes);
    nib_rope_frequencies(frequency, &rope, p->n_rot, 4096);
    nib_key_bias_init(kb, model, frequencies, stage->work.cache->n_segments, memory);
    stage->work.key_bias = kb;
    return memory;
}

/* Output [n_rows][n_heads * d], computed `chunk` rows at a time. */
static float *attend(const struct problem *p, const struct nib_kernels *kernels, int n_threads,
                     size_t chunk)
{
    struct nib_layer layers[2] = {0};
    struct nib_key_bias key_bias;
    struct nib_model model = {.kernels = *kernels, .layers = layers};
    model.config.n_layers = 2;
    model.config.n_rot = (uint32_t)p->n_rot;
    model.config.rope[NIB_ROPE_GLOBAL] = rope;
    model.config.n_heads = (uint32_t)p->n_heads;
    model.config.n_kv_heads = (uint32_t)p->n_kv_heads;
    model.config.d_head = (uint32_t)p->d;
    model.config.score_scale = score_scale(p);
    struct nib_kv_cache cache = make_cache(p, p->n_tokens[0]), cross = make_cache(p, 300);
    fill_cross(p, kernels, &cross);
    const uint32_t cross_keys[] = {(uint32_t)p->n_cross[0], (uint32_t)p->n_cross[1]};
    static const uint32_t source_of[] = {0, 1};
    struct nib_cpu_plan *plan;
    struct nib_team *team;
    assert_int_equal(nib_cpu_plan_create(&plan, n_threads, NULL), NIB_OK);
    assert_int_equal(nib_team_create(&team, plan, NULL), NIB_OK);

    const size_t n_out = p->n_heads * p->d, n_keyed = p->n_kv_heads * p->d;
    float *out = malloc(p->n_rows * n_out * sizeof(*out));
    memcpy(out, p->q, p->n_rows * n_out * sizeof(*out));
    const size_t partial_floats = nib_attention_partial_floats(&model.config);
    struct stage stage = {
        .work = {.model = &model,
                 .cache = &cache,
                 .cross = &cross,
                 .cross_keys = cross_keys,
                 .source_of = source_of,
                 .partial_room = NIB_FEW_ROWS * cache.n_segments,
                 .team = team,
                 .partial_floats = partial_floats,
                 .partials = zeroed(NIB_FEW_ROWS * p->n_kv_heads * cache.n_segments *
                                    partial_floats * sizeof(float)),
                 .n_done = zeroed(NIB_MAX_SPLIT_RUNS * p->n_kv_heads * sizeof(unsigned)),
                 .scratch_bytes = (nib_attention_scratch_bytes(&model.config) + 63) / 64 * 64},
        .weights = {.rule = p->rule, .scale = score_scale(p)},
    };
    stage.work.scratch = zeroed(stage.work.scratch_bytes * MAX_THREADS);
    uint8_t *key_bias_memory = place_key_bias(p, &stage, &key_bias, &model);
    for (size_t r = 0; r < p->n_rows; r += chunk) {
        stage.work.rows = p->rows + r;
        stage.work.n_rows = p->n_rows - r < chunk ? p->n_rows - r : chunk;
        stage.work.q = (struct nib_buffer){out + r * n_out, n_out};
        stage.work.k = (struct nib_buffer){p->k + r * n_keyed, n_keyed};
        stage.work.v = (struct nib_buffer){p->v + r * n_keyed, n_keyed};
        const size_t n_pairs = p->n_rot / 2;
        stage.work.cosine[NIB_ROPE_GLOBAL] = (struct nib_buffer){p->cosine + r * n_pairs, n_pairs};
        stage.work.sine[NIB_ROPE_GLOBAL] = (struct nib_buffer){p->sine + r * n_pairs, n_pairs};
        nib_team_run(team, run_stage, &stage);
    }
    free(stage.work.scratch), free(stage.work.partials), free((void *)stage.work.n_done);
    free(cache.memory), free(cross.memory), free(key_bias_memory);
    nib_team_free(team);
    nib_cpu_plan_free(plan);
    return out;
}

/* ---- the textbook --------------------------------------------------------------------------- */

/* Key or value `j` of head `kv` that a row looks at. */
static const float *textbook_vector(const struct problem *p, const struct nib_row *row,
                                    const float *own, const float *cross, size_t j, size_t kv)
{
    if (p->rule.kind == NIB_ATTENTION_CROSS)
        return cross + ((row->sequence ? p->n_cross[0] : 0) + j) * p->n_kv_heads * p->d + kv * p->d;
    for (size_t r = 0;; r++)
        if (p->rows[r].sequence == row->sequence && p->rows[r].position == j)
            return own + (r * p->n_kv_heads + kv) * p->d;
}

static bool textbook_sees(const struct problem *p, size_t i, size_t j)
{
    const int64_t distance = (int64_t)j - (int64_t)i, window = p->rule.window;
    switch (p->rule.kind) {
    case NIB_ATTENTION_CROSS:
        return true;
    case NIB_ATTENTION_ALL:
        return !window || llabs(distance) < window;
    default:
        return distance <= 0 && (!window || -distance < window);
    }
}

static double textbook_score(const struct problem *p, const float *q, const float *k, size_t i,
                             size_t j, size_t head)
{
    const double distance = (double)j - (double)i;
    double s = 0;
    for (size_t e = 0; e < p->d; e++)
        s += (double)q[e] * (double)k[e];
    s *= (double)score_scale(p);
    if (p->rule.soft_cap > 0)
        s = (double)p->rule.soft_cap * tanh(s / (double)p->rule.soft_cap);
    if (p->rule.slope)
        s -= (double)p->slopes[head] * fabs(distance);
    if (p->rule.bias) {
        const double t = fmax(-(double)p->bias.n_before, fmin(distance, p->bias.n_after));
        const float *zero = p->bias_table + head * nib_distance_bias_length(&p->bias) +
                            (NIB_TILE - 1) + p->bias.n_before;
        s += (double)zero[(int)t];
    }
    return s;
}

static void textbook(const struct problem *p, size_t r, size_t head, double *out)
{
    static double s[2048];
    const struct nib_row *row = &p->rows[r];
    const size_t kv = head / (p->n_heads / p->n_kv_heads);
    const size_t n = p->rule.kind == NIB_ATTENTION_CROSS ? p->n_cross[row->sequence]
                                                         : p->n_tokens[row->sequence];
    double max = -INFINITY, sum = 0;
    for (size_t j = 0; j < n; j++) {
        s[j] = -INFINITY;
        if (!textbook_sees(p, row->position, j))
            continue;
        s[j] = textbook_score(p, p->q + (r * p->n_heads + head) * p->d,
                              textbook_vector(p, row, p->k, p->cross_k, j, kv), row->position, j,
                              head);
        max = fmax(max, s[j]);
    }
    memset(out, 0, p->d * sizeof(*out));
    for (size_t j = 0; j < n; j++) {
        const double w = exp(s[j] - max);
        if (w == 0)
            continue;
        const float *v = textbook_vector(p, row, p->v, p->cross_v, j, kv);
        sum += w;
        for (size_t e = 0; e < p->d; e++)
            out[e] += w * (double)v[e];
    }
    for (size_t e = 0; e < p->d; e++)
        out[e] /= sum;
}

/* Root of the mean squared difference, relative to the values' own size (1), over some rows. */
static double difference(const struct problem *p, const float *out)
{
    double error = 0;
    size_t n = 0;
    double expected[512];
    for (size_t r = random_below(5); r < p->n_rows; r += 1 + random_below(20))
        for (size_t head = 0; head < p->n_heads; head++) {
            textbook(p, r, head, expected);
            for (size_t e = 0; e < p->d; e++, n++) {
                const double t = expected[e] - (double)out[(r * p->n_heads + head) * p->d + e];
                error += t * t;
            }
        }
    return sqrt(error / (double)n);
}

static double tolerance(enum nib_kv type)
{
    return type == NIB_CACHE_F32 ? 1e-6 : type == NIB_CACHE_F16 ? 5e-4 : 8e-3;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static const struct nib_distance_bias any_bias;
static const float any_slope;

static const struct nib_attention_rule rules[] = {
    {.kind = NIB_ATTENTION_CAUSAL},
    {.kind = NIB_ATTENTION_CAUSAL, .window = 1},
    {.kind = NIB_ATTENTION_CAUSAL, .window = 50},
    {.kind = NIB_ATTENTION_CAUSAL, .window = 128, .soft_cap = 2},
    {.kind = NIB_ATTENTION_CAUSAL, .slope = &any_slope},
    {.kind = NIB_ATTENTION_CAUSAL, .bias = &any_bias},
    {.kind = NIB_ATTENTION_CAUSAL, .soft_cap = 1, .slope = &any_slope, .bias = &any_bias},
    {.kind = NIB_ATTENTION_ALL},
    {.kind = NIB_ATTENTION_ALL, .window = 70},
    {.kind = NIB_ATTENTION_ALL, .slope = &any_slope},
    {.kind = NIB_ATTENTION_ALL, .bias = &any_bias},
    {.kind = NIB_ATTENTION_CROSS},
    {.kind = NIB_ATTENTION_CROSS, .soft_cap = 3},
};
enum { N_RULES = sizeof(rules) / sizeof(*rules) };

static const size_t head_sizes[] = {1, 2, 8, 20, 33, 64, 72, 80, 96, 112, 128, 256, 512};
enum { N_HEAD_SIZES = sizeof(head_sizes) / sizeof(*head_sizes) };

static const struct {
    size_t n_heads, n_kv_heads;
} groups[] = {{1, 1}, {3, 3}, {6, 2}, {9, 3}, {8, 1}};

static const size_t chunks[] = {1, 2, 7, 63, 64, 65, 300};

static void compare_ways(const struct problem *p, const float *expected, int n_ways)
{
    const size_t n_bytes = p->n_rows * p->n_heads * p->d * sizeof(float);
    for (int k = -1; k < n_backends; k++) {
        const struct nib_kernels *kernels = k < 0 ? &scalar : &backends[k];
        for (int i = 0; i < n_ways; i++) {
            const int n_threads = 1 + (int)random_below(MAX_THREADS);
            const size_t chunk =
                p->rule.kind == NIB_ATTENTION_ALL ? p->n_rows : chunks[random_below(7)];
            float *got = attend(p, kernels, n_threads, chunk);
            if (memcmp(got, expected, n_bytes) != 0)
                fail_msg("%s, %d threads, chunks of %zu, head size %zu, %zu heads of %zu: other "
                         "bits",
                         kernels->name, n_threads, chunk, p->d, p->n_heads, p->n_kv_heads);
            free(got);
        }
    }
}

static void check_problem(struct problem *p)
{
    make_problem(p);
    float *out = attend(p, n_backends ? &backends[n_backends - 1] : &scalar, 1, p->n_rows);
    const double most = tolerance(p->type_k) + tolerance(p->type_v), d = difference(p, out);
    if (!(d <= most))
        fail_msg("kind %d, window %u, head size %zu, %zu heads of %zu, cache %d %d: off by %g",
                 (int)p->rule.kind, p->rule.window, p->d, p->n_heads, p->n_kv_heads, (int)p->type_k,
                 (int)p->type_v, d);
    compare_ways(p, out, 1);
    free(out);
    free_problem(p);
}

static void test_every_rule_and_head_size(void **unused)
{
    (void)unused;
    int i = 0;
    for (int rule = 0; rule < N_RULES; rule++)
        for (int size = 0; size < N_HEAD_SIZES; size++, i++) {
            const size_t d = head_sizes[size], group = random_below(d > 100 ? 3 : 5);
            if (is_quick() && i % 29 != 0)
                continue;
            struct problem p = {.d = d,
                                .n_heads = groups[group].n_heads,
                                .n_kv_heads = groups[group].n_kv_heads,
                                .rule = rules[rule],
                                .type_k = (enum nib_kv)(i % NIB_CACHE_COUNT),
                                .type_v = (enum nib_kv)(i / 3 % NIB_CACHE_COUNT),
                                .n_tokens = {d > 100 ? 140 : 270, 1 + random_below(130)},
                                .n_cross = {1 + random_below(300), 1 + random_below(140)}};
            check_problem(&p);
        }
}

/* Windows that leave whole segments behind; and long ones. */
static void test_long_contexts(void **unused)
{
    (void)unused;
    static const uint32_t windows[] = {0, 1, 127, 128, 129, 200, 700};
    for (int i = 0; i < 14; i += is_quick() ? 7 : 1) {
        struct problem p = {.d = 16,
                            .n_heads = 3,
                            .n_kv_heads = 1,
                            .rule = {.window = windows[i / 2]},
                            .type_k = i & 1 ? NIB_CACHE_Q8 : NIB_CACHE_F16,
                            .type_v = i & 1 ? NIB_CACHE_Q8 : NIB_CACHE_F16,
                            .n_tokens = {1100, 300}};
        check_problem(&p);
    }
}

/* Any number of rows, up to and across borders of segments, in all ways. */
static void test_every_way_gives_the_same_bits(void **unused)
{
    (void)unused;
    for (int type = 0; type < NIB_CACHE_COUNT; type++) {
        struct problem p = {.d = 64,
                            .n_heads = 9,
                            .n_kv_heads = 3,
                            .type_k = (enum nib_kv)type,
                            .type_v = (enum nib_kv)type,
                            .n_tokens = {300, 129}};
        make_problem(&p);
        float *out = attend(&p, &scalar, 1, p.n_rows);
        compare_ways(&p, out, is_quick() ? 2 : n_shapes < 12 ? n_shapes : 12);
        free(out);
        free_problem(&p);
    }
}

/* ---- int8 keys ------------------------------------------------------------------------------ */

/* The keys as plain int8 with a scale for each head would hold them. */
static void round_keys(struct problem *p)
{
    int8_t codes[512];
    for (size_t i = 0; i < p->n_rows * p->n_kv_heads; i++) {
        float *k = p->k + i * p->d;
        const float scale = scalar.codes8(codes, k, p->d);
        for (size_t e = 0; e < p->d; e++)
            k[e] = scale * (float)codes[e];
    }
}

/* A few channels of keys that are far larger than the others, as Qwen2.5 has them, cost plain int8
 * the precision of all; turned vectors keep it. */
static void test_keys_with_large_channels_keep_their_precision(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {64, 80, 96, 112, 128};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct problem p = {.d = sizes[i],
                            .n_heads = 4,
                            .n_kv_heads = 2,
                            .type_k = NIB_CACHE_Q8,
                            .type_v = NIB_CACHE_F32,
                            .n_tokens = {200, 40}};
        make_problem(&p);
        for (size_t r = 0; r < p.n_rows * p.n_kv_heads; r++) {
            p.k[r * p.d + 5] += 60.0f;
            p.k[r * p.d + 5 + p.d / 2] -= 35.0f;
        }
        float *exact = p.k, *turned = attend(&p, &scalar, 1, p.n_rows);
        const size_t n_bytes = p.n_rows * p.n_kv_heads * p.d * sizeof(float);
        const double error = difference(&p, turned);
        p.k = memcpy(malloc(n_bytes), exact, n_bytes);
        round_keys(&p);
        p.type_k = NIB_CACHE_F32;
        float *plain = attend(&p, &scalar, 1, p.n_rows);
        free(p.k);
        p.k = exact;
        const double plain_error = difference(&p, plain);
        print_message("head size %zu: off by %.5f, %.5f without turning\n", p.d, error,
                      plain_error);
        assert_true(error <= plain_error / 2);
        free(turned), free(plain);
        free_problem(&p);
    }
}

/* ---- biases of int8 keys -------------------------------------------------------------------- */

/* As Qwen2.5 has them: hundreds in some channels that turn slowly or not at all, less in a few that
 * turn fast, about 1 in the others. */
static void add_key_bias(struct problem *p)
{
    const size_t n = p->n_kv_heads * p->d, n_pairs = p->n_rot / 2;
    p->key_bias = normal_floats(n);
    for (size_t i = 0; i < n; i++) {
        const size_t e = i % p->d;
        const bool is_slow = e >= p->n_rot || e % n_pairs >= n_pairs * 3 / 4;
        if (is_slow && e % 3 == 0)
            p->key_bias[i] *= 100;
        else if (e < p->n_rot && e % n_pairs == 0)
            p->key_bias[i] *= 20;
    }
    for (size_t i = 0; i < p->n_rows * n; i++)
        p->k[i] += p->key_bias[i % n];
}

static float *rotated(const struct problem *p, const float *x, size_t n_heads)
{
    const size_t n = p->n_rows * n_heads, n_pairs = p->n_rot / 2;
    float *y = memcpy(malloc(n * p->d * sizeof(float)), x, n * p->d * sizeof(float));
    for (size_t i = 0; i < n; i++)
        scalar.rope(y + i * p->d, p->cosine + i / n_heads * n_pairs,
                    p->sine + i / n_heads * n_pairs, n_pairs);
    return y;
}

/* How far off the outputs are, for one way of computing them. */
static double biased_difference(struct problem *p, bool keeps_bias)
{
    p->keeps_bias = keeps_bias;
    float *out = attend(p, &scalar, 1, p->n_rows);
    struct problem seen = *p;
    seen.q = rotated(p, p->q, p->n_heads);
    seen.k = rotated(p, p->k, p->n_kv_heads);
    const double error = difference(&seen, out);
    if (!keeps_bias)
        compare_ways(p, out, is_quick() ? 1 : 4);
    free(seen.q), free(seen.k), free(out);
    return error;
}

static void test_keys_with_large_biases_keep_their_precision(void **unused)
{
    (void)unused;
    static const struct {
        size_t d, n_rot;
    } shapes[] = {{64, 64}, {128, 128}, {80, 32}, {96, 0}};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
        struct problem p = {.d = shapes[i].d,
                            .n_rot = shapes[i].n_rot,
                            .n_heads = 6,
                            .n_kv_heads = 2,
                            .rule = {.window = i % 2 ? 200 : 0},
                            .type_k = NIB_CACHE_Q8,
                            .type_v = NIB_CACHE_F32,
                            .n_tokens = {300, 129}};
        make_problem(&p);
        add_key_bias(&p);
        const double kept = biased_difference(&p, true), error = biased_difference(&p, false);
        print_message("head size %zu, %zu rotated: off by %.5f, %.5f with the bias in the cache\n",
                      p.d, p.n_rot, error, kept);
        assert_true(error <= 0.008);
        assert_true(error <= kept / 5);
        free_problem(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_rule_and_head_size),
        cmocka_unit_test(test_long_contexts),
        cmocka_unit_test(test_every_way_gives_the_same_bits),
        cmocka_unit_test(test_keys_with_large_channels_keep_their_precision),
        cmocka_unit_test(test_keys_with_large_biases_keep_their_precision),
    };
    return cmocka_run_group_tests(tests, find_backends, NULL);
}
