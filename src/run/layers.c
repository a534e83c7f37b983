/* Layer shapes, to be read against the papers. */
#include "layers.h"

#include "step.h"

static void self_attention(struct nib_step *s, const struct nib_layer *l)
{
    struct nib_work *w = s->work;
    const size_t n_embd = w->model->config.n_embd;
    const size_t n_attended = (size_t)w->model->config.n_heads * w->model->config.d_head;
    const struct nib_linear *inputs[] = {&l->attn.q, &l->attn.k, &l->attn.v};
    nib_step_prepare(s, w->x, n_embd, &l->attn_norm, inputs, 3);
    const struct nib_product products[] = {{&l->attn.q, w->q, false, false},
                                           {&l->attn.k, w->k, false, false},
                                           {&l->attn.v, w->v, false, false}};
    nib_step_multiply(s, products, 3, w->n_rows);
    nib_step_barrier(s);

    nib_step_attend(s, &l->attn);
    nib_step_barrier(s);

    const struct nib_linear *output[] = {&l->attn.o};
    nib_step_prepare(s, w->q, n_attended, NULL, output, 1);
    nib_step_multiply(s, &(struct nib_product){&l->attn.o, w->x, true, false}, 1, w->n_rows);
    nib_step_barrier(s);
}

static void feed_forward(struct nib_step *s, const struct nib_layer *l)
{
    struct nib_work *w = s->work;
    const struct nib_config *c = &w->model->config;
    const struct nib_linear *inputs[] = {&l->ffn.gate, &l->ffn.up};
    nib_step_prepare(s, w->x, c->n_embd, &l->ffn_norm, inputs, 2);
    const struct nib_buffer h = nib_step_gated(s, &l->ffn);
    nib_step_barrier(s);

    const struct nib_linear *output[] = {&l->ffn.down};
    nib_step_prepare(s, h, c->n_ff, NULL, output, 1);
    nib_step_multiply(s, &(struct nib_product){&l->ffn.down, w->x, true, false}, 1, w->n_rows);
    nib_step_barrier(s);
}

void nib_layer_prenorm(struct nib_step *s, const struct nib_layer *l)
{
    self_attention(s, l);
    feed_forward(s, l);
}
