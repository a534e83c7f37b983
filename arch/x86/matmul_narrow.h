/*
 * Few tokens, of matmul_template.h: a stream through the weights as they lie, at the speed of
 * memory.  Each group is read once for all tokens.
 */

/* idot[t] += the dots of run `half` of a block (all of it where runs are blocks). */
INLINE void narrow_run(vint idot[], const struct block_at *at, const int8_t *q, const int n,
                       const int half, const struct nib_pack_info *info)
{
    const bool is_half = nib_scale_columns(info->form) == 16;
    const int begin = half * 4, end = begin + (is_half ? 4 : 8);
    const bool is_int16 = steps_of_bits(info->bits) != 0;
    const int most = is_int16 ? steps_of_bits(info->bits) : 8;
    const int steps = most < end - begin ? most : end - begin;
    UNROLL for (int first = begin; first < end; first += steps)
    {
        vint sum[MATMUL_NARROW];
        UNROLL for (int t = 0; t < n; t++) sum[t] = is_int16 ? vint_zero() : idot[t];
        UNROLL for (int i = first; i < first + steps; i++)
        {
            const int strip = strip_at(i, is_half);
            const struct strip w = load_strip(at, strip, info);
            UNROLL for (int t = 0; t < n; t++) sum[t] =
                dot(sum[t], w, broadcast4(q + t * NIB_BLOCK + strip * 4), info->bits);
        }
        UNROLL for (int t = 0; t < n; t++) idot[t] = is_int16 ? widen(idot[t], sum[t]) : sum[t];
    }
}

/* The planes of a block are too short for the CPU to see where they go on in the next group. */
INLINE void fetch_ahead(const struct nib_matrix *w, const struct block_at *at, const uint8_t *group,
                        size_t row, size_t block, const struct nib_pack_info *info)
{
    const size_t ahead = w->planes.n_bytes;
    if (!MATMUL_AVX512 && row != 0)
        return; /* the first half of the rows fetched for both */
    UNROLL for (int i = 0; i < info->codes / 64; i++)
        _mm_prefetch((const char *)at->codes + ahead + i * 64, _MM_HINT_T0);
    UNROLL for (int i = 0; i < info->two / 64; i++)
        _mm_prefetch((const char *)at->two + ahead + i * 64, _MM_HINT_T0);
    if (info->one)
        _mm_prefetch((const char *)at->one + ahead, _MM_HINT_T0);
    if (info->scale)
        _mm_prefetch((const char *)group + w->planes.scale + block * info->scale + ahead,
                     _MM_HINT_T0);
    if (info->min)
        _mm_prefetch((const char *)group + w->planes.min + block * info->min + ahead, _MM_HINT_T0);
    if (info->form == NIB_SCALE_I6_16 && block % SUPER_BLOCKS == 0)
        UNROLL for (int i = 0; i < info->super; i += 64) _mm_prefetch(
            (const char *)group + w->planes.super + block / SUPER_BLOCKS * info->super + i + ahead,
            _MM_HINT_T0);
}

/* Codes of two parts are summed as if they were of two tokens. */
INLINE void narrow_tile(const struct nib_matmul *m, size_t g, size_t row, size_t t0, const int n,
                        const int n_parts, const struct nib_pack_info *info)
{
    const struct nib_act *x = m->x;
    const struct nib_matrix *w = m->w;
    const size_t n_blocks = w->n_cols / NIB_BLOCK;
    const uint8_t *group = w->data + g * w->planes.n_bytes;
    const bool is_half = nib_scale_columns(info->form) == 16;
    const bool has_min = nib_pack_has_min(info);
    const bool has_start = info->zero_shift && !is_signed(info->bits);
    const int n_runs = is_half ? 2 : 1;
    const int32_t *zero = (is_half ? x->zero_half : x->zero) + t0;
    vfloat acc[MATMUL_NARROW];
    struct super_scales scales;
    UNROLL for (int t = 0; t < n; t++) acc[t] = V(setzero_ps)();
    for (size_t b = 0; b < n_blocks; b++) {
        const struct block_at at = block_at(w, group, row, b, info);
        unpack_scales(&scales, w, group, b, b == 0, info);
        UNROLL for (int half = 0; half < n_runs; half++)
        {
            const size_t run = b * (size_t)n_runs + (size_t)half;
            vint idot[MATMUL_NARROW];
            UNROLL for (int t = 0; t < n; t++)
            {
                idot[t * n_parts] = vint_zero();
                idot[t * n_parts + n_parts - 1] =
                    has_start ? zero_share(zero + run * x->n_rows + (size_t)t, (size_t)n_parts,
                                           info->zero_shift)
                              : vint_zero();
            }
            const size_t first = (b * x->n_rows + t0) * (size_t)n_parts;
            narrow_run(idot, &at, x->q + first * NIB_BLOCK, n * n_parts, half, info);
            if (n_parts == 2)
                UNROLL for (int t = 0; t < n; t++) idot[t] =
                    V(add_epi32)(high_part(idot[2 * t]), idot[2 * t + 1]);
            vfloat min = V(setzero_ps)();
            const vfloat scale = run_scale(w, group, row, run, &scales, &min, info);
            float room[MATMUL_NARROW];
            const float *factor = has_min ? min_factors(room, x, run, t0, n, is_half) : NULL;
            UNROLL for (int t = 0; t < n; t++)
            {
                acc[t] = scale_in(acc[t], idot[t], scale, x->d + b * x->n_rows + t0 + t);
                if (has_min)
                    acc[t] = V(fmadd_ps)(min, V(set1_ps)(factor[t]), acc[t]);
            }
        }
        if (t0 == m->token_begin)
            fetch_ahead(w, &at, group, row, b, info);
    }
    store_sums(m, g * NIB_GROUP + row, t0, acc, n);
}

/* Tiles of a constant width, the widest that n tokens fill.  Returns how many of them were done. */
#define WIDTH(width, n_parts)                                                                      \
    if (n >= (width)) {                                                                            \
        narrow_tile(m, g, row, t0, width, n_parts, info);                                          \
        return width;                                                                              \
    }

INLINE size_t narrow_tokens8(const struct nib_matmul *m, size_t g, size_t row, size_t t0, size_t n,
                             const struct nib_pack_info *info)
{
#if MATMUL_NARROW >= 8
    WIDTH(8, 1)
#endif
    WIDTH(4, 1)
    WIDTH(3, 1)
    WIDTH(2, 1)
    WIDTH(1, 1)
    return 0;
}

INLINE size_t narrow_tokens15(const struct nib_matmul *m, size_t g, size_t row, size_t t0, size_t n,
                              const struct nib_pack_info *info)
{
#if MATMUL_NARROW >= 8
    WIDTH(4, 2)
    WIDTH(3, 2)
#endif
    WIDTH(2, 2)
    WIDTH(1, 2)
    return 0;
}

#undef WIDTH

INLINE void matmul_narrow(const struct nib_matmul *m, size_t group_begin, size_t group_end,
                          size_t token_begin, size_t token_end, const struct nib_pack_info *info)
{
    for (size_t g = group_begin; g < group_end; g++)
        for (size_t row = 0; row < NIB_GROUP; row += LANES)
            for (size_t t = token_begin; t < token_end;)
                t += m->x->n_parts == 1 ? narrow_tokens8(m, g, row, t, token_end - t, info)
                                        : narrow_tokens15(m, g, row, t, token_end - t, info);
}
