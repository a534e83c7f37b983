/*
 * Which keys a query sees and what is added to its scores, said by rule and never as a matrix.  A
 * zeroed rule is plain causal attention.  The order of operations is docs/numerics.md, rule 6: dot
 * of the scaled query, soft cap, bias by distance, mask.
 */
#ifndef NIB_ATTENTION_RULE_H
#define NIB_ATTENTION_RULE_H

#include "kernels.h"

enum nib_attention_kind {
    NIB_ATTENTION_CAUSAL, /* keys at positions up to the query's own */
    NIB_ATTENTION_ALL,    /* all keys of the sequence, which is computed in one chunk */
    NIB_ATTENTION_CROSS,  /* all keys of another sequence (nib_work.cross) */
};

/*
 * A bias for each head and distance t = key - query, as T5 has it: t below -n_before counts as
 * -n_before, above n_after as n_after.  `table` holds for each head the values of t = -n_before to
 * n_after with NIB_TILE - 1 copies of the first before and of the last behind them, so that a tile
 * always adds one run of it.
 */
struct nib_distance_bias {
    const float *table; /* [n_heads][nib_distance_bias_length()] */
    uint32_t n_before, n_after;
};

struct nib_attention_rule {
    enum nib_attention_kind kind;
    uint32_t window;    /* W > 0: only keys with |query - key| < W; not for cross-attention */
    float soft_cap;     /* c > 0: s = c tanh(s / c) */
    const float *slope; /* ALiBi, of each query head: s -= slope |query - key|; or NULL */
    const struct nib_distance_bias *bias; /* or NULL */
};

static inline size_t nib_distance_bias_length(const struct nib_distance_bias *b)
{
    return (size_t)b->n_before + b->n_after + 1 + 2 * (NIB_TILE - 1);
}

/* The biases of a tile whose first key is at `distance` from the query. */
static inline const float *nib_distance_bias_run(const struct nib_distance_bias *b, size_t head,
                                                 int64_t distance)
{
    const int64_t least = -(int64_t)b->n_before - (NIB_TILE - 1);
    const int64_t t = distance < least ? least : distance > b->n_after ? b->n_after : distance;
    return b->table + head * nib_distance_bias_length(b) + (t - least);
}

/* Keys [*begin, *end) are visible at `position`; the sequence has n_keys (of no matter to causal
 * rules). */
static inline void nib_visible_keys(const struct nib_attention_rule *rule, size_t position,
                                    size_t n_keys, size_t *begin, size_t *end)
{
    const size_t window = rule->kind == NIB_ATTENTION_CROSS ? 0 : rule->window;
    *begin = window && position >= window ? position - window + 1 : 0;
    *end = rule->kind == NIB_ATTENTION_CAUSAL ? position + 1 : n_keys;
    if (window && *end > position + window)
        *end = position + window;
}

#endif
