/*
 * Beam search with phrases that must be generated: what transformers 4 does with
 * `force_words_ids`, after Post and Vilar 2018, "Fast Lexically Constrained Decoding with Dynamic
 * Beam Allocation for Neural Machine Translation".
 *
 * Beside the best continuations, each beam is offered the ids that take its phrases a step further.
 * By the number of steps that are done, all fall into banks; beams are taken from the banks in
 * turns, so that some are always on their way to the phrases, however improbable these are.
 *
 * A phrase that is begun goes on or begins anew: the id that breaks it off begins nothing.
 *
 * Other than there, a prompt fulfils no phrase, ids that are banned are not offered, and all
 * alternatives that begin alike count as a step where they part, not the first alone.
 */
#include "beam.h"

/* ---- phrases --------------------------------------------------------------------------------- */

static enum nib_status check_ids(const struct nib_beam_run *r, size_t phrase,
                                 const struct nib_id_list *list)
{
    const struct nib_model_info *info = nib_model_info(r->model);
    if (list->n_ids == 0)
        return nib_fail(r->err, NIB_ERROR_ARGUMENT,
                        "phrase %zu of %zu to force has no ids; give some or leave it out",
                        phrase + 1, r->p.n_phrases);
    for (size_t i = 0; i < list->n_ids; i++) {
        const int32_t id = list->ids[i];
        if (id < 0 || (size_t)id >= r->n_vocab)
            return nib_fail(r->err, NIB_ERROR_ARGUMENT,
                            "phrase %zu of %zu to force has id %d; this model has ids 0 to %zu",
                            phrase + 1, r->p.n_phrases, id, r->n_vocab - 1);
        if (!r->p.ignores_end && nib_token_is_end(r->model, id))
            return nib_fail(r->err, NIB_ERROR_ARGUMENT,
                            "phrase %zu of %zu to force has id %d, which ends an answer; leave "
                            "that id out",
                            phrase + 1, r->p.n_phrases, id);
        if (nib_beam_is_in(info->bad_ids, info->n_bad_ids, id) ||
            nib_beam_is_in(r->p.bad_ids, r->p.n_bad_ids, id))
            return nib_fail(r->err, NIB_ERROR_ARGUMENT,
                            "phrase %zu of %zu to force has id %d, which is banned; give up one of "
                            "the two",
                            phrase + 1, r->p.n_phrases, id);
    }
    return NIB_OK;
}

static bool begins_with(const struct nib_id_list *a, const struct nib_id_list *b)
{
    return a->n_ids >= b->n_ids && memcmp(a->ids, b->ids, b->n_ids * sizeof(*b->ids)) == 0;
}

static enum nib_status check_phrase(const struct nib_beam_run *r, size_t number)
{
    const struct nib_beam_phrase *phrase = &r->p.phrases[number];
    enum nib_status status = NIB_OK;
    if (phrase->n_alternatives == 0)
        return check_ids(r, number, &(struct nib_id_list){0});
    for (size_t i = 0; i < phrase->n_alternatives && status == NIB_OK; i++)
        status = check_ids(r, number, &phrase->alternatives[i]);
    for (size_t i = 0; i < phrase->n_alternatives && status == NIB_OK; i++)
        for (size_t j = 0; j < phrase->n_alternatives && status == NIB_OK; j++)
            if (i != j && begins_with(&phrase->alternatives[i], &phrase->alternatives[j]))
                status = nib_fail(r->err, NIB_ERROR_ARGUMENT,
                                  "phrase %zu of %zu to force has an alternative that begins with "
                                  "another, which is enough; leave the longer one out",
                                  number + 1, r->p.n_phrases);
    return status;
}

static size_t longest_of(const struct nib_beam_phrase *phrase)
{
    size_t n = 0;
    for (size_t i = 0; i < phrase->n_alternatives; i++)
        n = phrase->alternatives[i].n_ids > n ? phrase->alternatives[i].n_ids : n;
    return n;
}

static size_t shortest_of(const struct nib_beam_phrase *phrase)
{
    size_t n = SIZE_MAX;
    for (size_t i = 0; i < phrase->n_alternatives; i++)
        n = phrase->alternatives[i].n_ids < n ? phrase->alternatives[i].n_ids : n;
    return phrase->n_alternatives > 0 ? n : 0;
}

size_t nib_beam_least_new(const struct nib_model *model, const struct nib_beam_params *params)
{
    const bool is_ended_by_force =
        nib_model_info(model)->forced_eos_id >= 0 && !params->ignores_end;
    size_t n = params->n_phrases > 0 && is_ended_by_force ? 1 : 0;
    for (size_t i = 0; i < params->n_phrases; i++)
        n += shortest_of(&params->phrases[i]);
    return n;
}

enum nib_status nib_beam_check_phrases(struct nib_beam_run *r)
{
    const size_t n_least = nib_beam_least_new(r->model, &r->p);
    if (r->p.n_phrases == 0)
        return NIB_OK;
    if (r->p.n_phrases > NIB_MAX_PHRASES)
        return nib_fail(r->err, NIB_ERROR_ARGUMENT, "%zu phrases to force; use at most %d",
                        r->p.n_phrases, NIB_MAX_PHRASES);
    if (r->p.rule != NIB_BEAMS_HF || r->p.n_groups > 1)
        return nib_fail(r->err, NIB_ERROR_ARGUMENT,
                        "phrases are forced by the rule of transformers and without groups alone; "
                        "leave the other rule, the groups or the phrases out");
    for (size_t i = 0; i < r->p.n_phrases; i++) {
        const enum nib_status status = check_phrase(r, i);
        if (status != NIB_OK)
            return status;
        const size_t longest = longest_of(&r->p.phrases[i]);
        r->longest_phrase = longest > r->longest_phrase ? longest : r->longest_phrase;
        r->n_alternatives += r->p.phrases[i].n_alternatives;
    }
    for (size_t i = 0; i < r->n_inputs; i++)
        if (n_least > nib_beam_max_new(r, i))
            return nib_fail(r->err, NIB_ERROR_ARGUMENT,
                            "the phrases to force need %zu new ids, and input %zu gets at most "
                            "%zu; allow more or force less",
                            n_least, i, nib_beam_max_new(r, i));
    return NIB_OK;
}

/* ---- how far a beam is ----------------------------------------------------------------------- */

void nib_beam_progress_begin(const struct nib_beam_run *r, struct nib_beam_progress *p)
{
    *p = (struct nib_beam_progress){.n_pending = (uint8_t)r->p.n_phrases};
    for (uint8_t i = 0; i < p->n_pending; i++)
        p->pending[i] = i;
}

/* The id that an alternative goes on with from what is matched; -1: it begins otherwise. */
static int32_t next_id(const struct nib_beam_run *r, const struct nib_beam_progress *p,
                       uint8_t phrase, size_t alternative)
{
    const struct nib_id_list *all = r->p.phrases[phrase].alternatives;
    const struct nib_id_list *a = &all[alternative];
    if (a->n_ids <= p->n_matched ||
        memcmp(a->ids, all[p->alternative].ids, p->n_matched * sizeof(*a->ids)) != 0)
        return -1;
    return a->ids[p->n_matched];
}

/* Does `id` take the phrase further? */
static bool step(const struct nib_beam_run *r, struct nib_beam_progress *p, uint8_t phrase,
                 int32_t id)
{
    size_t i = 0;
    while (i < r->p.phrases[phrase].n_alternatives && next_id(r, p, phrase, i) != id)
        i++;
    if (i == r->p.phrases[phrase].n_alternatives)
        return false;
    p->begun = phrase;
    p->alternative = (uint32_t)i;
    p->n_matched++;
    if (p->n_matched == r->p.phrases[phrase].alternatives[i].n_ids) {
        p->n_done++;
        p->n_matched = p->alternative = 0;
    }
    return true;
}

void nib_beam_progress_add(const struct nib_beam_run *r, struct nib_beam_progress *p, int32_t id)
{
    if (p->n_matched > 0) {
        if (!step(r, p, p->begun, id)) {
            p->pending[p->n_pending++] = p->begun;
            p->n_matched = p->alternative = 0;
        }
        return;
    }
    for (uint8_t i = 0; i < p->n_pending; i++)
        if (step(r, p, p->pending[i], id)) {
            p->n_pending--;
            memmove(p->pending + i, p->pending + i + 1, p->n_pending - i);
            return;
        }
}

static bool is_whole(const struct nib_beam_run *r, const struct nib_beam_progress *p)
{
    return p->n_done == r->p.n_phrases;
}

/* A phrase counts as much as the longest one; of one that is begun what is missing does not. */
static size_t bank_of(const struct nib_beam_run *r, const struct nib_beam_progress *p)
{
    const size_t n_done = p->n_done * r->longest_phrase;
    if (p->n_matched == 0)
        return n_done;
    return n_done + r->longest_phrase - longest_of(&r->p.phrases[p->begun]) + p->n_matched;
}

/* ---- choosing -------------------------------------------------------------------------------- */

/* The next ids of one phrase behind one beam, unless they are among the n candidates. */
static size_t add_steps(struct nib_beam_run *r, size_t input, size_t beam,
                        const struct nib_top *top, uint8_t phrase, size_t n)
{
    const struct nib_beam_progress *p = &r->searches[input].beams[beam].progress;
    for (size_t i = 0; i < r->p.phrases[phrase].n_alternatives; i++) {
        const int32_t id = next_id(r, p, phrase, i);
        size_t j = 0;
        while (j < n && (r->candidates[j].beam != beam || r->candidates[j].id != id))
            j++;
        if (id >= 0 && j == n && nib_beam_candidate(r, input, beam, top, id, &r->candidates[n]))
            n++;
    }
    return n;
}

static size_t add_all_steps(struct nib_beam_run *r, size_t input, struct nib_top *const *tops,
                            size_t n)
{
    const struct nib_search *s = &r->searches[input];
    for (size_t beam = 0; beam < s->n_beams; beam++) {
        const struct nib_beam_progress *p = &s->beams[beam].progress;
        if (p->n_matched > 0)
            n = add_steps(r, input, beam, tops[beam], p->begun, n);
        else
            for (uint8_t i = 0; i < p->n_pending; i++)
                n = add_steps(r, input, beam, tops[beam], p->pending[i], n);
    }
    return n;
}

/* By banks, best first, and within them by sum.  A bank weighs 100 as there, so that a beam more
 * improbable than exp(-100) times another falls behind. */
static void sort_by_bank(struct nib_beam_run *r, const struct nib_search *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct nib_beam_candidate *c = &r->candidates[i];
        struct nib_beam_progress p = s->beams[c->beam].progress;
        nib_beam_progress_add(r, &p, c->id);
        c->bank = bank_of(r, &p);
        c->rank = 100.0 * (double)c->bank + c->sum;
    }
    nib_beam_sort(r->candidates, n);
}

/* The best of each bank, then the second of each, until there are n_beams. */
static size_t take_turns(const struct nib_beam_run *r, size_t n,
                         const struct nib_beam_candidate *chosen[NIB_MAX_BEAMS])
{
    const struct nib_beam_candidate *c = r->candidates;
    size_t n_chosen = 0;
    for (size_t turn = 0; n_chosen < n && n_chosen < r->p.n_beams; turn++)
        for (size_t i = 0, at = 0; i < n && n_chosen < r->p.n_beams; i++) {
            at = i > 0 && c[i].bank == c[i - 1].bank ? at + 1 : 0;
            if (at == turn)
                chosen[n_chosen++] = &c[i];
        }
    return n_chosen;
}

/* At the maximum length: those with all phrases, and if these are too few, the others. */
static void end_all(const struct nib_beam_run *r, struct nib_search *s, size_t n,
                    const struct nib_beam_candidate *const chosen[NIB_MAX_BEAMS])
{
    const size_t all = r->p.n_phrases * r->longest_phrase;
    size_t n_whole = 0;
    if (r->p.early_stopping == NIB_STOP_AT_ONCE && s->n_ended == r->p.n_beams)
        return;
    for (size_t i = 0; i < n; i++)
        if (chosen[i]->bank == all) {
            nib_beam_add_ended(r, s, &s->beams[chosen[i]->beam], chosen[i], 0);
            n_whole++;
        }
    for (size_t i = 0; i < n && n_whole < r->p.n_best; i++)
        if (chosen[i]->bank != all)
            nib_beam_add_ended(r, s, &s->beams[chosen[i]->beam], chosen[i], 0);
}

void nib_beam_select_forced(struct nib_beam_run *r, struct nib_search *s, size_t input,
                            struct nib_top *const *tops, size_t n_candidates, size_t *n_next)
{
    const struct nib_beam_candidate *chosen[NIB_MAX_BEAMS];
    struct nib_beam_candidate *c = r->candidates;
    const bool must_end = nib_beam_must_end(r, s, &s->beams[0]);
    size_t n = 0; /* those that do not end, at the front */
    nib_beam_sort(c, n_candidates);
    s->best_sum = n_candidates > 0 ? c[0].sum : -INFINITY;
    for (size_t i = 0; i < n_candidates && i < r->n_wanted && n < r->p.n_beams; i++) {
        const struct nib_beam *from = &s->beams[c[i].beam];
        if (!c[i].is_end || must_end)
            c[n++] = c[i];
        else if (i < r->p.n_beams && is_whole(r, &from->progress))
            nib_beam_add_ended(r, s, from, &c[i], 0);
    }
    if (!must_end)
        n = add_all_steps(r, input, tops, n);
    sort_by_bank(r, s, n);
    n = take_turns(r, n, chosen);
    if (s->beams[0].n + 1 == s->max_new) {
        end_all(r, s, n, chosen);
        return;
    }
    for (size_t i = 0; i < n; i++)
        nib_beam_grow(r, &s->next[(*n_next)++], &s->beams[chosen[i]->beam], chosen[i]);
}
