/* See history.h. */
#include "history.h"

#include <stdlib.h>

enum nib_status nib_history_reserve(struct nib_history *h, size_t n_more, struct nib_error *err)
{
    if (h->capacity - h->n >= n_more)
        return NIB_OK;
    const size_t capacity = h->n + n_more + h->capacity / 2 + 64;
    int32_t *ids = n_more <= SIZE_MAX / 16 ? realloc(h->ids, capacity * sizeof(*ids)) : NULL;
    if (!ids)
        return nib_fail_memory(err, capacity * sizeof(*ids), "the sampler's history");
    h->ids = ids;
    h->capacity = capacity;
    return NIB_OK;
}

void nib_history_add(struct nib_history *h, int32_t id)
{
    assert(h->n < h->capacity);
    h->ids[h->n++] = id;
}

void nib_history_free(struct nib_history *h)
{
    free(h->ids);
    *h = (struct nib_history){0};
}
