/*
 * T5's bias by distance (Raffel et al. 2020, https://arxiv.org/abs/1910.10683, section 2.1):
 * distances fall into buckets, the near ones one by one, farther ones by their logarithm up to
 * max_distance; a bucket has a bias for each head.  Layers without biases of their own use those of
 * the first.
 */
#include "model.h"

#include <sleef.h>
#include <stdlib.h>

/* Of a distance n >= 0 behind or before the query, among n_buckets. */
static uint32_t bucket_of(uint32_t n, uint32_t n_buckets, uint32_t max_distance)
{
    const uint32_t n_exact = n_buckets / 2;
    if (n < n_exact)
        return n;
    if (n_exact == 0)
        return n_buckets - 1;
    const double ratio = Sleef_cinz_logd1_u10purec((double)n / n_exact) /
                         Sleef_cinz_logd1_u10purec((double)max_distance / n_exact);
    /* Powers fall on whole numbers, from which rounding must not keep them. */
    const uint32_t bucket = n_exact + (uint32_t)(ratio * (n_buckets - n_exact) + 1e-6);
    return bucket < n_buckets ? bucket : n_buckets - 1;
}

/* The bucket of key - query = t: half of the buckets for keys that come after, unless causal. */
static uint32_t bucket_at(int64_t t, const struct nib_config *c, bool is_causal)
{
    if (is_causal)
        return bucket_of(t < 0 ? (uint32_t)-t : 0, c->n_buckets, c->max_distance);
    const uint32_t half = c->n_buckets / 2;
    return t > 0 ? half + bucket_of((uint32_t)t, half, c->max_distance)
                 : bucket_of((uint32_t)-t, half, c->max_distance);
}

static enum nib_status fill(struct nib_distance_bias *out, const float *values,
                            const struct nib_config *c, bool is_causal, struct nib_error *err)
{
    out->n_before = c->max_distance;
    out->n_after = is_causal ? 0 : c->max_distance;
    const size_t n = nib_distance_bias_length(out);
    float *table = malloc(c->n_heads * n * sizeof(*table));
    if (!table)
        return nib_fail_memory(err, c->n_heads * n * sizeof(*table), "biases by distance");
    const int64_t first = -(int64_t)out->n_before, last = out->n_after;
    for (size_t i = 0; i < n; i++) {
        int64_t t = first - (NIB_TILE - 1) + (int64_t)i;
        t = t < first ? first : t > last ? last : t;
        const float *bucket = values + bucket_at(t, c, is_causal) * c->n_heads;
        for (size_t h = 0; h < c->n_heads; h++)
            table[h * n + i] = bucket[h];
    }
    out->table = table;
    return NIB_OK;
}

enum nib_status nib_distance_bias_create(struct nib_model *model, bool is_causal,
                                         struct nib_error *err)
{
    const struct nib_config *c = &model->config;
    if (c->n_buckets == 0)
        return NIB_OK;
    model->biases = calloc(c->n_layers, sizeof(*model->biases));
    if (!model->biases)
        return nib_fail_memory(err, c->n_layers * sizeof(*model->biases), "biases by distance");
    enum nib_status status = NIB_OK;
    for (uint32_t i = 0; i < c->n_layers && status == NIB_OK; i++) {
        struct nib_layer *l = &model->layers[i];
        if (l->distance_bias)
            status = fill(&model->biases[i], l->distance_bias, c, is_causal, err);
        l->attn.rule.bias = &model->biases[l->distance_bias ? i : 0];
    }
    return status;
}

void nib_distance_bias_free(struct nib_model *model)
{
    for (uint32_t i = 0; model->biases && i < model->config.n_layers; i++)
        free((float *)model->biases[i].table);
    free(model->biases);
}
