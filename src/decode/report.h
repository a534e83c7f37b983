/*
 * The report of a choice: how many ids and how much of the probability each stage left.  It looks
 * at rows and candidates before and after and does not touch them.
 */
#ifndef NIB_REPORT_H
#define NIB_REPORT_H

#include "chain.h"
#include "constraints.h"

/* What is left at some point of the chain: its probabilities are e^(logit - max) / total. */
struct nib_remains {
    size_t n;
    double max, total;
};

struct nib_reporter {
    struct nib_sampler_report report;
    struct nib_sampler_stage stages[NIB_CONSTRAINT_COUNT + NIB_STAGE_COUNT];
    struct nib_remains before; /* the next stage */
    bool is_row;               /* candidates do not hold all of that yet */
    bool is_filled;
    float *row;     /* [n_vocab] before a stage that changes the row */
    double *logits; /* [n_vocab] of the candidates before one that edits these */
};

/* NULL without memory. */
struct nib_reporter *nib_reporter_create(size_t n_vocab);
void nib_reporter_free(struct nib_reporter *r);

void nib_reporter_begin(struct nib_reporter *r);

/* A stage that changes a row: before and after. */
void nib_reporter_save(struct nib_reporter *r, const float *row, size_t n_vocab);
void nib_reporter_row(struct nib_reporter *r, const char *name, double value, const float *row,
                      size_t n_tokens);

/* Then the row is what stages work on, and each says when it is done; one that edits candidates
 * saves them before. */
void nib_reporter_start(struct nib_reporter *r, const float *row, size_t n_tokens);
void nib_reporter_save_candidates(struct nib_reporter *r, const struct nib_candidates *c);
void nib_reporter_stage(struct nib_reporter *r, size_t stage, const struct nib_filter_values *v,
                        const struct nib_candidates *c, const float *row, size_t n_tokens);
void nib_reporter_end(struct nib_reporter *r, double random);

#endif
