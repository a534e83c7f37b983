/*
 * Three tokens and more, of matmul_neon_template.h: 256 columns of a group are expanded to signed
 * bytes, less their zero point, and float scales, in the first level of cache, and serve up to 64
 * tokens, in tiles of up to TILE_TOKENS.  The integer sums of a tile stay in registers; its float
 * sums are touched once in a block and lie in memory, which costs no vector instruction.
 */

enum {
    TILE_TOKENS = MATMUL_DOTPROD ? 8 : 4,
    PASS_TOKENS = 64,
    CHUNK_BLOCKS = NIB_SUPER / NIB_BLOCK,
};

/* ---- weights expanded ------------------------------------------------------------------------ */

/*
 * 256 columns of a group.  Codes: [block][strip][quad] as they are; for smmla two strips zipped,
 * [block][strip / 2][quad][rows 0 and 1, 2 and 3] by 8 columns.  Scales: [run of columns][row].
 */
struct chunk {
    _Alignas(64) int8_t codes[CHUNK_BLOCKS * NIB_BLOCK * NIB_GROUP];
    _Alignas(64) float scale[CHUNK_BLOCKS * 2 * NIB_GROUP];
    _Alignas(64) float min[CHUNK_BLOCKS * 2 * NIB_GROUP];
};

INLINE int8x16_t signed_codes(const struct block *w, const struct nib_pack_info *info, size_t quad,
                              int strip)
{
    const int8x16_t codes = strip_codes(w, info, quad, strip);
    return has_no_zero(info) ? codes : codes - vdupq_n_s8((int8_t)(1 << info->zero_shift));
}

INLINE void expand_codes(int8_t *out, const struct block *w, const struct nib_pack_info *info,
                         size_t quad)
{
#if MATMUL_I8MM
    UNROLL for (int i = 0; i < 8; i += 2)
    {
        const int32x4_t a = vreinterpretq_s32_s8(signed_codes(w, info, quad, i));
        const int32x4_t c = vreinterpretq_s32_s8(signed_codes(w, info, quad, i + 1));
        int8_t *pair = out + i * 64 + 32 * quad;
        vst1q_s8(pair, vreinterpretq_s8_s32(vzip1q_s32(a, c)));
        vst1q_s8(pair + 16, vreinterpretq_s8_s32(vzip2q_s32(a, c)));
    }
#else
    UNROLL for (int i = 0; i < 8; i++)
        vst1q_s8(out + i * 64 + 16 * quad, signed_codes(w, info, quad, i));
#endif
}

INLINE void expand_chunk(struct chunk *out, const struct nib_matrix *w, const uint8_t *group,
                         size_t begin, size_t n_blocks, const struct nib_pack_info *info)
{
    const int n_parts = nib_scale_columns(info->form) == 16 ? 2 : 1;
    for (size_t i = 0; i < n_blocks; i++) {
        const struct block at = block_at(w, info, group, begin + i);
        prefetch_next(&at, info, w->planes.n_bytes);
        ROLLED for (size_t quad = 0; quad < QUADS; quad++)
        {
            expand_codes(out->codes + i * NIB_BLOCK * NIB_GROUP, &at, info, quad);
            UNROLL for (int part = 0; part < n_parts; part++)
            {
                const struct scales s = load_scales(&at, info, quad, begin + i, part);
                const size_t run = i * (size_t)n_parts + (size_t)part;
                vst1q_f32(out->scale + run * NIB_GROUP + 4 * quad, s.scale);
                if (nib_pack_has_min(info))
                    vst1q_f32(out->min + run * NIB_GROUP + 4 * quad, s.min);
            }
        }
    }
}

/*
 * Compilers like to finish one sum after the other, each a chain of dependent products, and to
 * carry the float sums of a tile through all blocks in memory that they spill to.  Empty statements
 * that change a sum, or memory, keep the order of the source; for GCC's sdot its flag in
 * CMakeLists.txt.
 */
#define KEEP_ORDER(sum) __asm__ volatile("" : "+w"(sum))
#define KEEP_MEMORY()   __asm__ volatile("" : : : "memory")

/* QUADS, for loops that are not to be unrolled. */
INLINE size_t all_quads(void)
{
    size_t n = QUADS;
    __asm__("" : "+r"(n));
    return n;
}

/* What is known of a tile when compiled. */
struct shape {
    int n;      /* tokens, or pairs of them */
    bool of_16; /* a scale for 16 columns instead of 32 */
    bool has_min;
    int strips; /* that fit into int16 */
};

/* Where a tile works: blocks [block, block + n_blocks) and tokens [token, token + n_tokens). */
struct place {
    const struct nib_act *x;
    const struct chunk *w;
    size_t block, n_blocks, token, n_tokens;
};

/* tile() and store_tile(): float sums acc of a tile += the blocks of a place; to the output. */
#if MATMUL_I8MM
#include "neon_tile_smmla.h"
#else
#include "neon_tile.h"
#endif

/* ---- tiles of every shape -------------------------------------------------------------------- */

typedef void tile_fn(float *acc, const struct place *at);

/* A function for every width turns it into a constant of its loops. */
#define TILE(name, width, ...)                                                                     \
    static void name##_##width(float *acc, const struct place *at)                                 \
    {                                                                                              \
        tile(acc, at, (struct shape){width, __VA_ARGS__});                                         \
    }
#if MATMUL_DOTPROD && !MATMUL_I8MM
#define TILES(name, ...)                                                                           \
    TILE(name, 1, __VA_ARGS__)                                                                     \
    TILE(name, 2, __VA_ARGS__)                                                                     \
    TILE(name, 3, __VA_ARGS__)                                                                     \
    TILE(name, 4, __VA_ARGS__)                                                                     \
    TILE(name, 5, __VA_ARGS__)                                                                     \
    TILE(name, 6, __VA_ARGS__)                                                                     \
    TILE(name, 7, __VA_ARGS__)                                                                     \
    TILE(name, 8, __VA_ARGS__)                                                                     \
    static tile_fn *const name[] = {name##_1, name##_2, name##_3, name##_4,                        \
                                    name##_5, name##_6, name##_7, name##_8};
#else
#define TILES(name, ...)                                                                           \
    TILE(name, 1, __VA_ARGS__)                                                                     \
    TILE(name, 2, __VA_ARGS__)                                                                     \
    TILE(name, 3, __VA_ARGS__)                                                                     \
    TILE(name, 4, __VA_ARGS__)                                                                     \
    static tile_fn *const name[] = {name##_1, name##_2, name##_3, name##_4};
#endif

TILES(tiles_32, false, false, 8)
TILES(tiles_32_min, false, true, 8)
TILES(tiles_16, true, false, 4)
TILES(tiles_16_min, true, true, 4)
#if MATMUL_DOTPROD
#define tiles_32_bytes tiles_32
#define tiles_16_bytes tiles_16
#else
TILES(tiles_32_bytes, false, false, 2)
TILES(tiles_16_bytes, true, false, 2)
#endif

INLINE tile_fn *const *tiles_of(const struct nib_pack_info *info)
{
    const bool has_min = nib_pack_has_min(info), is_byte = info->bits > 6;
    if (nib_scale_columns(info->form) == 16)
        return has_min ? tiles_16_min : is_byte ? tiles_16_bytes : tiles_16;
    return has_min ? tiles_32_min : is_byte ? tiles_32_bytes : tiles_32;
}

/* ---- loops over tiles ------------------------------------------------------------------------ */

typedef void expand_fn(struct chunk *out, const struct nib_matrix *w, const uint8_t *group,
                       size_t begin, size_t n_blocks);

/* Up to 64 tokens of a group.  Tiles are as equal as they come: 9 tokens are 5 + 4, not 8 + 1. */
INLINE void group_of_tiles(const struct nib_matmul *m, size_t g, size_t begin, size_t n,
                           tile_fn *const *tiles, expand_fn *expand)
{
    const uint8_t *group = m->w->data + g * m->w->planes.n_bytes;
    const size_t n_blocks = m->w->n_cols / NIB_BLOCK;
    const size_t n_tiles = (n + TILE_TOKENS - 1) / TILE_TOKENS;
    struct chunk chunk;
    _Alignas(64) float acc[PASS_TOKENS / TILE_TOKENS][TILE_TOKENS * NIB_GROUP];
    memset(acc, 0, n_tiles * sizeof(*acc));
    for (size_t b = 0; b < n_blocks; b += CHUNK_BLOCKS) {
        struct place at = {.x = m->x, .w = &chunk, .block = b};
        at.n_blocks = n_blocks - b < CHUNK_BLOCKS ? n_blocks - b : CHUNK_BLOCKS;
        expand(&chunk, m->w, group, b, at.n_blocks);
        for (size_t i = 0; i < n_tiles; i++) {
            at.token = begin + n * i / n_tiles;
            at.n_tokens = begin + n * (i + 1) / n_tiles - at.token;
            const size_t width = MATMUL_I8MM ? (at.n_tokens + 1) / 2 : at.n_tokens;
            tiles[width - 1](acc[i], &at);
        }
    }
    for (size_t i = 0; i < n_tiles; i++) {
        const size_t t = begin + n * i / n_tiles;
        store_tile(m, g, t, begin + n * (i + 1) / n_tiles - t, acc[i]);
    }
}

/* The tokens of one pass stay in L2 while all groups stream by. */
INLINE void matmul_wide(const struct nib_matmul *m, const struct nib_pack_info *info,
                        expand_fn *expand)
{
    const size_t fit = (384 << 10) / (m->w->n_cols * m->x->n_parts + 1) / TILE_TOKENS * TILE_TOKENS;
    const size_t pass = fit < TILE_TOKENS ? TILE_TOKENS : fit > PASS_TOKENS ? PASS_TOKENS : fit;
    for (size_t t = m->token_begin; t < m->token_end; t += pass) {
        const size_t n_pass = m->token_end - t < pass ? m->token_end - t : pass;
        for (size_t g = m->group_begin; g < m->group_end; g++)
            group_of_tiles(m, g, t, n_pass, tiles_of(info), expand);
    }
}
