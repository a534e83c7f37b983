/*
 * The float kernels over a vector vocabulary.  Parameters: a file kernels_<isa>.c includes its
 * simd_<isa>.h (vf16 is 16 floats, vf_*, vi_*, vm_*, SIMD_INLINE, SIMD_VECTORS) before
 * this file, once, and calls fill_kernels().  The specification of every function is the one of its
 * name in scalar/; lanes past the end hold zeros, which no partial sum notices.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "exp.h"
#include "gelu.h"
#include "kernels.h"
#include "quantize.h"

/* nib_exp of 16 values */
SIMD_INLINE vf16 vf_exp(vf16 x)
{
    const vm16 is_zero = vm_less(x, vf_set1(NIB_EXP_MIN));
    x = vf_min(vf_set1(NIB_EXP_MAX), x);
    const vf16 n = vf_rint(vf_mul(x, vf_set1(NIB_LOG2E)));
    vf16 r = vf_fnma(n, vf_set1(NIB_LN2_HIGH), x);
    r = vf_fnma(n, vf_set1(NIB_LN2_LOW), r);
    vf16 p = vf_set1(NIB_EXP_C6);
    p = vf_fma(p, r, vf_set1(NIB_EXP_C5));
    p = vf_fma(p, r, vf_set1(NIB_EXP_C4));
    p = vf_fma(p, r, vf_set1(NIB_EXP_C3));
    p = vf_fma(p, r, vf_set1(NIB_EXP_C2));
    p = vf_fma(p, vf_mul(r, r), r);
    p = vf_add(p, vf_set1(1.0f));
    return vf_select(is_zero, vf_set1(0.0f), vf_mul(p, vf_pow2(n)));
}

#include "attention_template.h"
#include "logits_template.h"

/* ---- norms ----------------------------------------------------------------------------------- */

static void rms_norm(float *y, const float *x, const float *w, size_t n, float eps)
{
    const size_t whole = n / 16 * 16;
    vf16 sum = vf_set1(0.0f);
    for (size_t i = 0; i < whole; i += 16) {
        const vf16 v = vf_load(x + i);
        sum = vf_fma(v, v, sum);
    }
    if (whole < n) {
        const vf16 v = vf_load_n(x + whole, n - whole);
        sum = vf_fma(v, v, sum);
    }
    const vf16 r = vf_set1(1.0f / sqrtf(vf_sum(sum) / (float)n + eps));
    for (size_t i = 0; i < whole; i += 16)
        vf_store(y + i, vf_mul(vf_mul(vf_load(x + i), r), vf_load(w + i)));
    if (whole < n) {
        const vf16 v = vf_mul(vf_load_n(x + whole, n - whole), r);
        vf_store_n(y + whole, vf_mul(v, vf_load_n(w + whole, n - whole)), n - whole);
    }
}

static float mean_of(const float *x, size_t n)
{
    const size_t whole = n / 16 * 16;
    vf16 sum = vf_set1(0.0f);
    for (size_t i = 0; i < whole; i += 16)
        sum = vf_add(sum, vf_load(x + i));
    if (whole < n)
        sum = vf_add(sum, vf_load_n(x + whole, n - whole));
    return vf_sum(sum) / (float)n;
}

static float variance_of(const float *x, size_t n, float mean)
{
    const size_t whole = n / 16 * 16;
    const vf16 shift = vf_set1(mean);
    vf16 sum = vf_set1(0.0f);
    for (size_t i = 0; i < whole; i += 16) {
        const vf16 t = vf_sub(vf_load(x + i), shift);
        sum = vf_fma(t, t, sum);
    }
    if (whole < n) {
        const vf16 t = vf_sub(vf_load_n(x + whole, n - whole), shift);
        const vf16 kept = vf_select(vm_range(0, n - whole), t, vf_set1(0.0f));
        sum = vf_fma(kept, kept, sum);
    }
    return vf_sum(sum) / (float)n;
}

static void layer_norm(float *y, const float *x, const float *w, const float *b, size_t n,
                       float eps)
{
    const size_t whole = n / 16 * 16;
    const float mean = mean_of(x, n);
    const vf16 shift = vf_set1(mean);
    const vf16 r = vf_set1(1.0f / sqrtf(variance_of(x, n, mean) + eps));
    for (size_t i = 0; i < whole; i += 16) {
        const vf16 t = vf_mul(vf_sub(vf_load(x + i), shift), r), wi = vf_load(w + i);
        vf_store(y + i, b ? vf_fma(t, wi, vf_load(b + i)) : vf_mul(t, wi));
    }
    if (whole < n) {
        const size_t rest = n - whole;
        const vf16 t = vf_mul(vf_sub(vf_load_n(x + whole, rest), shift), r);
        const vf16 wi = vf_load_n(w + whole, rest);
        vf_store_n(y + whole, b ? vf_fma(t, wi, vf_load_n(b + whole, rest)) : vf_mul(t, wi), rest);
    }
}

/* ---- positions ------------------------------------------------------------------------------- */

static void rope(float *x, const float *c, const float *s, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const vf16 x0 = vf_load(x + i), x1 = vf_load(x + n + i);
        const vf16 ci = vf_load(c + i), si = vf_load(s + i);
        vf_store(x + i, vf_fms(x0, ci, vf_mul(x1, si)));
        vf_store(x + n + i, vf_fma(x0, si, vf_mul(x1, ci)));
    }
    if (i < n) {
        const vf16 x0 = vf_load_n(x + i, n - i), x1 = vf_load_n(x + n + i, n - i);
        const vf16 ci = vf_load_n(c + i, n - i), si = vf_load_n(s + i, n - i);
        vf_store_n(x + i, vf_fms(x0, ci, vf_mul(x1, si)), n - i);
        vf_store_n(x + n + i, vf_fma(x0, si, vf_mul(x1, ci)), n - i);
    }
}

/* ---- elementwise ----------------------------------------------------------------------------- */

/* x[i] = f(x[i]) */
SIMD_INLINE void map(float *x, size_t n, vf16 (*f)(vf16))
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        vf_store(x + i, f(vf_load(x + i)));
    if (i < n)
        vf_store_n(x + i, f(vf_load_n(x + i, n - i)), n - i);
}

/* y[i] = f(y[i], x[i]) */
SIMD_INLINE void map2(float *y, const float *x, size_t n, vf16 (*f)(vf16, vf16))
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        vf_store(y + i, f(vf_load(y + i), vf_load(x + i)));
    if (i < n)
        vf_store_n(y + i, f(vf_load_n(y + i, n - i), vf_load_n(x + i, n - i)), n - i);
}

SIMD_INLINE vf16 silu_of(vf16 x)
{
    const vf16 negative = vf_mul(x, vf_set1(-1.0f));
    return vf_div(x, vf_add(vf_set1(1.0f), vf_exp(negative)));
}

SIMD_INLINE vf16 gelu_of(vf16 x)
{
    const vf16 t = vf_erf(vf_mul(x, vf_set1(NIB_GELU_SQRT1_2)));
    return vf_mul(vf_mul(vf_set1(0.5f), x), vf_add(vf_set1(1.0f), t));
}

SIMD_INLINE vf16 gelu_tanh_of(vf16 x)
{
    const vf16 cube = vf_fma(vf_mul(vf_set1(NIB_GELU_CUBE), vf_mul(x, x)), x, x);
    const vf16 t = vf_tanh(vf_mul(vf_set1(NIB_GELU_SQRT_2_PI), cube));
    return vf_mul(vf_mul(vf_set1(0.5f), x), vf_add(vf_set1(1.0f), t));
}

SIMD_INLINE vf16 relu_of(vf16 x)
{
    const vf16 zero = vf_set1(0.0f);
    return vf_select(vm_less_equal(x, zero), zero, x);
}

static void silu(float *x, size_t n)
{
    map(x, n, silu_of);
}

static void gelu(float *x, size_t n)
{
    map(x, n, gelu_of);
}

static void gelu_tanh(float *x, size_t n)
{
    map(x, n, gelu_tanh_of);
}

static void relu(float *x, size_t n)
{
    map(x, n, relu_of);
}

static void add(float *y, const float *x, size_t n)
{
    map2(y, x, n, vf_add);
}

static void mul(float *y, const float *x, size_t n)
{
    map2(y, x, n, vf_mul);
}

static void scale(float *y, float factor, size_t n)
{
    const vf16 f = vf_set1(factor);
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        vf_store(y + i, vf_mul(vf_load(y + i), f));
    if (i < n)
        vf_store_n(y + i, vf_mul(vf_load_n(y + i, n - i), f), n - i);
}

static void to_f16(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        vf_store_f16(y + i, vf_load(x + i));
    if (i < n)
        vf_store_f16_n(y + i, vf_load_n(x + i, n - i), n - i);
}

static void from_f16(float *y, const uint16_t *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        vf_store(y + i, vf_load_f16(x + i));
    if (i < n)
        vf_store_n(y + i, vf_load_f16_n(x + i, n - i), n - i);
}

/* ---- quantisation ---------------------------------------------------------------------------- */

SIMD_INLINE uint32_t amax_bits(const float *x)
{
    const vi16 amax = vi_max_abs(vi_max_abs(vi_zero(), vf_load(x)), vf_load(x + 16));
    return vi_max_lanes(amax);
}

SIMD_INLINE int32_t quantize_codes(int8_t *q, const float *x, float inverse)
{
    if (inverse == 0.0f) { /* x may be NaN or infinite */
        memset(q, 0, 16);
        return 0;
    }
    return vf_store_codes(q, vf_mul(vf_load(x), vf_set1(inverse)));
}

SIMD_INLINE void quantize_codes15(int16_t *q, const float *x, float inverse)
{
    if (inverse == 0.0f)
        memset(q, 0, 16 * sizeof(*q));
    else
        vf_store_codes15(q, vf_mul(vf_load(x), vf_set1(inverse)));
}

#include "quantize_template.h"

/* ---- the table ------------------------------------------------------------------------------- */

/* All but the matrix products and the copying of F32 activations. */
static void fill_kernels(struct nib_kernels *k)
{
    k->rms_norm = rms_norm;
    k->layer_norm = layer_norm;
    k->rope = rope;
    k->activate[NIB_ACTIVATION_SILU] = silu;
    k->activate[NIB_ACTIVATION_GELU] = gelu;
    k->activate[NIB_ACTIVATION_GELU_TANH] = gelu_tanh;
    k->activate[NIB_ACTIVATION_RELU] = relu;
    k->add = add;
    k->mul = mul;
    k->scale = scale;
    k->to_f16 = to_f16;
    k->from_f16 = from_f16;
    k->quantize[NIB_ACT_Q8] = quantize_q8;
    k->quantize[NIB_ACT_Q15] = quantize_q15;
    k->scores[NIB_CACHE_F16] = scores_f16;
    k->scores[NIB_CACHE_F32] = scores_f32;
    k->values[NIB_CACHE_F16] = values_f16;
    k->values[NIB_CACHE_F32] = values_f32;
    k->soft_cap = soft_cap;
    k->add_distance = add_distance;
    k->softmax_tile = softmax_tile;
    k->softmax_merge = softmax_merge;
    k->block_max = block_max;
    k->exp_sum = exp_sum;
}
