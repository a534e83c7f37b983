/* The ids of prompt and output so far. */
#ifndef NIB_HISTORY_H
#define NIB_HISTORY_H

#include "common.h"

struct nib_history {
    int32_t *ids;
    size_t n, capacity;
};

/* Room for n_more ids, so that adding them cannot fail. */
enum nib_status nib_history_reserve(struct nib_history *h, size_t n_more, struct nib_error *err);
void nib_history_add(struct nib_history *h, int32_t id);
void nib_history_free(struct nib_history *h);

#endif
