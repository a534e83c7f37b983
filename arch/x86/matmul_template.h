/*
 * Matrix products over packed weights, for one instruction set.  The including file defines
 *
 *     MATMUL_INIT      name of the function that fills the table
 *     MATMUL_AVX512    1: a vector is the 16 rows of a group; 0: half of them, in 256 bits
 *     MATMUL_VNNI      1: vpdpbusd; 0: vpmaddubsw, whose pairs are kept inside int16 (see below)
 *     MATMUL_TOKENS    tokens of the widest tile, 1..12
 *
 * A tile keeps its sums in registers and walks the columns once: weights are unpacked once for all
 * of its tokens, activations are broadcast from memory.  Tiling is free: every output element is
 * one chain in the order of docs/numerics.md.
 *
 * Without VNNI, products u8 x s8 are added in pairs to int16.  Nibbles: 2 * 15 * 127 = 3810 a step,
 * and the 8 steps of a block make 30480 < 32768.  6 bits: 16002, so 2 steps.  8 bits do not fit:
 * the code is split, q = 16 high + low, and both nibbles are summed apart.
 */
#include "kernels.h"

#include <immintrin.h>
#include <string.h>

#if MATMUL_AVX512
enum { LANES = 16 };
typedef __m512i vint;
typedef __m512 vfloat;
#define V(op)             _mm512_##op
#define vint_load(p)      _mm512_loadu_si512((const void *)(p))
#define vint_and(a, b)    _mm512_and_si512(a, b)
#define vint_or(a, b)     _mm512_or_si512(a, b)
#define vint_zero()       _mm512_setzero_si512()
#define vfloat_f16(p)     _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(p)))
#define vint_u8(p)        _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define vint_s8(p)        _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define vint_u16(p)       _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(p)))
#define vfloat_of_bits(v) _mm512_castsi512_ps(v)
#else
enum { LANES = 8 };
typedef __m256i vint;
typedef __m256 vfloat;
#define V(op)             _mm256_##op
#define vint_load(p)      _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define vint_and(a, b)    _mm256_and_si256(a, b)
#define vint_or(a, b)     _mm256_or_si256(a, b)
#define vint_zero()       _mm256_setzero_si256()
#define vfloat_f16(p)     _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define vint_u8(p)        _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p)))
#define vint_s8(p)        _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p)))
#define vint_u16(p)       _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define vfloat_of_bits(v) _mm256_castsi256_ps(v)
#endif

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum { MAX_TOKENS = MATMUL_TOKENS };

/* Four activations, the same in every 32-bit lane. */
INLINE vint broadcast4(const int8_t *q)
{
    int32_t word;
    memcpy(&word, q, 4);
    return V(set1_epi32)(word);
}

/* ---- integer dots of one block: idot[t] starts as the zero point's share -------------------- */

/* sum += the dot of a strip, exactly; without VNNI in int16. */
INLINE vint dot(vint sum, vint codes, vint x)
{
#if MATMUL_VNNI && MATMUL_AVX512
    return _mm512_dpbusd_epi32(sum, codes, x);
#elif MATMUL_VNNI
    return _mm256_dpbusd_avx_epi32(sum, codes, x);
#else
    return V(add_epi16)(sum, V(maddubs_epi16)(codes, x));
#endif
}

/* int16 sums to int32, times `factor`, on top of idot.  With VNNI the sums are int32 already. */
INLINE vint widen(vint idot, vint sum, short factor)
{
#if MATMUL_VNNI
    (void)idot, (void)factor;
    return sum;
#else
    return V(add_epi32)(idot, V(madd_epi16)(sum, V(set1_epi16)(factor)));
#endif
}

/* -zero * isum of the block, from its negated sum. */
INLINE vint zero_start(const int32_t *nsum, int shift)
{
    return V(slli_epi32)(V(set1_epi32)(*nsum), shift);
}

/* 4 + 2 bits: strip `strip` of a block whose low nibbles and high bits are at hand. */
INLINE vint six_bits(vint nibble, vint high, int i)
{
    const vint mask = V(set1_epi8)(0x30);
    switch (i) {
    case 0:
        return vint_or(nibble, vint_and(V(slli_epi32)(high, 4), mask));
    case 1:
        return vint_or(nibble, vint_and(V(slli_epi32)(high, 2), mask));
    case 2:
        return vint_or(nibble, vint_and(high, mask));
    default:
        return vint_or(nibble, vint_and(V(srli_epi32)(high, 2), mask));
    }
}

/* A block of nibbles: codes at w (units 64 bytes apart), activations of token t at q + 32 t. */
INLINE void block_nibbles(vint idot[], const uint8_t *w, const int8_t *q, int n)
{
    const vint mask = V(set1_epi8)(15);
    vint sum[MAX_TOKENS];
    UNROLL for (int t = 0; t < n; t++) sum[t] = MATMUL_VNNI ? idot[t] : vint_zero();
    UNROLL for (int unit = 0; unit < 4; unit++)
    {
        const vint bytes = vint_load(w + unit * 64);
        const vint low = vint_and(bytes, mask);
        const vint high = vint_and(V(srli_epi32)(bytes, 4), mask);
        UNROLL for (int t = 0; t < n; t++) sum[t] =
            dot(sum[t], low, broadcast4(q + t * NIB_BLOCK + unit * 4));
        UNROLL for (int t = 0; t < n; t++) sum[t] =
            dot(sum[t], high, broadcast4(q + t * NIB_BLOCK + 16 + unit * 4));
    }
    UNROLL for (int t = 0; t < n; t++) idot[t] = widen(idot[t], sum[t], 1);
}

INLINE void block_bytes(vint idot[], const uint8_t *w, const int8_t *q, int n)
{
#if MATMUL_VNNI
    UNROLL for (int strip = 0; strip < 8; strip++)
    {
        const vint bytes = vint_load(w + strip * 64);
        UNROLL for (int t = 0; t < n; t++) idot[t] =
            dot(idot[t], bytes, broadcast4(q + t * NIB_BLOCK + strip * 4));
    }
#else
    const vint mask = V(set1_epi8)(15);
    UNROLL for (int pass = 0; pass < 2; pass++)
    {
        vint sum[MAX_TOKENS];
        UNROLL for (int t = 0; t < n; t++) sum[t] = vint_zero();
        UNROLL for (int strip = 0; strip < 8; strip++)
        {
            const vint bytes = vint_load(w + strip * 64);
            const vint nibble = vint_and(pass ? V(srli_epi32)(bytes, 4) : bytes, mask);
            UNROLL for (int t = 0; t < n; t++) sum[t] =
                dot(sum[t], nibble, broadcast4(q + t * NIB_BLOCK + strip * 4));
        }
        UNROLL for (int t = 0; t < n; t++) idot[t] = widen(idot[t], sum[t], pass ? 16 : 1);
    }
#endif
}

/* Half a block (strips 4 half .. 4 half + 3) of 6-bit codes. */
INLINE void half_block_six(vint idot[], const uint8_t *w, const uint8_t *w_high, const int8_t *q,
                           int half, int n)
{
    const vint mask = V(set1_epi8)(15);
    const vint high = vint_load(w_high + half * 64);
    UNROLL for (int pair = 0; pair < 2; pair++)
    {
        vint sum[MAX_TOKENS];
        UNROLL for (int t = 0; t < n; t++) sum[t] = MATMUL_VNNI ? idot[t] : vint_zero();
        UNROLL for (int i = 2 * pair; i < 2 * pair + 2; i++)
        {
            const vint bytes = vint_load(w + i * 64);
            const vint nibble = vint_and(half ? V(srli_epi32)(bytes, 4) : bytes, mask);
            const vint codes = six_bits(nibble, high, i);
            UNROLL for (int t = 0; t < n; t++) sum[t] =
                dot(sum[t], codes, broadcast4(q + t * NIB_BLOCK + half * 16 + i * 4));
        }
        UNROLL for (int t = 0; t < n; t++) idot[t] = widen(idot[t], sum[t], 1);
    }
}

/* acc = fma((float)idot, dw * da, acc) */
INLINE void scale_in(vfloat acc[], const vint idot[], vfloat dw, const float *da, int n)
{
    UNROLL for (int t = 0; t < n; t++) acc[t] =
        V(fmadd_ps)(V(cvtepi32_ps)(idot[t]), V(mul_ps)(dw, V(set1_ps)(da[t])), acc[t]);
}

/* acc = fma(mw, sa, acc) */
INLINE void min_in(vfloat acc[], vfloat mw, const float *sa, int n)
{
    UNROLL for (int t = 0; t < n; t++) acc[t] = V(fmadd_ps)(mw, V(set1_ps)(sa[t]), acc[t]);
}

/* ---- tiles: rows [row, row + LANES) of a group, tokens [t0, t0 + n) ------------------------- */

INLINE void store_tile(const struct nib_matmul *m, size_t g, size_t row, size_t t0,
                       const vfloat acc[], int n)
{
    UNROLL for (int t = 0; t < n; t++)
    {
        float *y = m->y + (t0 + (size_t)t - m->token_begin) * m->y_stride +
                   (g - m->group_begin) * NIB_GROUP + row;
        vfloat sum = acc[t];
        if (m->bias)
            sum = V(add_ps)(sum, V(loadu_ps)(m->bias + g * NIB_GROUP + row));
        if (m->accumulate)
            sum = V(add_ps)(V(loadu_ps)(y), sum);
        V(storeu_ps)(y, sum);
    }
}

/* One scale per 32 columns: Q4_0, Q4_1, Q8_0. */
INLINE void tile_simple(const struct nib_matmul *m, size_t g, size_t row, size_t t0, const int n,
                        const int bits, const int zero_shift, const bool has_min)
{
    const struct nib_act *x = m->x;
    const size_t n_blocks = m->w->n_cols / NIB_BLOCK, stride = x->n_rows;
    const uint8_t *group = m->w->data + g * m->w->planes.n_bytes;
    const uint8_t *codes = group + row * 4;
    const uint8_t *scale = group + m->w->planes.scale + row * 2;
    const uint8_t *min = group + m->w->planes.min + row * 2;
    const int8_t *q = x->q + t0 * NIB_BLOCK;
    const float *d = x->d + t0, *s = x->s + t0;
    const int32_t *nsum = x->nsum + t0;
    vfloat acc[MAX_TOKENS];
    UNROLL for (int t = 0; t < n; t++) acc[t] = V(setzero_ps)();
    for (size_t b = 0; b < n_blocks; b++) {
        vint idot[MAX_TOKENS];
        UNROLL for (int t = 0; t < n; t++) idot[t] =
            zero_shift ? zero_start(nsum + t, zero_shift) : vint_zero();
        if (bits == 8)
            block_bytes(idot, codes, q, n);
        else
            block_nibbles(idot, codes, q, n);
        scale_in(acc, idot, vfloat_f16(scale), d, n);
        if (has_min)
            min_in(acc, vfloat_f16(min), s, n);
        if (n <= 2) { /* few tokens: a stream through memory, whose planes are too short for the CPU
                         to follow by itself */
            const size_t ahead = m->w->planes.n_bytes;
            for (int line = 0; line < (bits == 8 ? 8 : 4); line++)
                _mm_prefetch((const char *)codes + ahead + line * 64, _MM_HINT_T0);
            _mm_prefetch((const char *)scale + ahead, _MM_HINT_T0);
            if (has_min)
                _mm_prefetch((const char *)min + ahead, _MM_HINT_T0);
        }
        codes += bits == 8 ? 512 : 256;
        scale += 32;
        min += 32;
        q += stride * NIB_BLOCK;
        d += stride;
        s += stride;
        nsum += stride;
    }
    store_tile(m, g, row, t0, acc, n);
}

/* dw = d * sc, mw = -(dmin * m) for each 32 of 256 columns. */
INLINE void tile_q4_k(const struct nib_matmul *m, size_t g, size_t row, size_t t0, const int n)
{
    const struct nib_act *x = m->x;
    const size_t n_blocks = m->w->n_cols / NIB_BLOCK, stride = x->n_rows;
    const uint8_t *group = m->w->data + g * m->w->planes.n_bytes;
    const vfloat minus = V(set1_ps)(-0.0f);
    vfloat acc[MAX_TOKENS];
    UNROLL for (int t = 0; t < n; t++) acc[t] = V(setzero_ps)();
    for (size_t b = 0; b < n_blocks; b++) {
        const uint8_t *super = group + m->w->planes.super + b / 8 * 64 + row * 2;
        const uint8_t *scale = group + m->w->planes.scale + b * 16 + row;
        const uint8_t *min = group + m->w->planes.min + b * 16 + row;
        vint idot[MAX_TOKENS];
        UNROLL for (int t = 0; t < n; t++) idot[t] = vint_zero();
        block_nibbles(idot, group + b * 256 + row * 4, x->q + (b * stride + t0) * NIB_BLOCK, n);
        const vfloat dw = V(mul_ps)(vfloat_f16(super), V(cvtepi32_ps)(vint_u8(scale)));
        const vfloat mw = V(mul_ps)(vfloat_f16(super + 32), V(cvtepi32_ps)(vint_u8(min)));
        scale_in(acc, idot, dw, x->d + b * stride + t0, n);
        min_in(acc, V(xor_ps)(mw, minus), x->s + b * stride + t0, n);
    }
    store_tile(m, g, row, t0, acc, n);
}

/* dw = d * sc for each 16 of 256 columns; zero point 32. */
INLINE void tile_q6_k(const struct nib_matmul *m, size_t g, size_t row, size_t t0, const int n)
{
    const struct nib_act *x = m->x;
    const size_t n_blocks = m->w->n_cols / NIB_BLOCK, stride = x->n_rows;
    const uint8_t *group = m->w->data + g * m->w->planes.n_bytes;
    vfloat acc[MAX_TOKENS];
    UNROLL for (int t = 0; t < n; t++) acc[t] = V(setzero_ps)();
    for (size_t b = 0; b < n_blocks; b++) {
        const vfloat d = vfloat_f16(group + m->w->planes.super + b / 8 * 32 + row * 2);
        UNROLL for (int half = 0; half < 2; half++)
        {
            const size_t part = b * 2 + (size_t)half;
            vint idot[MAX_TOKENS];
            UNROLL for (int t = 0; t < n; t++) idot[t] =
                zero_start(x->nsum_half + part * stride + t0 + (size_t)t, 5);
            half_block_six(idot, group + b * 256 + row * 4,
                           group + m->w->planes.high + b * 128 + row * 4,
                           x->q + (b * stride + t0) * NIB_BLOCK, half, n);
            const uint8_t *scale = group + m->w->planes.scale + part * 16 + row;
            const vfloat dw = V(mul_ps)(d, V(cvtepi32_ps)(vint_s8(scale)));
            scale_in(acc, idot, dw, x->d + b * stride + t0, n);
        }
    }
    store_tile(m, g, row, t0, acc, n);
}

INLINE vfloat load_weights(const uint8_t *p, const enum nib_pack pack)
{
    if (pack == NIB_PACK_F32)
        return V(loadu_ps)((const float *)(const void *)p);
    if (pack == NIB_PACK_F16)
        return vfloat_f16(p);
    return vfloat_of_bits(V(slli_epi32)(vint_u16(p), 16));
}

/* Float weights: n_groups x n chains at once, as each is a chain of dependent fmas. */
INLINE void tile_float(const struct nib_matmul *m, size_t g, size_t row, size_t t0, const int n,
                       const enum nib_pack pack, const int n_groups)
{
    const size_t size = pack == NIB_PACK_F32 ? 4 : 2;
    const size_t n_cols = m->w->n_cols, group_bytes = m->w->planes.n_bytes;
    const uint8_t *w = m->w->data + g * group_bytes + row * size;
    const float *x = m->x->f + t0 * m->x->stride;
    vfloat acc[8][4];
    UNROLL for (int i = 0; i < n_groups; i++) UNROLL for (int t = 0; t < n; t++) acc[i][t] =
        V(setzero_ps)();
    for (size_t k = 0; k < n_cols; k++) {
        UNROLL for (int i = 0; i < n_groups; i++)
        {
            const vfloat weights =
                load_weights(w + (size_t)i * group_bytes + k * NIB_GROUP * size, pack);
            UNROLL for (int t = 0; t < n; t++) acc[i][t] =
                V(fmadd_ps)(weights, V(set1_ps)(x[(size_t)t * m->x->stride + k]), acc[i][t]);
        }
    }
    UNROLL for (int i = 0; i < n_groups; i++) store_tile(m, g + (size_t)i, row, t0, acc[i], n);
}

/* ---- loops over tiles ----------------------------------------------------------------------- */

INLINE void tile_quantised(const struct nib_matmul *m, size_t g, size_t row, size_t t0, const int n,
                           const enum nib_pack pack)
{
    switch (pack) {
    case NIB_PACK_Q4_0:
        tile_simple(m, g, row, t0, n, 4, 3, false);
        break;
    case NIB_PACK_Q4_1:
        tile_simple(m, g, row, t0, n, 4, 0, true);
        break;
    case NIB_PACK_Q8_0:
        tile_simple(m, g, row, t0, n, 8, 7, false);
        break;
    case NIB_PACK_Q4_K:
        tile_q4_k(m, g, row, t0, n);
        break;
    default:
        tile_q6_k(m, g, row, t0, n);
        break;
    }
}

/* A switch turns the tile's width into a constant of its loops. */
INLINE void tile_of_width(const struct nib_matmul *m, size_t g, size_t row, size_t t0, size_t n,
                          const enum nib_pack pack)
{
    switch (n) {
#define WIDTH(i)                                                                                   \
    case i:                                                                                        \
        if (i <= MAX_TOKENS)                                                                       \
            tile_quantised(m, g, row, t0, i <= MAX_TOKENS ? i : 1, pack);                          \
        break;
        WIDTH(1)
        WIDTH(2)
        WIDTH(3) WIDTH(4) WIDTH(5) WIDTH(6) WIDTH(7) WIDTH(8) WIDTH(9) WIDTH(10) WIDTH(11) WIDTH(12)
#undef WIDTH
    }
}

/* Tiles as equal as they come: 13 tokens are 7 + 6, not 12 + 1.  Tokens are cut so that those of
 * one pass stay in L2 while all groups stream by. */
INLINE void matmul_quantised(const struct nib_matmul *m, const enum nib_pack pack)
{
    const size_t fit = (384 << 10) / (m->w->n_cols + 1) / MAX_TOKENS * MAX_TOKENS;
    const size_t pass = fit > MAX_TOKENS ? fit : MAX_TOKENS;
    for (size_t begin = m->token_begin; begin < m->token_end; begin += pass) {
        const size_t end = m->token_end - begin < pass ? m->token_end : begin + pass;
        const size_t n_tiles = (end - begin + MAX_TOKENS - 1) / MAX_TOKENS;
        for (size_t g = m->group_begin; g < m->group_end; g++)
            for (size_t i = 0; i < n_tiles; i++) {
                const size_t t0 = begin + (end - begin) * i / n_tiles;
                const size_t t1 = begin + (end - begin) * (i + 1) / n_tiles;
                for (size_t row = 0; row < NIB_GROUP; row += LANES)
                    tile_of_width(m, g, row, t0, t1 - t0, pack);
            }
    }
}

INLINE void matmul_floats(const struct nib_matmul *m, const enum nib_pack pack)
{
    for (size_t row = 0; row < NIB_GROUP; row += LANES) {
        size_t g = m->group_begin;
        for (; g + 4 <= m->group_end; g += 4) {
            size_t t = m->token_begin;
            for (; t + 2 <= m->token_end; t += 2)
                tile_float(m, g, row, t, 2, pack, 4);
            if (t < m->token_end)
                tile_float(m, g, row, t, 1, pack, 4);
        }
        for (; g < m->group_end; g++) {
            size_t t = m->token_begin;
            for (; t + 4 <= m->token_end; t += 4)
                tile_float(m, g, row, t, 4, pack, 1);
            for (; t < m->token_end; t++)
                tile_float(m, g, row, t, 1, pack, 1);
        }
    }
}

static void matmul_f32(const struct nib_matmul *m)
{
    matmul_floats(m, NIB_PACK_F32);
}

static void matmul_f16(const struct nib_matmul *m)
{
    matmul_floats(m, NIB_PACK_F16);
}

static void matmul_bf16(const struct nib_matmul *m)
{
    matmul_floats(m, NIB_PACK_BF16);
}

static void matmul_q4_0(const struct nib_matmul *m)
{
    matmul_quantised(m, NIB_PACK_Q4_0);
}

static void matmul_q4_1(const struct nib_matmul *m)
{
    matmul_quantised(m, NIB_PACK_Q4_1);
}

static void matmul_q8_0(const struct nib_matmul *m)
{
    matmul_quantised(m, NIB_PACK_Q8_0);
}

static void matmul_q4_k(const struct nib_matmul *m)
{
    matmul_quantised(m, NIB_PACK_Q4_K);
}

static void matmul_q6_k(const struct nib_matmul *m)
{
    matmul_quantised(m, NIB_PACK_Q6_K);
}

void MATMUL_INIT(struct nib_kernels *k)
{
    k->matmul[NIB_PACK_F32] = matmul_f32;
    k->matmul[NIB_PACK_F16] = matmul_f16;
    k->matmul[NIB_PACK_BF16] = matmul_bf16;
    k->matmul[NIB_PACK_Q4_0] = matmul_q4_0;
    k->matmul[NIB_PACK_Q4_1] = matmul_q4_1;
    k->matmul[NIB_PACK_Q8_0] = matmul_q8_0;
    k->matmul[NIB_PACK_Q4_K] = matmul_q4_k;
    k->matmul[NIB_PACK_Q6_K] = matmul_q6_k;
}
