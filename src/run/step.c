#include "step.h"

size_t nib_step_widest_row(const struct nib_config *c)
{
    size_t n = (size_t)c->n_heads * c->d_head;
    n = n > c->n_embd ? n : c->n_embd;
    n = n > c->n_ff ? n : c->n_ff;
    n = n > c->n_ff_expert ? n : c->n_ff_expert;
    n = n > c->n_ff_shared ? n : c->n_ff_shared;
    return (n + 15) & ~(size_t)15;
}

void nib_step_barrier(struct nib_step *s)
{
    nib_team_barrier(s->work->team, s->thread);
}

void nib_step_normalize(const struct nib_step *s, float *y, const float *x,
                        const struct nib_norm *norm, size_t n)
{
    const float eps = s->work->model->config.norm_eps;
    if (s->work->model->family->norm == NIB_NORM_RMS)
        s->kernels->rms_norm(y, x, norm->w, n, eps);
    else
        s->kernels->layer_norm(y, x, norm->w, norm->b, n, eps);
}

void nib_step_prepare(struct nib_step *s, const struct nib_input *in,
                      const struct nib_linear *const *linears, size_t n_linears)
{
    const bool is_few = in->n_rows <= NIB_FEW_ROWS;
    bool wants[NIB_ACT_COUNT] = {false};
    for (size_t i = 0; i < n_linears; i++)
        if (linears[i]->w.data)
            wants[nib_linear_act(linears[i])] = true;
    for (int kind = 0; kind < NIB_ACT_COUNT; kind++)
        if (wants[kind])
            s->input[kind] = nib_act_place((enum nib_act_kind)kind, in->n_rows, in->n_cols,
                                           is_few ? s->act[kind] : s->work->act[kind]);

    size_t begin = 0, end = in->n_rows;
    if (!is_few)
        nib_share(in->n_rows, 1, s->thread, s->n_threads, &begin, &end);
    for (size_t r = begin; r < end; r++) {
        const float *row = in->x.data + (in->map ? in->map[r] : r) * in->x.stride;
        if (in->norm && in->norm->w) {
            nib_step_normalize(s, s->row, row, in->norm, in->n_cols);
            row = s->row;
        }
        for (int kind = 0; kind < NIB_ACT_COUNT; kind++)
            if (wants[kind])
                s->kernels->quantize[kind](&s->input[kind], r, row);
    }
    if (!is_few)
        nib_step_barrier(s);
}

void nib_step_multiply_slice(struct nib_step *s, const struct nib_product *p, size_t group_begin,
                             size_t group_end, size_t row_begin, size_t row_end)
{
    const struct nib_linear *l = p->linear;
    if (group_begin >= group_end || row_begin >= row_end)
        return;
    const struct nib_matmul m = {
        .w = &l->w,
        .x = &s->input[nib_linear_act(l)],
        .bias = l->b,
        .y = p->y.data + row_begin * p->y.stride + group_begin * NIB_GROUP,
        .y_stride = p->y.stride,
        .accumulate = p->accumulate,
        .group_begin = group_begin,
        .group_end = group_end,
        .token_begin = row_begin,
        .token_end = row_end,
    };
    s->kernels->matmul[l->w.pack](&m);
}

void nib_step_multiply(struct nib_step *s, const struct nib_product *products, size_t n_products,
                       size_t n_rows)
{
    size_t n_groups = 0;
    for (size_t i = 0; i < n_products; i++)
        n_groups += products[i].linear->w.n_groups;
    size_t begin, end;
    nib_share(n_groups, 1, s->thread, s->n_threads, &begin, &end);

    size_t first = 0; /* of product i, counted over all */
    for (size_t i = 0; i < n_products; i++) {
        const size_t n = products[i].linear->w.n_groups;
        const size_t from = begin > first ? begin - first : 0;
        const size_t to = end > first ? (end - first < n ? end - first : n) : 0;
        nib_step_multiply_slice(s, &products[i], from, to, 0, n_rows);
        first += n;
    }
}

struct nib_buffer nib_step_gated(struct nib_step *s, const struct nib_ffn_weights *w,
                                 size_t row_begin, size_t row_end)
{
    const struct nib_product gate = {&w->gate, s->work->gate, false};
    const struct nib_product up = {&w->up, s->work->up, false};
    const struct nib_buffer out = w->gate.w.data ? gate.y : up.y;
    const size_t n_rows = row_end - row_begin;
    const enum nib_activation activation = s->work->model->config.activation;
    size_t begin, end;
    nib_share(w->up.w.n_groups, 1, s->thread, s->n_threads, &begin, &end);
    if (n_rows == 0)
        return out;

    /* Some groups at a time, so that both products of all rows are still in L2. */
    const size_t fit = (256 << 10) / (n_rows * NIB_GROUP * 2 * sizeof(float));
    const size_t n = n_rows <= NIB_FEW_ROWS ? end - begin : fit > 2 ? fit : 2;
    for (size_t g = begin; g < end; g += n) {
        const size_t stop = end - g < n ? end : g + n;
        const size_t n_values = (stop - g) * NIB_GROUP;
        if (w->gate.w.data)
            nib_step_multiply_slice(s, &gate, g, stop, row_begin, row_end);
        nib_step_multiply_slice(s, &up, g, stop, row_begin, row_end);
        for (size_t r = row_begin; r < row_end; r++) {
            float *y = out.data + r * out.stride + g * NIB_GROUP;
            s->kernels->activate[activation](y, n_values);
            if (w->gate.w.data)
                s->kernels->mul(y, up.y.data + r * up.y.stride + g * NIB_GROUP, n_values);
        }
    }
    return out;
}

/* x += norm(branch) times the residual scale, by rows. */
static void add_branch(struct nib_step *s, const struct nib_norm *norm)
{
    struct nib_work *w = s->work;
    const struct nib_config *c = &w->model->config;
    size_t begin, end;
    nib_share(w->n_rows, 1, s->thread, s->n_threads, &begin, &end);
    for (size_t r = begin; r < end; r++) {
        float *row = w->branch.data + r * w->branch.stride;
        if (norm->w) {
            nib_step_normalize(s, s->row, row, norm, c->n_embd);
            row = s->row;
        }
        if (c->residual_scale != 1)
            s->kernels->scale(row, c->residual_scale, c->n_embd);
        s->kernels->add(w->x.data + r * w->x.stride, row, c->n_embd);
    }
    nib_step_barrier(s);
}

void nib_step_add(struct nib_step *s, struct nib_buffer input, size_t n_cols,
                  const struct nib_linear *linear, const struct nib_norm *norm)
{
    struct nib_work *w = s->work;
    const bool is_direct = !norm->w && w->model->config.residual_scale == 1;
    const struct nib_product product = {linear, is_direct ? w->x : w->branch, is_direct};
    nib_step_prepare(s, &(struct nib_input){.x = input, .n_cols = n_cols, .n_rows = w->n_rows},
                     &linear, 1);
    nib_step_multiply(s, &product, 1, w->n_rows);
    nib_step_barrier(s);
    if (!is_direct)
        add_branch(s, norm);
}

void nib_step_normalize_x(struct nib_step *s, const struct nib_norm *norm)
{
    struct nib_work *w = s->work;
    const size_t n = w->model->config.n_embd;
    size_t begin, end;
    nib_share(w->n_rows, 1, s->thread, s->n_threads, &begin, &end);
    for (size_t r = begin; r < end; r++) {
        float *x = w->x.data + r * w->x.stride;
        memcpy(s->row, x, n * sizeof(*x));
        nib_step_normalize(s, x, s->row, norm, n);
    }
    nib_step_barrier(s);
}

/* ---- a thread's memory ----------------------------------------------------------------------- */

size_t nib_step_scratch_bytes(const struct nib_config *c)
{
    const size_t n_widest = nib_step_widest_row(c);
    size_t n_bytes = n_widest * sizeof(float) + nib_attention_scratch_bytes(c);
    for (int kind = 0; kind < NIB_ACT_COUNT; kind++)
        n_bytes += nib_act_bytes((enum nib_act_kind)kind, NIB_FEW_ROWS, n_widest);
    return (n_bytes + 4095) & ~(size_t)4095;
}

void nib_step_begin(struct nib_step *s, struct nib_work *w, int thread, int n_threads)
{
    const size_t n_widest = nib_step_widest_row(&w->model->config);
    uint8_t *memory = w->scratch + (size_t)thread * w->scratch_bytes;
    *s = (struct nib_step){
        .work = w, .kernels = &w->model->kernels, .thread = thread, .n_threads = n_threads};
    for (int kind = 0; kind < NIB_ACT_COUNT; kind++) {
        s->act[kind] = memory;
        memory += nib_act_bytes((enum nib_act_kind)kind, NIB_FEW_ROWS, n_widest);
    }
    s->row = (float *)(void *)memory;
    s->attend = memory + n_widest * sizeof(float);
}
