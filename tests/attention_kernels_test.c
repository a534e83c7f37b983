/*
 * Kernels of int8 caches and of the terms of scores: every backend against scalar, bit for bit, and
 * scalar against formulas in 64-bit integers and double precision.
 */
#include "kernel_check.h"

#include "quantize.h"

/* ---- products -------------------------------------------------------------------------------- */

struct shape {
    size_t n_rows, n_inner, n_cols;
    size_t a_stride, b_row, b_run, out_stride;
    bool is_values;
};

/* Heads have up to 512 values, tiles 64 keys. */
static struct shape some_shape(int shape)
{
    struct shape s = {.is_values = shape & 1};
    const size_t inner_most = s.is_values ? NIB_TILE / 4 : random_below(20) == 0 ? 128 : 40;
    s.n_rows = 1 + random_below(random_below(4) == 0 ? 70 : 14);
    s.n_inner = 4 * (1 + random_below(inner_most));
    s.n_cols = 16 * (1 + random_below(s.is_values && shape % 8 == 1 ? 32 : 6));
    s.a_stride = s.n_inner + random_below(3);
    s.b_row = s.is_values ? 4 * (s.n_cols + random_below(20)) : 64;
    s.b_run = s.is_values ? 64 : 16 * s.n_inner + 4 * random_below(20);
    s.out_stride = s.n_cols + random_below(20);
    return s;
}

static size_t extent(size_t n_rows, size_t stride, size_t n)
{
    return (n_rows - 1) * stride + n;
}

/* Where b has its code of row i and column j. */
static size_t b_at(const struct shape *s, size_t i, size_t j)
{
    return i / 4 * s->b_row + j / 16 * s->b_run + j % 16 * 4 + i % 4;
}

/* Any codes; or only the largest, which come to the largest sums. */
static int16_t some_code15(bool is_extreme)
{
    const int code = (int)random_below(2 * NIB_CODE15 + 1) - NIB_CODE15;
    return (int16_t)(is_extreme ? NIB_CODE15 : code);
}

static int8_t some_code8(bool is_extreme)
{
    const int code = (int)random_below(255) - 127;
    return (int8_t)(is_extreme ? 127 : code);
}

struct operands {
    struct buffer out, a, a_scale, b, b_scale, keep;
};

static struct operands make_operands(const struct shape *s, enum values values, bool is_extreme)
{
    struct operands o = {
        .out = random_floats(extent(s->n_rows, s->out_stride, s->n_cols), USUAL),
        .a = buffer_of(2 * extent(s->n_rows, s->a_stride, s->n_inner), 2),
        .a_scale = random_floats(s->n_rows, values),
        .b = buffer_of(b_at(s, s->n_inner - 1, s->n_cols - 1) + 1, 1),
        .b_scale = random_floats(s->is_values ? 0 : s->n_cols, values),
        .keep = random_floats(s->is_values ? s->n_rows : 0, values),
    };
    for (size_t i = 0; i < o.a.n_bytes / 2; i++)
        ((int16_t *)o.a.p)[i] = some_code15(is_extreme);
    for (size_t i = 0; i < o.b.n_bytes; i++)
        ((int8_t *)o.b.p)[i] = some_code8(is_extreme);
    return o;
}

static void release_operands(struct operands *o)
{
    release(o->out), release(o->a), release(o->a_scale);
    release(o->b), release(o->b_scale), release(o->keep);
}

static void run_dots(const struct nib_kernels *k, const struct shape *s, const struct operands *o,
                     struct buffer out)
{
    const struct nib_dots d = {.out = out.p,
                               .out_stride = s->out_stride,
                               .a = o->a.p,
                               .a_stride = s->a_stride,
                               .a_scale = o->a_scale.p,
                               .b = o->b.p,
                               .b_row = s->b_row,
                               .b_run = s->b_run,
                               .b_scale = s->is_values ? NULL : o->b_scale.p,
                               .keep = s->is_values ? o->keep.p : NULL,
                               .n_rows = s->n_rows,
                               .n_inner = s->n_inner,
                               .n_cols = s->n_cols};
    k->dots(&d);
}

static void test_dots_equal_scalar(void **unused)
{
    (void)unused;
    for (int i = 0; i < 4 * n_shapes; i++) {
        const struct shape s = some_shape(i);
        struct operands o = make_operands(&s, some_values(i / 2), i % 16 >= 14);
        const struct buffer expected = copy_of(o.out);
        run_dots(&scalar, &s, &o, expected);
        for (int k = 0; k < n_backends; k++) {
            const struct buffer got = copy_of(o.out);
            run_dots(&backends[k], &s, &o, got);
            assert_same("dots", &backends[k], expected, got);
            release(got);
        }
        release(expected);
        release_operands(&o);
    }
}

static int64_t oracle_sum(const struct shape *s, const struct operands *o, size_t r, size_t j)
{
    int64_t sum = 0;
    for (size_t i = 0; i < s->n_inner; i++)
        sum += (int64_t)((const int16_t *)o->a.p)[r * s->a_stride + i] *
               ((const int8_t *)o->b.p)[b_at(s, i, j)];
    return sum;
}

/* With all codes at their largest and 512 of them the sum is near 2^30: it must not overflow. */
static void test_dots_are_sums_of_integers(void **unused)
{
    (void)unused;
    for (int i = 0; i < n_shapes; i++) {
        struct shape s = some_shape(i);
        const bool is_extreme = i % 4 == 0;
        if (is_extreme && !s.is_values)
            s.n_inner = s.a_stride = 512, s.b_run = 16 * 512;
        struct operands o = make_operands(&s, USUAL, is_extreme);
        for (int k = -1; k < n_backends; k++) {
            const struct nib_kernels *const t = k < 0 ? &scalar : &backends[k];
            const struct buffer out = copy_of(o.out);
            run_dots(t, &s, &o, out);
            for (size_t r = 0; r < s.n_rows; r++) {
                for (size_t j = 0; j < s.n_cols; j++) {
                    const size_t at = r * s.out_stride + j;
                    const float idot = (float)oracle_sum(&s, &o, r, j);
                    const float scale = ((const float *)o.a_scale.p)[r];
                    const float expected =
                        s.is_values ? fmaf(idot, scale,
                                           ((float *)o.out.p)[at] * ((const float *)o.keep.p)[r])
                                    : idot * (scale * ((const float *)o.b_scale.p)[j]);
                    if (!same_float(((float *)out.p)[at], expected))
                        fail_msg("dots on %s: row %zu, column %zu is %a, expected %a", t->name, r,
                                 j, (double)((float *)out.p)[at], (double)expected);
                }
            }
            release(out);
        }
        release_operands(&o);
    }
}

/* One code of the tile reaches its column in every row, one of a row that row, and nothing else. */
static void test_every_code_counts(void **unused)
{
    (void)unused;
    for (int i = 0; i < n_shapes; i++) {
        const struct shape s = some_shape(2 * i);
        struct operands o = make_operands(&s, USUAL, false);
        for (size_t r = 0; r < s.n_rows; r++)
            ((float *)o.a_scale.p)[r] = 1;
        for (size_t j = 0; j < s.n_cols; j++)
            ((float *)o.b_scale.p)[j] = 1;
        for (size_t at = 0; at < o.a.n_bytes / 2; at++)
            ((int16_t *)o.a.p)[at] |= 1;
        const size_t inner = random_below(s.n_inner), col = random_below(s.n_cols);
        for (int k = -1; k < n_backends; k++) {
            const struct nib_kernels *const t = k < 0 ? &scalar : &backends[k];
            const struct buffer before = copy_of(o.out), after = copy_of(o.out);
            run_dots(t, &s, &o, before);
            ((int8_t *)o.b.p)[b_at(&s, inner, col)] ^= 0x40;
            run_dots(t, &s, &o, after);
            for (size_t r = 0; r < s.n_rows; r++)
                for (size_t j = 0; j < s.n_cols; j++) {
                    const size_t at = r * s.out_stride + j;
                    assert_true((((float *)before.p)[at] != ((float *)after.p)[at]) == (j == col));
                }
            release(before), release(after);
        }
        release_operands(&o);
    }
}

/* ---- codes ----------------------------------------------------------------------------------- */

static void test_codes8_equal_scalar(void **unused)
{
    (void)unused;
    for (int shape = 0; shape < N_LENGTHS + n_shapes; shape++) {
        const size_t n = some_length(shape);
        const struct buffer x = random_floats(n, some_values(shape));
        const struct buffer expected = buffer_of(n, 1);
        const float scale = scalar.codes8(expected.p, x.p, n);
        for (int k = 0; k < n_backends; k++) {
            const struct buffer got = buffer_of(n, 1);
            assert_true(same_float(backends[k].codes8(got.p, x.p, n), scale));
            assert_memory_equal(expected.p, got.p, n);
            release(got);
        }
        release(x), release(expected);
    }
}

static void test_codes15_equal_scalar(void **unused)
{
    (void)unused;
    for (int shape = 0; shape < 4 * n_shapes; shape++) {
        const size_t n = 1 + random_below(random_below(8) ? 80 : 512);
        const size_t end = random_below(4) ? n : random_below(n + 1);
        const size_t begin = random_below(3) ? 0 : random_below(end + 1);
        const struct buffer x = random_floats(end, some_values(shape));
        const struct buffer factor = random_floats(end, some_values(shape / 4));
        const float *const f = shape & 1 ? factor.p : NULL;
        const size_t n_bytes = 2 * ((n + 15) / 16 * 16);
        const struct buffer expected = buffer_of(n_bytes, 2);
        const float scale = scalar.codes15(expected.p, x.p, f, begin, end, n);
        for (size_t i = 0; i < n_bytes / 2; i++) {
            const int code = ((int16_t *)expected.p)[i];
            assert_true(abs(code) <= NIB_CODE15 && ((i >= begin && i < end) || code == 0));
        }
        for (int k = 0; k < n_backends; k++) {
            const struct buffer got = buffer_of(n_bytes, 2);
            assert_true(same_float(backends[k].codes15(got.p, x.p, f, begin, end, n), scale));
            assert_memory_equal(expected.p, got.p, n_bytes);
            release(got);
        }
        release(x), release(factor), release(expected);
    }
}

static void test_codes_follow_their_definition(void **unused)
{
    (void)unused;
    float x[80], factor[80], y[80];
    int8_t q8[80];
    int16_t q15[80];
    for (int i = 0; i < 80; i++) {
        x[i] = random_value(USUAL);
        factor[i] = random_value(USUAL);
        y[i] = x[i] * factor[i];
    }
    const float d8 = scalar.codes8(q8, x, 80);
    const float d15 = scalar.codes15(q15, x, factor, 5, 70, 80);
    float most8 = 0, most15 = 0;
    for (int i = 0; i < 80; i++) {
        assert_true(fabsf(x[i] - d8 * (float)q8[i]) <= 0.5001f * d8);
        most8 = fmaxf(most8, fabsf(x[i]));
        if (i < 5 || i >= 70) {
            assert_int_equal(q15[i], 0);
            continue;
        }
        assert_true(fabsf(y[i] - d15 * (float)q15[i]) <= 0.502f * d15);
        most15 = fmaxf(most15, fabsf(y[i]));
    }
    assert_true(d8 == most8 / 127.0f && d15 == most15 / (float)NIB_CODE15);
}

/* NaN and infinity make the scale NaN and the codes 0, so that they reach what is computed. */
static void test_codes_without_a_scale(void **unused)
{
    (void)unused;
    static const float bad[] = {NAN, INFINITY, -INFINITY, 1e-37f, 0x1p-149f, -0.0f};
    for (int k = -1; k < n_backends; k++) {
        const struct nib_kernels *const t = k < 0 ? &scalar : &backends[k];
        for (int b = 0; b < 6; b++) {
            float x[24] = {0};
            int8_t q8[24];
            int16_t q15[32];
            x[17] = bad[b];
            x[3] = b < 3 ? 1.0f : 0.0f;
            const float d8 = t->codes8(q8, x, 24);
            const float d15 = t->codes15(q15, x, NULL, 0, 24, 24);
            assert_true(b < 3 ? isnan(d8) && isnan(d15) : d8 == 0 && d15 == 0);
            for (int i = 0; i < 24; i++)
                assert_true(q8[i] == 0 && q15[i] == 0);
        }
    }
}

/* ---- rotation -------------------------------------------------------------------------------- */

/* Head sizes of models, and any other. */
static size_t some_head(int shape)
{
    static const size_t sizes[] = {8, 20, 64, 72, 80, 96, 112, 128, 256, 512};
    return shape < 10 ? sizes[shape] : 1 + random_below(130);
}

static size_t largest_block(size_t n)
{
    return n & (~n + 1);
}

static void test_hadamard_equals_scalar(void **unused)
{
    (void)unused;
    for (int shape = 0; shape < 130 + n_shapes; shape++) {
        const size_t n = some_head(shape), block = largest_block(n) >> random_below(2);
        const struct buffer x = random_floats(n, some_values(shape));
        const struct buffer expected = copy_of(x);
        scalar.hadamard(expected.p, n, block ? block : 1);
        for (int k = 0; k < n_backends; k++) {
            const struct buffer got = copy_of(x);
            backends[k].hadamard(got.p, n, block ? block : 1);
            assert_same("hadamard", &backends[k], expected, got);
            release(got);
        }
        release(x), release(expected);
    }
}

/* Entry (i, j) of the matrix is -1 to the number of bits that i and j share. */
static void test_hadamard_is_the_transform(void **unused)
{
    (void)unused;
    for (int shape = 0; shape < 40; shape++) {
        const size_t n = some_head(shape), block = largest_block(n);
        float x[512], y[512];
        for (size_t i = 0; i < n; i++)
            x[i] = y[i] = random_value(USUAL);
        scalar.hadamard(y, n, block);
        for (size_t i = 0; i < n; i++) {
            double sum = 0;
            for (size_t j = 0; j < block; j++) {
                const int sign = __builtin_parityll(i % block & j) ? -1 : 1;
                sum += sign * (double)x[i / block * block + j];
            }
            assert_true(fabs(sum - (double)y[i]) <= 1e-5 * (double)block);
        }
    }
}

/* Twice is `block` times the vector: it undoes itself. */
static void test_hadamard_undoes_itself(void **unused)
{
    (void)unused;
    float x[512], y[512];
    for (size_t i = 0; i < 512; i++)
        x[i] = y[i] = random_value(USUAL);
    scalar.hadamard(y, 512, 512);
    scalar.hadamard(y, 512, 512);
    for (size_t i = 0; i < 512; i++)
        assert_true(fabsf(y[i] / 512 - x[i]) <= 1e-5f);
}

/* ---- terms of scores ------------------------------------------------------------------------- */

static void test_terms_equal_scalar(void **unused)
{
    (void)unused;
    for (int shape = 0; shape < N_LENGTHS + n_shapes; shape++) {
        const size_t n = some_length(shape);
        const struct buffer s = random_floats(n, some_values(shape));
        const float cap = 1.0f + 50.0f * fabsf(random_unit()), slope = random_value(USUAL);
        float first = (float)((int)random_below(20000) - 10000);
        if (n > 0 && shape % 2) { /* no distance at all, where a zero shows its sign */
            const size_t here = random_below(n);
            first = -(float)here;
            ((float *)s.p)[here] = -0.0f;
        }
        const struct buffer capped = copy_of(s), distant = copy_of(s);
        scalar.soft_cap(capped.p, cap, n);
        scalar.add_distance(distant.p, slope, first, n);
        for (int k = 0; k < n_backends; k++) {
            const struct buffer got = copy_of(s), other = copy_of(s);
            backends[k].soft_cap(got.p, cap, n);
            assert_same("soft_cap", &backends[k], capped, got);
            backends[k].add_distance(other.p, slope, first, n);
            assert_same("add_distance", &backends[k], distant, other);
            release(got), release(other);
        }
        release(s), release(capped), release(distant);
    }
}

static void test_terms_follow_their_definition(void **unused)
{
    (void)unused;
    float s[64], t[64];
    for (int i = 0; i < 64; i++)
        s[i] = t[i] = 30.0f * random_unit();
    scalar.soft_cap(s, 50.0f, 64);
    for (int i = 0; i < 64; i++)
        assert_true(fabs((double)s[i] - 50 * tanh((double)t[i] / 50)) < 1e-5);
    memcpy(s, t, sizeof(s));
    scalar.add_distance(s, 0.25f, -40.0f, 64);
    for (int i = 0; i < 64; i++)
        assert_true(fabs((double)s[i] - ((double)t[i] - 0.25 * abs(i - 40))) < 1e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dots_equal_scalar),
        cmocka_unit_test(test_dots_are_sums_of_integers),
        cmocka_unit_test(test_every_code_counts),
        cmocka_unit_test(test_codes8_equal_scalar),
        cmocka_unit_test(test_codes15_equal_scalar),
        cmocka_unit_test(test_codes_follow_their_definition),
        cmocka_unit_test(test_codes_without_a_scale),
        cmocka_unit_test(test_hadamard_equals_scalar),
        cmocka_unit_test(test_hadamard_is_the_transform),
        cmocka_unit_test(test_hadamard_undoes_itself),
        cmocka_unit_test(test_terms_equal_scalar),
        cmocka_unit_test(test_terms_follow_their_definition),
    };
    return cmocka_run_group_tests(tests, find_backends, NULL);
}
