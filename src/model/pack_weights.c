/* Packing matrices on all threads: who is free takes the next run of groups. */
#include "pack_weights.h"
#include "parallel.h"
#include "topology.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Large enough that taking a chunk costs nothing, small enough that all threads end together. */
enum { CHUNK_BYTES = 256 * 1024 };

struct job {
    const struct nib_pack_item *items;
    size_t *first_chunk; /* [n_items + 1] */
    size_t n_items;
    uint64_t n_bytes;
    const struct nib_model_params *params;
    atomic_size_t next_chunk;
    _Atomic uint64_t n_done;
};

static size_t groups_of_chunk(const struct nib_pack_item *item)
{
    const size_t n = CHUNK_BYTES / item->matrix.planes.n_bytes;
    return n > 0 ? n : 1;
}

static void pack_group(const struct nib_pack_item *item, size_t group)
{
    const struct nib_matrix *m = &item->matrix;
    const uint8_t *rows[NIB_GROUP];
    for (size_t r = 0; r < NIB_GROUP; r++) {
        size_t row = group * NIB_GROUP + r;
        rows[r] = NULL;
        if (row >= m->n_rows)
            continue;
        if (item->n_rot > 0)
            row = nib_rotated_row(row, item->d_head, item->n_rot);
        rows[r] = item->source + row * item->n_row_bytes;
    }
    /* Nobody reads the matrix before the job is done. */
    nib_pack_group(item->source_type, (uint8_t *)m->data + group * m->planes.n_bytes, rows,
                   m->n_cols);
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
        const size_t n = groups_of_chunk(item);
        const size_t begin = (chunk - job->first_chunk[i]) * n;
        const size_t end = begin + n < item->matrix.n_groups ? begin + n : item->matrix.n_groups;
        for (size_t group = begin; group < end; group++)
            pack_group(item, group);

        const uint64_t n_bytes = (end - begin) * item->matrix.planes.n_bytes;
        const uint64_t done = atomic_fetch_add(&job->n_done, n_bytes) + n_bytes;
        if (thread == 0 && job->params->progress && done < job->n_bytes)
            job->params->progress(job->params->progress_data, done, job->n_bytes);
    }
}

static enum nib_status run(struct job *job, struct nib_error *err)
{
    struct nib_cpu_plan *plan = NULL;
    struct nib_team *team = NULL;
    enum nib_status status = nib_cpu_plan_create(&plan, job->params->n_threads, err);
    if (status == NIB_OK)
        status = nib_team_create(&team, plan, err);
    if (status == NIB_OK) {
        nib_team_run(team, pack_chunks, job);
        if (job->params->progress)
            job->params->progress(job->params->progress_data, job->n_bytes, job->n_bytes);
    }
    nib_team_free(team);
    nib_cpu_plan_free(plan);
    return status;
}

enum nib_status nib_pack_matrices(const struct nib_pack_item *items, size_t n_items,
                                  const struct nib_model_params *params, struct nib_error *err)
{
    struct job job = {.items = items, .n_items = n_items, .params = params};
    job.first_chunk = malloc((n_items + 1) * sizeof(*job.first_chunk));
    if (!job.first_chunk)
        return nib_fail_memory(err, (n_items + 1) * sizeof(*job.first_chunk), "a list of weights");
    job.first_chunk[0] = 0;
    for (size_t i = 0; i < n_items; i++) {
        const struct nib_matrix *m = &items[i].matrix;
        const size_t n = groups_of_chunk(&items[i]);
        job.first_chunk[i + 1] = job.first_chunk[i] + (m->n_groups + n - 1) / n;
        job.n_bytes += m->n_groups * m->planes.n_bytes;
    }
    const enum nib_status status = run(&job, err);
    free(job.first_chunk);
    return status;
}
