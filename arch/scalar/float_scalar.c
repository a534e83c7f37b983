/*
 * The specification of every float kernel but those of attention (attention_scalar.c) and logits
 * (logits_scalar.c): the exact operations and their order (docs/numerics.md), which the other
 * backends repeat bit for bit.
 */
#include <math.h>
#include <sleef.h>
#include <string.h>

#include "exp.h"
#include "gelu.h"
#include "half.h"
#include "kernels.h"
#include "quantize.h"
#include "scalar.h"

/* ---- norms ----------------------------------------------------------------------------------- */

static void rms_norm(float *y, const float *x, const float *w, size_t n, float eps)
{
    float partial[16] = {0};
    for (size_t i = 0; i < n; i++)
        partial[i % 16] = fmaf(x[i], x[i], partial[i % 16]);
    const float mean = nib_sum16(partial) / (float)n;
    const float r = 1.0f / sqrtf(mean + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] * r) * w[i];
}

static float mean_of(const float *x, size_t n)
{
    float partial[16] = {0};
    for (size_t i = 0; i < n; i++)
        partial[i % 16] += x[i];
    return nib_sum16(partial) / (float)n;
}

static float variance_of(const float *x, size_t n, float mean)
{
    float partial[16] = {0};
    for (size_t i = 0; i < n; i++) {
        const float t = x[i] - mean;
        partial[i % 16] = fmaf(t, t, partial[i % 16]);
    }
    return nib_sum16(partial) / (float)n;
}

static void layer_norm(float *y, const float *x, const float *w, const float *b, size_t n,
                       float eps)
{
    const float mean = mean_of(x, n);
    const float r = 1.0f / sqrtf(variance_of(x, n, mean) + eps);
    for (size_t i = 0; i < n; i++) {
        const float t = (x[i] - mean) * r;
        y[i] = b ? fmaf(t, w[i], b[i]) : t * w[i];
    }
}

/* ---- positions and activations --------------------------------------------------------------- */

static void rope(float *x, const float *c, const float *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float x0 = x[i], x1 = x[n + i];
        x[i] = fmaf(x0, c[i], -(x1 * s[i]));
        x[n + i] = fmaf(x0, s[i], x1 * c[i]);
    }
}

static void silu(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] / (1.0f + nib_exp(-x[i]));
}

static void gelu(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (0.5f * x[i]) * (1.0f + Sleef_cinz_erff1_u10purec(x[i] * NIB_GELU_SQRT1_2));
}

static void gelu_tanh(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float t = fmaf(NIB_GELU_CUBE * (x[i] * x[i]), x[i], x[i]);
        x[i] = (0.5f * x[i]) * (1.0f + Sleef_cinz_tanhf1_u10purec(NIB_GELU_SQRT_2_PI * t));
    }
}

/* NaN stays NaN, -0 becomes +0. */
static void relu(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] <= 0.0f ? 0.0f : x[i];
}

/* ---- elementwise ----------------------------------------------------------------------------- */

static void add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void mul(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] *= x[i];
}

static void scale(float *y, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] *= factor;
}

static void to_f16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = nib_f32_to_f16(x[i]);
}

static void from_f16(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = nib_f16_to_f32(x[i]);
}

/* ---- quantisation ---------------------------------------------------------------------------- */

static uint32_t amax_bits(const float *x)
{
    uint32_t amax = 0;
    for (size_t i = 0; i < NIB_BLOCK; i++) {
        const uint32_t bits = nib_float_bits(x[i]) & 0x7fffffff;
        amax = bits > amax ? bits : amax;
    }
    return amax;
}

static int32_t quantize_codes(int8_t *q, const float *x, float inverse)
{
    int32_t sum = 0;
    for (size_t i = 0; i < 16; i++) {
        q[i] = inverse == 0.0f ? 0 : (int8_t)rintf(x[i] * inverse);
        sum += q[i];
    }
    return sum;
}

static void quantize_codes15(int16_t *q, const float *x, float inverse)
{
    for (size_t i = 0; i < 16; i++)
        q[i] = inverse == 0.0f ? 0 : (int16_t)rintf(x[i] * inverse);
}

#include "quantize_template.h"

static void quantize_f32(const struct nib_act *a, size_t row, const float *x)
{
    memcpy(a->f + row * a->stride, x, a->n_cols * sizeof(*x));
}

/* ---- the table ------------------------------------------------------------------------------- */

void nib_kernels_init_scalar(struct nib_kernels *k)
{
    *k = (struct nib_kernels){
        .name = "scalar",
        .rms_norm = rms_norm,
        .layer_norm = layer_norm,
        .rope = rope,
        .activate =
            {
                [NIB_ACTIVATION_SILU] = silu,
                [NIB_ACTIVATION_GELU] = gelu,
                [NIB_ACTIVATION_GELU_TANH] = gelu_tanh,
                [NIB_ACTIVATION_RELU] = relu,
            },
        .add = add,
        .mul = mul,
        .scale = scale,
        .to_f16 = to_f16,
        .from_f16 = from_f16,
        .quantize =
            {
                [NIB_ACT_F32] = quantize_f32,
                [NIB_ACT_Q8] = quantize_q8,
                [NIB_ACT_Q15] = quantize_q15,
            },
    };
    nib_kernels_init_attention_scalar(k);
    nib_kernels_init_dots_scalar(k);
    nib_kernels_init_logits_scalar(k);
    nib_kernels_init_matmul_scalar(k);
}
