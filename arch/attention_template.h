/*
 * The attention kernels over the vector vocabulary of a simd_<isa>.h, included by float_template.h;
 * the specification is scalar/attention_scalar.c.  Products work on register tiles of up to 6 rows
 * by SIMD_VECTORS(rows) vectors of 16 columns: functions that are always inlined with constants for
 * rows, vectors and the type of the cache, so that sums stay in registers.
 */

enum {
    TILE_ROWS = 6,
    TILE_VECTORS = 4, /* the most that SIMD_VECTORS() gives */
};

/* 16 values of a row of b; only n of them with n < 16. */
SIMD_INLINE vf16 load_b(const void *b, size_t at, bool is_f16, size_t n)
{
    if (is_f16) {
        const uint16_t *const p = (const uint16_t *)b + at;
        return n < 16 ? vf_load_f16_n(p, n) : vf_load_f16(p);
    }
    const float *const p = (const float *)b + at;
    return n < 16 ? vf_load_n(p, n) : vf_load(p);
}

/* acc[r][v] += a[r] b[v] for one row of b, whose vectors begin at `at` and lie b_run values apart.
 * Fetches `next`, whose halves lie likewise, from `fetch` on: a line is two vectors. */
SIMD_INLINE void tile_step(vf16 acc[TILE_ROWS][TILE_VECTORS], const float *a, size_t a_stride,
                           const void *b, size_t at, size_t b_run, const void *next, size_t fetch,
                           int rows, int vectors, bool is_f16, size_t n)
{
    vf16 bv[TILE_VECTORS];
    for (int v = 0; v < vectors; v += 2)
        __builtin_prefetch((const uint16_t *)next + fetch + b_run * (size_t)v);
    for (int v = 0; v < vectors; v++)
        bv[v] = load_b(b, at + b_run * (size_t)v, is_f16, n);
    for (int r = 0; r < rows; r++) {
        const vf16 ar = vf_set1(a[(size_t)r * a_stride]);
        for (int v = 0; v < vectors; v++)
            acc[r][v] = vf_fma(ar, bv[v], acc[r][v]);
    }
}

/* ---- scores ---------------------------------------------------------------------------------- */

struct scores {
    float *out;
    size_t out_stride;
    const float *a;
    size_t a_stride;
    const void *b;
    size_t b_stride;
    const void *next;
    size_t n_inner, n_cols;
};

SIMD_INLINE void scores_tile(const struct scores *s, size_t row, size_t col, int rows, int vectors,
                             bool is_f16)
{
    vf16 acc[TILE_ROWS][TILE_VECTORS];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            acc[r][v] = vf_set1(0.0f);
    const float *a = s->a + row * s->a_stride;
    const void *next = row == 0 ? s->next : s->b;
    const size_t first = col / 16 * s->b_stride;
    for (size_t i = 0; i < s->n_inner; i++)
        tile_step(acc, a + i, s->a_stride, s->b, first + i * 16, s->b_stride, next,
                  first + i * 16 + i % 2 * s->b_stride, rows, vectors, is_f16, 16);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            vf_store(s->out + (row + (size_t)r) * s->out_stride + col + 16 * (size_t)v, acc[r][v]);
}

SIMD_INLINE void scores_rows(const struct scores *s, size_t row, int rows, bool is_f16)
{
    const size_t width = 16 * SIMD_VECTORS(rows);
    size_t col = 0;
    for (; col + width <= s->n_cols; col += width)
        scores_tile(s, row, col, rows, SIMD_VECTORS(rows), is_f16);
    /* what is left in one pass: alone, every vector would wait for its chain of sums */
    switch ((s->n_cols - col) / 16) {
    case 3:
        scores_tile(s, row, col, rows, SIMD_VECTORS(rows) > 3 ? 3 : 1, is_f16);
        break;
    case 2:
        scores_tile(s, row, col, rows, SIMD_VECTORS(rows) > 2 ? 2 : 1, is_f16);
        break;
    case 1:
        scores_tile(s, row, col, rows, 1, is_f16);
        break;
    }
}

SIMD_INLINE void scores_any(const struct scores *s, size_t n_rows, bool is_f16)
{
    size_t row = 0;
    for (; row + 6 <= n_rows; row += 6)
        scores_rows(s, row, 6, is_f16);
    switch (n_rows - row) {
    case 5:
        scores_rows(s, row, 5, is_f16);
        break;
    case 4:
        scores_rows(s, row, 4, is_f16);
        break;
    case 3:
        scores_rows(s, row, 3, is_f16);
        break;
    case 2:
        scores_rows(s, row, 2, is_f16);
        break;
    case 1:
        scores_rows(s, row, 1, is_f16);
        break;
    }
}

static void scores_f16(float *out, size_t out_stride, const float *a, size_t a_stride,
                       const void *b, size_t b_stride, const void *next, size_t n_rows,
                       size_t n_inner, size_t n_cols)
{
    const struct scores s = {out,      out_stride,      a,       a_stride, b,
                             b_stride, next ? next : b, n_inner, n_cols};
    scores_any(&s, n_rows, true);
}

static void scores_f32(float *out, size_t out_stride, const float *a, size_t a_stride,
                       const void *b, size_t b_stride, const void *next, size_t n_rows,
                       size_t n_inner, size_t n_cols)
{
    const struct scores s = {out,      out_stride,      a,       a_stride, b,
                             b_stride, next ? next : b, n_inner, n_cols};
    scores_any(&s, n_rows, false);
}

/* ---- values ---------------------------------------------------------------------------------- */

struct values {
    float *out;
    size_t out_stride;
    const float *scale, *p;
    size_t p_stride;
    const uint8_t *begin, *end;
    const void *b;
    size_t b_stride;
    const void *next;
    size_t n_cols;
};

/* out += the keys [first, last), for `rows` rows and n <= 16 columns of each vector. */
SIMD_INLINE void values_tile(const struct values *s, size_t row, size_t col, size_t first,
                             size_t last, int rows, int vectors, bool is_f16, size_t n)
{
    vf16 acc[TILE_ROWS][TILE_VECTORS];
    float *const out = s->out + row * s->out_stride + col;
    const float *const p = s->p + row * s->p_stride;
    for (int r = 0; r < rows; r++) {
        for (int v = 0; v < vectors; v++) {
            const float *const y = out + (size_t)r * s->out_stride + 16 * (size_t)v;
            acc[r][v] = n < 16 ? vf_load_n(y, n) : vf_load(y);
        }
    }
    const void *next = row == 0 ? s->next : s->b;
    for (size_t i = first; i < last; i++)
        tile_step(acc, p + i, s->p_stride, s->b, i * s->b_stride + col, 16, next,
                  i * s->b_stride + col, rows, vectors, is_f16, n);
    for (int r = 0; r < rows; r++) {
        for (int v = 0; v < vectors; v++) {
            float *const y = out + (size_t)r * s->out_stride + 16 * (size_t)v;
            if (n < 16)
                vf_store_n(y, acc[r][v], n);
            else
                vf_store(y, acc[r][v]);
        }
    }
}

SIMD_INLINE void values_span(const struct values *s, size_t row, size_t first, size_t last,
                             int rows, bool is_f16)
{
    const size_t width = 16 * SIMD_VECTORS(rows);
    if (first >= last)
        return;
    size_t col = 0;
    for (; col + width <= s->n_cols; col += width)
        values_tile(s, row, col, first, last, rows, SIMD_VECTORS(rows), is_f16, 16);
    if (width > 16)
        for (; col + 16 <= s->n_cols; col += 16)
            values_tile(s, row, col, first, last, rows, 1, is_f16, 16);
    if (col < s->n_cols)
        values_tile(s, row, col, first, last, rows, 1, is_f16, s->n_cols - col);
}

SIMD_INLINE void values_scale(const struct values *s, size_t row)
{
    float *const y = s->out + row * s->out_stride;
    const vf16 factor = vf_set1(s->scale[row]);
    size_t j = 0;
    for (; j + 16 <= s->n_cols; j += 16)
        vf_store(y + j, vf_mul(vf_load(y + j), factor));
    if (j < s->n_cols)
        vf_store_n(y + j, vf_mul(vf_load_n(y + j, s->n_cols - j), factor), s->n_cols - j);
}

/*
 * Row by row up to the last begin, all rows together up to the first end, then row by row again:
 * each row takes its own keys in ascending order, also where the rows have none in common.
 */
SIMD_INLINE void values_rows(const struct values *s, size_t row, size_t rows, bool is_f16)
{
    size_t common = s->begin[row], common_end = s->end[row];
    for (size_t r = row; r < row + rows; r++) {
        common = s->begin[r] > common ? s->begin[r] : common;
        common_end = s->end[r] < common_end ? s->end[r] : common_end;
    }
    const size_t rest = common_end > common ? common_end : common;

    for (size_t r = row; r < row + rows; r++) {
        values_scale(s, r);
        values_span(s, r, s->begin[r], s->end[r] < common ? s->end[r] : common, 1, is_f16);
    }
    switch (rows) {
    case 6:
        values_span(s, row, common, common_end, 6, is_f16);
        break;
    case 5:
        values_span(s, row, common, common_end, 5, is_f16);
        break;
    case 4:
        values_span(s, row, common, common_end, 4, is_f16);
        break;
    case 3:
        values_span(s, row, common, common_end, 3, is_f16);
        break;
    case 2:
        values_span(s, row, common, common_end, 2, is_f16);
        break;
    case 1:
        values_span(s, row, common, common_end, 1, is_f16);
        break;
    }
    for (size_t r = row; r < row + rows; r++)
        values_span(s, r, rest, s->end[r], 1, is_f16);
}

SIMD_INLINE void values_any(const struct values *s, size_t n_rows, bool is_f16)
{
    for (size_t row = 0; row < n_rows; row += TILE_ROWS)
        values_rows(s, row, n_rows - row < TILE_ROWS ? n_rows - row : TILE_ROWS, is_f16);
}

static void values_f16(float *out, size_t out_stride, const float *scale, const float *p,
                       size_t p_stride, const uint8_t *begin, const uint8_t *end, const void *b,
                       size_t b_stride, const void *next, size_t n_rows, size_t n_cols)
{
    const struct values s = {out, out_stride, scale,           p,     p_stride, begin, end,
                             b,   b_stride,   next ? next : b, n_cols};
    values_any(&s, n_rows, true);
}

static void values_f32(float *out, size_t out_stride, const float *scale, const float *p,
                       size_t p_stride, const uint8_t *begin, const uint8_t *end, const void *b,
                       size_t b_stride, const void *next, size_t n_rows, size_t n_cols)
{
    const struct values s = {out, out_stride, scale,           p,     p_stride, begin, end,
                             b,   b_stride,   next ? next : b, n_cols};
    values_any(&s, n_rows, false);
}

/* ---- terms of scores ------------------------------------------------------------------------- */

SIMD_INLINE vf16 capped(vf16 s, vf16 cap, vf16 inverse)
{
    return vf_mul(cap, vf_tanh(vf_mul(s, inverse)));
}

static void soft_cap(float *s, float cap, size_t n)
{
    const vf16 c = vf_set1(cap), inverse = vf_set1(1.0f / cap);
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        vf_store(s + i, capped(vf_load(s + i), c, inverse));
    if (i < n)
        vf_store_n(s + i, capped(vf_load_n(s + i, n - i), c, inverse), n - i);
}

static void add_distance(float *s, float slope, float first, size_t n)
{
    static const float lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const vf16 zero = vf_set1(-0.0f), k = vf_set1(slope);
    for (size_t i = 0; i < n; i += 16) {
        const vf16 t = vf_add(vf_load(lanes), vf_set1(first + (float)i));
        const vf16 behind = vf_min(t, vf_sub(zero, t)); /* -|t| */
        if (n - i < 16)
            vf_store_n(s + i, vf_fma(k, behind, vf_load_n(s + i, n - i)), n - i);
        else
            vf_store(s + i, vf_fma(k, behind, vf_load(s + i)));
    }
}

/* ---- softmax --------------------------------------------------------------------------------- */

/* `is_whole`: begin is 0 and end a multiple of 16, so that no lane is to be left out. */
SIMD_INLINE float softmax_range(struct nib_softmax *state, float *s, size_t begin, size_t end,
                                bool is_whole)
{
    const vf16 old = vf_set1(state->max);
    vf16 maxima = old;
    for (size_t i = begin / 16 * 16; i < end; i += 16) {
        vf16 x = vf_load(s + i);
        if (!is_whole)
            x = vf_select(vm_range(begin > i ? begin - i : 0, end - i), x, old);
        maxima = vf_max(x, maxima);
    }
    const float max = vf_max_lanes(maxima) + 0.0f;
    const float factor = state->max == max ? 1.0f : nib_exp(state->max - max);
    state->max = max;

    const vf16 zero = vf_set1(0.0f), shift = vf_set1(max);
    vf16 sum = vf_mul(vf_load(state->sum), vf_set1(factor));
    for (size_t i = 0; i < end; i += 16) {
        vf16 p = vf_exp(vf_sub(vf_load(s + i), shift));
        if (!is_whole)
            p = vf_select(vm_range(begin > i ? begin - i : 0, end - i), p, zero);
        vf_store(s + i, p);
        sum = vf_add(sum, p);
    }
    vf_store(state->sum, sum);
    return factor;
}

static float softmax_tile(struct nib_softmax *state, float *s, size_t begin, size_t end)
{
    if (begin >= end)
        return 1.0f;
    if (begin == 0 && end == NIB_TILE)
        return softmax_range(state, s, 0, NIB_TILE, true);
    return softmax_range(state, s, begin, end, false);
}

static void softmax_merge(float *acc_a, float *max_a, float *sum_a, const float *acc_b, float max_b,
                          float sum_b, size_t d)
{
    const float max = max_b > *max_a ? max_b : *max_a;
    const float factor_a = *max_a == max ? 1.0f : nib_exp(*max_a - max);
    const float factor_b = max_b == max ? 1.0f : nib_exp(max_b - max);
    *max_a = max;
    *sum_a = fmaf(sum_b, factor_b, *sum_a * factor_a);
    const vf16 fa = vf_set1(factor_a), fb = vf_set1(factor_b);
    size_t i = 0;
    for (; i + 16 <= d; i += 16)
        vf_store(acc_a + i, vf_fma(vf_load(acc_b + i), fb, vf_mul(vf_load(acc_a + i), fa)));
    if (i < d) {
        const vf16 a = vf_load_n(acc_a + i, d - i), b = vf_load_n(acc_b + i, d - i);
        vf_store_n(acc_a + i, vf_fma(b, fb, vf_mul(a, fa)), d - i);
    }
}
