/*
 * What the files of the beam search share: beam.c runs it, beam_candidates.c finds the
 * continuations of a beam, beam_step.c chooses among those of all; beam_forced.c does where phrases
 * are forced.
 */
#ifndef NIB_BEAM_H
#define NIB_BEAM_H

#include "common.h"
#include "evaluation.h"
#include "logits_rows.h"

#include <math.h>
#include <sleef.h>

enum { NIB_MAX_BEAMS = 256, NIB_MAX_ENDS = 64, NIB_MAX_PHRASES = 64 };

/* How far a beam is with the phrases that are forced. */
struct nib_beam_progress {
    uint32_t n_done;
    uint32_t n_matched;   /* ids of the phrase that is begun; 0: none is */
    uint32_t alternative; /* of that phrase, one that begins with them */
    uint8_t begun;
    uint8_t n_pending;
    uint8_t pending[NIB_MAX_PHRASES]; /* not begun, in the order in which ids are tried on them */
};

struct nib_beam {
    int32_t *ids; /* [max_new] */
    size_t n;
    double sum;
    uint32_t sequence, group;
    bool is_ended;
    struct nib_beam_progress progress;
};

struct nib_beam_candidate {
    double sum, rank; /* rank: what candidates are ordered by */
    size_t bank;      /* steps done of the phrases that are forced */
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
    double best_sum; /* of the candidates of this step; where phrases are forced */
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
    struct nib_beam_candidate *candidates; /* [n_beams * n_wanted] of a group, and more */
    size_t longest_phrase, n_alternatives; /* of all phrases */
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
    return n > 0 ? sum / Sleef_cinz_powd1_u10purec((double)n, r->p.length_penalty) : sum;
}

static inline bool nib_beam_is_in(const int32_t *ids, size_t n, int32_t id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

static inline bool nib_beam_is_end(const struct nib_beam_run *r, int32_t id)
{
    return nib_beam_is_in(r->ends, r->n_ends, id);
}

/* At the maximum length the model ends by force. */
static inline bool nib_beam_must_end(const struct nib_beam_run *r, const struct nib_search *s,
                                     const struct nib_beam *b)
{
    return nib_model_info(r->model)->forced_eos_id >= 0 && !r->p.ignores_end &&
           b->n + 1 == s->max_new;
}

static inline size_t nib_beam_max_new(const struct nib_beam_run *r, size_t input)
{
    return r->inputs[input].max_new > 0 ? r->inputs[input].max_new : r->p.max_new;
}

/* beam_candidates.c: r->tops, the most probable ids of all beams that were evaluated. */
enum nib_status nib_beam_look(struct nib_beam_run *r);

/* beam_candidates.c: the continuations of one beam, behind the candidates that are there. */
void nib_beam_extend(struct nib_beam_run *r, const struct nib_search *s, size_t input, size_t beam,
                     struct nib_top *top, size_t *n_candidates);

/* beam_candidates.c: one id behind one beam; false where it is banned. */
bool nib_beam_candidate(const struct nib_beam_run *r, size_t input, size_t beam,
                        const struct nib_top *top, int32_t id, struct nib_beam_candidate *out);

/* beam_step.c: candidates by rank; ties to the earlier beam, then to the lower id. */
void nib_beam_sort(struct nib_beam_candidate *candidates, size_t n);

/* beam_step.c: `to` becomes `from` and the id. */
void nib_beam_grow(const struct nib_beam_run *r, struct nib_beam *to, const struct nib_beam *from,
                   const struct nib_beam_candidate *c);

/* beam_step.c: into the list of ended ones, if it is among the best of its group, as many as that
 * has beams; without a candidate the beam as it is. */
void nib_beam_add_ended(const struct nib_beam_run *r, struct nib_search *s,
                        const struct nib_beam *from, const struct nib_beam_candidate *c,
                        uint32_t group);

/* beam_forced.c: fails where the phrases make no sense; finds r->longest_phrase and so on. */
enum nib_status nib_beam_check_phrases(struct nib_beam_run *r);

/* beam_forced.c: before any id; then by one id. */
void nib_beam_progress_begin(const struct nib_beam_run *r, struct nib_beam_progress *p);
void nib_beam_progress_add(const struct nib_beam_run *r, struct nib_beam_progress *p, int32_t id);

/* beam_forced.c: from the candidates of all beams, those that run on into s->next. */
void nib_beam_select_forced(struct nib_beam_run *r, struct nib_search *s, size_t input,
                            struct nib_top *const *tops, size_t n_candidates, size_t *n_next);

/* beam_step.c: all beams of an input grow by one id.  `row` counts those that were evaluated. */
enum nib_status nib_beam_step(struct nib_beam_run *r, size_t input, size_t *row);

#endif
