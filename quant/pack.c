/* Packed matrices: where their parts lie, and reading single elements back. */
#include "pack.h"

#include "half.h"
#include "pack_table.h"

#include <assert.h>
#include <string.h>

const struct nib_pack_info *nib_pack_info(enum nib_pack pack)
{
    assert(pack < NIB_PACK_COUNT);
    return &nib_packs[pack];
}

bool nib_pack_of_type(enum nib_type type, enum nib_pack *out)
{
    switch (type) { /* what is expanded; the others have a packing of their own */
    case NIB_TYPE_TQ1_0:
    case NIB_TYPE_TQ2_0:
        *out = NIB_PACK_Q8_0;
        return true;
    case NIB_TYPE_IQ1_S:
    case NIB_TYPE_IQ1_M:
    case NIB_TYPE_IQ2_XXS:
    case NIB_TYPE_IQ2_XS:
    case NIB_TYPE_IQ2_S:
    case NIB_TYPE_IQ3_XXS:
    case NIB_TYPE_IQ3_S:
        *out = NIB_PACK_I8;
        return true;
    default:
        break;
    }
    for (int i = 0; i < NIB_PACK_COUNT; i++)
        if (nib_packs[i].source == type && type < NIB_TYPE_END) {
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
    p.two = info->float_bytes ? info->float_bytes * NIB_GROUP * n_cols : info->codes * n_blocks;
    p.one = p.two + info->two * n_blocks;
    p.scale = p.one + info->one * n_blocks;
    p.min = p.scale + info->scale * n_blocks;
    p.super = p.min + info->min * n_blocks;
    p.n_bytes = (p.super + info->super * n_supers + 63) & ~(size_t)63;
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

/* ---- codes ----------------------------------------------------------------------------------- */

int nib_matrix_code(const struct nib_matrix *m, const uint8_t *group, int row, size_t col)
{
    const struct nib_pack_info *info = nib_pack_info(m->pack);
    const size_t block = col / NIB_BLOCK, strip = col % NIB_BLOCK / 4;
    const size_t lane = (size_t)row * 4 + col % 4;
    if (info->codes == 512)
        return group[block * 512 + strip * 64 + lane];
    int code = 0, n_bits = 0;
    if (info->codes) {
        code = group[block * 256 + strip % 4 * 64 + lane] >> (strip < 4 ? 0 : 4) & 15;
        n_bits = 4;
    }
    if (info->two) {
        const uint8_t byte = group[m->planes.two + block * 128 + strip / 4 * 64 + lane];
        code |= (byte >> strip % 4 * 2 & 3) << n_bits;
        n_bits += 2;
    }
    if (info->one)
        code |= (group[m->planes.one + block * 64 + lane] >> strip & 1) << n_bits;
    return info->book ? info->book[code] + (1 << info->zero_shift) : code;
}

/* ---- scales ---------------------------------------------------------------------------------- */

static float plane_f16(const uint8_t *plane, size_t i, int row)
{
    const uint8_t *p = plane + (i * NIB_GROUP + (size_t)row) * 2;
    return nib_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

/* 2^(e - 128); the two smallest are denormal. */
static float e8m0_half(uint8_t e)
{
    return nib_bits_float(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

/* Scale i, 0..15, of a NIB_SCALE_I6_16 super-block. */
static int scale_6_bits(const uint8_t *super, size_t i, int row)
{
    const uint8_t low = super[32 + i % 8 * NIB_GROUP + (size_t)row];
    const uint8_t high = super[160 + i % 4 * NIB_GROUP + (size_t)row];
    return ((low >> i / 8 * 4 & 15) | (high >> i / 4 * 2 & 3) << 4) - 32;
}

struct nib_scale nib_matrix_scale(const struct nib_matrix *m, const uint8_t *group, int row,
                                  size_t col)
{
    const struct nib_planes *p = &m->planes;
    const struct nib_pack_info *info = nib_pack_info(m->pack);
    const size_t i = col / nib_scale_columns(info->form);
    const uint8_t *super = group + p->super + col / NIB_SUPER * info->super;
    const uint8_t byte = info->scale ? group[p->scale + i * NIB_GROUP + (size_t)row] : 0;
    struct nib_scale s = {0};
    switch (info->form) {
    case NIB_SCALE_NONE:
        s.scale = 1.0f;
        break;
    case NIB_SCALE_F16:
        s.scale = plane_f16(group + p->scale, i, row);
        s.min = info->min ? plane_f16(group + p->min, i, row) : 0.0f;
        break;
    case NIB_SCALE_E8M0:
        s.scale = e8m0_half(byte);
        break;
    case NIB_SCALE_U8_MIN:
        s.scale = plane_f16(super, 0, row) * (float)byte;
        s.min = -(plane_f16(super, 1, row) * (float)group[p->min + i * NIB_GROUP + (size_t)row]);
        break;
    case NIB_SCALE_I8:
    case NIB_SCALE_I8_16:
        s.scale = plane_f16(super, 0, row) * (float)(int8_t)byte;
        break;
    case NIB_SCALE_F32_16:
        memcpy(&s.scale, super + (size_t)row * 4, 4);
        s.scale *= (float)(int8_t)byte;
        break;
    case NIB_SCALE_I6_16:
        s.scale = plane_f16(super, 0, row) * (float)scale_6_bits(super, i % 16, row);
        break;
    case NIB_SCALE_U4_16:
        s.scale = plane_f16(super, 0, row) * (float)(byte & 15);
        s.min = -(plane_f16(super, 1, row) * (float)(byte >> 4));
        break;
    }
    return s;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void float_row(const struct nib_matrix *m, const uint8_t *group, int r, float *out)
{
    const size_t n_bytes = nib_pack_info(m->pack)->float_bytes;
    for (size_t k = 0; k < m->n_cols; k++) {
        const uint8_t *p = group + (k * NIB_GROUP + (size_t)r) * n_bytes;
        const uint16_t half = (uint16_t)(p[0] | p[1] << 8);
        if (m->pack == NIB_PACK_F32)
            memcpy(&out[k], p, 4);
        else
            out[k] = m->pack == NIB_PACK_F16 ? nib_f16_to_f32(half) : nib_bf16_to_f32(half);
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
    const bool has_min = nib_pack_has_min(info);
    const size_t n = nib_scale_columns(info->form);
    for (size_t begin = 0; begin < m->n_cols; begin += n) {
        const struct nib_scale s = nib_matrix_scale(m, group, r, begin);
        for (size_t k = begin; k < begin + n; k++) {
            const float x = s.scale * (float)(nib_matrix_code(m, group, r, k) - zero);
            out[k] = has_min ? x + s.min : x;
        }
    }
}
