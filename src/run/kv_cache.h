/*
 * The KV cache.  Positions come in segments of NIB_SEGMENT, which are also the units of attention
 * (docs/numerics.md, rule 6): a segment of one KV head of one layer is one run of memory,
 *
 *     keys    [NIB_SEGMENT / NIB_TILE][d][NIB_TILE]    a lane is a key
 *     values  [NIB_SEGMENT][d_padded]                  a lane is a dimension; d_padded: to 16
 *
 * and belongs to one thread, which alone writes it (and so touches it first) and works on it when
 * tokens are generated.  Memory is ordered by sequence, segment, layer, head, so that a short
 * sequence touches little of it.
 */
#ifndef NIB_KV_CACHE_H
#define NIB_KV_CACHE_H

#include "kernels.h"

struct nib_kv_cache {
    enum nib_kv type_k, type_v;
    size_t d, d_padded;
    size_t n_sequences, n_segments; /* segments of a sequence */
    size_t n_layers, n_heads;
    size_t key_bytes, segment_bytes; /* of the keys; of keys and values */
    uint8_t *memory;
    size_t n_bytes;
};

/* Everything but the memory; false if the size does not fit. */
bool nib_kv_cache_shape(struct nib_kv_cache *cache, size_t n_ctx);

static inline size_t nib_kv_value_bytes(enum nib_kv type)
{
    return type == NIB_CACHE_F16 ? 2 : 4;
}

static inline uint8_t *nib_kv_segment(const struct nib_kv_cache *c, size_t sequence, size_t segment,
                                      size_t layer, size_t head)
{
    const size_t i = ((sequence * c->n_segments + segment) * c->n_layers + layer) * c->n_heads;
    return c->memory + (i + head) * c->segment_bytes;
}

/* Round robin, so that a single head's segments spread over the team. */
static inline int nib_kv_owner(const struct nib_kv_cache *c, size_t segment, size_t head,
                               int n_threads)
{
    return (int)((segment * c->n_heads + head) % (size_t)n_threads);
}

/* Tiles of a segment. */
static inline const void *nib_kv_keys(const struct nib_kv_cache *c, const uint8_t *segment,
                                      size_t tile)
{
    return segment + tile * c->d * NIB_TILE * nib_kv_value_bytes(c->type_k);
}

static inline const void *nib_kv_values(const struct nib_kv_cache *c, const uint8_t *segment,
                                        size_t tile)
{
    return segment + c->key_bytes + tile * NIB_TILE * c->d_padded * nib_kv_value_bytes(c->type_v);
}

/* Write one position (0..NIB_SEGMENT - 1) of a segment. */
void nib_kv_store(const struct nib_kv_cache *cache, const struct nib_kernels *kernels,
                  uint8_t *segment, size_t position, const float *k, const float *v);

#endif
