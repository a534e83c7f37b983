/* Matrix products in plain C: the specification of every matmul entry (docs/numerics.md, rules 2
 * and 3). */
#include "kernels.h"

#include "half.h"

#include <math.h>

enum { TOKENS = 16 }; /* a tile, so that unpacking is paid once for several tokens */

static void store(const struct nib_matmul *m, size_t g, size_t t, const float acc[NIB_GROUP])
{
    float *y = m->y + (t - m->token_begin) * m->y_stride + (g - m->group_begin) * NIB_GROUP;
    for (size_t r = 0; r < NIB_GROUP; r++) {
        const float sum = m->bias ? acc[r] + m->bias[g * NIB_GROUP + r] : acc[r];
        y[r] = m->accumulate ? y[r] + sum : sum;
    }
}

/* acc = fma(w[k], x[k], acc) for ascending k. */
static void matmul_float(const struct nib_matmul *m)
{
    const struct nib_matrix *w = m->w;
    for (size_t g = m->group_begin; g < m->group_end; g++) {
        const uint8_t *group = w->data + g * w->planes.n_bytes;
        for (size_t t = m->token_begin; t < m->token_end; t++) {
            const float *x = m->x->f + t * m->x->stride;
            float acc[NIB_GROUP] = {0};
            for (size_t i = 0; i < (size_t)w->n_cols * NIB_GROUP; i++) {
                float value;
                uint16_t half;
                if (w->pack == NIB_PACK_F32) {
                    memcpy(&value, group + i * 4, 4);
                } else {
                    memcpy(&half, group + i * 2, 2);
                    value = w->pack == NIB_PACK_F16 ? nib_f16_to_f32(half) : nib_bf16_to_f32(half);
                }
                acc[i % NIB_GROUP] = fmaf(value, x[i / NIB_GROUP], acc[i % NIB_GROUP]);
            }
            store(m, g, t, acc);
        }
    }
}

/*
 * acc = fma((float)idot, dw * da, acc), then acc = fma(mw, sa, acc) for types with a minimum, for
 * ascending runs of columns that share a scale; idot is the exact integer dot of codes less their
 * zero point, sa is da times the sum of the activations' codes.
 */
static void quantised_tile(const struct nib_matmul *m, size_t g, size_t t0, size_t n)
{
    const struct nib_matrix *w = m->w;
    const struct nib_act *x = m->x;
    const struct nib_pack_info *info = nib_pack_info(w->pack);
    const uint8_t *group = w->data + g * w->planes.n_bytes;
    const int zero = info->zero_shift ? 1 << info->zero_shift : 0;
    const size_t part = nib_scale_columns(info->form);
    const int32_t *zeros = part == 16 ? x->zero_half : x->zero;
    const bool has_min = nib_pack_has_min(info);
    float acc[TOKENS][NIB_GROUP] = {{0}};

    for (size_t k = 0; k < w->n_cols; k += part) {
        int codes[NIB_GROUP][NIB_BLOCK];
        struct nib_scale scale[NIB_GROUP];
        for (int r = 0; r < NIB_GROUP; r++) {
            scale[r] = nib_matrix_scale(w, group, r, k);
            for (size_t j = 0; j < part; j++)
                codes[r][j] = nib_matrix_code(w, group, r, k + j) - zero;
        }
        for (size_t t = 0; t < n; t++) {
            const size_t row = t0 + t, block = k / NIB_BLOCK;
            const int8_t *q =
                x->q + (block * x->n_rows + row) * NIB_BLOCK * x->n_parts + k % NIB_BLOCK;
            int input[NIB_BLOCK];
            for (size_t j = 0; j < part; j++)
                input[j] = x->n_parts == 1 ? q[j] : 128 * q[j] + q[NIB_BLOCK + j];
            const float da = x->d[block * x->n_rows + row];
            const int32_t isum = nib_act_isum(zeros[k / part * x->n_rows + row], x->n_parts);
            const float sa = da * (float)isum;
            for (size_t r = 0; r < NIB_GROUP; r++) {
                int32_t idot = 0;
                for (size_t j = 0; j < part; j++)
                    idot += codes[r][j] * input[j];
                acc[t][r] = fmaf((float)idot, scale[r].scale * da, acc[t][r]);
                if (has_min)
                    acc[t][r] = fmaf(scale[r].min, sa, acc[t][r]);
            }
        }
    }
    for (size_t t = 0; t < n; t++)
        store(m, g, t0 + t, acc[t]);
}

static void matmul_quantised(const struct nib_matmul *m)
{
    for (size_t g = m->group_begin; g < m->group_end; g++)
        for (size_t t = m->token_begin; t < m->token_end; t += TOKENS)
            quantised_tile(m, g, t, m->token_end - t < TOKENS ? m->token_end - t : TOKENS);
}

void nib_kernels_init_matmul_scalar(struct nib_kernels *k)
{
    for (int pack = 0; pack < NIB_PACK_COUNT; pack++)
        k->matmul[pack] =
            nib_pack_info((enum nib_pack)pack)->float_bytes ? matmul_float : matmul_quantised;
}
