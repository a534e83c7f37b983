/*
 * Packed weights in vectors, for one instruction set: the codes of a strip and the scales of a run
 * of columns, of any packing.  All of it is inlined where the packing is a constant.
 *
 * A vector is the 16 rows of a group with AVX-512, else 8 of them: `row` is 0 or 8.
 */
#ifndef NIB_MATMUL_CODES_H
#define NIB_MATMUL_CODES_H

#include <immintrin.h>

#include "pack_table.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

#if MATMUL_AVX512
enum { LANES = 16 };
typedef __m512i vint;
typedef __m512 vfloat;
#define V(op)             _mm512_##op
#define vint_load(p)      _mm512_loadu_si512((const void *)(p))
#define vint_store(p, v)  _mm512_storeu_si512((void *)(p), v)
#define vint_and(a, b)    _mm512_and_si512(a, b)
#define vint_or(a, b)     _mm512_or_si512(a, b)
#define vint_zero()       _mm512_setzero_si512()
#define vint_table(p)     _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define vfloat_f16(p)     _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(p)))
#define vint_u8(p)        _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define vint_s8(p)        _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define vint_u16(p)       _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(p)))
#define vfloat_of_bits(v) _mm512_castsi512_ps(v)
#else
enum { LANES = 8 };
typedef __m256i vint;
typedef __m256 vfloat;
#define V(op)            _mm256_##op
#define vint_load(p)     _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define vint_store(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define vint_and(a, b)   _mm256_and_si256(a, b)
#define vint_or(a, b)    _mm256_or_si256(a, b)
#define vint_zero()      _mm256_setzero_si256()
#define vint_table(p)                                                                              \
    _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define vfloat_f16(p)     _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define vint_u8(p)        _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p)))
#define vint_s8(p)        _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p)))
#define vint_u16(p)       _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define vfloat_of_bits(v) _mm256_castsi256_ps(v)
#endif

/* ---- codes ----------------------------------------------------------------------------------- */

/* Where the codes of one block of some rows lie. */
struct block_at {
    const uint8_t *codes, *two, *one;
};

INLINE struct block_at block_at(const struct nib_matrix *w, const uint8_t *group, size_t row,
                                size_t block, const struct nib_pack_info *info)
{
    return (struct block_at){
        .codes = group + block * info->codes + row * 4,
        .two = group + w->planes.two + block * info->two + row * 4,
        .one = group + w->planes.one + block * info->one + row * 4,
    };
}

/* Bits 0.. of the bytes to bits -n.., or up if n is negative; what crosses bytes is masked off. */
INLINE vint shift_down(vint v, const int n)
{
    return n > 0 ? V(srli_epi32)(v, n) : n < 0 ? V(slli_epi32)(v, -n) : v;
}

/* The codes of a strip: looked up, zero point on. */
INLINE vint strip_codes(const struct block_at *at, const int strip,
                        const struct nib_pack_info *info)
{
    if (info->codes == 512)
        return vint_load(at->codes + strip * 64);
    vint v = vint_zero();
    int n_bits = 0;
    if (info->codes) {
        const vint bytes = vint_load(at->codes + strip % 4 * 64);
        v = vint_and(shift_down(bytes, strip < 4 ? 0 : 4), V(set1_epi8)(15));
        n_bits = 4;
    }
    if (info->book) {
        uint8_t table[16];
        UNROLL for (int i = 0; i < 16; i++) table[i] =
            (uint8_t)(info->book[i] + (1 << info->zero_shift));
        return V(shuffle_epi8)(vint_table(table), v);
    }
    if (info->two) {
        const vint bytes = vint_load(at->two + strip / 4 * 64);
        v = vint_or(v, vint_and(shift_down(bytes, strip % 4 * 2 - n_bits),
                                V(set1_epi8)((char)(3 << n_bits))));
        n_bits += 2;
    }
    if (info->one) {
        const vint bytes = vint_load(at->one);
        v = vint_or(v,
                    vint_and(shift_down(bytes, strip - n_bits), V(set1_epi8)((char)(1 << n_bits))));
    }
    return v;
}

/* ---- scales ---------------------------------------------------------------------------------- */

/* 2^(e - 128) as a product of two that are normal, so that the smallest are exact. */
INLINE vfloat e8m0_half(vint e)
{
    const vint half = V(srli_epi32)(e, 1), bias = V(set1_epi32)(63);
    const vint a = V(slli_epi32)(V(add_epi32)(half, bias), 23);
    const vint b = V(slli_epi32)(V(add_epi32)(V(sub_epi32)(e, half), bias), 23);
    return V(mul_ps)(vfloat_of_bits(a), vfloat_of_bits(b));
}

enum { SUPER_BLOCKS = NIB_SUPER / NIB_BLOCK };

/* Scales of a super-block as bytes, [run][row of the group], where they are not so in memory. */
struct super_scales {
    _Alignas(64) int8_t byte[NIB_SUPER];
};

/* All scales of a NIB_SCALE_I6_16 super-block: quarter k is runs 4k.., whose low bits are nibble
 * k / 2 of rows 4 (k % 2).. and whose high ones are bits 2k of the rows after those. */
INLINE void unpack_6_bits(int8_t *scale, const uint8_t *bits)
{
    enum { QUARTER = 4 * NIB_GROUP };
    UNROLL for (int k = 0; k < 4; k++) UNROLL for (int i = 0; i < QUARTER; i += 4 * LANES)
    {
        const vint low = shift_down(vint_load(bits + k % 2 * QUARTER + i), k / 2 * 4);
        const vint high = shift_down(vint_load(bits + 2 * QUARTER + i), 2 * k - 4);
        const vint both =
            vint_or(vint_and(low, V(set1_epi8)(15)), vint_and(high, V(set1_epi8)(3 << 4)));
        vint_store(scale + k * QUARTER + i, V(sub_epi8)(both, V(set1_epi8)(32)));
    }
}

/* To be called for each block, in ascending order, from any block on (`is_first`). */
INLINE void unpack_scales(struct super_scales *s, const struct nib_matrix *w, const uint8_t *group,
                          size_t block, bool is_first, const struct nib_pack_info *info)
{
    if (info->form == NIB_SCALE_I6_16 && (is_first || block % SUPER_BLOCKS == 0))
        unpack_6_bits(s->byte, group + w->planes.super + block / SUPER_BLOCKS * info->super + 32);
}

/* dw, and mw where there is a minimum, of run i of columns that share a scale. */
INLINE vfloat run_scale(const struct nib_matrix *w, const uint8_t *group, size_t row, size_t i,
                        const struct super_scales *s, vfloat *min, const struct nib_pack_info *info)
{
    const size_t at = i * NIB_GROUP + row, runs = nib_scale_columns(info->form) == 16 ? 16 : 8;
    const uint8_t *bytes = group + w->planes.scale + at;
    const uint8_t *super = group + w->planes.super + i / runs * info->super;
    const vfloat minus = V(set1_ps)(-0.0f);
    switch (info->form) {
    case NIB_SCALE_F16:
        if (info->min)
            *min = vfloat_f16(group + w->planes.min + at * 2);
        return vfloat_f16(group + w->planes.scale + at * 2);
    case NIB_SCALE_E8M0:
        return e8m0_half(vint_u8(bytes));
    case NIB_SCALE_U8_MIN:
        *min = V(mul_ps)(V(xor_ps)(vfloat_f16(super + 32 + row * 2), minus),
                         V(cvtepi32_ps)(vint_u8(group + w->planes.min + at)));
        return V(mul_ps)(vfloat_f16(super + row * 2), V(cvtepi32_ps)(vint_u8(bytes)));
    case NIB_SCALE_U4_16:
        *min = V(mul_ps)(V(xor_ps)(vfloat_f16(super + 32 + row * 2), minus),
                         V(cvtepi32_ps)(V(srli_epi32)(vint_u8(bytes), 4)));
        return V(mul_ps)(vfloat_f16(super + row * 2),
                         V(cvtepi32_ps)(vint_and(vint_u8(bytes), V(set1_epi32)(15))));
    case NIB_SCALE_I8:
    case NIB_SCALE_I8_16:
        return V(mul_ps)(vfloat_f16(super + row * 2), V(cvtepi32_ps)(vint_s8(bytes)));
    case NIB_SCALE_F32_16:
        return V(mul_ps)(V(loadu_ps)((const float *)(const void *)(super + row * 4)),
                         V(cvtepi32_ps)(vint_s8(bytes)));
    case NIB_SCALE_I6_16:
        return V(mul_ps)(vfloat_f16(super + row * 2),
                         V(cvtepi32_ps)(vint_s8(s->byte + i % 16 * NIB_GROUP + row)));
    default:
        return V(setzero_ps)();
    }
}

#endif
