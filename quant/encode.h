/*
 * Floats to the bytes of GGUF's weight types.  The bytes depend on the floats alone: the same on
 * every machine, whoever calls and however the rows are shared out.
 *
 * Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, F16, BF16 and MXFP4 follow their formats' rules of rounding and
 * give the reference's bytes; Q2_K to Q6_K, IQ4_NL and IQ4_XS search for scales (encode_search.h).
 */
#ifndef NIB_ENCODE_H
#define NIB_ENCODE_H

#include "types.h"

bool nib_can_encode(enum nib_type type);

/* The greatest |x| that the type holds in any block. */
float nib_encode_limit(enum nib_type type);

/*
 * n values, whole blocks of a type that can be encoded.  `importance` says how much the square of
 * each value's error counts, 0 to 1e6; NULL: all the same.  Types without a search take no notice
 * of it.  False, with the place of the first such value in *bad, if one is not finite or beyond the
 * limit; `out` is undefined then.
 */
bool nib_encode(enum nib_type type, const float *x, size_t n, const float *importance, uint8_t *out,
                size_t *bad);

#endif
