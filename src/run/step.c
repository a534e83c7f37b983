#include "step.h"

#include "half.h"
#include "positions.h"

#include <stdatomic.h>

enum {
    PAIR_ROWS = 32,
    PAIR_GROUPS = 8,
    PAIR_FLOATS = 2 * PAIR_ROWS * PAIR_GROUPS * NIB_GROUP, /* 32 KB */
};

size_t nib_step_widest_row(const struct nib_config *c)
{
    size_t n = (size_t)c->n_heads * c->d_head;
    n = n > c->n_embd ? n : c->n_embd;
    n = n > c->n_ff ? n : c->n_ff;
    return (n + 15) & ~(size_t)15;
}

void nib_step_barrier(struct nib_step *s)
{
    nib_team_barrier(s->work->team, s->thread);
}

static void normalize(const struct nib_step *s, float *y, const float *x,
                      const struct nib_norm *norm, size_t n)
{
    const float eps = s->work->model->config.norm_eps;
    if (s->work->model->family->norm == NIB_NORM_RMS)
        s->kernels->rms_norm(y, x, norm->w, n, eps);
    else
        s->kernels->layer_norm(y, x, norm->w, norm->b, n, eps);
}

/* nib_step_prepare(); for the head only the rows whose logits are wanted. */
static void prepare(struct nib_step *s, struct nib_buffer x, size_t n_cols,
                    const struct nib_norm *norm, const struct nib_linear *const *linears,
                    size_t n_linears, bool is_head, size_t n_rows)
{
    const bool is_few = n_rows <= NIB_FEW_ROWS;
    bool wants[NIB_ACT_COUNT] = {false};
    for (size_t i = 0; i < n_linears; i++)
        if (linears[i]->w.data)
            wants[nib_linear_act(linears[i], is_head)] = true;
    for (int kind = 0; kind < NIB_ACT_COUNT; kind++)
        if (wants[kind])
            s->input[kind] = nib_act_place((enum nib_act_kind)kind, n_rows, n_cols,
                                           is_few ? s->act[kind] : s->work->act[kind]);

    size_t begin = 0, end = n_rows;
    if (!is_few)
        nib_share(n_rows, 1, s->thread, s->n_threads, &begin, &end);
    for (size_t r = begin; r < end; r++) {
        const float *row = x.data + (is_head ? s->work->logits_rows[r] : r) * x.stride;
        if (norm && norm->w) {
            normalize(s, s->row, row, norm, n_cols);
            row = s->row;
        }
        for (int kind = 0; kind < NIB_ACT_COUNT; kind++)
            if (wants[kind])
                s->kernels->quantize[kind](&s->input[kind], r, row);
    }
    if (!is_few)
        nib_step_barrier(s);
}

void nib_step_prepare(struct nib_step *s, struct nib_buffer x, size_t n_cols,
                      const struct nib_norm *norm, const struct nib_linear *const *linears,
                      size_t n_linears)
{
    prepare(s, x, n_cols, norm, linears, n_linears, false, s->work->n_rows);
}

/*
 * y = sum of the products with rows 2 r and 2 r + 1 of the input, + b, for the slice at hand;
 * through a small buffer, which stays in the cache.
 */
static void multiply_twice(struct nib_step *s, const struct nib_product *p, struct nib_matmul m)
{
    const struct nib_linear *l = p->linear;
    const size_t group_end = m.group_end, n_rows = m.token_end;
    m.y = s->pairs;
    m.y_stride = PAIR_GROUPS * NIB_GROUP;
    for (size_t g = m.group_begin; g < group_end; g += PAIR_GROUPS)
        for (size_t r = 0; r < n_rows; r += PAIR_ROWS) {
            m.group_begin = g;
            m.group_end = group_end - g < PAIR_GROUPS ? group_end : g + PAIR_GROUPS;
            m.token_begin = 2 * r;
            m.token_end = 2 * (n_rows - r < PAIR_ROWS ? n_rows : r + PAIR_ROWS);
            s->kernels->matmul[l->w.pack](&m);
            const size_t n = (m.group_end - g) * NIB_GROUP;
            for (size_t t = r; t < m.token_end / 2; t++) {
                float *sum = s->pairs + 2 * (t - r) * m.y_stride;
                float *y = p->y.data + t * p->y.stride + g * NIB_GROUP;
                s->kernels->add(sum, sum + m.y_stride, n);
                if (l->b)
                    s->kernels->add(sum, l->b + g * NIB_GROUP, n);
                if (p->accumulate)
                    s->kernels->add(y, sum, n);
                else
                    memcpy(y, sum, n * sizeof(*y));
            }
        }
}

static void multiply_groups(struct nib_step *s, const struct nib_product *p, size_t begin,
                            size_t end, size_t n_rows)
{
    const struct nib_linear *l = p->linear;
    const enum nib_act_kind kind = nib_linear_act(l, p->is_head);
    if (begin >= end)
        return;
    struct nib_matmul m = {
        .w = &l->w,
        .x = &s->input[kind],
        .y = p->y.data + begin * NIB_GROUP,
        .y_stride = p->y.stride,
        .group_begin = begin,
        .group_end = end,
        .token_end = n_rows,
    };
    if (kind == NIB_ACT_Q8X2) {
        multiply_twice(s, p, m);
        return;
    }
    m.bias = l->b;
    m.accumulate = p->accumulate;
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
        multiply_groups(s, &products[i], from, to, n_rows);
        first += n;
    }
}

struct nib_buffer nib_step_gated(struct nib_step *s, const struct nib_ffn_weights *w)
{
    const struct nib_product gate = {&w->gate, s->work->gate, false, false};
    const struct nib_product up = {&w->up, s->work->up, false, false};
    const struct nib_buffer out = w->gate.w.data ? gate.y : up.y;
    const size_t n_rows = s->work->n_rows;
    const enum nib_activation activation = s->work->model->family->activation;
    size_t begin, end;
    nib_share(w->up.w.n_groups, 1, s->thread, s->n_threads, &begin, &end);

    /* Some groups at a time, so that both products of all rows are still in L2. */
    const size_t fit = (256 << 10) / (n_rows * NIB_GROUP * 2 * sizeof(float));
    const size_t n = n_rows <= NIB_FEW_ROWS ? end - begin : fit > 2 ? fit : 2;
    for (size_t g = begin; g < end; g += n) {
        const size_t stop = end - g < n ? end : g + n;
        const size_t n_values = (stop - g) * NIB_GROUP;
        if (w->gate.w.data)
            multiply_groups(s, &gate, g, stop, n_rows);
        multiply_groups(s, &up, g, stop, n_rows);
        for (size_t r = 0; r < n_rows; r++) {
            float *y = out.data + r * out.stride + g * NIB_GROUP;
            s->kernels->activate[activation](y, n_values);
            if (w->gate.w.data)
                s->kernels->mul(y, up.y.data + r * up.y.stride + g * NIB_GROUP, n_values);
        }
    }
    return out;
}

/* ---- the model from ids to logits ----------------------------------------------------------- */

static void embed(struct nib_step *s)
{
    struct nib_work *w = s->work;
    const size_t n_rot = w->model->config.n_rot;
    size_t begin, end;
    nib_share(w->n_rows, 1, s->thread, s->n_threads, &begin, &end);
    for (size_t r = begin; r < end; r++) {
        nib_matrix_row(&w->model->embedding, (size_t)w->rows[r].id, w->x.data + r * w->x.stride);
        nib_rope_angles(w->cosine.data + r * w->cosine.stride, w->sine.data + r * w->sine.stride,
                        w->rope_frequency, n_rot / 2, w->rows[r].position);
    }
    nib_step_barrier(s);
}

static bool all_finite(const float *x, size_t n)
{
    uint32_t is_bad = 0;
    for (size_t i = 0; i < n; i++)
        is_bad |= (nib_float_bits(x[i]) & 0x7f800000) == 0x7f800000;
    return !is_bad;
}

static void logits(struct nib_step *s)
{
    struct nib_work *w = s->work;
    const struct nib_linear *output = &w->model->output;
    const size_t n_vocab = w->model->config.n_vocab;
    if (w->n_logits == 0)
        return;
    prepare(s, w->x, w->model->config.n_embd, &w->model->final_norm, &output, 1, true, w->n_logits);
    nib_step_multiply(s, &(struct nib_product){output, w->logits, false, true}, 1, w->n_logits);

    size_t begin, end; /* the columns this thread has just computed */
    nib_share(output->w.n_groups, 1, s->thread, s->n_threads, &begin, &end);
    begin *= NIB_GROUP;
    end = end * NIB_GROUP < n_vocab ? end * NIB_GROUP : n_vocab;
    for (size_t i = 0; i < w->n_logits && begin < end; i++)
        if (!all_finite(w->logits.data + i * w->logits.stride + begin, end - begin))
            atomic_store(&w->is_not_finite, true);
}

size_t nib_step_scratch_bytes(const struct nib_config *c)
{
    const size_t n_widest = nib_step_widest_row(c);
    size_t n_bytes = (n_widest + PAIR_FLOATS) * sizeof(float) + nib_attention_scratch_bytes(c);
    for (int kind = 0; kind < NIB_ACT_COUNT; kind++)
        n_bytes += nib_act_bytes((enum nib_act_kind)kind, NIB_FEW_ROWS, n_widest);
    return (n_bytes + 4095) & ~(size_t)4095;
}

void nib_step_run(void *data, int thread, int n_threads)
{
    struct nib_work *w = data;
    const struct nib_model *model = w->model;
    struct nib_step s = {
        .work = w, .kernels = &model->kernels, .thread = thread, .n_threads = n_threads};
    const size_t n_widest = nib_step_widest_row(&model->config);
    uint8_t *memory = w->scratch + (size_t)thread * w->scratch_bytes;
    for (int kind = 0; kind < NIB_ACT_COUNT; kind++) {
        s.act[kind] = memory;
        memory += nib_act_bytes((enum nib_act_kind)kind, NIB_FEW_ROWS, n_widest);
    }
    s.row = (float *)(void *)memory;
    s.pairs = s.row + n_widest;
    s.attend = memory + (n_widest + PAIR_FLOATS) * sizeof(float);

    embed(&s);
    for (s.layer = 0; s.layer < model->config.n_layers; s.layer++) {
        /* Thread 0 asks once a layer; the layer's barriers publish its answer, so that all threads
         * stop at the same place.  Two slots: the next question must not overwrite an answer
         * unread. */
        bool *is_cancelled = &w->is_cancelled[s.layer % 2];
        if (thread == 0)
            *is_cancelled = atomic_load_explicit(w->cancel, memory_order_relaxed);
        model->family->layer(&s, &model->layers[s.layer]);
        if (*is_cancelled)
            return;
    }
    logits(&s);
}
