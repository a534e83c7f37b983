/*
 * The encoder of a model, and what its decoder takes from it: the keys and values of
 * cross-attention in every layer (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762), which are
 * computed once for a source and shared by all sequences that decode from it.
 */
#include "step.h"

/* Keys and values of layer `layer` for all rows, into the segments this thread owns. */
static void store_owned(const struct nib_step *s, const struct nib_encoding *e, size_t layer)
{
    const struct nib_work *w = s->work;
    const struct nib_kv_cache *cross = e->cross;
    for (size_t r = 0; r < w->n_rows; r++) {
        const size_t position = w->rows[r].position, segment = position / NIB_SEGMENT;
        const uint32_t source = e->sources[w->rows[r].sequence];
        for (size_t head = 0; head < cross->n_heads; head++)
            if (nib_kv_owner(cross, segment, head, s->n_threads) == s->thread)
                nib_kv_store(cross, s->kernels, nib_kv_segment(cross, source, segment, layer, head),
                             position % NIB_SEGMENT, w->k.data + r * w->k.stride + head * cross->d,
                             w->v.data + r * w->v.stride + head * cross->d);
    }
}

static void fill_cross(struct nib_step *s, const struct nib_encoding *e)
{
    struct nib_work *w = s->work;
    const struct nib_input input = {
        .x = w->x, .n_cols = w->model->config.n_embd, .n_rows = w->n_rows};
    for (size_t layer = 0; layer < e->decoder->config.n_layers; layer++) {
        const struct nib_attention_weights *cross = &e->decoder->layers[layer].cross;
        const struct nib_linear *linears[] = {&cross->k, &cross->v};
        const struct nib_product products[] = {{&cross->k, w->k, false}, {&cross->v, w->v, false}};
        nib_step_prepare(s, &input, linears, 2);
        nib_step_multiply(s, products, 2, w->n_rows);
        nib_step_barrier(s);
        store_owned(s, e, layer);
        nib_step_barrier(s);
    }
}

void nib_encode_run(void *data, int thread, int n_threads)
{
    const struct nib_encoding *e = data;
    struct nib_step s;
    nib_step_begin(&s, e->work, thread, n_threads);
    nib_step_embed(&s);
    if (!nib_step_layers(&s))
        return;
    if (s.work->model->final_norm.w)
        nib_step_normalize_x(&s, &s.work->model->final_norm);
    fill_cross(&s, e);
}
