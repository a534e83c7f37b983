/*
 * Reading packed weights with NEON: a register of codes is four rows (a quad) by the four columns
 * of a strip, as signed bytes.  Codes of up to 6 bits keep their zero point; 8-bit codes and those
 * that are looked up have none left.
 */
#ifndef NIB_NEON_CODES_H
#define NIB_NEON_CODES_H

#include "kernels.h"
#include "pack_table.h"

#include <arm_neon.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define ROLLED _Pragma("GCC unroll 1")

enum { QUADS = NIB_GROUP / 4 };

/* ---- codes ----------------------------------------------------------------------------------- */

/* Where the planes of a block begin. */
struct block {
    const uint8_t *codes, *two, *one, *scale, *min, *super;
};

INLINE struct block block_at(const struct nib_matrix *w, const struct nib_pack_info *info,
                             const uint8_t *group, size_t b)
{
    return (struct block){
        .codes = group + b * info->codes,
        .two = group + w->planes.two + b * info->two,
        .one = group + w->planes.one + b * info->one,
        .scale = group + w->planes.scale + b * info->scale,
        .min = group + w->planes.min + b * info->min,
        .super = group + w->planes.super + b / (NIB_SUPER / NIB_BLOCK) * info->super,
    };
}

/* v with the bits from `bit` on replaced by those of x. */
INLINE uint8x16_t insert_from(uint8x16_t v, uint8x16_t x, int bit)
{
    return bit == 4 ? vsliq_n_u8(v, x, 4) : vsliq_n_u8(v, x, 2);
}

/* Whether strip_codes() gives what is to be multiplied: the zero point is off already. */
INLINE bool has_no_zero(const struct nib_pack_info *info)
{
    return info->book || info->codes == 512 || info->zero_shift == 0;
}

/* Signed bytes of a strip, rows 4 quad .. 4 quad + 3. */
INLINE int8x16_t strip_codes(const struct block *w, const struct nib_pack_info *info, size_t quad,
                             int strip)
{
    const int half = strip / 4, i = strip % 4;
    const size_t at = 16 * quad;
    if (info->codes == 512)
        return vreinterpretq_s8_u8(vld1q_u8(w->codes + strip * 64 + at) ^ vdupq_n_u8(0x80));
    uint8x16_t v = vdupq_n_u8(0);
    int bits = 0;
    bool is_clean = true; /* nothing above the code's bits */
    if (info->codes) {
        v = vld1q_u8(w->codes + i * 64 + at);
        if (half)
            v >>= 4;
        bits = 4;
        is_clean = half;
    }
    if (info->two) {
        const uint8x16_t two = vld1q_u8(w->two + half * 64 + at) >> (2 * i);
        v = bits ? insert_from(v, two, bits) : two;
        bits += 2;
        is_clean = i == 3;
    }
    if (info->one) {
        v = insert_from(v, vld1q_u8(w->one + at) >> strip, bits);
        bits += 1;
        is_clean = strip == 7;
    }
    if (!is_clean)
        v &= vdupq_n_u8((uint8_t)((1 << bits) - 1));
    return info->book ? vqtbl1q_s8(vld1q_s8(info->book), v) : vreinterpretq_s8_u8(v);
}

/* ---- scales: four, of the rows of a quad ----------------------------------------------------- */

INLINE float32x4_t load_f16(const uint8_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}

INLINE uint32x4_t load_u8(const uint8_t *p)
{
    uint32_t word;
    memcpy(&word, p, 4);
    return vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(word))));
}

INLINE float32x4_t load_s8(const uint8_t *p)
{
    uint32_t word;
    memcpy(&word, p, 4);
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(word)))));
}

/* 2^(e - 128); the two smallest are denormal. */
INLINE float32x4_t load_e8m0(const uint8_t *p)
{
    const uint32x4_t e = load_u8(p);
    const uint32x4_t normal = vshlq_n_u32(vsubq_u32(e, vdupq_n_u32(1)), 23);
    const uint32x4_t denormal = vshlq_u32(vdupq_n_u32(0x00200000), vreinterpretq_s32_u32(e));
    return vreinterpretq_f32_u32(vbslq_u32(vcltq_u32(e, vdupq_n_u32(2)), denormal, normal));
}

/* Scale i of 16 of a NIB_SCALE_I6_16 super-block. */
INLINE float32x4_t load_6_bits(const uint8_t *super, size_t quad, size_t i)
{
    const uint32x4_t low = load_u8(super + 32 + i % 8 * 16 + 4 * quad);
    const uint32x4_t high = load_u8(super + 160 + i % 4 * 16 + 4 * quad);
    const int32x4_t low_right = vdupq_n_s32(-4 * (int)(i / 8));
    const int32x4_t high_right = vdupq_n_s32(-2 * (int)(i / 4));
    const uint32x4_t low_bits = vandq_u32(vshlq_u32(low, low_right), vdupq_n_u32(15));
    const uint32x4_t high_bits = vandq_u32(vshlq_u32(high, high_right), vdupq_n_u32(3));
    const uint32x4_t scale = vsliq_n_u32(low_bits, high_bits, 4);
    return vcvtq_f32_s32(vsubq_s32(vreinterpretq_s32_u32(scale), vdupq_n_s32(32)));
}

struct scales {
    float32x4_t scale, min;
};

/* Of block b; of its columns [16 half, 16 half + 16) in the forms with 16 columns. */
INLINE struct scales load_scales(const struct block *w, const struct nib_pack_info *info,
                                 size_t quad, size_t b, int half)
{
    const size_t of_16 = (size_t)half * 16 + 4 * quad;
    struct scales s = {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};
    switch (info->form) {
    case NIB_SCALE_NONE:
        break;
    case NIB_SCALE_F16:
        s.scale = load_f16(w->scale + 8 * quad);
        if (info->min)
            s.min = load_f16(w->min + 8 * quad);
        break;
    case NIB_SCALE_E8M0:
        s.scale = load_e8m0(w->scale + 4 * quad);
        break;
    case NIB_SCALE_U8_MIN:
        s.scale = load_f16(w->super + 8 * quad) * vcvtq_f32_u32(load_u8(w->scale + 4 * quad));
        s.min = -(load_f16(w->super + 32 + 8 * quad) * vcvtq_f32_u32(load_u8(w->min + 4 * quad)));
        break;
    case NIB_SCALE_I8:
        s.scale = load_f16(w->super + 8 * quad) * load_s8(w->scale + 4 * quad);
        break;
    case NIB_SCALE_I8_16:
        s.scale = load_f16(w->super + 8 * quad) * load_s8(w->scale + of_16);
        break;
    case NIB_SCALE_F32_16:
        s.scale = vreinterpretq_f32_u8(vld1q_u8(w->super + 16 * quad)) * load_s8(w->scale + of_16);
        break;
    case NIB_SCALE_I6_16:
        s.scale =
            load_f16(w->super + 8 * quad) * load_6_bits(w->super, quad, b % 8 * 2 + (size_t)half);
        break;
    case NIB_SCALE_U4_16: {
        const uint32x4_t both = load_u8(w->scale + of_16);
        s.scale = load_f16(w->super + 8 * quad) * vcvtq_f32_u32(both & vdupq_n_u32(15));
        s.min = -(load_f16(w->super + 32 + 8 * quad) * vcvtq_f32_u32(both >> 4));
        break;
    }
    }
    return s;
}

/* A stream through memory, whose planes are too short for the CPU to follow by itself: the same
 * block of the next group. */
INLINE void prefetch_next(const struct block *w, const struct nib_pack_info *info, size_t ahead)
{
    UNROLL for (int line = 0; line < info->codes / 64; line++)
        __builtin_prefetch(w->codes + ahead + line * 64);
    UNROLL for (int line = 0; line < info->two / 64; line++)
        __builtin_prefetch(w->two + ahead + line * 64);
    if (info->one)
        __builtin_prefetch(w->one + ahead);
    if (info->scale)
        __builtin_prefetch(w->scale + ahead);
    if (info->min)
        __builtin_prefetch(w->min + ahead);
    if (info->super)
        __builtin_prefetch(w->super + ahead);
}

#endif
