/*
 * Packing: from rows of a GGUF type to the planes of a group of 16 rows.
 *
 * Each format below is drawn as it lies in the file, little-endian; column j of a block is x[j].
 */
#include "pack_group.h"

#include "half.h"

#include <assert.h>
#include <string.h>

uint16_t nib_read_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

/* ---- placing one row's part in the planes --------------------------------------------------- */

void nib_put_codes(const struct nib_group_row *g, size_t block, const uint8_t codes[NIB_BLOCK])
{
    const size_t lane = (size_t)g->row * 4;
    if (g->info->codes == 512) {
        for (size_t i = 0; i < NIB_BLOCK; i++)
            g->dst[block * 512 + i / 4 * 64 + lane + i % 4] = codes[i];
        return;
    }
    int shift = 0;
    if (g->info->codes) {
        uint8_t *p = g->dst + block * 256 + lane;
        for (size_t i = 0; i < 16; i++)
            p[i / 4 * 64 + i % 4] = (uint8_t)((codes[i] & 15) | (codes[16 + i] & 15) << 4);
        shift = 4;
    }
    if (g->info->two) {
        uint8_t *p = g->dst + g->planes.two + block * 128 + lane;
        for (size_t i = 0; i < NIB_BLOCK; i++)
            p[i / 16 * 64 + i % 4] |= (uint8_t)((codes[i] >> shift & 3) << i % 16 / 4 * 2);
        shift += 2;
    }
    if (g->info->one) {
        uint8_t *p = g->dst + g->planes.one + block * 64 + lane;
        for (size_t i = 0; i < NIB_BLOCK; i++)
            p[i % 4] |= (uint8_t)((codes[i] >> shift & 1) << i / 4);
    }
}

static void put_u16(uint8_t *plane, const struct nib_group_row *g, size_t i, const uint8_t value[2])
{
    memcpy(plane + (i * NIB_GROUP + (size_t)g->row) * 2, value, 2);
}

void nib_put_scale(const struct nib_group_row *g, size_t i, uint8_t scale)
{
    g->dst[g->planes.scale + i * NIB_GROUP + (size_t)g->row] = scale;
}

static void put_min(const struct nib_group_row *g, size_t i, uint8_t min)
{
    g->dst[g->planes.min + i * NIB_GROUP + (size_t)g->row] = min;
}

static void put_scale_f16(const struct nib_group_row *g, size_t block, const uint8_t scale[2])
{
    put_u16(g->dst + g->planes.scale, g, block, scale);
}

static void put_min_f16(const struct nib_group_row *g, size_t block, const uint8_t min[2])
{
    put_u16(g->dst + g->planes.min, g, block, min);
}

static uint8_t *super_at(const struct nib_group_row *g, size_t super)
{
    return g->dst + g->planes.super + super * g->info->super;
}

/* ---- one scale per 32 columns --------------------------------------------------------------- */

/*
 * Q4_0    { f16 d; u8 q[16] }              x = d * (q - 8)          4.5 bits per weight
 * Q4_1    { f16 d, m; u8 q[16] }           x = d * q + m            5
 * IQ4_NL  { f16 d; u8 q[16] }              x = d * book[q]          4.5
 * MXFP4   { e8m0 d; u8 q[16] }             x = d / 2 * book[q]      4.25
 * Byte j of q holds column j (low) and column 16 + j (high): the very nibbles of unit j / 4, so
 * packing moves words.
 */
static void put_nibbles(const struct nib_group_row *g, size_t block, const uint8_t q[16])
{
    uint8_t *codes = g->dst + block * 256 + (size_t)g->row * 4;
    for (size_t unit = 0; unit < 4; unit++)
        memcpy(codes + unit * 64, q + unit * 4, 4);
}

static void pack_q4_0(const struct nib_group_row *g, const uint8_t *src, size_t block)
{
    put_scale_f16(g, block, src);
    put_nibbles(g, block, src + 2);
}

static void pack_q4_1(const struct nib_group_row *g, const uint8_t *src, size_t block)
{
    put_scale_f16(g, block, src);
    put_min_f16(g, block, src + 2);
    put_nibbles(g, block, src + 4);
}

static void pack_mxfp4(const struct nib_group_row *g, const uint8_t *src, size_t block)
{
    nib_put_scale(g, block, src[0]);
    put_nibbles(g, block, src + 1);
}

/*
 * Q5_0    { f16 d; u32 h; u8 q[16] }       x = d * (q - 16)         5.5
 * Q5_1    { f16 d, m; u32 h; u8 q[16] }    x = d * q + m            6
 * q as in Q4_0; bit j of h is the fifth bit of column j.
 */
static void put_nibbles_and_bits(const struct nib_group_row *g, size_t block, const uint8_t *h,
                                 const uint8_t q[16])
{
    uint8_t codes[NIB_BLOCK];
    for (int j = 0; j < 32; j++)
        codes[j] = (uint8_t)((q[j % 16] >> (j < 16 ? 0 : 4) & 15) | (h[j / 8] >> j % 8 & 1) << 4);
    nib_put_codes(g, block, codes);
}

static void pack_q5_0(const struct nib_group_row *g, const uint8_t *src, size_t block)
{
    put_scale_f16(g, block, src);
    put_nibbles_and_bits(g, block, src + 2, src + 6);
}

static void pack_q5_1(const struct nib_group_row *g, const uint8_t *src, size_t block)
{
    put_scale_f16(g, block, src);
    put_min_f16(g, block, src + 2);
    put_nibbles_and_bits(g, block, src + 4, src + 8);
}

/* Q8_0    { f16 d; i8 q[32] }              x = d * q                8.5; packed q + 128 */
static void pack_q8_0(const struct nib_group_row *g, const uint8_t *src, size_t block)
{
    put_scale_f16(g, block, src);
    uint8_t *codes = g->dst + block * 512 + (size_t)g->row * 4;
    for (size_t strip = 0; strip < 8; strip++) {
        uint32_t word;
        memcpy(&word, src + 2 + strip * 4, 4);
        word ^= 0x80808080;
        memcpy(codes + strip * 64, &word, 4);
    }
}

/* ---- two levels of scales ------------------------------------------------------------------- */

/*
 * Q4_K    { f16 d, dmin; u8 s[12]; u8 q[128] }               x = (d sc) q - (dmin m)       4.5
 * Q5_K    { f16 d, dmin; u8 s[12]; u8 h[32]; u8 q[128] }     the same                      5.5
 * 8 sub-blocks of 32 columns, a 6-bit sc and m each.  Byte 32 i + j of q holds columns 64 i + j
 * (low) and 64 i + 32 + j; bit i of h[j] is the fifth bit of column 32 i + j.
 */
static void k_scale_min(const uint8_t s[12], size_t i, uint8_t *scale, uint8_t *min)
{
    if (i < 4) {
        *scale = s[i] & 63;
        *min = s[i + 4] & 63;
    } else {
        *scale = (uint8_t)((s[i + 4] & 15) | (s[i - 4] >> 6) << 4);
        *min = (uint8_t)(s[i + 4] >> 4 | (s[i] >> 6) << 4);
    }
}

static void pack_q45_k(const struct nib_group_row *g, const uint8_t *src, size_t super,
                       const uint8_t *high, const uint8_t *q)
{
    put_u16(super_at(g, super), g, 0, src);
    put_u16(super_at(g, super), g, 1, src + 2);
    for (size_t i = 0; i < 8; i++) {
        uint8_t scale, min, codes[NIB_BLOCK];
        k_scale_min(src + 4, i, &scale, &min);
        nib_put_scale(g, super * 8 + i, scale);
        put_min(g, super * 8 + i, min);
        for (size_t j = 0; j < NIB_BLOCK; j++)
            codes[j] = (uint8_t)((q[i / 2 * 32 + j] >> 4 * (i % 2) & 15) |
                                 (high ? (high[j] >> i & 1) << 4 : 0));
        nib_put_codes(g, super * 8 + i, codes);
    }
}

static void pack_q4_k(const struct nib_group_row *g, const uint8_t *src, size_t super)
{
    pack_q45_k(g, src, super, NULL, src + 16);
}

static void pack_q5_k(const struct nib_group_row *g, const uint8_t *src, size_t super)
{
    pack_q45_k(g, src, super, src + 16, src + 48);
}

/*
 * Q6_K    { u8 ql[128]; u8 qh[64]; i8 s[16]; f16 d }         x = (d s) (q - 32)            6.5625
 * 16 sub-blocks of 16; in each half of 128 columns, column 32 k + j has its low bits in nibble
 * k / 2 of ql[j + 32 (k % 2)] and its high ones in bits 2k of qh[j].
 */
static void pack_q6_k(const struct nib_group_row *g, const uint8_t *src, size_t super)
{
    put_u16(super_at(g, super), g, 0, src + 208);
    for (size_t i = 0; i < 8; i++) {
        const size_t half = i / 4, k = i % 4;
        uint8_t codes[NIB_BLOCK];
        for (size_t j = 0; j < NIB_BLOCK; j++)
            codes[j] = (uint8_t)((src[half * 64 + k % 2 * 32 + j] >> k / 2 * 4 & 15) |
                                 (src[128 + half * 32 + j] >> 2 * k & 3) << 4);
        nib_put_codes(g, super * 8 + i, codes);
        for (size_t j = 2 * i; j < 2 * i + 2; j++)
            nib_put_scale(g, super * 16 + j, src[192 + j]);
    }
}

/*
 * Q2_K    { u8 s[16]; u8 q[64]; f16 d, dmin }                x = (d (s & 15)) q - (dmin (s >> 4))
 *         2.625; 16 sub-blocks of 16; column 128 h + 32 k + j is bits 2k of q[32 h + j]
 */
static void pack_q2_k(const struct nib_group_row *g, const uint8_t *src, size_t super)
{
    put_u16(super_at(g, super), g, 0, src + 80);
    put_u16(super_at(g, super), g, 1, src + 82);
    for (size_t i = 0; i < 8; i++) {
        uint8_t codes[NIB_BLOCK];
        for (size_t j = 0; j < NIB_BLOCK; j++)
            codes[j] = src[16 + i / 4 * 32 + j] >> 2 * (i % 4) & 3;
        nib_put_codes(g, super * 8 + i, codes);
    }
    for (size_t i = 0; i < 16; i++)
        nib_put_scale(g, super * 16 + i, src[i]);
}

/*
 * Q3_K    { u8 h[32]; u8 q[64]; u8 s[12]; f16 d }            x = (d (s - 32)) (q - 4)      3.4375
 *         q as in Q2_K; bit i of h[j] is the third bit of column 32 i + j; scale i has its low
 *         bits in nibble i / 8 of s[i % 8] and its high ones in bits 2 (i / 4) of s[8 + i % 4],
 *         which is how they are packed, too
 */
static void pack_q3_k(const struct nib_group_row *g, const uint8_t *src, size_t super)
{
    uint8_t *plane = super_at(g, super);
    put_u16(plane, g, 0, src + 108);
    for (size_t i = 0; i < 12; i++)
        plane[32 + i * NIB_GROUP + (size_t)g->row] = src[96 + i];
    for (size_t i = 0; i < 8; i++) {
        uint8_t codes[NIB_BLOCK];
        for (size_t j = 0; j < NIB_BLOCK; j++)
            codes[j] =
                (uint8_t)((src[32 + i / 4 * 32 + j] >> 2 * (i % 4) & 3) | (src[j] >> i & 1) << 2);
        nib_put_codes(g, super * 8 + i, codes);
    }
}

/*
 * IQ4_XS  { f16 d; u16 h; u8 l[4]; u8 q[128] }               x = (d (s - 32)) book[q]      4.25
 *         8 sub-blocks of 32, scale i in nibble i % 2 of l[i / 2] and bits 2i of h; q of each as
 *         in Q4_0
 */
static void pack_iq4_xs(const struct nib_group_row *g, const uint8_t *src, size_t super)
{
    put_u16(super_at(g, super), g, 0, src);
    const unsigned high = nib_read_u16(src + 2);
    for (size_t i = 0; i < 8; i++) {
        const unsigned scale = (src[4 + i / 2] >> i % 2 * 4 & 15) | (high >> 2 * i & 3) << 4;
        nib_put_scale(g, super * 8 + i, (uint8_t)(scale - 32));
        put_nibbles(g, super * 8 + i, src + 8 + i * 16);
    }
}

/* ---- all of them ---------------------------------------------------------------------------- */

typedef void pack_block_fn(const struct nib_group_row *g, const uint8_t *src, size_t block);

/* One block of the source type, whose number in the row is given. */
static pack_block_fn *const block_packers[NIB_TYPE_END] = {
    [NIB_TYPE_Q4_0] = pack_q4_0,
    [NIB_TYPE_Q4_1] = pack_q4_1,
    [NIB_TYPE_Q5_0] = pack_q5_0,
    [NIB_TYPE_Q5_1] = pack_q5_1,
    [NIB_TYPE_Q8_0] = pack_q8_0,
    [NIB_TYPE_IQ4_NL] = pack_q4_0,
    [NIB_TYPE_MXFP4] = pack_mxfp4,
    [NIB_TYPE_Q2_K] = pack_q2_k,
    [NIB_TYPE_Q3_K] = pack_q3_k,
    [NIB_TYPE_Q4_K] = pack_q4_k,
    [NIB_TYPE_Q5_K] = pack_q5_k,
    [NIB_TYPE_Q6_K] = pack_q6_k,
    [NIB_TYPE_IQ4_XS] = pack_iq4_xs,
    [NIB_TYPE_TQ1_0] = nib_expand_tq1_0,
    [NIB_TYPE_TQ2_0] = nib_expand_tq2_0,
    [NIB_TYPE_IQ1_S] = nib_expand_iq1_s,
    [NIB_TYPE_IQ1_M] = nib_expand_iq1_m,
    [NIB_TYPE_IQ2_XXS] = nib_expand_iq2_xxs,
    [NIB_TYPE_IQ2_XS] = nib_expand_iq2_xs,
    [NIB_TYPE_IQ2_S] = nib_expand_iq2_s,
    [NIB_TYPE_IQ3_XXS] = nib_expand_iq3_xxs,
    [NIB_TYPE_IQ3_S] = nib_expand_iq3_s,
};

static void pack_floats(uint8_t *dst, const uint8_t *row, size_t r, size_t n_cols, size_t n_bytes)
{
    for (size_t k = 0; k < n_cols; k++)
        memcpy(dst + (k * NIB_GROUP + r) * n_bytes, row + k * n_bytes, n_bytes);
}

void nib_pack_group(enum nib_type source, uint8_t *dst, const uint8_t *const rows[NIB_GROUP],
                    size_t n_cols)
{
    enum nib_pack pack = NIB_PACK_F32;
    const bool has_packing = nib_pack_of_type(source, &pack);
    assert(has_packing);
    (void)has_packing;
    const struct nib_type_info *type = nib_type_info(source);
    struct nib_group_row g = {
        .info = nib_pack_info(pack), .planes = nib_planes(pack, n_cols), .dst = dst};
    for (g.row = 0; g.row < NIB_GROUP; g.row++) {
        const uint8_t *src = rows[g.row];
        if (!src)
            continue; /* the caller's memory is zeroed */
        if (g.info->float_bytes) {
            pack_floats(dst, src, (size_t)g.row, n_cols, g.info->float_bytes);
            continue;
        }
        for (size_t block = 0; block < n_cols / type->n_values; block++)
            block_packers[source](&g, src + block * type->n_bytes, block);
    }
}
