/* Float weights, of matmul_neon_template.h: acc = fma(w[k], x[k], acc) for ascending k. */

INLINE float32x4_t load_weights(const uint8_t *p, const enum nib_pack pack)
{
    if (pack == NIB_PACK_F32)
        return vreinterpretq_f32_u8(vld1q_u8(p));
    if (pack == NIB_PACK_F16)
        return load_f16(p);
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
}

enum { FLOAT_GROUPS = 4, FLOAT_TOKENS = 6 };

/* n_groups x n chains of 16 rows at once, as each is a chain of dependent fmas. */
INLINE void tile_float(const struct nib_matmul *m, size_t g, size_t t0, const int n,
                       const enum nib_pack pack, const int n_groups)
{
    const size_t size = pack == NIB_PACK_F32 ? 4 : 2;
    const size_t n_cols = m->w->n_cols, group_bytes = m->w->planes.n_bytes;
    const uint8_t *w = m->w->data + g * group_bytes;
    const float *x = m->x->f + t0 * m->x->stride;
    float32x4_t acc[FLOAT_GROUPS][FLOAT_TOKENS][QUADS];
    UNROLL for (int i = 0; i < n_groups; i++) UNROLL for (int t = 0; t < n; t++)
        UNROLL for (int j = 0; j < QUADS; j++) acc[i][t][j] = vdupq_n_f32(0.0f);
    for (size_t k = 0; k < n_cols; k++) {
        UNROLL for (int i = 0; i < n_groups; i++)
        {
            const uint8_t *column = w + (size_t)i * group_bytes + k * NIB_GROUP * size;
            UNROLL for (int j = 0; j < QUADS; j++)
            {
                const float32x4_t weights = load_weights(column + 4 * size * (size_t)j, pack);
                UNROLL for (int t = 0; t < n; t++) acc[i][t][j] =
                    vfmaq_n_f32(acc[i][t][j], weights, x[(size_t)t * m->x->stride + k]);
            }
        }
    }
    UNROLL for (int i = 0; i < n_groups; i++) UNROLL for (int t = 0; t < n; t++)
    {
        const float32x4_t *a = acc[i][t], sums[QUADS] = {a[0], a[1], a[2], a[3]};
        store_group(m, g + (size_t)i, t0 + (size_t)t, sums);
    }
}

/* 16 to 24 registers of sums: 4 groups by 1 token, 2 by 2 or 3, 1 by 4 to 6. */
INLINE void matmul_floats(const struct nib_matmul *m, const enum nib_pack pack)
{
    const size_t n = m->token_end - m->token_begin;
    const size_t n_tiles = (n + FLOAT_TOKENS - 1) / FLOAT_TOKENS;
    for (size_t i = 0; i < n_tiles; i++) {
        const size_t t0 = m->token_begin + n * i / n_tiles;
        const size_t width = m->token_begin + n * (i + 1) / n_tiles - t0;
        size_t g = m->group_begin;
        for (; width == 1 && g + 4 <= m->group_end; g += 4)
            tile_float(m, g, t0, 1, pack, 4);
        for (; width == 2 && g + 2 <= m->group_end; g += 2)
            tile_float(m, g, t0, 2, pack, 2);
        for (; width == 3 && g + 2 <= m->group_end; g += 2)
            tile_float(m, g, t0, 3, pack, 2);
        for (; g < m->group_end; g++) {
            switch (width) {
            case 1:
                tile_float(m, g, t0, 1, pack, 1);
                break;
            case 2:
                tile_float(m, g, t0, 2, pack, 1);
                break;
            case 3:
                tile_float(m, g, t0, 3, pack, 1);
                break;
            case 4:
                tile_float(m, g, t0, 4, pack, 1);
                break;
            case 5:
                tile_float(m, g, t0, 5, pack, 1);
                break;
            case 6:
                tile_float(m, g, t0, 6, pack, 1);
                break;
            }
        }
    }
}
