/*
 * The tile of neon_wide.h with smmla, which multiplies 2 x 8 by 8 x 2 bytes.
 *
 * A register of sums holds tokens t, t + 1 by rows r, r + 1: [t][r] [t][r + 1] [t + 1][r]
 * [t + 1][r + 1]; so do the float sums, which are sorted when stored: acc[pair][quad][rows 0 and 1,
 * 2 and 3].  With an odd number of tokens the last one is its own partner.
 */

enum { PAIRS = TILE_TOKENS / 2 };

INLINE int64x2_t load_64(const int8_t *p)
{
    return vreinterpretq_s64_s8(vld1q_s8(p));
}

INLINE float32x4_t pair_of(float a, float b)
{
    return vcombine_f32(vdup_n_f32(a), vdup_n_f32(b));
}

/* Two rows of scales, for two tokens. */
INLINE float32x4_t twice(const float *p)
{
    const float32x2_t rows = vld1_f32(p);
    return vcombine_f32(rows, rows);
}

struct pairs {
    int8x16_t q[2][PAIRS][4]; /* [part] columns 8 i .. 8 i + 7 of both tokens */
    size_t n_parts;
    float32x4_t d[PAIRS], min_factor[2][PAIRS];
};

INLINE void load_pairs(struct pairs *p, const struct inputs *x, size_t n_tokens,
                       const struct shape s)
{
    const int n_parts = s.of_16 ? 2 : 1;
    p->n_parts = x->n_parts;
    UNROLL for (int i = 0; i < s.n; i++)
    {
        const int t = 2 * i, u = 2 * (size_t)i + 1 < n_tokens ? t + 1 : t;
        for (size_t part = 0; part < x->n_parts; part++)
            UNROLL for (int half = 0; half < 2; half++)
            {
                const int8_t *q = x->q + part * NIB_BLOCK + half * 16;
                const int64x2_t a = load_64(q + (size_t)t * x->n_parts * NIB_BLOCK);
                const int64x2_t b = load_64(q + (size_t)u * x->n_parts * NIB_BLOCK);
                p->q[part][i][2 * half] = vreinterpretq_s8_s64(vzip1q_s64(a, b));
                p->q[part][i][2 * half + 1] = vreinterpretq_s8_s64(vzip2q_s64(a, b));
            }
        p->d[i] = pair_of(x->d[t], x->d[u]);
        if (s.has_min)
            UNROLL for (int part = 0; part < n_parts; part++) p->min_factor[part][i] =
                pair_of(min_factor(x, s.of_16, part, t), min_factor(x, s.of_16, part, u));
    }
}

/* idot[quad][rows][pair] += the dots of a run of columns. */
INLINE void tile_columns(int32x4_t idot[QUADS][2][PAIRS], const int8_t *codes,
                         const int8x16_t q[PAIRS][4], size_t quad, int part, int step,
                         const struct shape s)
{
    const int n_columns = s.of_16 ? 2 : 4;
    UNROLL for (int i = 0; i < n_columns; i++) UNROLL for (int j = 0; j < step; j++)
        UNROLL for (int r = 0; r < 2; r++)
    {
        const int column = s.of_16 ? 2 * part + i : i;
        const int8x16_t w = vld1q_s8(codes + column * 128 + ((int)quad + j) * 32 + r * 16);
        UNROLL for (int p = 0; p < s.n; p++)
        {
            idot[j][r][p] = vmmlaq_s32(idot[j][r][p], q[p][column], w);
            KEEP_ORDER(idot[j][r][p]);
        }
    }
}

/* acc += a run of columns (half a block with 16-column scales, else a block), `step` quads. */
INLINE void tile_part(float *acc, const int8_t *codes, const float *scale, const float *min,
                      const struct pairs *x, size_t quad, int part, int step, const struct shape s)
{
    int32x4_t idot[QUADS][2][PAIRS];
    UNROLL for (int j = 0; j < step; j++) UNROLL for (int r = 0; r < 2; r++)
        UNROLL for (int p = 0; p < s.n; p++) idot[j][r][p] = vdupq_n_s32(0);
    tile_columns(idot, codes, x->q[0], quad, part, step, s);
    if (x->n_parts == 2) {
        UNROLL for (int j = 0; j < step; j++) UNROLL for (int r = 0; r < 2; r++)
            UNROLL for (int p = 0; p < s.n; p++) idot[j][r][p] = high_part(idot[j][r][p]);
        tile_columns(idot, codes, x->q[1], quad, part, step, s);
    }
    UNROLL for (int j = 0; j < step; j++) UNROLL for (int r = 0; r < 2; r++)
    {
        const size_t row = 4 * (quad + (size_t)j) + 2 * (size_t)r;
        const float32x4_t dw = twice(scale + row);
        UNROLL for (int p = 0; p < s.n; p++)
        {
            float *at = acc + (size_t)p * 2 * NIB_GROUP + 2 * row;
            float32x4_t sum = vld1q_f32(at);
            sum = vfmaq_f32(sum, vcvtq_f32_s32(idot[j][r][p]), vmulq_f32(dw, x->d[p]));
            if (s.has_min)
                sum = vfmaq_f32(sum, twice(min + row), x->min_factor[part][p]);
            vst1q_f32(at, sum);
        }
    }
}

INLINE void tile(float *acc, const struct place *at, const struct shape s)
{
    const int n_parts = s.of_16 ? 2 : 1, step = s.n <= 2 ? 4 : 2;
    const size_t n_quads = all_quads();
    for (size_t b = 0; b < at->n_blocks; b++) {
        const struct inputs x = inputs_at(at->x, at->block + b, at->token);
        struct pairs pairs;
        load_pairs(&pairs, &x, at->n_tokens, s);
        const int8_t *codes = at->w->codes + b * NIB_BLOCK * NIB_GROUP;
        for (size_t quad = 0; quad < n_quads; quad += (size_t)step)
            UNROLL for (int part = 0; part < n_parts; part++)
            {
                const size_t run = (b * (size_t)n_parts + (size_t)part) * NIB_GROUP;
                tile_part(acc, codes, at->w->scale + run, at->w->min + run, &pairs, quad, part,
                          step, s);
                KEEP_MEMORY();
            }
    }
}

static void store_tile(const struct nib_matmul *m, size_t g, size_t t0, size_t n, const float *acc)
{
    for (size_t t = 0; t < n; t++) {
        const float *at = acc + t / 2 * 2 * NIB_GROUP + t % 2 * 2;
        float32x4_t sums[QUADS];
        for (size_t quad = 0; quad < QUADS; quad++, at += 8)
            sums[quad] = vcombine_f32(vld1_f32(at), vld1_f32(at + 4));
        store_group(m, g, t0 + t, sums);
    }
}
