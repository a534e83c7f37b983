#include "kv_cache.h"

#include "checked.h"

#include <string.h>

bool nib_kv_cache_shape(struct nib_kv_cache *c, size_t n_ctx)
{
    c->d_padded = (c->d + 15) / 16 * 16;
    c->n_segments = (n_ctx + NIB_SEGMENT - 1) / NIB_SEGMENT;
    c->key_bytes = NIB_SEGMENT * c->d * nib_kv_value_bytes(c->type_k);
    c->key_bytes = (c->key_bytes + 63) & ~(size_t)63;
    c->segment_bytes = c->key_bytes + NIB_SEGMENT * c->d_padded * nib_kv_value_bytes(c->type_v);
    uint64_t n = c->segment_bytes;
    if (!nib_checked_mul(n, c->n_heads, &n) || !nib_checked_mul(n, c->n_layers, &n) ||
        !nib_checked_mul(n, c->n_segments, &n) || !nib_checked_mul(n, c->n_sequences, &n) ||
        n > SIZE_MAX / 2)
        return false;
    c->n_bytes = (size_t)n;
    return true;
}

void nib_kv_store(const struct nib_kv_cache *c, const struct nib_kernels *kernels, uint8_t *segment,
                  size_t position, const float *k, const float *v)
{
    uint8_t *values = segment + c->key_bytes;
    if (c->type_v == NIB_CACHE_F16)
        kernels->to_f16((uint16_t *)(void *)values + position * c->d_padded, v, c->d);
    else
        memcpy(values + position * c->d_padded * 4, v, c->d * 4);

    const size_t lane = position / NIB_TILE * c->d * NIB_TILE + position % NIB_TILE;
    if (c->type_k == NIB_CACHE_F16) {
        uint16_t half[512];
        uint16_t *keys = (uint16_t *)(void *)segment + lane;
        kernels->to_f16(half, k, c->d);
        for (size_t i = 0; i < c->d; i++)
            keys[i * NIB_TILE] = half[i];
    } else {
        float *keys = (float *)(void *)segment + lane;
        for (size_t i = 0; i < c->d; i++)
            keys[i * NIB_TILE] = k[i];
    }
}
