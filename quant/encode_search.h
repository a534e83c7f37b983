/*
 * The search for the scales and codes of a block of weights, for the formats whose blocks leave a
 * choice: a super-block holds f16 scales d (and dmin), its blocks whole numbers s (and m), its
 * weights codes c, and
 *
 *     x = d s c - dmin m          Q2_K, Q4_K, Q5_K
 *     x = d s c                   Q3_K, Q6_K
 *     x = d s book[c]             IQ4_XS; IQ4_NL with s = 1
 *
 * Sought is the least of the sum of w (x' - x)^2 over the super-block.
 */
#ifndef NIB_ENCODE_SEARCH_H
#define NIB_ENCODE_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

enum { NIB_SEARCH_VALUES = 256, NIB_SEARCH_BLOCKS = 16, NIB_BOOK = 16 };

struct nib_search_shape {
    int n_values;           /* of a super-block, at most NIB_SEARCH_VALUES */
    int n;                  /* of a block, a multiple of 4 */
    int min_code, max_code; /* least and greatest c, or places in the book */
    int min_scale, max_scale;
    bool has_min;       /* then scales and minimums are 0..max_scale, codes 0..max_code */
    int n_starts;       /* how many d are tried first */
    const int8_t *book; /* [NIB_BOOK], ascending, or NULL */
};

struct nib_search_result {
    uint16_t d, dmin; /* f16 */
    int scales[NIB_SEARCH_BLOCKS], mins[NIB_SEARCH_BLOCKS];
    int8_t codes[NIB_SEARCH_VALUES]; /* without a book c, else its place */
};

/*
 * `importance` is a weight for each value, 0 to 1e6, or NULL for 1.  |x| is at most 1e9.  So no sum
 * overflows.  The result depends on the numbers alone, not on the machine.
 */
void nib_search(const struct nib_search_shape *shape, const float *x, const float *importance,
                struct nib_search_result *out);

#endif
