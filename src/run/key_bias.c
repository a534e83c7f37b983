#include "key_bias.h"

#include "positions.h"

#include <string.h>

bool nib_key_bias_in(const struct nib_attention_weights *w)
{
    return w->k.b && !w->k_norm.norm.w && !(w->rule.soft_cap > 0) &&
           w->rule.kind != NIB_ATTENTION_CROSS;
}

/* Rows of angles, in whole cache lines. */
static size_t angle_stride(const struct nib_config *c)
{
    return (c->n_rot / 2 + 15) & ~(size_t)15;
}

static size_t vector_floats(const struct nib_config *c)
{
    const size_t n = (size_t)c->n_layers * c->n_kv_heads * c->d_head;
    return (n + 15) & ~(size_t)15;
}

uint64_t nib_key_bias_bytes(const struct nib_model *model, size_t n_segments)
{
    const struct nib_config *c = &model->config;
    bool is_used = false;
    for (size_t i = 0; i < c->n_layers; i++)
        is_used |= nib_key_bias_in(&model->layers[i].attn);
    const uint64_t n_angles = (uint64_t)NIB_ROPE_COUNT * n_segments * angle_stride(c);
    return is_used ? (2 * n_angles + 2 * vector_floats(c)) * sizeof(float) : 0;
}

/* ---- scales --------------------------------------------------------------------------------- */

/* The power of two nearest to the fourth root of 1 + r, with r the mean square of what the mean
 * leaves of a pair's bias, and 1 for what else a key has. */
static float pair_scale(float r)
{
    float s = 1;
    while (4 * (s * s) * (s * s) < 1 + r)
        s *= 2;
    return s;
}

/* Of the pairs of one head; `spread` is the variance of R(p) over a segment for each. */
static void scale_head(float *bias, float *scale, const float *b, const float *spread,
                       size_t n_pairs, size_t d)
{
    for (size_t i = 0; i < d; i++)
        scale[i] = 1;
    for (size_t i = 0; i < n_pairs; i++) {
        const float x = b[i], y = b[n_pairs + i];
        scale[i] = scale[n_pairs + i] = pair_scale((x * x + y * y) / 2 * spread[i]);
    }
    for (size_t i = 0; i < d; i++)
        bias[i] = b[i] / scale[i];
}

/* |R(p) x|^2 less |mean of R(p) x|^2, for |x| = 1; the same in all segments. */
static void find_spread(float *spread, const float *c, const float *s, size_t n, float magnitude)
{
    for (size_t i = 0; i < n; i++) {
        const float left = magnitude * magnitude - (c[i] * c[i] + s[i] * s[i]);
        spread[i] = left > 0 ? left : 0;
    }
}

static void init_layer(const struct nib_key_bias *kb, const struct nib_model *model, size_t layer)
{
    const struct nib_attention_weights *w = &model->layers[layer].attn;
    float spread[NIB_MAX_HEAD] = {0};
    if (!nib_key_bias_in(w))
        return;
    if (w->rope != NIB_ROPE_NONE && kb->n_pairs > 0)
        find_spread(spread, kb->cosine[w->rope].data, kb->sine[w->rope].data, kb->n_pairs,
                    model->config.rope[w->rope].magnitude);
    for (size_t head = 0; head < kb->n_heads; head++) {
        const size_t at = (layer * kb->n_heads + head) * kb->d;
        scale_head(kb->bias + at, kb->scale + at, w->k.b + head * kb->d, spread, kb->n_pairs,
                   kb->d);
    }
}

/* ---- both ----------------------------------------------------------------------------------- */

void nib_key_bias_init(struct nib_key_bias *kb, const struct nib_model *model,
                       const float *const frequency[NIB_ROPE_COUNT], size_t n_segments,
                       uint8_t *memory)
{
    const struct nib_config *c = &model->config;
    const size_t stride = angle_stride(c);
    float *p = (float *)(void *)memory;
    *kb = (struct nib_key_bias){
        .d = c->d_head, .n_heads = c->n_kv_heads, .n_pairs = c->n_rot / 2, .bias = p};
    kb->scale = p + vector_floats(c);
    p += 2 * vector_floats(c);
    for (int i = 0; i < NIB_ROPE_COUNT; i++) {
        kb->cosine[i] = (struct nib_buffer){p, stride}, p += n_segments * stride;
        kb->sine[i] = (struct nib_buffer){p, stride}, p += n_segments * stride;
        for (size_t j = 0; j < n_segments && c->rope[i].base > 0; j++)
            nib_rope_mean_angles(kb->cosine[i].data + j * stride, kb->sine[i].data + j * stride,
                                 frequency[i], kb->n_pairs, (uint32_t)(j * NIB_SEGMENT),
                                 NIB_SEGMENT, c->rope[i].magnitude);
    }
    for (size_t layer = 0; layer < c->n_layers; layer++)
        init_layer(kb, model, layer);
}

void nib_key_bias_mean(const struct nib_key_bias *kb, const struct nib_kernels *kernels,
                       float *mean, size_t layer, size_t head, int rope, size_t segment)
{
    memcpy(mean, kb->bias + (layer * kb->n_heads + head) * kb->d, kb->d * sizeof(*mean));
    if (rope != NIB_ROPE_NONE && kb->n_pairs > 0)
        kernels->rope(mean, kb->cosine[rope].data + segment * kb->cosine[rope].stride,
                      kb->sine[rope].data + segment * kb->sine[rope].stride, kb->n_pairs);
}
