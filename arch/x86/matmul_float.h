/* Float weights, of matmul_template.h: acc = fma(w[k], x[k], acc) for ascending k. */

INLINE vfloat load_weights(const uint8_t *p, const enum nib_pack pack)
{
    if (pack == NIB_PACK_F32)
        return V(loadu_ps)((const float *)(const void *)p);
    if (pack == NIB_PACK_F16)
        return vfloat_f16(p);
    return vfloat_of_bits(V(slli_epi32)(vint_u16(p), 16));
}

/* n_groups x n chains at once, as each is a chain of dependent fmas. */
INLINE void tile_float(const struct nib_matmul *m, size_t g, size_t row, size_t t0, const int n,
                       const enum nib_pack pack, const int n_groups)
{
    const size_t size = pack == NIB_PACK_F32 ? 4 : 2;
    const size_t n_cols = m->w->n_cols, group_bytes = m->w->planes.n_bytes;
    const uint8_t *w = m->w->data + g * group_bytes + row * size;
    const float *x = m->x->f + t0 * m->x->stride;
    vfloat acc[8][4];
    UNROLL for (int i = 0; i < n_groups; i++) UNROLL for (int t = 0; t < n; t++) acc[i][t] =
        V(setzero_ps)();
    for (size_t k = 0; k < n_cols; k++) {
        UNROLL for (int i = 0; i < n_groups; i++)
        {
            const vfloat weights =
                load_weights(w + (size_t)i * group_bytes + k * NIB_GROUP * size, pack);
            UNROLL for (int t = 0; t < n; t++) acc[i][t] =
                V(fmadd_ps)(weights, V(set1_ps)(x[(size_t)t * m->x->stride + k]), acc[i][t]);
        }
    }
    UNROLL for (int i = 0; i < n_groups; i++)
        store_sums(m, (g + (size_t)i) * NIB_GROUP + row, t0, acc[i], n);
}

INLINE void matmul_floats(const struct nib_matmul *m, const enum nib_pack pack)
{
    for (size_t row = 0; row < NIB_GROUP; row += LANES) {
        size_t g = m->group_begin;
        for (; g + 4 <= m->group_end; g += 4) {
            size_t t = m->token_begin;
            for (; t + 2 <= m->token_end; t += 2)
                tile_float(m, g, row, t, 2, pack, 4);
            if (t < m->token_end)
                tile_float(m, g, row, t, 1, pack, 4);
        }
        for (; g < m->group_end; g++) {
            size_t t = m->token_begin;
            for (; t + 4 <= m->token_end; t += 4)
                tile_float(m, g, row, t, 4, pack, 1);
            for (; t < m->token_end; t++)
                tile_float(m, g, row, t, 1, pack, 1);
        }
    }
}
