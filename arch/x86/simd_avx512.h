/*
 * The vector vocabulary of float_template.h over AVX-512: 16 floats are one register.  Loads and
 * stores need no alignment; those of n < 16 values touch nothing beyond, and load zeros there.
 */
#ifndef NIB_SIMD_AVX512_H
#define NIB_SIMD_AVX512_H

#include <immintrin.h>
#include <sleef.h>
#include <stdint.h>
#include <string.h>

typedef __m512 vf16;
typedef __m512i vi16;
typedef __mmask16 vm16;

#define SIMD_INLINE static inline __attribute__((always_inline))

/* Width of the register tiles of products: 6 x 4 sums, 4 vectors of b. */
#define SIMD_VECTORS(rows) 4

/* ---- masks ----------------------------------------------------------------------------------- */

/* Lanes begin <= j < end. */
SIMD_INLINE vm16 vm_range(size_t begin, size_t end)
{
    const uint32_t below_end = end >= 16 ? 0xffff : (1u << end) - 1;
    const uint32_t below_begin = begin >= 16 ? 0xffff : (1u << begin) - 1;
    return (vm16)(below_end & ~below_begin);
}

SIMD_INLINE vm16 vm_less(vf16 a, vf16 b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}

SIMD_INLINE vm16 vm_less_equal(vf16 a, vf16 b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ);
}

/* mask ? a : b */
SIMD_INLINE vf16 vf_select(vm16 mask, vf16 a, vf16 b)
{
    return _mm512_mask_blend_ps(mask, b, a);
}

/* ---- memory ---------------------------------------------------------------------------------- */

SIMD_INLINE vf16 vf_set1(float x)
{
    return _mm512_set1_ps(x);
}

SIMD_INLINE vf16 vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

SIMD_INLINE vf16 vf_load_n(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(vm_range(0, n), p);
}

SIMD_INLINE void vf_store(float *p, vf16 x)
{
    _mm512_storeu_ps(p, x);
}

SIMD_INLINE void vf_store_n(float *p, vf16 x, size_t n)
{
    _mm512_mask_storeu_ps(p, vm_range(0, n), x);
}

SIMD_INLINE vf16 vf_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

SIMD_INLINE vf16 vf_load_f16_n(const uint16_t *p, size_t n)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(vm_range(0, n), p));
}

SIMD_INLINE void vf_store_f16(uint16_t *p, vf16 x)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

SIMD_INLINE void vf_store_f16_n(uint16_t *p, vf16 x, size_t n)
{
    const __m256i half = _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT);
    _mm256_mask_storeu_epi16(p, vm_range(0, n), half);
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

SIMD_INLINE vf16 vf_add(vf16 a, vf16 b)
{
    return _mm512_add_ps(a, b);
}

SIMD_INLINE vf16 vf_sub(vf16 a, vf16 b)
{
    return _mm512_sub_ps(a, b);
}

SIMD_INLINE vf16 vf_mul(vf16 a, vf16 b)
{
    return _mm512_mul_ps(a, b);
}

SIMD_INLINE vf16 vf_div(vf16 a, vf16 b)
{
    return _mm512_div_ps(a, b);
}

/* a b + c */
SIMD_INLINE vf16 vf_fma(vf16 a, vf16 b, vf16 c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* a b - c */
SIMD_INLINE vf16 vf_fms(vf16 a, vf16 b, vf16 c)
{
    return _mm512_fmsub_ps(a, b, c);
}

/* c - a b */
SIMD_INLINE vf16 vf_fnma(vf16 a, vf16 b, vf16 c)
{
    return _mm512_fnmadd_ps(a, b, c);
}

/* a > b ? a : b; b if either is NaN */
SIMD_INLINE vf16 vf_max(vf16 a, vf16 b)
{
    return _mm512_max_ps(a, b);
}

/* a < b ? a : b; b if either is NaN */
SIMD_INLINE vf16 vf_min(vf16 a, vf16 b)
{
    return _mm512_min_ps(a, b);
}

SIMD_INLINE vf16 vf_rint(vf16 x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* 2^n of whole n in [-126, 127] */
SIMD_INLINE vf16 vf_pow2(vf16 n)
{
    const __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(biased, 23));
}

SIMD_INLINE vf16 vf_erf(vf16 x)
{
    return Sleef_cinz_erff16_u10avx512fnofma(x);
}

SIMD_INLINE vf16 vf_tanh(vf16 x)
{
    return Sleef_cinz_tanhf16_u10avx512fnofma(x);
}

/* ---- across lanes ---------------------------------------------------------------------------- */

/* By the tree of rule 4: + 8, + 4, + 2, + 1. */
SIMD_INLINE float vf_sum(vf16 x)
{
    const __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

/* No lane may be NaN. */
SIMD_INLINE float vf_max_lanes(vf16 x)
{
    return _mm512_reduce_max_ps(x);
}

SIMD_INLINE vi16 vi_zero(void)
{
    return _mm512_setzero_si512();
}

/* max of m and the bits of |x|, as integers */
SIMD_INLINE vi16 vi_max_abs(vi16 m, vf16 x)
{
    const __m512i bits = _mm512_castps_si512(x);
    return _mm512_max_epi32(m, _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff)));
}

SIMD_INLINE uint32_t vi_max_lanes(vi16 x)
{
    return (uint32_t)_mm512_reduce_max_epi32(x);
}

/* By the sums of absolute values of eight bytes, with 128 added to each byte. */
SIMD_INLINE int32_t sum_codes(__m128i codes)
{
    const __m128i offset = _mm_xor_si128(codes, _mm_set1_epi8(-128));
    const __m128i sums = _mm_sad_epu8(offset, _mm_setzero_si128());
    return _mm_cvtsi128_si32(sums) + _mm_extract_epi16(sums, 4) - 16 * 128;
}

/* Store rint(x), all within int8, as 16 codes; returns their sum. */
SIMD_INLINE int32_t vf_store_codes(int8_t *q, vf16 x)
{
    const __m128i codes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x));
    _mm_storeu_si128((__m128i *)q, codes);
    return sum_codes(codes);
}

/* Lane j takes lane j ^ h. */
SIMD_INLINE vf16 vf_swap1(vf16 x)
{
    return _mm512_permute_ps(x, _MM_SHUFFLE(2, 3, 0, 1));
}

SIMD_INLINE vf16 vf_swap2(vf16 x)
{
    return _mm512_permute_ps(x, _MM_SHUFFLE(1, 0, 3, 2));
}

SIMD_INLINE vf16 vf_swap4(vf16 x)
{
    return _mm512_shuffle_f32x4(x, x, _MM_SHUFFLE(2, 3, 0, 1));
}

SIMD_INLINE vf16 vf_swap8(vf16 x)
{
    return _mm512_shuffle_f32x4(x, x, _MM_SHUFFLE(1, 0, 3, 2));
}

/* ---- integer products (dots_template.h) ------------------------------------------------------ */

/* Width of the register tiles: at most 24 registers of sums. */
#define SIMD_DOT_ROWS          6
#define SIMD_DOT_VECTORS(rows) ((rows) <= 3 ? 4 : 2)

/* 16 columns are two registers of 8 with 4 codes of 16 bits each; their sums are of two codes. */
#define SIMD_DOT_PARTS 2
typedef __m512i vd_sums, vd_columns, vd_row;

SIMD_INLINE vd_sums vd_zero(void)
{
    return _mm512_setzero_si512();
}

SIMD_INLINE vd_columns vd_load(const int8_t *b)
{
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)b));
}

SIMD_INLINE vd_row vd_codes(const int16_t *a)
{
    int64_t four;
    memcpy(&four, a, sizeof(four));
    return _mm512_set1_epi64(four);
}

SIMD_INLINE vd_sums vd_add(vd_sums sums, vd_row row, vd_columns columns)
{
#ifdef __AVX512VNNI__
    sums = _mm512_dpwssd_epi32(sums, row, columns);
#else
    sums = _mm512_add_epi32(sums, _mm512_madd_epi16(row, columns));
#endif
    __asm__("" : "+v"(sums)); /* else GCC copies sums from register to register, and spills */
    return sums;
}

SIMD_INLINE vi16 vd_total(const vd_sums parts[SIMD_DOT_PARTS])
{
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    return _mm512_add_epi32(_mm512_permutex2var_epi32(parts[0], even, parts[1]),
                            _mm512_permutex2var_epi32(parts[0], odd, parts[1]));
}

SIMD_INLINE vf16 vi_float(vi16 x)
{
    return _mm512_cvtepi32_ps(x);
}

/* Store rint(x), all within int16, as 16 codes. */
SIMD_INLINE void vf_store_codes15(int16_t *q, vf16 x)
{
    _mm256_storeu_si256((__m256i *)q, _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(x)));
}

#endif
