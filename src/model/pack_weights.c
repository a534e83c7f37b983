/* Packing matrices on all threads: who is free takes the next run of groups. */
#include "pack_weights.h"
#include "decode.h"
#include "encode.h"
#include "os.h"
#include "parallel.h"
#include "topology.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Large enough that taking a chunk costs nothing, small enough that all threads end together. */
enum { CHUNK_BYTES = 256 * 1024 };

/* A weight that its type cannot hold. */
struct bad_weight {
    const struct nib_pack_item *item; /* NULL: none */
    uint64_t row;
    size_t column;
};

struct job {
    const struct nib_pack_item *items;
    size_t *first_chunk;    /* [n_items + 1] */
    _Atomic size_t *n_left; /* [n_items] chunks to do */
    size_t n_items;
    size_t scratch_bytes;
    uint8_t *scratch; /* [n_threads][scratch_bytes] */
    uint64_t n_bytes;
    const struct nib_model_params *params;
    atomic_size_t next_chunk;
    _Atomic uint64_t n_done;
    atomic_flag has_bad;
    struct bad_weight bad;
};

/* A thread's memory for rows that change their type: 16 as floats, and encoded; and what decoding
 * takes. */
struct scratch {
    float *floats;
    uint8_t *encoded, *decoder;
    size_t n_bytes;
};

static size_t row_bytes(enum nib_type type, size_t n_cols)
{
    const struct nib_type_info *info = nib_type_info(type);
    return n_cols / info->n_values * info->n_bytes;
}

/* Rows can be packed as they lie. */
static bool is_direct(const struct nib_pack_item *item)
{
    return item->type == item->tensor->type && nib_tensor_row(item->tensor, item->first_row);
}

static struct scratch place_scratch(const struct nib_pack_item *item, uint8_t *memory)
{
    const size_t n_cols = item->matrix.n_cols;
    struct scratch s = {.floats = (float *)(void *)memory};
    if (is_direct(item))
        return s;
    const size_t n_floats = NIB_GROUP * n_cols * sizeof(float);
    const size_t n_encoded = (NIB_GROUP * row_bytes(item->type, n_cols) + 63) / 64 * 64;
    s.encoded = memory + n_floats;
    s.decoder = s.encoded + n_encoded;
    s.n_bytes = n_floats + n_encoded + nib_decode_scratch(item->tensor->type, n_cols);
    s.n_bytes = (s.n_bytes + 63) / 64 * 64;
    return s;
}

/* ---- groups ---------------------------------------------------------------------------------- */

/* The rows of a group, in the file. */
static int rows_of_group(const struct nib_pack_item *item, size_t stacked, size_t group,
                         uint64_t rows[NIB_GROUP])
{
    const struct nib_matrix *m = &item->matrix;
    int n = 0;
    for (; n < NIB_GROUP && group * NIB_GROUP + (size_t)n < m->n_rows; n++) {
        size_t row = group * NIB_GROUP + (size_t)n;
        if (item->n_rot > 0)
            row = nib_rotated_row(row, item->d_head, item->n_rot);
        rows[n] = item->first_row + stacked * item->tensor->dims[1] + row;
    }
    return n;
}

static void report_bad(struct job *job, const struct nib_pack_item *item, uint64_t row,
                       size_t column)
{
    if (!atomic_flag_test_and_set(&job->has_bad))
        job->bad = (struct bad_weight){item, row, column};
}

/* Rows as floats, then in the type wanted. */
static void convert_rows(struct job *job, const struct nib_pack_item *item,
                         const uint64_t rows[NIB_GROUP], int n, const struct scratch *s,
                         const uint8_t *out[NIB_GROUP])
{
    const size_t n_cols = item->matrix.n_cols, n_bytes = row_bytes(item->type, n_cols);
    const struct nib_gguf_tensor *t = item->tensor;
    if (nib_type_is_float(t->type)) {
        for (int r = 0; r < n; r++)
            nib_tensor_floats(t, rows[r], 0, n_cols, s->floats + (size_t)r * n_cols);
    } else {
        const uint8_t *from[NIB_GROUP] = {NULL};
        for (int r = 0; r < n; r++)
            from[r] = nib_tensor_row(t, rows[r]);
        nib_decode_rows(t->type, from, n_cols, s->decoder, s->floats);
    }
    for (int r = 0; r < n; r++) {
        size_t bad;
        uint8_t *row = s->encoded + (size_t)r * n_bytes;
        if (!nib_encode(item->type, s->floats + (size_t)r * n_cols, n_cols, NULL, row, &bad)) {
            report_bad(job, item, rows[r], bad);
            memset(row, 0, n_bytes);
        }
        out[r] = row;
    }
}

static void pack_group(struct job *job, const struct nib_pack_item *item, size_t index,
                       const struct scratch *s)
{
    const struct nib_matrix *m = &item->matrix;
    const size_t stacked = index / m->n_groups, group = index % m->n_groups;
    const uint8_t *rows[NIB_GROUP] = {NULL};
    uint64_t numbers[NIB_GROUP];
    const int n = rows_of_group(item, stacked, group, numbers);
    if (s->n_bytes > 0)
        convert_rows(job, item, numbers, n, s, rows);
    else
        for (int r = 0; r < n; r++)
            rows[r] = nib_tensor_row(item->tensor, numbers[r]);
    /* Nobody reads the matrix before the job is done. */
    nib_pack_group(item->type, (uint8_t *)m->data + index * m->planes.n_bytes, rows, m->n_cols);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static size_t groups_of_chunk(const struct nib_pack_item *item)
{
    const size_t n = CHUNK_BYTES / item->matrix.planes.n_bytes;
    return n > 0 ? n : 1;
}

static size_t groups_of(const struct nib_pack_item *item)
{
    return item->n_stacked * item->matrix.n_groups;
}

/* The tensor's pages, all of which have been read. */
static void forget_tensor(const struct nib_pack_item *item)
{
    const struct nib_gguf_tensor *t = item->tensor;
    if (!t->view) {
        nib_os_forget(t->data, t->n_bytes);
        return;
    }
    for (uint64_t i = 0; i < t->dims[2] && !t->view->is_copy; i++)
        nib_os_forget(t->view->slices[i], t->n_bytes / t->dims[2]);
}

/* Groups [begin, end) have been packed; their rows lie together but for a rotation inside of heads.
 */
static void forget_groups(const struct nib_pack_item *item, size_t begin, size_t end)
{
    const struct nib_gguf_tensor *t = item->tensor;
    uint64_t rows[NIB_GROUP];
    if (t->view || item->n_stacked > 1)
        return;
    const size_t n_bytes = t->n_bytes / t->dims[1];
    const int n = rows_of_group(item, 0, end - 1, rows);
    const uint64_t first = item->first_row + begin * NIB_GROUP;
    const uint64_t last = item->first_row + (end - 1) * NIB_GROUP + (uint64_t)n;
    nib_os_forget(t->data + first * n_bytes, (last - first) * n_bytes);
}

static void pack_chunks(void *data, int thread, int n_threads)
{
    struct job *job = data;
    (void)n_threads;
    size_t i = 0;
    for (;;) {
        const size_t chunk = atomic_fetch_add(&job->next_chunk, 1);
        if (chunk >= job->first_chunk[job->n_items])
            return;
        while (chunk >= job->first_chunk[i + 1])
            i++;
        const struct nib_pack_item *item = &job->items[i];
        const struct scratch s =
            place_scratch(item, job->scratch + (size_t)thread * job->scratch_bytes);
        const size_t n = groups_of_chunk(item), n_groups = groups_of(item);
        const size_t begin = (chunk - job->first_chunk[i]) * n;
        const size_t end = begin + n < n_groups ? begin + n : n_groups;
        for (size_t group = begin; group < end; group++)
            pack_group(job, item, group, &s);
        forget_groups(item, begin, end);
        if (atomic_fetch_sub(&job->n_left[i], 1) == 1)
            forget_tensor(item);

        const uint64_t n_bytes = (end - begin) * item->matrix.planes.n_bytes;
        const uint64_t done = atomic_fetch_add(&job->n_done, n_bytes) + n_bytes;
        if (thread == 0 && job->params->progress && done < job->n_bytes)
            job->params->progress(job->params->progress_data, done, job->n_bytes);
    }
}

/* ---- the job --------------------------------------------------------------------------------- */

static enum nib_status run(struct job *job, struct nib_error *err)
{
    struct nib_cpu_plan *plan = NULL;
    struct nib_team *team = NULL;
    enum nib_status status = nib_cpu_plan_create(&plan, job->params->n_threads, err);
    if (status == NIB_OK)
        status = nib_team_create(&team, plan, err);
    if (status == NIB_OK && job->scratch_bytes > 0) {
        const size_t n_bytes = job->scratch_bytes * (size_t)nib_team_size(team);
        job->scratch = aligned_alloc(64, n_bytes);
        if (!job->scratch)
            status = nib_fail_memory(err, n_bytes, "the conversion of weights");
    }
    if (status == NIB_OK) {
        nib_team_run(team, pack_chunks, job);
        if (job->params->progress)
            job->params->progress(job->params->progress_data, job->n_bytes, job->n_bytes);
    }
    nib_team_free(team);
    nib_cpu_plan_free(plan);
    free(job->scratch);
    return status;
}

static enum nib_status fail_bad(const struct bad_weight *bad, const char *path,
                                struct nib_error *err)
{
    return nib_fail(err, NIB_ERROR_FILE,
                    "%s: %s: the weight in row %llu, column %zu is not finite or too large for "
                    "%s; get the model again, or use --type f32",
                    path, bad->item->tensor->name, (unsigned long long)bad->row, bad->column,
                    nib_type_info(bad->item->type)->name);
}

enum nib_status nib_pack_matrices(const struct nib_pack_item *items, size_t n_items,
                                  const char *path, const struct nib_model_params *params,
                                  struct nib_error *err)
{
    struct job job = {
        .items = items, .n_items = n_items, .params = params, .has_bad = ATOMIC_FLAG_INIT};
    job.first_chunk = malloc((n_items + 1) * sizeof(*job.first_chunk));
    job.n_left = calloc(n_items + 1, sizeof(*job.n_left));
    enum nib_status status = NIB_OK;
    if (!job.first_chunk || !job.n_left) {
        status =
            nib_fail_memory(err, (n_items + 1) * sizeof(*job.first_chunk), "a list of weights");
        goto done;
    }
    job.first_chunk[0] = 0;
    for (size_t i = 0; i < n_items; i++) {
        const size_t n = groups_of_chunk(&items[i]), n_groups = groups_of(&items[i]);
        const size_t n_scratch = place_scratch(&items[i], NULL).n_bytes;
        job.n_left[i] = (n_groups + n - 1) / n;
        job.first_chunk[i + 1] = job.first_chunk[i] + job.n_left[i];
        job.n_bytes += n_groups * items[i].matrix.planes.n_bytes;
        job.scratch_bytes = job.scratch_bytes > n_scratch ? job.scratch_bytes : n_scratch;
    }
    status = run(&job, err);
    if (status == NIB_OK && job.bad.item)
        status = fail_bad(&job.bad, path, err);
done:
    free(job.first_chunk);
    free(job.n_left);
    return status;
}
