#include "penalties.h"

#include <stdlib.h>

/* How often an id stands in the window, and where it stands in `seen`. */
struct count {
    uint32_t n_all, n_output, slot;
};

struct nib_penalties {
    struct nib_penalty_params params;
    size_t n_vocab;
    struct count *counts; /* [n_vocab] */
    int32_t *seen;        /* [n_seen] ids with n_all > 0, in any order */
    size_t n_seen;
    /* The window as a ring, ids of the output as ~id; unused if all ids count. */
    int32_t *ring; /* [last_n] */
    size_t n_ring, next;
};

enum nib_status nib_penalties_create(struct nib_penalties **out,
                                     const struct nib_penalty_params *params, size_t n_vocab,
                                     struct nib_error *err)
{
    assert(params->last_n >= -1 && params->last_n <= NIB_PENALTIES_WINDOW_MAX);
    const size_t n_ring = params->last_n > 0 ? (size_t)params->last_n : 1;
    struct nib_penalties *p = *out = calloc(1, sizeof(*p));
    if (p) {
        p->params = *params;
        p->n_vocab = n_vocab;
        p->counts = calloc(n_vocab, sizeof(*p->counts));
        p->seen = calloc(n_vocab, sizeof(*p->seen));
        p->ring = calloc(n_ring, sizeof(*p->ring));
        if (p->counts && p->seen && p->ring)
            return NIB_OK;
    }
    nib_penalties_free(p);
    *out = NULL;
    return nib_fail_memory(err, n_vocab * 16 + n_ring * 4, "the sampler's penalties");
}

void nib_penalties_free(struct nib_penalties *p)
{
    if (!p)
        return;
    free(p->counts);
    free(p->seen);
    free(p->ring);
    free(p);
}

static void enter(struct nib_penalties *p, int32_t id, bool is_output)
{
    struct count *c = &p->counts[id];
    if (c->n_all == 0) {
        c->slot = (uint32_t)p->n_seen;
        p->seen[p->n_seen++] = id;
    }
    c->n_all += c->n_all < UINT32_MAX;
    c->n_output += is_output && c->n_output < UINT32_MAX;
}

static void leave(struct nib_penalties *p, int32_t id, bool is_output)
{
    struct count *c = &p->counts[id];
    c->n_output -= is_output;
    if (--c->n_all == 0) {
        const int32_t last = p->seen[--p->n_seen];
        p->seen[c->slot] = last;
        p->counts[last].slot = c->slot;
    }
}

void nib_penalties_see(struct nib_penalties *p, int32_t id, bool is_output)
{
    assert(id >= 0 && (size_t)id < p->n_vocab);
    if (p->params.last_n == 0)
        return;
    if (p->params.last_n > 0) {
        const int32_t oldest = p->ring[p->next];
        if (p->n_ring == (size_t)p->params.last_n)
            leave(p, oldest < 0 ? ~oldest : oldest, oldest < 0);
        else
            p->n_ring++;
        p->ring[p->next] = is_output ? ~id : id;
        p->next = (p->next + 1) % (size_t)p->params.last_n;
    }
    enter(p, id, is_output);
}

static double penalise(const void *self, int32_t id, double logit)
{
    const struct nib_penalties *p = self;
    const struct count *c = &p->counts[id];
    double x = logit;
    if (c->n_all > 0)
        x = logit > 0 ? logit / p->params.repeat : logit * p->params.repeat;
    if (c->n_output > 0)
        x -= c->n_output * p->params.frequency + p->params.presence;
    return x;
}

struct nib_edits nib_penalties_edits(const struct nib_penalties *p)
{
    return (struct nib_edits){.n = p->n_seen, .ids = p->seen, .edit = penalise, .self = p};
}
