/* See dry.h.  Lengths come from the Z-function of the reversed history, in linear time. */
#include "dry.h"

#include <sleef.h>
#include <stdlib.h>

struct breaker { /* the ids [begin, begin + n) of `ids` */
    int32_t head;
    uint32_t begin, n;
};

struct nib_dry {
    struct nib_dry_params params; /* without the breakers */
    size_t n_vocab;
    struct breaker *breakers; /* [n_breakers] by their first ids, the short ones first */
    int32_t *ids;
    uint32_t *first; /* [n_vocab] breaker that begins with this id; n_breakers: none */
    /* What the latest update found: the longest repetition that each of `seen` would make longer.
     */
    uint32_t *longest; /* [n_vocab] plus one; 0 for ids that are not seen */
    int32_t *seen;     /* [n_seen] */
    size_t n_seen;
    uint32_t *z; /* scratch */
    size_t z_capacity;
};

static int compare_breakers(const void *left, const void *right)
{
    const struct breaker *a = left, *b = right;
    if (a->head != b->head)
        return a->head < b->head ? -1 : 1;
    return a->n < b->n ? -1 : a->n > b->n;
}

static void fill_breakers(struct nib_dry *d, const struct nib_id_list *breakers)
{
    const size_t n = d->params.n_breakers;
    uint32_t used = 0;
    for (size_t i = 0; i < n; i++) {
        assert(breakers[i].n_ids > 0);
        d->breakers[i] = (struct breaker){breakers[i].ids[0], used, (uint32_t)breakers[i].n_ids};
        memcpy(d->ids + used, breakers[i].ids, breakers[i].n_ids * sizeof(*d->ids));
        used += (uint32_t)breakers[i].n_ids;
    }
    qsort(d->breakers, n, sizeof(*d->breakers), compare_breakers);
    for (size_t id = 0; id < d->n_vocab; id++)
        d->first[id] = (uint32_t)n;
    for (size_t i = n; i-- > 0;)
        d->first[d->breakers[i].head] = (uint32_t)i;
}

enum nib_status nib_dry_create(struct nib_dry **out, const struct nib_dry_params *params,
                               size_t n_vocab, struct nib_error *err)
{
    size_t n_ids = 0;
    for (size_t i = 0; i < params->n_breakers; i++)
        n_ids += params->breakers[i].n_ids;
    struct nib_dry *d = *out = calloc(1, sizeof(*d));
    if (d && n_ids <= UINT32_MAX) {
        d->params = *params;
        d->params.breakers = NULL;
        d->n_vocab = n_vocab;
        d->breakers = calloc(params->n_breakers + 1, sizeof(*d->breakers));
        d->ids = calloc(n_ids + 1, sizeof(*d->ids));
        d->first = calloc(n_vocab, sizeof(*d->first));
        d->longest = calloc(n_vocab, sizeof(*d->longest));
        d->seen = calloc(n_vocab, sizeof(*d->seen));
        if (d->breakers && d->ids && d->first && d->longest && d->seen) {
            fill_breakers(d, params->breakers);
            return NIB_OK;
        }
    }
    nib_dry_free(d);
    *out = NULL;
    return nib_fail_memory(err, n_vocab * 12 + n_ids * 16, "DRY");
}

void nib_dry_free(struct nib_dry *d)
{
    if (!d)
        return;
    free(d->breakers);
    free(d->ids);
    free(d->first);
    free(d->longest);
    free(d->seen);
    free(d->z);
    free(d);
}

/* The ids after the longest breaker that begins at `place` of the window; -1: none begins there. */
static int64_t breaker_tail(const struct nib_dry *d, const int32_t *window, size_t n, size_t place)
{
    int64_t longest = -1;
    for (size_t b = d->first[window[place]];
         b < d->params.n_breakers && d->breakers[b].head == window[place]; b++) {
        const struct breaker *breaker = &d->breakers[b];
        if (breaker->n <= n - place && (int64_t)breaker->n - 1 > longest &&
            memcmp(window + place, d->ids + breaker->begin, breaker->n * sizeof(*window)) == 0)
            longest = (int64_t)breaker->n - 1;
    }
    return longest;
}

/* How far back a repetition may reach: the ids after the latest breaker. */
static size_t reach(const struct nib_dry *d, const int32_t *window, size_t n)
{
    for (size_t after = 0; d->params.n_breakers > 0 && after < n; after++) {
        const int64_t tail = breaker_tail(d, window, n, n - 1 - after);
        if (tail >= 0)
            return after - (size_t)tail;
    }
    return n;
}

/* z[i]: how many ids before and with place n - 1 - i equal the last ids of the window. */
static void z_function(uint32_t *z, const int32_t *window, size_t n)
{
    const int32_t *last = window + n - 1;
    size_t left = 0, right = 0; /* the match that reaches furthest: [left, right) */
    z[0] = (uint32_t)n;
    for (size_t i = 1; i < n; i++) {
        size_t length = 0;
        if (i < right)
            length = z[i - left] < right - i ? z[i - left] : right - i;
        while (i + length < n && *(last - length) == *(last - i - length))
            length++;
        z[i] = (uint32_t)length;
        if (i + length > right) {
            left = i;
            right = i + length;
        }
    }
}

static bool is_breaker(const struct nib_dry *d, int32_t id)
{
    const uint32_t b = d->first[id];
    return b < d->params.n_breakers && d->breakers[b].n == 1;
}

static void note(struct nib_dry *d, int32_t id, uint32_t length)
{
    if (is_breaker(d, id))
        return;
    if (d->longest[id] == 0)
        d->seen[d->n_seen++] = id;
    if (d->longest[id] < length + 1)
        d->longest[id] = length + 1;
}

enum nib_status nib_dry_update(struct nib_dry *d, const struct nib_history *history,
                               struct nib_error *err)
{
    for (size_t i = 0; i < d->n_seen; i++)
        d->longest[d->seen[i]] = 0;
    d->n_seen = 0;
    size_t n = history->n < UINT32_MAX ? history->n : UINT32_MAX - 1;
    if (d->params.last_n >= 0 && n > (size_t)d->params.last_n)
        n = (size_t)d->params.last_n;
    const size_t allowed = (size_t)d->params.allowed_length;
    if (n <= allowed)
        return NIB_OK;
    const int32_t *window = history->ids + history->n - n;
    const size_t limit = reach(d, window, n);
    if (limit < allowed)
        return NIB_OK;
    if (d->z_capacity < n) {
        uint32_t *z = realloc(d->z, (n + n / 2) * sizeof(*z));
        if (!z)
            return nib_fail_memory(err, (n + n / 2) * sizeof(*z), "DRY");
        d->z = z;
        d->z_capacity = n + n / 2;
    }
    z_function(d->z, window, n);
    for (size_t i = 1; i < n; i++) {
        const size_t length = d->z[i] < limit ? d->z[i] : limit;
        if (length >= allowed)
            note(d, window[n - i], (uint32_t)length);
    }
    return NIB_OK;
}

static double edit(const void *self, int32_t id, double logit)
{
    const struct nib_dry *d = self;
    if (d->longest[id] == 0)
        return logit;
    const double over = (double)d->longest[id] - 1 - d->params.allowed_length;
    return logit - d->params.multiplier * Sleef_cinz_powd1_u10purec(d->params.base, over);
}

struct nib_edits nib_dry_edits(const struct nib_dry *d)
{
    return (struct nib_edits){.n = d->n_seen, .ids = d->seen, .edit = edit, .self = d};
}
