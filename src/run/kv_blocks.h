/*
 * Which blocks of a KV cache hold which sequence: a block is one segment of all layers and heads,
 * and sequences with a common beginning share the blocks of it (Kwon et al. 2023, "PagedAttention",
 * https://arxiv.org/abs/2309.06180).  Who writes into a shared block gets a copy of it first;
 * blocks that are full are never written again, so a fork costs at most one block.
 *
 * Full blocks are known by their content: what a sequence has computed, a later one with the same
 * beginning takes over, as long as the block has not been needed for something else.
 */
#ifndef NIB_KV_BLOCKS_H
#define NIB_KV_BLOCKS_H

#include "common.h"
#include "kv_cache.h"

enum { NIB_NO_BLOCK = -1 };

struct nib_kv_block {
    uint32_t n_users; /* sequences */
    bool is_known;    /* `ids` and `before` say what is in it */
    uint64_t before;  /* what comes before it: serial number of that block, 0: nothing */
    uint64_t serial;  /* of its content */
    uint64_t last_used;
    int32_t ids[NIB_SEGMENT];
};

/* The first n positions of a block, which are some of segment `segment`. */
struct nib_kv_block_copy {
    int32_t to, from;
    uint32_t n, segment;
};

struct nib_kv_blocks {
    struct nib_kv_cache *cache; /* whose `blocks` point to `table` */
    int32_t *table;             /* [n_sequences][n_segments] */
    struct nib_kv_block *blocks;
    size_t n_blocks;
    struct nib_kv_block_copy *copies; /* [n_sequences] that are still to be made */
    size_t n_copies;
    uint64_t serial, clock;
};

/* For a cache with its memory and shape; every sequence can have all its segments. */
enum nib_status nib_kv_blocks_create(struct nib_kv_blocks *b, struct nib_kv_cache *cache,
                                     struct nib_error *err);
void nib_kv_blocks_free(struct nib_kv_blocks *b);

/*
 * Positions [begin, end) of a sequence are going to be written; it has `begin` already.  Once for a
 * sequence, then nib_kv_blocks_copy() by every thread of the team (each copies what it owns), and
 * n_copies = 0.
 */
void nib_kv_blocks_reserve(struct nib_kv_blocks *b, size_t sequence, size_t begin, size_t end);
void nib_kv_blocks_copy(const struct nib_kv_blocks *b, int thread, int n_threads);

/* Only the first n positions are needed any more. */
void nib_kv_blocks_truncate(struct nib_kv_blocks *b, size_t sequence, size_t n);

/* `to` becomes the first n positions of `from`. */
void nib_kv_blocks_fork(struct nib_kv_blocks *b, size_t from, size_t to, size_t n);

/* All ids of the sequence's first n positions: full blocks become known by them. */
void nib_kv_blocks_learn(struct nib_kv_blocks *b, size_t sequence, const int32_t *ids, size_t n);

/* An empty sequence takes over known blocks that begin with `ids`; returns how many positions, a
 * multiple of NIB_SEGMENT below n. */
size_t nib_kv_blocks_reuse(struct nib_kv_blocks *b, size_t sequence, const int32_t *ids, size_t n);

#endif
