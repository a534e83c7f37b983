/*
 * Encoders of the types whose scales are searched (encode_search.h): how each lays out what was
 * found.  d and dmin are f16.  Q2_K to Q6_K and IQ4_XS: 256 values.  In words of 2 bits of Q2_K,
 * Q3_K (low bits) and Q6_K (high bits) value i of 128 is at bits 2 (i / 32) of byte i mod 32.
 *
 *     Q2_K    { u8 s[16]; u8 q[64]; f16 d, dmin }            s: scale | min << 4, of 16 values
 *             x = d scale q - dmin min                                          2.625 bits a weight
 *     Q3_K    { u8 h[32]; u8 q[64]; u8 s[12]; f16 d }        h: bit i / 32 of byte i mod 32
 *             x = d (scale - 32) (q + 4 h - 4), of 16 values                    3.4375
 *     Q4_K    { f16 d, dmin; u8 s[12]; u8 q[128] }           q: nibbles of 64 values
 *             x = d scale q - dmin min, of 32 values                            4.5
 *     Q5_K    { f16 d, dmin; u8 s[12]; u8 h[32]; u8 q[128] } h as in Q3_K
 *             the same                                                          5.5
 *     Q6_K    { u8 q[128]; u8 h[64]; i8 s[16]; f16 d }       q: nibbles of 128 values
 *             x = d s (q + 16 h - 32), of 16 values                             6.5625
 *     IQ4_XS  { f16 d; u16 sh; u8 sl[4]; u8 q[128] }         q: nibbles of 32 values
 *             x = d (scale - 32) book[q], of 32 values                          4.25
 *     IQ4_NL  { f16 d; u8 q[16] }                            32 values, as in Q4_0
 *             x = d book[q]                                                     4.5
 */
#include "encode_blocks.h"
#include "encode_search.h"
#include "pack.h"

/* Value i in the low nibbles and i + half in the high ones, for each 2 half of n values. */
static void put_nibbles(uint8_t *out, const uint8_t *codes, int n, int half)
{
    for (int i = 0; i < n; i += 2 * half)
        for (int k = 0; k < half; k++)
            out[i / 2 + k] = (uint8_t)((codes[i + k] & 15) | (codes[i + half + k] & 15) << 4);
}

/* 2 bits of 256 values. */
static void put_pairs(uint8_t out[64], const uint8_t codes[256], int shift)
{
    memset(out, 0, 64);
    for (int i = 0; i < 256; i++)
        out[i / 128 * 32 + i % 32] |= (uint8_t)((codes[i] >> shift & 3) << i % 128 / 32 * 2);
}

/* One bit of 256 values. */
static void put_bits(uint8_t out[32], const uint8_t codes[256], int shift)
{
    memset(out, 0, 32);
    for (int i = 0; i < 256; i++)
        out[i % 32] |= (uint8_t)((codes[i] >> shift & 1) << i / 32);
}

/* Codes from 0 on. */
static void codes_from(const struct nib_search_result *r, int zero, uint8_t codes[256])
{
    for (int i = 0; i < 256; i++)
        codes[i] = (uint8_t)(r->codes[i] + zero);
}

void nib_encode_q2_k(const float *x, const float *importance, uint8_t *out)
{
    static const struct nib_search_shape shape = {
        .n_values = 256, .n = 16, .max_code = 3, .max_scale = 15, .has_min = true, .n_starts = 2};
    struct nib_search_result r;
    uint8_t codes[256];
    nib_search(&shape, x, importance, &r);
    codes_from(&r, 0, codes);
    for (int i = 0; i < 16; i++)
        out[i] = (uint8_t)(r.scales[i] | r.mins[i] << 4);
    put_pairs(out + 16, codes, 0);
    nib_put_u16(out + 80, r.d);
    nib_put_u16(out + 82, r.dmin);
}

/* 16 numbers of 6 bits: the low nibbles of i and i + 8 in byte i, then bits 2j of byte 8 + i hold
 * the high bits of 4j + i. */
static void put_scales_q3(uint8_t out[12], const int scales[16])
{
    memset(out, 0, 12);
    for (int i = 0; i < 16; i++) {
        const int s = scales[i] + 32;
        out[i % 8] |= (uint8_t)((s & 15) << i / 8 * 4);
        out[8 + i % 4] |= (uint8_t)((s >> 4) << i / 4 * 2);
    }
}

void nib_encode_q3_k(const float *x, const float *importance, uint8_t *out)
{
    static const struct nib_search_shape shape = {.n_values = 256,
                                                  .n = 16,
                                                  .min_code = -4,
                                                  .max_code = 3,
                                                  .min_scale = -32,
                                                  .max_scale = 31,
                                                  .n_starts = 2};
    struct nib_search_result r;
    uint8_t codes[256];
    nib_search(&shape, x, importance, &r);
    codes_from(&r, 4, codes);
    put_bits(out, codes, 2);
    put_pairs(out + 32, codes, 0);
    put_scales_q3(out + 96, r.scales);
    nib_put_u16(out + 108, r.d);
}

/*
 * 8 scales and 8 minimums of 6 bits: numbers 0..3 in the low bits of bytes 0..3 (scales) and 4..7
 * (minimums), whose two high bits are those of numbers 4..7; their low nibbles in bytes 8..11,
 * scale low and minimum high.
 */
static void put_scales_q4(uint8_t out[12], const int scales[8], const int mins[8])
{
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)(scales[i] | (scales[i + 4] >> 4) << 6);
        out[4 + i] = (uint8_t)(mins[i] | (mins[i + 4] >> 4) << 6);
        out[8 + i] = (uint8_t)((scales[i + 4] & 15) | (mins[i + 4] & 15) << 4);
    }
}

/* Q4_K, and Q5_K, which has the fifth bits of its codes in between. */
static void encode_q45_k(const struct nib_search_shape *shape, const float *x,
                         const float *importance, uint8_t *out)
{
    struct nib_search_result r;
    uint8_t codes[256];
    nib_search(shape, x, importance, &r);
    codes_from(&r, 0, codes);
    nib_put_u16(out, r.d);
    nib_put_u16(out + 2, r.dmin);
    put_scales_q4(out + 4, r.scales, r.mins);
    out += 16;
    if (shape->max_code > 15) {
        put_bits(out, codes, 4);
        out += 32;
    }
    put_nibbles(out, codes, 256, 32);
}

void nib_encode_q4_k(const float *x, const float *importance, uint8_t *out)
{
    static const struct nib_search_shape shape = {
        .n_values = 256, .n = 32, .max_code = 15, .max_scale = 63, .has_min = true, .n_starts = 3};
    encode_q45_k(&shape, x, importance, out);
}

void nib_encode_q5_k(const float *x, const float *importance, uint8_t *out)
{
    static const struct nib_search_shape shape = {
        .n_values = 256, .n = 32, .max_code = 31, .max_scale = 63, .has_min = true, .n_starts = 3};
    encode_q45_k(&shape, x, importance, out);
}

void nib_encode_q6_k(const float *x, const float *importance, uint8_t *out)
{
    static const struct nib_search_shape shape = {.n_values = 256,
                                                  .n = 16,
                                                  .min_code = -32,
                                                  .max_code = 31,
                                                  .min_scale = -128,
                                                  .max_scale = 127,
                                                  .n_starts = 1};
    struct nib_search_result r;
    uint8_t codes[256];
    nib_search(&shape, x, importance, &r);
    codes_from(&r, 32, codes);
    put_nibbles(out, codes, 256, 64);
    put_pairs(out + 128, codes, 4);
    for (int i = 0; i < 16; i++)
        out[192 + i] = (uint8_t)(int8_t)r.scales[i];
    nib_put_u16(out + 208, r.d);
}

void nib_encode_iq4_xs(const float *x, const float *importance, uint8_t *out)
{
    const struct nib_search_shape shape = {.n_values = 256,
                                           .n = 32,
                                           .min_scale = -32,
                                           .max_scale = 31,
                                           .n_starts = 2,
                                           .book = nib_pack_info(NIB_PACK_IQ4_XS)->book};
    struct nib_search_result r;
    uint8_t codes[256];
    nib_search(&shape, x, importance, &r);
    codes_from(&r, 0, codes);
    uint16_t high = 0;
    memset(out + 4, 0, 4);
    for (int i = 0; i < 8; i++) {
        const int s = r.scales[i] + 32;
        out[4 + i / 2] |= (uint8_t)((s & 15) << i % 2 * 4);
        high |= (uint16_t)((s >> 4) << 2 * i);
    }
    nib_put_u16(out, r.d);
    nib_put_u16(out + 2, high);
    put_nibbles(out + 8, codes, 256, 16);
}

void nib_encode_iq4_nl(const float *x, const float *importance, uint8_t *out)
{
    const struct nib_search_shape shape = {.n_values = 32,
                                           .n = 32,
                                           .min_scale = 1,
                                           .max_scale = 1,
                                           .n_starts = 1,
                                           .book = nib_pack_info(NIB_PACK_IQ4_NL)->book};
    struct nib_search_result r;
    nib_search(&shape, x, importance, &r);
    uint8_t codes[32];
    for (int i = 0; i < 32; i++)
        codes[i] = (uint8_t)r.codes[i];
    nib_put_u16(out, r.d);
    put_nibbles(out + 2, codes, 32, 16);
}
