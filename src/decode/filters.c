/*
 * The filters:
 *   temperature t   logits / t
 *   top-k k         the k largest, and those equal to the k-th
 *   top-p p         in descending order of probability: while the mass before is < p
 *                   (Holtzman et al. 2020, "The curious case of neural text degeneration")
 *   min-p m         probability >= m times the largest one
 *   typical-p p     in ascending order of |-log probability - entropy|: while the mass before is <
 * p (Meister et al. 2023, "Locally typical sampling") Nothing is ever sorted: prefixes of an order
 * are found by selection, in linear time.
 */
#include "filters.h"

#include <math.h>
#include <sleef.h>
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

static double largest(const double *x, size_t n)
{
    double max = x[0];
    for (size_t i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

double nib_candidates_weigh(struct nib_candidates *c)
{
    if (!c->has_weights) {
        const double max = largest(c->logits, c->n);
        for (size_t i = 0; i < c->n; i++)
            c->weights[i] = c->logits[i] - max;
        nib_exp(c->weights, c->weights, c->n);
        c->has_weights = true;
    }
    return nib_sum(c->weights, c->n);
}

int32_t nib_candidates_draw(struct nib_candidates *c, double u)
{
    const double target = u * nib_candidates_weigh(c);
    double mass = 0;
    for (size_t i = 0; i + 1 < c->n; i++) {
        mass += c->weights[i];
        if (mass > target)
            return c->ids[i];
    }
    return c->ids[c->n - 1];
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

/*
 * In the order of keys, keep a candidate if the measure of those before it is < limit: the measure
 * of a candidate is 1, or its weight.  At least the first is kept, as limit > 0.
 */
static void keep_prefix(struct nib_candidates *c, double *keys, bool by_weight, double limit)
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

static void keep_logits_from(struct nib_candidates *c, double bound)
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

/* ---- the filters ---------------------------------------------------------------------------- */

static double kth_largest(struct nib_candidates *c, double k)
{
    keep_prefix(c, c->logits, false, k);
    double least = c->logits[0];
    for (size_t i = 1; i < c->n; i++)
        least = c->logits[i] < least ? c->logits[i] : least;
    return least;
}

static void top_k(struct nib_candidates *c, double k)
{
    if (k >= (double)c->n)
        return;
    const size_t n = c->n;
    const double bound = kth_largest(c, k);
    c->n = n; /* what was not kept lies behind what was: look for the k-th one's equals */
    keep_logits_from(c, bound);
}

/* The k-th largest block maximum: k blocks hold at least one logit that large. */
static double bound_top_k(const struct nib_row *row, double k, struct nib_candidates *scratch)
{
    const size_t n = nib_row_blocks(row->n);
    if (k >= (double)n)
        return -INFINITY;
    for (size_t i = 0; i < n; i++) {
        scratch->ids[i] = (int32_t)i;
        scratch->logits[i] = row->block_max[i];
    }
    scratch->n = n;
    return kth_largest(scratch, k);
}

/* The mass of the candidates whose logit is at least `bound`. */
static double mass_from(const struct nib_candidates *c, double bound)
{
    double lanes[4] = {0};
    size_t i = 0;
    for (; i + 4 <= c->n; i += 4)
        for (size_t j = 0; j < 4; j++)
            lanes[j] += c->logits[i + j] >= bound ? c->weights[i + j] : 0.0;
    for (size_t j = 0; i < c->n; i++, j++)
        lanes[j] += c->logits[i] >= bound ? c->weights[i] : 0.0;
    return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
}

static void top_p(struct nib_candidates *c, double p)
{
    const double mass = p * nib_candidates_weigh(c), max = largest(c->logits, c->n);
    /* Drop the many small ones first: those that come before them have all the mass asked for. */
    for (double distance = 1; distance < 64; distance *= 2)
        if (mass_from(c, max - distance) >= mass) {
            keep_logits_from(c, max - distance);
            break;
        }
    keep_prefix(c, c->logits, true, mass);
}

static double least_logit(double max, double m)
{
    return max + Sleef_cinz_logd1_u10purec(m);
}

static void min_p(struct nib_candidates *c, double m)
{
    keep_logits_from(c, least_logit(largest(c->logits, c->n), m));
}

static double bound_min_p(const struct nib_row *row, double m, struct nib_candidates *scratch)
{
    (void)scratch;
    return least_logit(row->logits[row->best], m);
}

static void typical_p(struct nib_candidates *c, double p)
{
    /* -log p - entropy = sum of p_j logit_j - logit: the normalising constant cancels. */
    const double total = nib_candidates_weigh(c), max = largest(c->logits, c->n);
    for (size_t i = 0; i < c->n; i++)
        c->keys[i] = c->weights[i] * (c->logits[i] - max);
    const double mean = max + nib_sum(c->keys, c->n) / total;
    for (size_t i = 0; i < c->n; i++)
        c->keys[i] = -fabs(mean - c->logits[i]);
    keep_prefix(c, c->keys, true, p * total);
    c->has_weights = false; /* the most likely candidate may be gone */
}

static void temperature(struct nib_candidates *c, double t)
{
    for (size_t i = 0; i < c->n; i++)
        c->logits[i] /= t;
    c->has_weights = false;
}

static const struct {
    const char *name;
    double off; /* with this value the filter changes nothing */
    void (*apply)(struct nib_candidates *c, double value);
    double (*bound)(const struct nib_row *row, double value, struct nib_candidates *scratch);
} filters[NIB_FILTER_COUNT] = {
    [NIB_FILTER_TOP_K] = {"top-k", 0, top_k, bound_top_k},
    [NIB_FILTER_TYPICAL_P] = {"typical-p", 1, typical_p, NULL},
    [NIB_FILTER_TOP_P] = {"top-p", 1, top_p, NULL},
    [NIB_FILTER_MIN_P] = {"min-p", 0, min_p, bound_min_p},
    [NIB_FILTER_TEMPERATURE] = {"temperature", 1, temperature, NULL},
};

const char *nib_filter_name(enum nib_filter filter)
{
    return filters[filter].name;
}

bool nib_filter_is_off(enum nib_filter filter, double value)
{
    return value == filters[filter].off;
}

void nib_filter_apply(enum nib_filter filter, double value, struct nib_candidates *c)
{
    assert(c->n > 0);
    if (!nib_filter_is_off(filter, value))
        filters[filter].apply(c, value);
    assert(c->n > 0);
}

double nib_filter_bound(enum nib_filter filter, double value, const struct nib_row *row,
                        struct nib_candidates *scratch)
{
    if (nib_filter_is_off(filter, value) || !filters[filter].bound)
        return -INFINITY;
    return filters[filter].bound(row, value, scratch);
}
