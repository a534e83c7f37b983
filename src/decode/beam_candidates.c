/* The continuations of one beam: its most probable ids after bans and penalties. */
#include "beam.h"

#include <stdlib.h>

static bool is_in(const int32_t *ids, size_t n, int32_t id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

/* The i-th id of prefix and output. */
static int32_t past_id(const struct nib_beam_input *in, const struct nib_beam *b, size_t i)
{
    return i < in->n_prefix ? in->prefix[i] : b->ids[i - in->n_prefix];
}

static bool was_seen(const struct nib_beam_input *in, const struct nib_beam *b, int32_t id)
{
    return is_in(in->prefix, in->n_prefix, id) || is_in(b->ids, b->n, id);
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
    return is_in(info->bad_ids, info->n_bad_ids, id) || is_in(r->p.bad_ids, r->p.n_bad_ids, id) ||
           (b->n < r->p.min_new && nib_beam_is_end(r, id)) ||
           repeats(in, b, r->p.no_repeat_ngram, id);
}

/* How many of the most probable ids must be looked at, so that n_wanted remain. */
static size_t n_to_look_at(const struct nib_beam_run *r, const struct nib_beam_input *in,
                           const struct nib_beam *b)
{
    size_t n = r->n_wanted + nib_model_info(r->model)->n_bad_ids + r->p.n_bad_ids + r->n_taken;
    if (r->p.repeat_penalty != 1 || r->p.no_repeat_ngram > 0)
        n += in->n_prefix + b->n;
    if (b->n < r->p.min_new)
        n += r->n_ends;
    return n < r->n_vocab ? n : r->n_vocab;
}

static enum nib_status reserve_top(struct nib_beam_run *r, size_t n)
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
static double adjusted(const struct nib_beam_run *r, const struct nib_beam_input *in,
                       const struct nib_beam *b, struct nib_id_logprob t)
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
static enum nib_status add_seen(struct nib_beam_run *r, const struct nib_beam_input *in,
                                const struct nib_beam *b, const float *logits, size_t *n)
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
static enum nib_status extend(struct nib_beam_run *r, const struct nib_beam_input *in,
                              const struct nib_beam *b, uint32_t number, const float *logits,
                              struct nib_beam_candidate *out, size_t *n)
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
        const struct nib_beam_candidate c = {.sum = b->sum + adjusted(r, in, b, t),
                                             .beam = number,
                                             .id = t.id,
                                             .is_end = nib_beam_is_end(r, t.id)};
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

enum nib_status nib_beam_extend(struct nib_beam_run *r, const struct nib_search *s, size_t input,
                                size_t beam, const float *logits, size_t *n_candidates)
{
    const struct nib_beam *b = &s->beams[beam];
    struct nib_beam_candidate *out = r->candidates + *n_candidates;
    const int32_t forced = nib_model_info(r->model)->forced_eos_id;
    size_t n = 0;
    enum nib_status status = NIB_OK;
    if (forced >= 0 && !r->p.ignores_end && b->n + 1 == s->max_new)
        out[n++] = (struct nib_beam_candidate){.sum = b->sum,
                                               .beam = (uint32_t)beam,
                                               .id = forced,
                                               .is_end = nib_beam_is_end(r, forced)};
    else
        status = extend(r, &r->inputs[input], b, (uint32_t)beam, logits, out, &n);
    for (size_t i = 0; i < n; i++)
        out[i].rank =
            r->p.rule == NIB_BEAMS_HF ? out[i].sum : nib_beam_score(r, out[i].sum, b->n + 1);
    *n_candidates += n;
    return status;
}
