/* One step of a beam search: which continuations run on, and which have ended. */
#include "beam.h"

#include <stdlib.h>

static int compare_candidates(const void *a, const void *b)
{
    const struct nib_beam_candidate *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank > y->rank ? -1 : 1;
    if (x->beam != y->beam)
        return x->beam < y->beam ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

void nib_beam_sort(struct nib_beam_candidate *candidates, size_t n)
{
    qsort(candidates, n, sizeof(*candidates), compare_candidates);
}

static void copy_beam(struct nib_beam *to, const struct nib_beam *from)
{
    int32_t *ids = to->ids;
    memcpy(ids, from->ids, from->n * sizeof(*ids));
    *to = *from;
    to->ids = ids;
}

static void append(struct nib_beam *b, const struct nib_beam_candidate *c)
{
    b->ids[b->n++] = c->id;
    b->sum = c->sum;
    b->is_ended = c->is_end;
}

void nib_beam_grow(const struct nib_beam_run *r, struct nib_beam *to, const struct nib_beam *from,
                   const struct nib_beam_candidate *c)
{
    copy_beam(to, from);
    append(to, c);
    nib_beam_progress_add(r, &to->progress, c->id);
}

/* Those of the group, and where the worst of them is. */
static size_t count_ended(const struct nib_search *s, uint32_t group, size_t *worst)
{
    size_t n = 0;
    *worst = 0;
    for (size_t i = 0; i < s->n_ended; i++)
        if (s->ended[i].group == group) {
            n++;
            *worst = i;
        }
    return n;
}

void nib_beam_add_ended(const struct nib_beam_run *r, struct nib_search *s,
                        const struct nib_beam *from, const struct nib_beam_candidate *c,
                        uint32_t group)
{
    const double score =
        c ? nib_beam_score(r, c->sum, from->n + 1) : nib_beam_score(r, from->sum, from->n);
    size_t worst;
    if (count_ended(s, group, &worst) < r->p.n_beams / r->p.n_groups)
        worst = s->n_ended++;
    else if (!(nib_beam_score(r, s->ended[worst].sum, s->ended[worst].n) < score))
        return;
    const struct nib_beam place = s->ended[worst]; /* its memory */
    size_t at = 0;
    while (at < worst && nib_beam_score(r, s->ended[at].sum, s->ended[at].n) >= score)
        at++;
    memmove(s->ended + at + 1, s->ended + at, (worst - at) * sizeof(*s->ended));
    s->ended[at] = place;
    if (c)
        nib_beam_grow(r, &s->ended[at], from, c);
    else
        copy_beam(&s->ended[at], from);
    s->ended[at].group = group;
}

/* Could a beam that has `best` after n ids still become one of its group's ended ones? */
static bool is_settled(const struct nib_beam_run *r, const struct nib_search *s, uint32_t group,
                       double best, size_t n)
{
    size_t worst;
    if (count_ended(s, group, &worst) < r->p.n_beams / r->p.n_groups)
        return false;
    if (r->p.early_stopping == NIB_STOP_AT_ONCE)
        return true;
    const bool could_grow = r->p.early_stopping == NIB_STOP_NEVER && r->p.length_penalty > 0;
    return nib_beam_score(r, best, could_grow ? s->max_new : n) <=
           nib_beam_score(r, s->ended[worst].sum, s->ended[worst].n);
}

/* The beams of a group, from its candidates by sum. */
static void select_running(struct nib_beam_run *r, struct nib_search *s, size_t n_candidates,
                           size_t *n_next)
{
    const bool is_last = s->beams[0].n + 1 == s->max_new;
    nib_beam_sort(r->candidates, n_candidates);
    for (size_t i = 0; i < n_candidates && i < r->n_wanted; i++) {
        const struct nib_beam_candidate *c = &r->candidates[i];
        const struct nib_beam *from = &s->beams[c->beam];
        if (c->is_end || is_last) {
            if (i < r->p.n_beams)
                nib_beam_add_ended(r, s, from, c, 0);
        } else if (*n_next < r->p.n_beams) {
            nib_beam_grow(r, &s->next[(*n_next)++], from, c);
        }
    }
}

/* A group has a list of ended ones for itself, and runs no more once that is settled; at the
 * maximum length those that run join it. */
static void select_of_group(struct nib_beam_run *r, struct nib_search *s, size_t n_candidates,
                            uint32_t group, size_t *n_next)
{
    const size_t size = r->p.n_beams / r->p.n_groups, begin = *n_next;
    const bool is_last = s->beams[0].n + 1 == s->max_new;
    nib_beam_sort(r->candidates, n_candidates);
    for (size_t i = 0; i < n_candidates && i < r->n_wanted / r->p.n_groups; i++) {
        const struct nib_beam_candidate *c = &r->candidates[i];
        const struct nib_beam *from = &s->beams[c->beam];
        if (c->is_end) {
            if (i < size)
                nib_beam_add_ended(r, s, from, c, group);
        } else if (*n_next < begin + size) {
            struct nib_beam *to = &s->next[(*n_next)++];
            nib_beam_grow(r, to, from, c);
            to->group = group;
            r->taken[r->n_taken++] = (uint32_t)c->id;
        }
    }
    const bool is_over =
        n_candidates > 0 && is_settled(r, s, group, r->candidates[0].sum, s->beams[0].n + 1);
    for (size_t i = begin; i < *n_next && is_last && !is_over; i++)
        nib_beam_add_ended(r, s, &s->next[i], NULL, group);
    if (is_over || is_last)
        *n_next = begin;
}

static void select_textbook(struct nib_beam_run *r, struct nib_search *s, size_t n_candidates,
                            size_t *n_next)
{
    for (size_t i = 0; i < s->n_beams; i++)
        if (s->beams[i].is_ended)
            r->candidates[n_candidates++] = (struct nib_beam_candidate){
                .sum = s->beams[i].sum,
                .rank = nib_beam_score(r, s->beams[i].sum, s->beams[i].n),
                .beam = (uint32_t)i,
                .id = -1};
    nib_beam_sort(r->candidates, n_candidates);
    for (size_t i = 0; i < n_candidates && i < r->p.n_beams; i++) {
        const struct nib_beam_candidate *c = &r->candidates[i];
        copy_beam(&s->next[*n_next], &s->beams[c->beam]);
        if (c->id >= 0)
            append(&s->next[*n_next], c);
        ++*n_next;
    }
}

/* Every new beam gets a sequence with its past: the first child its parent's, the others copies in
 * sequences that are free. */
static enum nib_status give_sequences(struct nib_beam_run *r, struct nib_search *s, uint32_t first,
                                      size_t n_next)
{
    bool is_used[NIB_MAX_BEAMS] = {false};
    bool is_placed[NIB_MAX_BEAMS] = {false};
    enum nib_status status = NIB_OK;
    for (size_t i = 0; i < n_next; i++) {
        const uint32_t own = s->next[i].sequence - first;
        is_placed[i] = !is_used[own];
        is_used[own] = true;
    }
    uint32_t free_one = 0;
    for (size_t i = 0; i < n_next && status == NIB_OK; i++) {
        if (is_placed[i])
            continue;
        while (is_used[free_one])
            free_one++;
        is_used[free_one] = true;
        status = nib_sequence_fork(r->context, s->next[i].sequence, first + free_one, r->err);
        s->next[i].sequence = first + free_one;
    }
    return status;
}

static bool is_finished(const struct nib_beam_run *r, const struct nib_search *s)
{
    if (s->n_beams == 0)
        return true;
    const size_t n = s->beams[0].n;
    if (r->p.rule == NIB_BEAMS_TEXTBOOK) {
        bool all_ended = true;
        size_t longest = 0;
        for (size_t i = 0; i < s->n_beams; i++) {
            all_ended &= s->beams[i].is_ended;
            longest = s->beams[i].n > longest ? s->beams[i].n : longest;
        }
        return all_ended || longest == s->max_new;
    }
    if (r->p.n_groups > 1)
        return false;
    double best = s->beams[0].sum;
    for (size_t i = 1; i < s->n_beams; i++)
        best = s->beams[i].sum > best ? s->beams[i].sum : best;
    if (r->p.n_phrases > 0)
        best = s->best_sum;
    return is_settled(r, s, 0, best, n);
}

/* No id may follow any beam, and none has ended: what they have is what is found. */
static void end_here(const struct nib_beam_run *r, struct nib_search *s)
{
    const bool is_empty = s->beams[0].n == 0;
    for (size_t i = 0; i < s->n_beams && r->p.rule == NIB_BEAMS_HF && !is_empty; i++)
        nib_beam_add_ended(r, s, &s->beams[i], NULL, s->beams[i].group);
    if (r->p.rule == NIB_BEAMS_HF || is_empty)
        s->n_beams = 0;
    s->is_done = true;
}

enum nib_status nib_beam_step(struct nib_beam_run *r, size_t input, size_t *row)
{
    struct nib_search *s = &r->searches[input];
    struct nib_top *tops[NIB_MAX_BEAMS] = {NULL};
    const bool is_first = s->beams[0].n == 0; /* one beam, from which every group begins */
    size_t n_next = 0;
    for (size_t i = 0; i < s->n_beams; i++)
        if (!s->beams[i].is_ended)
            tops[i] = &r->tops[(*row)++];
    r->n_taken = 0;
    for (uint32_t group = 0; group < r->p.n_groups; group++) {
        size_t n_candidates = 0;
        for (size_t i = 0; i < s->n_beams; i++)
            if (tops[i] && (is_first || s->beams[i].group == group))
                nib_beam_extend(r, s, input, i, tops[i], &n_candidates);
        if (r->p.n_phrases > 0)
            nib_beam_select_forced(r, s, input, tops, n_candidates, &n_next);
        else if (r->p.n_groups > 1)
            select_of_group(r, s, n_candidates, group, &n_next);
        else if (r->p.rule == NIB_BEAMS_HF)
            select_running(r, s, n_candidates, &n_next);
        else
            select_textbook(r, s, n_candidates, &n_next);
    }
    if (n_next == 0 && !s->n_ended) {
        end_here(r, s);
        return NIB_OK;
    }
    const enum nib_status status = give_sequences(r, s, (uint32_t)(input * r->p.n_beams), n_next);
    struct nib_beam *beams = s->beams;
    s->beams = s->next;
    s->next = beams;
    s->n_beams = n_next;
    s->is_done = is_finished(r, s);
    return status;
}
