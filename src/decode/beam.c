/*
 * Beam search: all inputs step together, every beam a sequence of the context; beams with one past
 * share the blocks of it.
 *
 * Candidates of a beam are its most probable ids after bans and penalties.  By transformers' rule
 * the best (1 + end ids) n_beams of all are taken by sum; those among the first n_beams that end go
 * to the list of ended ones, the best n_beams that do not end run on.  By the textbook ended beams
 * stay in the pool.  Ties go to the earlier beam, then to the lower id.  What the model forces at
 * the maximum length costs nothing.
 */
#include "beam.h"

#include <stdlib.h>

enum { MAX_NEW = 1 << 20 };

void nib_beam_params_init(struct nib_beam_params *params)
{
    *params = (struct nib_beam_params){.n_beams = 4,
                                       .n_best = 1,
                                       .max_new = 128,
                                       .length_penalty = 1,
                                       .repeat_penalty = 1,
                                       .n_groups = 1};
}

static enum nib_status check_params(const struct nib_beam_params *p, struct nib_error *err)
{
    if (p->n_beams < 1 || p->n_beams > NIB_MAX_BEAMS)
        return nib_fail(err, NIB_ERROR_ARGUMENT, "%u beams; use 1 to %d", p->n_beams,
                        NIB_MAX_BEAMS);
    if (p->n_best < 1 || p->n_best > p->n_beams)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "the %u best of %u beams; ask for 1 up to the number of beams", p->n_best,
                        p->n_beams);
    if (p->max_new < 1 || p->max_new > MAX_NEW)
        return nib_fail(err, NIB_ERROR_ARGUMENT, "at most %u new ids; use 1 to %d", p->max_new,
                        MAX_NEW);
    if (!isfinite(p->length_penalty))
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "length_penalty is %g; it must be a number, usually 0 to 2",
                        p->length_penalty);
    if (!(p->repeat_penalty > 0 && p->repeat_penalty < INFINITY))
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "repeat_penalty is %g; it must be a positive number, where 1 changes "
                        "nothing",
                        p->repeat_penalty);
    if (p->n_groups < 1 || p->n_beams % p->n_groups != 0)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "%u groups of %u beams; the number of groups must divide that of beams",
                        p->n_groups, p->n_beams);
    if (!(p->diversity_penalty >= 0 && p->diversity_penalty < INFINITY))
        return nib_fail(err, NIB_ERROR_ARGUMENT, "diversity_penalty is %g; it must be 0 or more",
                        p->diversity_penalty);
    if (p->rule == NIB_BEAMS_TEXTBOOK && p->n_groups > 1)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "groups of beams are searched by the rule of transformers alone");
    return NIB_OK;
}

static enum nib_status check_inputs(const struct nib_beam_run *r, struct nib_error *err)
{
    const struct nib_context_info *info = nib_context_info(r->context);
    const uint64_t n = (uint64_t)r->n_inputs * r->p.n_beams;
    if (r->n_inputs == 0)
        return nib_fail(err, NIB_ERROR_ARGUMENT, "no input to continue; give at least one");
    if (n > info->n_sequences || n > info->n_logits)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "%zu inputs with %u beams need %llu sequences and logits, the context has "
                        "%u and %u",
                        r->n_inputs, r->p.n_beams, (unsigned long long)n, info->n_sequences,
                        info->n_logits);
    for (size_t i = 0; i < r->n_inputs; i++) {
        if (r->inputs[i].n_prefix == 0)
            return nib_fail(err, NIB_ERROR_ARGUMENT,
                            "input %zu has no id to begin with; give a prompt or the start id", i);
        const size_t max_new = nib_beam_max_new(r, i);
        if (max_new > MAX_NEW)
            return nib_fail(err, NIB_ERROR_ARGUMENT,
                            "at most %zu new ids for input %zu; use 1 to %d", max_new, i, MAX_NEW);
        if (r->inputs[i].n_prefix + max_new > (size_t)info->n_ctx + 1)
            return nib_fail(err, NIB_ERROR_CONTEXT,
                            "%zu ids and %zu new ones do not fit into the context of %u; use a "
                            "larger one (-c) or fewer",
                            r->inputs[i].n_prefix, max_new, info->n_ctx);
    }
    return NIB_OK;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void free_beams(struct nib_beam *beams, size_t n)
{
    for (size_t i = 0; beams && i < n; i++)
        free(beams[i].ids);
    free(beams);
}

static struct nib_beam *make_beams(size_t n, size_t n_ids)
{
    struct nib_beam *beams = calloc(n, sizeof(*beams));
    bool is_complete = beams != NULL;
    for (size_t i = 0; i < n && is_complete; i++)
        is_complete = (beams[i].ids = malloc(n_ids * sizeof(int32_t))) != NULL;
    if (is_complete)
        return beams;
    free_beams(beams, n);
    return NULL;
}

static void free_run(struct nib_beam_run *r)
{
    for (size_t i = 0; r->searches && i < r->n_inputs; i++) {
        free_beams(r->searches[i].beams, r->p.n_beams);
        free_beams(r->searches[i].next, r->p.n_beams);
        free_beams(r->searches[i].ended, r->p.n_beams);
    }
    free(r->searches);
    free(r->candidates);
    free(r->tops);
    free(r->top_ids);
    free(r->taken);
    free(r->shown);
    free(r->ids);
    free(r->sequences);
}

static enum nib_status allocate(struct nib_beam_run *r)
{
    const size_t k = r->p.n_beams;
    r->searches = calloc(r->n_inputs, sizeof(*r->searches));
    r->candidates = malloc((k * r->n_wanted + k + k * r->n_alternatives) * sizeof(*r->candidates));
    r->tops = malloc(r->n_inputs * k * sizeof(*r->tops));
    r->taken = malloc(k * sizeof(*r->taken));
    r->shown = malloc(2 * k * sizeof(*r->shown));
    r->ids = malloc(r->n_inputs * k * sizeof(*r->ids));
    r->sequences = malloc(r->n_inputs * k * sizeof(*r->sequences));
    bool is_complete =
        r->searches && r->candidates && r->tops && r->taken && r->shown && r->ids && r->sequences;
    uint64_t n_ids = 0;
    for (size_t i = 0; i < r->n_inputs && is_complete; i++) {
        struct nib_search *s = &r->searches[i];
        s->max_new = nib_beam_max_new(r, i);
        n_ids += s->max_new;
        s->beams = make_beams(k, s->max_new);
        s->next = make_beams(k, s->max_new);
        s->ended = make_beams(k, s->max_new);
        is_complete = s->beams && s->next && s->ended;
    }
    return is_complete ? NIB_OK
                       : nib_fail_memory(r->err, n_ids * k * 3 * sizeof(int32_t), "a beam search");
}

/* The model's end ids: those that end an answer. */
static void find_ends(struct nib_beam_run *r)
{
    const int32_t n = (int32_t)r->n_vocab;
    for (int32_t id = 0; id < n && r->n_ends < NIB_MAX_ENDS && !r->p.ignores_end; id++)
        if (nib_token_is_end(r->model, id))
            r->ends[r->n_ends++] = id;
}

static struct nib_hypothesis hypothesis_of(const struct nib_beam_run *r, const struct nib_beam *b,
                                           const int32_t *ids)
{
    return (struct nib_hypothesis){.ids = ids,
                                   .n_ids = b->n,
                                   .sum = b->sum,
                                   .score = nib_beam_score(r, b->sum, b->n),
                                   .is_ended = b->is_ended,
                                   .has_phrases = b->progress.n_done == r->p.n_phrases};
}

static void show(const struct nib_beam_run *r, size_t input, size_t number)
{
    const struct nib_search *s = &r->searches[input];
    if (!r->p.on_step)
        return;
    for (size_t i = 0; i < s->n_beams + s->n_ended; i++) {
        const struct nib_beam *b = i < s->n_beams ? &s->beams[i] : &s->ended[i - s->n_beams];
        r->shown[i] = hypothesis_of(r, b, b->ids);
    }
    r->p.on_step(r->p.data, input, number, r->shown, s->n_beams + s->n_ended);
}

/* ---- the search ------------------------------------------------------------------------------ */

/* The first beam of every input is its prefix. */
static enum nib_status begin(struct nib_beam_run *r)
{
    size_t n = 0;
    enum nib_status status = NIB_OK;
    const bool has_encoder = nib_model_info(r->model)->has_encoder;
    for (size_t i = 0; i < r->n_inputs && status == NIB_OK; i++) {
        const uint32_t first = (uint32_t)(i * r->p.n_beams);
        for (uint32_t j = 0; j < r->p.n_beams; j++)
            nib_sequence_truncate(r->context, first + j, 0);
        if (has_encoder)
            status = nib_sequence_set_source(r->context, first, (uint32_t)i, r->err);
        r->searches[i].n_beams = 1;
        r->searches[i].beams[0].sequence = first;
        nib_beam_progress_begin(r, &r->searches[i].beams[0].progress);
        n += r->inputs[i].n_prefix;
    }
    if (status != NIB_OK)
        return status;
    int32_t *ids = malloc(n * sizeof(*ids));
    uint32_t *sequences = malloc(n * sizeof(*sequences));
    size_t at = 0;
    for (size_t i = 0; i < r->n_inputs && ids && sequences; i++)
        for (size_t j = 0; j < r->inputs[i].n_prefix; j++, at++) {
            ids[at] = r->inputs[i].prefix[j];
            sequences[at] = (uint32_t)(i * r->p.n_beams);
        }
    status =
        ids && sequences
            ? nib_evaluate_part(r->context, &(struct nib_batch){n, ids, sequences, NULL}, r->err)
            : nib_fail_memory(r->err, n * (sizeof(*ids) + sizeof(*sequences)), "a batch");
    free(ids);
    free(sequences);
    return status;
}

static enum nib_status evaluate(struct nib_beam_run *r)
{
    struct nib_batch batch = {.ids = r->ids, .sequences = r->sequences};
    for (size_t i = 0; i < r->n_inputs; i++)
        for (size_t j = 0; !r->searches[i].is_done && j < r->searches[i].n_beams; j++) {
            const struct nib_beam *b = &r->searches[i].beams[j];
            if (b->is_ended)
                continue;
            r->ids[batch.n_tokens] = b->ids[b->n - 1];
            r->sequences[batch.n_tokens++] = b->sequence;
        }
    return nib_evaluate_part(r->context, &batch, r->err);
}

static enum nib_status search_all(struct nib_beam_run *r)
{
    enum nib_status status = begin(r);
    for (size_t number = 0; status == NIB_OK; number++) {
        size_t row = 0;
        bool is_running = false;
        status = nib_beam_look(r);
        for (size_t i = 0; i < r->n_inputs && status == NIB_OK; i++) {
            if (r->searches[i].is_done)
                continue;
            status = nib_beam_step(r, i, &row);
            show(r, i, number);
            is_running |= !r->searches[i].is_done;
        }
        if (!is_running || status != NIB_OK)
            break;
        status = evaluate(r);
    }
    return status;
}

static int compare_hypotheses(const void *a, const void *b)
{
    const struct nib_hypothesis *x = a, *y = b;
    return (x->score < y->score) - (x->score > y->score);
}

/* The best of those that have ended; by the textbook, of all. */
static enum nib_status give_best(const struct nib_beam_run *r, const struct nib_search *s,
                                 struct nib_beam_output *out)
{
    const bool is_hf = r->p.rule == NIB_BEAMS_HF;
    const struct nib_beam *beams = is_hf ? s->ended : s->beams;
    const size_t n_all = is_hf ? s->n_ended : s->n_beams;
    size_t n_ids = 0;
    for (size_t i = 0; i < n_all; i++)
        n_ids += beams[i].n;
    const size_t n_bytes = n_all * sizeof(*out->best) + n_ids * sizeof(int32_t);
    out->best = malloc(n_bytes + 1);
    if (!out->best)
        return nib_fail_memory(r->err, n_bytes, "the result of a beam search");
    int32_t *ids = (int32_t *)(void *)(out->best + n_all);
    for (size_t i = 0; i < n_all; i++) {
        memcpy(ids, beams[i].ids, beams[i].n * sizeof(*ids));
        out->best[i] = hypothesis_of(r, &beams[i], ids);
        ids += beams[i].n;
    }
    if (!is_hf)
        qsort(out->best, n_all, sizeof(*out->best), compare_hypotheses);
    out->n_best = n_all < r->p.n_best ? n_all : r->p.n_best;
    return NIB_OK;
}

enum nib_status nib_beam_search(struct nib_context *context, const struct nib_model *model,
                                const struct nib_beam_params *params,
                                const struct nib_beam_input *inputs, size_t n_inputs,
                                struct nib_beam_output *out, struct nib_error *err)
{
    struct nib_beam_run r = {.context = context,
                             .model = model,
                             .inputs = inputs,
                             .n_inputs = n_inputs,
                             .n_vocab = nib_model_info(model)->n_tokens,
                             .err = err};
    nib_beam_params_init(&r.p);
    if (params)
        r.p = *params;
    memset(out, 0, n_inputs * sizeof(*out));
    enum nib_status status = check_params(&r.p, err);
    if (status == NIB_OK)
        status = check_inputs(&r, err);
    if (status == NIB_OK)
        status = nib_beam_check_phrases(&r);
    if (status != NIB_OK)
        return status;
    nib_evaluation_begin(context);
    find_ends(&r);
    r.n_wanted = (1 + (r.n_ends > 1 ? r.n_ends : 1)) * r.p.n_beams;
    status = allocate(&r);
    if (status == NIB_OK)
        status = search_all(&r);
    for (size_t i = 0; i < n_inputs && status == NIB_OK; i++)
        status = give_best(&r, &r.searches[i], &out[i]);
    if (status != NIB_OK)
        nib_beam_outputs_free(out, n_inputs);
    free_run(&r);
    return status;
}

void nib_beam_outputs_free(struct nib_beam_output *outputs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(outputs[i].best);
        outputs[i] = (struct nib_beam_output){0};
    }
}
