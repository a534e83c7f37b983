/*
 * One segment of attention: an online softmax (Milakov and Gimelshein, 2018; Dao et al.,
 * "FlashAttention", 2022) over the tiles of NIB_TILE keys of a segment of the cache, for any number
 * of query rows.  The query heads that share a KV head are rows of one tile, so keys and values are
 * read once for all.  Every (row, head, segment) is one chain of operations (docs/numerics.md, rule
 * 6), whatever the other rows are.
 */
#ifndef NIB_ATTEND_H
#define NIB_ATTEND_H

#include "attention_rule.h"
#include "kv_cache.h"

enum {
    NIB_MAX_QUERIES = 128, /* query heads of a group x tokens */
};

struct nib_attend {
    const struct nib_kernels *kernels;
    const struct nib_kv_cache *cache;
    const struct nib_attention_rule *rule;
    size_t head, group;  /* query heads [head, head + group) */
    size_t n_rows;       /* tokens, at consecutive positions of one sequence; */
    size_t position;     /* the first one's */
    size_t n_keys;       /* of the sequence that is looked at */
    const uint8_t *next; /* the segment that comes next, to be fetched meanwhile; or NULL */
    const float *mean;   /* [d] what the keys of the segment are held without, turned; or NULL */

    /* Memory of one thread.  Query i is of head `head + i % group` and token i / group. */
    float *q;                  /* [NIB_MAX_QUERIES][d_padded] */
    float *scores;             /* [NIB_MAX_QUERIES][NIB_TILE] */
    float *wide;               /* [NIB_TILE][d_padded] a tile of keys or values as f32 */
    int16_t *q_codes;          /* [NIB_MAX_QUERIES][d_padded] */
    int16_t *p_codes;          /* [NIB_MAX_QUERIES][NIB_TILE] */
    float *q_scale, *p_scale;  /* [NIB_MAX_QUERIES] */
    struct nib_softmax *state; /* [NIB_MAX_QUERIES] */
};

/* Lay the memory out from `memory` on, for heads of d values; returns the bytes it takes. */
size_t nib_attend_place(struct nib_attend *a, size_t d, uint8_t *memory);

/* q[i], normed and rotated by its position, becomes a query: times `scale`, as the keys are held.
 */
void nib_attend_query(struct nib_attend *a, size_t i, float scale);

/* sums [n_rows * group][d_padded] and a->state: softmax(q k^T) v over the visible keys of a
 * segment, before the division by the sum.  Rows that see none have max -infinity. */
void nib_attend_segment(struct nib_attend *a, const uint8_t *memory, size_t segment, float *sums);

/* Value sums of one head, divided by `sum`, as the model wants them: in place. */
void nib_attend_finish(const struct nib_attend *a, float *sums, float sum);

#endif
