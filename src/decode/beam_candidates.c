/* The continuations of one beam: its most probable ids after bans and penalties. */
#include "beam.h"

#include <stdlib.h>

/* The i-th id of prefix and output. */
static int32_t past_id(const struct nib_beam_input *in, const struct nib_beam *b, size_t i)
{
    return i < in->n_prefix ? in->prefix[i] : b->ids[i - in->n_prefix];
}

static bool was_seen(const struct nib_beam_input *in, const struct nib_beam *b, int32_t id)
{
    return nib_beam_is_in(in->prefix, in->n_prefix, id) || nib_beam_is_in(b->ids, b->n, id);
}

/* Would `id` make n ids that are there already? */
static bool repeats(const struct nib_beam_input *in, const struct nib_beam *b, size_t n, int32_t id)
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

static bool is_banned(const struct nib_beam_run *r, const struct nib_beam_input *in,
                      const struct nib_beam *b, int32_t id)
{
    const struct nib_model_info *info = nib_model_info(r->model);
    return nib_beam_is_in(info->bad_ids, info->n_bad_ids, id) ||
           nib_beam_is_in(r->p.bad_ids, r->p.n_bad_ids, id) ||
           (b->n < r->p.min_new && nib_beam_is_end(r, id)) ||
           repeats(in, b, r->p.no_repeat_ngram, id);
}

static size_t n_past_of(const struct nib_beam_input *in, const struct nib_beam *b)
{
    return in->n_prefix + b->n;
}

/* How many of the most probable ids must be looked at, so that n_wanted remain. */
static size_t n_to_look_at(const struct nib_beam_run *r, const struct nib_beam_input *in,
                           const struct nib_beam *b)
{
    size_t n = r->n_wanted + nib_model_info(r->model)->n_bad_ids + r->p.n_bad_ids;
    if (r->p.n_groups > 1)
        n += r->p.n_beams; /* what earlier groups take */
    if (r->p.repeat_penalty != 1 || r->p.no_repeat_ngram > 0)
        n += n_past_of(in, b);
    if (b->n < r->p.min_new)
        n += r->n_ends;
    return n < r->n_vocab ? n : r->n_vocab;
}

/* Ids that add_seen() may put behind those. */
static size_t n_to_add(const struct nib_beam_run *r, const struct nib_beam_input *in,
                       const struct nib_beam *b)
{
    return r->p.repeat_penalty < 1 ? n_past_of(in, b) : 0;
}

/* Ask for the ids of every beam that was evaluated; with their memory, or NULL to count it. */
static size_t place_tops(struct nib_beam_run *r, struct nib_id_logprob *memory, size_t *n_ids)
{
    size_t n = 0;
    *n_ids = 0;
    for (size_t i = 0; i < r->n_inputs; i++) {
        const struct nib_search *s = &r->searches[i];
        for (size_t j = 0; j < s->n_beams && !s->is_done; j++) {
            const struct nib_beam *b = &s->beams[j];
            if (b->is_ended)
                continue;
            const size_t wanted = n_to_look_at(r, &r->inputs[i], b);
            r->tops[n] = (struct nib_top){.row = n, .n = wanted, .ids = memory};
            const size_t room = wanted + n_to_add(r, &r->inputs[i], b);
            memory = memory ? memory + room : NULL;
            *n_ids += room;
            n++;
        }
    }
    return n;
}

enum nib_status nib_beam_look(struct nib_beam_run *r)
{
    size_t n_ids;
    place_tops(r, NULL, &n_ids);
    if (n_ids > r->top_capacity) {
        struct nib_id_logprob *memory = realloc(r->top_ids, n_ids * sizeof(*memory));
        if (!memory)
            return nib_fail_memory(r->err, n_ids * sizeof(*memory), "a beam search");
        r->top_ids = memory;
        r->top_capacity = n_ids;
    }
    const size_t n_tops = place_tops(r, r->top_ids, &n_ids);
    nib_logits_top(r->context, r->tops, n_tops);
    return NIB_OK;
}

/* Log-probability after penalties. */
static double adjusted(const struct nib_beam_run *r, const struct nib_beam_input *in,
                       const struct nib_beam *b, struct nib_id_logprob t)
{
    double x = t.logprob;
    for (size_t i = 0; i < r->n_taken; i++)
        if ((int32_t)r->taken[i] == t.id)
            x -= r->p.diversity_penalty;
    if (r->p.repeat_penalty != 1 && was_seen(in, b, t.id))
        x = x < 0 ? x * r->p.repeat_penalty : x / r->p.repeat_penalty;
    return x;
}

/* A penalty below 1 makes ids likelier that are not among the most probable. */
static void add_seen(const struct nib_beam_run *r, const struct nib_beam_input *in,
                     const struct nib_beam *b, struct nib_top *top)
{
    const float *logits = nib_logits(r->context, top->row);
    for (size_t i = 0; i < n_past_of(in, b); i++) {
        const int32_t id = past_id(in, b, i);
        size_t j = 0;
        while (j < top->n && top->ids[j].id != id)
            j++;
        if (j == top->n)
            top->ids[top->n++] = (struct nib_id_logprob){id, (double)logits[id] - top->log_sum};
    }
}

/* The best n_wanted continuations of one beam into out; how many there are. */
static size_t extend(const struct nib_beam_run *r, const struct nib_beam_input *in,
                     const struct nib_beam *b, uint32_t number, const struct nib_top *top,
                     struct nib_beam_candidate *out)
{
    size_t n = 0;
    for (size_t i = 0; i < top->n; i++) {
        const struct nib_id_logprob t = top->ids[i];
        if (is_banned(r, in, b, t.id))
            continue;
        const struct nib_beam_candidate c = {.sum = b->sum + adjusted(r, in, b, t),
                                             .beam = number,
                                             .id = t.id,
                                             .is_end = nib_beam_is_end(r, t.id)};
        size_t at = n; /* by insertion: they come nearly sorted */
        while (at > 0 &&
               (out[at - 1].sum < c.sum || (out[at - 1].sum == c.sum && out[at - 1].id > c.id)))
            at--;
        if (at == r->n_wanted)
            continue;
        if (n < r->n_wanted)
            n++;
        memmove(out + at + 1, out + at, (n - at - 1) * sizeof(*out));
        out[at] = c;
    }
    return n;
}

bool nib_beam_candidate(const struct nib_beam_run *r, size_t input, size_t beam,
                        const struct nib_top *top, int32_t id, struct nib_beam_candidate *out)
{
    const struct nib_beam *b = &r->searches[input].beams[beam];
    const struct nib_beam_input *in = &r->inputs[input];
    const double logit = (double)nib_logits(r->context, top->row)[id];
    const struct nib_id_logprob t = {id, logit - top->log_sum};
    if (is_banned(r, in, b, id) || !(t.logprob > -INFINITY))
        return false;
    *out = (struct nib_beam_candidate){.sum = b->sum + adjusted(r, in, b, t),
                                       .beam = (uint32_t)beam,
                                       .id = id,
                                       .is_end = nib_beam_is_end(r, id)};
    return true;
}

void nib_beam_extend(struct nib_beam_run *r, const struct nib_search *s, size_t input, size_t beam,
                     struct nib_top *top, size_t *n_candidates)
{
    const struct nib_beam *b = &s->beams[beam];
    const struct nib_beam_input *in = &r->inputs[input];
    struct nib_beam_candidate *out = r->candidates + *n_candidates;
    size_t n = 1;
    if (nib_beam_must_end(r, s, b)) {
        const int32_t forced = nib_model_info(r->model)->forced_eos_id;
        *out = (struct nib_beam_candidate){.sum = b->sum,
                                           .beam = (uint32_t)beam,
                                           .id = forced,
                                           .is_end = nib_beam_is_end(r, forced)};
    } else {
        if (r->p.repeat_penalty < 1)
            add_seen(r, in, b, top);
        n = extend(r, in, b, (uint32_t)beam, top, out);
    }
    for (size_t i = 0; i < n; i++)
        out[i].rank =
            r->p.rule == NIB_BEAMS_HF ? out[i].sum : nib_beam_score(r, out[i].sum, b->n + 1);
    *n_candidates += n;
}
