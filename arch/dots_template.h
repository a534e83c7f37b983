/*
 * The kernels of int8 caches over a vector vocabulary; the specification is scalar/dots_scalar.c.
 * Parameters: a file includes its simd_<isa>.h before this one, once, and calls fill_dots(). Beside
 * what float_template.h needs the vocabulary has
 *
 *     vf_swap1, 2, 4, 8    lane j takes lane j ^ h
 *     vi_float             16 integers as floats
 *     vf_store_codes15     16 rounded values as int16
 *     SIMD_DOT_PARTS       registers that hold 4 codes of each of 16 columns, which are 64 bytes
 *     vd_columns, vd_load  such a register, from its 64 / SIMD_DOT_PARTS bytes
 *     vd_row, vd_codes     4 codes of a row, for all columns
 *     vd_sums, vd_zero     sums for one such register; vd_add: sums + the products of both
 *     vd_total             16 integers from the sums of all parts
 *     SIMD_DOT_ROWS        rows of a register tile, at most 6; SIMD_DOT_VECTORS(rows): times 16
 *                          columns
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels.h"
#include "quantize.h"

/* ---- products -------------------------------------------------------------------------------- */

enum {
    DOT_ROWS = 6,
    DOT_VECTORS = 4, /* the most that SIMD_DOT_VECTORS() gives */
    DOT_PART_BYTES = 64 / SIMD_DOT_PARTS,
};

SIMD_INLINE void dots_store(const struct nib_dots *d, size_t row, size_t col, vf16 sum)
{
    float *const out = d->out + row * d->out_stride + col;
    const vf16 scale = vf_set1(d->a_scale[row]);
    if (d->keep)
        vf_store(out, vf_fma(sum, scale, vf_mul(vf_load(out), vf_set1(d->keep[row]))));
    else
        vf_store(out, vf_mul(sum, vf_mul(scale, vf_load(d->b_scale + col))));
}

SIMD_INLINE void dots_tile(const struct nib_dots *d, size_t row, size_t col, int rows, int vectors)
{
    vd_sums sums[DOT_ROWS][DOT_VECTORS * SIMD_DOT_PARTS];
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < vectors * SIMD_DOT_PARTS; p++)
            sums[r][p] = vd_zero();
    const int16_t *a = d->a + row * d->a_stride;
    const int8_t *b = d->b + col / 16 * d->b_run;
    const int8_t *next =
        (row == 0 && d->next ? (const int8_t *)d->next : d->b) + col / 16 * d->b_run;
    for (size_t i = 0; i < d->n_inner; i += 4, a += 4, b += d->b_row, next += d->b_row) {
        for (int v = 0; v < vectors; v++)
            __builtin_prefetch(next + (size_t)v * d->b_run);

        vd_row codes[DOT_ROWS];
        for (int r = 0; r < rows; r++)
            codes[r] = vd_codes(a + (size_t)r * d->a_stride);
        for (int p = 0; p < vectors * SIMD_DOT_PARTS; p++) {
            const vd_columns columns = vd_load(b + (size_t)(p / SIMD_DOT_PARTS) * d->b_run +
                                               p % SIMD_DOT_PARTS * DOT_PART_BYTES);
            for (int r = 0; r < rows; r++)
                sums[r][p] = vd_add(sums[r][p], codes[r], columns);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            dots_store(d, row + (size_t)r, col + 16 * (size_t)v,
                       vi_float(vd_total(sums[r] + v * SIMD_DOT_PARTS)));
}

SIMD_INLINE void dots_rows(const struct nib_dots *d, size_t row, int rows)
{
    const int vectors = SIMD_DOT_VECTORS(rows);
    size_t col = 0;
    for (; col + 16 * (size_t)vectors <= d->n_cols; col += 16 * (size_t)vectors)
        dots_tile(d, row, col, rows, vectors);
    if (vectors > 1)
        for (; col < d->n_cols; col += 16)
            dots_tile(d, row, col, rows, 1);
}

static void dots(const struct nib_dots *given)
{
    const struct nib_dots copy = *given, *const d = &copy; /* which no store can change */
    size_t row = 0;
    for (; row + SIMD_DOT_ROWS <= d->n_rows; row += SIMD_DOT_ROWS)
        dots_rows(d, row, SIMD_DOT_ROWS);
    switch (d->n_rows - row) {
    case 5:
        dots_rows(d, row, 5);
        break;
    case 4:
        dots_rows(d, row, 4);
        break;
    case 3:
        dots_rows(d, row, 3);
        break;
    case 2:
        dots_rows(d, row, 2);
        break;
    case 1:
        dots_rows(d, row, 1);
        break;
    }
}

/* ---- codes ----------------------------------------------------------------------------------- */

static float codes8(int8_t *q, const float *x, size_t n)
{
    const size_t whole = n / 16 * 16;
    vi16 amax = vi_zero();
    for (size_t i = 0; i < whole; i += 16)
        amax = vi_max_abs(amax, vf_load(x + i));
    if (whole < n)
        amax = vi_max_abs(amax, vf_load_n(x + whole, n - whole));
    float inverse;
    const float d = nib_quantize_scale(vi_max_lanes(amax), &inverse);
    if (inverse == 0.0f) { /* x may be NaN or infinite */
        memset(q, 0, n);
        return d;
    }
    const vf16 factor = vf_set1(inverse);
    for (size_t i = 0; i < whole; i += 16)
        vf_store_codes(q + i, vf_mul(vf_load(x + i), factor));
    if (whole < n) {
        int8_t rest[16];
        vf_store_codes(rest, vf_mul(vf_load_n(x + whole, n - whole), factor));
        memcpy(q + whole, rest, n - whole);
    }
    return d;
}

/* Values i .. i + 15 of x factor; 0 outside of [begin, end). */
SIMD_INLINE vf16 load_range(const float *x, const float *factor, size_t i, size_t begin, size_t end)
{
    const size_t n = end - i;
    const bool is_whole = n >= 16;
    vf16 v = is_whole ? vf_load(x + i) : vf_load_n(x + i, n);
    if (factor)
        v = vf_mul(v, is_whole ? vf_load(factor + i) : vf_load_n(factor + i, n));
    if (begin > i)
        v = vf_select(vm_range(begin - i, 16), v, vf_set1(0.0f));
    return v;
}

static float codes15(int16_t *q, const float *x, const float *factor, size_t begin, size_t end,
                     size_t n)
{
    const size_t room = (n + 15) / 16 * 16;
    vi16 amax = vi_zero();
    for (size_t i = begin / 16 * 16; i < end; i += 16)
        amax = vi_max_abs(amax, load_range(x, factor, i, begin, end));
    float inverse;
    const float d = nib_code_scale(vi_max_lanes(amax), (float)NIB_CODE15, &inverse);
    if (inverse == 0.0f) {
        memset(q, 0, room * sizeof(*q));
        return d;
    }
    size_t i = begin / 16 * 16;
    memset(q, 0, i * sizeof(*q));
    for (; i < end; i += 16)
        vf_store_codes15(q + i, vf_mul(load_range(x, factor, i, begin, end), vf_set1(inverse)));
    if (i < room)
        memset(q + i, 0, (room - i) * sizeof(*q));
    return d;
}

/* ---- rotation -------------------------------------------------------------------------------- */

/* The stages inside of 16 lanes: where lane j has the bit h, a - b = b (-1) + a. */
SIMD_INLINE vf16 hadamard16(vf16 x, size_t block)
{
    static const float signs[4][16] = {
        {1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1},
        {1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1},
        {1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1},
        {1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1},
    };
    if (block > 1)
        x = vf_fma(x, vf_load(signs[0]), vf_swap1(x));
    if (block > 2)
        x = vf_fma(x, vf_load(signs[1]), vf_swap2(x));
    if (block > 4)
        x = vf_fma(x, vf_load(signs[2]), vf_swap4(x));
    if (block > 8)
        x = vf_fma(x, vf_load(signs[3]), vf_swap8(x));
    return x;
}

static void hadamard(float *x, size_t n, size_t block)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        vf_store(x + i, hadamard16(vf_load(x + i), block));
    if (i < n)
        vf_store_n(x + i, hadamard16(vf_load_n(x + i, n - i), block), n - i);
    for (size_t h = 16; h < block; h *= 2) {
        for (size_t j = 0; j < n; j += 16) {
            if (j & h)
                continue;
            const vf16 a = vf_load(x + j), b = vf_load(x + j + h);
            vf_store(x + j, vf_add(a, b));
            vf_store(x + j + h, vf_sub(a, b));
        }
    }
}

static void fill_dots(struct nib_kernels *k)
{
    k->dots = dots;
    k->codes8 = codes8;
    k->codes15 = codes15;
    k->hadamard = hadamard;
}
