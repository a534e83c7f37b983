/*
 * The loops of peak.h for one instruction set.  The including file defines
 *
 *     PEAK           name of the table
 *     PEAK_ISA       name of the level
 *     PEAK_AVX512    1: 512 bits; 0: 256
 *     PEAK_VNNI      1: vpdpbusd; 0: vpmaddubsw, sums of int16, vpmaddwd
 *
 * Every loop has 12 chains, more than latency x throughput of any CPU so far, in registers.
 */
#include "peak.h"

#include <immintrin.h>

#if PEAK_AVX512
typedef __m512i vint;
typedef __m512 vfloat;
#define V(op)      _mm512_##op
#define SI(op)     _mm512_##op##_si512
#define KEEP       "+v"
#define WIDTH_IN   "zmm"
#define LANE_BYTES 64
#else
typedef __m256i vint;
typedef __m256 vfloat;
#define V(op)      _mm256_##op
#define SI(op)     _mm256_##op##_si256
#define KEEP       "+x"
#define WIDTH_IN   "ymm"
#define LANE_BYTES 32
#endif

#define UNROLL _Pragma("GCC unroll 16")

enum { CHAINS = 12 };

/* Makes the compiler believe that the register changes, so that it moves nothing out of a loop. */
#define OPAQUE(x) __asm__ volatile("" : KEEP(x))

#if PEAK_VNNI

static void multiply_bytes(size_t n_rounds)
{
    vint sum[CHAINS], codes = V(set1_epi8)(3), x = V(set1_epi8)(-5);
    UNROLL for (int i = 0; i < CHAINS; i++) sum[i] = SI(setzero)();
    for (size_t round = 0; round < n_rounds; round++)
        UNROLL for (int i = 0; i < CHAINS; i++)
        {
#if PEAK_AVX512
            sum[i] = _mm512_dpbusd_epi32(sum[i], codes, x);
#else
            sum[i] = _mm256_dpbusd_avx_epi32(sum[i], codes, x);
#endif
            OPAQUE(sum[i]);
        }
}

#define INTEGERS(name, n_steps)                                                                    \
    {                                                                                              \
        "vpdpbusd " WIDTH_IN, 2.0 * LANE_BYTES *CHAINS, multiply_bytes                             \
    }

#else

enum { SUMS = CHAINS / 2 };

/* Products are added in int16 for n_steps, then widened. */
static inline __attribute__((always_inline)) void multiply_bytes(size_t n_rounds, int n_steps)
{
    vint sum[SUMS], wide[SUMS], codes = V(set1_epi8)(3), x = V(set1_epi8)(-5);
    const vint one = V(set1_epi16)(1);
    UNROLL for (int i = 0; i < SUMS; i++) wide[i] = SI(setzero)();
    for (size_t round = 0; round < n_rounds; round++) {
        UNROLL for (int step = 0; step < n_steps; step++) UNROLL for (int i = 0; i < SUMS; i++)
        {
            OPAQUE(codes);
            const vint products = V(maddubs_epi16)(codes, x);
            sum[i] = step == 0 ? products : V(add_epi16)(sum[i], products);
            OPAQUE(sum[i]);
        }
        UNROLL for (int i = 0; i < SUMS; i++)
        {
            wide[i] = V(add_epi32)(wide[i], V(madd_epi16)(sum[i], one));
            OPAQUE(wide[i]);
        }
    }
}

#define LOOP(n_steps)                                                                              \
    static void multiply_bytes_##n_steps(size_t n_rounds)                                          \
    {                                                                                              \
        multiply_bytes(n_rounds, n_steps);                                                         \
    }
LOOP(8)
LOOP(4)
LOOP(2)
LOOP(1)

#define INTEGERS(name, n_steps)                                                                    \
    {                                                                                              \
        name " " WIDTH_IN, 2.0 * LANE_BYTES *SUMS *n_steps, multiply_bytes_##n_steps               \
    }

#endif

static void multiply_floats(size_t n_rounds)
{
    vfloat sum[CHAINS], a = V(set1_ps)(0.5f), b = V(set1_ps)(0.25f);
    UNROLL for (int i = 0; i < CHAINS; i++) sum[i] = V(setzero_ps)();
    for (size_t round = 0; round < n_rounds; round++)
        UNROLL for (int i = 0; i < CHAINS; i++)
        {
            sum[i] = V(fmadd_ps)(sum[i], a, b);
            OPAQUE(sum[i]);
        }
}

/* Four streams, which the CPU's prefetchers follow each, and the widest loads, which keep the most
 * bytes under way. */
static void read_all(const void *data, size_t n_bytes)
{
    enum { STREAMS = 4, STEP = 256 };
    const size_t part = n_bytes / STREAMS;
    vint sum[4];
    UNROLL for (int i = 0; i < 4; i++) sum[i] = SI(setzero)();
    for (size_t at = 0; at < part; at += STEP)
        UNROLL for (int s = 0; s < STREAMS; s++)
        {
            const char *p = (const char *)data + (size_t)s * part + at;
            UNROLL for (int i = 0; i < STEP / LANE_BYTES; i++) sum[i % 4] =
                SI(or)(sum[i % 4], SI(loadu)((const void *)(p + i * LANE_BYTES)));
        }
    UNROLL for (int i = 0; i < 4; i++) OPAQUE(sum[i]);
}

const struct nib_peak PEAK = {
    .isa = PEAK_ISA,
    .integers = {INTEGERS("vpmaddubsw x 8, vpmaddwd", 8), INTEGERS("vpmaddubsw x 4, vpmaddwd", 4),
                 INTEGERS("vpmaddubsw x 2, vpmaddwd", 2), INTEGERS("vpmaddubsw, vpmaddwd", 1)},
    .floats = {"vfmadd " WIDTH_IN, 2.0 * LANE_BYTES / 4 * CHAINS, multiply_floats},
    .read = read_all,
};
