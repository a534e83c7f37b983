/*
 * DRY, "don't repeat yourself": an id that would make a repetition longer costs
 *     multiplier * base^(length - allowed_length)
 * where length is that of the longest end of the history that occurred before with this id behind
 * it; shorter ones than allowed_length are free.  Only the latest `last_n` ids count, and
 * repetitions do not reach back over a breaker; ids that are one cost nothing.  The rules are those
 * of llama.cpp.
 */
#ifndef NIB_DRY_H
#define NIB_DRY_H

#include "edits.h"
#include "history.h"

struct nib_dry;

struct nib_dry_params {
    double multiplier, base;            /* base >= 1 */
    int32_t allowed_length, last_n;     /* >= 0; >= 0, -1: all */
    const struct nib_id_list *breakers; /* sequences of at least one id below n_vocab; copied */
    size_t n_breakers;
};

enum nib_status nib_dry_create(struct nib_dry **out, const struct nib_dry_params *params,
                               size_t n_vocab, struct nib_error *err);
void nib_dry_free(struct nib_dry *d);

/* Look at the history: what nib_dry_edits() gives until the next call. */
enum nib_status nib_dry_update(struct nib_dry *d, const struct nib_history *history,
                               struct nib_error *err);
struct nib_edits nib_dry_edits(const struct nib_dry *d);

#endif
