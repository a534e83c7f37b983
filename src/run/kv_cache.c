#include "kv_cache.h"
#include "model.h" /* NIB_MAX_HEAD */

#include "checked.h"

#include <string.h>

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
    float turned[NIB_MAX_HEAD];
    memcpy(turned, x, d * sizeof(*x));
    kernels->hadamard(turned, d, nib_kv_block(d));
    return kernels->codes8(codes, turned, d);
}

/* Values of a run of 16 keys; of int8 its bytes, without scales. */
static size_t key_run(const struct nib_kv_cache *c)
{
    return c->type_k == NIB_CACHE_Q8 ? (c->d + 3) / 4 * 64 : c->d * 16;
}

static void store_key(const struct nib_kv_cache *c, const struct nib_kernels *kernels,
                      uint8_t *tile, size_t key, const float *k)
{
    const size_t at = key / 16 * key_run(c), lane = key % 16;
    if (c->type_k == NIB_CACHE_F32) {
        float *keys = (float *)(void *)tile + at + lane;
        for (size_t i = 0; i < c->d; i++)
            keys[i * 16] = k[i];
    } else if (c->type_k == NIB_CACHE_F16) {
        uint16_t half[NIB_MAX_HEAD];
        uint16_t *keys = (uint16_t *)(void *)tile + at + lane;
        kernels->to_f16(half, k, c->d);
        for (size_t i = 0; i < c->d; i++)
            keys[i * 16] = half[i];
    } else {
        int8_t codes[NIB_MAX_HEAD + 3] = {0};
        nib_kv_key_scales(c, tile)[key] = turned_codes(kernels, codes, k, c->d);
        for (size_t i = 0; i < c->d; i += 4)
            memcpy(tile + at + (i * 4 + lane) * 4, codes + i, 4);
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
        int8_t codes[NIB_MAX_HEAD];
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

/* The first n of NIB_TILE keys, in whole runs. */
static void copy_keys(const struct nib_kv_cache *c, uint8_t *to, const uint8_t *from, size_t n)
{
    static const uint8_t value_bytes[] = {
        [NIB_CACHE_F16] = 2, [NIB_CACHE_F32] = 4, [NIB_CACHE_Q8] = 1};
    memcpy(to, from, (n + 15) / 16 * key_run(c) * value_bytes[c->type_k]);
    if (c->type_k == NIB_CACHE_Q8)
        memcpy(nib_kv_key_scales(c, to), nib_kv_key_scales(c, from), n * sizeof(float));
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
