/*
 * Filters thin candidates out or reshape them.  They may be applied in any order; each sees the
 * distribution that the one before it left, renormalised.
 */
#ifndef NIB_FILTERS_H
#define NIB_FILTERS_H

#include "candidates.h"

/* In the order of the sampling chain (llama.cpp's).  A filter is a row of the table in filters.c.
 */
enum nib_filter {
    NIB_FILTER_TOP_N_SIGMA,
    NIB_FILTER_TOP_K,
    NIB_FILTER_TYPICAL_P,
    NIB_FILTER_TOP_P,
    NIB_FILTER_MIN_P,
    NIB_FILTER_XTC,
    NIB_FILTER_TEMPERATURE,
    NIB_FILTER_MIROSTAT,
    NIB_FILTER_COUNT,
};

struct nib_filter_values {
    double value;     /* what the filter is named by: k, p, m, n, t; mirostat: the surprise mu */
    double threshold; /* XTC */
    double range, exponent; /* temperature: dynamic if the range is not 0 */
    double random;          /* XTC: uniform in [0, 1), for this choice */
};

/* A bound below which no candidate of the row outlives `filter`; may use `scratch`.  -infinity
 * where there is none. */
double nib_filter_bound(enum nib_filter filter, const struct nib_filter_values *v,
                        const struct nib_row *row, struct nib_candidates *scratch);

/* Is that bound the same for logits that a constant was divided out of? */
bool nib_filter_goes_by_order(enum nib_filter filter);

const char *nib_filter_name(enum nib_filter filter); /* "top-k" */
bool nib_filter_is_random(enum nib_filter filter);   /* reads values->random */
/* These values change nothing. */
bool nib_filter_is_off(enum nib_filter filter, const struct nib_filter_values *v);

/* At least one candidate remains. */
void nib_filter_apply(enum nib_filter filter, const struct nib_filter_values *v,
                      struct nib_candidates *c);

#endif
