/*
 * Many tokens, of matmul_template.h: some hundred columns of a few rows at a time are unpacked to
 * bytes and float scales, which stay in L1 while all tokens pass by.  What is unpacked has no
 * packing any more, so that one tile serves all of those that are alike in its parameters.
 *
 * A tile has two vectors of rows, which share each broadcast of activations: with one, loads would
 * be the limit.
 */

enum {
    WIDE_COLS = 512,
    WIDE_BLOCKS = WIDE_COLS / NIB_BLOCK,
    WIDE_RUNS = WIDE_COLS / 16,
    WIDE_VECTORS = 2,
    WIDE_ROWS = WIDE_VECTORS * LANES,
    WIDE_TOKENS = MATMUL_WIDE * 30, /* of a pass; sums are kept for all of them */
};

/* What a tile is compiled for. */
struct wide_shape {
    int bits;     /* of codes */
    bool is_half; /* scales for 16 columns, not 32 */
    bool has_min; /* and no zero point; else no minimum, and a zero point of half the codes */
    int n_parts;  /* of a code of activations */
};

struct wide_chunk {
    _Alignas(64) uint8_t bytes[WIDE_VECTORS][WIDE_COLS / 4][LANES * 4];
#if !MATMUL_VNNI
    uint8_t sizes[WIDE_VECTORS][WIDE_COLS / 4][LANES * 4]; /* of signed codes */
#endif
    float scale[WIDE_RUNS][WIDE_ROWS];
    float min[WIDE_RUNS][WIDE_ROWS];
    const uint8_t *codes[WIDE_VECTORS]; /* strips, stride apart */
    size_t stride;
    size_t first_block, n_blocks;
    size_t row;             /* the first */
    bool is_first, is_last; /* of the columns of a row: sums begin at 0, end in the output */
};

INLINE void wide_store(struct wide_chunk *c, int v, size_t strip, struct strip w, const int bits)
{
    vint_store(c->bytes[v][strip], w.codes);
#if !MATMUL_VNNI
    if (is_signed(bits))
        vint_store(c->sizes[v][strip], w.sizes);
#else
    (void)bits;
#endif
}

INLINE struct strip wide_strip(const struct wide_chunk *c, int v, size_t strip, const int bits)
{
    struct strip w = {.codes = vint_load(c->codes[v] + strip * c->stride)};
#if !MATMUL_VNNI
    if (is_signed(bits))
        w.sizes = vint_load(c->sizes[v][strip]);
#else
    (void)bits;
#endif
    return w;
}

/* A strip as tiles take it: VNNI has room for one zero point, 128, for all types. */
INLINE struct strip wide_load(const struct block_at *at, const int strip,
                              const struct nib_pack_info *info)
{
    struct strip w = load_strip(at, strip, info);
    if (MATMUL_VNNI && !nib_pack_has_min(info) && info->zero_shift < 7)
        w.codes = V(add_epi8)(w.codes, V(set1_epi8)((char)(128 - (1 << info->zero_shift))));
    return w;
}

/* Unpack the blocks of a chunk. */
INLINE void wide_unpack(struct wide_chunk *c, const struct nib_matrix *w,
                        const struct nib_pack_info *info)
{
    const bool is_half = nib_scale_columns(info->form) == 16;
    const bool has_min = nib_pack_has_min(info);
    const size_t n_runs = is_half ? 2 : 1;
    const bool in_place = info->codes == 512 && !is_signed(info->bits);
    c->stride = in_place ? 64 : LANES * 4;
    for (int v = 0; v < WIDE_VECTORS; v++) {
        const size_t row = c->row + (size_t)v * LANES, lane = row % NIB_GROUP;
        const uint8_t *group = w->data + row / NIB_GROUP * w->planes.n_bytes;
        c->codes[v] = in_place ? group + c->first_block * 512 + lane * 4 : c->bytes[v][0];
        struct super_scales scales;
        for (size_t b = 0; b < c->n_blocks; b++) {
            const size_t block = c->first_block + b;
            const struct block_at at = block_at(w, group, lane, block, info);
            unpack_scales(&scales, w, group, block, b == 0, info);
            if (!in_place)
                UNROLL for (int strip = 0; strip < 8; strip++) wide_store(
                    c, v, b * 8 + (size_t)strip, wide_load(&at, strip, info), info->bits);
            UNROLL for (size_t half = 0; half < n_runs; half++)
            {
                const size_t run = b * n_runs + half;
                vfloat min;
                const vfloat scale =
                    run_scale(w, group, lane, block * n_runs + half, &scales, &min, info);
                V(storeu_ps)(&c->scale[run][v * LANES], scale);
                if (has_min)
                    V(storeu_ps)(&c->min[run][v * LANES], min);
            }
        }
    }
}

/* idot[v][t] += the dots of strips [begin, begin + n_strips) of block b; q: of that block. */
INLINE void wide_run(vint idot[WIDE_VECTORS][MATMUL_WIDE], const struct wide_chunk *c, size_t b,
                     const int begin, const int n_strips, const int8_t *q, size_t q_stride,
                     const int n, const int bits)
{
    const bool is_int16 = steps_of_bits(bits) != 0;
    const int most = is_int16 ? steps_of_bits(bits) : 8;
    const int steps = most < n_strips ? most : n_strips;
    UNROLL for (int first = begin; first < begin + n_strips; first += steps)
    {
        vint sum[WIDE_VECTORS][MATMUL_WIDE];
        UNROLL for (int v = 0; v < WIDE_VECTORS; v++) UNROLL for (int t = 0; t < n; t++) sum[v][t] =
            is_int16 ? vint_zero() : idot[v][t];
        UNROLL for (int strip = first; strip < first + steps; strip++)
        {
            struct strip w[WIDE_VECTORS];
            UNROLL for (int v = 0; v < WIDE_VECTORS; v++) w[v] =
                wide_strip(c, v, b * 8 + (size_t)strip, bits);
            UNROLL for (int t = 0; t < n; t++)
            {
                const vint x = broadcast4(q + (size_t)t * q_stride + strip * 4);
                UNROLL for (int v = 0; v < WIDE_VECTORS; v++) sum[v][t] =
                    dot(sum[v][t], w[v], x, bits);
            }
        }
        UNROLL for (int v = 0; v < WIDE_VECTORS; v++) UNROLL for (int t = 0; t < n; t++)
            idot[v][t] = is_int16 ? widen(idot[v][t], sum[v][t]) : sum[v][t];
    }
}

/* idot[v][t] = -2^zero_shift isum, or 0 if that is negative. */
INLINE void wide_start(vint idot[WIDE_VECTORS][MATMUL_WIDE], const int32_t *zero,
                       const int zero_shift, const int n, const size_t n_parts)
{
    UNROLL for (int t = 0; t < n; t++)
    {
        const vint start = zero_shift < 0 ? vint_zero() : zero_share(zero + t, n_parts, zero_shift);
        UNROLL for (int v = 0; v < WIDE_VECTORS; v++) idot[v][t] = start;
    }
}

/* Sums of tokens t0.. over the columns of a chunk, on top of sums[token][row] and into them, or
 * into the output. */
INLINE void wide_tile(const struct wide_chunk *c, const struct nib_matmul *m, size_t t0,
                      float (*sums)[WIDE_ROWS], const int n, const struct wide_shape shape)
{
    const struct nib_act *x = m->x;
    const size_t n_runs = shape.is_half ? 2 : 1, stride = x->n_rows;
    const int n_strips = shape.is_half ? 4 : 8;
    const int zero_shift = shape.has_min || is_signed(shape.bits) ? -1 : shape.bits - 1;
    vfloat acc[WIDE_VECTORS][MATMUL_WIDE];
    UNROLL for (int v = 0; v < WIDE_VECTORS; v++) UNROLL for (int t = 0; t < n; t++) acc[v][t] =
        V(setzero_ps)();
    if (!c->is_first)
        UNROLL for (int v = 0; v < WIDE_VECTORS; v++) UNROLL for (int t = 0; t < n; t++) acc[v][t] =
            V(loadu_ps)(&sums[t][v * LANES]);
    for (size_t b = 0; b < c->n_blocks; b++) {
        const size_t block = c->first_block + b;
        const int8_t *q = x->q + (block * stride + t0) * NIB_BLOCK * (size_t)shape.n_parts;
        const float *d = x->d + block * stride + t0;
        UNROLL for (size_t half = 0; half < n_runs; half++)
        {
            const size_t run = block * n_runs + half;
            const int32_t *zero = (shape.is_half ? x->zero_half : x->zero) + run * stride + t0;
            vint idot[WIDE_VECTORS][MATMUL_WIDE];
            const int begin = (int)half * 4;
            if (shape.n_parts == 1) {
                wide_start(idot, zero, zero_shift, n, 1);
                wide_run(idot, c, b, begin, n_strips, q, NIB_BLOCK, n, shape.bits);
            } else {
                const bool is_high = zero_shift == 7; /* 128 isum is isum among the high parts */
                wide_start(idot, zero, is_high ? 0 : -1, n, 2);
                wide_run(idot, c, b, begin, n_strips, q, 2 * NIB_BLOCK, n, shape.bits);
                vint start[WIDE_VECTORS][MATMUL_WIDE];
                wide_start(start, zero, is_high ? -1 : zero_shift, n, 2);
                UNROLL for (int v = 0; v < WIDE_VECTORS; v++) UNROLL for (int t = 0; t < n; t++)
                    idot[v][t] = V(add_epi32)(high_part(idot[v][t]), start[v][t]);
                /* else weights are kept from the high parts on, and registers run out */
                __asm__ volatile("" : : : "memory");
                wide_run(idot, c, b, begin, n_strips, q + NIB_BLOCK, 2 * NIB_BLOCK, n, shape.bits);
            }
            UNROLL for (int v = 0; v < WIDE_VECTORS; v++)
            {
                const vfloat scale = V(loadu_ps)(&c->scale[b * n_runs + half][v * LANES]);
                UNROLL for (int t = 0; t < n; t++) acc[v][t] =
                    scale_in(acc[v][t], idot[v][t], scale, d + t);
            }
            if (shape.has_min) {
                float room[(MATMUL_WIDE + 3) / 4 * 4];
                const float *factor = min_factors(room, x, run, t0, n, shape.is_half);
                UNROLL for (int v = 0; v < WIDE_VECTORS; v++)
                {
                    const vfloat min = V(loadu_ps)(&c->min[b * n_runs + half][v * LANES]);
                    UNROLL for (int t = 0; t < n; t++) acc[v][t] =
                        V(fmadd_ps)(min, V(set1_ps)(factor[t]), acc[v][t]);
                }
            }
        }
    }
    UNROLL for (int v = 0; v < WIDE_VECTORS; v++)
    {
        if (c->is_last)
            store_sums(m, c->row + (size_t)v * LANES, t0, acc[v], n);
        else
            UNROLL for (int t = 0; t < n; t++) V(storeu_ps)(&sums[t][v * LANES], acc[v][t]);
    }
}

/* Tiles as equal as they come: 7 tokens are 4 + 3, not 6 + 1. */
INLINE void wide_tiles(const struct wide_chunk *c, const struct nib_matmul *m, size_t t0, size_t n,
                       float (*sums)[WIDE_ROWS], const struct wide_shape shape)
{
    const size_t n_tiles = (n + MATMUL_WIDE - 1) / MATMUL_WIDE;
    for (size_t i = 0; i < n_tiles; i++) {
        const size_t begin = n * i / n_tiles, end = n * (i + 1) / n_tiles;
        switch (end - begin) { /* a constant width in each case */
#define WIDTH(width)                                                                               \
    case width: /* half of the widest at least */                                                  \
        if (width <= MATMUL_WIDE && 2 * width >= MATMUL_WIDE)                                      \
            wide_tile(c, m, t0 + begin, sums + begin, width <= MATMUL_WIDE ? width : 1, shape);    \
        break;
            WIDTH(1)
            WIDTH(2)
            WIDTH(3)
            WIDTH(4)
            WIDTH(5)
            WIDTH(6)
#undef WIDTH
        }
    }
}

typedef void wide_tiles_fn(const struct wide_chunk *c, const struct nib_matmul *m, size_t t0,
                           size_t n, float (*sums)[WIDE_ROWS]);

#define WIDE_TILES(name, n_bits, half, min)                                                        \
    static __attribute__((noinline)) void name(const struct wide_chunk *c,                         \
                                               const struct nib_matmul *m, size_t t0, size_t n,    \
                                               float(*sums)[WIDE_ROWS])                            \
    {                                                                                              \
        if (m->x->n_parts == 1)                                                                    \
            wide_tiles(c, m, t0, n, sums, (struct wide_shape){n_bits, half, min, 1});              \
        else                                                                                       \
            wide_tiles(c, m, t0, n, sums, (struct wide_shape){n_bits, half, min, 2});              \
    }

WIDE_TILES(tiles_8, 8, false, false)
WIDE_TILES(tiles_8_half, 8, true, false)
WIDE_TILES(tiles_4_min, 4, false, true)
WIDE_TILES(tiles_2_half_min, 2, true, true)
#if MATMUL_VNNI /* any number of bits, and one zero point */
#define tiles_4      tiles_8
#define tiles_5      tiles_8
#define tiles_3_half tiles_8_half
#define tiles_6_half tiles_8_half
#define tiles_5_min  tiles_4_min
#else
WIDE_TILES(tiles_4, 4, false, false)
WIDE_TILES(tiles_5, 5, false, false)
WIDE_TILES(tiles_3_half, 3, true, false)
WIDE_TILES(tiles_6_half, 6, true, false)
WIDE_TILES(tiles_5_min, 5, false, true)
#endif

INLINE wide_tiles_fn *wide_tiles_of(const struct nib_pack_info *info)
{
    const bool is_half = nib_scale_columns(info->form) == 16;
    if (nib_pack_has_min(info))
        return is_half ? tiles_2_half_min : info->bits == 5 ? tiles_5_min : tiles_4_min;
    if (is_half)
        return info->bits == 3 ? tiles_3_half : info->bits == 6 ? tiles_6_half : tiles_8_half;
    return info->bits == 4 ? tiles_4 : info->bits == 5 ? tiles_5 : tiles_8;
}

/* All tokens of a pass for the rows of two vectors, from `row` on. */
INLINE void wide_rows(const struct nib_matmul *m, size_t row, size_t t0, size_t n,
                      const struct nib_pack_info *info)
{
    _Alignas(64) float sums[WIDE_TOKENS][WIDE_ROWS]; /* between chunks */
    struct wide_chunk chunk;
    wide_tiles_fn *const tiles = wide_tiles_of(info);
    const size_t n_blocks = m->w->n_cols / NIB_BLOCK;
    const size_t n_chunks = (n_blocks + WIDE_BLOCKS - 1) / WIDE_BLOCKS;
    chunk.row = row;
    for (size_t i = 0; i < n_chunks; i++) {
        chunk.first_block = n_blocks * i / n_chunks;
        chunk.n_blocks = n_blocks * (i + 1) / n_chunks - chunk.first_block;
        chunk.is_first = i == 0;
        chunk.is_last = i + 1 == n_chunks;
        wide_unpack(&chunk, m->w, info);
        tiles(&chunk, m, t0, n, sums);
    }
}

/* Tokens are cut so that those of a pass stay in L2 while all rows stream by.  A vector of rows
 * without a second one goes the narrow way. */
INLINE void matmul_wide(const struct nib_matmul *m, matmul_narrow_fn *narrow,
                        const struct nib_pack_info *info)
{
    const size_t fit = (384 << 10) / (m->w->n_cols * m->x->n_parts + 1) / MATMUL_WIDE * MATMUL_WIDE;
    const size_t most = fit < MATMUL_WIDE ? MATMUL_WIDE : fit < WIDE_TOKENS ? fit : WIDE_TOKENS;
    const size_t n = m->token_end - m->token_begin, n_passes = (n + most - 1) / most;
    for (size_t i = 0; i < n_passes; i++) {
        const size_t t0 = m->token_begin + n * i / n_passes;
        const size_t n_pass = m->token_begin + n * (i + 1) / n_passes - t0;
        const size_t end = m->group_end * NIB_GROUP;
        size_t row = m->group_begin * NIB_GROUP;
        for (; row + WIDE_ROWS <= end; row += WIDE_ROWS)
            wide_rows(m, row, t0, n_pass, info);
        if (row < end)
            narrow(m, row / NIB_GROUP, m->group_end, t0, t0 + n_pass);
    }
}
