/*
 * What kernel tests share, in the manner of dav1d's checkasm: the backends that this CPU can run
 * beside scalar, random and extreme values, buffers between unreadable pages, and comparing bit for
 * bit.  NIB_TEST_SHAPES is the number of random shapes for each entry and backend (100; a full run
 * takes 20000).
 */
#ifndef NIB_TEST_KERNEL_CHECK_H
#define NIB_TEST_KERNEL_CHECK_H

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

#include "guard.h"
#include "half.h"
#include "kernels.h"

/* ---- backends -------------------------------------------------------------------------------- */

enum { MAX_BACKENDS = 8 };

static struct nib_kernels scalar, backends[MAX_BACKENDS];
static int n_backends; /* without scalar */
static int n_shapes = 100;

/* The group setup of every kernel test. */
static inline int find_backends(void **unused)
{
    (void)unused;
    const char *const shapes = getenv("NIB_TEST_SHAPES");
    if (shapes)
        n_shapes = atoi(shapes);
    const unsigned available = nib_cpu_features();
    printf("levels: %s; %d random shapes for each entry\n", nib_isa_list(available), n_shapes);
    nib_kernels_init(&scalar, 0);

    char list[128];
    snprintf(list, sizeof(list), "%s", nib_isa_list(available));
    for (char *isa = strtok(list, " "); isa; isa = strtok(NULL, " ")) {
        unsigned features;
        if (!nib_isa_features(isa, &features) || (features & ~available) != 0 ||
            n_backends == MAX_BACKENDS)
            return -1;
        if (features != 0)
            nib_kernels_init(&backends[n_backends++], features);
    }
    return 0;
}

/* ---- random values --------------------------------------------------------------------------- */

static uint64_t random_state = 1;

/* SplitMix64 (Steele, Lea and Flood). */
static inline uint64_t random_bits(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static inline size_t random_below(size_t n)
{
    return (size_t)(random_bits() % n);
}

static inline float random_unit(void)
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

static inline float random_value(enum values values)
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

static inline enum values some_values(int shape)
{
    return (enum values)(shape % VALUES_COUNT);
}

/* Shapes [0, N_LENGTHS) are every small length; then mostly small, as mistakes are past the whole
 * vectors. */
enum { N_LENGTHS = 70 };

static inline size_t some_length(int shape)
{
    static const size_t large[] = {576, 1536, 1000, 128, 2049};
    if (shape < N_LENGTHS)
        return (size_t)shape;
    return random_below(4) == 0 ? large[random_below(5)] : 1 + random_below(300);
}

/* ---- buffers --------------------------------------------------------------------------------- */

struct buffer {
    void *p;
    size_t n_bytes, align;
};

/* Now right in front of an unreadable page, now right behind one. */
static inline struct buffer buffer_of(size_t n_bytes, size_t align)
{
    const enum guard_side side = random_below(3) == 0 ? GUARD_BELOW : GUARD_ABOVE;
    return (struct buffer){guard_alloc_side(n_bytes, align, side), n_bytes, align};
}

static inline struct buffer floats(size_t n)
{
    return buffer_of(n * sizeof(float), sizeof(float));
}

static inline struct buffer random_floats(size_t n, enum values values)
{
    const struct buffer b = floats(n);
    for (size_t i = 0; i < n; i++)
        ((float *)b.p)[i] = random_value(values);
    return b;
}

static inline struct buffer copy_of(struct buffer source)
{
    const struct buffer b = buffer_of(source.n_bytes, source.align);
    memcpy(b.p, source.p, source.n_bytes);
    return b;
}

static inline void release(struct buffer b)
{
    assert_true(guard_free(b.p, b.n_bytes, b.align));
}

/* ---- comparing ------------------------------------------------------------------------------- */

/* NaNs are equal whatever their payload. */
static inline bool same_float(float a, float b)
{
    return nib_float_bits(a) == nib_float_bits(b) || (isnan(a) && isnan(b));
}

static inline void assert_same_floats(const char *what, const struct nib_kernels *k,
                                      const float *expected, const float *got, size_t n)
{
    if (n == 0 || memcmp(expected, got, n * sizeof(*got)) == 0)
        return;
    for (size_t i = 0; i < n; i++)
        if (!same_float(expected[i], got[i]))
            fail_msg("%s on %s: [%zu] of %zu is %a, scalar gives %a", what, k->name, i, n,
                     (double)got[i], (double)expected[i]);
}

static inline void assert_same(const char *what, const struct nib_kernels *k,
                               struct buffer expected, struct buffer got)
{
    assert_same_floats(what, k, expected.p, got.p, expected.n_bytes / sizeof(float));
}

#endif
