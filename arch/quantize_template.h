/*
 * Quantisation of a row of activations (docs/numerics.md, rule 8; the planes: act.h).  Parameters,
 * of the file that includes this:
 *
 *     uint32_t amax_bits(const float *x)                     bits of the largest |x| of a block
 *     int32_t quantize_codes(int8_t *q, const float *x, float inverse)
 *                                       q = rint(x * inverse) of 16 values, 0 if inverse is; their
 * sum
 */
static inline void quantize_block(const struct nib_act *a, size_t b, size_t row, const float *x)
{
    const size_t at = b * a->n_rows + row;
    int8_t *const q = a->q + at * NIB_BLOCK;
    float inverse;
    const float d = nib_quantize_scale(amax_bits(x), &inverse);
    const int32_t sum0 = quantize_codes(q, x, inverse);
    const int32_t sum1 = quantize_codes(q + 16, x + 16, inverse);
    const int32_t sum = sum0 + sum1;
    a->d[at] = d;
    a->s[at] = d * (float)sum;
    a->nsum[at] = -sum;
    a->nsum_half[2 * b * a->n_rows + row] = -sum0;
    a->nsum_half[(2 * b + 1) * a->n_rows + row] = -sum1;
}

static void quantize_q8(const struct nib_act *a, size_t row, const float *x)
{
    for (size_t b = 0; b < a->n_cols / NIB_BLOCK; b++)
        quantize_block(a, b, row, x + b * NIB_BLOCK);
}

static void quantize_q8x2(const struct nib_act *a, size_t row, const float *x)
{
    for (size_t b = 0; b < a->n_cols / NIB_BLOCK; b++, x += NIB_BLOCK) {
        const size_t at = b * a->n_rows + 2 * row;
        float rest[NIB_BLOCK];
        quantize_block(a, b, 2 * row, x);
        nib_quantize_rest(rest, x, a->q + at * NIB_BLOCK, a->d[at]);
        quantize_block(a, b, 2 * row + 1, rest);
    }
}
