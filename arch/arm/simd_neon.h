/*
 * The vector vocabulary of float_template.h and dots_template.h over NEON: 16 floats are four
 * registers.  Loads and
 * stores of n < 16 values touch nothing beyond, and load zeros there.
 */
#ifndef NIB_SIMD_NEON_H
#define NIB_SIMD_NEON_H

#include <arm_neon.h>
#include <sleef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    float32x4_t a, b, c, d; /* lanes 0-3, 4-7, 8-11, 12-15 */
} vf16;

typedef struct {
    uint32x4_t a, b, c, d;
} vi16;

typedef vi16 vm16; /* lanes of all ones or all zeros */

#define SIMD_INLINE static inline __attribute__((always_inline))

/* Width of the register tiles of products: at most 24 of 32 registers hold sums. */
#define SIMD_VECTORS(rows) ((rows) == 1 ? 4 : (rows) == 2 ? 2 : 1)

/* The same operation on all four registers. */
#define SIMD_MAP1(type, f, x) ((type){f((x).a), f((x).b), f((x).c), f((x).d)})
#define SIMD_MAP2(type, f, x, y)                                                                   \
    ((type){f((x).a, (y).a), f((x).b, (y).b), f((x).c, (y).c), f((x).d, (y).d)})
#define SIMD_MAP3(type, f, x, y, z)                                                                \
    ((type){f((x).a, (y).a, (z).a), f((x).b, (y).b, (z).b), f((x).c, (y).c, (z).c),                \
            f((x).d, (y).d, (z).d)})

/* ---- masks ----------------------------------------------------------------------------------- */

/* Lanes begin <= j < end. */
SIMD_INLINE vm16 vm_range(size_t begin, size_t end)
{
    static const uint32_t lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const uint32x4_t from = vdupq_n_u32(begin < 16 ? (uint32_t)begin : 16);
    const uint32x4_t to = vdupq_n_u32(end < 16 ? (uint32_t)end : 16);
    const vi16 lane = {vld1q_u32(lanes), vld1q_u32(lanes + 4), vld1q_u32(lanes + 8),
                       vld1q_u32(lanes + 12)};
    const vi16 froms = {from, from, from, from}, tos = {to, to, to, to};
    const vm16 above = SIMD_MAP2(vm16, vcgeq_u32, lane, froms);
    const vm16 below = SIMD_MAP2(vm16, vcltq_u32, lane, tos);
    return SIMD_MAP2(vm16, vandq_u32, above, below);
}

SIMD_INLINE vm16 vm_less(vf16 a, vf16 b)
{
    return SIMD_MAP2(vm16, vcltq_f32, a, b);
}

SIMD_INLINE vm16 vm_less_equal(vf16 a, vf16 b)
{
    return SIMD_MAP2(vm16, vcleq_f32, a, b);
}

/* mask ? a : b */
SIMD_INLINE vf16 vf_select(vm16 mask, vf16 a, vf16 b)
{
    return SIMD_MAP3(vf16, vbslq_f32, mask, a, b);
}

/* ---- memory ---------------------------------------------------------------------------------- */

SIMD_INLINE vf16 vf_set1(float x)
{
    const float32x4_t v = vdupq_n_f32(x);
    return (vf16){v, v, v, v};
}

SIMD_INLINE vf16 vf_load(const float *p)
{
    return (vf16){vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
}

SIMD_INLINE void vf_store(float *p, vf16 x)
{
    vst1q_f32(p, x.a);
    vst1q_f32(p + 4, x.b);
    vst1q_f32(p + 8, x.c);
    vst1q_f32(p + 12, x.d);
}

/* There are no masked moves. */
SIMD_INLINE vf16 vf_load_n(const float *p, size_t n)
{
    float values[16] = {0};
    memcpy(values, p, n * sizeof(*p));
    return vf_load(values);
}

SIMD_INLINE void vf_store_n(float *p, vf16 x, size_t n)
{
    float values[16];
    vf_store(values, x);
    memcpy(p, values, n * sizeof(*p));
}

SIMD_INLINE float32x4_t widen_f16(uint16x4_t half)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(half));
}

SIMD_INLINE uint16x4_t narrow_f16(float32x4_t x)
{
    return vreinterpret_u16_f16(vcvt_f16_f32(x));
}

SIMD_INLINE vf16 vf_load_f16(const uint16_t *p)
{
    const uint16x8_t low = vld1q_u16(p), high = vld1q_u16(p + 8);
    return (vf16){widen_f16(vget_low_u16(low)), widen_f16(vget_high_u16(low)),
                  widen_f16(vget_low_u16(high)), widen_f16(vget_high_u16(high))};
}

SIMD_INLINE void vf_store_f16(uint16_t *p, vf16 x)
{
    vst1q_u16(p, vcombine_u16(narrow_f16(x.a), narrow_f16(x.b)));
    vst1q_u16(p + 8, vcombine_u16(narrow_f16(x.c), narrow_f16(x.d)));
}

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
    return SIMD_MAP2(vf16, vaddq_f32, a, b);
}

SIMD_INLINE vf16 vf_sub(vf16 a, vf16 b)
{
    return SIMD_MAP2(vf16, vsubq_f32, a, b);
}

SIMD_INLINE vf16 vf_mul(vf16 a, vf16 b)
{
    return SIMD_MAP2(vf16, vmulq_f32, a, b);
}

SIMD_INLINE vf16 vf_div(vf16 a, vf16 b)
{
    return SIMD_MAP2(vf16, vdivq_f32, a, b);
}

SIMD_INLINE vf16 vf_neg(vf16 x)
{
    return SIMD_MAP1(vf16, vnegq_f32, x);
}

/* a b + c */
SIMD_INLINE vf16 vf_fma(vf16 a, vf16 b, vf16 c)
{
    return SIMD_MAP3(vf16, vfmaq_f32, c, a, b);
}

/* a b - c */
SIMD_INLINE vf16 vf_fms(vf16 a, vf16 b, vf16 c)
{
    return vf_fma(a, b, vf_neg(c));
}

/* c - a b */
SIMD_INLINE vf16 vf_fnma(vf16 a, vf16 b, vf16 c)
{
    return SIMD_MAP3(vf16, vfmsq_f32, c, a, b);
}

/* a > b ? a : b; b if either is NaN, which fmax does not give */
SIMD_INLINE vf16 vf_max(vf16 a, vf16 b)
{
    return vf_select(vm_less(b, a), a, b);
}

/* a < b ? a : b; b if either is NaN */
SIMD_INLINE vf16 vf_min(vf16 a, vf16 b)
{
    return vf_select(vm_less(a, b), a, b);
}

SIMD_INLINE vf16 vf_rint(vf16 x)
{
    return SIMD_MAP1(vf16, vrndnq_f32, x);
}

SIMD_INLINE float32x4_t pow2_quarter(float32x4_t n)
{
    const int32x4_t biased = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
    return vreinterpretq_f32_s32(vshlq_n_s32(biased, 23));
}

/* 2^n of whole n in [-126, 127] */
SIMD_INLINE vf16 vf_pow2(vf16 n)
{
    return SIMD_MAP1(vf16, pow2_quarter, n);
}

SIMD_INLINE vf16 vf_erf(vf16 x)
{
    return SIMD_MAP1(vf16, Sleef_cinz_erff4_u10advsimdnofma, x);
}

SIMD_INLINE vf16 vf_tanh(vf16 x)
{
    return SIMD_MAP1(vf16, Sleef_cinz_tanhf4_u10advsimdnofma, x);
}

/* ---- across lanes ---------------------------------------------------------------------------- */

/* By the tree of rule 4: + 8, + 4, + 2, + 1. */
SIMD_INLINE float vf_sum(vf16 x)
{
    const float32x4_t s4 = vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d));
    const float32x2_t s2 = vadd_f32(vget_low_f32(s4), vget_high_f32(s4));
    return vget_lane_f32(s2, 0) + vget_lane_f32(s2, 1);
}

/* No lane may be NaN. */
SIMD_INLINE float vf_max_lanes(vf16 x)
{
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(x.a, x.b), vmaxq_f32(x.c, x.d)));
}

SIMD_INLINE vi16 vi_zero(void)
{
    const uint32x4_t zero = vdupq_n_u32(0);
    return (vi16){zero, zero, zero, zero};
}

SIMD_INLINE uint32x4_t bits_of_absolute(float32x4_t x)
{
    return vreinterpretq_u32_f32(vabsq_f32(x));
}

/* max of m and the bits of |x|, as integers */
SIMD_INLINE vi16 vi_max_abs(vi16 m, vf16 x)
{
    const vi16 bits = SIMD_MAP1(vi16, bits_of_absolute, x);
    return SIMD_MAP2(vi16, vmaxq_u32, m, bits);
}

SIMD_INLINE uint32_t vi_max_lanes(vi16 x)
{
    return vmaxvq_u32(vmaxq_u32(vmaxq_u32(x.a, x.b), vmaxq_u32(x.c, x.d)));
}

/* Store rint(x), all within int8, as 16 codes; returns their sum. */
SIMD_INLINE int32_t vf_store_codes(int8_t *q, vf16 x)
{
    const int16x8_t low =
        vcombine_s16(vmovn_s32(vcvtnq_s32_f32(x.a)), vmovn_s32(vcvtnq_s32_f32(x.b)));
    const int16x8_t high =
        vcombine_s16(vmovn_s32(vcvtnq_s32_f32(x.c)), vmovn_s32(vcvtnq_s32_f32(x.d)));
    const int8x16_t codes = vcombine_s8(vmovn_s16(low), vmovn_s16(high));
    vst1q_s8(q, codes);
    return vaddlvq_s8(codes);
}

/* Lane j takes lane j ^ h. */
SIMD_INLINE vf16 vf_swap1(vf16 x)
{
    return SIMD_MAP1(vf16, vrev64q_f32, x);
}

SIMD_INLINE float32x4_t swap2_quarter(float32x4_t x)
{
    return vextq_f32(x, x, 2);
}

SIMD_INLINE vf16 vf_swap2(vf16 x)
{
    return SIMD_MAP1(vf16, swap2_quarter, x);
}

SIMD_INLINE vf16 vf_swap4(vf16 x)
{
    return (vf16){x.b, x.a, x.d, x.c};
}

SIMD_INLINE vf16 vf_swap8(vf16 x)
{
    return (vf16){x.c, x.d, x.a, x.b};
}

/* ---- integer products (dots_template.h) ------------------------------------------------------ */

/* Width of the register tiles: 16 registers hold sums, 8 the codes of 16 columns. */
#define SIMD_DOT_ROWS          4
#define SIMD_DOT_VECTORS(rows) ((rows) == 1 ? 4 : (rows) == 2 ? 2 : 1)
#define SIMD_DOT_PARTS         1

typedef struct {
    int32x4_t s0, s1, s2, s3; /* as vi16 */
} vd_sums;

typedef int16x4_t vd_row;

/* Code i of columns 0-7 and 8-15. */
typedef struct {
    int16x8_t low[4], high[4];
} vd_columns;

SIMD_INLINE vd_sums vd_zero(void)
{
    const int32x4_t zero = vdupq_n_s32(0);
    return (vd_sums){zero, zero, zero, zero};
}

SIMD_INLINE vd_columns vd_load(const int8_t *b)
{
    const int8x16x4_t codes = vld4q_s8(b);
    return (vd_columns){
        {vmovl_s8(vget_low_s8(codes.val[0])), vmovl_s8(vget_low_s8(codes.val[1])),
         vmovl_s8(vget_low_s8(codes.val[2])), vmovl_s8(vget_low_s8(codes.val[3]))},
        {vmovl_high_s8(codes.val[0]), vmovl_high_s8(codes.val[1]), vmovl_high_s8(codes.val[2]),
         vmovl_high_s8(codes.val[3])},
    };
}

SIMD_INLINE vd_row vd_codes(const int16_t *a)
{
    return vld1_s16(a);
}

/* Lane i of the row, which has to be a literal, times code i of all columns. */
#define VD_STEP(sums, row, codes, i)                                                               \
    ((vd_sums){vmlal_lane_s16((sums).s0, vget_low_s16((codes).low[i]), row, i),                    \
               vmlal_high_lane_s16((sums).s1, (codes).low[i], row, i),                             \
               vmlal_lane_s16((sums).s2, vget_low_s16((codes).high[i]), row, i),                   \
               vmlal_high_lane_s16((sums).s3, (codes).high[i], row, i)})

SIMD_INLINE vd_sums vd_add(vd_sums sums, vd_row row, vd_columns columns)
{
    sums = VD_STEP(sums, row, columns, 0);
    sums = VD_STEP(sums, row, columns, 1);
    sums = VD_STEP(sums, row, columns, 2);
    return VD_STEP(sums, row, columns, 3);
}

SIMD_INLINE vi16 vd_total(const vd_sums parts[SIMD_DOT_PARTS])
{
    return (vi16){vreinterpretq_u32_s32(parts->s0), vreinterpretq_u32_s32(parts->s1),
                  vreinterpretq_u32_s32(parts->s2), vreinterpretq_u32_s32(parts->s3)};
}

SIMD_INLINE float32x4_t float_of(uint32x4_t x)
{
    return vcvtq_f32_s32(vreinterpretq_s32_u32(x));
}

SIMD_INLINE vf16 vi_float(vi16 x)
{
    return SIMD_MAP1(vf16, float_of, x);
}

/* Store rint(x), all within int16, as 16 codes. */
SIMD_INLINE void vf_store_codes15(int16_t *q, vf16 x)
{
    vst1q_s16(q, vmovn_high_s32(vmovn_s32(vcvtnq_s32_f32(x.a)), vcvtnq_s32_f32(x.b)));
    vst1q_s16(q + 8, vmovn_high_s32(vmovn_s32(vcvtnq_s32_f32(x.c)), vcvtnq_s32_f32(x.d)));
}

#endif
