/*
 * IEEE 754 binary16 and bfloat16.  Widening is exact; narrowing rounds to nearest even
 * (docs/numerics.md, rule 9).  NaN stays NaN.
 */
#ifndef NIB_HALF_H
#define NIB_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t nib_float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static inline float nib_bits_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

static inline float nib_f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    const uint32_t magnitude = h & 0x7fff;
    if (magnitude >= 0x7c00) /* infinity; a signalling NaN becomes quiet, as in hardware */
        return nib_bits_float(sign | 0x7f800000 | (magnitude & 0x3ff) << 13 |
                              (magnitude > 0x7c00 ? 0x400000 : 0));
    if (magnitude >= 0x0400)
        return nib_bits_float(sign | ((magnitude << 13) + (112u << 23)));
    /* Denormal: magnitude * 2^-24, exact in binary32. */
    return nib_bits_float(sign | nib_float_bits((float)magnitude * 0x1p-24f));
}

static inline uint16_t nib_f32_to_f16(float x)
{
    const uint32_t bits = nib_float_bits(x);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    const uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) /* NaN: quiet, upper payload kept */
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x47800000) /* 2^16 and above, and infinity */
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000) { /* below 2^-14: count of 2^-24, rounded by the addition of 0.5 */
        const float shifted = nib_bits_float(magnitude) + 0.5f;
        return (uint16_t)(sign | (nib_float_bits(shifted) - 0x3f000000));
    }
    const uint32_t odd = magnitude >> 13 & 1;
    return (uint16_t)(sign | ((magnitude - (112u << 23) + 0xfff + odd) >> 13));
}

static inline float nib_bf16_to_f32(uint16_t h)
{
    return nib_bits_float((uint32_t)h << 16);
}

static inline uint16_t nib_f32_to_bf16(float x)
{
    const uint32_t bits = nib_float_bits(x);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif
