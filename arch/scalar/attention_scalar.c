/*
 * The specification of the attention kernels (docs/numerics.md, rule 6): products with a tile of
 * keys or values, terms of scores, and the online softmax over tiles (Milakov and Gimelshein,
 * "Online normalizer calculation for softmax").
 */
#include <math.h>
#include <sleef.h>
#include <string.h>

#include "exp.h"
#include "half.h"
#include "kernels.h"
#include "scalar.h"

static void scores_f32(float *out, size_t out_stride, const float *a, size_t a_stride,
                       const void *b, size_t b_stride, const void *next, size_t n_rows,
                       size_t n_inner, size_t n_cols)
{
    (void)next;
    for (size_t r = 0; r < n_rows; r++) {
        float *const y = out + r * out_stride;
        memset(y, 0, n_cols * sizeof(*y));
        for (size_t i = 0; i < n_inner; i++) {
            const float *const b_row = (const float *)b + i * 16;
            for (size_t j = 0; j < n_cols; j++)
                y[j] = fmaf(a[r * a_stride + i], b_row[j / 16 * b_stride + j % 16], y[j]);
        }
    }
}

static void scores_f16(float *out, size_t out_stride, const float *a, size_t a_stride,
                       const void *b, size_t b_stride, const void *next, size_t n_rows,
                       size_t n_inner, size_t n_cols)
{
    (void)next;
    for (size_t r = 0; r < n_rows; r++) {
        float *const y = out + r * out_stride;
        memset(y, 0, n_cols * sizeof(*y));
        for (size_t i = 0; i < n_inner; i++) {
            const uint16_t *const b_row = (const uint16_t *)b + i * 16;
            for (size_t j = 0; j < n_cols; j++)
                y[j] = fmaf(a[r * a_stride + i], nib_f16_to_f32(b_row[j / 16 * b_stride + j % 16]),
                            y[j]);
        }
    }
}

static void values_f32(float *out, size_t out_stride, const float *scale, const float *p,
                       size_t p_stride, const uint8_t *begin, const uint8_t *end, const void *b,
                       size_t b_stride, const void *next, size_t n_rows, size_t n_cols)
{
    (void)next;
    for (size_t r = 0; r < n_rows; r++) {
        float *const y = out + r * out_stride;
        for (size_t j = 0; j < n_cols; j++)
            y[j] *= scale[r];
        for (size_t i = begin[r]; i < end[r]; i++) {
            const float *const b_row = (const float *)b + i * b_stride;
            for (size_t j = 0; j < n_cols; j++)
                y[j] = fmaf(p[r * p_stride + i], b_row[j], y[j]);
        }
    }
}

static void values_f16(float *out, size_t out_stride, const float *scale, const float *p,
                       size_t p_stride, const uint8_t *begin, const uint8_t *end, const void *b,
                       size_t b_stride, const void *next, size_t n_rows, size_t n_cols)
{
    (void)next;
    for (size_t r = 0; r < n_rows; r++) {
        float *const y = out + r * out_stride;
        for (size_t j = 0; j < n_cols; j++)
            y[j] *= scale[r];
        for (size_t i = begin[r]; i < end[r]; i++) {
            const uint16_t *const b_row = (const uint16_t *)b + i * b_stride;
            for (size_t j = 0; j < n_cols; j++)
                y[j] = fmaf(p[r * p_stride + i], nib_f16_to_f32(b_row[j]), y[j]);
        }
    }
}

/* ---- terms of scores ------------------------------------------------------------------------- */

static void soft_cap(float *s, float cap, size_t n)
{
    const float inverse = 1.0f / cap;
    for (size_t i = 0; i < n; i++)
        s[i] = cap * Sleef_cinz_tanhf1_u10purec(s[i] * inverse);
}

static void add_distance(float *s, float slope, float first, size_t n)
{
    for (size_t i = 0; i < n; i++)
        s[i] = fmaf(slope, -fabsf(first + (float)i), s[i]);
}

/* ---- softmax --------------------------------------------------------------------------------- */

/* An empty range changes nothing.  A NaN score is no maximum, but makes its sum NaN. */
static float softmax_tile(struct nib_softmax *state, float *s, size_t begin, size_t end)
{
    if (begin >= end)
        return 1.0f;
    float max = state->max;
    for (size_t i = begin; i < end; i++)
        max = s[i] > max ? s[i] : max;
    max += 0.0f; /* -0 becomes 0, so that the order of comparisons does not matter */
    const float factor = state->max == max ? 1.0f : nib_exp(state->max - max);
    state->max = max;

    for (size_t j = 0; j < 16; j++)
        state->sum[j] *= factor;
    for (size_t i = 0; i < begin; i++)
        s[i] = 0.0f;
    for (size_t i = begin; i < end; i++) {
        s[i] = nib_exp(s[i] - max);
        state->sum[i % 16] += s[i];
    }
    for (size_t i = end; i % 16 != 0; i++)
        s[i] = 0.0f;
    return factor;
}

/* Two segments without keys (max = -infinity) stay one. */
static void softmax_merge(float *acc_a, float *max_a, float *sum_a, const float *acc_b, float max_b,
                          float sum_b, size_t d)
{
    const float max = max_b > *max_a ? max_b : *max_a;
    const float factor_a = *max_a == max ? 1.0f : nib_exp(*max_a - max);
    const float factor_b = max_b == max ? 1.0f : nib_exp(max_b - max);
    *max_a = max;
    *sum_a = fmaf(sum_b, factor_b, *sum_a * factor_a);
    for (size_t i = 0; i < d; i++)
        acc_a[i] = fmaf(acc_b[i], factor_b, acc_a[i] * factor_a);
}

void nib_kernels_init_attention_scalar(struct nib_kernels *k)
{
    k->scores[NIB_CACHE_F16] = scores_f16;
    k->scores[NIB_CACHE_F32] = scores_f32;
    k->values[NIB_CACHE_F16] = values_f16;
    k->values[NIB_CACHE_F32] = values_f32;
    k->soft_cap = soft_cap;
    k->add_distance = add_distance;
    k->softmax_tile = softmax_tile;
    k->softmax_merge = softmax_merge;
}
