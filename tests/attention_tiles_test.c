/*
 * Attention over tiles of keys and values in f16 and f32: products with a tile, online softmax and
 * merging of segments; every backend against scalar, and all of it against double precision.
 */
#include "kernel_check.h"

/* ---- products -------------------------------------------------------------------------------- */

/* A cache tile of n values in the cache's type. */
static struct buffer random_cache(enum nib_kv kv, size_t n, enum values values)
{
    const struct buffer x = random_floats(n, values);
    if (kv == NIB_CACHE_F32)
        return x;
    const struct buffer half = buffer_of(2 * n, 2);
    scalar.to_f16(half.p, x.p, n);
    release(x);
    return half;
}

/* out[n_rows][n_cols] from a[n_rows][n_inner] and b[n_inner][n_cols], each with its stride; for
 * scores b is [n_cols / 16][n_inner][16]. */
struct shape {
    enum nib_kv kv;
    size_t n_rows, n_inner, n_cols;
    size_t a_stride, b_stride, out_stride;
};

/* Heads have up to 512 values, groups with tokens any number of rows. */
static struct shape some_shape(int shape, size_t n_inner, size_t n_cols)
{
    struct shape s = {.kv = shape & 1 ? NIB_CACHE_F16 : NIB_CACHE_F32};
    s.n_rows = 1 + random_below(20);
    s.n_inner = n_inner, s.n_cols = n_cols;
    s.a_stride = s.n_inner + random_below(3);
    s.b_stride = s.n_cols + random_below(20);
    s.out_stride = s.n_cols + random_below(20);
    return s;
}

static struct shape some_score_shape(int shape)
{
    const size_t n_inner = random_below(40) == 0 ? 512 : 1 + random_below(130);
    struct shape s = some_shape(shape, n_inner, 16 * (1 + random_below(6)));
    s.b_stride = 16 * s.n_inner + random_below(20);
    return s;
}

static struct shape some_value_shape(int shape)
{
    const size_t large = random_below(20) == 0 ? 512 : 16 * (1 + random_below(9));
    return some_shape(shape, 1 + random_below(NIB_TILE), shape % 3 ? large : 1 + random_below(150));
}

static size_t extent(size_t n_rows, size_t stride, size_t n)
{
    return (n_rows - 1) * stride + n;
}

static void test_scores_equal_scalar(void **unused)
{
    (void)unused;
    for (int i = 0; i < 2 * n_shapes; i++) {
        const struct shape s = some_score_shape(i);
        const struct buffer a =
            random_floats(extent(s.n_rows, s.a_stride, s.n_inner), some_values(i / 2));
        const struct buffer b = random_cache(
            s.kv, extent(s.n_cols / 16, s.b_stride, 16 * s.n_inner), some_values(i / 2));
        const struct buffer expected = floats(extent(s.n_rows, s.out_stride, s.n_cols));
        scalar.scores[s.kv](expected.p, s.out_stride, a.p, s.a_stride, b.p, s.b_stride, NULL,
                            s.n_rows, s.n_inner, s.n_cols);
        for (int k = 0; k < n_backends; k++) {
            const struct buffer got = floats(extent(s.n_rows, s.out_stride, s.n_cols));
            backends[k].scores[s.kv](got.p, s.out_stride, a.p, s.a_stride, b.p, s.b_stride, NULL,
                                     s.n_rows, s.n_inner, s.n_cols);
            assert_same("scores", &backends[k], expected, got);
            release(got);
        }
        release(a), release(b), release(expected);
    }
}

/* Ranges as attention has them (all begin at 0 and end one after the other) or any, also empty. */
static void random_ranges(uint8_t *begin, uint8_t *end, size_t n_rows, size_t n_keys)
{
    const bool causal = random_below(2) == 0;
    const size_t first = random_below(n_keys + 1);
    for (size_t r = 0; r < n_rows; r++) {
        begin[r] = causal ? 0 : (uint8_t)random_below(n_keys + 1);
        end[r] = (uint8_t)(causal ? first + r / 3 : random_below(n_keys + 1));
        end[r] = end[r] > n_keys ? (uint8_t)n_keys : end[r];
    }
}

static void test_values_equal_scalar(void **unused)
{
    (void)unused;
    for (int i = 0; i < 2 * n_shapes; i++) {
        const struct shape s = some_value_shape(i);
        const enum values values = some_values(i / 2);
        uint8_t begin[20], end[20];
        random_ranges(begin, end, s.n_rows, s.n_inner);
        const struct buffer p = random_floats(extent(s.n_rows, s.a_stride, s.n_inner), values);
        const struct buffer scale = random_floats(s.n_rows, i % 3 ? USUAL : values);
        const struct buffer b = random_cache(s.kv, extent(s.n_inner, s.b_stride, s.n_cols), values);
        const struct buffer out = random_floats(extent(s.n_rows, s.out_stride, s.n_cols), USUAL);
        const struct buffer expected = copy_of(out);
        scalar.values[s.kv](expected.p, s.out_stride, scale.p, p.p, s.a_stride, begin, end, b.p,
                            s.b_stride, NULL, s.n_rows, s.n_cols);
        for (int k = 0; k < n_backends; k++) {
            const struct buffer got = copy_of(out);
            backends[k].values[s.kv](got.p, s.out_stride, scale.p, p.p, s.a_stride, begin, end, b.p,
                                     s.b_stride, NULL, s.n_rows, s.n_cols);
            assert_same("values", &backends[k], expected, got);
            release(got);
        }
        release(p), release(scale), release(b), release(out), release(expected);
    }
}

/*
 * One value of a tile made NaN reaches its column in every row that uses it, one value of the rows
 * its whole row, and no other output: nothing is skipped, nothing used past its range.
 */
static void spoil(enum nib_kv kv, struct buffer b, size_t at)
{
    if (kv == NIB_CACHE_F16)
        ((uint16_t *)b.p)[at] = 0x7e00;
    else
        ((float *)b.p)[at] = NAN;
}

static void test_one_key_reaches_its_scores_alone(void **unused)
{
    (void)unused;
    for (int i = 0; i < n_shapes; i++) {
        const struct shape s = some_score_shape(i);
        const struct buffer a = random_floats(extent(s.n_rows, s.a_stride, s.n_inner), USUAL);
        const struct buffer b =
            random_cache(s.kv, extent(s.n_cols / 16, s.b_stride, 16 * s.n_inner), USUAL);
        const size_t inner = random_below(s.n_inner), col = random_below(s.n_cols);
        spoil(s.kv, b, col / 16 * s.b_stride + inner * 16 + col % 16);
        const size_t row = random_below(s.n_rows);
        ((float *)a.p)[row * s.a_stride + random_below(s.n_inner)] = NAN;
        const struct buffer out = floats(extent(s.n_rows, s.out_stride, s.n_cols));
        for (int k = -1; k < n_backends; k++) {
            const struct nib_kernels *const t = k < 0 ? &scalar : &backends[k];
            t->scores[s.kv](out.p, s.out_stride, a.p, s.a_stride, b.p, s.b_stride, NULL, s.n_rows,
                            s.n_inner, s.n_cols);
            for (size_t r = 0; r < s.n_rows; r++)
                for (size_t j = 0; j < s.n_cols; j++)
                    if (isnan(((float *)out.p)[r * s.out_stride + j]) != (j == col || r == row))
                        fail_msg("scores on %s: row %zu, key %zu", t->name, r, j);
        }
        release(a), release(b), release(out);
    }
}

static void test_one_value_reaches_its_rows_alone(void **unused)
{
    (void)unused;
    for (int i = 0; i < n_shapes; i++) {
        const struct shape s = some_value_shape(i);
        uint8_t begin[20], end[20];
        random_ranges(begin, end, s.n_rows, s.n_inner);
        const struct buffer p = random_floats(extent(s.n_rows, s.a_stride, s.n_inner), USUAL);
        const struct buffer scale = random_floats(s.n_rows, USUAL);
        const struct buffer b = random_cache(s.kv, extent(s.n_inner, s.b_stride, s.n_cols), USUAL);
        const size_t key = random_below(s.n_inner), col = random_below(s.n_cols);
        spoil(s.kv, b, key * s.b_stride + col);
        const size_t row = random_below(s.n_rows), weight = random_below(s.n_inner);
        ((float *)p.p)[row * s.a_stride + weight] = NAN;
        for (int k = -1; k < n_backends; k++) {
            const struct nib_kernels *const t = k < 0 ? &scalar : &backends[k];
            const struct buffer out =
                random_floats(extent(s.n_rows, s.out_stride, s.n_cols), USUAL);
            t->values[s.kv](out.p, s.out_stride, scale.p, p.p, s.a_stride, begin, end, b.p,
                            s.b_stride, NULL, s.n_rows, s.n_cols);
            for (size_t r = 0; r < s.n_rows; r++)
                for (size_t j = 0; j < s.n_cols; j++) {
                    const bool uses = (j == col && begin[r] <= key && key < end[r]) ||
                                      (r == row && begin[r] <= weight && weight < end[r]);
                    if (isnan(((float *)out.p)[r * s.out_stride + j]) != uses)
                        fail_msg("values on %s: row %zu, column %zu", t->name, r, j);
                }
            release(out);
        }
        release(p), release(scale), release(b);
    }
}

/* ---- softmax --------------------------------------------------------------------------------- */

/* Zeros of both signs as the largest score are one of the cases. */
static void fill_scores(float *s, enum values values)
{
    const bool zeros = random_below(6) == 0;
    for (int i = 0; i < NIB_TILE; i++) {
        s[i] = 5.0f * random_value(values);
        if (zeros)
            s[i] = random_below(2) ? 0.0f : -0.0f;
    }
}

static void test_softmax_equals_scalar(void **unused)
{
    (void)unused;
    for (int shape = 0; shape < n_shapes; shape++) {
        struct nib_softmax start = {.max = -INFINITY};
        struct nib_softmax states[MAX_BACKENDS];
        for (int i = 0; i < n_backends; i++)
            states[i] = start;
        for (int tile = 0; tile < 4; tile++) {
            const struct buffer s = floats(NIB_TILE);
            fill_scores(s.p, some_values(shape));
            const size_t begin = tile == 0 ? random_below(NIB_TILE) : 0;
            const size_t end = tile == 3 ? random_below(NIB_TILE + 1) : NIB_TILE;
            const struct buffer expected = copy_of(s);
            const float factor = scalar.softmax_tile(&start, expected.p, begin, end);
            for (int i = 0; i < n_backends; i++) {
                const struct nib_kernels *const k = &backends[i];
                const struct buffer got = copy_of(s);
                const float f = k->softmax_tile(&states[i], got.p, begin, end);
                assert_same("softmax_tile", k, expected, got);
                assert_same_floats("factor", k, &factor, &f, 1);
                assert_same_floats("max", k, &start.max, &states[i].max, 1);
                assert_same_floats("sum", k, start.sum, states[i].sum, 16);
                release(got);
            }
            release(s), release(expected);
        }
    }
}

/* Made NaN, so that it is known from the others in the sum. */
static void test_one_score_reaches_its_sum(void **unused)
{
    (void)unused;
    for (int shape = 0; shape < n_shapes; shape++) {
        const size_t begin = random_below(NIB_TILE), end = random_below(NIB_TILE + 1);
        const size_t at = random_below(NIB_TILE);
        const bool used = begin <= at && at < end;
        const struct buffer s = random_floats(NIB_TILE, USUAL);
        ((float *)s.p)[at] = NAN;
        for (int i = -1; i < n_backends; i++) {
            const struct nib_kernels *const k = i < 0 ? &scalar : &backends[i];
            const struct buffer got = copy_of(s);
            struct nib_softmax state = {.max = -INFINITY};
            assert_false(isnan(k->softmax_tile(&state, got.p, begin, end)));
            assert_false(isnan(state.max));
            for (size_t j = 0; j < 16; j++)
                assert_true(isnan(state.sum[j]) == (used && j == at % 16));
            release(got);
        }
        release(s);
    }
}

static void test_softmax_of_no_keys_changes_nothing(void **unused)
{
    (void)unused;
    for (int i = -1; i < n_backends; i++) {
        const struct nib_kernels *const k = i < 0 ? &scalar : &backends[i];
        struct nib_softmax state = {.max = -INFINITY};
        float s[NIB_TILE] = {1, 2, 3};
        assert_true(k->softmax_tile(&state, s, 5, 5) == 1.0f);
        assert_true(state.max == -INFINITY && state.sum[0] == 0 && s[2] == 3);

        float acc_a = 0, max_a = -INFINITY, sum_a = 0;
        const float nothing = 0, something = 2;
        k->softmax_merge(&acc_a, &max_a, &sum_a, &nothing, -INFINITY, 0, 1);
        assert_true(acc_a == 0 && max_a == -INFINITY && sum_a == 0);
        k->softmax_merge(&acc_a, &max_a, &sum_a, &something, -3, 1, 1);
        assert_true(acc_a == 2 && max_a == -3 && sum_a == 1);
        k->softmax_merge(&acc_a, &max_a, &sum_a, &nothing, -INFINITY, 0, 1);
        assert_true(acc_a == 2 && max_a == -3 && sum_a == 1);
    }
}

static void test_merge_equals_scalar(void **unused)
{
    (void)unused;
    for (int shape = 0; shape < N_LENGTHS + n_shapes; shape++) {
        const size_t n = some_length(shape);
        const struct buffer a = random_floats(n, some_values(shape));
        const struct buffer b = random_floats(n, some_values(shape));
        const float max_a = random_value(USUAL), max_b = random_value(some_values(shape % 3));
        const struct buffer expected = copy_of(a);
        float max = max_a, sum = 3.5f;
        scalar.softmax_merge(expected.p, &max, &sum, b.p, max_b, 1.25f, n);
        for (int i = 0; i < n_backends; i++) {
            const struct buffer got = copy_of(a);
            float got_max = max_a, got_sum = 3.5f;
            backends[i].softmax_merge(got.p, &got_max, &got_sum, b.p, max_b, 1.25f, n);
            assert_same("softmax_merge", &backends[i], expected, got);
            assert_same_floats("max", &backends[i], &max, &got_max, 1);
            assert_same_floats("sum", &backends[i], &sum, &got_sum, 1);
            release(got);
        }
        release(a), release(b), release(expected);
    }
}

/* One head over two segments of two tiles: scores, online softmax, values, merge. */
enum { HEAD = 64, KEYS = 4 * NIB_TILE };

struct head {
    float q[HEAD];
    float keys[KEYS / 16][HEAD][16];
    float values[KEYS / NIB_TILE][NIB_TILE][HEAD];
};

static void attend_segment(const struct nib_kernels *k, const struct head *h, size_t tile_begin,
                           size_t n_keys, float *acc, struct nib_softmax *state)
{
    const uint8_t begin = 0;
    *state = (struct nib_softmax){.max = -INFINITY};
    memset(acc, 0, HEAD * sizeof(*acc));
    for (size_t t = tile_begin; t < tile_begin + 2; t++) {
        float s[NIB_TILE];
        const size_t left = n_keys > t * NIB_TILE ? n_keys - t * NIB_TILE : 0;
        const uint8_t end = (uint8_t)(left < NIB_TILE ? left : NIB_TILE);
        k->scores[NIB_CACHE_F32](s, NIB_TILE, h->q, HEAD, h->keys[t * NIB_TILE / 16], HEAD * 16,
                                 NULL, 1, HEAD, NIB_TILE);
        const float factor = k->softmax_tile(state, s, begin, end);
        k->values[NIB_CACHE_F32](acc, HEAD, &factor, s, NIB_TILE, &begin, &end, h->values[t], HEAD,
                                 NULL, 1, HEAD);
    }
}

static void attend_exactly(const struct head *h, size_t n_keys, double out[HEAD])
{
    double s[KEYS], max = -INFINITY, sum = 0;
    memset(out, 0, HEAD * sizeof(*out));
    for (size_t i = 0; i < n_keys; i++) {
        s[i] = 0;
        for (int d = 0; d < HEAD; d++)
            s[i] += (double)h->q[d] * (double)h->keys[i / 16][d][i % 16];
        max = s[i] > max ? s[i] : max;
    }
    for (size_t i = 0; i < n_keys; i++)
        sum += exp(s[i] - max);
    for (size_t i = 0; i < n_keys; i++)
        for (int d = 0; d < HEAD; d++)
            out[d] += exp(s[i] - max) / sum * (double)h->values[i / NIB_TILE][i % NIB_TILE][d];
}

static void test_attention_is_accurate(void **unused)
{
    (void)unused;
    static struct head h;
    for (size_t i = 0; i < sizeof(h) / sizeof(float); i++)
        ((float *)&h)[i] = random_unit();
    static const size_t lengths[] = {1, 16, 63, 64, 65, 100, 128, 129, 255, 256};
    for (size_t l = 0; l < sizeof(lengths) / sizeof(*lengths); l++) {
        double exact[HEAD];
        attend_exactly(&h, lengths[l], exact);
        for (int i = -1; i < n_backends; i++) {
            const struct nib_kernels *const k = i < 0 ? &scalar : &backends[i];
            float a[HEAD], b[HEAD];
            struct nib_softmax state_a, state_b;
            attend_segment(k, &h, 0, lengths[l], a, &state_a);
            attend_segment(k, &h, 2, lengths[l], b, &state_b);
            float sum = nib_sum16(state_a.sum);
            k->softmax_merge(a, &state_a.max, &sum, b, state_b.max, nib_sum16(state_b.sum), HEAD);
            for (int d = 0; d < HEAD; d++)
                assert_true(fabs((double)(a[d] / sum) - exact[d]) <= 2e-6);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scores_equal_scalar),
        cmocka_unit_test(test_values_equal_scalar),
        cmocka_unit_test(test_one_key_reaches_its_scores_alone),
        cmocka_unit_test(test_one_value_reaches_its_rows_alone),
        cmocka_unit_test(test_softmax_equals_scalar),
        cmocka_unit_test(test_one_score_reaches_its_sum),
        cmocka_unit_test(test_softmax_of_no_keys_changes_nothing),
        cmocka_unit_test(test_merge_equals_scalar),
        cmocka_unit_test(test_attention_is_accurate),
    };
    return cmocka_run_group_tests(tests, find_backends, NULL);
}
