/* What one call of encode works with: one thread's, zeroed at first, kept from part to part. */
#ifndef NIB_SCRATCH_H
#define NIB_SCRATCH_H

#include "merge.h"
#include "pretokenizer.h"

struct nib_ids {
    int32_t *data;
    size_t n, capacity;
};

/* Bytes that grow. */
struct nib_buffer {
    char *data;
    size_t n, capacity;
};

struct nib_scratch {
    struct nib_merge merge;
    struct nib_split_scratch split;
    struct nib_buffer text; /* of the kind's own use: normalised text, as a rule */
    struct nib_best *best;  /* [best_capacity] of unigram.c */
    size_t best_capacity;
    struct nib_ids ids; /* the result */
};

void nib_scratch_free(struct nib_scratch *scratch);

/* False: out of memory, and nothing has changed. */
bool nib_ids_push(struct nib_ids *ids, int32_t id);
bool nib_buffer_append(struct nib_buffer *buffer, const char *bytes, size_t n);

/* "out of memory ..." for text of n bytes. */
enum nib_status nib_encode_no_memory(size_t n, struct nib_error *err);

#endif
