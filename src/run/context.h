/*
 * What the files of a context share: context.c makes it, evaluate.c runs batches of tokens,
 * sources.c what an encoder reads.
 */
#ifndef NIB_CONTEXT_H
#define NIB_CONTEXT_H

#include "key_bias.h"
#include "kv_blocks.h"

#include <stdatomic.h>

struct nib_cpu_plan;

/* Of an encoder-decoder model: the texts that are decoded from. */
struct nib_sources {
    struct nib_work work;      /* of the encoder */
    struct nib_kv_cache cache; /* of the encoder: one layer at a time, for the sources of a chunk */
    struct nib_kv_cache cross; /* keys and values for the decoder's cross-attention */
    uint32_t n_ctx, n_sources;
    uint32_t *lengths;    /* [n_sources] */
    int32_t **histories;  /* [n_sources][n_ctx] */
    struct nib_row *rows; /* [rows of a chunk] */
    uint32_t *chunk;      /* [sources of a chunk] which they are */
    size_t n_last;        /* rows of the last source, which end the chunk, in work.x */
    uint8_t *arena;
    size_t arena_bytes;
};

enum { NIB_SOURCES_OF_CHUNK = 64 };

struct nib_context {
    const struct nib_model *model;
    struct nib_context_info info;
    bool has_cache; /* false: every evaluation starts at position 0 */
    struct nib_cpu_plan *plan;
    struct nib_team *team;
    struct nib_kv_cache cache;
    struct nib_kv_blocks blocks;
    struct nib_key_bias key_bias;
    uint32_t *lengths;           /* [n_sequences] */
    int32_t **histories;         /* [n_sequences][n_ctx] */
    uint32_t *source_of;         /* [n_sequences] */
    struct nib_sources *sources; /* NULL: no encoder */
    struct nib_work work;
    struct nib_row *rows;  /* [n_batch] */
    uint32_t *logits_rows; /* [max(n_batch, n_logits)] */
    size_t n_logits;       /* of the last evaluation */
    uint8_t *arena;
    size_t arena_bytes;
    atomic_bool cancel;
};

struct nib_team *nib_context_team(struct nib_context *context);

/* Encode again what source `source` holds. */
enum nib_status nib_sources_refresh(struct nib_context *context, uint32_t source,
                                    struct nib_error *err);

/* `type` as caches hold it. */
enum nib_kv nib_cache_type(enum nib_kv_type type);

/* Sizes of the sources' memory into *n_bytes; or an error that names what does not fit.  Then
 * nib_sources_allocate(). */
enum nib_status nib_sources_plan(struct nib_context *context,
                                 const struct nib_context_params *params, uint64_t *n_bytes,
                                 struct nib_error *err);
enum nib_status nib_sources_allocate(struct nib_context *context, struct nib_error *err);
void nib_sources_free(struct nib_sources *sources);

#endif
