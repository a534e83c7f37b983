#include "kv_cache.h"

#include "checked.h"

#include <string.h>

enum { MAX_HEAD = 512 }; /* see config.c */

static size_t tile_bytes(enum nib_kv type, size_t n_floats, size_t n_codes)
{
    switch (type) {
    case NIB_CACHE_F16:
        return NIB_TILE * n_floats * 2;
    case NIB_CACHE_F32:
        return NIB_TILE * n_floats * 4;
    default:
        return NIB_TILE * (n_codes + sizeof(float));
    }
}

bool nib_kv_cache_shape(struct nib_kv_cache *c, size_t n_ctx)
{
    c->d_padded = (c->d + 15) / 16 * 16;
    c->n_segments = (n_ctx + NIB_SEGMENT - 1) / NIB_SEGMENT;
    c->key_bytes = tile_bytes(c->type_k, c->d, (c->d + 3) / 4 * 4);
    c->tile_bytes = c->key_bytes + tile_bytes(c->type_v, c->d_padded, c->d_padded);
    c->segment_bytes = NIB_SEGMENT / NIB_TILE * c->tile_bytes;
    uint64_t n = c->segment_bytes;
    if (!nib_checked_mul(n, c->n_heads, &n) || !nib_checked_mul(n, c->n_layers, &n) ||
        !nib_checked_mul(n, c->n_segments, &n) || !nib_checked_mul(n, c->n_sequences, &n) ||
        n > SIZE_MAX / 2)
        return false;
    c->n_bytes = (size_t)n;
    return true;
}

/* ---- storing one key and one value ---------------------------------------------------------- */

/* Codes of x, turned; returns the scale. */
static float turned_codes(const struct nib_kernels *kernels, int8_t *codes, const float *x,
                          size_t d)
{
    float turned[MAX_HEAD];
    memcpy(turned, x, d * sizeof(*x));
    kernels->hadamard(turned, d, nib_kv_block(d));
    return kernels->codes8(codes, turned, d);
}

static void store_key(const struct nib_kv_cache *c, const struct nib_kernels *kernels,
                      uint8_t *tile, size_t lane, const float *k)
{
    if (c->type_k == NIB_CACHE_F32) {
        float *keys = (float *)(void *)tile + lane;
        for (size_t i = 0; i < c->d; i++)
            keys[i * NIB_TILE] = k[i];
    } else if (c->type_k == NIB_CACHE_F16) {
        uint16_t half[MAX_HEAD];
        uint16_t *keys = (uint16_t *)(void *)tile + lane;
        kernels->to_f16(half, k, c->d);
        for (size_t i = 0; i < c->d; i++)
            keys[i * NIB_TILE] = half[i];
    } else {
        int8_t codes[MAX_HEAD + 3] = {0};
        nib_kv_key_scales(c, tile)[lane] = turned_codes(kernels, codes, k, c->d);
        for (size_t i = 0; i < c->d; i += 4)
            memcpy(tile + (i / 4 * NIB_TILE + lane) * 4, codes + i, 4);
    }
}

static void store_value(const struct nib_kv_cache *c, const struct nib_kernels *kernels,
                        uint8_t *tile, size_t key, const float *v)
{
    if (c->type_v == NIB_CACHE_F32) {
        memcpy(tile + key * c->d_padded * 4, v, c->d * 4);
    } else if (c->type_v == NIB_CACHE_F16) {
        kernels->to_f16((uint16_t *)(void *)tile + key * c->d_padded, v, c->d);
    } else {
        int8_t codes[MAX_HEAD];
        nib_kv_value_scales(c, tile)[key] = turned_codes(kernels, codes, v, c->d);
        uint8_t *column = tile + key / 4 * 4 * c->d_padded + key % 4;
        for (size_t i = 0; i < c->d; i++)
            column[4 * i] = (uint8_t)codes[i];
    }
}

void nib_kv_store(const struct nib_kv_cache *c, const struct nib_kernels *kernels, uint8_t *segment,
                  size_t position, const float *k, const float *v)
{
    uint8_t *tile = segment + position / NIB_TILE * c->tile_bytes;
    store_key(c, kernels, tile, position % NIB_TILE, k);
    store_value(c, kernels, tile + c->key_bytes, position % NIB_TILE, v);
}

/* ---- copying -------------------------------------------------------------------------------- */

/* The first n of NIB_TILE keys, which are lanes of rows, in whole cache lines. */
static void copy_keys(const struct nib_kv_cache *c, uint8_t *to, const uint8_t *from, size_t n)
{
    const bool is_q8 = c->type_k == NIB_CACHE_Q8;
    const size_t key_bytes = c->type_k == NIB_CACHE_F16 ? 2 : 4;
    const size_t row_bytes = NIB_TILE * key_bytes, n_rows = is_q8 ? (c->d + 3) / 4 : c->d;
    const size_t used = (n * key_bytes + 63) & ~(size_t)63;
    if (used == row_bytes) {
        memcpy(to, from, c->key_bytes);
        return;
    }
    for (size_t i = 0; i < n_rows; i++)
        memcpy(to + i * row_bytes, from + i * row_bytes, used);
    if (is_q8)
        memcpy(to + n_rows * row_bytes, from + n_rows * row_bytes, n * sizeof(float));
}

static void copy_values(const struct nib_kv_cache *c, uint8_t *to, const uint8_t *from, size_t n)
{
    if (c->type_v != NIB_CACHE_Q8) {
        memcpy(to, from, n * c->d_padded * (c->type_v == NIB_CACHE_F16 ? 2 : 4));
        return;
    }
    memcpy(to, from, (n + 3) / 4 * 4 * c->d_padded);
    memcpy(nib_kv_value_scales(c, to), nib_kv_value_scales(c, from), n * sizeof(float));
}

void nib_kv_copy(const struct nib_kv_cache *c, uint8_t *to, const uint8_t *from, size_t n)
{
    for (size_t first = 0; first < n; first += NIB_TILE) {
        const size_t size = n - first < NIB_TILE ? n - first : NIB_TILE;
        copy_keys(c, to, from, size);
        copy_values(c, to + c->key_bytes, from + c->key_bytes, size);
        to += c->tile_bytes;
        from += c->tile_bytes;
    }
}
