/*
 * The scale of a block of activations (docs/numerics.md, rule 8), from the bits of max|x|: as
 * integers NaN is above infinity, infinity above all numbers, so that an integer maximum misses
 * neither.
 */
#ifndef NIB_QUANTIZE_H
#define NIB_QUANTIZE_H

#include <float.h>

#include "half.h"
#include "pack.h"

/* The largest code of 15 bits: 127 and 0 where it is cut into 128 high + low, both of 8 bits. */
#define NIB_CODE15 16256

/* d = max|x| / most; *inverse is 1 / d, or 0 if all codes are 0 whatever x is. */
static inline float nib_code_scale(uint32_t amax_bits, float most, float *inverse)
{
    *inverse = 0.0f;
    if (amax_bits >= 0x7f800000)
        return nib_bits_float(0x7fc00000);
    const float d = nib_bits_float(amax_bits) / most;
    if (d < FLT_MIN)
        return 0.0f;
    *inverse = 1.0f / d;
    return d;
}

static inline float nib_quantize_scale(uint32_t amax_bits, float *inverse)
{
    return nib_code_scale(amax_bits, 127.0f, inverse);
}

/* 15-bit codes as 128 high + low; returns the sum of 16 of them. */
static inline int32_t nib_split_codes15(int8_t *high, int8_t *low, const int16_t q[16])
{
    int32_t sum = 0;
    for (int i = 0; i < 16; i++) {
        const int up = (q[i] + 64) >> 7;
        high[i] = (int8_t)up;
        low[i] = (int8_t)(q[i] - 128 * up);
        sum += q[i];
    }
    return sum;
}

#endif
