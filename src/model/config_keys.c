/* See config_keys.h. */
#include "config_keys.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    IS_FLOAT = 1,
    IS_REQUIRED = 2,
    IS_OF_LAYER = 4, /* may be an array with a value for each layer */
};

/* What a file may say, both ends included.  An absent key has the value `absent`; 0 there means
 * that other keys decide, or that there is no such thing. */
static const struct range {
    const char *key;
    double min, max, absent;
    unsigned flags;
} ranges[NIB_KEY_COUNT] = {
    [NIB_KEY_BLOCK_COUNT] = {"block_count", 1, 4096, 0, IS_REQUIRED},
    [NIB_KEY_CONTEXT_LENGTH] = {"context_length", 1, 1 << 24, 0, IS_REQUIRED},
    [NIB_KEY_EMBEDDING_LENGTH] = {"embedding_length", 1, 1 << 18, 0, IS_REQUIRED},
    [NIB_KEY_FEED_FORWARD_LENGTH] = {"feed_forward_length", 1, 1 << 20, 0, IS_OF_LAYER},
    [NIB_KEY_HEAD_COUNT] = {"attention.head_count", 1, 1024, 0, IS_REQUIRED | IS_OF_LAYER},
    [NIB_KEY_HEAD_COUNT_KV] = {"attention.head_count_kv", 1, 1024, 0, IS_OF_LAYER},
    [NIB_KEY_KEY_LENGTH] = {"attention.key_length", 2, NIB_MAX_HEAD, 0, 0},
    [NIB_KEY_VALUE_LENGTH] = {"attention.value_length", 2, NIB_MAX_HEAD, 0, 0},
    [NIB_KEY_RMS_EPS] = {"attention.layer_norm_rms_epsilon", 1e-15, 0.5, 0, IS_FLOAT},
    [NIB_KEY_LAYER_EPS] = {"attention.layer_norm_epsilon", 1e-15, 0.5, 0, IS_FLOAT},
    [NIB_KEY_ROPE_DIMENSIONS] = {"rope.dimension_count", 2, NIB_MAX_HEAD, 0, 0},
    [NIB_KEY_ROPE_BASE] = {"rope.freq_base", 1, 1e12, 10000, IS_FLOAT},
    [NIB_KEY_ROPE_BASE_LOCAL] = {"rope.freq_base_swa", 1, 1e12, 0, IS_FLOAT},
    [NIB_KEY_ROPE_FACTOR] = {"rope.scaling.factor", 1e-3, 1e6, 1, IS_FLOAT},
    [NIB_KEY_ROPE_SCALE_LINEAR] = {"rope.scale_linear", 1e-3, 1e6, 1, IS_FLOAT},
    [NIB_KEY_ROPE_CTX_ORIGINAL] = {"rope.scaling.original_context_length", 1, 1 << 24, 0, 0},
    [NIB_KEY_ROPE_MAGNITUDE] = {"rope.scaling.attn_factor", 1e-3, 1e3, 1, IS_FLOAT},
    [NIB_KEY_ROPE_BETA_FAST] = {"rope.scaling.yarn_beta_fast", 1e-3, 1e6, 32, IS_FLOAT},
    [NIB_KEY_ROPE_BETA_SLOW] = {"rope.scaling.yarn_beta_slow", 1e-3, 1e6, 1, IS_FLOAT},
    [NIB_KEY_WINDOW] = {"attention.sliding_window", 0, UINT32_MAX, 0, 0},
    [NIB_KEY_SCORE_CAP] = {"attn_logit_softcapping", 1e-3, 1e6, 0, IS_FLOAT},
    [NIB_KEY_LOGIT_CAP] = {"final_logit_softcapping", 1e-3, 1e6, 0, IS_FLOAT},
    [NIB_KEY_SCORE_SCALE] = {"attention.scale", 1e-6, 1e3, 0, IS_FLOAT},
    [NIB_KEY_EMBEDDING_SCALE] = {"embedding_scale", 1e-6, 1e6, 0, IS_FLOAT},
    [NIB_KEY_RESIDUAL_SCALE] = {"residual_scale", 1e-6, 1e6, 1, IS_FLOAT},
    [NIB_KEY_LOGIT_SCALE] = {"logit_scale", 1e-6, 1e6, 1, IS_FLOAT},
    [NIB_KEY_ALIBI_BIAS] = {"attention.max_alibi_bias", 0, 1e3, 0, IS_FLOAT},
    [NIB_KEY_CLAMP_QKV] = {"attention.clamp_kqv", 0, 1e9, 0, IS_FLOAT},
    [NIB_KEY_EXPERT_COUNT] = {"expert_count", 0, 4096, 0, 0},
    [NIB_KEY_EXPERTS_USED] = {"expert_used_count", 0, NIB_MAX_EXPERTS_USED, 0, 0},
    [NIB_KEY_EXPERT_LENGTH] = {"expert_feed_forward_length", 1, 1 << 20, 0, 0},
    [NIB_KEY_SHARED_LENGTH] = {"expert_shared_feed_forward_length", 0, 1 << 20, 0, 0},
    [NIB_KEY_DECODER_BLOCK_COUNT] = {"decoder_block_count", 1, 4096, 0, 0},
    [NIB_KEY_DECODER_HEAD_COUNT] = {"decoder.attention.head_count", 1, 1024, 0, 0},
    [NIB_KEY_DECODER_FEED_FORWARD] = {"decoder.feed_forward_length", 1, 1 << 20, 0, 0},
    [NIB_KEY_BUCKET_COUNT] = {"attention.relative_buckets_count", 2, 4096, 0, 0},
    [NIB_KEY_MAX_DISTANCE] = {"attention.relative_max_distance", 1, 1 << 20, 128, 0},
    [NIB_KEY_VOCAB_SIZE] = {"vocab_size", 1, 1 << 24, 0, 0},
};

const char *nib_config_key_name(const struct nib_config_reader *r, const char *key,
                                char out[NIB_MAX_KEY])
{
    snprintf(out, NIB_MAX_KEY, "%s.%s", r->family->name, key);
    return out;
}

/* The value as the file has it, for messages. */
static void show_value(const struct nib_gguf *gguf, const char *key, char out[64])
{
    snprintf(out, 64, "missing");
    for (size_t i = 0; i < nib_gguf_key_count(gguf); i++)
        if (strcmp(nib_gguf_key(gguf, i), key) == 0)
            nib_gguf_value_text(gguf, i, out, 64);
}

static enum nib_status fail_count(const struct nib_config_reader *r, const char *name, size_t n,
                                  size_t n_layers)
{
    return nib_fail(r->err, NIB_ERROR_FILE,
                    "%s: %s has %zu values, expected one or one for each of the %zu layers; "
                    "get the file again from its publisher",
                    nib_gguf_path(r->gguf), name, n, n_layers);
}

enum nib_status nib_config_read_layer_ints(const struct nib_config_reader *r, const char *key,
                                           size_t n_layers, int64_t **out)
{
    char name[NIB_MAX_KEY];
    size_t n;
    *out = NULL;
    nib_config_key_name(r, key, name);
    if (!nib_gguf_ints(r->gguf, name, &n))
        return NIB_OK;
    if (n != n_layers)
        return fail_count(r, name, n, n_layers);
    *out = malloc(n * sizeof(**out));
    if (!*out)
        return nib_fail_memory(r->err, n * sizeof(**out), "the numbers of layers");
    nib_gguf_copy_ints(r->gguf, name, *out);
    return NIB_OK;
}

enum nib_status nib_config_read_layer_floats(const struct nib_config_reader *r, const char *key,
                                             size_t n_layers, float **out)
{
    char name[NIB_MAX_KEY];
    size_t n;
    *out = NULL;
    nib_config_key_name(r, key, name);
    if (!nib_gguf_floats(r->gguf, name, &n))
        return NIB_OK;
    if (n != n_layers)
        return fail_count(r, name, n, n_layers);
    *out = malloc(n * sizeof(**out));
    if (!*out)
        return nib_fail_memory(r->err, n * sizeof(**out), "the numbers of layers");
    nib_gguf_copy_floats(r->gguf, name, *out);
    return NIB_OK;
}

/* The value that an array has for every layer; the number of layers has been read. */
static enum nib_status read_alike(const struct nib_config_reader *r, const char *key,
                                  const char *name, int64_t *out)
{
    const size_t n = (size_t)r->value[NIB_KEY_BLOCK_COUNT];
    int64_t *values;
    const enum nib_status status = nib_config_read_layer_ints(r, key, n, &values);
    if (status != NIB_OK)
        return status;
    size_t i = 0;
    while (i < n && values[i] == values[0])
        i++;
    const int64_t first = values[0], other = i < n ? values[i] : first;
    free(values);
    if (i < n)
        return nib_fail(r->err, NIB_ERROR_FILE,
                        "%s: %s is %lld in layer 0 and %lld in layer %zu, but nibble runs only "
                        "models whose layers are alike; use another model",
                        nib_gguf_path(r->gguf), name, (long long)first, (long long)other, i);
    *out = first;
    return NIB_OK;
}

static enum nib_status read_key(struct nib_config_reader *r, enum nib_config_key key)
{
    const struct range *range = &ranges[key];
    char name[NIB_MAX_KEY], shown[64];
    nib_config_key_name(r, range->key, name);
    r->value[key] = range->absent;
    if (!nib_gguf_has(r->gguf, name) && !(range->flags & IS_REQUIRED))
        return NIB_OK;

    int64_t integer = 0;
    double number = 0;
    bool is_there;
    size_t n;
    if (range->flags & IS_FLOAT) {
        is_there = nib_gguf_float(r->gguf, name, &number);
    } else if ((range->flags & IS_OF_LAYER) && nib_gguf_ints(r->gguf, name, &n)) {
        const enum nib_status status = read_alike(r, range->key, name, &integer);
        if (status != NIB_OK)
            return status;
        is_there = true;
        number = (double)integer;
    } else {
        is_there = nib_gguf_int(r->gguf, name, &integer);
        number = (double)integer;
    }
    if (is_there && number >= range->min && number <= range->max) {
        r->value[key] = number;
        return NIB_OK;
    }
    show_value(r->gguf, name, shown);
    return nib_fail(
        r->err, NIB_ERROR_FILE,
        "%s: %s is %s, expected %s from %.10g to %.10g; the file is damaged, or made for "
        "other software: get it again from its publisher",
        nib_gguf_path(r->gguf), name, shown, range->flags & IS_FLOAT ? "a number" : "an integer",
        range->min, range->max);
}

enum nib_status nib_config_read_keys(struct nib_config_reader *r)
{
    enum nib_status status = NIB_OK;
    for (int key = 0; key < NIB_KEY_COUNT && status == NIB_OK; key++)
        status = read_key(r, (enum nib_config_key)key);
    return status;
}

enum nib_status nib_config_fail_key(const struct nib_config_reader *r, enum nib_config_key key,
                                    const char *rule)
{
    char name[NIB_MAX_KEY], shown[32];
    snprintf(shown, sizeof(shown), "is %.10g", r->value[key]);
    nib_config_key_name(r, ranges[key].key, name);
    return nib_fail(r->err, NIB_ERROR_FILE, "%s: %s %s, but %s; use another file of this model",
                    nib_gguf_path(r->gguf), name,
                    nib_gguf_has(r->gguf, name) || r->value[key] != 0 ? shown : "is missing", rule);
}

static enum nib_status fail_type(const struct nib_config_reader *r, const char *name,
                                 const char *type)
{
    char shown[64];
    show_value(r->gguf, name, shown);
    return nib_fail(r->err, NIB_ERROR_FILE, "%s: %s is %s, expected a %s; get the file again",
                    nib_gguf_path(r->gguf), name, shown, type);
}

enum nib_status nib_config_read_bool(const struct nib_config_reader *r, const char *key, bool *out)
{
    char name[NIB_MAX_KEY];
    nib_config_key_name(r, key, name);
    if (!nib_gguf_has(r->gguf, name) || nib_gguf_bool(r->gguf, name, out))
        return NIB_OK;
    return fail_type(r, name, "bool");
}

enum nib_status nib_config_read_string(const struct nib_config_reader *r, const char *key,
                                       struct nib_str *out)
{
    char name[NIB_MAX_KEY];
    nib_config_key_name(r, key, name);
    if (!nib_gguf_has(r->gguf, name) || nib_gguf_string(r->gguf, name, out))
        return NIB_OK;
    return fail_type(r, name, "string");
}
