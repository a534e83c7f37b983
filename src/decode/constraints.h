/*
 * What holds whatever the chain is: logit bias, bad words, and end ids that may not come yet.
 */
#ifndef NIB_CONSTRAINTS_H
#define NIB_CONSTRAINTS_H

#include "history.h"

/* A constraint is a row of the table in constraints.c. */
enum nib_constraint {
    NIB_CONSTRAINT_LOGIT_BIAS,
    NIB_CONSTRAINT_BAD_WORDS,
    NIB_CONSTRAINT_MIN_LENGTH,
    NIB_CONSTRAINT_COUNT,
};

struct nib_constraints;

/* *out is NULL where the params have none.  Refuses ids that do not exist, empty sequences, and
 * biases that are NaN or +infinity. */
enum nib_status nib_constraints_create(struct nib_constraints **out,
                                       const struct nib_sampler_params *params, size_t n_vocab,
                                       struct nib_error *err);
void nib_constraints_free(struct nib_constraints *c);

const char *nib_constraint_name(enum nib_constraint which); /* "logit-bias" */
/* Its number for people: of biases, of bad words, the least length; 0: off. */
size_t nib_constraint_value(const struct nib_constraints *c, enum nib_constraint which);
/* Must the ids before be known? */
bool nib_constraints_need_history(const struct nib_constraints *c);

/* The number of ids whose logit in the row may have got another value, for the choice after
 * n_choices. */
size_t nib_constraint_apply(const struct nib_constraints *c, enum nib_constraint which,
                            const struct nib_history *history, uint64_t n_choices, float *logits);

#endif
