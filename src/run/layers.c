/* Layer shapes, to be read against the papers.  Norms that a family does not have do nothing. */
#include "layers.h"

#include "step.h"

static const struct nib_norm no_norm;

static void clamp_row(float *x, size_t n, float limit)
{
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] > limit ? limit : x[i] < -limit ? -limit : x[i];
}

/* Norms over whole q and k, and limits: what must be done before heads are looked at one by one. */
static void adjust_heads(struct nib_step *s, const struct nib_attention_weights *a)
{
    struct nib_work *w = s->work;
    const struct nib_config *c = &w->model->config;
    const size_t n_q = (size_t)c->n_heads * c->d_head, n_kv = (size_t)c->n_kv_heads * c->d_head;
    const struct {
        struct nib_buffer x;
        size_t n;
        const struct nib_head_norm *norm;
    } parts[] = {{w->q, n_q, &a->q_norm}, {w->k, n_kv, &a->k_norm}, {w->v, n_kv, NULL}};
    const bool clamps_last = w->model->family->norms_then_clamps;
    if (!a->q_norm.is_whole && !a->k_norm.is_whole && c->clamp_qkv == 0)
        return;
    size_t begin, end;
    nib_share(w->n_rows, 1, s->thread, s->n_threads, &begin, &end);
    for (size_t r = begin; r < end; r++)
        for (size_t i = 0; i < NIB_COUNT(parts); i++) {
            float *x = parts[i].x.data + r * parts[i].x.stride;
            if (c->clamp_qkv > 0 && !clamps_last)
                clamp_row(x, parts[i].n, c->clamp_qkv);
            if (parts[i].norm && parts[i].norm->is_whole) {
                memcpy(s->row, x, parts[i].n * sizeof(float));
                nib_step_normalize(s, x, s->row, &parts[i].norm->norm, parts[i].n);
            }
            if (c->clamp_qkv > 0 && clamps_last)
                clamp_row(x, parts[i].n, c->clamp_qkv);
        }
    nib_step_barrier(s);
}

/* q = attention(norm(x)); with a barrier. */
static void attend(struct nib_step *s, const struct nib_layer *l, const struct nib_norm *norm)
{
    struct nib_work *w = s->work;
    const struct nib_linear *inputs[] = {&l->attn.q, &l->attn.k, &l->attn.v};
    const struct nib_product products[] = {
        {&l->attn.q, w->q, false}, {&l->attn.k, w->k, false}, {&l->attn.v, w->v, false}};
    const struct nib_input input = {
        .x = w->x, .n_cols = w->model->config.n_embd, .norm = norm, .n_rows = w->n_rows};
    nib_step_prepare(s, &input, inputs, 3);
    nib_step_multiply(s, products, 3, w->n_rows);
    nib_step_barrier(s);
    adjust_heads(s, &l->attn);
    nib_step_attend(s, &l->attn);
    nib_step_barrier(s);
}

/* activation(gate norm(x)) * up norm(x); with a barrier.  Returns where it is. */
static struct nib_buffer widen(struct nib_step *s, const struct nib_ffn_weights *f,
                               const struct nib_norm *norm)
{
    struct nib_work *w = s->work;
    const struct nib_linear *inputs[] = {&f->gate, &f->up};
    const struct nib_input input = {
        .x = w->x, .n_cols = w->model->config.n_embd, .norm = norm, .n_rows = w->n_rows};
    nib_step_prepare(s, &input, inputs, 2);
    const struct nib_buffer h = nib_step_gated(s, f, 0, w->n_rows);
    nib_step_barrier(s);
    return h;
}

/* q = attention(norm(x)) to what the encoder has read; with a barrier. */
static void attend_to_source(struct nib_step *s, const struct nib_layer *l,
                             const struct nib_norm *norm)
{
    struct nib_work *w = s->work;
    const struct nib_linear *inputs[] = {&l->cross.q};
    const struct nib_product product = {&l->cross.q, w->q, false};
    const struct nib_input input = {
        .x = w->x, .n_cols = w->model->config.n_embd, .norm = norm, .n_rows = w->n_rows};
    nib_step_prepare(s, &input, inputs, 1);
    nib_step_multiply(s, &product, 1, w->n_rows);
    nib_step_barrier(s);
    nib_step_attend(s, &l->cross);
    nib_step_barrier(s);
}

/* x += attention(norm(x)); x += ffn(norm(x)).  Llama, GPT-2; with norms of what is added: Gemma 2,
 * and with these alone: OLMo 2.  Decoders with an encoder have x += cross-attention(norm(x)) in
 * between. */
static void run_in_sequence(struct nib_step *s, const struct nib_layer *l)
{
    struct nib_work *w = s->work;
    const struct nib_config *c = &w->model->config;
    const size_t n_attended = (size_t)c->n_heads * c->d_head;
    attend(s, l, &l->attn_norm);
    nib_step_add(s, w->q, n_attended, &l->attn.o, &l->attn_post_norm);
    if (l->cross.q.w.data) {
        attend_to_source(s, l, &l->cross_norm);
        nib_step_add(s, w->q, n_attended, &l->cross.o, &no_norm);
    }
    if (l->moe.router.w.data) {
        nib_step_experts(s, &l->ffn_norm, &l->moe, &l->ffn_post_norm);
        return;
    }
    const struct nib_buffer h = widen(s, &l->ffn, &l->ffn_norm);
    nib_step_add(s, h, c->n_ff, &l->ffn.down, &l->ffn_post_norm);
}

/* x = norm(x + attention(x)); x = norm(x + ffn(x)).  The original Transformer, BART, Marian. */
static void run_with_norms_behind(struct nib_step *s, const struct nib_layer *l)
{
    struct nib_work *w = s->work;
    const struct nib_config *c = &w->model->config;
    const size_t n_attended = (size_t)c->n_heads * c->d_head;
    attend(s, l, &no_norm);
    nib_step_add(s, w->q, n_attended, &l->attn.o, &no_norm);
    nib_step_normalize_x(s, &l->attn_norm);
    if (l->cross.q.w.data) {
        attend_to_source(s, l, &no_norm);
        nib_step_add(s, w->q, n_attended, &l->cross.o, &no_norm);
        nib_step_normalize_x(s, &l->cross_norm);
    }
    const struct nib_buffer h = widen(s, &l->ffn, &no_norm);
    nib_step_add(s, h, c->n_ff, &l->ffn.down, &no_norm);
    nib_step_normalize_x(s, &l->ffn_norm);
}

/* x += attention(norm(x)) + ffn(norm(x)), with one norm or two.  GPT-J, GPT-NeoX, Phi, Falcon. */
static void run_in_parallel(struct nib_step *s, const struct nib_layer *l)
{
    struct nib_work *w = s->work;
    const struct nib_config *c = &w->model->config;
    attend(s, l, &l->attn_norm);
    const struct nib_buffer h = widen(s, &l->ffn, l->ffn_norm.w ? &l->ffn_norm : &l->attn_norm);
    nib_step_add(s, w->q, (size_t)c->n_heads * c->d_head, &l->attn.o, &l->attn_post_norm);
    nib_step_add(s, h, c->n_ff, &l->ffn.down, &l->ffn_post_norm);
}

/* A layer with one norm for both halves can only have them side by side. */
void nib_layer_run(struct nib_step *s, const struct nib_layer *l)
{
    if (s->work->model->config.is_post_norm)
        run_with_norms_behind(s, l);
    else if (s->work->model->config.is_parallel || (l->attn_norm.w && !l->ffn_norm.w))
        run_in_parallel(s, l);
    else
        run_in_sequence(s, l);
}
