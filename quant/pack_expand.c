/*
 * Types of under 4 bits that no kernel reads as they are: TQ1_0, TQ2_0, IQ1, IQ2 and IQ3.  Their
 * weights are a scale times a small whole number, which fits 8-bit codes exactly.
 */
#include <string.h>

#include "grids.h"
#include "half.h"
#include "pack_group.h"

enum { CODE_ZERO = 128 };

/* ---- ternary: d times -1, 0, 1 -------------------------------------------------------------- */

static void put_ternary(const struct nib_group_row *g, size_t super, const uint8_t d[2],
                        const uint8_t q[NIB_SUPER])
{
    for (size_t i = 0; i < 8; i++) {
        uint8_t codes[NIB_BLOCK];
        for (size_t j = 0; j < NIB_BLOCK; j++)
            codes[j] = (uint8_t)(q[i * NIB_BLOCK + j] - 1 + CODE_ZERO);
        nib_put_codes(g, super * 8 + i, codes);
        memcpy(g->dst + g->planes.scale + ((super * 8 + i) * NIB_GROUP + (size_t)g->row) * 2, d, 2);
    }
}

/* Digit n of a byte that holds a fraction in base 3, the first digit highest. */
static uint8_t ternary_digit(uint8_t byte, int n)
{
    static const uint8_t power[] = {1, 3, 9, 27, 81};
    return (uint8_t)((uint8_t)(byte * power[n]) * 3 >> 8);
}

/*
 * TQ1_0   { u8 q[48]; u8 h[4]; f16 d }   5 digits a byte: digit n of q[m] is column 32 n + m, of
 *         q[32 + m] column 160 + 16 n + m, and of h[m] (4 digits) column 240 + 4 n + m
 */
void nib_expand_tq1_0(const struct nib_group_row *g, const uint8_t *src, size_t super)
{
    uint8_t q[NIB_SUPER];
    for (int n = 0; n < 5; n++) {
        for (int m = 0; m < 32; m++)
            q[32 * n + m] = ternary_digit(src[m], n);
        for (int m = 0; m < 16; m++)
            q[160 + 16 * n + m] = ternary_digit(src[32 + m], n);
        for (int m = 0; n < 4 && m < 4; m++)
            q[240 + 4 * n + m] = ternary_digit(src[48 + m], n);
    }
    put_ternary(g, super, src + 52, q);
}

/* TQ2_0   { u8 q[64]; f16 d }   columns as in Q2_K; the digit 3 is never written, and means 2. */
void nib_expand_tq2_0(const struct nib_group_row *g, const uint8_t *src, size_t super)
{
    uint8_t q[NIB_SUPER];
    for (int i = 0; i < NIB_SUPER; i++)
        q[i] = src[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
    put_ternary(g, super, src + 64, q);
}

/* ---- points of a grid ----------------------------------------------------------------------- */

/* d = the f16 of bits `half` / divisor, for a super-block. */
static void put_super(const struct nib_group_row *g, size_t super, uint16_t half, float divisor)
{
    const float d = nib_f16_to_f32(half) / divisor; /* a power of two: exact */
    memcpy(g->dst + g->planes.super + super * g->info->super + (size_t)g->row * 4, &d, 4);
}

static uint32_t read_u32(const uint8_t *p)
{
    return nib_read_u16(p) | (uint32_t)nib_read_u16(p + 2) << 16;
}

/* The sign of each of 8 values, from 7: their number is even. */
static uint8_t even_signs(uint32_t bits)
{
    bits &= 127;
    return (uint8_t)(bits | (uint32_t)(__builtin_popcount(bits) & 1) << 7);
}

/* Values of IQ2: bit i of `signs` makes value i negative. */
static void point_iq2(uint8_t codes[8], uint16_t point, uint8_t signs)
{
    static const uint8_t values[4] = {8, 25, 43, 0};
    for (int i = 0; i < 8; i++) {
        const int v = values[point >> 2 * i & 3];
        codes[i] = (uint8_t)(CODE_ZERO + (signs >> i & 1 ? -v : v));
    }
}

static void point_iq3(uint8_t codes[4], uint16_t point, const uint8_t values[8], unsigned signs)
{
    for (int i = 0; i < 4; i++) {
        const int v = values[point >> 4 * i & 7];
        codes[i] = (uint8_t)(CODE_ZERO + (signs >> i & 1 ? -v : v));
    }
}

/* Values of IQ1 are -1, 0, 1, all moved by an eighth up or down; codes count eighths. */
static void point_iq1(uint8_t codes[8], uint16_t point, bool is_down)
{
    for (int i = 0; i < 8; i++)
        codes[i] = (uint8_t)(CODE_ZERO + 8 * ((point >> 2 * i & 3) - 1) + (is_down ? -1 : 1));
}

/* Scales s of 4 bits mean 2 s + 1. */
static void put_odd_scales(const struct nib_group_row *g, size_t block, unsigned first,
                           unsigned second)
{
    nib_put_scale(g, block * 2, (uint8_t)(2 * first + 1));
    nib_put_scale(g, block * 2 + 1, (uint8_t)(2 * second + 1));
}

/*
 * IQ2_XXS { f16 d; { u8 q[4]; u32 s }[8] }   x = d / 8 (2 (s >> 28) + 1) * 8 values each of point
 *         q[i] with the signs 7 i of s
 */
void nib_expand_iq2_xxs(const struct nib_group_row *g, const uint8_t *src, size_t super)
{
    put_super(g, super, nib_read_u16(src), 8);
    for (size_t block = 0; block < 8; block++) {
        const uint8_t *q = src + 2 + block * 8;
        const uint32_t s = read_u32(q + 4);
        uint8_t codes[NIB_BLOCK];
        for (int i = 0; i < 4; i++)
            point_iq2(codes + 8 * i, nib_grid_iq2_xxs[q[i]], even_signs(s >> 7 * i));
        nib_put_codes(g, super * 8 + block, codes);
        put_odd_scales(g, super * 8 + block, s >> 28, s >> 28);
    }
}

/*
 * IQ2_XS  { f16 d; u16 q[32]; u8 s[8] }   9 bits of point and 7 of signs each; a nibble of s for 16
 *         columns
 */
void nib_expand_iq2_xs(const struct nib_group_row *g, const uint8_t *src, size_t super)
{
    put_super(g, super, nib_read_u16(src), 8);
    for (size_t block = 0; block < 8; block++) {
        uint8_t codes[NIB_BLOCK];
        for (size_t i = 0; i < 4; i++) {
            const uint16_t q = nib_read_u16(src + 2 + (block * 4 + i) * 2);
            point_iq2(codes + 8 * i, nib_grid_iq2_xs[q & 511], even_signs(q >> 9));
        }
        nib_put_codes(g, super * 8 + block, codes);
        const uint8_t s = src[66 + block];
        put_odd_scales(g, super * 8 + block, s & 15, s >> 4);
    }
}

/*
 * IQ2_S   { f16 d; u8 q[32]; u8 signs[32]; u8 h[8]; u8 s[8] }   point q[i] | 2 bits of h; signs as
 *         they are
 */
void nib_expand_iq2_s(const struct nib_group_row *g, const uint8_t *src, size_t super)
{
    put_super(g, super, nib_read_u16(src), 8);
    for (size_t block = 0; block < 8; block++) {
        uint8_t codes[NIB_BLOCK];
        for (size_t i = 0; i < 4; i++) {
            const size_t at = block * 4 + i;
            const unsigned high = src[66 + block] >> 2 * i & 3;
            point_iq2(codes + 8 * i, nib_grid_iq2_s[src[2 + at] | high << 8], src[34 + at]);
        }
        nib_put_codes(g, super * 8 + block, codes);
        const uint8_t s = src[74 + block];
        put_odd_scales(g, super * 8 + block, s & 15, s >> 4);
    }
}

/* IQ3_XXS { f16 d; u8 q[64]; u32 s[8] }   x = d / 4 (2 (s >> 28) + 1) * ..., points of 4 values */
void nib_expand_iq3_xxs(const struct nib_group_row *g, const uint8_t *src, size_t super)
{
    static const uint8_t values[8] = {4, 12, 20, 28, 36, 44, 52, 62};
    put_super(g, super, nib_read_u16(src), 4);
    for (size_t block = 0; block < 8; block++) {
        const uint32_t s = read_u32(src + 66 + block * 4);
        uint8_t codes[NIB_BLOCK];
        for (size_t i = 0; i < 8; i++) {
            const unsigned signs = even_signs(s >> 7 * (i / 2));
            point_iq3(codes + 4 * i, nib_grid_iq3_xxs[src[2 + block * 8 + i]], values,
                      signs >> 4 * (i % 2));
        }
        nib_put_codes(g, super * 8 + block, codes);
        put_odd_scales(g, super * 8 + block, s >> 28, s >> 28);
    }
}

/*
 * IQ3_S   { f16 d; u8 q[64]; u8 h[8]; u8 signs[32]; u8 s[4] }   x = d (2 s + 1) * ...; bit i of h
 *         is the ninth bit of the block's point i
 */
void nib_expand_iq3_s(const struct nib_group_row *g, const uint8_t *src, size_t super)
{
    static const uint8_t values[8] = {1, 3, 5, 7, 9, 11, 13, 15};
    put_super(g, super, nib_read_u16(src), 1);
    for (size_t block = 0; block < 8; block++) {
        uint8_t codes[NIB_BLOCK];
        for (size_t i = 0; i < 8; i++) {
            const unsigned high = src[66 + block] >> i & 1;
            const unsigned signs = src[74 + block * 4 + i / 2] >> 4 * (i % 2);
            point_iq3(codes + 4 * i, nib_grid_iq3_s[src[2 + block * 8 + i] | high << 8], values,
                      signs);
        }
        nib_put_codes(g, super * 8 + block, codes);
        const unsigned s = src[106 + block / 2] >> 4 * (block % 2) & 15;
        put_odd_scales(g, super * 8 + block, s, s);
    }
}

/*
 * IQ1_S   { f16 d; u8 q[32]; u16 h[8] }   x = d / 8 (2 s + 1) * codes; h: 3 bits for each of 4
 *         points, s, and which way they are moved
 */
void nib_expand_iq1_s(const struct nib_group_row *g, const uint8_t *src, size_t super)
{
    put_super(g, super, nib_read_u16(src), 8);
    for (size_t block = 0; block < 8; block++) {
        const unsigned h = nib_read_u16(src + 34 + block * 2);
        uint8_t codes[NIB_BLOCK];
        for (size_t i = 0; i < 4; i++)
            point_iq1(codes + 8 * i, nib_grid_iq1[src[2 + block * 4 + i] | (h >> 3 * i & 7) << 8],
                      h >> 15);
        nib_put_codes(g, super * 8 + block, codes);
        put_odd_scales(g, super * 8 + block, h >> 12 & 7, h >> 12 & 7);
    }
}

/*
 * IQ1_M   { u8 q[32]; u8 h[16]; u16 s[4] }   the highest 4 bits of each s make up d, the others are
 *         four scales of 3 bits, of 16 columns each; a nibble of h for each point: 3 bits of it,
 *         and which way it is moved
 */
void nib_expand_iq1_m(const struct nib_group_row *g, const uint8_t *src, size_t super)
{
    unsigned d = 0;
    for (int i = 0; i < 4; i++)
        d |= (unsigned)(nib_read_u16(src + 48 + i * 2) >> 12) << 4 * i;
    put_super(g, super, (uint16_t)d, 8);
    for (size_t block = 0; block < 8; block++) {
        uint8_t codes[NIB_BLOCK];
        for (size_t i = 0; i < 4; i++) {
            const unsigned h = src[32 + block * 2 + i / 2] >> 4 * (i % 2) & 15;
            point_iq1(codes + 8 * i, nib_grid_iq1[src[block * 4 + i] | (h & 7) << 8], h >> 3);
        }
        nib_put_codes(g, super * 8 + block, codes);
        const unsigned s = nib_read_u16(src + 48 + block / 2 * 2) >> block % 2 * 6;
        put_odd_scales(g, super * 8 + block, s & 7, s >> 3 & 7);
    }
}
