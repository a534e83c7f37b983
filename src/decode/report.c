/* See report.h. */
#include "report.h"

#include <math.h>
#include <stdlib.h>

struct nib_reporter *nib_reporter_create(size_t n_vocab)
{
    struct nib_reporter *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->row = calloc(n_vocab, sizeof(*r->row));
    r->logits = calloc(n_vocab, sizeof(*r->logits));
    if (r->row && r->logits)
        return r;
    nib_reporter_free(r);
    return NULL;
}

void nib_reporter_free(struct nib_reporter *r)
{
    if (!r)
        return;
    free(r->row);
    free(r->logits);
    free(r);
}

void nib_reporter_begin(struct nib_reporter *r)
{
    r->report.n_stages = 0;
    r->is_filled = false;
}

static double exp_of(double x)
{
    nib_exp(&x, &x, 1);
    return x;
}

/* The whole row at temperature t. */
static struct nib_remains row_remains(const float *row, size_t n, double t)
{
    struct nib_remains out = {.max = -INFINITY};
    for (size_t i = 0; i < n; i++)
        out.max = row[i] / t > out.max ? row[i] / t : out.max;
    for (size_t i = 0; i < n; i++)
        if (row[i] > -INFINITY) {
            out.n++;
            out.total += exp_of(row[i] / t - out.max);
        }
    return out;
}

static struct nib_remains candidates_remains(const struct nib_candidates *c)
{
    struct nib_remains out = {.n = c->n, .max = nib_candidates_largest(c)};
    for (size_t i = 0; i < c->n; i++)
        out.total += exp_of(c->logits[i] - out.max);
    return out;
}

/* The share of what was before that the candidates have. */
static double mass_left(const struct nib_remains *before, const struct nib_candidates *c)
{
    double mass = 0;
    for (size_t i = 0; i < c->n; i++)
        mass += exp_of(c->logits[i] - before->max);
    return mass < before->total ? mass / before->total : 1;
}

static struct nib_sampler_stage *add(struct nib_reporter *r, const char *name, double value)
{
    assert(r->report.n_stages < NIB_COUNT(r->stages));
    struct nib_sampler_stage *stage = &r->stages[r->report.n_stages++];
    *stage = (struct nib_sampler_stage){.name = name, .value = value, .mass = 1, .random = -1};
    return stage;
}

void nib_reporter_save(struct nib_reporter *r, const float *row, size_t n_vocab)
{
    memcpy(r->row, row, n_vocab * sizeof(*row));
}

void nib_reporter_row(struct nib_reporter *r, const char *name, double value, const float *row,
                      size_t n_tokens)
{
    struct nib_sampler_stage *stage = add(r, name, value);
    const struct nib_remains before = row_remains(r->row, n_tokens, 1);
    double mass = 0;
    for (size_t i = 0; i < n_tokens; i++) {
        if (!(row[i] > -INFINITY))
            continue;
        stage->n_after++;
        stage->n_changed += row[i] < r->row[i] || row[i] > r->row[i];
        mass += exp_of(r->row[i] - before.max);
    }
    stage->n_before = before.n;
    stage->mass = mass < before.total ? mass / before.total : 1;
}

void nib_reporter_start(struct nib_reporter *r, const float *row, size_t n_tokens)
{
    r->before = row_remains(row, n_tokens, 1);
    r->is_row = true;
}

void nib_reporter_save_candidates(struct nib_reporter *r, const struct nib_candidates *c)
{
    memcpy(r->logits, c->logits, c->n * sizeof(*r->logits));
}

static size_t count_changed(const struct nib_reporter *r, const struct nib_candidates *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        n += r->logits[i] < c->logits[i] || r->logits[i] > c->logits[i];
    return n;
}

void nib_reporter_stage(struct nib_reporter *r, size_t stage, const struct nib_filter_values *v,
                        const struct nib_candidates *c, const float *row, size_t n_tokens)
{
    const bool is_edit = stage >= NIB_FILTER_COUNT, scales = stage == NIB_FILTER_TEMPERATURE;
    struct nib_sampler_stage *out = add(r, nib_stage_name(stage), v ? v->value : 0);
    out->n_before = r->before.n;
    if (v && nib_filter_is_random((enum nib_filter)stage))
        out->random = v->random;
    if (!is_edit && !scales)
        out->mass = mass_left(&r->before, c);
    /* Only a temperature that is the same for all can go before ids are left out unseen. */
    if (!scales || v->range > 0)
        r->is_row = false;
    r->before = r->is_row ? row_remains(row, n_tokens, v->value) : candidates_remains(c);
    out->n_after = r->before.n;
    out->n_changed = is_edit ? count_changed(r, c) : scales ? out->n_after : 0;
}

void nib_reporter_end(struct nib_reporter *r, double random)
{
    r->report.stages = r->stages;
    r->report.random = random;
    r->is_filled = true;
}
