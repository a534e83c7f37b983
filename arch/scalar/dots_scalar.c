/*
 * The specification of the kernels of int8 caches (docs/numerics.md, rule 6): rotation, codes, and
 * exact integer products with a tile.
 */
#include <math.h>

#include "half.h"
#include "kernels.h"
#include "quantize.h"
#include "scalar.h"

static void hadamard(float *x, size_t n, size_t block)
{
    for (size_t h = 1; h < block; h *= 2) {
        for (size_t i = 0; i < n; i++) {
            if (i & h)
                continue;
            const float a = x[i], b = x[i + h];
            x[i] = a + b;
            x[i + h] = a - b;
        }
    }
}

/* ---- codes ----------------------------------------------------------------------------------- */

static uint32_t max_bits(uint32_t m, float x)
{
    const uint32_t bits = nib_float_bits(x) & 0x7fffffff;
    return bits > m ? bits : m;
}

static float codes8(int8_t *q, const float *x, size_t n)
{
    uint32_t amax = 0;
    for (size_t i = 0; i < n; i++)
        amax = max_bits(amax, x[i]);
    float inverse;
    const float d = nib_quantize_scale(amax, &inverse);
    for (size_t i = 0; i < n; i++)
        q[i] = (int8_t)(inverse == 0.0f ? 0.0f : rintf(x[i] * inverse));
    return d;
}

static float codes15(int16_t *q, const float *x, const float *factor, size_t begin, size_t end,
                     size_t n)
{
    uint32_t amax = 0;
    for (size_t i = begin; i < end; i++)
        amax = max_bits(amax, factor ? x[i] * factor[i] : x[i]);
    float inverse;
    const float d = nib_code_scale(amax, (float)NIB_CODE15, &inverse);
    for (size_t i = 0; i < (n + 15) / 16 * 16; i++) {
        q[i] = 0;
        if (i >= begin && i < end && inverse != 0.0f)
            q[i] = (int16_t)rintf((factor ? x[i] * factor[i] : x[i]) * inverse);
    }
    return d;
}

/* ---- products -------------------------------------------------------------------------------- */

static void dots(const struct nib_dots *d)
{
    for (size_t r = 0; r < d->n_rows; r++) {
        const int16_t *const a = d->a + r * d->a_stride;
        float *const out = d->out + r * d->out_stride;
        for (size_t j = 0; j < d->n_cols; j++) {
            int32_t idot = 0;
            for (size_t i = 0; i < d->n_inner; i++)
                idot += a[i] * d->b[i / 4 * d->b_row + j / 16 * d->b_run + j % 16 * 4 + i % 4];
            out[j] = d->keep ? fmaf((float)idot, d->a_scale[r], out[j] * d->keep[r])
                             : (float)idot * (d->a_scale[r] * d->b_scale[j]);
        }
    }
}

void nib_kernels_init_dots_scalar(struct nib_kernels *k)
{
    k->dots = dots;
    k->hadamard = hadamard;
    k->codes8 = codes8;
    k->codes15 = codes15;
}
