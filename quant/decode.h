/* Rows of GGUF's weight types to the floats that their definition gives, exactly. */
#ifndef NIB_DECODE_H
#define NIB_DECODE_H

#include "pack.h"

bool nib_can_decode(enum nib_type type);

/* Bytes of `scratch` below. */
size_t nib_decode_scratch(enum nib_type type, size_t n_cols);

/* Up to 16 rows of n_cols values, whole blocks, of a type that can be decoded: out[16][n_cols].  A
 * row that is NULL is left out. */
void nib_decode_rows(enum nib_type type, const uint8_t *const rows[NIB_GROUP], size_t n_cols,
                     uint8_t *scratch, float *out);

#endif
