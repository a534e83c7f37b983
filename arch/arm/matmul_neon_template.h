/*
 * Matrix products over packed weights for one level of NEON.  The including file defines
 *
 *     MATMUL_INIT     name of the function that fills the table
 *     MATMUL_DOTPROD  1: sdot; 0: products are added up in int16 first (see below)
 *     MATMUL_I8MM     1: smmla for three tokens and more
 *
 * One or two tokens are a stream of weights through registers.  For more, 256 columns of a group
 * are expanded to signed bytes, less their zero point, and float scales, in the first level of
 * cache, and serve up to 64 tokens, in tiles of up to TILE_TOKENS.  The integer sums of a tile stay
 * in registers; its float sums are touched once in a block and lie in memory, which costs no vector
 * instruction.  Tiling is free: every output element is one chain in the order of docs/numerics.md.
 *
 * Without sdot a lane of int16 takes one product of each strip: 8 of up to 31 * 127 = 3937, 4 of up
 * to 63 * 127 = 8001, 2 of up to 128 * 127 = 16256 stay below 32768.
 */
#include "neon_codes.h"

enum {
    TILE_TOKENS = MATMUL_DOTPROD ? 8 : 4,
    PASS_TOKENS = 64,
    CHUNK_BLOCKS = NIB_SUPER / NIB_BLOCK,
};

/* ---- activations of a block ------------------------------------------------------------------ */

struct inputs {
    const int8_t *q; /* token t at q + 32 t */
    const float *d, *s;
    const int32_t *nsum, *nsum_half; /* of half 1: `stride` later */
    size_t stride;
};

INLINE struct inputs inputs_at(const struct nib_act *x, size_t b, size_t t0)
{
    const size_t at = b * x->n_rows + t0;
    return (struct inputs){.q = x->q + at * NIB_BLOCK,
                           .d = x->d + at,
                           .s = x->s + at,
                           .nsum = x->nsum + at,
                           .nsum_half = x->nsum_half + 2 * b * x->n_rows + t0,
                           .stride = x->n_rows};
}

/* What the minimum of a block, or of half a block, is multiplied with. */
INLINE float min_factor(const struct inputs *x, bool of_16, int half, int t)
{
    if (!of_16)
        return x->s[t];
    return x->d[t] * (float)-x->nsum_half[(size_t)half * x->stride + (size_t)t];
}

/* The 16 rows of a group for one token. */
static void store_group(const struct nib_matmul *m, size_t g, size_t t,
                        const float32x4_t acc[QUADS])
{
    float *y = m->y + (t - m->token_begin) * m->y_stride + (g - m->group_begin) * NIB_GROUP;
    for (size_t j = 0; j < QUADS; j++, y += 4) {
        float32x4_t sum = acc[j];
        if (m->bias)
            sum = vaddq_f32(sum, vld1q_f32(m->bias + g * NIB_GROUP + 4 * j));
        if (m->accumulate)
            sum = vaddq_f32(vld1q_f32(y), sum);
        vst1q_f32(y, sum);
    }
}

/* ---- integer dots ---------------------------------------------------------------------------- */

#if MATMUL_DOTPROD

INLINE int32x4_t dot(int32x4_t sum, int8x16_t codes, int8x16_t x, int lane)
{
    switch (lane) {
    case 0:
        return vdotq_laneq_s32(sum, codes, x, 0);
    case 1:
        return vdotq_laneq_s32(sum, codes, x, 1);
    case 2:
        return vdotq_laneq_s32(sum, codes, x, 2);
    default:
        return vdotq_laneq_s32(sum, codes, x, 3);
    }
}

#else

/* Products of some strips: rows 0 and 1 of a quad, rows 2 and 3. */
struct words {
    int16x8_t low, high;
};

INLINE struct words add_products(struct words sum, int8x16_t codes, const int8_t *q, bool is_first)
{
    int32_t word;
    memcpy(&word, q, 4);
    const int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(word));
    if (is_first)
        return (struct words){vmull_s8(vget_low_s8(codes), vget_low_s8(x)),
                              vmull_high_s8(codes, x)};
    return (struct words){vmlal_s8(sum.low, vget_low_s8(codes), vget_low_s8(x)),
                          vmlal_high_s8(sum.high, codes, x)};
}

INLINE int32x4_t add_words(int32x4_t sum, struct words w)
{
    return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(w.low), vpaddlq_s16(w.high)));
}

#endif

/* How many strips fit into int16. */
INLINE int strips_of_words(const struct nib_pack_info *info)
{
    if (info->bits > 6)
        return 2;
    return nib_scale_columns(info->form) == 16 ? 4 : 8;
}

/* ---- one or two tokens ----------------------------------------------------------------------- */

enum { STREAM_TOKENS = 2 };

/* -zero * the sum of the activations that a scale covers, where integer sums begin. */
INLINE int32_t zero_share(const struct inputs *x, const struct nib_pack_info *info, int half, int t)
{
    if (has_no_zero(info))
        return 0;
    const bool of_16 = nib_scale_columns(info->form) == 16;
    const int32_t nsum = of_16 ? x->nsum_half[(size_t)half * x->stride + (size_t)t] : x->nsum[t];
    return nsum * (1 << info->zero_shift);
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

INLINE void stream_tile(const struct nib_matmul *m, size_t g, size_t t0, const int n,
                        const struct nib_pack_info *info)
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
                UNROLL for (int t = 0; t < n; t++) idot[t] =
                    vdupq_n_s32(zero_share(&x, info, part, t));
                stream_strips(idot, &w, info, &x, (size_t)j, 4 * part, 8 / n_parts, n);
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

/* ---- weights expanded ------------------------------------------------------------------------ */

/*
 * 256 columns of a group.  Codes: [block][strip][quad] as they are; for smmla two strips zipped,
 * [block][strip / 2][quad][rows 0 and 1, 2 and 3] by 8 columns.  Scales: [run of columns][row].
 */
struct chunk {
    _Alignas(64) int8_t codes[CHUNK_BLOCKS * NIB_BLOCK * NIB_GROUP];
    _Alignas(64) float scale[CHUNK_BLOCKS * 2 * NIB_GROUP];
    _Alignas(64) float min[CHUNK_BLOCKS * 2 * NIB_GROUP];
};

INLINE int8x16_t signed_codes(const struct block *w, const struct nib_pack_info *info, size_t quad,
                              int strip)
{
    const int8x16_t codes = strip_codes(w, info, quad, strip);
    return has_no_zero(info) ? codes : codes - vdupq_n_s8((int8_t)(1 << info->zero_shift));
}

INLINE void expand_codes(int8_t *out, const struct block *w, const struct nib_pack_info *info,
                         size_t quad)
{
#if MATMUL_I8MM
    UNROLL for (int i = 0; i < 8; i += 2)
    {
        const int32x4_t a = vreinterpretq_s32_s8(signed_codes(w, info, quad, i));
        const int32x4_t c = vreinterpretq_s32_s8(signed_codes(w, info, quad, i + 1));
        int8_t *pair = out + i * 64 + 32 * quad;
        vst1q_s8(pair, vreinterpretq_s8_s32(vzip1q_s32(a, c)));
        vst1q_s8(pair + 16, vreinterpretq_s8_s32(vzip2q_s32(a, c)));
    }
#else
    UNROLL for (int i = 0; i < 8; i++)
        vst1q_s8(out + i * 64 + 16 * quad, signed_codes(w, info, quad, i));
#endif
}

INLINE void expand_chunk(struct chunk *out, const struct nib_matrix *w, const uint8_t *group,
                         size_t begin, size_t n_blocks, const struct nib_pack_info *info)
{
    const int n_parts = nib_scale_columns(info->form) == 16 ? 2 : 1;
    for (size_t i = 0; i < n_blocks; i++) {
        const struct block at = block_at(w, info, group, begin + i);
        prefetch_next(&at, info, w->planes.n_bytes);
        ROLLED for (size_t quad = 0; quad < QUADS; quad++)
        {
            expand_codes(out->codes + i * NIB_BLOCK * NIB_GROUP, &at, info, quad);
            UNROLL for (int part = 0; part < n_parts; part++)
            {
                const struct scales s = load_scales(&at, info, quad, begin + i, part);
                const size_t run = i * (size_t)n_parts + (size_t)part;
                vst1q_f32(out->scale + run * NIB_GROUP + 4 * quad, s.scale);
                if (nib_pack_has_min(info))
                    vst1q_f32(out->min + run * NIB_GROUP + 4 * quad, s.min);
            }
        }
    }
}

/*
 * Compilers like to finish one sum after the other, each a chain of dependent products, and to
 * carry the float sums of a tile through all blocks in memory that they spill to.  Empty statements
 * that change a sum, or memory, keep the order of the source; for GCC's sdot its flag in
 * CMakeLists.txt.
 */
#define KEEP_ORDER(sum) __asm__ volatile("" : "+w"(sum))
#define KEEP_MEMORY()   __asm__ volatile("" : : : "memory")

/* QUADS, for loops that are not to be unrolled. */
INLINE size_t all_quads(void)
{
    size_t n = QUADS;
    __asm__("" : "+r"(n));
    return n;
}

/* What is known of a tile when compiled. */
struct shape {
    int n;      /* tokens, or pairs of them */
    bool of_16; /* a scale for 16 columns instead of 32 */
    bool has_min;
    int strips; /* that fit into int16 */
};

/* Where a tile works: blocks [block, block + n_blocks) and tokens [token, token + n_tokens). */
struct place {
    const struct nib_act *x;
    const struct chunk *w;
    size_t block, n_blocks, token, n_tokens;
};

#if MATMUL_I8MM

/*
 * smmla multiplies 2 x 8 by 8 x 2 bytes.  A register of sums holds tokens t, t + 1 by rows r, r +
 * 1: [t][r] [t][r + 1] [t + 1][r] [t + 1][r + 1]; so do the float sums, which are sorted when
 * stored: acc[pair][quad][rows 0 and 1, 2 and 3].  With an odd number of tokens the last one is its
 * own partner.
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
    int8x16_t q[PAIRS][4]; /* columns 8 i .. 8 i + 7 of both tokens */
    float32x4_t d[PAIRS], min_factor[2][PAIRS];
};

INLINE void load_pairs(struct pairs *p, const struct inputs *x, size_t n_tokens,
                       const struct shape s)
{
    const int n_parts = s.of_16 ? 2 : 1;
    UNROLL for (int i = 0; i < s.n; i++)
    {
        const int t = 2 * i, u = 2 * (size_t)i + 1 < n_tokens ? t + 1 : t;
        UNROLL for (int half = 0; half < 2; half++)
        {
            const int64x2_t a = load_64(x->q + t * NIB_BLOCK + half * 16);
            const int64x2_t b = load_64(x->q + u * NIB_BLOCK + half * 16);
            p->q[i][2 * half] = vreinterpretq_s8_s64(vzip1q_s64(a, b));
            p->q[i][2 * half + 1] = vreinterpretq_s8_s64(vzip2q_s64(a, b));
        }
        p->d[i] = pair_of(x->d[t], x->d[u]);
        if (s.has_min)
            UNROLL for (int part = 0; part < n_parts; part++) p->min_factor[part][i] =
                pair_of(min_factor(x, s.of_16, part, t), min_factor(x, s.of_16, part, u));
    }
}

/* acc += a run of columns (half a block with 16-column scales, else a block), `step` quads. */
INLINE void tile_part(float *acc, const int8_t *codes, const float *scale, const float *min,
                      const struct pairs *x, size_t quad, int part, int step, const struct shape s)
{
    const int n_columns = s.of_16 ? 2 : 4;
    int32x4_t idot[QUADS][2][PAIRS];
    UNROLL for (int j = 0; j < step; j++) UNROLL for (int r = 0; r < 2; r++)
        UNROLL for (int p = 0; p < s.n; p++) idot[j][r][p] = vdupq_n_s32(0);
    UNROLL for (int i = 0; i < n_columns; i++) UNROLL for (int j = 0; j < step; j++)
        UNROLL for (int r = 0; r < 2; r++)
    {
        const int column = s.of_16 ? 2 * part + i : i;
        const int8x16_t w = vld1q_s8(codes + column * 128 + ((int)quad + j) * 32 + r * 16);
        UNROLL for (int p = 0; p < s.n; p++)
        {
            idot[j][r][p] = vmmlaq_s32(idot[j][r][p], x->q[p][column], w);
            KEEP_ORDER(idot[j][r][p]);
        }
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

#else

/* idot[quad][t] += strips [first, first + n_strips) of a block. */
INLINE void tile_strips(int32x4_t idot[][TILE_TOKENS], const int8_t *codes, const int8_t *q,
                        int first, int n_strips, int step, const struct shape s)
{
#if MATMUL_DOTPROD
    UNROLL for (int half = first / 4; half < (first + n_strips) / 4; half++)
    {
        int8x16_t x[TILE_TOKENS];
        UNROLL for (int t = 0; t < s.n; t++) x[t] = vld1q_s8(q + t * NIB_BLOCK + half * 16);
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
                sum[t] = add_products(sum[t], w, q + t * NIB_BLOCK + i * 4, is_first);
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
        for (size_t quad = 0; quad < n_quads; quad += (size_t)step)
            UNROLL for (int part = 0; part < n_parts; part++)
            {
                int32x4_t idot[QUADS][TILE_TOKENS];
                UNROLL for (int j = 0; j < step; j++) UNROLL for (int t = 0; t < s.n; t++)
                    idot[j][t] = vdupq_n_s32(0);
                tile_strips(idot, codes + 16 * quad, x.q, 4 * part, 8 / n_parts, step, s);
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

#endif

/* ---- tiles of every shape -------------------------------------------------------------------- */

typedef void tile_fn(float *acc, const struct place *at);

/* A function for every width turns it into a constant of its loops. */
#define TILE(name, width, ...)                                                                     \
    static void name##_##width(float *acc, const struct place *at)                                 \
    {                                                                                              \
        tile(acc, at, (struct shape){width, __VA_ARGS__});                                         \
    }
#if MATMUL_DOTPROD && !MATMUL_I8MM
#define TILES(name, ...)                                                                           \
    TILE(name, 1, __VA_ARGS__)                                                                     \
    TILE(name, 2, __VA_ARGS__)                                                                     \
    TILE(name, 3, __VA_ARGS__)                                                                     \
    TILE(name, 4, __VA_ARGS__)                                                                     \
    TILE(name, 5, __VA_ARGS__)                                                                     \
    TILE(name, 6, __VA_ARGS__)                                                                     \
    TILE(name, 7, __VA_ARGS__)                                                                     \
    TILE(name, 8, __VA_ARGS__)                                                                     \
    static tile_fn *const name[] = {name##_1, name##_2, name##_3, name##_4,                        \
                                    name##_5, name##_6, name##_7, name##_8};
#else
#define TILES(name, ...)                                                                           \
    TILE(name, 1, __VA_ARGS__)                                                                     \
    TILE(name, 2, __VA_ARGS__)                                                                     \
    TILE(name, 3, __VA_ARGS__)                                                                     \
    TILE(name, 4, __VA_ARGS__)                                                                     \
    static tile_fn *const name[] = {name##_1, name##_2, name##_3, name##_4};
#endif

TILES(tiles_32, false, false, 8)
TILES(tiles_32_min, false, true, 8)
TILES(tiles_16, true, false, 4)
TILES(tiles_16_min, true, true, 4)
#if MATMUL_DOTPROD
#define tiles_32_bytes tiles_32
#define tiles_16_bytes tiles_16
#else
TILES(tiles_32_bytes, false, false, 2)
TILES(tiles_16_bytes, true, false, 2)
#endif

INLINE tile_fn *const *tiles_of(const struct nib_pack_info *info)
{
    const bool has_min = nib_pack_has_min(info), is_byte = info->bits > 6;
    if (nib_scale_columns(info->form) == 16)
        return has_min ? tiles_16_min : is_byte ? tiles_16_bytes : tiles_16;
    return has_min ? tiles_32_min : is_byte ? tiles_32_bytes : tiles_32;
}

/* ---- loops over tiles ------------------------------------------------------------------------ */

typedef void expand_fn(struct chunk *out, const struct nib_matrix *w, const uint8_t *group,
                       size_t begin, size_t n_blocks);

/* Up to 64 tokens of a group.  Tiles are as equal as they come: 9 tokens are 5 + 4, not 8 + 1. */
INLINE void group_of_tiles(const struct nib_matmul *m, size_t g, size_t begin, size_t n,
                           tile_fn *const *tiles, expand_fn *expand)
{
    const uint8_t *group = m->w->data + g * m->w->planes.n_bytes;
    const size_t n_blocks = m->w->n_cols / NIB_BLOCK;
    const size_t n_tiles = (n + TILE_TOKENS - 1) / TILE_TOKENS;
    struct chunk chunk;
    _Alignas(64) float acc[PASS_TOKENS / TILE_TOKENS][TILE_TOKENS * NIB_GROUP];
    memset(acc, 0, n_tiles * sizeof(*acc));
    for (size_t b = 0; b < n_blocks; b += CHUNK_BLOCKS) {
        struct place at = {.x = m->x, .w = &chunk, .block = b};
        at.n_blocks = n_blocks - b < CHUNK_BLOCKS ? n_blocks - b : CHUNK_BLOCKS;
        expand(&chunk, m->w, group, b, at.n_blocks);
        for (size_t i = 0; i < n_tiles; i++) {
            at.token = begin + n * i / n_tiles;
            at.n_tokens = begin + n * (i + 1) / n_tiles - at.token;
            const size_t width = MATMUL_I8MM ? (at.n_tokens + 1) / 2 : at.n_tokens;
            tiles[width - 1](acc[i], &at);
        }
    }
    for (size_t i = 0; i < n_tiles; i++) {
        const size_t t = begin + n * i / n_tiles;
        store_tile(m, g, t, begin + n * (i + 1) / n_tiles - t, acc[i]);
    }
}

/* The tokens of one pass stay in L2 while all groups stream by. */
INLINE void matmul_quantised(const struct nib_matmul *m, const struct nib_pack_info *info,
                             expand_fn *expand)
{
    const size_t n = m->token_end - m->token_begin;
    if (n <= STREAM_TOKENS) {
        for (size_t g = m->group_begin; g < m->group_end; g++) {
            if (n == 1)
                stream_tile(m, g, m->token_begin, 1, info);
            else if (n == 2)
                stream_tile(m, g, m->token_begin, 2, info);
        }
        return;
    }
    const size_t fit = (384 << 10) / (m->w->n_cols + 1) / TILE_TOKENS * TILE_TOKENS;
    const size_t pass = fit < TILE_TOKENS ? TILE_TOKENS : fit > PASS_TOKENS ? PASS_TOKENS : fit;
    for (size_t t = m->token_begin; t < m->token_end; t += pass) {
        const size_t n_pass = m->token_end - t < pass ? m->token_end - t : pass;
        for (size_t g = m->group_begin; g < m->group_end; g++)
            group_of_tiles(m, g, t, n_pass, tiles_of(info), expand);
    }
}

/* ---- float weights --------------------------------------------------------------------------- */

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

/* ---- the table ------------------------------------------------------------------------------- */

#define FLOAT_MATMUL(type)                                                                         \
    static void matmul_##type(const struct nib_matmul *m)                                          \
    {                                                                                              \
        matmul_floats(m, NIB_PACK_##type);                                                         \
    }
#define QUANTISED_MATMUL(type)                                                                     \
    static void expand_##type(struct chunk *out, const struct nib_matrix *w, const uint8_t *group, \
                              size_t begin, size_t n_blocks)                                       \
    {                                                                                              \
        expand_chunk(out, w, group, begin, n_blocks, &nib_packs[NIB_PACK_##type]);                 \
    }                                                                                              \
    static void matmul_##type(const struct nib_matmul *m)                                          \
    {                                                                                              \
        matmul_quantised(m, &nib_packs[NIB_PACK_##type], expand_##type);                           \
    }
#define ENTRY(type) k->matmul[NIB_PACK_##type] = matmul_##type;

NIB_FLOAT_PACKS(FLOAT_MATMUL)
NIB_CODE_PACKS(QUANTISED_MATMUL)

void MATMUL_INIT(struct nib_kernels *k)
{
    NIB_FLOAT_PACKS(ENTRY)
    NIB_CODE_PACKS(ENTRY)
}
