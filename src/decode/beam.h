/*
 * What the files of the beam search share: beam.c runs it, beam_candidates.c finds the
 * continuations of a beam, beam_step.c chooses among those of all.
 */
#ifndef NIB_BEAM_H
#define NIB_BEAM_H

#include "common.h"
#include "logits_rows.h"

#include <math.h>

enum { NIB_MAX_BEAMS = 256, NIB_MAX_ENDS = 64 };

struct nib_beam {
    int32_t *ids; /* [max_new] */
    size_t n;
    double sum;
    uint32_t sequence, group;
    bool is_ended;
};

struct nib_beam_candidate {
    double sum, rank; /* rank: what candidates are ordered by */
    uint32_t beam;
    int32_t id;
    bool is_end;
};

/* One input's search. */
struct nib_search {
    struct nib_beam *beams, *next; /* [n_beams] */
    size_t n_beams;
    struct nib_beam *ended; /* [n_beams], best first */
    size_t n_ended;
    size_t max_new;
    bool is_done;
};

struct nib_beam_run {
    struct nib_context *context;
    const struct nib_model *model;
    struct nib_beam_params p;
    const struct nib_beam_input *inputs;
    size_t n_inputs, n_vocab;
    int32_t ends[NIB_MAX_ENDS];
    size_t n_ends;
    size_t n_wanted; /* candidates of a beam */
    struct nib_search *searches;
    struct nib_beam_candidate *candidates; /* [n_beams * n_wanted] of a group */
    struct nib_top
        *tops; /* [n_inputs * n_beams] of the beams that were evaluated, in their order */
    struct nib_id_logprob *top_ids; /* memory of all their ids */
    size_t top_capacity;
    uint32_t *taken; /* ids that earlier groups took in this step */
    size_t n_taken;
    struct nib_hypothesis *shown; /* [2 * n_beams] for on_step */
    /* the batch */
    int32_t *ids;
    uint32_t *sequences;
    struct nib_error *err;
};

/* Of a sequence that ends after n ids. */
static inline double nib_beam_score(const struct nib_beam_run *r, double sum, size_t n)
{
    return n > 0 ? sum / pow((double)n, r->p.length_penalty) : sum;
}

static inline bool nib_beam_is_end(const struct nib_beam_run *r, int32_t id)
{
    for (size_t i = 0; i < r->n_ends; i++)
        if (r->ends[i] == id)
            return true;
    return false;
}

/* beam_candidates.c: r->tops, the most probable ids of all beams that were evaluated. */
enum nib_status nib_beam_look(struct nib_beam_run *r);

/* beam_candidates.c: the continuations of one beam, behind the candidates that are there. */
void nib_beam_extend(struct nib_beam_run *r, const struct nib_search *s, size_t input, size_t beam,
                     struct nib_top *top, size_t *n_candidates);

/* beam_step.c: all beams of an input grow by one id.  `row` counts those that were evaluated. */
enum nib_status nib_beam_step(struct nib_beam_run *r, size_t input, size_t *row);

#endif
