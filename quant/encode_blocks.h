/* The encoders of single blocks that encode.c has in its table. */
#ifndef NIB_ENCODE_BLOCKS_H
#define NIB_ENCODE_BLOCKS_H

#include <stdint.h>
#include <string.h>

typedef void nib_encode_fn(const float *x, const float *importance, uint8_t *out);

nib_encode_fn nib_encode_q4_0, nib_encode_q4_1, nib_encode_q5_0, nib_encode_q5_1, nib_encode_q8_0,
    nib_encode_mxfp4, nib_encode_q2_k, nib_encode_q3_k, nib_encode_q4_k, nib_encode_q5_k,
    nib_encode_q6_k, nib_encode_iq4_nl, nib_encode_iq4_xs;

static inline void nib_put_u16(uint8_t *out, uint16_t value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}

#endif
