/*
 * One step: a chunk of tokens ("rows") on its way through the model, as one thread of the team sees
 * it. Layers (layers.c) are written in terms of the operations here.  An operation that hands its
 * result to other threads ends in a barrier, and says so.
 *
 * Up to NIB_FEW_ROWS rows (token generation) every thread prepares all inputs for itself: that is
 * cheaper than a barrier.  More rows are prepared by shares.
 */
#ifndef NIB_STEP_H
#define NIB_STEP_H

#include "kv_cache.h"
#include "model.h"
#include "parallel.h"

enum {
    NIB_FEW_ROWS = 4,
    NIB_MAX_SPLIT_RUNS = 64, /* runs of rows whose attention is cut by segment, see attention.c */
};

struct nib_row {
    uint32_t sequence, position;
    int32_t id;
};

/* Buffers [rows][stride], shared by the team.  Strides are multiples of 16 floats. */
struct nib_buffer {
    float *data;
    size_t stride;
};

/*
 * Where a mixture of experts sends its rows: pairs of a row and an expert, ordered by expert and
 * then by row.  See experts.c.
 */
struct nib_routing {
    struct nib_buffer scores; /* [rows] of the router; the last column: the shared expert's gate */
    struct nib_buffer output; /* [pairs][n_embd] */
    uint32_t *expert;         /* [rows][n_experts_used], ascending */
    float *weight;            /* [rows][n_experts_used] */
    uint32_t *pair;           /* [rows][n_experts_used] where it is in: */
    uint32_t *row;            /* [pairs] */
    uint32_t *first;          /* [n_experts + 1] pairs of an expert */
};

/* What the threads of a step share. */
struct nib_work {
    const struct nib_model *model;
    const struct nib_kv_cache *cache;
    const struct nib_key_bias *key_bias; /* of its keys, if they are int8 (key_bias.h); or NULL */
    const struct nib_kv_cache *cross;    /* of cross-attention: keys and values of sources, */
    const uint32_t *cross_keys;          /* how many a source has, at least 1, */
    const uint32_t *source_of;           /* and which one a sequence of rows looks at */
    struct nib_team *team;
    const struct nib_row *rows;
    size_t n_rows;
    const uint32_t *logits_rows; /* rows whose logits are wanted, n_logits of them */
    size_t n_logits;
    _Atomic bool *cancel;
    bool is_cancelled[2];       /* see nib_step_run() */
    _Atomic bool is_not_finite; /* a logit is not a number */

    struct nib_buffer x; /* the residual stream */
    struct nib_buffer
        branch; /* what a part of a layer adds to it, where that is not added at once */
    struct nib_buffer q, k, v; /* also: q is the output of attention */
    struct nib_buffer gate, up;
    struct nib_buffer logits;
    struct nib_buffer logits_max; /* of each NIB_LOGITS_BLOCK of a row of logits */
    struct nib_buffer cosine[NIB_ROPE_COUNT], sine[NIB_ROPE_COUNT];
    const float *rope_frequency[NIB_ROPE_COUNT];
    struct nib_routing routing;
    uint8_t *act[NIB_ACT_COUNT]; /* memory of the shared activations */
    float *partials;             /* see attention.c */
    size_t partial_floats;       /* of one (row, KV head, segment) */
    size_t partial_room;         /* (row, segment) pairs that have room */
    _Atomic unsigned *n_done;    /* [NIB_MAX_SPLIT_RUNS][n_kv_heads], all 0 between layers */
    uint8_t *scratch;            /* [n_threads][scratch_bytes] */
    size_t scratch_bytes;
};

/* Rows that can be computed at once, logits, positions of a sequence, segments of the longest
 * cache, and the least width of k and v. */
struct nib_work_size {
    size_t n_rows, n_logits, n_segments, n_keyed;
    uint32_t n_ctx;
    int n_threads;
};

/* work.c: lay out the buffers of w->model's step from `base` on, zeroed memory; returns the bytes
 * they take.  NULL only counts. */
size_t nib_work_place(struct nib_work *w, const struct nib_work_size *size, uint8_t *base);

/* Cut n_bytes off an arena, in whole cache lines; a NULL base only counts. */
void *nib_cut(uint8_t *base, size_t *used, uint64_t n_bytes);

struct nib_step {
    struct nib_work *work;
    const struct nib_kernels *kernels;
    int thread, n_threads;
    size_t layer;
    struct nib_act input[NIB_ACT_COUNT]; /* what nib_step_linear() multiplies */
    /* this thread's own memory */
    uint8_t *act[NIB_ACT_COUNT];
    float *row;      /* one row of any buffer */
    uint8_t *attend; /* attention.c's */
};

void nib_step_barrier(struct nib_step *s);

/*
 * Make the rows of `x` (after `norm`, unless it is NULL or absent) the input of the products with
 * `linears`, quantised as each of them needs it.  Rows map[0 .. n_rows) with a map, else
 * [0, n_rows).
 */
struct nib_input {
    struct nib_buffer x;
    size_t n_cols;
    const struct nib_norm *norm;
    const uint32_t *map;
    size_t n_rows;
};

void nib_step_prepare(struct nib_step *s, const struct nib_input *input,
                      const struct nib_linear *const *linears, size_t n_linears);

/* y = norm(x) for a row of n values, as the family does it. */
void nib_step_normalize(const struct nib_step *s, float *y, const float *x,
                        const struct nib_norm *norm, size_t n);

struct nib_product {
    const struct nib_linear *linear; /* nothing is done where it is absent */
    struct nib_buffer y;
    bool accumulate;
};

/* y = input W^T + b for all products; this thread's share of their rows.  No barrier. */
void nib_step_multiply(struct nib_step *s, const struct nib_product *products, size_t n_products,
                       size_t n_rows);

/* The same for rows [row_begin, row_end) of the input and of y, and groups of W. */
void nib_step_multiply_slice(struct nib_step *s, const struct nib_product *p, size_t group_begin,
                             size_t group_end, size_t row_begin, size_t row_end);

/* gate = activation(gate) * up, or up = activation(up) without a gate, for rows of the input;
 * products and activation on the same share, while it is in the cache.  No barrier.  Returns where
 * the result is. */
struct nib_buffer nib_step_gated(struct nib_step *s, const struct nib_ffn_weights *w,
                                 size_t row_begin, size_t row_end);

/* x += norm(input W^T + b) times the model's residual scale; without norm and scale at once.  Ends
 * in a barrier. */
void nib_step_add(struct nib_step *s, struct nib_buffer input, size_t n_cols,
                  const struct nib_linear *linear, const struct nib_norm *norm);

/* attention.c: rotate, store keys and values, attend.  Begins after a barrier behind q, k, v; the
 * result takes the place of q, for all threads, after the next barrier. */
void nib_step_attend(struct nib_step *s, const struct nib_attention_weights *w);

/* experts.c: x += the mixture of experts of norm(x), or post_norm of that.  Ends in a barrier. */
void nib_step_experts(struct nib_step *s, const struct nib_norm *norm,
                      const struct nib_moe_weights *w, const struct nib_norm *post_norm);

/* Sizes of attention's memory: of a thread's scratch, and floats of `partials` for a whole context.
 */
size_t nib_attention_scratch_bytes(const struct nib_config *config);
size_t nib_attention_partial_floats(const struct nib_config *config);

/* The longest row that is ever prepared, in whole cache lines. */
size_t nib_step_widest_row(const struct nib_config *config);

/* Memory of one thread: nib_work.scratch_bytes. */
size_t nib_step_scratch_bytes(const struct nib_config *config);

/* A thread's view of `work`, in its part of work->scratch. */
void nib_step_begin(struct nib_step *s, struct nib_work *work, int thread, int n_threads);

/* cross.c: rows [0, w->n_rows) of sources through an encoder, its output into w->x, and the keys
 * and values of a decoder's cross-attention; `data` is a struct nib_encoding: a nib_team_fn. */
struct nib_encoding {
    struct nib_work *work;
    const struct nib_model *decoder;
    const struct nib_kv_cache *cross;
    const uint32_t *sources; /* of the cross cache, by the rows' sequences */
};
void nib_encode_run(void *data, int thread, int n_threads);

/* forward.c: x = the embeddings of the rows, with a barrier. */
void nib_step_embed(struct nib_step *s);

/* forward.c: all layers; false if it was cancelled. */
bool nib_step_layers(struct nib_step *s);

/* x = norm(x), by rows; with a barrier. */
void nib_step_normalize_x(struct nib_step *s, const struct nib_norm *norm);

/* forward.c: the whole model over the rows of `data`, a struct nib_work: a nib_team_fn. */
void nib_step_run(void *data, int thread, int n_threads);

#endif
