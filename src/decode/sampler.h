/*
 * The sampler inside the library: its parameters' rules (sampler_params.c), what beam search needs
 * of it, and its parts.
 */
#ifndef NIB_SAMPLER_H
#define NIB_SAMPLER_H

#include "chain.h"
#include "constraints.h"
#include "dry.h"
#include "penalties.h"
#include "report.h"

struct nib_sampler {
    struct nib_sampler_params params; /* without what its pointers point to */
    struct nib_chain chain;           /* the stages at work, in their order */
    struct nib_filter_values values[NIB_FILTER_COUNT];
    size_t n_vocab, n_tokens; /* logits of a row, and those that may be chosen */
    uint64_t n_choices;
    struct nib_constraints *constraints; /* NULL: none */
    struct nib_penalties *penalties;     /* NULL: none */
    struct nib_dry *dry;                 /* NULL: none */
    bool keeps_history;
    struct nib_history history;
    float *row; /* [n_vocab] logits that constraints, penalties and DRY change, else NULL */
    float *block_max;
    struct nib_candidates candidates;
    int32_t greedy_id;             /* of the latest choice, -1: it was drawn */
    struct nib_reporter *reporter; /* NULL: no report is wanted */
    char description[768];
};

enum nib_status nib_sampler_check(const struct nib_sampler_params *params, size_t n_vocab,
                                  struct nib_error *err);
/* The values of the filters from s->params. */
void nib_sampler_fill_values(struct nib_sampler *s);
void nib_sampler_fill_description(struct nib_sampler *s);
/* Do the numbers of s->params put this stage to work? */
bool nib_sampler_uses_stage(const struct nib_sampler *s, size_t stage);

#endif
