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
#include "common.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_BEAMS = 256, MAX_NEW = 1 << 20, MAX_ENDS = 64 };

struct beam {
    int32_t *ids; /* [max_new] */
    size_t n;
    double sum;
    uint32_t sequence, group;
    bool is_ended;
};

struct candidate {
    double sum, rank; /* rank: what candidates are ordered by */
    uint32_t beam;
    int32_t id;
    bool is_end;
};

/* One input's search. */
struct search {
    struct beam *beams, *next; /* [n_beams] */
    size_t n_beams;
    struct beam *ended; /* [n_beams], best first */
    size_t n_ended;
    size_t max_new;
    bool is_done;
};

struct run {
    struct nib_context *context;
    const struct nib_model *model;
    struct nib_beam_params p;
    const struct nib_beam_input *inputs;
    size_t n_inputs, n_vocab;
    int32_t ends[MAX_ENDS];
    size_t n_ends;
    size_t n_wanted; /* candidates of a beam */
    struct search *searches;
    struct candidate *candidates; /* [n_beams * n_wanted] of a group */
    struct nib_id_logprob *top;   /* [capacity] */
    size_t top_capacity;
    uint32_t *taken; /* ids that earlier groups took in this step */
    size_t n_taken;
    struct nib_hypothesis *shown; /* [2 * n_beams] for on_step */
    /* the batch */
    int32_t *ids;
    uint32_t *sequences;
    struct nib_error *err;
};

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
    if (p->n_beams < 1 || p->n_beams > MAX_BEAMS)
        return nib_fail(err, NIB_ERROR_ARGUMENT, "%u beams; use 1 to %d", p->n_beams, MAX_BEAMS);
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

static size_t max_new_of(const struct run *r, size_t input)
{
    return r->inputs[input].max_new > 0 ? r->inputs[input].max_new : r->p.max_new;
}

static enum nib_status check_inputs(const struct run *r, struct nib_error *err)
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
        const size_t max_new = max_new_of(r, i);
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

static void free_beams(struct beam *beams, size_t n)
{
    for (size_t i = 0; beams && i < n; i++)
        free(beams[i].ids);
    free(beams);
}

static struct beam *make_beams(size_t n, size_t n_ids)
{
    struct beam *beams = calloc(n, sizeof(*beams));
    bool is_complete = beams != NULL;
    for (size_t i = 0; i < n && is_complete; i++)
        is_complete = (beams[i].ids = malloc(n_ids * sizeof(int32_t))) != NULL;
    if (is_complete)
        return beams;
    free_beams(beams, n);
    return NULL;
}

static void free_run(struct run *r)
{
    for (size_t i = 0; r->searches && i < r->n_inputs; i++) {
        free_beams(r->searches[i].beams, r->p.n_beams);
        free_beams(r->searches[i].next, r->p.n_beams);
        free_beams(r->searches[i].ended, r->p.n_beams);
    }
    free(r->searches);
    free(r->candidates);
    free(r->top);
    free(r->taken);
    free(r->shown);
    free(r->ids);
    free(r->sequences);
}

static enum nib_status allocate(struct run *r)
{
    const size_t k = r->p.n_beams;
    r->searches = calloc(r->n_inputs, sizeof(*r->searches));
    r->candidates = malloc((k * r->n_wanted + k) * sizeof(*r->candidates));
    r->taken = malloc(k * sizeof(*r->taken));
    r->shown = malloc(2 * k * sizeof(*r->shown));
    r->ids = malloc(r->n_inputs * k * sizeof(*r->ids));
    r->sequences = malloc(r->n_inputs * k * sizeof(*r->sequences));
    bool is_complete =
        r->searches && r->candidates && r->taken && r->shown && r->ids && r->sequences;
    uint64_t n_ids = 0;
    for (size_t i = 0; i < r->n_inputs && is_complete; i++) {
        struct search *s = &r->searches[i];
        s->max_new = max_new_of(r, i);
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
static void find_ends(struct run *r)
{
    const int32_t n = (int32_t)r->n_vocab;
    for (int32_t id = 0; id < n && r->n_ends < MAX_ENDS && !r->p.ignores_end; id++)
        if (nib_token_is_end(r->model, id))
            r->ends[r->n_ends++] = id;
}

static bool is_end(const struct run *r, int32_t id)
{
    for (size_t i = 0; i < r->n_ends; i++)
        if (r->ends[i] == id)
            return true;
    return false;
}

/* ---- candidates ------------------------------------------------------------------------------ */

static bool is_in(const int32_t *ids, size_t n, int32_t id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

/* The i-th id of prefix and output. */
static int32_t past_id(const struct nib_beam_input *in, const struct beam *b, size_t i)
{
    return i < in->n_prefix ? in->prefix[i] : b->ids[i - in->n_prefix];
}

static bool was_seen(const struct nib_beam_input *in, const struct beam *b, int32_t id)
{
    return is_in(in->prefix, in->n_prefix, id) || is_in(b->ids, b->n, id);
}

/* Would `id` make n ids that are there already? */
static bool repeats(const struct nib_beam_input *in, const struct beam *b, size_t n, int32_t id)
{
    const size_t n_past = in->n_prefix + b->n;
    for (size_t i = 0; n > 0 && i + n <= n_past; i++) {
        size_t j = 0;
        while (j + 1 < n && past_id(in, b, i + j) == past_id(in, b, n_past - (n - 1) + j))
            j++;
        if (j + 1 == n && past_id(in, b, i + j) == id)
            return true;
    }
    return false;
}

static bool is_banned(const struct run *r, const struct nib_beam_input *in, const struct beam *b,
                      int32_t id)
{
    const struct nib_model_info *info = nib_model_info(r->model);
    return is_in(info->bad_ids, info->n_bad_ids, id) || is_in(r->p.bad_ids, r->p.n_bad_ids, id) ||
           (b->n < r->p.min_new && is_end(r, id)) || repeats(in, b, r->p.no_repeat_ngram, id);
}

static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank > y->rank ? -1 : 1;
    if (x->beam != y->beam)
        return x->beam < y->beam ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* How many of the most probable ids must be looked at, so that n_wanted remain. */
static size_t n_to_look_at(const struct run *r, const struct nib_beam_input *in,
                           const struct beam *b)
{
    size_t n = r->n_wanted + nib_model_info(r->model)->n_bad_ids + r->p.n_bad_ids + r->n_taken;
    if (r->p.repeat_penalty != 1 || r->p.no_repeat_ngram > 0)
        n += in->n_prefix + b->n;
    if (b->n < r->p.min_new)
        n += r->n_ends;
    return n < r->n_vocab ? n : r->n_vocab;
}

static enum nib_status reserve_top(struct run *r, size_t n)
{
    if (n <= r->top_capacity)
        return NIB_OK;
    struct nib_id_logprob *top = realloc(r->top, n * sizeof(*top));
    if (!top)
        return nib_fail_memory(r->err, n * sizeof(*top), "a beam search");
    r->top = top;
    r->top_capacity = n;
    return NIB_OK;
}

/* Log-probability after penalties. */
static double adjusted(const struct run *r, const struct nib_beam_input *in, const struct beam *b,
                       struct nib_id_logprob t)
{
    double x = t.logprob;
    if (r->p.repeat_penalty != 1 && was_seen(in, b, t.id))
        x = x < 0 ? x * r->p.repeat_penalty : x / r->p.repeat_penalty;
    for (size_t i = 0; i < r->n_taken; i++)
        if ((int32_t)r->taken[i] == t.id)
            x -= r->p.diversity_penalty;
    return x;
}

/* A penalty below 1 makes ids likelier that are not among the most probable. */
static enum nib_status add_seen(struct run *r, const struct nib_beam_input *in,
                                const struct beam *b, const float *logits, size_t *n)
{
    const size_t n_past = in->n_prefix + b->n;
    enum nib_status status = reserve_top(r, *n + n_past);
    for (size_t i = 0; i < n_past && status == NIB_OK; i++) {
        const int32_t id = past_id(in, b, i);
        size_t j = 0;
        while (j < *n && r->top[j].id != id)
            j++;
        if (j == *n)
            r->top[(*n)++] = (struct nib_id_logprob){id, nib_logprob(logits, r->n_vocab, id)};
    }
    return status;
}

/* The best n_wanted continuations of one beam, in out; *n of them. */
static enum nib_status extend(struct run *r, const struct nib_beam_input *in, const struct beam *b,
                              uint32_t number, const float *logits, struct candidate *out,
                              size_t *n)
{
    size_t n_top = n_to_look_at(r, in, b);
    enum nib_status status = reserve_top(r, n_top);
    if (status != NIB_OK)
        return status;
    n_top = nib_top_logprobs(logits, r->n_vocab, n_top, r->top);
    if (r->p.repeat_penalty < 1)
        status = add_seen(r, in, b, logits, &n_top);
    *n = 0;
    for (size_t i = 0; i < n_top && status == NIB_OK; i++) {
        const struct nib_id_logprob t = r->top[i];
        if (is_banned(r, in, b, t.id))
            continue;
        const struct candidate c = {.sum = b->sum + adjusted(r, in, b, t),
                                    .beam = number,
                                    .id = t.id,
                                    .is_end = is_end(r, t.id)};
        size_t at = *n; /* by insertion: they come nearly sorted */
        while (at > 0 &&
               (out[at - 1].sum < c.sum || (out[at - 1].sum == c.sum && out[at - 1].id > c.id)))
            at--;
        if (at == r->n_wanted)
            continue;
        if (*n < r->n_wanted)
            ++*n;
        memmove(out + at + 1, out + at, (*n - at - 1) * sizeof(*out));
        out[at] = c;
    }
    return status;
}

/* ---- a step ---------------------------------------------------------------------------------- */

static double score_of(const struct run *r, double sum, size_t n)
{
    return n > 0 ? sum / pow((double)n, r->p.length_penalty) : sum;
}

static void copy_beam(struct beam *to, const struct beam *from)
{
    int32_t *ids = to->ids;
    memcpy(ids, from->ids, from->n * sizeof(*ids));
    *to = *from;
    to->ids = ids;
}

static void append(struct beam *b, const struct candidate *c)
{
    b->ids[b->n++] = c->id;
    b->sum = c->sum;
    b->is_ended = c->is_end;
}

/* Into the list of ended ones, if it is among the n_beams best. */
static void add_ended(const struct run *r, struct search *s, const struct beam *from,
                      const struct candidate *c)
{
    const size_t k = r->p.n_beams;
    const double score = score_of(r, c->sum, from->n + 1);
    size_t at = s->n_ended;
    while (at > 0 && score_of(r, s->ended[at - 1].sum, s->ended[at - 1].n) < score)
        at--;
    if (at == k)
        return;
    const struct beam last = s->ended[s->n_ended < k ? s->n_ended : k - 1];
    if (s->n_ended < k)
        s->n_ended++;
    memmove(s->ended + at + 1, s->ended + at, (s->n_ended - at - 1) * sizeof(*s->ended));
    s->ended[at] = last; /* its memory */
    copy_beam(&s->ended[at], from);
    append(&s->ended[at], c);
}

/* The beams of a group, from its candidates by sum. */
static void select_running(struct run *r, struct search *s, size_t n_candidates, size_t group,
                           size_t *n_next)
{
    const size_t size = r->p.n_beams / r->p.n_groups, end = *n_next + size;
    const bool is_last = s->beams[0].n + 1 == s->max_new;
    qsort(r->candidates, n_candidates, sizeof(*r->candidates), compare_candidates);
    for (size_t i = 0; i < n_candidates && i < r->n_wanted / r->p.n_groups; i++) {
        const struct candidate *c = &r->candidates[i];
        const struct beam *from = &s->beams[c->beam];
        if (c->is_end || is_last) {
            if (i < size)
                add_ended(r, s, from, c);
        } else if (*n_next < end) {
            struct beam *to = &s->next[(*n_next)++];
            copy_beam(to, from);
            append(to, c);
            to->group = (uint32_t)group;
            r->taken[r->n_taken++] = (uint32_t)c->id;
        }
    }
}

static void select_textbook(struct run *r, struct search *s, size_t n_candidates, size_t *n_next)
{
    for (size_t i = 0; i < s->n_beams; i++)
        if (s->beams[i].is_ended)
            r->candidates[n_candidates++] =
                (struct candidate){.sum = s->beams[i].sum,
                                   .rank = score_of(r, s->beams[i].sum, s->beams[i].n),
                                   .beam = (uint32_t)i,
                                   .id = -1};
    qsort(r->candidates, n_candidates, sizeof(*r->candidates), compare_candidates);
    for (size_t i = 0; i < n_candidates && i < r->p.n_beams; i++) {
        const struct candidate *c = &r->candidates[i];
        copy_beam(&s->next[*n_next], &s->beams[c->beam]);
        if (c->id >= 0)
            append(&s->next[*n_next], c);
        ++*n_next;
    }
}

/* Every new beam gets a sequence with its past: the first child its parent's, the others copies in
 * sequences that are free. */
static enum nib_status give_sequences(struct run *r, struct search *s, uint32_t first,
                                      size_t n_next)
{
    bool is_used[MAX_BEAMS] = {false};
    bool is_placed[MAX_BEAMS] = {false};
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

static bool is_finished(const struct run *r, const struct search *s)
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
    if (s->n_ended < r->p.n_beams)
        return false;
    if (r->p.early_stopping == NIB_STOP_AT_ONCE)
        return true;
    double best = s->beams[0].sum;
    for (size_t i = 1; i < s->n_beams; i++)
        best = s->beams[i].sum > best ? s->beams[i].sum : best;
    const bool could_grow = r->p.early_stopping == NIB_STOP_NEVER && r->p.length_penalty > 0;
    const struct beam *worst = &s->ended[s->n_ended - 1];
    return score_of(r, best, could_grow ? s->max_new : n) <= score_of(r, worst->sum, worst->n);
}

/* The continuations of one beam, behind the candidates that are there. */
static enum nib_status add_candidates(struct run *r, const struct search *s, size_t input,
                                      size_t beam, const float *logits, size_t *n_candidates)
{
    const struct beam *b = &s->beams[beam];
    struct candidate *out = r->candidates + *n_candidates;
    const int32_t forced = nib_model_info(r->model)->forced_eos_id;
    size_t n = 0;
    enum nib_status status = NIB_OK;
    if (forced >= 0 && !r->p.ignores_end && b->n + 1 == s->max_new)
        out[n++] = (struct candidate){
            .sum = b->sum, .beam = (uint32_t)beam, .id = forced, .is_end = is_end(r, forced)};
    else
        status = extend(r, &r->inputs[input], b, (uint32_t)beam, logits, out, &n);
    for (size_t i = 0; i < n; i++)
        out[i].rank = r->p.rule == NIB_BEAMS_HF ? out[i].sum : score_of(r, out[i].sum, b->n + 1);
    *n_candidates += n;
    return status;
}

/* `row` counts the logits of all beams that were evaluated. */
static enum nib_status step(struct run *r, size_t input, size_t *row)
{
    struct search *s = &r->searches[input];
    const float *logits[MAX_BEAMS] = {NULL};
    const bool is_first = s->beams[0].n == 0; /* one beam, from which every group begins */
    size_t n_next = 0;
    enum nib_status status = NIB_OK;
    for (size_t i = 0; i < s->n_beams; i++)
        if (!s->beams[i].is_ended)
            logits[i] = nib_logits(r->context, (*row)++);
    r->n_taken = 0;
    for (uint32_t group = 0; group < r->p.n_groups && status == NIB_OK; group++) {
        size_t n_candidates = 0;
        for (size_t i = 0; i < s->n_beams && status == NIB_OK; i++)
            if (logits[i] && (is_first || s->beams[i].group == group))
                status = add_candidates(r, s, input, i, logits[i], &n_candidates);
        if (r->p.rule == NIB_BEAMS_HF)
            select_running(r, s, n_candidates, group, &n_next);
        else
            select_textbook(r, s, n_candidates, &n_next);
    }
    if (status == NIB_OK)
        status = give_sequences(r, s, (uint32_t)(input * r->p.n_beams), n_next);
    struct beam *beams = s->beams;
    s->beams = s->next;
    s->next = beams;
    s->n_beams = n_next;
    s->is_done = is_finished(r, s);
    return status;
}

static void show(const struct run *r, size_t input, size_t number)
{
    const struct search *s = &r->searches[input];
    if (!r->p.on_step)
        return;
    for (size_t i = 0; i < s->n_beams + s->n_ended; i++) {
        const struct beam *b = i < s->n_beams ? &s->beams[i] : &s->ended[i - s->n_beams];
        r->shown[i] =
            (struct nib_hypothesis){b->ids, b->n, b->sum, score_of(r, b->sum, b->n), b->is_ended};
    }
    r->p.on_step(r->p.data, input, number, r->shown, s->n_beams + s->n_ended);
}

/* ---- the search ------------------------------------------------------------------------------ */

/* The first beam of every input is its prefix. */
static enum nib_status begin(struct run *r)
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
    status = ids && sequences
                 ? nib_evaluate(r->context, &(struct nib_batch){n, ids, sequences, NULL}, r->err)
                 : nib_fail_memory(r->err, n * (sizeof(*ids) + sizeof(*sequences)), "a batch");
    free(ids);
    free(sequences);
    return status;
}

static enum nib_status evaluate(struct run *r)
{
    struct nib_batch batch = {.ids = r->ids, .sequences = r->sequences};
    for (size_t i = 0; i < r->n_inputs; i++)
        for (size_t j = 0; !r->searches[i].is_done && j < r->searches[i].n_beams; j++) {
            const struct beam *b = &r->searches[i].beams[j];
            if (b->is_ended)
                continue;
            r->ids[batch.n_tokens] = b->ids[b->n - 1];
            r->sequences[batch.n_tokens++] = b->sequence;
        }
    return nib_evaluate(r->context, &batch, r->err);
}

static enum nib_status search_all(struct run *r)
{
    enum nib_status status = begin(r);
    for (size_t number = 0; status == NIB_OK; number++) {
        size_t row = 0;
        bool is_running = false;
        for (size_t i = 0; i < r->n_inputs && status == NIB_OK; i++) {
            if (r->searches[i].is_done)
                continue;
            status = step(r, i, &row);
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
static enum nib_status give_best(const struct run *r, const struct search *s,
                                 struct nib_beam_output *out)
{
    const bool is_hf = r->p.rule == NIB_BEAMS_HF;
    const struct beam *beams = is_hf ? s->ended : s->beams;
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
        out->best[i] =
            (struct nib_hypothesis){ids, beams[i].n, beams[i].sum,
                                    score_of(r, beams[i].sum, beams[i].n), beams[i].is_ended};
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
    struct run r = {.context = context,
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
    if (status != NIB_OK)
        return status;
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
