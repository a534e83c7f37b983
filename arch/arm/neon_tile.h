/* The tile of neon_wide.h with sdot, or with products that are added up in int16. */

/* idot[quad][t] += strips [first, first + n_strips) of a block. */
INLINE void tile_strips(int32x4_t idot[][TILE_TOKENS], const int8_t *codes, const int8_t *q,
                        size_t q_stride, int first, int n_strips, int step, const struct shape s)
{
#if MATMUL_DOTPROD
    UNROLL for (int half = first / 4; half < (first + n_strips) / 4; half++)
    {
        int8x16_t x[TILE_TOKENS];
        UNROLL for (int t = 0; t < s.n; t++) x[t] = vld1q_s8(q + (size_t)t * q_stride + half * 16);
        UNROLL for (int i = 0; i < 4; i++) UNROLL for (int j = 0; j < step; j++)
        {
            const int8x16_t w = vld1q_s8(codes + (4 * half + i) * 64 + j * 16);
            UNROLL for (int t = 0; t < s.n; t++) idot[j][t] = dot(idot[j][t], w, x[t], i);
        }
    }
#else
    UNROLL for (int j = 0; j < step; j++)
    {
        struct words sum[TILE_TOKENS];
        UNROLL for (int i = first; i < first + n_strips; i++)
        {
            const int8x16_t w = vld1q_s8(codes + i * 64 + j * 16);
            UNROLL for (int t = 0; t < s.n; t++)
            {
                const bool is_first = i % s.strips == 0, is_last = i % s.strips == s.strips - 1;
                sum[t] = add_products(sum[t], w, q + (size_t)t * q_stride + i * 4, is_first);
                if (is_last)
                    idot[j][t] = add_words(idot[j][t], sum[t]);
            }
        }
    }
#endif
}

/* acc[t][row] of one quad += what the integer sums of a run of columns stand for. */
INLINE void scale_sums(float *acc, const int32x4_t idot[TILE_TOKENS], const float *scale,
                       const float *min, const struct inputs *x, int part, const struct shape s)
{
    const float32x4_t dw = vld1q_f32(scale);
    UNROLL for (int t = 0; t < s.n; t++)
    {
        float32x4_t sum = vld1q_f32(acc + t * NIB_GROUP);
        sum = vfmaq_f32(sum, vcvtq_f32_s32(idot[t]), vmulq_n_f32(dw, x->d[t]));
        if (s.has_min)
            sum = vfmaq_n_f32(sum, vld1q_f32(min), min_factor(x, s.of_16, part, t));
        vst1q_f32(acc + t * NIB_GROUP, sum);
    }
}

/* acc[t][row] += the blocks. */
INLINE void tile(float *acc, const struct place *at, const struct shape s)
{
    const int n_parts = s.of_16 ? 2 : 1, step = MATMUL_DOTPROD && s.n <= 4 ? 4 : 2;
    const size_t n_quads = all_quads();
    for (size_t b = 0; b < at->n_blocks; b++) {
        const struct inputs x = inputs_at(at->x, at->block + b, at->token);
        const int8_t *codes = at->w->codes + b * NIB_BLOCK * NIB_GROUP;
        const size_t q_stride = NIB_BLOCK * x.n_parts;
        for (size_t quad = 0; quad < n_quads; quad += (size_t)step)
            UNROLL for (int part = 0; part < n_parts; part++)
            {
                int32x4_t idot[QUADS][TILE_TOKENS];
                UNROLL for (int j = 0; j < step; j++) UNROLL for (int t = 0; t < s.n; t++)
                    idot[j][t] = vdupq_n_s32(0);
                const int8_t *q = x.q;
                if (x.n_parts == 2) {
                    tile_strips(idot, codes + 16 * quad, q, q_stride, 4 * part, 8 / n_parts, step,
                                s);
                    UNROLL for (int j = 0; j < step; j++) UNROLL for (int t = 0; t < s.n; t++)
                        idot[j][t] = high_part(idot[j][t]);
                    q += NIB_BLOCK;
                }
                tile_strips(idot, codes + 16 * quad, q, q_stride, 4 * part, 8 / n_parts, step, s);
                const size_t run = (b * (size_t)n_parts + (size_t)part) * NIB_GROUP;
                UNROLL for (int j = 0; j < step; j++)
                {
                    const size_t row = 4 * (quad + (size_t)j);
                    scale_sums(acc + row, idot[j], at->w->scale + run + row, at->w->min + run + row,
                               &x, part, s);
                }
                KEEP_MEMORY();
            }
    }
}

static void store_tile(const struct nib_matmul *m, size_t g, size_t t0, size_t n, const float *acc)
{
    for (size_t t = 0; t < n; t++, acc += NIB_GROUP) {
        const float32x4_t sums[QUADS] = {vld1q_f32(acc), vld1q_f32(acc + 4), vld1q_f32(acc + 8),
                                         vld1q_f32(acc + 12)};
        store_group(m, g, t0 + t, sums);
    }
}
