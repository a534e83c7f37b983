/*
 * The KV cache.  Positions come in segments of NIB_SEGMENT, which are also the units of attention
 * (docs/numerics.md, rule 6): a segment of one KV head of one layer is one run of memory, in the
 * order in which it is read,
 *
 *     [NIB_SEGMENT / NIB_TILE] tiles of  keys    [NIB_TILE / 16][d][16]  a lane is a key
 *                                        values  [NIB_TILE][d_padded]    a lane is a dimension
 *
 * and belongs to one thread, which alone writes it (and so touches it first) and works on it when
 * tokens are generated.  Memory is ordered by block, layer, head: a block is a segment of a
 * sequence, or of several (kv_blocks.h), and a short sequence touches little of it: keys come by
 * 16, so that the first ones are near each other.
 *
 * int8: vectors are turned by a block-wise Walsh-Hadamard transform and coded with one scale each.
 * The codes of four dimensions of a key, and of four keys of a dimension, are neighbours, as the
 * products want them (struct nib_dots):
 *
 *     keys    [NIB_TILE / 16][d / 4, rounded up][16][4], scales [NIB_TILE]
 *     values  [NIB_TILE / 4][d_padded][4], scales [NIB_TILE]
 */
#ifndef NIB_KV_CACHE_H
#define NIB_KV_CACHE_H

#include "kernels.h"

struct nib_kv_cache {
    enum nib_kv type_k, type_v;
    size_t d, d_padded;             /* of a head; to 16 */
    size_t n_sequences, n_segments; /* segments of a sequence */
    size_t n_layers, n_heads;
    size_t key_bytes, tile_bytes; /* of the keys of a tile; of keys and values */
    size_t segment_bytes;
    const int32_t *blocks; /* [n_sequences][n_segments] which run of memory; NULL: in their order */
    uint8_t *memory;
    size_t n_bytes;
};

/* Everything but the memory, which must come zeroed; false if the size does not fit. */
bool nib_kv_cache_shape(struct nib_kv_cache *cache, size_t n_ctx);

/* What int8 vectors are turned in: the largest power of two that divides d.  1: nothing. */
static inline size_t nib_kv_block(size_t d)
{
    return d & (~d + 1);
}

static inline uint8_t *nib_kv_segment(const struct nib_kv_cache *c, size_t sequence, size_t segment,
                                      size_t layer, size_t head)
{
    const size_t entry = sequence * c->n_segments + segment;
    const size_t block = c->blocks ? (size_t)c->blocks[entry] : entry;
    return c->memory + ((block * c->n_layers + layer) * c->n_heads + head) * c->segment_bytes;
}

/* Round robin, so that a single head's segments spread over the team. */
static inline int nib_kv_owner(const struct nib_kv_cache *c, size_t segment, size_t head,
                               int n_threads)
{
    return (int)((segment * c->n_heads + head) % (size_t)n_threads);
}

/* Tiles of a segment. */
static inline const uint8_t *nib_kv_keys(const struct nib_kv_cache *c, const uint8_t *segment,
                                         size_t tile)
{
    return segment + tile * c->tile_bytes;
}

static inline const uint8_t *nib_kv_values(const struct nib_kv_cache *c, const uint8_t *segment,
                                           size_t tile)
{
    return segment + tile * c->tile_bytes + c->key_bytes;
}

/* The scales of an int8 tile's keys or values. */
static inline float *nib_kv_key_scales(const struct nib_kv_cache *c, const uint8_t *keys)
{
    return (float *)(uintptr_t)(keys + (c->d + 3) / 4 * 4 * NIB_TILE);
}

static inline float *nib_kv_value_scales(const struct nib_kv_cache *c, const uint8_t *values)
{
    return (float *)(uintptr_t)(values + c->d_padded * NIB_TILE);
}

/* Write one position (0..NIB_SEGMENT - 1) of a segment. */
void nib_kv_store(const struct nib_kv_cache *cache, const struct nib_kernels *kernels,
                  uint8_t *segment, size_t position, const float *k, const float *v);

/* Copy the first n positions of a segment; what is behind them in `to` becomes anything. */
void nib_kv_copy(const struct nib_kv_cache *cache, uint8_t *to, const uint8_t *from, size_t n);

#endif
