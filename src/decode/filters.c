/*
 * The filters:
 *   top-n-sigma n   logit >= largest - n * standard deviation of the logits
 *                   (Tang et al. 2024, "Top-n-sigma: not all logits are you need")
 *   top-k k         the k largest, and those equal to the k-th
 *   typical-p p     in ascending order of |-log probability - entropy|: while the mass before is
 *                   < p (Meister et al. 2023, "Locally typical sampling")
 *   top-p p         in descending order of probability: while the mass before is < p
 *                   (Holtzman et al. 2020, "The curious case of neural text degeneration")
 *   min-p m         probability >= m times the largest one
 *   xtc p, t        with probability p: of those with a probability >= t, only the least probable
 *   temperature t   logits / t; with a range r, t becomes t - r + 2 r (entropy / log n)^exponent
 *   mirostat mu     -log2 probability <= mu, at least the most probable
 *                   (Basu et al. 2021, "Mirostat", version 2; the sampler moves mu)
 */
#include "filters.h"

#include <math.h>
#include <sleef.h>

static void top_n_sigma(struct nib_candidates *c, const struct nib_filter_values *v)
{
    const double n = (double)c->n, max = nib_candidates_largest(c);
    const double mean = nib_sum(c->logits, c->n) / n;
    for (size_t i = 0; i < c->n; i++)
        c->keys[i] = (c->logits[i] - mean) * (c->logits[i] - mean);
    nib_candidates_keep_from(c, max - v->value * sqrt(nib_sum(c->keys, c->n) / n));
}

static double kth_largest(struct nib_candidates *c, double k)
{
    nib_candidates_keep_prefix(c, c->logits, false, k);
    double least = c->logits[0];
    for (size_t i = 1; i < c->n; i++)
        least = c->logits[i] < least ? c->logits[i] : least;
    return least;
}

static void top_k(struct nib_candidates *c, const struct nib_filter_values *v)
{
    if (v->value >= (double)c->n)
        return;
    const size_t n = c->n;
    const double bound = kth_largest(c, v->value);
    c->n = n; /* what was not kept lies behind what was: look for the k-th one's equals */
    nib_candidates_keep_from(c, bound);
}

/* The k-th largest block maximum: k blocks hold at least one logit that large. */
static double bound_top_k(const struct nib_row *row, const struct nib_filter_values *v,
                          struct nib_candidates *scratch)
{
    const size_t n = nib_row_blocks(row->n);
    if (v->value >= (double)n)
        return -INFINITY;
    for (size_t i = 0; i < n; i++) {
        scratch->ids[i] = (int32_t)i;
        scratch->logits[i] = row->block_max[i];
    }
    scratch->n = n;
    return kth_largest(scratch, v->value);
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

static void top_p(struct nib_candidates *c, const struct nib_filter_values *v)
{
    const double mass = v->value * nib_candidates_weigh(c), max = nib_candidates_largest(c);
    /* Drop the many small ones first: those that come before them have all the mass asked for. */
    for (double distance = 1; distance < 64; distance *= 2)
        if (mass_from(c, max - distance) >= mass) {
            nib_candidates_keep_from(c, max - distance);
            break;
        }
    nib_candidates_keep_prefix(c, c->logits, true, mass);
}

static double least_logit(double max, double m)
{
    return max + Sleef_cinz_logd1_u10purec(m);
}

static void min_p(struct nib_candidates *c, const struct nib_filter_values *v)
{
    nib_candidates_keep_from(c, least_logit(nib_candidates_largest(c), v->value));
}

static double bound_min_p(const struct nib_row *row, const struct nib_filter_values *v,
                          struct nib_candidates *scratch)
{
    (void)scratch;
    return least_logit(row->logits[row->best], v->value);
}

/* The sum of p_j logit_j: the entropy is log(total weight) + largest logit - this. */
static double mean_logit(struct nib_candidates *c)
{
    const double total = nib_candidates_weigh(c), max = nib_candidates_largest(c);
    for (size_t i = 0; i < c->n; i++)
        c->keys[i] = c->weights[i] * (c->logits[i] - max);
    return max + nib_sum(c->keys, c->n) / total;
}

static void typical_p(struct nib_candidates *c, const struct nib_filter_values *v)
{
    /* -log p - entropy = mean logit - logit: the normalising constant cancels. */
    const double mean = mean_logit(c), total = nib_candidates_weigh(c);
    for (size_t i = 0; i < c->n; i++)
        c->keys[i] = -fabs(mean - c->logits[i]);
    nib_candidates_keep_prefix(c, c->keys, true, v->value * total);
    c->has_weights = false; /* the most likely candidate may be gone */
}

/* Of equals, the one with the highest id stays. */
static void xtc(struct nib_candidates *c, const struct nib_filter_values *v)
{
    if (!(v->random < v->value))
        return;
    const double bound =
        least_logit(nib_candidates_largest(c), v->threshold * nib_candidates_weigh(c));
    size_t stays = c->n, n = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->logits[i] >= bound &&
            (stays == c->n || c->logits[i] < c->logits[stays] ||
             (c->logits[i] == c->logits[stays] && c->ids[i] > c->ids[stays])))
            stays = i;
    for (size_t i = 0; i < c->n; i++) {
        const double logit = c->logits[i];
        c->ids[n] = c->ids[i];
        c->logits[n] = logit;
        n += logit < bound || i == stays;
    }
    c->n = n;
    c->has_weights = false;
}

/* A temperature of 0 would divide by it. */
static double dynamic_temperature(struct nib_candidates *c, const struct nib_filter_values *v)
{
    static const double least = 1e-6;
    if (c->n < 2)
        return v->value;
    const double total = nib_candidates_weigh(c), max = nib_candidates_largest(c);
    const double entropy = Sleef_cinz_logd1_u10purec(total) + max - mean_logit(c);
    const double share = entropy / Sleef_cinz_logd1_u10purec((double)c->n);
    const double low = v->value > v->range ? v->value - v->range : 0;
    const double t = low + (v->value + v->range - low) *
                               Sleef_cinz_powd1_u10purec(share > 0 ? share : 0, v->exponent);
    return t > least ? t : least;
}

static void temperature(struct nib_candidates *c, const struct nib_filter_values *v)
{
    const double t = v->range > 0 ? dynamic_temperature(c, v) : v->value;
    for (size_t i = 0; i < c->n; i++)
        c->logits[i] /= t;
    c->has_weights = false;
}

static void mirostat(struct nib_candidates *c, const struct nib_filter_values *v)
{
    static const double ln2 = 0x1.62e42fefa39efp-1;
    const double max = nib_candidates_largest(c);
    const double bound = least_logit(max, nib_candidates_weigh(c)) - v->value * ln2;
    nib_candidates_keep_from(c, bound < max ? bound : max);
}

static const struct {
    const char *name;
    double off; /* with this value the filter changes nothing */
    void (*apply)(struct nib_candidates *c, const struct nib_filter_values *v);
    double (*bound)(const struct nib_row *row, const struct nib_filter_values *v,
                    struct nib_candidates *scratch);
    bool goes_by_order, is_random;
} filters[NIB_FILTER_COUNT] = {
    [NIB_FILTER_TOP_N_SIGMA] = {"top-n-sigma", 0, top_n_sigma, NULL, false, false},
    [NIB_FILTER_TOP_K] = {"top-k", 0, top_k, bound_top_k, true, false},
    [NIB_FILTER_TYPICAL_P] = {"typical-p", 1, typical_p, NULL, false, false},
    [NIB_FILTER_TOP_P] = {"top-p", 1, top_p, NULL, false, false},
    [NIB_FILTER_MIN_P] = {"min-p", 0, min_p, bound_min_p, false, false},
    [NIB_FILTER_XTC] = {"xtc", 0, xtc, NULL, false, true},
    [NIB_FILTER_TEMPERATURE] = {"temperature", 1, temperature, NULL, false, false},
    [NIB_FILTER_MIROSTAT] = {"mirostat", INFINITY, mirostat, NULL, false, false},
};

const char *nib_filter_name(enum nib_filter filter)
{
    return filters[filter].name;
}

bool nib_filter_is_random(enum nib_filter filter)
{
    return filters[filter].is_random;
}

bool nib_filter_goes_by_order(enum nib_filter filter)
{
    return filters[filter].goes_by_order;
}

bool nib_filter_is_off(enum nib_filter filter, const struct nib_filter_values *v)
{
    /* Two candidates cannot both have more than half of the probability. */
    return (v->value == filters[filter].off && !(v->range > 0)) ||
           (filter == NIB_FILTER_XTC && v->threshold > 0.5);
}

void nib_filter_apply(enum nib_filter filter, const struct nib_filter_values *v,
                      struct nib_candidates *c)
{
    assert(c->n > 0);
    if (!nib_filter_is_off(filter, v))
        filters[filter].apply(c, v);
    assert(c->n > 0);
}

double nib_filter_bound(enum nib_filter filter, const struct nib_filter_values *v,
                        const struct nib_row *row, struct nib_candidates *scratch)
{
    if (nib_filter_is_off(filter, v) || !filters[filter].bound)
        return -INFINITY;
    return filters[filter].bound(row, v, scratch);
}
