/*
 * The heart of both kinds of BPE: neighbouring symbols are merged, the pair with the lowest key
 * first and of equal keys the leftmost, until no pair merges any more.  O(n log n) for n symbols:
 * the pairs wait in a binary heap, and a pair that has changed meanwhile is recognised when it
 * comes up.
 */
#ifndef NIB_MERGE_H
#define NIB_MERGE_H

#include "common.h"

#define NIB_NO_SYMBOL UINT32_MAX

struct nib_symbol {
    uint32_t start, end; /* bytes in the text */
    uint32_t prev, next; /* neighbours, NIB_NO_SYMBOL at the ends */
    int32_t id;          /* its token, -1: none */
    int32_t pair_id;     /* the token that it and its next make, -1: none */
    uint32_t pair_key;
};

struct nib_merge {
    struct nib_symbol *symbols;
    size_t n_symbols, capacity;
    uint64_t *heap; /* pair_key << 32 | index of the left symbol, the smallest first */
    size_t n_heap, heap_capacity;
};

/* Do the two merge?  Then set left->pair_id and left->pair_key. */
typedef bool nib_pair_fn(const void *data, struct nib_symbol *left, const struct nib_symbol *right);

/* Room for n symbols, to be written at merge->symbols; false: out of memory. */
bool nib_merge_reserve(struct nib_merge *merge, size_t n);

/*
 * Merge symbols[0 .. n_symbols), of which start, end and id are set.  What is left is the list that
 * begins at symbol 0 and goes on by `next`.  False: out of memory.
 */
bool nib_merge_run(struct nib_merge *merge, nib_pair_fn *pair, const void *data);

void nib_merge_free(struct nib_merge *merge);

#endif
