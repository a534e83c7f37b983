/* The model from ids to logits. */
#include "layers.h"
#include "positions.h"
#include "step.h"

#include <stdatomic.h>

/* x = norm((E[id] + P[position]) scale), and the angles of the position. */
void nib_step_embed(struct nib_step *s)
{
    struct nib_work *w = s->work;
    const struct nib_model *m = w->model;
    const struct nib_config *c = &m->config;
    size_t begin, end;
    nib_share(w->n_rows, 1, s->thread, s->n_threads, &begin, &end);
    for (size_t r = begin; r < end; r++) {
        const uint32_t position = w->rows[r].position;
        float *x = w->x.data + r * w->x.stride;
        nib_matrix_row(&m->embedding, (size_t)w->rows[r].id, x);
        if (c->embedding_scale != 1)
            s->kernels->scale(x, c->embedding_scale, c->n_embd);
        if (m->positions.data) {
            nib_matrix_row(&m->positions, position, s->row);
            s->kernels->add(x, s->row, c->n_embd);
        }
        if (m->embedding_norm.w) {
            memcpy(s->row, x, c->n_embd * sizeof(float));
            nib_step_normalize(s, x, s->row, &m->embedding_norm, c->n_embd);
        }
        for (int i = 0; i < NIB_ROPE_COUNT && c->n_rot > 0; i++)
            if (c->rope[i].base > 0)
                nib_rope_angles(w->cosine[i].data + r * w->cosine[i].stride,
                                w->sine[i].data + r * w->sine[i].stride, w->rope_frequency[i],
                                c->n_rot / 2, position, c->rope[i].magnitude);
    }
    nib_step_barrier(s);
}

/* Columns of logits that are computed for all rows before they are looked at, in L2 still. */
static size_t head_slice(size_t n_rows)
{
    const size_t fit = (256 << 10) / (n_rows * sizeof(float)) / NIB_LOGITS_BLOCK * NIB_LOGITS_BLOCK;
    return fit > NIB_LOGITS_BLOCK ? fit : NIB_LOGITS_BLOCK;
}

/* Scale and cap what the head gave, and find the largest of each block. */
static void finish_logits(struct nib_step *s, float *row, float *max, size_t n)
{
    const struct nib_config *c = &s->work->model->config;
    if (!s->kernels->block_max(max, row, n))
        atomic_store(&s->work->is_not_finite, true);
    if (c->logit_scale == 1 && c->logit_cap <= 0)
        return;
    if (c->logit_scale != 1)
        s->kernels->scale(row, c->logit_scale, n);
    if (c->logit_cap > 0)
        s->kernels->soft_cap(row, c->logit_cap, n);
    s->kernels->block_max(max, row, n);
}

static void logits(struct nib_step *s)
{
    struct nib_work *w = s->work;
    const struct nib_config *c = &w->model->config;
    const struct nib_linear *output = &w->model->output;
    if (w->n_logits == 0)
        return;
    const struct nib_input input = {.x = w->x,
                                    .n_cols = c->n_embd,
                                    .norm = &w->model->final_norm,
                                    .map = w->logits_rows,
                                    .n_rows = w->n_logits};
    nib_step_prepare(s, &input, &output, 1);
    const struct nib_product product = {output, w->logits, false};
    const size_t most = head_slice(w->n_logits);
    size_t begin, end;
    nib_share(c->n_vocab, NIB_LOGITS_BLOCK, s->thread, s->n_threads, &begin, &end);
    for (size_t n; begin < end; begin += n) {
        n = end - begin < most ? end - begin : most;
        nib_step_multiply_slice(s, &product, begin / NIB_GROUP,
                                (begin + n + NIB_GROUP - 1) / NIB_GROUP, 0, w->n_logits);
        for (size_t i = 0; i < w->n_logits; i++)
            finish_logits(s, w->logits.data + i * w->logits.stride + begin,
                          w->logits_max.data + i * w->logits_max.stride + begin / NIB_LOGITS_BLOCK,
                          n);
    }
}

bool nib_step_layers(struct nib_step *s)
{
    struct nib_work *w = s->work;
    const struct nib_model *model = w->model;
    for (s->layer = 0; s->layer < model->config.n_layers; s->layer++) {
        /* Thread 0 asks once a layer; the layer's barriers publish its answer, so that all threads
         * stop at the same place.  Two slots: the next question must not overwrite an answer
         * unread. */
        bool *is_cancelled = &w->is_cancelled[s->layer % 2];
        if (s->thread == 0)
            *is_cancelled = atomic_load_explicit(w->cancel, memory_order_relaxed);
        nib_layer_run(s, &model->layers[s->layer]);
        if (*is_cancelled)
            return false;
    }
    return true;
}

void nib_step_run(void *data, int thread, int n_threads)
{
    struct nib_step s;
    nib_step_begin(&s, data, thread, n_threads);
    nib_step_embed(&s);
    if (nib_step_layers(&s))
        logits(&s);
}
