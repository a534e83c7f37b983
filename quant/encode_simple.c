/*
 * Encoders without a search: blocks of 32 values whose scale follows from their extremes.  d and m
 * are f16; nibbles hold values i (low) and i + 16 (high); bit i of h is the fifth of value i.
 *
 *     Q4_0   { f16 d; u8 q[16] }                    x = d (q - 8)      4.5 bits a weight
 *     Q4_1   { f16 d; f16 m; u8 q[16] }             x = d q + m        5
 *     Q5_0   { f16 d; u32 h; u8 q[16] }             x = d (q - 16)     5.5
 *     Q5_1   { f16 d; f16 m; u32 h; u8 q[16] }      x = d q + m        6
 *     Q8_0   { f16 d; i8 q[32] }                    x = d q            8.5
 *     MXFP4  { u8 e; u8 q[16] }                     x = 2^(e - 127) e2m1(q)   4.25
 */
#include "encode_blocks.h"
#include "half.h"

#include <math.h>

enum { BLOCK = 32 };

/* 1 / d; 0 where d is 0. */
static float inverse(float d)
{
    return d != 0 ? 1.0f / d : 0.0f;
}

static void put_nibbles(uint8_t *out, const uint8_t codes[BLOCK])
{
    for (int i = 0; i < BLOCK / 2; i++)
        out[i] = (uint8_t)((codes[i] & 15) | (codes[i + BLOCK / 2] & 15) << 4);
}

static void put_fifth_bits(uint8_t *out, const uint8_t codes[BLOCK])
{
    memset(out, 0, BLOCK / 8);
    for (int i = 0; i < BLOCK; i++)
        out[i / 8] |= (uint8_t)((codes[i] >> 4 & 1) << i % 8);
}

/*
 * (x - offset) factor + zero, which is not negative, to the nearest code of 0..max_code; halves go
 * up.  Where 1 / d is infinite (d below 2^-128, 0 as f16) all codes are 0, like the reference's.
 */
static void round_codes(const float *x, float offset, float factor, float zero, int max_code,
                        uint8_t codes[BLOCK])
{
    if (isinf(factor)) {
        memset(codes, 0, BLOCK);
        return;
    }
    const float top = (float)max_code;
    for (int i = 0; i < BLOCK; i++) {
        const float code = (x[i] - offset) * factor + (zero + 0.5f);
        codes[i] = (uint8_t)(int)(code < top ? code : top);
    }
}

/* The value of the greatest magnitude gets code 0, the end that the codes reach exactly. */
static float codes_around_zero(const float *x, int zero, uint8_t codes[BLOCK])
{
    float extreme = 0;
    for (int i = 0; i < BLOCK; i++)
        extreme = fabsf(x[i]) > fabsf(extreme) ? x[i] : extreme;
    const float d = extreme / (float)-zero;
    round_codes(x, 0, inverse(d), (float)zero, 2 * zero - 1, codes);
    return d;
}

static float codes_above_min(const float *x, int max_code, uint8_t codes[BLOCK], float *least)
{
    float most = x[0];
    *least = x[0];
    for (int i = 1; i < BLOCK; i++) {
        *least = x[i] < *least ? x[i] : *least;
        most = x[i] > most ? x[i] : most;
    }
    const float d = (most - *least) / (float)max_code;
    round_codes(x, *least, inverse(d), 0, max_code, codes);
    return d;
}

void nib_encode_q4_0(const float *x, const float *importance, uint8_t *out)
{
    (void)importance;
    uint8_t codes[BLOCK];
    nib_put_u16(out, nib_f32_to_f16(codes_around_zero(x, 8, codes)));
    put_nibbles(out + 2, codes);
}

void nib_encode_q5_0(const float *x, const float *importance, uint8_t *out)
{
    (void)importance;
    uint8_t codes[BLOCK];
    nib_put_u16(out, nib_f32_to_f16(codes_around_zero(x, 16, codes)));
    put_fifth_bits(out + 2, codes);
    put_nibbles(out + 6, codes);
}

void nib_encode_q4_1(const float *x, const float *importance, uint8_t *out)
{
    (void)importance;
    uint8_t codes[BLOCK];
    float least;
    nib_put_u16(out, nib_f32_to_f16(codes_above_min(x, 15, codes, &least)));
    nib_put_u16(out + 2, nib_f32_to_f16(least));
    put_nibbles(out + 4, codes);
}

void nib_encode_q5_1(const float *x, const float *importance, uint8_t *out)
{
    (void)importance;
    uint8_t codes[BLOCK];
    float least;
    nib_put_u16(out, nib_f32_to_f16(codes_above_min(x, 31, codes, &least)));
    nib_put_u16(out + 2, nib_f32_to_f16(least));
    put_fifth_bits(out + 4, codes);
    put_nibbles(out + 8, codes);
}

/* Halves go away from zero.  |x| is at most 127.5: what is left of the whole part is exact. */
static int round_away(float x)
{
    const int whole = (int)x;
    const float rest = x - (float)whole;
    return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

void nib_encode_q8_0(const float *x, const float *importance, uint8_t *out)
{
    (void)importance;
    float most = 0;
    for (int i = 0; i < BLOCK; i++)
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    const float d = most / 127;
    const float factor = inverse(d);
    nib_put_u16(out, nib_f32_to_f16(d));
    if (isinf(factor))
        memset(out + 2, 0, BLOCK);
    else
        for (int i = 0; i < BLOCK; i++)
            out[2 + i] = (uint8_t)round_away(x[i] * factor);
}

/*
 * OCP Microscaling Formats 1.0, 6.3: the shared exponent is that of the greatest magnitude less the
 * greatest one of e2m1, which is 2.  Codes are 0, 0.5, 1, 1.5, 2, 3, 4, 6 and a sign; middles go to
 * the smaller magnitude.
 */
void nib_encode_mxfp4(const float *x, const float *importance, uint8_t *out)
{
    (void)importance;
    static const float middles[7] = {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f};
    uint32_t greatest = 0;
    for (int i = 0; i < BLOCK; i++) {
        const uint32_t bits = nib_float_bits(x[i]) & 0x7fffffff;
        greatest = bits > greatest ? bits : greatest;
    }
    const int exponent = (int)(greatest >> 23) - 2;
    out[0] = (uint8_t)(exponent > 0 ? exponent : 0);
    const float unit = ldexpf(1.0f, out[0] - 127);

    uint8_t codes[BLOCK];
    for (int i = 0; i < BLOCK; i++) {
        codes[i] = 0;
        for (int k = 0; k < 7; k++)
            codes[i] += fabsf(x[i]) > middles[k] * unit;
        if (codes[i] > 0 && x[i] < 0)
            codes[i] |= 8;
    }
    put_nibbles(out + 1, codes);
}
