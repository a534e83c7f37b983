/*
 * nib_exp, the exponential of softmax and SiLU: exactly rounded operations in a fixed
 * order, the same on every backend.
 *
 *     n = rint(x * LOG2E);  r = fma(-n, LN2_HIGH, x);  r = fma(-n, LN2_LOW, r)
 *     p = C6; p = fma(p, r, C5); ... down to C2;  p = fma(p, r * r, r);  p = p + 1
 *     exp(x) = p * 2^n
 *
 * x is cut at NIB_EXP_MAX above; below NIB_EXP_MIN the result is 0.  exp(0) is exactly 1.  NaN
 * stays NaN.
 */
#ifndef NIB_EXP_H
#define NIB_EXP_H

#include <math.h>

#include "half.h"

#define NIB_EXP_MAX  88.0f
#define NIB_EXP_MIN  -87.0f
#define NIB_LOG2E    0x1.715476p+0f
#define NIB_LN2_HIGH 0x1.62e4p-1f
#define NIB_LN2_LOW  0x1.7f7d1cp-20f
#define NIB_EXP_C2   0x1.fffffcp-2f
#define NIB_EXP_C3   0x1.555490p-3f
#define NIB_EXP_C4   0x1.5558f4p-5f
#define NIB_EXP_C5   0x1.123a7ep-7f
#define NIB_EXP_C6   0x1.6a24a0p-10f

static inline float nib_exp(float x)
{
    if (x != x)
        return x;
    if (x < NIB_EXP_MIN)
        return 0.0f;
    if (x > NIB_EXP_MAX)
        x = NIB_EXP_MAX;
    const float n = rintf(x * NIB_LOG2E);
    float r = fmaf(-n, NIB_LN2_HIGH, x);
    r = fmaf(-n, NIB_LN2_LOW, r);
    float p = NIB_EXP_C6;
    p = fmaf(p, r, NIB_EXP_C5);
    p = fmaf(p, r, NIB_EXP_C4);
    p = fmaf(p, r, NIB_EXP_C3);
    p = fmaf(p, r, NIB_EXP_C2);
    p = fmaf(p, r * r, r);
    p = p + 1.0f;
    return p * nib_bits_float((uint32_t)((int32_t)n + 127) << 23);
}

#endif
