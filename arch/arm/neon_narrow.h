/* One or two tokens, of matmul_neon_template.h: a stream of weights through registers. */

enum { STREAM_TOKENS = 2 };

/* -zero * the sum of the activations that a scale covers, where integer sums begin. */
INLINE int32_t zero_share(const struct inputs *x, const struct nib_pack_info *info, int half, int t)
{
    if (has_no_zero(info))
        return 0;
    const bool of_16 = nib_scale_columns(info->form) == 16;
    const int32_t zero = of_16 ? x->zero_half[(size_t)half * x->stride + (size_t)t] : x->zero[t];
    return -nib_act_isum(zero, x->n_parts) * (1 << info->zero_shift);
}

/* idot[t] of a quad += the dots of strips [first, first + n_strips). */
INLINE void stream_strips(int32x4_t idot[STREAM_TOKENS], const struct block *w,
                          const struct nib_pack_info *info, const struct inputs *x, size_t quad,
                          int first, int n_strips, int n)
{
#if MATMUL_DOTPROD
    UNROLL for (int i = first; i < first + n_strips; i++)
    {
        const int8x16_t codes = strip_codes(w, info, quad, i);
        UNROLL for (int t = 0; t < n; t++) idot[t] =
            dot(idot[t], codes, vld1q_s8(x->q + t * NIB_BLOCK + i / 4 * 16), i % 4);
    }
#else
    const int run = strips_of_words(info);
    struct words sum[STREAM_TOKENS];
    UNROLL for (int i = first; i < first + n_strips; i++)
    {
        const int8x16_t codes = strip_codes(w, info, quad, i);
        UNROLL for (int t = 0; t < n; t++)
        {
            sum[t] = add_products(sum[t], codes, x->q + t * NIB_BLOCK + i * 4, i % run == 0);
            if (i % run == run - 1)
                idot[t] = add_words(idot[t], sum[t]);
        }
    }
#endif
}

/* Codes of two parts are summed as if they were of two tokens. */
INLINE void stream_tile(const struct nib_matmul *m, size_t g, size_t t0, const int n,
                        const int n_code_parts, const struct nib_pack_info *info)
{
    const bool of_16 = nib_scale_columns(info->form) == 16;
    const bool has_min = nib_pack_has_min(info);
    const int n_parts = of_16 ? 2 : 1;
    const uint8_t *group = m->w->data + g * m->w->planes.n_bytes;
    float32x4_t acc[QUADS][STREAM_TOKENS];
    UNROLL for (int j = 0; j < QUADS; j++) UNROLL for (int t = 0; t < n; t++) acc[j][t] =
        vdupq_n_f32(0.0f);
    for (size_t b = 0; b < m->w->n_cols / NIB_BLOCK; b++) {
        const struct block w = block_at(m->w, info, group, b);
        const struct inputs x = inputs_at(m->x, b, t0);
        prefetch_next(&w, info, m->w->planes.n_bytes);
        UNROLL for (int part = 0; part < n_parts; part++)
        {
            UNROLL for (int j = 0; j < QUADS; j++)
            {
                int32x4_t idot[STREAM_TOKENS];
                UNROLL for (int t = 0; t < n; t++)
                {
                    idot[t * n_code_parts] = vdupq_n_s32(0);
                    idot[t * n_code_parts + n_code_parts - 1] =
                        vdupq_n_s32(zero_share(&x, info, part, t));
                }
                stream_strips(idot, &w, info, &x, (size_t)j, 4 * part, 8 / n_parts,
                              n * n_code_parts);
                if (n_code_parts == 2)
                    idot[0] = vaddq_s32(high_part(idot[0]), idot[1]);
                const struct scales s = load_scales(&w, info, (size_t)j, b, part);
                UNROLL for (int t = 0; t < n; t++)
                {
                    acc[j][t] =
                        vfmaq_f32(acc[j][t], vcvtq_f32_s32(idot[t]), vmulq_n_f32(s.scale, x.d[t]));
                    if (has_min)
                        acc[j][t] = vfmaq_n_f32(acc[j][t], s.min, min_factor(&x, of_16, part, t));
                }
            }
        }
    }
    UNROLL for (int t = 0; t < n; t++)
    {
        const float32x4_t sums[QUADS] = {acc[0][t], acc[1][t], acc[2][t], acc[3][t]};
        store_group(m, g, t0 + (size_t)t, sums);
    }
}

/* Each group is read once for all tokens, of which there are at most STREAM_TOKENS. */
INLINE void matmul_narrow(const struct nib_matmul *m, const struct nib_pack_info *info)
{
    const size_t n = m->token_end - m->token_begin;
    for (size_t g = m->group_begin; g < m->group_end; g++) {
        if (n == 1 && m->x->n_parts == 2)
            stream_tile(m, g, m->token_begin, 1, 2, info);
        else if (n == 1)
            stream_tile(m, g, m->token_begin, 1, 1, info);
        else if (n == 2)
            stream_tile(m, g, m->token_begin, 2, 1, info);
    }
}
