#include "pack.h"

#include "half.h"

#include <assert.h>

static const struct nib_pack_info packs[NIB_PACK_COUNT] = {
    [NIB_PACK_F32] = {.name = "f32", .source = NIB_TYPE_F32, .act = NIB_ACT_F32, .float_bytes = 4},
    [NIB_PACK_F16] = {.name = "f16", .source = NIB_TYPE_F16, .act = NIB_ACT_F32, .float_bytes = 2},
    [NIB_PACK_BF16] = {.name = "bf16",
                       .source = NIB_TYPE_BF16,
                       .act = NIB_ACT_F32,
                       .float_bytes = 2},
    [NIB_PACK_Q4_0] = {.name = "q4_0",
                       .source = NIB_TYPE_Q4_0,
                       .act = NIB_ACT_Q8,
                       .zero_shift = 3,
                       .codes = 256,
                       .scale = 32},
    [NIB_PACK_Q4_1] = {.name = "q4_1",
                       .source = NIB_TYPE_Q4_1,
                       .act = NIB_ACT_Q8,
                       .codes = 256,
                       .scale = 32,
                       .min = 32},
    [NIB_PACK_Q8_0] = {.name = "q8_0",
                       .source = NIB_TYPE_Q8_0,
                       .act = NIB_ACT_Q8,
                       .zero_shift = 7,
                       .codes = 512,
                       .scale = 32},
    [NIB_PACK_Q4_K] = {.name = "q4_k",
                       .source = NIB_TYPE_Q4_K,
                       .act = NIB_ACT_Q8,
                       .codes = 256,
                       .scale = 16,
                       .min = 16,
                       .super = 64},
    [NIB_PACK_Q6_K] = {.name = "q6_k",
                       .source = NIB_TYPE_Q6_K,
                       .act = NIB_ACT_Q8,
                       .zero_shift = 5,
                       .codes = 256,
                       .high = 128,
                       .scale = 32,
                       .super = 32},
};

const struct nib_pack_info *nib_pack_info(enum nib_pack pack)
{
    assert(pack < NIB_PACK_COUNT);
    return &packs[pack];
}

bool nib_pack_of_type(enum nib_type type, enum nib_pack *out)
{
    for (int i = 0; i < NIB_PACK_COUNT; i++)
        if (packs[i].source == type) {
            *out = (enum nib_pack)i;
            return true;
        }
    return false;
}

struct nib_planes nib_planes(enum nib_pack pack, size_t n_cols)
{
    const struct nib_pack_info *info = nib_pack_info(pack);
    const size_t n_blocks = n_cols / NIB_BLOCK, n_supers = n_cols / NIB_SUPER;
    struct nib_planes p = {0};
    size_t end =
        info->float_bytes ? info->float_bytes * NIB_GROUP * n_cols : info->codes * n_blocks;
    p.high = end;
    p.scale = p.high + info->high * n_blocks;
    p.min = p.scale + info->scale * n_blocks;
    p.super = p.min + info->min * n_blocks;
    end = p.super + info->super * n_supers;
    p.n_bytes = (end + 63) & ~(size_t)63;
    return p;
}

struct nib_matrix nib_matrix_shape(enum nib_pack pack, uint32_t n_rows, uint32_t n_cols)
{
    return (struct nib_matrix){
        .pack = pack,
        .n_rows = n_rows,
        .n_cols = n_cols,
        .n_groups = ((size_t)n_rows + NIB_GROUP - 1) / NIB_GROUP,
        .planes = nib_planes(pack, n_cols),
    };
}

/* ---- formats --------------------------------------------------------------------------------- */

/*
 * Q4_0  { f16 d; u8 q[16] }           x = d * (q - 8)      4.5 bits per weight
 * Q4_1  { f16 d; f16 m; u8 q[16] }    x = d * q + m        5
 * Q8_0  { f16 d; i8 q[32] }           x = d * q            8.5
 * Byte j of the int4 codes holds column j (low) and column 16 + j (high): the very nibbles of unit
 * j / 4, so packing moves words.
 *
 * Q4_K  { f16 d; f16 dmin; u8 scales[12]; u8 q[128] }      4.5; x = (d * sc) * q - (dmin * m)
 *       8 sub-blocks of 32, a 6-bit sc and m each; q byte 32 i + j: columns 64 i + j, 64 i + 32 + j
 * Q6_K  { u8 ql[128]; u8 qh[64]; i8 scales[16]; f16 d }    6.5625; x = (d * sc) * (q - 32)
 *       16 sub-blocks of 16; in each half of 128 columns, column 32 k + j has its low bits in
 *       nibble k / 2 of ql[j + 32 (k % 2)] and its high ones in bits 2k of qh[j]
 */

static uint16_t read_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

/* The 6-bit scale and minimum of sub-block i of a Q4_K or Q5_K block. */
static void k_scale_min(const uint8_t s[12], int i, uint8_t *scale, uint8_t *min)
{
    if (i < 4) {
        *scale = s[i] & 63;
        *min = s[i + 4] & 63;
    } else {
        *scale = (uint8_t)((s[i + 4] & 15) | (s[i - 4] >> 6) << 4);
        *min = (uint8_t)(s[i + 4] >> 4 | (s[i] >> 6) << 4);
    }
}

static void put_u16(uint8_t *plane, size_t i, int row, uint16_t value)
{
    uint8_t *p = plane + (i * NIB_GROUP + (size_t)row) * 2;
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

/* Source blocks of `head` bytes of scales and then 16 bytes of nibbles. */
static void pack_q4(uint8_t *dst, const struct nib_planes *p, const uint8_t *row, int r,
                    size_t n_blocks, size_t head)
{
    for (size_t b = 0; b < n_blocks; b++, row += head + 16) {
        put_u16(dst + p->scale, b, r, read_u16(row));
        if (head == 4)
            put_u16(dst + p->min, b, r, read_u16(row + 2));
        uint8_t *codes = dst + b * 256 + (size_t)r * 4;
        for (size_t unit = 0; unit < 4; unit++)
            memcpy(codes + unit * 64, row + head + unit * 4, 4);
    }
}

static void pack_q8_0(uint8_t *dst, const struct nib_planes *p, const uint8_t *row, int r,
                      size_t n_blocks)
{
    for (size_t b = 0; b < n_blocks; b++, row += 34) {
        put_u16(dst + p->scale, b, r, read_u16(row));
        uint8_t *codes = dst + b * 512 + (size_t)r * 4;
        for (size_t strip = 0; strip < 8; strip++) {
            uint32_t word;
            memcpy(&word, row + 2 + strip * 4, 4);
            word ^= 0x80808080; /* q + 128 */
            memcpy(codes + strip * 64, &word, 4);
        }
    }
}

/* Lay one block of 32 codes of up to 4 + 2 bits. */
static void put_codes(uint8_t *dst, const struct nib_planes *p, int r, size_t block,
                      const uint8_t codes[NIB_BLOCK], bool has_high)
{
    uint8_t *low = dst + block * 256 + (size_t)r * 4;
    for (int unit = 0; unit < 4; unit++)
        for (int c = 0; c < 4; c++)
            low[unit * 64 + c] =
                (uint8_t)((codes[4 * unit + c] & 15) | (codes[16 + 4 * unit + c] & 15) << 4);
    if (!has_high)
        return;
    uint8_t *high = dst + p->high + block * 128 + (size_t)r * 4;
    for (int unit = 0; unit < 2; unit++)
        for (int c = 0; c < 4; c++) {
            int bits = 0;
            for (int i = 0; i < 4; i++)
                bits |= (codes[(4 * unit + i) * 4 + c] >> 4) << 2 * i;
            high[unit * 64 + c] = (uint8_t)bits;
        }
}

static void pack_q4_k(uint8_t *dst, const struct nib_planes *p, const uint8_t *row, int r,
                      size_t n_supers)
{
    for (size_t s = 0; s < n_supers; s++, row += 144) {
        put_u16(dst + p->super, 2 * s, r, read_u16(row));
        put_u16(dst + p->super, 2 * s + 1, r, read_u16(row + 2));
        for (int i = 0; i < 8; i++) {
            const size_t block = s * 8 + (size_t)i;
            k_scale_min(row + 4, i, dst + p->scale + block * 16 + r, dst + p->min + block * 16 + r);
            uint8_t codes[NIB_BLOCK];
            for (int j = 0; j < NIB_BLOCK; j++)
                codes[j] = row[16 + i / 2 * 32 + j] >> 4 * (i % 2) & 15;
            put_codes(dst, p, r, block, codes, false);
        }
    }
}

static void pack_q6_k(uint8_t *dst, const struct nib_planes *p, const uint8_t *row, int r,
                      size_t n_supers)
{
    for (size_t s = 0; s < n_supers; s++, row += 210) {
        put_u16(dst + p->super, s, r, read_u16(row + 208));
        for (int i = 0; i < 8; i++) {
            const size_t block = s * 8 + (size_t)i;
            const int half = i / 4, k = i % 4;
            uint8_t codes[NIB_BLOCK];
            for (int j = 0; j < NIB_BLOCK; j++) {
                const int low = row[half * 64 + k % 2 * 32 + j] >> k / 2 * 4 & 15;
                const int high = row[128 + half * 32 + j] >> 2 * k & 3;
                codes[j] = (uint8_t)(low | high << 4);
            }
            put_codes(dst, p, r, block, codes, true);
            for (size_t j = 0; j < 2; j++)
                dst[p->scale + (block * 2 + j) * 16 + (size_t)r] = row[192 + 2 * (size_t)i + j];
        }
    }
}

static void pack_floats(uint8_t *dst, const uint8_t *row, int r, size_t n_cols, size_t n_bytes)
{
    for (size_t k = 0; k < n_cols; k++)
        memcpy(dst + (k * NIB_GROUP + (size_t)r) * n_bytes, row + k * n_bytes, n_bytes);
}

void nib_pack_group(enum nib_pack pack, uint8_t *dst, const uint8_t *const rows[NIB_GROUP],
                    size_t n_cols)
{
    const struct nib_planes p = nib_planes(pack, n_cols);
    const size_t n_blocks = n_cols / NIB_BLOCK, n_supers = n_cols / NIB_SUPER;
    for (int r = 0; r < NIB_GROUP; r++) {
        if (!rows[r])
            continue; /* the caller's memory is zeroed */
        switch (pack) {
        case NIB_PACK_F32:
            pack_floats(dst, rows[r], r, n_cols, 4);
            break;
        case NIB_PACK_F16:
        case NIB_PACK_BF16:
            pack_floats(dst, rows[r], r, n_cols, 2);
            break;
        case NIB_PACK_Q4_0:
            pack_q4(dst, &p, rows[r], r, n_blocks, 2);
            break;
        case NIB_PACK_Q4_1:
            pack_q4(dst, &p, rows[r], r, n_blocks, 4);
            break;
        case NIB_PACK_Q8_0:
            pack_q8_0(dst, &p, rows[r], r, n_blocks);
            break;
        case NIB_PACK_Q4_K:
            pack_q4_k(dst, &p, rows[r], r, n_supers);
            break;
        case NIB_PACK_Q6_K:
            pack_q6_k(dst, &p, rows[r], r, n_supers);
            break;
        case NIB_PACK_COUNT:
            assert(!"no such packing");
        }
    }
}

/* ---- reading back ---------------------------------------------------------------------------- */

int nib_matrix_code(const struct nib_matrix *m, const uint8_t *group, int row, size_t col)
{
    const size_t block = col / NIB_BLOCK, strip = col % NIB_BLOCK / 4,
                 lane = (size_t)row * 4 + col % 4;
    if (m->pack == NIB_PACK_Q8_0)
        return group[block * 512 + strip * 64 + lane];
    int code = group[block * 256 + strip % 4 * 64 + lane] >> (strip < 4 ? 0 : 4) & 15;
    if (nib_pack_info(m->pack)->high)
        code |= (group[m->planes.high + block * 128 + strip / 4 * 64 + lane] >> strip % 4 * 2 & 3)
                << 4;
    return code;
}

static float plane_f16(const uint8_t *plane, size_t i, int row)
{
    return nib_f16_to_f32(read_u16(plane + (i * NIB_GROUP + (size_t)row) * 2));
}

struct nib_scale nib_matrix_scale(const struct nib_matrix *m, const uint8_t *group, int row,
                                  size_t col)
{
    const struct nib_planes *p = &m->planes;
    const size_t block = col / NIB_BLOCK, super = col / NIB_SUPER;
    struct nib_scale s = {0};
    if (m->pack == NIB_PACK_Q4_K) {
        s.scale = plane_f16(group + p->super, 2 * super, row) *
                  (float)group[p->scale + block * 16 + (size_t)row];
        s.min = -(plane_f16(group + p->super, 2 * super + 1, row) *
                  (float)group[p->min + block * 16 + (size_t)row]);
    } else if (m->pack == NIB_PACK_Q6_K) {
        const int8_t sub = (int8_t)group[p->scale + col / 16 * 16 + (size_t)row];
        s.scale = plane_f16(group + p->super, super, row) * (float)sub;
    } else {
        s.scale = plane_f16(group + p->scale, block, row);
        if (nib_pack_info(m->pack)->min)
            s.min = plane_f16(group + p->min, block, row);
    }
    return s;
}

static void float_row(const struct nib_matrix *m, const uint8_t *group, int r, float *out)
{
    const size_t n_bytes = nib_pack_info(m->pack)->float_bytes;
    for (size_t k = 0; k < m->n_cols; k++) {
        const uint8_t *p = group + (k * NIB_GROUP + (size_t)r) * n_bytes;
        if (m->pack == NIB_PACK_F32)
            memcpy(&out[k], p, 4);
        else
            out[k] = m->pack == NIB_PACK_F16 ? nib_f16_to_f32(read_u16(p))
                                             : nib_bf16_to_f32(read_u16(p));
    }
}

void nib_matrix_row(const struct nib_matrix *m, size_t row, float *out)
{
    const struct nib_pack_info *info = nib_pack_info(m->pack);
    const uint8_t *group = m->data + row / NIB_GROUP * m->planes.n_bytes;
    const int r = (int)(row % NIB_GROUP);
    if (info->float_bytes) {
        float_row(m, group, r, out);
        return;
    }
    const int zero = info->zero_shift ? 1 << info->zero_shift : 0;
    for (size_t begin = 0; begin < m->n_cols; begin += 16) { /* no scale covers fewer columns */
        const struct nib_scale s = nib_matrix_scale(m, group, r, begin);
        for (size_t k = begin; k < begin + 16; k++) {
            const float x = s.scale * (float)(nib_matrix_code(m, group, r, k) - zero);
            out[k] = info->min ? x + s.min : x;
        }
    }
}
