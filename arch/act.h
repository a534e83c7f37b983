/*
 * Activations: the operand of a matrix product that is not a weight, for a number of rows (tokens).
 * Rows lie side by side inside a block of columns, so that a kernel reaches all rows of a tile at
 * constant distances and no layout depends on how many rows are computed together:
 *
 *     NIB_ACT_F32  f[row][stride]
 *     NIB_ACT_Q8   q[block of 32][row][32]   d[block of 32][row]   s[block of 32][row] = d * isum
 *                  zero[block of 32][row] = -128 isum   zero_half[block of 16][row], of 16 codes
 *
 *     NIB_ACT_Q15  the same, but q[block of 32][row][2][32]: a code of 15 bits is 128 high + low,
 *                  the high parts first, low from -64 to 63; zero[][] = -isum
 *
 * isum is the sum of the block's codes; zero is what a zero point of 128 adds to dots with unsigned
 * weights: to those of the high parts, if there are two, which count 128 fold.  Quantisation
 * (docs/numerics.md, rule 8): d = max|x| / 127, or / 16256 for 15 bits, q = rint(x * (1 / d)); d
 * below FLT_MIN counts as 0 with codes 0; a block with NaN or infinity gets d = NaN and codes 0.
 */
#ifndef NIB_ACT_H
#define NIB_ACT_H

#include "pack.h"

struct nib_act {
    enum nib_act_kind kind;
    size_t n_rows; /* that there is room for: the distance between blocks */
    size_t n_cols;
    size_t stride;  /* of f, in floats */
    size_t n_parts; /* of a code in q: 1 or 2 */
    float *f;
    int8_t *q; /* 64-byte aligned, as all of these */
    float *d, *s;
    int32_t *zero, *zero_half;
};

/* Elements of the planes of zeros are -isum << this. */
static inline int nib_act_zero_shift(size_t n_parts)
{
    return n_parts == 1 ? 7 : 0;
}

static inline int32_t nib_act_isum(int32_t zero, size_t n_parts)
{
    return -zero / (1 << nib_act_zero_shift(n_parts));
}

/* Bytes for an act of this kind, a multiple of 64, and laying it out in such memory. */
size_t nib_act_bytes(enum nib_act_kind kind, size_t n_rows, size_t n_cols);
struct nib_act nib_act_place(enum nib_act_kind kind, size_t n_rows, size_t n_cols, void *memory);

#endif
