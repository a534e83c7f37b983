/* Rows of logits, over the vector vocabulary of float_template.h, which includes this file. */

static bool block_max(float *max, const float *x, size_t n)
{
    const vf16 zero = vf_set1(0.0f);
    vf16 bad = zero;
    for (size_t begin = 0; begin < n; begin += NIB_LOGITS_BLOCK) {
        vf16 m = vf_set1(-INFINITY);
        const size_t size = n - begin < NIB_LOGITS_BLOCK ? n - begin : NIB_LOGITS_BLOCK;
        size_t i = 0;
        for (; i + 16 <= size; i += 16) {
            const vf16 v = vf_load(x + begin + i);
            m = vf_max(m, v);
            bad = vf_fma(v, zero, bad); /* NaN from the first that is not finite */
        }
        if (i < size) {
            const vf16 v = vf_load_n(x + begin + i, size - i);
            m = vf_max(m, vf_select(vm_range(0, size - i), v, m));
            bad = vf_fma(v, zero, bad);
        }
        max[begin / NIB_LOGITS_BLOCK] = vf_max_lanes(m) + 0.0f;
    }
    return vf_sum(bad) == 0.0f;
}

static double exp_sum(const float *x, size_t n, float max)
{
    const vf16 shift = vf_set1(max), zero = vf_set1(0.0f);
    double total = 0;
    for (size_t begin = 0; begin < n; begin += NIB_EXP_SUM_BLOCK) {
        const size_t size = n - begin < NIB_EXP_SUM_BLOCK ? n - begin : NIB_EXP_SUM_BLOCK;
        vf16 sum = zero;
        size_t i = 0;
        for (; i + 16 <= size; i += 16)
            sum = vf_add(sum, vf_exp(vf_sub(vf_load(x + begin + i), shift)));
        if (i < size) {
            const vf16 e = vf_exp(vf_sub(vf_load_n(x + begin + i, size - i), shift));
            sum = vf_add(sum, vf_select(vm_range(0, size - i), e, zero));
        }
        total += (double)vf_sum(sum);
    }
    return total;
}
