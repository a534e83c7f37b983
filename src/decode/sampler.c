/*
 * The sampler: constraints, the stages of the chain, then a draw; or, with temperature 0,
 * constraints, penalties, DRY and the largest logit.
 */
#include "sampler.h"
#include "random.h"

#include <math.h>
#include <sleef.h>
#include <stdlib.h>

/* ---- making --------------------------------------------------------------------------------- */

/* The pointers of the params are good while this runs, and are not kept. */
static enum nib_status create_parts(struct nib_sampler *s, const struct nib_sampler_params *p,
                                    struct nib_error *err)
{
    enum nib_status status = nib_constraints_create(&s->constraints, p, s->n_vocab, err);
    for (size_t i = 0; i < s->chain.n && status == NIB_OK; i++) {
        if (s->chain.stages[i] == NIB_STAGE_PENALTIES)
            status =
                nib_penalties_create(&s->penalties,
                                     &(struct nib_penalty_params){.repeat = p->repeat_penalty,
                                                                  .frequency = p->frequency_penalty,
                                                                  .presence = p->presence_penalty,
                                                                  .last_n = p->repeat_last_n},
                                     s->n_vocab, err);
        if (s->chain.stages[i] == NIB_STAGE_DRY)
            status =
                nib_dry_create(&s->dry,
                               &(struct nib_dry_params){.multiplier = p->dry_multiplier,
                                                        .base = p->dry_base,
                                                        .allowed_length = p->dry_allowed_length,
                                                        .last_n = p->dry_last_n,
                                                        .breakers = p->dry_breakers,
                                                        .n_breakers = p->n_dry_breakers},
                               s->n_vocab, err);
    }
    s->keeps_history = s->dry || nib_constraints_need_history(s->constraints);
    return status;
}

static enum nib_status allocate(struct nib_sampler *s, struct nib_error *err)
{
    const bool has_edits = s->constraints || s->penalties || s->dry;
    s->block_max = calloc(nib_row_blocks(s->n_vocab), sizeof(*s->block_max));
    if (has_edits)
        s->row = calloc(s->n_vocab, sizeof(*s->row));
    if (s->params.wants_report)
        s->reporter = nib_reporter_create(s->n_vocab);
    if (!s->block_max || (has_edits && !s->row) || (s->params.wants_report && !s->reporter))
        return nib_fail_memory(err, s->n_vocab * sizeof(*s->row), "the sampler");
    return s->params.temperature == 0 ? NIB_OK
                                      : nib_candidates_create(&s->candidates, s->n_vocab, err);
}

/* Leaves out what is off. */
static void fill_chain(struct nib_sampler *s, const struct nib_chain *wanted)
{
    for (size_t i = 0; i < wanted->n; i++)
        if (nib_sampler_uses_stage(s, wanted->stages[i]))
            s->chain.stages[s->chain.n++] = wanted->stages[i];
}

enum nib_status nib_sampler_create(struct nib_sampler **out,
                                   const struct nib_sampler_params *params, size_t n_vocab,
                                   struct nib_error *err)
{
    *out = NULL;
    struct nib_sampler_params defaults;
    struct nib_chain wanted;
    nib_sampler_params_init(&defaults);
    params = params ? params : &defaults;
    enum nib_status status = nib_sampler_check(params, n_vocab, err);
    if (status == NIB_OK)
        status = nib_chain_parse(&wanted, params->samplers, params->mirostat != 0, err);
    if (status != NIB_OK)
        return status;
    struct nib_sampler *s = calloc(1, sizeof(*s));
    if (!s)
        return nib_fail_memory(err, sizeof(*s), "the sampler");
    s->params = *params;
    s->n_vocab = n_vocab;
    s->n_tokens = params->n_tokens > 0 ? params->n_tokens : n_vocab;
    s->greedy_id = -1;
    nib_sampler_fill_values(s);
    fill_chain(s, &wanted);
    status = create_parts(s, params, err);
    if (status == NIB_OK)
        status = allocate(s, err);
    if (status != NIB_OK) {
        nib_sampler_free(s);
        return status;
    }
    nib_sampler_fill_description(s);
    *out = s;
    return NIB_OK;
}

void nib_sampler_free(struct nib_sampler *sampler)
{
    if (!sampler)
        return;
    nib_constraints_free(sampler->constraints);
    nib_penalties_free(sampler->penalties);
    nib_dry_free(sampler->dry);
    nib_candidates_free(&sampler->candidates);
    nib_history_free(&sampler->history);
    nib_reporter_free(sampler->reporter);
    free(sampler->row);
    free(sampler->block_max);
    free(sampler);
}

const char *nib_sampler_describe(const struct nib_sampler *sampler)
{
    return sampler->description;
}

/* ---- the past ------------------------------------------------------------------------------- */

/* Room in the history was made before. */
static void see(struct nib_sampler *s, int32_t id, bool is_output)
{
    if (s->penalties)
        nib_penalties_see(s->penalties, id, is_output);
    if (s->keeps_history)
        nib_history_add(&s->history, id);
}

enum nib_status nib_sampler_add_prompt(struct nib_sampler *sampler, const int32_t *ids,
                                       size_t n_ids, struct nib_error *err)
{
    for (size_t i = 0; i < n_ids; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= sampler->n_vocab)
            return nib_fail(
                err, NIB_ERROR_ARGUMENT,
                "id %d at place %zu of the prompt does not exist: the model has ids 0 to "
                "%zu; tokenize the text with this model",
                ids[i], i, sampler->n_vocab - 1);
    if (sampler->keeps_history && nib_history_reserve(&sampler->history, n_ids, err) != NIB_OK)
        return NIB_ERROR_MEMORY;
    for (size_t i = 0; i < n_ids; i++)
        see(sampler, ids[i], false);
    return NIB_OK;
}

/* ---- a row ---------------------------------------------------------------------------------- */

static enum nib_status edits_of(struct nib_sampler *s, size_t stage, struct nib_edits *out,
                                struct nib_error *err)
{
    if (stage == NIB_STAGE_PENALTIES) {
        *out = nib_penalties_edits(s->penalties);
        return NIB_OK;
    }
    const enum nib_status status = nib_dry_update(s->dry, &s->history, err);
    *out = nib_dry_edits(s->dry);
    return status;
}

static void constrain(struct nib_sampler *s)
{
    for (enum nib_constraint i = 0; i < NIB_CONSTRAINT_COUNT; i++) {
        const size_t value = nib_constraint_value(s->constraints, i);
        if (value == 0)
            continue;
        if (s->reporter)
            nib_reporter_save(s->reporter, s->row, s->n_vocab);
        nib_constraint_apply(s->constraints, i, &s->history, s->n_choices, s->row);
        if (s->reporter)
            nib_reporter_row(s->reporter, nib_constraint_name(i), (double)value, s->row,
                             s->n_tokens);
    }
}

static enum nib_status edit_row(struct nib_sampler *s, size_t stage, struct nib_error *err)
{
    struct nib_edits edits;
    const enum nib_status status = edits_of(s, stage, &edits, err);
    if (status != NIB_OK)
        return status;
    if (s->reporter)
        nib_reporter_save(s->reporter, s->row, s->n_vocab);
    nib_edit_row(&edits, s->row);
    if (s->reporter)
        nib_reporter_row(s->reporter, nib_stage_name(stage), 0, s->row, s->n_tokens);
    return NIB_OK;
}

/* Constraints and the stages that edit: all, or those before the first filter; *n_done is how many
 * of the chain were done. */
static enum nib_status prepare_row(struct nib_sampler *s, const float *logits, bool is_all,
                                   const float **out, size_t *n_done, struct nib_error *err)
{
    *out = logits;
    *n_done = 0;
    if (!s->row)
        return NIB_OK;
    memcpy(s->row, logits, s->n_vocab * sizeof(*logits));
    *out = s->row;
    constrain(s);
    for (size_t i = 0; i < s->chain.n; i++) {
        const size_t stage = s->chain.stages[i];
        if (stage >= NIB_FILTER_COUNT) {
            if (edit_row(s, stage, err) != NIB_OK)
                return NIB_ERROR_MEMORY;
        } else if (!is_all) {
            break;
        }
        *n_done = i + 1;
    }
    return NIB_OK;
}

/* ---- the candidates ------------------------------------------------------------------------- */

/* The first filter may say what need not be loaded: with top-k 40, nearly everything.  It is asked
 * through a temperature if only the order counts. */
static void load(struct nib_sampler *s, const struct nib_row *row, size_t first)
{
    double bound = -INFINITY;
    for (size_t i = first; i < s->chain.n; i++) {
        const size_t stage = s->chain.stages[i];
        if (stage >= NIB_FILTER_COUNT)
            break;
        const struct nib_filter_values *v = &s->values[stage];
        if (i == first || nib_filter_goes_by_order((enum nib_filter)stage))
            bound = nib_filter_bound((enum nib_filter)stage, v, row, &s->candidates);
        if (stage != NIB_FILTER_TEMPERATURE || v->range > 0)
            break;
    }
    nib_candidates_load(&s->candidates, row, bound);
}

static enum nib_status apply(struct nib_sampler *s, size_t stage, struct nib_error *err)
{
    if (stage >= NIB_FILTER_COUNT) {
        struct nib_edits edits;
        const enum nib_status status = edits_of(s, stage, &edits, err);
        if (status == NIB_OK)
            nib_edit_candidates(&edits, &s->candidates);
        return status;
    }
    struct nib_filter_values *v = &s->values[stage];
    if (nib_filter_is_random((enum nib_filter)stage))
        v->random = nib_random_uniform_at(s->params.seed, s->params.sequence, s->n_choices, 1);
    nib_filter_apply((enum nib_filter)stage, v, &s->candidates);
    return NIB_OK;
}

/* Mirostat moves its limit by how much the choice differed from the surprise it keeps to. */
static void learn(struct nib_sampler *s, size_t chosen)
{
    static const double ln2 = 0x1.62e42fefa39efp-1;
    const double p = s->candidates.weights[chosen] / nib_candidates_weigh(&s->candidates);
    const double surprise = -Sleef_cinz_logd1_u10purec(p) / ln2;
    s->values[NIB_FILTER_MIROSTAT].value -=
        (double)s->params.mirostat_eta * (surprise - (double)s->params.mirostat_tau);
}

static enum nib_status draw(struct nib_sampler *s, const struct nib_row *row, size_t first,
                            int32_t *id, struct nib_error *err)
{
    load(s, row, first);
    if (s->reporter)
        nib_reporter_start(s->reporter, row->logits, row->n);
    for (size_t i = first; i < s->chain.n; i++) {
        const size_t stage = s->chain.stages[i];
        if (s->reporter && stage >= NIB_FILTER_COUNT)
            nib_reporter_save_candidates(s->reporter, &s->candidates);
        const enum nib_status status = apply(s, stage, err);
        if (status != NIB_OK)
            return status;
        if (s->reporter)
            nib_reporter_stage(s->reporter, stage,
                               stage < NIB_FILTER_COUNT ? &s->values[stage] : NULL, &s->candidates,
                               row->logits, row->n);
    }
    const double u = nib_random_uniform(s->params.seed, s->params.sequence, s->n_choices);
    const size_t chosen = nib_candidates_draw(&s->candidates, u);
    *id = s->candidates.ids[chosen];
    if (s->params.mirostat)
        learn(s, chosen);
    if (s->reporter)
        nib_reporter_end(s->reporter, u);
    return NIB_OK;
}

enum nib_status nib_sampler_choose(struct nib_sampler *sampler, const float *logits,
                                   struct nib_choice *choice, struct nib_error *err)
{
    *choice = (struct nib_choice){0};
    const bool is_greedy = sampler->params.temperature == 0;
    struct nib_row row = {.n = sampler->n_tokens, .block_max = sampler->block_max};
    size_t first;
    int32_t id;
    if (sampler->reporter)
        nib_reporter_begin(sampler->reporter);
    if (sampler->keeps_history && nib_history_reserve(&sampler->history, 1, err) != NIB_OK)
        return NIB_ERROR_MEMORY;
    enum nib_status status = prepare_row(sampler, logits, is_greedy, &row.logits, &first, err);
    if (status == NIB_OK)
        status = nib_row_scan(&row, err);
    if (status != NIB_OK)
        return status;
    if (is_greedy) {
        id = row.best;
        if (sampler->reporter)
            nib_reporter_end(sampler->reporter, -1);
    } else {
        status = draw(sampler, &row, first, &id, err);
        if (status != NIB_OK)
            return status;
    }
    choice->id = id;
    sampler->greedy_id = is_greedy ? id : -1;
    if (sampler->params.wants_logprob) {
        const bool is_whole = row.logits == logits && row.n == sampler->n_vocab;
        const int32_t best = is_whole ? row.best : nib_argmax(logits, sampler->n_vocab);
        choice->logprob = nib_log_softmax(logits, sampler->n_vocab, best, id);
    }
    see(sampler, id, true);
    sampler->n_choices++;
    return NIB_OK;
}

/* ---- what was done -------------------------------------------------------------------------- */

const struct nib_sampler_report *nib_sampler_report(const struct nib_sampler *sampler)
{
    return sampler->reporter && sampler->reporter->is_filled ? &sampler->reporter->report : NULL;
}

double nib_sampler_probability(const struct nib_sampler *sampler, int32_t id)
{
    const struct nib_candidates *c = &sampler->candidates;
    if (sampler->n_choices == 0 || sampler->params.temperature == 0)
        return sampler->n_choices > 0 && id == sampler->greedy_id;
    for (size_t i = 0; i < c->n; i++)
        if (c->ids[i] == id)
            return c->weights[i] / nib_sum(c->weights, c->n);
    return 0;
}
