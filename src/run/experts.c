/*
 * Mixtures of experts (Shazeer et al. 2017, https://arxiv.org/abs/1701.06538; Jiang et al. 2024,
 * "Mixtral of Experts"): a router scores the experts for every row, the best n_experts_used of them
 * get the row, and their outputs are added with the router's probabilities as weights.
 *
 * Pairs of a row and an expert are ordered by expert, and the inputs laid out in that order, so
 * that each expert is one product over neighbouring rows.  The outputs of a row are added by
 * ascending expert, whatever else is computed with it.
 */
#include "step.h"

#include <math.h>
#include <sleef.h>

/* ---- routing --------------------------------------------------------------------------------- */

/* The n best by score, ties to the lower expert, then in ascending order, with the probabilities of
 * all experts or, renormalised, of the chosen ones. */
static void choose(const struct nib_config *c, const float *scores, uint32_t *expert, float *weight)
{
    const size_t n = c->n_experts_used;
    size_t n_chosen = 0;
    for (uint32_t e = 0; e < c->n_experts; e++) {
        size_t at = n_chosen;
        while (at > 0 && scores[e] > scores[expert[at - 1]])
            at--;
        if (at == n)
            continue;
        if (n_chosen < n)
            n_chosen++;
        memmove(expert + at + 1, expert + at, (n_chosen - at - 1) * sizeof(*expert));
        expert[at] = e;
    }
    const double max = (double)scores[expert[0]];
    for (size_t i = 1; i < n; i++) { /* by insertion */
        const uint32_t e = expert[i];
        size_t at = i;
        for (; at > 0 && expert[at - 1] > e; at--)
            expert[at] = expert[at - 1];
        expert[at] = e;
    }
    double sum = 0;
    for (uint32_t e = 0; e < c->n_experts && !c->renormalizes_experts; e++)
        sum += Sleef_cinz_expd1_u10purec((double)scores[e] - max);
    for (size_t i = 0; i < n && c->renormalizes_experts; i++)
        sum += Sleef_cinz_expd1_u10purec((double)scores[expert[i]] - max);
    for (size_t i = 0; i < n; i++)
        weight[i] = (float)(Sleef_cinz_expd1_u10purec((double)scores[expert[i]] - max) / sum);
}

/* Order the pairs by expert, then row: counting sort. */
static void order_pairs(const struct nib_work *w)
{
    const struct nib_routing *t = &w->routing;
    const struct nib_config *c = &w->model->config;
    const size_t n_pairs = w->n_rows * c->n_experts_used;
    memset(t->first, 0, (c->n_experts + 1) * sizeof(*t->first));
    for (size_t i = 0; i < n_pairs; i++)
        t->first[t->expert[i] + 1]++;
    for (uint32_t e = 0; e < c->n_experts; e++)
        t->first[e + 1] += t->first[e];
    for (size_t i = 0; i < n_pairs; i++) {
        const uint32_t at = t->first[t->expert[i]]++;
        t->pair[i] = at;
        t->row[at] = (uint32_t)(i / c->n_experts_used);
    }
    for (uint32_t e = c->n_experts; e > 0; e--)
        t->first[e] = t->first[e - 1];
    t->first[0] = 0;
}

/* From the router's scores to ordered pairs, for all threads. */
static void route(struct nib_step *s)
{
    const struct nib_work *w = s->work;
    const struct nib_routing *t = &w->routing;
    const struct nib_config *c = &w->model->config;
    size_t begin, end;
    nib_share(w->n_rows, 1, s->thread, s->n_threads, &begin, &end);
    for (size_t r = begin; r < end; r++)
        choose(c, t->scores.data + r * t->scores.stride, t->expert + r * c->n_experts_used,
               t->weight + r * c->n_experts_used);
    nib_step_barrier(s);
    if (s->thread == 0)
        order_pairs(w);
    nib_step_barrier(s);
}

/* ---- experts --------------------------------------------------------------------------------- */

static struct nib_linear expert_of(const struct nib_expert_stack *stack, size_t expert)
{
    struct nib_linear l = {.w = stack->first};
    if (l.w.data)
        l.w.data += expert * stack->n_bytes;
    return l;
}

/* The pairs' rows through their experts, into routing.output. */
static void run_experts(struct nib_step *s, const struct nib_norm *norm,
                        const struct nib_moe_weights *m)
{
    struct nib_work *w = s->work;
    const struct nib_routing *t = &w->routing;
    const struct nib_config *c = &w->model->config;
    const size_t n_pairs = w->n_rows * c->n_experts_used;
    const struct nib_linear gate = {.w = m->gate.first}, up = {.w = m->up.first};
    const struct nib_linear down = {.w = m->down.first};
    const struct nib_linear *wide[] = {&gate, &up}, *narrow[] = {&down};
    struct nib_input input = {
        .x = w->x, .n_cols = c->n_embd, .norm = norm, .map = t->row, .n_rows = n_pairs};

    nib_step_prepare(s, &input, wide, 2);
    struct nib_buffer h = w->up;
    for (uint32_t e = 0; e < c->n_experts; e++) {
        const struct nib_ffn_weights f = {.gate = expert_of(&m->gate, e),
                                          .up = expert_of(&m->up, e)};
        h = nib_step_gated(s, &f, t->first[e], t->first[e + 1]);
    }
    nib_step_barrier(s);

    input = (struct nib_input){.x = h, .n_cols = c->n_ff_expert, .n_rows = n_pairs};
    nib_step_prepare(s, &input, narrow, 1);
    size_t begin, end;
    nib_share(down.w.n_groups, 1, s->thread, s->n_threads, &begin, &end);
    for (uint32_t e = 0; e < c->n_experts; e++) {
        const struct nib_linear l = expert_of(&m->down, e);
        const struct nib_product product = {&l, t->output, false};
        nib_step_multiply_slice(s, &product, begin, end, t->first[e], t->first[e + 1]);
    }
    nib_step_barrier(s);
}

/* branch = the shared expert's output, before its gate; the input is prepared. */
static void run_shared(struct nib_step *s, const struct nib_moe_weights *m)
{
    struct nib_work *w = s->work;
    const struct nib_buffer h = nib_step_gated(s, &m->shared, 0, w->n_rows);
    nib_step_barrier(s);
    const struct nib_linear *down = &m->shared.down;
    const struct nib_input input = {
        .x = h, .n_cols = w->model->config.n_ff_shared, .n_rows = w->n_rows};
    nib_step_prepare(s, &input, &down, 1);
    nib_step_multiply(s, &(struct nib_product){down, w->branch, false}, 1, w->n_rows);
    nib_step_barrier(s);
}

/* ---- adding up ------------------------------------------------------------------------------- */

static float sigmoid(float x)
{
    return (float)(1 / (1 + Sleef_cinz_expd1_u10purec(-(double)x)));
}

/* x += post_norm(the weighted outputs of a row's experts + the shared one's). */
static void combine(struct nib_step *s, const struct nib_moe_weights *m,
                    const struct nib_norm *post_norm)
{
    struct nib_work *w = s->work;
    const struct nib_routing *t = &w->routing;
    const struct nib_config *c = &w->model->config;
    const size_t k = c->n_experts_used, gate = nib_pad16(c->n_experts);
    size_t begin, end;
    nib_share(w->n_rows, 1, s->thread, s->n_threads, &begin, &end);
    for (size_t r = begin; r < end; r++) {
        float *sum = NULL;
        for (size_t i = 0; i < k; i++) {
            float *y = t->output.data + t->pair[r * k + i] * t->output.stride;
            s->kernels->scale(y, t->weight[r * k + i], c->n_embd);
            if (sum)
                s->kernels->add(sum, y, c->n_embd);
            else
                sum = y;
        }
        if (m->shared.up.w.data) {
            float *shared = w->branch.data + r * w->branch.stride;
            if (m->shared_gate.w.data)
                s->kernels->scale(shared, sigmoid(t->scores.data[r * t->scores.stride + gate]),
                                  c->n_embd);
            s->kernels->add(sum, shared, c->n_embd);
        }
        if (post_norm->w) {
            nib_step_normalize(s, s->row, sum, post_norm, c->n_embd);
            sum = s->row;
        }
        if (c->residual_scale != 1)
            s->kernels->scale(sum, c->residual_scale, c->n_embd);
        s->kernels->add(w->x.data + r * w->x.stride, sum, c->n_embd);
    }
    nib_step_barrier(s);
}

void nib_step_experts(struct nib_step *s, const struct nib_norm *norm,
                      const struct nib_moe_weights *m, const struct nib_norm *post_norm)
{
    struct nib_work *w = s->work;
    const struct nib_config *c = &w->model->config;
    struct nib_buffer gate_column = w->routing.scores;
    gate_column.data += nib_pad16(c->n_experts);
    const struct nib_linear *inputs[] = {&m->router, &m->shared_gate, &m->shared.gate,
                                         &m->shared.up};
    const struct nib_product products[] = {{&m->router, w->routing.scores, false},
                                           {&m->shared_gate, gate_column, false}};
    const struct nib_input input = {
        .x = w->x, .n_cols = c->n_embd, .norm = norm, .n_rows = w->n_rows};
    nib_step_prepare(s, &input, inputs, NIB_COUNT(inputs));
    nib_step_multiply(s, products, NIB_COUNT(products), w->n_rows);
    if (m->shared.up.w.data)
        run_shared(s, m);
    else
        nib_step_barrier(s);
    route(s);
    run_experts(s, norm, m);
    combine(s, m, post_norm);
}
