/* See candidates.h. */
#include "candidates.h"

#include <math.h>
#include <stdlib.h>

enum nib_status nib_candidates_create(struct nib_candidates *out, size_t capacity,
                                      struct nib_error *err)
{
    *out = (struct nib_candidates){.capacity = capacity};
    out->ids = calloc(capacity, sizeof(*out->ids));
    out->logits = calloc(capacity, sizeof(*out->logits));
    out->weights = calloc(capacity, sizeof(*out->weights));
    out->keys = calloc(capacity, sizeof(*out->keys));
    if (out->ids && out->logits && out->weights && out->keys)
        return NIB_OK;
    nib_candidates_free(out);
    return nib_fail_memory(err, capacity * 28, "the sampler's candidates");
}

void nib_candidates_free(struct nib_candidates *c)
{
    free(c->ids);
    free(c->logits);
    free(c->weights);
    free(c->keys);
    *c = (struct nib_candidates){0};
}

void nib_candidates_load(struct nib_candidates *c, const struct nib_row *row, double bound)
{
    assert(row->n <= c->capacity);
    size_t n = 0;
    for (size_t b = 0; b < nib_row_blocks(row->n); b++) {
        if ((double)row->block_max[b] < bound)
            continue;
        const size_t begin = b * NIB_LOGITS_BLOCK;
        const size_t end = begin + NIB_LOGITS_BLOCK < row->n ? begin + NIB_LOGITS_BLOCK : row->n;
        for (size_t i = begin; i < end; i++) {
            const double logit = row->logits[i];
            c->ids[n] = (int32_t)i;
            c->logits[n] = logit;
            n += logit >= bound && logit > -INFINITY;
        }
    }
    c->n = n;
    c->has_weights = false;
}

double nib_candidates_largest(const struct nib_candidates *c)
{
    double max = c->logits[0];
    for (size_t i = 1; i < c->n; i++)
        max = c->logits[i] > max ? c->logits[i] : max;
    return max;
}

double nib_candidates_weigh(struct nib_candidates *c)
{
    if (!c->has_weights) {
        const double max = nib_candidates_largest(c);
        for (size_t i = 0; i < c->n; i++)
            c->weights[i] = c->logits[i] - max;
        nib_exp(c->weights, c->weights, c->n);
        c->has_weights = true;
    }
    return nib_sum(c->weights, c->n);
}

size_t nib_candidates_draw(struct nib_candidates *c, double u)
{
    const double target = u * nib_candidates_weigh(c);
    double mass = 0;
    for (size_t i = 0; i + 1 < c->n; i++) {
        mass += c->weights[i];
        if (mass > target)
            return i;
    }
    return c->n - 1;
}

/* ---- prefixes of an order ------------------------------------------------------------------- */

static void swap(struct nib_candidates *c, double *keys, size_t i, size_t j)
{
    const int32_t id = c->ids[i];
    const double logit = c->logits[i], weight = c->weights[i];
    c->ids[i] = c->ids[j], c->ids[j] = id;
    c->logits[i] = c->logits[j], c->logits[j] = logit;
    c->weights[i] = c->weights[j], c->weights[j] = weight;
    if (keys != c->logits) {
        const double key = keys[i];
        keys[i] = keys[j], keys[j] = key;
    }
}

/* Larger keys come first, lower ids first among equal ones. */
static bool precedes(const struct nib_candidates *c, const double *keys, size_t i, size_t j)
{
    return keys[i] > keys[j] || (keys[i] == keys[j] && c->ids[i] < c->ids[j]);
}

/* Put the median of three places of [begin, end) last, partition by it, and return its place. */
static size_t partition(struct nib_candidates *c, double *keys, size_t begin, size_t end,
                        uint64_t *places)
{
    size_t at[3];
    for (int i = 0; i < 3; i++) {
        *places = *places * 6364136223846793005u + 1442695040888963407u;
        at[i] = begin + (size_t)(*places >> 33) % (end - begin);
    }
    const bool ab = precedes(c, keys, at[0], at[1]), bc = precedes(c, keys, at[1], at[2]);
    const bool ac = precedes(c, keys, at[0], at[2]);
    const size_t last = end - 1;
    swap(c, keys, ab == bc ? at[1] : ab == ac ? at[2] : at[0], last);
    size_t n = begin;
    for (size_t i = begin; i < last; i++)
        if (precedes(c, keys, i, last))
            swap(c, keys, i, n++);
    swap(c, keys, n, last);
    return n;
}

void nib_candidates_keep_prefix(struct nib_candidates *c, double *keys, bool by_weight,
                                double limit)
{
    size_t begin = 0, end = c->n; /* what comes before begin is kept, what comes from end is not */
    double before = 0;
    uint64_t places = 0;
    while (begin < end && before < limit) {
        const size_t pivot = partition(c, keys, begin, end, &places);
        const double measure =
            by_weight ? nib_sum(c->weights + begin, pivot - begin) : (double)(pivot - begin);
        if (before + measure < limit) {
            before += measure + (by_weight ? c->weights[pivot] : 1.0);
            begin = pivot + 1;
        } else {
            end = pivot;
        }
    }
    c->n = begin;
}

void nib_candidates_keep_from(struct nib_candidates *c, double bound)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        const double logit = c->logits[i];
        c->ids[n] = c->ids[i];
        c->logits[n] = logit;
        c->weights[n] = c->weights[i];
        n += logit >= bound;
    }
    c->n = n;
}
