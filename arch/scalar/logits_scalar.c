/* The specification of the kernels over rows of logits. */
#include <math.h>

#include "exp.h"
#include "kernels.h"
#include "scalar.h"

static bool block_max(float *max, const float *x, size_t n)
{
    bool is_finite = true;
    for (size_t i = 0; i < n; i++) {
        float *m = &max[i / NIB_LOGITS_BLOCK];
        if (i % NIB_LOGITS_BLOCK == 0)
            *m = -INFINITY;
        if (x[i] > *m)
            *m = x[i];
        is_finite &= isfinite(x[i]) != 0;
    }
    for (size_t b = 0; b * NIB_LOGITS_BLOCK < n; b++)
        max[b] += 0.0f; /* one zero */
    return is_finite;
}

static double exp_sum(const float *x, size_t n, float max)
{
    double total = 0;
    for (size_t begin = 0; begin < n; begin += NIB_EXP_SUM_BLOCK) {
        float partial[16] = {0};
        for (size_t i = begin; i < n && i < begin + NIB_EXP_SUM_BLOCK; i++)
            partial[i % 16] += nib_exp(x[i] - max);
        total += (double)nib_sum16(partial);
    }
    return total;
}

void nib_kernels_init_logits_scalar(struct nib_kernels *k)
{
    k->block_max = block_max;
    k->exp_sum = exp_sum;
}
