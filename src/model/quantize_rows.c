/* Who is free takes the next 16 rows; columns go in pieces that stay in the first caches. */
#include "quantize_rows.h"
#include "decode.h"
#include "encode.h"
#include "parallel.h"
#include "topology.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    PIECE = 1024,                          /* columns, a multiple of every block */
    SCRATCH_BYTES = NIB_GROUP * PIECE * 2, /* the widest packing has a byte a code, and scales */
};

struct workspace {
    float values[NIB_GROUP * PIECE];
    uint8_t scratch[SCRATCH_BYTES];
};

struct nib_quantizer {
    struct nib_cpu_plan *plan;
    struct nib_team *team;
    struct workspace *workspaces; /* [threads] */
};

enum nib_status nib_quantizer_create(struct nib_quantizer **out, int n_threads,
                                     struct nib_error *err)
{
    *out = NULL;
    struct nib_quantizer *q = calloc(1, sizeof(*q));
    if (!q)
        return nib_fail_memory(err, sizeof(*q), "quantising");
    enum nib_status status = nib_cpu_plan_create(&q->plan, n_threads, err);
    if (status == NIB_OK)
        status = nib_team_create(&q->team, q->plan, err);
    if (status != NIB_OK)
        goto fail;
    const size_t n = (size_t)nib_team_size(q->team);
    q->workspaces = calloc(n, sizeof(*q->workspaces));
    if (!q->workspaces) {
        status = nib_fail_memory(err, n * sizeof(*q->workspaces), "quantising");
        goto fail;
    }
    *out = q;
    return NIB_OK;

fail:
    nib_quantizer_free(q);
    return status;
}

void nib_quantizer_free(struct nib_quantizer *quantizer)
{
    if (!quantizer)
        return;
    nib_team_free(quantizer->team);
    nib_cpu_plan_free(quantizer->plan);
    free(quantizer->workspaces);
    free(quantizer);
}

int nib_quantizer_threads(const struct nib_quantizer *quantizer)
{
    return nib_team_size(quantizer->team);
}

struct job {
    const struct nib_gguf_tensor *tensor;
    enum nib_type type;
    uint64_t begin, end; /* rows */
    size_t n_row_from, n_row_to;
    uint8_t *out;
    struct workspace *workspaces;
    _Atomic uint64_t next_row;
    _Atomic uint64_t first_bad; /* place in the tensor of the first weight that cannot be encoded */
};

static void note_bad(struct job *job, uint64_t at)
{
    uint64_t known = atomic_load(&job->first_bad);
    while (at < known && !atomic_compare_exchange_weak(&job->first_bad, &known, at))
        ;
}

/* Columns [col, col + n) of rows [row, row + n_rows), as floats. */
static void read_piece(const struct job *job, struct workspace *space, uint64_t row, size_t n_rows,
                       size_t col, size_t n)
{
    const struct nib_gguf_tensor *t = job->tensor;
    if (t->view) {
        for (size_t r = 0; r < n_rows; r++)
            nib_tensor_floats(t, row + r, col, col + n, space->values + r * n);
        return;
    }
    const struct nib_type_info *from = nib_type_info(t->type);
    const uint8_t *rows[NIB_GROUP] = {NULL};
    for (size_t r = 0; r < n_rows; r++)
        rows[r] = t->data + (row + r) * job->n_row_from + col / from->n_values * from->n_bytes;
    assert(nib_decode_scratch(t->type, n) <= sizeof(space->scratch));
    nib_decode_rows(t->type, rows, n, space->scratch, space->values);
}

/* The same, in the type wanted. */
static void convert_piece(struct job *job, struct workspace *space, uint64_t row, size_t n_rows,
                          size_t col, size_t n)
{
    const struct nib_type_info *to = nib_type_info(job->type);
    read_piece(job, space, row, n_rows, col, n);
    for (size_t r = 0; r < n_rows; r++) {
        size_t bad;
        uint8_t *out =
            job->out + (row + r - job->begin) * job->n_row_to + col / to->n_values * to->n_bytes;
        if (!nib_encode(job->type, space->values + r * n, n, NULL, out, &bad))
            note_bad(job, (row + r) * job->tensor->dims[0] + col + bad);
    }
}

static void convert(void *data, int thread, int n_threads)
{
    struct job *job = data;
    (void)n_threads;
    const size_t n_cols = (size_t)job->tensor->dims[0];
    for (;;) {
        const uint64_t row = atomic_fetch_add(&job->next_row, NIB_GROUP);
        if (row >= job->end)
            return;
        const size_t n_rows = job->end - row < NIB_GROUP ? (size_t)(job->end - row) : NIB_GROUP;
        for (size_t col = 0; col < n_cols; col += PIECE)
            convert_piece(job, &job->workspaces[thread], row, n_rows, col,
                          n_cols - col < PIECE ? n_cols - col : PIECE);
    }
}

/* The value is decoded once more for the sentence. */
static enum nib_status fail_value(const struct job *job, struct nib_error *err)
{
    const struct nib_gguf_tensor *t = job->tensor;
    const uint64_t at = atomic_load(&job->first_bad);
    const uint64_t row = at / t->dims[0], column = at % t->dims[0];
    const size_t n = nib_type_info(t->type)->n_values;
    read_piece(job, &job->workspaces[0], row, 1, column / n * n, n);
    const float value = job->workspaces[0].values[column % n];
    if (!isfinite(value))
        return nib_fail(err, NIB_ERROR_FILE,
                        "tensor %s: weight %" PRIu64 " (row %" PRIu64 ", column %" PRIu64
                        ") is %s: the model is damaged; convert or download it again",
                        t->name, at, row, column, isnan(value) ? "not a number" : "infinite");
    return nib_fail(err, NIB_ERROR_FILE,
                    "tensor %s: weight %" PRIu64 " (row %" PRIu64 ", column %" PRIu64
                    ") is %g, more than %s holds (%g); choose another type for this tensor",
                    t->name, at, row, column, (double)value, nib_type_info(job->type)->name,
                    (double)nib_encode_limit(job->type));
}

enum nib_status nib_quantize_rows(struct nib_quantizer *quantizer,
                                  const struct nib_gguf_tensor *tensor, enum nib_type type,
                                  uint64_t begin, uint64_t end, uint8_t *out, struct nib_error *err)
{
    const struct nib_type_info *from = nib_type_info(tensor->type), *to = nib_type_info(type);
    struct job job = {
        .tensor = tensor,
        .type = type,
        .begin = begin,
        .end = end,
        .n_row_from = (size_t)(tensor->dims[0] / from->n_values * from->n_bytes),
        .n_row_to = (size_t)(tensor->dims[0] / to->n_values * to->n_bytes),
        .out = out,
        .workspaces = quantizer->workspaces,
    };
    atomic_init(&job.next_row, begin);
    atomic_init(&job.first_bad, UINT64_MAX);
    nib_team_run(quantizer->team, convert, &job);
    return atomic_load(&job.first_bad) == UINT64_MAX ? NIB_OK : fail_value(&job, err);
}
