/*
 * Matrix products over packed weights for one level of NEON.  The including file defines
 *
 *     MATMUL_INIT     name of the function that fills the table
 *     MATMUL_DOTPROD  1: sdot; 0: products are added up in int16 first (see below)
 *     MATMUL_I8MM     1: smmla for three tokens and more
 *
 * Tiling is free: every output element is one chain in the order of docs/numerics.md.
 *
 * Without sdot a lane of int16 takes one product of each strip: 8 of up to 31 * 127 = 3937, 4 of up
 * to 63 * 127 = 8001, 2 of up to 128 * 127 = 16256 stay below 32768.
 */
#include "neon_codes.h"

/* ---- activations of a block ------------------------------------------------------------------ */

struct inputs {
    const int8_t *q; /* token t at q + 32 n_parts t */
    const float *d, *s;
    const int32_t *zero, *zero_half; /* of half 1: `stride` later */
    size_t stride;
    size_t n_parts; /* of a code */
};

INLINE struct inputs inputs_at(const struct nib_act *x, size_t b, size_t t0)
{
    const size_t at = b * x->n_rows + t0;
    return (struct inputs){.q = x->q + at * NIB_BLOCK * x->n_parts,
                           .d = x->d + at,
                           .s = x->s + at,
                           .zero = x->zero + at,
                           .zero_half = x->zero_half + 2 * b * x->n_rows + t0,
                           .stride = x->n_rows,
                           .n_parts = x->n_parts};
}

/* What the minimum of a block, or of half a block, is multiplied with. */
INLINE float min_factor(const struct inputs *x, bool of_16, int half, int t)
{
    if (!of_16)
        return x->s[t];
    const int32_t zero = x->zero_half[(size_t)half * x->stride + (size_t)t];
    return x->d[t] * (float)nib_act_isum(zero, x->n_parts);
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

/* What the sum of high parts of 15-bit codes counts. */
INLINE int32x4_t high_part(int32x4_t idot)
{
    return vshlq_n_s32(idot, 7);
}

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

#include "neon_float.h"
#include "neon_narrow.h"
#include "neon_wide.h"

INLINE void matmul_codes(const struct nib_matmul *m, const struct nib_pack_info *info,
                         expand_fn *expand)
{
    if ((m->token_end - m->token_begin) * m->x->n_parts > STREAM_TOKENS)
        matmul_wide(m, info, expand);
    else
        matmul_narrow(m, info);
}

/* ---- the table ------------------------------------------------------------------------------- */

#define FLOAT_MATMUL(type)                                                                         \
    static void matmul_##type(const struct nib_matmul *m)                                          \
    {                                                                                              \
        matmul_floats(m, NIB_PACK_##type);                                                         \
    }
#define CODE_MATMUL(type)                                                                          \
    static void expand_##type(struct chunk *out, const struct nib_matrix *w, const uint8_t *group, \
                              size_t begin, size_t n_blocks)                                       \
    {                                                                                              \
        expand_chunk(out, w, group, begin, n_blocks, &nib_packs[NIB_PACK_##type]);                 \
    }                                                                                              \
    static void matmul_##type(const struct nib_matmul *m)                                          \
    {                                                                                              \
        matmul_codes(m, &nib_packs[NIB_PACK_##type], expand_##type);                               \
    }
#define ENTRY(type) k->matmul[NIB_PACK_##type] = matmul_##type;

NIB_FLOAT_PACKS(FLOAT_MATMUL)
NIB_CODE_PACKS(CODE_MATMUL)

void MATMUL_INIT(struct nib_kernels *k)
{
    NIB_FLOAT_PACKS(ENTRY)
    NIB_CODE_PACKS(ENTRY)
}
