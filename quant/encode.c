/* The table of encoders, and those of the float types.  See encode.h. */
#include "encode.h"
#include "encode_blocks.h"
#include "half.h"

#include <assert.h>
#include <math.h>

static void encode_f32(const float *x, const float *importance, uint8_t *out)
{
    (void)importance;
    memcpy(out, x, sizeof(*x));
}

static void encode_f16(const float *x, const float *importance, uint8_t *out)
{
    (void)importance;
    nib_put_u16(out, nib_f32_to_f16(*x));
}

static void encode_bf16(const float *x, const float *importance, uint8_t *out)
{
    (void)importance;
    nib_put_u16(out, nib_f32_to_bf16(*x));
}

/* Limits: what rounds to a finite number, or the greatest f16 times what multiplies it. */
static const float greatest_f16 = 65504;

static const struct {
    nib_encode_fn *encode;
    float limit; /* in units of greatest_f16 */
} encoders[NIB_TYPE_END] = {
    [NIB_TYPE_F32] = {encode_f32, INFINITY},
    [NIB_TYPE_F16] = {encode_f16, 1},
    [NIB_TYPE_BF16] = {encode_bf16, 0x1.feffep127f / 65504},
    [NIB_TYPE_Q4_0] = {nib_encode_q4_0, 8},
    [NIB_TYPE_Q4_1] = {nib_encode_q4_1, 1},
    [NIB_TYPE_Q5_0] = {nib_encode_q5_0, 16},
    [NIB_TYPE_Q5_1] = {nib_encode_q5_1, 1},
    [NIB_TYPE_Q8_0] = {nib_encode_q8_0, 127},
    [NIB_TYPE_MXFP4] = {nib_encode_mxfp4, INFINITY},
    [NIB_TYPE_Q2_K] = {nib_encode_q2_k, 15},
    [NIB_TYPE_Q3_K] = {nib_encode_q3_k, 31 * 3},
    [NIB_TYPE_Q4_K] = {nib_encode_q4_k, 63},
    [NIB_TYPE_Q5_K] = {nib_encode_q5_k, 63},
    [NIB_TYPE_Q6_K] = {nib_encode_q6_k, 127 * 31},
    [NIB_TYPE_IQ4_NL] = {nib_encode_iq4_nl, 113},
    [NIB_TYPE_IQ4_XS] = {nib_encode_iq4_xs, 31 * 113},
};

bool nib_can_encode(enum nib_type type)
{
    return type < NIB_TYPE_END && encoders[type].encode;
}

float nib_encode_limit(enum nib_type type)
{
    assert(nib_can_encode(type));
    const float limit = encoders[type].limit * greatest_f16;
    return limit < 0x1.fffffep127f ? limit : 0x1.fffffep127f;
}

bool nib_encode(enum nib_type type, const float *x, size_t n, const float *importance, uint8_t *out,
                size_t *bad)
{
    const struct nib_type_info *info = nib_type_info(type);
    const float limit = nib_encode_limit(type);
    assert(n % info->n_values == 0);
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(x[i]) <= limit)) {
            *bad = i;
            return false;
        }
    nib_encode_fn *const encode = encoders[type].encode;
    for (size_t i = 0; i < n; i += info->n_values, out += info->n_bytes)
        encode(x + i, importance ? importance + i : NULL, out);
    return true;
}
