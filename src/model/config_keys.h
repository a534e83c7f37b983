/*
 * The numbers that a file gives under its family's name, from one table of all keys with their
 * ranges.
 */
#ifndef NIB_CONFIG_KEYS_H
#define NIB_CONFIG_KEYS_H

#include "gguf.h"
#include "model.h"

/* The keys, without "llama." */
enum nib_config_key {
    NIB_KEY_BLOCK_COUNT,
    NIB_KEY_CONTEXT_LENGTH,
    NIB_KEY_EMBEDDING_LENGTH,
    NIB_KEY_FEED_FORWARD_LENGTH,
    NIB_KEY_HEAD_COUNT,
    NIB_KEY_HEAD_COUNT_KV,
    NIB_KEY_KEY_LENGTH,
    NIB_KEY_VALUE_LENGTH,
    NIB_KEY_RMS_EPS,
    NIB_KEY_LAYER_EPS,
    NIB_KEY_ROPE_DIMENSIONS,
    NIB_KEY_ROPE_BASE,
    NIB_KEY_ROPE_BASE_LOCAL,
    NIB_KEY_ROPE_FACTOR,
    NIB_KEY_ROPE_SCALE_LINEAR,
    NIB_KEY_ROPE_CTX_ORIGINAL,
    NIB_KEY_ROPE_MAGNITUDE,
    NIB_KEY_ROPE_BETA_FAST,
    NIB_KEY_ROPE_BETA_SLOW,
    NIB_KEY_WINDOW,
    NIB_KEY_SCORE_CAP,
    NIB_KEY_LOGIT_CAP,
    NIB_KEY_SCORE_SCALE,
    NIB_KEY_EMBEDDING_SCALE,
    NIB_KEY_RESIDUAL_SCALE,
    NIB_KEY_LOGIT_SCALE,
    NIB_KEY_ALIBI_BIAS,
    NIB_KEY_CLAMP_QKV,
    NIB_KEY_EXPERT_COUNT,
    NIB_KEY_EXPERTS_USED,
    NIB_KEY_EXPERT_LENGTH,
    NIB_KEY_SHARED_LENGTH,
    NIB_KEY_DECODER_BLOCK_COUNT,
    NIB_KEY_DECODER_HEAD_COUNT,
    NIB_KEY_DECODER_FEED_FORWARD,
    NIB_KEY_BUCKET_COUNT,
    NIB_KEY_MAX_DISTANCE,
    NIB_KEY_VOCAB_SIZE,
    NIB_KEY_COUNT
};

enum { NIB_MAX_KEY = 128 };

struct nib_config_reader {
    const struct nib_gguf *gguf;
    const struct nib_family *family;
    double value[NIB_KEY_COUNT]; /* 0 where the file has none, unless the table says otherwise */
    struct nib_error *err;
};

/* All keys, each within its range. */
enum nib_status nib_config_read_keys(struct nib_config_reader *r);

/* "llama.KEY" */
const char *nib_config_key_name(const struct nib_config_reader *r, const char *key,
                                char out[NIB_MAX_KEY]);

/* "FILE: llama.KEY is 5, but RULE; use another file of this model" */
enum nib_status nib_config_fail_key(const struct nib_config_reader *r, enum nib_config_key key,
                                    const char *rule);

/* A key of type bool or string.  A key of another type is an error, a missing one leaves *out. */
enum nib_status nib_config_read_bool(const struct nib_config_reader *r, const char *key, bool *out);
enum nib_status nib_config_read_string(const struct nib_config_reader *r, const char *key,
                                       struct nib_str *out);

/* A number for each of n_layers layers, to be freed; *out is NULL if the key is missing. */
enum nib_status nib_config_read_layer_ints(const struct nib_config_reader *r, const char *key,
                                           size_t n_layers, int64_t **out);
enum nib_status nib_config_read_layer_floats(const struct nib_config_reader *r, const char *key,
                                             size_t n_layers, float **out);

#endif
