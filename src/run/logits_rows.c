/* See logits_rows.h. */
#include "logits_rows.h"

#include "context.h"

#include <math.h>
#include <sleef.h>

/* A row, cut to the ids that count: the last block may be cut, and its largest not among them. */
struct row {
    const float *logits, *max;
    size_t n, n_whole; /* ids; blocks */
};

static struct row row_of(const struct nib_context *context, size_t i)
{
    const struct nib_work *w = &context->work;
    const size_t n = nib_model_info(context->model)->n_tokens;
    return (struct row){.logits = w->logits.data + i * w->logits.stride,
                        .max = w->logits_max.data + i * w->logits_max.stride,
                        .n = n,
                        .n_whole = n / NIB_LOGITS_BLOCK};
}

static float largest(const struct row *r)
{
    float best = -INFINITY;
    for (size_t b = 0; b < r->n_whole; b++)
        best = r->max[b] > best ? r->max[b] : best;
    for (size_t i = r->n_whole * NIB_LOGITS_BLOCK; i < r->n; i++)
        best = r->logits[i] > best ? r->logits[i] : best;
    return best;
}

int32_t nib_logits_best(const struct nib_context *context, size_t i)
{
    if (i >= context->n_logits)
        return -1;
    const struct row r = row_of(context, i);
    const float best = largest(&r);
    size_t b = 0;
    while (b < r.n_whole && r.max[b] != best)
        b++;
    size_t id = b * NIB_LOGITS_BLOCK;
    while (r.logits[id] != best)
        id++;
    return (int32_t)id;
}

/* The ids of the largest logits, which stand for their log-probabilities until the end. */
static void find_top(const struct row *r, struct nib_top *top)
{
    const size_t most = top->n;
    struct nib_id_logprob *out = top->ids;
    top->n = 0;
    for (size_t b = 0; b * NIB_LOGITS_BLOCK < r->n && most > 0; b++) {
        if (top->n == most && b < r->n_whole && r->max[b] <= out[most - 1].logprob)
            continue;
        const size_t end = b < r->n_whole ? (b + 1) * NIB_LOGITS_BLOCK : r->n;
        for (size_t i = b * NIB_LOGITS_BLOCK; i < end; i++) {
            const double logit = r->logits[i];
            if (top->n == most && logit <= out[most - 1].logprob)
                continue;
            size_t at = top->n < most ? top->n++ : most - 1;
            for (; at > 0 && out[at - 1].logprob < logit; at--)
                out[at] = out[at - 1];
            out[at] = (struct nib_id_logprob){(int32_t)i, logit};
        }
    }
}

struct job {
    struct nib_context *context;
    struct nib_top *tops;
    size_t n_tops;
};

static void run(void *data, int thread, int n_threads)
{
    const struct job *job = data;
    size_t begin, end;
    nib_share(job->n_tops, 1, thread, n_threads, &begin, &end);
    for (struct nib_top *top = job->tops + begin; top < job->tops + end; top++) {
        const struct row r = row_of(job->context, top->row);
        const float max = largest(&r);
        const double sum = job->context->model->kernels.exp_sum(r.logits, r.n, max);
        top->log_sum = (double)max + Sleef_cinz_logd1_u10purec(sum);
        find_top(&r, top);
        for (size_t i = 0; i < top->n; i++)
            top->ids[i].logprob -= top->log_sum;
    }
}

void nib_logits_top(struct nib_context *context, struct nib_top *tops, size_t n_tops)
{
    struct job job = {context, tops, n_tops};
    nib_team_run(context->team, run, &job);
}
