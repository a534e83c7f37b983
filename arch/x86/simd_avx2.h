/*
 * The vector vocabulary of float_template.h over AVX2 with FMA and F16C: 16 floats are two
 * registers.  Loads and stores need no alignment; those of n < 16 values touch nothing beyond, and
 * load zeros there.
 */
#ifndef NIB_SIMD_AVX2_H
#define NIB_SIMD_AVX2_H

#include <immintrin.h>
#include <sleef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    __m256 lo, hi;
} vf16;

typedef struct {
    __m256i lo, hi;
} vi16;

typedef vf16 vm16; /* lanes of all ones or all zeros */

#define SIMD_INLINE static inline __attribute__((always_inline))

/* Width of the register tiles of products: at most 12 of 16 registers hold sums. */
#define SIMD_VECTORS(rows) ((rows) == 1 ? 4 : (rows) == 2 ? 2 : 1)

/* ---- masks ----------------------------------------------------------------------------------- */

SIMD_INLINE __m256i vm_range8(__m256i lane, size_t begin, size_t end)
{
    const __m256i from = _mm256_set1_epi32((int)(begin < 16 ? begin : 16) - 1);
    const __m256i to = _mm256_set1_epi32((int)(end < 16 ? end : 16));
    return _mm256_and_si256(_mm256_cmpgt_epi32(lane, from), _mm256_cmpgt_epi32(to, lane));
}

/* Lanes begin <= j < end. */
SIMD_INLINE vi16 vi_range(size_t begin, size_t end)
{
    return (vi16){vm_range8(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), begin, end),
                  vm_range8(_mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15), begin, end)};
}

SIMD_INLINE vm16 vm_range(size_t begin, size_t end)
{
    const vi16 mask = vi_range(begin, end);
    return (vm16){_mm256_castsi256_ps(mask.lo), _mm256_castsi256_ps(mask.hi)};
}

SIMD_INLINE vm16 vm_less(vf16 a, vf16 b)
{
    return (vm16){_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)};
}

SIMD_INLINE vm16 vm_less_equal(vf16 a, vf16 b)
{
    return (vm16){_mm256_cmp_ps(a.lo, b.lo, _CMP_LE_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LE_OQ)};
}

/* mask ? a : b */
SIMD_INLINE vf16 vf_select(vm16 mask, vf16 a, vf16 b)
{
    return (vf16){_mm256_blendv_ps(b.lo, a.lo, mask.lo), _mm256_blendv_ps(b.hi, a.hi, mask.hi)};
}

/* ---- memory ---------------------------------------------------------------------------------- */

SIMD_INLINE vf16 vf_set1(float x)
{
    return (vf16){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}

SIMD_INLINE vf16 vf_load(const float *p)
{
    return (vf16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

SIMD_INLINE vf16 vf_load_n(const float *p, size_t n)
{
    const vi16 mask = vi_range(0, n);
    const __m256 hi = n > 8 ? _mm256_maskload_ps(p + 8, mask.hi) : _mm256_setzero_ps();
    return (vf16){_mm256_maskload_ps(p, mask.lo), hi};
}

SIMD_INLINE void vf_store(float *p, vf16 x)
{
    _mm256_storeu_ps(p, x.lo);
    _mm256_storeu_ps(p + 8, x.hi);
}

SIMD_INLINE void vf_store_n(float *p, vf16 x, size_t n)
{
    const vi16 mask = vi_range(0, n);
    _mm256_maskstore_ps(p, mask.lo, x.lo);
    if (n > 8)
        _mm256_maskstore_ps(p + 8, mask.hi, x.hi);
}

SIMD_INLINE vf16 vf_load_f16(const uint16_t *p)
{
    return (vf16){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                  _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8)))};
}

SIMD_INLINE void vf_store_f16(uint16_t *p, vf16 x)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(x.lo, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)(p + 8), _mm256_cvtps_ph(x.hi, _MM_FROUND_TO_NEAREST_INT));
}

/* There are no masked moves of 16 bits. */
SIMD_INLINE vf16 vf_load_f16_n(const uint16_t *p, size_t n)
{
    uint16_t half[16] = {0};
    memcpy(half, p, n * sizeof(*p));
    return vf_load_f16(half);
}

SIMD_INLINE void vf_store_f16_n(uint16_t *p, vf16 x, size_t n)
{
    uint16_t half[16];
    vf_store_f16(half, x);
    memcpy(p, half, n * sizeof(*p));
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

SIMD_INLINE vf16 vf_add(vf16 a, vf16 b)
{
    return (vf16){_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}

SIMD_INLINE vf16 vf_sub(vf16 a, vf16 b)
{
    return (vf16){_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}

SIMD_INLINE vf16 vf_mul(vf16 a, vf16 b)
{
    return (vf16){_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}

SIMD_INLINE vf16 vf_div(vf16 a, vf16 b)
{
    return (vf16){_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}

/* a b + c */
SIMD_INLINE vf16 vf_fma(vf16 a, vf16 b, vf16 c)
{
    return (vf16){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}

/* a b - c */
SIMD_INLINE vf16 vf_fms(vf16 a, vf16 b, vf16 c)
{
    return (vf16){_mm256_fmsub_ps(a.lo, b.lo, c.lo), _mm256_fmsub_ps(a.hi, b.hi, c.hi)};
}

/* c - a b */
SIMD_INLINE vf16 vf_fnma(vf16 a, vf16 b, vf16 c)
{
    return (vf16){_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
}

/* a > b ? a : b; b if either is NaN */
SIMD_INLINE vf16 vf_max(vf16 a, vf16 b)
{
    return (vf16){_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}

/* a < b ? a : b; b if either is NaN */
SIMD_INLINE vf16 vf_min(vf16 a, vf16 b)
{
    return (vf16){_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}

SIMD_INLINE vf16 vf_rint(vf16 x)
{
    return (vf16){_mm256_round_ps(x.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                  _mm256_round_ps(x.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

SIMD_INLINE __m256 vf_pow2_half(__m256 n)
{
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}

/* 2^n of whole n in [-126, 127] */
SIMD_INLINE vf16 vf_pow2(vf16 n)
{
    return (vf16){vf_pow2_half(n.lo), vf_pow2_half(n.hi)};
}

SIMD_INLINE vf16 vf_erf(vf16 x)
{
    return (vf16){Sleef_cinz_erff8_u10avx(x.lo), Sleef_cinz_erff8_u10avx(x.hi)};
}

SIMD_INLINE vf16 vf_tanh(vf16 x)
{
    return (vf16){Sleef_cinz_tanhf8_u10avx(x.lo), Sleef_cinz_tanhf8_u10avx(x.hi)};
}

/* ---- across lanes ---------------------------------------------------------------------------- */

/* By the tree of rule 4: + 8, + 4, + 2, + 1. */
SIMD_INLINE float vf_sum(vf16 x)
{
    const __m256 s8 = _mm256_add_ps(x.lo, x.hi);
    const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

/* No lane may be NaN. */
SIMD_INLINE float vf_max_lanes(vf16 x)
{
    const __m256 m8 = _mm256_max_ps(x.lo, x.hi);
    const __m128 m4 = _mm_max_ps(_mm256_castps256_ps128(m8), _mm256_extractf128_ps(m8, 1));
    const __m128 m2 = _mm_max_ps(m4, _mm_movehl_ps(m4, m4));
    return _mm_cvtss_f32(_mm_max_ss(m2, _mm_movehdup_ps(m2)));
}

SIMD_INLINE vi16 vi_zero(void)
{
    return (vi16){_mm256_setzero_si256(), _mm256_setzero_si256()};
}

/* max of m and the bits of |x|, as integers */
SIMD_INLINE vi16 vi_max_abs(vi16 m, vf16 x)
{
    const __m256i absolute = _mm256_set1_epi32(0x7fffffff);
    return (vi16){
        _mm256_max_epi32(m.lo, _mm256_and_si256(_mm256_castps_si256(x.lo), absolute)),
        _mm256_max_epi32(m.hi, _mm256_and_si256(_mm256_castps_si256(x.hi), absolute)),
    };
}

SIMD_INLINE uint32_t vi_max_lanes(vi16 x)
{
    const __m256i m8 = _mm256_max_epi32(x.lo, x.hi);
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(m8), _mm256_extracti128_si256(m8, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, _MM_SHUFFLE(1, 0, 3, 2)));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, _MM_SHUFFLE(2, 3, 0, 1)));
    return (uint32_t)_mm_cvtsi128_si32(m);
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
    const __m256i lo = _mm256_cvtps_epi32(x.lo), hi = _mm256_cvtps_epi32(x.hi);
    /* The pack works in halves of 128 bits: codes 0-3, 8-11 | 4-7, 12-15. */
    const __m256i words =
        _mm256_permute4x64_epi64(_mm256_packs_epi32(lo, hi), _MM_SHUFFLE(3, 1, 2, 0));
    const __m128i codes =
        _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((__m128i *)q, codes);
    return sum_codes(codes);
}

/* Lane j takes lane j ^ h. */
SIMD_INLINE vf16 vf_swap1(vf16 x)
{
    return (vf16){_mm256_permute_ps(x.lo, _MM_SHUFFLE(2, 3, 0, 1)),
                  _mm256_permute_ps(x.hi, _MM_SHUFFLE(2, 3, 0, 1))};
}

SIMD_INLINE vf16 vf_swap2(vf16 x)
{
    return (vf16){_mm256_permute_ps(x.lo, _MM_SHUFFLE(1, 0, 3, 2)),
                  _mm256_permute_ps(x.hi, _MM_SHUFFLE(1, 0, 3, 2))};
}

SIMD_INLINE vf16 vf_swap4(vf16 x)
{
    return (vf16){_mm256_permute2f128_ps(x.lo, x.lo, 1), _mm256_permute2f128_ps(x.hi, x.hi, 1)};
}

SIMD_INLINE vf16 vf_swap8(vf16 x)
{
    return (vf16){x.hi, x.lo};
}

/* ---- integer products (dots_template.h) ------------------------------------------------------ */

/* Width of the register tiles: 8 registers hold sums, 12 where no product needs one. */
#ifdef __AVXVNNI__
#define SIMD_DOT_ROWS 3
#else
#define SIMD_DOT_ROWS 2
#endif
#define SIMD_DOT_VECTORS(rows) ((rows) == 1 ? 2 : 1)

/* 16 columns are four registers of 4 with 4 codes of 16 bits each; their sums are of two codes. */
#define SIMD_DOT_PARTS 4
typedef __m256i vd_sums, vd_columns, vd_row;

SIMD_INLINE vd_sums vd_zero(void)
{
    return _mm256_setzero_si256();
}

SIMD_INLINE vd_columns vd_load(const int8_t *b)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)b));
}

SIMD_INLINE vd_row vd_codes(const int16_t *a)
{
    int64_t four;
    memcpy(&four, a, sizeof(four));
    return _mm256_set1_epi64x(four);
}

SIMD_INLINE vd_sums vd_add(vd_sums sums, vd_row row, vd_columns columns)
{
#ifdef __AVXVNNI__
    sums = _mm256_dpwssd_avx_epi32(sums, row, columns);
#else
    sums = _mm256_add_epi32(sums, _mm256_madd_epi16(row, columns));
#endif
    __asm__("" : "+x"(sums)); /* else GCC copies sums from register to register, and spills */
    return sums;
}

/* The sums of pairs come in halves of 128 bits: columns 0, 1, 4, 5 | 2, 3, 6, 7. */
SIMD_INLINE __m256i vd_total8(vd_sums a, vd_sums b)
{
    return _mm256_permute4x64_epi64(_mm256_hadd_epi32(a, b), _MM_SHUFFLE(3, 1, 2, 0));
}

SIMD_INLINE vi16 vd_total(const vd_sums parts[SIMD_DOT_PARTS])
{
    return (vi16){vd_total8(parts[0], parts[1]), vd_total8(parts[2], parts[3])};
}

SIMD_INLINE vf16 vi_float(vi16 x)
{
    return (vf16){_mm256_cvtepi32_ps(x.lo), _mm256_cvtepi32_ps(x.hi)};
}

/* Store rint(x), all within int16, as 16 codes. */
SIMD_INLINE void vf_store_codes15(int16_t *q, vf16 x)
{
    const __m256i lo = _mm256_cvtps_epi32(x.lo), hi = _mm256_cvtps_epi32(x.hi);
    _mm256_storeu_si256((__m256i *)q, _mm256_permute4x64_epi64(_mm256_packs_epi32(lo, hi),
                                                               _MM_SHUFFLE(3, 1, 2, 0)));
}

#endif
