/*
 * Matrix products over packed weights, for one instruction set.  The including file defines
 *
 *     MATMUL_INIT      name of the function that fills the table
 *     MATMUL_AVX512    1: a vector is the 16 rows of a group; 0: half of them, in 256 bits
 *     MATMUL_VNNI      1: vpdpbusd; 0: vpmaddubsw, whose pairs are kept inside int16 (see below)
 *     MATMUL_NARROW    tokens of the widest tile with weights as they lie
 *     MATMUL_WIDE      tokens of the widest tile with weights unpacked before, for more than two
 *                      narrow tiles
 *
 * A tile keeps its sums in registers and walks the columns once: weights are unpacked once for all
 * of its tokens, activations are broadcast from memory.  Tiling is free: every output element is
 * one chain in the order of docs/numerics.md.
 *
 * Without VNNI, products u8 x s8 are added in pairs to int16.  Codes below 16 make at most
 * 2 * 15 * 127 = 3810 a step, and the 8 steps of a block 30480 < 32768; 5 bits take 4 steps, 6 bits
 * 2.  8 bits, which have a zero point of 128, are multiplied without it, as their magnitude times
 * the activation with their sign, 2 * 128 * 127 = 32512, and widened at once.
 */
#include <string.h>

#include "kernels.h"
#include "matmul_codes.h"

/* Four activations, the same in every 32-bit lane. */
INLINE vint broadcast4(const int8_t *q)
{
    int32_t word;
    memcpy(&word, q, 4);
    return V(set1_epi32)(word);
}

/* Whether codes are multiplied without their zero point. */
INLINE bool is_signed(const int bits)
{
    return !MATMUL_VNNI && bits == 8;
}

/* A strip of weights: its codes, or signed ones and their magnitudes. */
struct strip {
    vint codes, sizes;
};

INLINE struct strip load_strip(const struct block_at *at, const int strip,
                               const struct nib_pack_info *info)
{
    const vint codes = strip_codes(at, strip, info);
    if (!is_signed(info->bits))
        return (struct strip){.codes = codes};
    const vint w = V(sub_epi8)(codes, V(set1_epi8)((char)(1 << info->zero_shift)));
    return (struct strip){w, V(abs_epi8)(w)};
}

/* x with the sign of w; anything where w is 0. */
INLINE vint with_sign(vint x, vint w)
{
#if MATMUL_AVX512
    return _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), _mm512_setzero_si512(), x);
#else
    return _mm256_sign_epi8(x, w);
#endif
}

/* int16 sums to int32 on top of idot. */
INLINE vint widen(vint idot, vint sum)
{
    return V(add_epi32)(idot, V(madd_epi16)(sum, V(set1_epi16)(1)));
}

/* Steps that int16 sums hold, of codes of so many bits; 0: sums are of int32. */
INLINE int steps_of_bits(const int bits)
{
    return MATMUL_VNNI || bits == 8 ? 0 : bits <= 4 ? 8 : bits == 5 ? 4 : 2;
}

/* sum += the dot of a strip of codes of so many bits, exactly. */
INLINE vint dot(vint sum, struct strip w, vint x, const int bits)
{
#if MATMUL_VNNI && MATMUL_AVX512
    (void)bits;
    return _mm512_dpbusd_epi32(sum, w.codes, x);
#elif MATMUL_VNNI
    (void)bits;
    return _mm256_dpbusd_avx_epi32(sum, w.codes, x);
#else
    if (is_signed(bits))
        sum = widen(sum, V(maddubs_epi16)(w.sizes, with_sign(x, w.codes)));
    else
        sum = V(add_epi16)(sum, V(maddubs_epi16)(w.codes, x));
    /* else the compiler makes a tree of the additions, and runs out of registers */
    __asm__("" : "+v"(sum));
    return sum;
#endif
}

/* What the sum of high parts of 15-bit codes counts. */
INLINE vint high_part(vint idot)
{
    return V(slli_epi32)(idot, 7);
}

/* acc = fma((float)idot, dw * da, acc) */
INLINE vfloat scale_in(vfloat acc, vint idot, vfloat dw, const float *da)
{
    return V(fmadd_ps)(V(cvtepi32_ps)(idot), V(mul_ps)(dw, V(set1_ps)(*da)), acc);
}

/* -2^zero_shift isum, in every lane, of an element of the planes of zeros. */
INLINE vint zero_share(const int32_t *zero, const size_t n_parts, const int zero_shift)
{
    const int up = zero_shift - nib_act_zero_shift(n_parts);
    const vint all = V(set1_epi32)(*zero);
    return up < 0 ? V(srai_epi32)(all, up < 0 ? -up : 0) : V(slli_epi32)(all, up < 0 ? 0 : up);
}

/* n of 1 to 4 numbers, then zeros. */
INLINE __m128i load_upto4(const void *p, const int n)
{
    if (n == 4)
        return _mm_loadu_si128((const __m128i *)p);
    if (n == 2)
        return _mm_loadl_epi64((const __m128i *)p);
    if (n == 1)
        return _mm_loadu_si32(p);
    const __m128i mask = _mm_setr_epi32(-1, -1, -1, 0);
    return _mm_maskload_epi32((const int *)p, mask);
}

/*
 * What the minimum of a run of columns is multiplied with, for tokens t..: of 32 columns it is
 * there already, of 16 it comes into `room`, for n tokens rounded up to 4.
 */
INLINE const float *min_factors(float *room, const struct nib_act *x, size_t run, size_t t,
                                const int n, const bool is_half)
{
    if (!is_half)
        return x->s + run * x->n_rows + t;
    const int32_t *zero = x->zero_half + run * x->n_rows + t;
    const int down = nib_act_zero_shift(x->n_parts);
    const float *d = x->d + run / 2 * x->n_rows + t;
    UNROLL for (int i = 0; i < n; i += 4)
    {
        const int count = n - i < 4 ? n - i : 4;
        const __m128i nsum = _mm_srai_epi32(load_upto4(zero + i, count), down);
        const __m128i isum = _mm_sub_epi32(_mm_setzero_si128(), nsum);
        const __m128 scale = _mm_castsi128_ps(load_upto4(d + i, count));
        _mm_storeu_ps(room + i, _mm_mul_ps(scale, _mm_cvtepi32_ps(isum)));
    }
    return room;
}

/* The results of rows [row, row + LANES) for n tokens from t on. */
INLINE void store_sums(const struct nib_matmul *m, size_t row, size_t t, const vfloat *sums,
                       const int n)
{
    float *y = m->y + (t - m->token_begin) * m->y_stride + row - m->group_begin * NIB_GROUP;
    /* x + -0 is x, for either zero too */
    const vfloat bias = m->bias ? V(loadu_ps)(m->bias + row) : V(set1_ps)(-0.0f);
    UNROLL for (int i = 0; i < n; i++, y += m->y_stride)
    {
        const vfloat sum = V(add_ps)(sums[i], bias);
        V(storeu_ps)(y, m->accumulate ? V(add_ps)(V(loadu_ps)(y), sum) : sum);
    }
}

/* Strip i of a block in an order that lets neighbours share what they are unpacked from. */
INLINE int strip_at(const int i, const bool is_half)
{
    return is_half ? i : i / 2 + i % 2 * 4;
}

#include "matmul_float.h"
#include "matmul_narrow.h"

/* Some groups for some tokens, of one packing. */
typedef void matmul_narrow_fn(const struct nib_matmul *m, size_t group_begin, size_t group_end,
                              size_t token_begin, size_t token_end);

#include "matmul_wide.h"

INLINE void matmul_codes(const struct nib_matmul *m, matmul_narrow_fn *narrow,
                         const enum nib_pack pack)
{
    if ((m->token_end - m->token_begin) * m->x->n_parts > 2 * MATMUL_NARROW)
        matmul_wide(m, narrow, &nib_packs[pack]);
    else
        narrow(m, m->group_begin, m->group_end, m->token_begin, m->token_end);
}

#define FLOAT_MATMUL(pack)                                                                         \
    static void matmul_##pack(const struct nib_matmul *m)                                          \
    {                                                                                              \
        matmul_floats(m, NIB_PACK_##pack);                                                         \
    }
#define CODE_MATMUL(pack)                                                                          \
    static __attribute__((noinline)) void narrow_##pack(const struct nib_matmul *m,                \
                                                        size_t group_begin, size_t group_end,      \
                                                        size_t token_begin, size_t token_end)      \
    {                                                                                              \
        matmul_narrow(m, group_begin, group_end, token_begin, token_end,                           \
                      &nib_packs[NIB_PACK_##pack]);                                                \
    }                                                                                              \
    static void matmul_##pack(const struct nib_matmul *m)                                          \
    {                                                                                              \
        matmul_codes(m, narrow_##pack, NIB_PACK_##pack);                                           \
    }
#define ENTRY(pack) k->matmul[NIB_PACK_##pack] = matmul_##pack;

NIB_FLOAT_PACKS(FLOAT_MATMUL)
NIB_CODE_PACKS(CODE_MATMUL)

void MATMUL_INIT(struct nib_kernels *k)
{
    NIB_FLOAT_PACKS(ENTRY)
    NIB_CODE_PACKS(ENTRY)
}
