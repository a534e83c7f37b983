/*
 * Float and attention kernels: every backend that this CPU has against scalar, bit for bit, on
 * random and extreme values in buffers that end at an unreadable page; and scalar against formulas
 * in double precision.  NIB_TEST_SHAPES is the number of random shapes per kernel.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exp.h"
#include "guard.h"
#include "half.h"
#include "kernels.h"

/* ---- backends -------------------------------------------------------------------------------- */

enum { MAX_BACKENDS = 8 };

static struct nib_kernels scalar, backends[MAX_BACKENDS];
static int n_backends; /* without scalar */
static int n_shapes = 100;

static int find_backends(void **unused)
{
    (void)unused;
    const char *const shapes = getenv("NIB_TEST_SHAPES");
    if (shapes)
        n_shapes = atoi(shapes);
    const unsigned available = nib_cpu_features();
    printf("levels: %s\n", nib_isa_list(available));
    nib_kernels_init(&scalar, 0);

    char list[128];
    snprintf(list, sizeof(list), "%s", nib_isa_list(available));
    for (char *isa = strtok(list, " "); isa; isa = strtok(NULL, " ")) {
        unsigned features;
        if (!nib_isa_features(isa, &features) || (features & ~available) != 0)
            return -1;
        if (features != 0)
            nib_kernels_init(&backends[n_backends++], features);
    }
    return 0;
}

/* ---- random values --------------------------------------------------------------------------- */

static uint64_t random_state = 1;

/* SplitMix64 (Steele, Lea and Flood). */
static uint64_t random_bits(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static size_t random_below(size_t n)
{
    return (size_t)(random_bits() % n);
}

static float random_unit(void)
{
    return (float)(random_bits() >> 40) * 0x1p-23f - 1.0f;
}

enum values { USUAL, ANY_FINITE, EXTREME, ANY_BITS, VALUES_COUNT };

static const float extremes[] = {
    0.0f,     -0.0f,    1.0f,     -1.0f,  0x1p-149f, -0x1p-149f, 0x1.8p-127f, FLT_MIN,
    -FLT_MIN, FLT_MAX,  -FLT_MAX, 1e30f,  -1e30f,    1e-30f,     65504.0f,    65519.0f,
    65520.0f, 0x1p-24f, 0x1p-25f, 88.0f,  88.1f,     -87.0f,     -87.1f,      -100.0f,
    0.5f,     1.5f,     2.5f,     127.0f, 127.5f,    9.0f,       -9.0f,       3e-39f,
};

static float random_value(enum values values)
{
    switch (values) {
    case USUAL:
        return 4.0f * random_unit();
    case EXTREME:
        return extremes[random_below(sizeof(extremes) / sizeof(*extremes))];
    case ANY_FINITE:
        for (;;) {
            const float x = nib_bits_float((uint32_t)random_bits());
            if (isfinite(x))
                return x;
        }
    default: /* now and then infinity or NaN */
        if (random_below(40) == 0)
            return nib_bits_float(0x7f800000 | (uint32_t)(random_below(2) << 31) |
                                  (uint32_t)(random_below(2) << 22));
        return random_value((enum values)random_below(3));
    }
}

static enum values some_values(int shape)
{
    return (enum values)(shape % VALUES_COUNT);
}

/* Mostly small, as the lanes past whole vectors are where mistakes are. */
static size_t some_length(int shape)
{
    static const size_t large[] = {576, 1536, 1000, 128, 2049};
    if (shape < 70)
        return (size_t)shape + 1;
    return shape % 4 == 0 ? large[random_below(5)] : 1 + random_below(300);
}

/* ---- buffers --------------------------------------------------------------------------------- */

struct buffer {
    void *p;
    size_t n_bytes, align;
};

static struct buffer buffer_of(size_t n_bytes, size_t align)
{
    return (struct buffer){guard_alloc(n_bytes, align), n_bytes, align};
}

static struct buffer floats(size_t n)
{
    return buffer_of(n * sizeof(float), sizeof(float));
}

static struct buffer random_floats(size_t n, enum values values)
{
    const struct buffer b = floats(n);
    for (size_t i = 0; i < n; i++)
        ((float *)b.p)[i] = random_value(values);
    return b;
}

static struct buffer copy_of(struct buffer source)
{
    const struct buffer b = buffer_of(source.n_bytes, source.align);
    memcpy(b.p, source.p, source.n_bytes);
    return b;
}

static void release(struct buffer b)
{
    assert_true(guard_free(b.p, b.n_bytes, b.align));
}

static bool same_float(float a, float b)
{
    return nib_float_bits(a) == nib_float_bits(b) || (isnan(a) && isnan(b));
}

/* NaNs are equal whatever their payload. */
static void assert_same_floats(const char *what, const struct nib_kernels *k, const float *expected,
                               const float *got, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!same_float(expected[i], got[i]))
            fail_msg("%s on %s: [%zu] of %zu is %a, scalar gives %a", what, k->name, i, n,
                     (double)got[i], (double)expected[i]);
}

static void assert_same(const char *what, const struct nib_kernels *k, struct buffer expected,
                        struct buffer got)
{
    assert_same_floats(what, k, expected.p, got.p, expected.n_bytes / sizeof(float));
}

/* ---- levels ---------------------------------------------------------------------------------- */

static void test_levels_are_within_features(void **unused)
{
    (void)unused;
    unsigned features = 1;
    assert_true(nib_isa_features("scalar", &features));
    assert_int_equal(features, 0);
    assert_false(nib_isa_features("avx3", &features));
    assert_string_equal(nib_isa_name(0), "scalar");
    assert_string_equal(nib_isa_list(0), "scalar");

    for (unsigned set = 0; set < 64; set++) {
        const char *const list = nib_isa_list(set), *const best = nib_isa_name(set);
        assert_true(strlen(list) >= strlen(best));
        assert_string_equal(list + strlen(list) - strlen(best), best);
        assert_true(nib_isa_features(best, &features));
        assert_int_equal(features & ~set, 0);
    }
}

static void assert_complete(const struct nib_kernels *k)
{
    assert_non_null(k->name);
    assert_true(k->rms_norm && k->layer_norm && k->rope && k->add && k->mul && k->scale);
    assert_true(k->to_f16 && k->from_f16 && k->softmax_tile && k->softmax_merge);
    for (int i = 0; i < NIB_ACTIVATION_COUNT; i++)
        assert_non_null(k->activate[i]);
    for (int i = 0; i < NIB_ACT_COUNT; i++)
        assert_non_null(k->quantize[i]);
    for (int i = 0; i < NIB_CACHE_COUNT; i++)
        assert_true(k->scores[i] && k->values[i]);
    for (int i = 0; i < NIB_PACK_COUNT; i++)
        assert_non_null(k->matmul[i]);
}

static void test_every_level_fills_every_entry(void **unused)
{
    (void)unused;
    assert_complete(&scalar);
    for (int i = 0; i < n_backends; i++)
        assert_complete(&backends[i]);
    struct nib_kernels k;
    nib_kernels_init(&k, nib_cpu_features());
    assert_complete(&k);
    assert_string_equal(k.name, nib_isa_name(nib_cpu_features()));
}

/* ---- norms, positions, elementwise ----------------------------------------------------------- */

static void test_norms_equal_scalar(void **unused)
{
    (void)unused;
    for (int shape = 0; shape < 70 + n_shapes; shape++) {
        const size_t n = some_length(shape);
        const struct buffer x = random_floats(n, some_values(shape));
        const struct buffer w = random_floats(n, USUAL), b = random_floats(n, USUAL);
        const struct buffer expected = floats(n), got = floats(n);
        for (int i = 0; i < n_backends; i++) {
            scalar.rms_norm(expected.p, x.p, w.p, n, 1e-5f);
            backends[i].rms_norm(got.p, x.p, w.p, n, 1e-5f);
            assert_same("rms_norm", &backends[i], expected, got);
            for (int biased = 0; biased < 2; biased++) {
                scalar.layer_norm(expected.p, x.p, w.p, biased ? b.p : NULL, n, 1e-6f);
                backends[i].layer_norm(got.p, x.p, w.p, biased ? b.p : NULL, n, 1e-6f);
                assert_same("layer_norm", &backends[i], expected, got);
            }
            memcpy(got.p, x.p, x.n_bytes); /* in place */
            scalar.rms_norm(expected.p, x.p, w.p, n, 1e-5f);
            backends[i].rms_norm(got.p, got.p, w.p, n, 1e-5f);
            assert_same("rms_norm in place", &backends[i], expected, got);
        }
        release(x), release(w), release(b), release(expected), release(got);
    }
}

static void test_rope_equals_scalar(void **unused)
{
    (void)unused;
    for (int shape = 0; shape < 70 + n_shapes; shape++) {
        const size_t n = some_length(shape);
        const struct buffer x = random_floats(2 * n, some_values(shape));
        const struct buffer c = random_floats(n, USUAL), s = random_floats(n, USUAL);
        const struct buffer expected = copy_of(x);
        scalar.rope(expected.p, c.p, s.p, n);
        for (int i = 0; i < n_backends; i++) {
            const struct buffer got = copy_of(x);
            backends[i].rope(got.p, c.p, s.p, n);
            assert_same("rope", &backends[i], expected, got);
            release(got);
        }
        release(x), release(c), release(s), release(expected);
    }
}

static const char *const activation_names[] = {"silu", "gelu", "gelu_tanh", "relu"};

static void compare_activation(int activation, struct buffer x)
{
    const size_t n = x.n_bytes / sizeof(float);
    const struct buffer expected = copy_of(x);
    scalar.activate[activation](expected.p, n);
    for (int i = 0; i < n_backends; i++) {
        const struct buffer got = copy_of(x);
        backends[i].activate[activation](got.p, n);
        assert_same(activation_names[activation], &backends[i], expected, got);
        release(got);
    }
    release(expected);
}

static void test_activations_equal_scalar(void **unused)
{
    (void)unused;
    for (int shape = 0; shape < 70 + n_shapes; shape++) {
        const struct buffer x = random_floats(some_length(shape), some_values(shape));
        for (int activation = 0; activation < NIB_ACTIVATION_COUNT; activation++)
            compare_activation(activation, x);
        release(x);
    }
}

/* A sweep of all bit patterns in steps of a prime, signs, infinities and NaNs included. */
static void test_activations_equal_scalar_over_all_magnitudes(void **unused)
{
    (void)unused;
    enum { CHUNK = 8192, STEP = 8191 };
    const struct buffer x = floats(CHUNK);
    for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += (uint64_t)CHUNK * STEP) {
        for (uint64_t i = 0; i < CHUNK; i++)
            ((float *)x.p)[i] = nib_bits_float((uint32_t)(bits + i * STEP));
        for (int activation = 0; activation < NIB_ACTIVATION_COUNT; activation++)
            compare_activation(activation, x);
    }
    release(x);
}

static void compare_elementwise(const struct nib_kernels *k, struct buffer y, struct buffer x,
                                size_t n)
{
    const float factor = random_value(ANY_FINITE);
    struct buffer expected = copy_of(y), got = copy_of(y);
    scalar.add(expected.p, x.p, n);
    k->add(got.p, x.p, n);
    assert_same("add", k, expected, got);
    scalar.mul(expected.p, x.p, n);
    k->mul(got.p, x.p, n);
    assert_same("mul", k, expected, got);
    scalar.scale(expected.p, factor, n);
    k->scale(got.p, factor, n);
    assert_same("scale", k, expected, got);
    release(expected), release(got);
}

static void compare_halves(const struct nib_kernels *k, struct buffer x, size_t n)
{
    const struct buffer expected = buffer_of(2 * n, 2), got = buffer_of(2 * n, 2);
    scalar.to_f16(expected.p, x.p, n);
    k->to_f16(got.p, x.p, n);
    assert_memory_equal(expected.p, got.p, 2 * n);
    const struct buffer wide_expected = floats(n), wide_got = floats(n);
    scalar.from_f16(wide_expected.p, expected.p, n);
    k->from_f16(wide_got.p, expected.p, n);
    assert_memory_equal(wide_expected.p, wide_got.p, 4 * n);
    release(expected), release(got), release(wide_expected), release(wide_got);
}

static void test_elementwise_equals_scalar(void **unused)
{
    (void)unused;
    for (int shape = 0; shape < 70 + n_shapes; shape++) {
        const size_t n = some_length(shape);
        const struct buffer x = random_floats(n, some_values(shape));
        const struct buffer y = random_floats(n, some_values(shape / 4));
        for (int i = 0; i < n_backends; i++) {
            compare_elementwise(&backends[i], y, x, n);
            compare_halves(&backends[i], x, n);
        }
        release(x), release(y);
    }
}

/* Every half, and floats at and beside the middle between neighbours, on every backend. */
static void test_halves_convert_exactly(void **unused)
{
    (void)unused;
    static uint16_t half[65536], back[65536];
    static float wide[65536], middle[65536];
    for (int i = -1; i < n_backends; i++) {
        const struct nib_kernels *const k = i < 0 ? &scalar : &backends[i];
        for (uint32_t h = 0; h < 65536; h++)
            half[h] = (uint16_t)h;
        k->from_f16(wide, half, 65536);
        k->to_f16(back, wide, 65536);
        for (uint32_t h = 0; h < 65536; h++) {
            const bool is_nan = (h & 0x7fff) > 0x7c00;
            assert_int_equal(back[h], is_nan ? h | 0x200 : h);
        }
        assert_float_equal(wide[0x3c00], 1.0f, 0.0f);
        assert_float_equal(wide[1], 0x1p-24f, 0.0f);
        assert_float_equal(wide[0x7bff], 65504.0f, 0.0f);

        for (uint32_t h = 0; h < 0x7bff; h++)
            middle[h] = (wide[h] + wide[h + 1]) * 0.5f;
        k->to_f16(back, middle, 0x7bff);
        for (uint32_t h = 0; h < 0x7bff; h++)
            assert_int_equal(back[h], h + (h & 1)); /* to even */
    }
}

/* ---- quantisation ---------------------------------------------------------------------------- */

/* Blocks of one kind of values each; a block now and then gets another kind. */
static void fill_blocks(float *x, size_t n, enum values values)
{
    for (size_t i = 0; i < n; i += NIB_BLOCK) {
        const bool other = random_below(8) == 0;
        const enum values v = other ? (enum values)random_below(VALUES_COUNT) : values;
        for (size_t j = i; j < i + NIB_BLOCK; j++)
            x[j] = random_value(v);
    }
}

static void compare_quantize(enum nib_act_kind kind, size_t n_rows, size_t row, struct buffer x)
{
    const size_t n = x.n_bytes / sizeof(float);
    const size_t n_bytes = nib_act_bytes(kind, n_rows, n);
    const struct buffer expected = buffer_of(n_bytes, 64);
    const struct nib_act a = nib_act_place(kind, n_rows, n, expected.p);
    scalar.quantize[kind](&a, row, x.p);
    for (int i = 0; i < n_backends; i++) {
        const struct buffer got = buffer_of(n_bytes, 64);
        const struct nib_act b = nib_act_place(kind, n_rows, n, got.p);
        backends[i].quantize[kind](&b, row, x.p);
        assert_memory_equal(expected.p, got.p, n_bytes); /* other rows untouched, too */
        release(got);
    }
    release(expected);
}

static void test_quantisation_equals_scalar(void **unused)
{
    (void)unused;
    for (int shape = 0; shape < n_shapes; shape++) {
        for (int kind = 0; kind < NIB_ACT_COUNT; kind++) {
            const size_t n_rows = 1 + random_below(9);
            const struct buffer x = floats(NIB_BLOCK * (1 + random_below(40)));
            fill_blocks(x.p, x.n_bytes / sizeof(float), some_values(shape));
            compare_quantize((enum nib_act_kind)kind, n_rows, random_below(n_rows), x);
            release(x);
        }
    }
}

static void test_quantisation_follows_its_definition(void **unused)
{
    (void)unused;
    _Alignas(64) uint8_t memory[4096];
    float x[NIB_SUPER];
    for (int i = 0; i < NIB_SUPER; i++)
        x[i] = random_value(USUAL);
    x[40] = -127.0f; /* the largest of block 1 */

    const struct nib_act a = nib_act_place(NIB_ACT_Q8, 2, NIB_SUPER, memory);
    scalar.quantize[NIB_ACT_Q8](&a, 1, x);
    assert_float_equal(a.d[1 * 2 + 1], 1.0f, 0.0f);
    for (int b = 0; b < NIB_SUPER / NIB_BLOCK; b++) {
        int sum = 0;
        for (int i = 0; i < NIB_BLOCK; i++) {
            const int code = a.q[(b * 2 + 1) * NIB_BLOCK + i];
            const double d = (double)a.d[b * 2 + 1];
            assert_true(fabs(code * d - (double)x[b * NIB_BLOCK + i]) <= 0.5001 * d);
            sum += code;
        }
        assert_int_equal(a.nsum[b * 2 + 1], -sum);
        assert_int_equal(a.nsum_half[2 * b * 2 + 1] + a.nsum_half[(2 * b + 1) * 2 + 1], -sum);
        assert_true(a.s[b * 2 + 1] == a.d[b * 2 + 1] * (float)sum);
    }
    assert_int_equal(a.q[(1 * 2 + 1) * NIB_BLOCK + 8], -127);
}

/* NaN and infinity poison their block; values too small for a normal scale are zero. */
static void test_quantisation_marks_blocks_without_a_scale(void **unused)
{
    (void)unused;
    static const float bad[] = {NAN, INFINITY, -INFINITY, 1e-37f, 0x1p-149f, -0.0f};
    for (int i = -1; i < n_backends; i++) {
        const struct nib_kernels *const k = i < 0 ? &scalar : &backends[i];
        for (size_t b = 0; b < sizeof(bad) / sizeof(*bad); b++) {
            _Alignas(64) uint8_t memory[1024];
            float x[NIB_BLOCK] = {0};
            x[17] = bad[b];
            x[3] = b < 3 ? 1.0f : 0.0f;
            const struct nib_act a = nib_act_place(NIB_ACT_Q8, 1, NIB_BLOCK, memory);
            k->quantize[NIB_ACT_Q8](&a, 0, x);
            assert_true(b < 3 ? isnan(a.d[0]) && isnan(a.s[0]) : a.d[0] == 0 && a.s[0] == 0);
            assert_int_equal(a.nsum[0], 0);
            for (int j = 0; j < NIB_BLOCK; j++)
                assert_int_equal(a.q[j], 0);
        }
    }
}

/* ---- attention ------------------------------------------------------------------------------- */

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

static void test_scores_equal_scalar(void **unused)
{
    (void)unused;
    for (int shape = 0; shape < 4 * n_shapes; shape++) {
        const enum nib_kv kv = shape & 1;
        const enum values values = some_values(shape / 2);
        const size_t n_rows = 1 + random_below(20), n_inner = 1 + random_below(130);
        const size_t n_cols = 16 * (1 + random_below(6));
        const size_t a_stride = n_inner + random_below(3), b_stride = n_cols + random_below(20);
        const size_t out_stride = n_cols + random_below(20);
        const struct buffer a = random_floats((n_rows - 1) * a_stride + n_inner, values);
        const struct buffer b = random_cache(kv, (n_inner - 1) * b_stride + n_cols, values);
        const struct buffer expected = floats((n_rows - 1) * out_stride + n_cols);
        scalar.scores[kv](expected.p, out_stride, a.p, a_stride, b.p, b_stride, n_rows, n_inner,
                          n_cols);
        for (int i = 0; i < n_backends; i++) {
            const struct buffer got = floats((n_rows - 1) * out_stride + n_cols);
            backends[i].scores[kv](got.p, out_stride, a.p, a_stride, b.p, b_stride, n_rows, n_inner,
                                   n_cols);
            assert_same("scores", &backends[i], expected, got);
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
    for (int shape = 0; shape < 4 * n_shapes; shape++) {
        const enum nib_kv kv = shape & 1;
        const enum values values = some_values(shape / 2);
        const size_t n_rows = 1 + random_below(20), n_keys = 1 + random_below(NIB_TILE);
        const size_t n_cols = shape % 3 ? 16 * (1 + random_below(9)) : 1 + random_below(150);
        const size_t p_stride = n_keys + random_below(3), b_stride = n_cols + random_below(20);
        const size_t out_stride = n_cols + random_below(20);
        uint8_t begin[20], end[20];
        random_ranges(begin, end, n_rows, n_keys);
        const struct buffer p = random_floats((n_rows - 1) * p_stride + n_keys, values);
        const struct buffer scale = random_floats(n_rows, USUAL);
        const struct buffer b = random_cache(kv, (n_keys - 1) * b_stride + n_cols, values);
        const struct buffer out = random_floats((n_rows - 1) * out_stride + n_cols, USUAL);
        const struct buffer expected = copy_of(out);
        scalar.values[kv](expected.p, out_stride, scale.p, p.p, p_stride, begin, end, b.p, b_stride,
                          n_rows, n_cols);
        for (int i = 0; i < n_backends; i++) {
            const struct buffer got = copy_of(out);
            backends[i].values[kv](got.p, out_stride, scale.p, p.p, p_stride, begin, end, b.p,
                                   b_stride, n_rows, n_cols);
            assert_same("values", &backends[i], expected, got);
            release(got);
        }
        release(p), release(scale), release(b), release(out), release(expected);
    }
}

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
    for (int shape = 0; shape < 8 * n_shapes; shape++) {
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
    for (int shape = 0; shape < 70 + n_shapes; shape++) {
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

/* ---- the specification against double precision ---------------------------------------------- */

static double ulp_of(double x)
{
    const float f = fabsf((float)x);
    return f < FLT_MIN ? 0x1p-149 : (double)(nextafterf(f, INFINITY) - f);
}

static void test_exp_is_within_2_ulp(void **unused)
{
    (void)unused;
    double worst = 0;
    for (double x = -87.0; x <= 88.0; x += 0.000173) {
        const float arg = (float)x;
        const double exact = exp((double)arg);
        const double error = fabs((double)nib_exp(arg) - exact) / ulp_of(exact);
        worst = error > worst ? error : worst;
    }
    printf("exp: at most %.3f ulp off\n", worst);
    assert_true(worst <= 2.0);
    assert_true(nib_exp(0.0f) == 1.0f && nib_exp(-0.0f) == 1.0f);
    assert_true(nib_exp(-INFINITY) == 0.0f && nib_exp(-87.01f) == 0.0f);
    assert_true(nib_exp(INFINITY) == nib_exp(88.0f) && isfinite(nib_exp(INFINITY)));
    assert_true(isnan(nib_exp(NAN)));
}

static double exact_activation(int activation, double x)
{
    switch (activation) {
    case NIB_ACTIVATION_SILU:
        return x / (1 + exp(-x));
    case NIB_ACTIVATION_GELU:
        return 0.5 * x * (1 + erf(x * 0.70710678118654752440));
    case NIB_ACTIVATION_GELU_TANH:
        return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    default:
        return x > 0 ? x : 0;
    }
}

/* 1 + erf and 1 + tanh cancel for negative x: the bound is in units of |x| there. */
static void test_activations_are_accurate(void **unused)
{
    (void)unused;
    for (int activation = 0; activation < NIB_ACTIVATION_COUNT; activation++) {
        for (double x = -20; x <= 20; x += 0.00037) {
            float y = (float)x;
            const double exact = exact_activation(activation, (double)y);
            scalar.activate[activation](&y, 1);
            assert_true(fabs((double)y - exact) <= 3e-7 * fabs(x) + 1e-30);
        }
    }
}

static void test_norms_are_accurate(void **unused)
{
    (void)unused;
    static const size_t lengths[] = {1, 15, 64, 576, 1536};
    static float x[1536], w[1536], b[1536], rms[1536], layer[1536];
    for (size_t l = 0; l < 5; l++) {
        const size_t n = lengths[l];
        double sum = 0, squares = 0, variance = 0;
        for (size_t i = 0; i < n; i++) {
            x[i] = random_value(USUAL) + 1.0f, w[i] = random_value(USUAL), b[i] = w[i] - 1.0f;
            sum += (double)x[i], squares += (double)x[i] * (double)x[i];
        }
        const double mean = sum / (double)n;
        for (size_t i = 0; i < n; i++)
            variance += ((double)x[i] - mean) * ((double)x[i] - mean);
        scalar.rms_norm(rms, x, w, n, 1e-5f);
        scalar.layer_norm(layer, x, w, b, n, 1e-5f);
        const double r_rms = 1 / sqrt(squares / (double)n + 1e-5);
        const double r_layer = 1 / sqrt(variance / (double)n + 1e-5);
        for (size_t i = 0; i < n; i++) {
            const double e_rms = (double)x[i] * r_rms * (double)w[i];
            const double e_layer = ((double)x[i] - mean) * r_layer * (double)w[i] + (double)b[i];
            assert_true(fabs((double)rms[i] - e_rms) <= 1e-6 * fabs(e_rms));
            assert_true(fabs((double)layer[i] - e_layer) <= 3e-6 * (1 + fabs(e_layer)));
        }
    }
}

static void test_rope_rotates(void **unused)
{
    (void)unused;
    enum { N = 32 };
    float x[2 * N], y[2 * N], c[N], s[N];
    for (int i = 0; i < N; i++) {
        const double angle = 7.0 * pow(10000.0, -(double)i / N);
        c[i] = (float)cos(angle), s[i] = (float)sin(angle);
        y[i] = x[i] = random_value(USUAL), y[N + i] = x[N + i] = random_value(USUAL);
    }
    scalar.rope(y, c, s, N);
    for (int i = 0; i < N; i++) {
        const double x0 = (double)x[i], x1 = (double)x[N + i], ci = (double)c[i], si = (double)s[i];
        assert_true(fabs((double)y[i] - (x0 * ci - x1 * si)) <= 1e-6);
        assert_true(fabs((double)y[N + i] - (x0 * si + x1 * ci)) <= 1e-6);
    }
}

/* One head over two segments of two tiles: scores, online softmax, values, merge. */
enum { HEAD = 64, KEYS = 4 * NIB_TILE };

struct head {
    float q[HEAD];
    float keys[KEYS / NIB_TILE][HEAD][NIB_TILE];
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
        k->scores[NIB_CACHE_F32](s, NIB_TILE, h->q, HEAD, h->keys[t], NIB_TILE, 1, HEAD, NIB_TILE);
        const float factor = k->softmax_tile(state, s, begin, end);
        k->values[NIB_CACHE_F32](acc, HEAD, &factor, s, NIB_TILE, &begin, &end, h->values[t], HEAD,
                                 1, HEAD);
    }
}

static void attend_exactly(const struct head *h, size_t n_keys, double out[HEAD])
{
    double s[KEYS], max = -INFINITY, sum = 0;
    memset(out, 0, HEAD * sizeof(*out));
    for (size_t i = 0; i < n_keys; i++) {
        s[i] = 0;
        for (int d = 0; d < HEAD; d++)
            s[i] += (double)h->q[d] * (double)h->keys[i / NIB_TILE][d][i % NIB_TILE];
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
        cmocka_unit_test(test_levels_are_within_features),
        cmocka_unit_test(test_every_level_fills_every_entry),
        cmocka_unit_test(test_norms_equal_scalar),
        cmocka_unit_test(test_rope_equals_scalar),
        cmocka_unit_test(test_activations_equal_scalar),
        cmocka_unit_test(test_activations_equal_scalar_over_all_magnitudes),
        cmocka_unit_test(test_elementwise_equals_scalar),
        cmocka_unit_test(test_halves_convert_exactly),
        cmocka_unit_test(test_quantisation_equals_scalar),
        cmocka_unit_test(test_quantisation_follows_its_definition),
        cmocka_unit_test(test_quantisation_marks_blocks_without_a_scale),
        cmocka_unit_test(test_scores_equal_scalar),
        cmocka_unit_test(test_values_equal_scalar),
        cmocka_unit_test(test_softmax_equals_scalar),
        cmocka_unit_test(test_softmax_of_no_keys_changes_nothing),
        cmocka_unit_test(test_merge_equals_scalar),
        cmocka_unit_test(test_exp_is_within_2_ulp),
        cmocka_unit_test(test_activations_are_accurate),
        cmocka_unit_test(test_norms_are_accurate),
        cmocka_unit_test(test_rope_rotates),
        cmocka_unit_test(test_attention_is_accurate),
    };
    return cmocka_run_group_tests(tests, find_backends, NULL);
}
