/*
 * Biases of keys in an int8 cache.  Some models (Qwen2.5) give a few channels of keys a bias that
 * is hundreds of times the size of what it is added to, and one scale for a whole vector then has
 * no precision left for the rest.  Softmax does not see what all keys of a segment have in common,
 * so that part of the bias is left out; rotation is what keeps it from being all of it:
 *
 *     held   k / s - m     m = the mean of R(p) b / s over the positions p of the segment
 *     query  q s           and q m goes to the maximum of its softmax over the segment
 *
 * s is a power of two for each pair of channels that rotate together: where the bias turns too fast
 * for its mean to be of use, half of its size, in bits, is moved from the key to the query.
 */
#ifndef NIB_KEY_BIAS_H
#define NIB_KEY_BIAS_H

#include "step.h"

struct nib_key_bias {
    size_t d, n_heads, n_pairs; /* n_pairs: that rotate */
    float *bias;                /* [layers][n_heads][d] b / s */
    float *scale;               /* [layers][n_heads][d] s */
    /* [segments][n_pairs] of nib_rope_mean_angles() */
    struct nib_buffer cosine[NIB_ROPE_COUNT], sine[NIB_ROPE_COUNT];
};

/* Of one KV head of a layer. */
static inline const float *nib_key_bias_scale(const struct nib_key_bias *kb, size_t layer,
                                              size_t head)
{
    return kb->scale + (layer * kb->n_heads + head) * kb->d;
}

/* Of its keys, as an int8 cache holds them: is their bias treated so? */
bool nib_key_bias_in(const struct nib_attention_weights *w);

/* Memory for contexts of n_segments; 0 if no layer has such a bias. */
uint64_t nib_key_bias_bytes(const struct nib_model *model, size_t n_segments);

/* Lays itself out in `memory` and fills it. */
void nib_key_bias_init(struct nib_key_bias *kb, const struct nib_model *model,
                       const float *const frequency[NIB_ROPE_COUNT], size_t n_segments,
                       uint8_t *memory);

/* mean[d] of the keys of a segment; `rope` is the layer's. */
void nib_key_bias_mean(const struct nib_key_bias *kb, const struct nib_kernels *kernels,
                       float *mean, size_t layer, size_t head, int rope, size_t segment);

#endif
