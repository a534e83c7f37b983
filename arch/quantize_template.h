/*
 * Quantisation of a row of activations (docs/numerics.md, rule 8; the planes: act.h).  Parameters,
 * of the file that includes this:
 *
 *     uint32_t amax_bits(const float *x)                     bits of the largest |x| of a block
 *     int32_t quantize_codes(int8_t *q, const float *x, float inverse)
 *                            q = rint(x * inverse) of 16 values, 0 if inverse is; their sum
 *     void quantize_codes15(int16_t *q, const float *x, float inverse)         without the sum
 */
/* The planes beside the codes; sum[i]: of the codes of 16 columns. */
static inline void store_block(const struct nib_act *a, size_t b, size_t row, float d,
                               const int32_t sum[2])
{
    const size_t at = b * a->n_rows + row;
    const int32_t unit = -(1 << nib_act_zero_shift(a->n_parts));
    a->d[at] = d;
    a->s[at] = d * (float)(sum[0] + sum[1]);
    a->zero[at] = (sum[0] + sum[1]) * unit;
    for (size_t half = 0; half < 2; half++)
        a->zero_half[(2 * b + half) * a->n_rows + row] = sum[half] * unit;
}

static void quantize_q8(const struct nib_act *a, size_t row, const float *x)
{
    for (size_t b = 0; b < a->n_cols / NIB_BLOCK; b++, x += NIB_BLOCK) {
        int8_t *const q = a->q + (b * a->n_rows + row) * NIB_BLOCK;
        float inverse;
        const float d = nib_quantize_scale(amax_bits(x), &inverse);
        store_block(
            a, b, row, d,
            (int32_t[]){quantize_codes(q, x, inverse), quantize_codes(q + 16, x + 16, inverse)});
    }
}

static void quantize_q15(const struct nib_act *a, size_t row, const float *x)
{
    for (size_t b = 0; b < a->n_cols / NIB_BLOCK; b++) {
        int8_t *q = a->q + (b * a->n_rows + row) * 2 * NIB_BLOCK;
        int32_t sum[2];
        float inverse;
        const float d = nib_code_scale(amax_bits(x), (float)NIB_CODE15, &inverse);
        for (int half = 0; half < 2; half++, q += 16, x += 16) {
            int16_t codes[16];
            quantize_codes15(codes, x, inverse);
            sum[half] = nib_split_codes15(q, q + NIB_BLOCK, codes);
        }
        store_block(a, b, row, d, sum);
    }
}
