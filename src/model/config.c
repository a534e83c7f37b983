/*
 * Reading struct nib_config from a file: one table of all keys with their ranges, then what the
 * numbers must be to each other.
 */
#include "gguf.h"
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The keys, without "llama." */
enum key {
    BLOCK_COUNT,
    CONTEXT_LENGTH,
    EMBEDDING_LENGTH,
    FEED_FORWARD_LENGTH,
    HEAD_COUNT,
    HEAD_COUNT_KV,
    KEY_LENGTH,
    VALUE_LENGTH,
    NORM_EPS,
    ROPE_DIMENSIONS,
    ROPE_BASE,
    ROPE_SCALING_FACTOR,
    ROPE_SCALE_LINEAR,
    SLIDING_WINDOW,
    VOCAB_SIZE,
    EXPERT_COUNT,
    KEY_COUNT
};

enum {
    IS_FLOAT = 1,
    IS_REQUIRED = 2,
    IS_OF_LAYER = 4, /* may be an array with a value for each layer */
};

/* What a file may say, both ends included.  An absent key has the value `absent`; 0 there means
 * that other keys decide. */
static const struct range {
    const char *key;
    double min, max, absent;
    unsigned flags;
} ranges[KEY_COUNT] = {
    [BLOCK_COUNT] = {"block_count", 1, 4096, 0, IS_REQUIRED},
    [CONTEXT_LENGTH] = {"context_length", 1, 1 << 24, 0, IS_REQUIRED},
    [EMBEDDING_LENGTH] = {"embedding_length", 1, 1 << 18, 0, IS_REQUIRED},
    [FEED_FORWARD_LENGTH] = {"feed_forward_length", 1, 1 << 20, 0, IS_REQUIRED | IS_OF_LAYER},
    [HEAD_COUNT] = {"attention.head_count", 1, 1024, 0, IS_REQUIRED | IS_OF_LAYER},
    [HEAD_COUNT_KV] = {"attention.head_count_kv", 1, 1024, 0, IS_OF_LAYER},
    [KEY_LENGTH] = {"attention.key_length", 2, 512, 0, 0},
    [VALUE_LENGTH] = {"attention.value_length", 2, 512, 0, 0},
    [NORM_EPS] = {"attention.layer_norm_rms_epsilon", 1e-15, 0.5, 0, IS_FLOAT | IS_REQUIRED},
    [ROPE_DIMENSIONS] = {"rope.dimension_count", 2, 512, 0, 0},
    [ROPE_BASE] = {"rope.freq_base", 1, 1e12, 10000, IS_FLOAT},
    [ROPE_SCALING_FACTOR] = {"rope.scaling.factor", 1e-3, 1e6, 1, IS_FLOAT},
    [ROPE_SCALE_LINEAR] = {"rope.scale_linear", 1e-3, 1e6, 1, IS_FLOAT},
    [SLIDING_WINDOW] = {"attention.sliding_window", 0, UINT32_MAX, 0, 0},
    [VOCAB_SIZE] = {"vocab_size", 1, 1 << 24, 0, 0},
    [EXPERT_COUNT] = {"expert_count", 0, 65536, 0, 0},
};

struct reader {
    const struct nib_gguf *gguf;
    const char *family;
    double value[KEY_COUNT];
    struct nib_error *err;
};

enum { MAX_KEY = 128 };

static const char *full_key(const struct reader *r, const char *key, char out[MAX_KEY])
{
    snprintf(out, MAX_KEY, "%s.%s", r->family, key);
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

/* The value that an array has for every layer; BLOCK_COUNT has been read. */
static enum nib_status read_layers(struct reader *r, const char *name, size_t n, int64_t *out)
{
    const size_t n_layers = (size_t)r->value[BLOCK_COUNT];
    if (n != n_layers)
        return nib_fail(r->err, NIB_ERROR_FILE,
                        "%s: %s has %zu values, expected one or one for each of the %zu layers; "
                        "get the file again from its publisher",
                        nib_gguf_path(r->gguf), name, n, n_layers);
    int64_t *values = malloc(n * sizeof(*values));
    if (!values)
        return nib_fail_memory(r->err, n * sizeof(*values), "the numbers of layers");
    nib_gguf_copy_ints(r->gguf, name, values);
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

static enum nib_status read_key(struct reader *r, enum key key)
{
    const struct range *range = &ranges[key];
    char name[MAX_KEY], shown[64];
    full_key(r, range->key, name);
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
        const enum nib_status status = read_layers(r, name, n, &integer);
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

/* ---- what the numbers must be to each other -------------------------------------------------- */

/* "llama.a is 5, but ..." */
static enum nib_status fail_key(const struct reader *r, enum key key, const char *rule)
{
    char name[MAX_KEY];
    return nib_fail(
        r->err, NIB_ERROR_FILE, "%s: %s is %.10g, but %s; use another file of this model",
        nib_gguf_path(r->gguf), full_key(r, ranges[key].key, name), r->value[key], rule);
}

static enum nib_status check_heads(struct reader *r)
{
    double *v = r->value;
    char rule[160];
    if (v[HEAD_COUNT_KV] == 0)
        v[HEAD_COUNT_KV] = v[HEAD_COUNT];
    if (fmod(v[HEAD_COUNT], v[HEAD_COUNT_KV]) != 0) {
        snprintf(rule, sizeof(rule), "must divide the number of heads, attention.head_count = %g",
                 v[HEAD_COUNT]);
        return fail_key(r, HEAD_COUNT_KV, rule);
    }
    if (v[HEAD_COUNT] / v[HEAD_COUNT_KV] > NIB_MAX_GROUP) {
        snprintf(rule, sizeof(rule),
                 "at most %d heads may share each of attention.head_count_kv = %g key heads",
                 NIB_MAX_GROUP, v[HEAD_COUNT_KV]);
        return fail_key(r, HEAD_COUNT, rule);
    }
    if (v[KEY_LENGTH] == 0) {
        v[KEY_LENGTH] = floor(v[EMBEDDING_LENGTH] / v[HEAD_COUNT]);
        if (v[KEY_LENGTH] * v[HEAD_COUNT] != v[EMBEDDING_LENGTH]) {
            snprintf(rule, sizeof(rule),
                     "without attention.key_length it must be a multiple of attention.head_count = "
                     "%g",
                     v[HEAD_COUNT]);
            return fail_key(r, EMBEDDING_LENGTH, rule);
        }
        if (v[KEY_LENGTH] > ranges[KEY_LENGTH].max)
            return fail_key(r, KEY_LENGTH, "heads have at most 512 values");
    }
    if (fmod(v[KEY_LENGTH], 2) != 0)
        return fail_key(r, KEY_LENGTH, "heads must have an even number of values");
    if (v[VALUE_LENGTH] != 0 && v[VALUE_LENGTH] != v[KEY_LENGTH]) {
        snprintf(rule, sizeof(rule), "nibble runs only models where it is attention.key_length, %g",
                 v[KEY_LENGTH]);
        return fail_key(r, VALUE_LENGTH, rule);
    }
    return NIB_OK;
}

static enum nib_status check_rope(struct reader *r, float *scale)
{
    double *v = r->value;
    if (v[ROPE_DIMENSIONS] == 0)
        v[ROPE_DIMENSIONS] = v[KEY_LENGTH];
    if (v[ROPE_DIMENSIONS] > v[KEY_LENGTH] || fmod(v[ROPE_DIMENSIONS], 2) != 0) {
        char rule[96];
        snprintf(rule, sizeof(rule), "it must be even and at most the %g values of a head",
                 v[KEY_LENGTH]);
        return fail_key(r, ROPE_DIMENSIONS, rule);
    }

    char name[MAX_KEY];
    struct nib_str type = NIB_STR("linear"); /* scale_linear is the older name of its factor */
    if (nib_gguf_has(r->gguf, full_key(r, "rope.scaling.type", name)) &&
        !nib_gguf_string(r->gguf, name, &type))
        return nib_fail(r->err, NIB_ERROR_FILE, "%s: %s must be a string; get the file again",
                        nib_gguf_path(r->gguf), name);
    *scale = 1;
    if (nib_str_equal(type, NIB_STR("linear")))
        *scale =
            (float)(v[ROPE_SCALING_FACTOR] != 1 ? v[ROPE_SCALING_FACTOR] : v[ROPE_SCALE_LINEAR]);
    else if (!nib_str_equal(type, NIB_STR("none")))
        return nib_fail(r->err, NIB_ERROR_FILE,
                        "%s: %s is \"%.*s\", which nibble does not run yet: none and linear, and "
                        "factors in the tensor rope_freqs.weight; use a model without it",
                        nib_gguf_path(r->gguf), name, (int)(type.len < 40 ? type.len : 40),
                        type.data);
    return NIB_OK;
}

static enum nib_status check_features(const struct reader *r)
{
    const double *v = r->value;
    if (v[EXPERT_COUNT] > 0)
        return fail_key(r, EXPERT_COUNT, "nibble does not run mixtures of experts yet");
    if (v[SLIDING_WINDOW] > 0 && v[SLIDING_WINDOW] < v[CONTEXT_LENGTH])
        return fail_key(r, SLIDING_WINDOW,
                        "nibble does not run sliding windows shorter than the context yet");
    return NIB_OK;
}

/* Rows of the embedding: what a file says of its vocabulary elsewhere may be out of date. */
static enum nib_status find_vocab(const struct reader *r, uint32_t *n_vocab)
{
    const struct nib_gguf_tensor *embedding = nib_gguf_find(r->gguf, "token_embd.weight");
    if (!embedding)
        return nib_fail(r->err, NIB_ERROR_FILE,
                        "%s: the tensor token_embd.weight is missing; this file holds no complete "
                        "model",
                        nib_gguf_path(r->gguf));
    if (embedding->dims[1] > ranges[VOCAB_SIZE].max)
        return nib_fail(r->err, NIB_ERROR_FILE,
                        "%s: token_embd.weight has %llu rows, expected at most %.0f; get the file "
                        "again",
                        nib_gguf_path(r->gguf), (unsigned long long)embedding->dims[1],
                        ranges[VOCAB_SIZE].max);
    *n_vocab = (uint32_t)embedding->dims[1];
    return NIB_OK;
}

enum nib_status nib_config_from_gguf(struct nib_config *out, const struct nib_gguf *gguf,
                                     const struct nib_family *family, struct nib_error *err)
{
    struct reader r = {.gguf = gguf, .family = family->name, .err = err};
    const double *v = r.value;
    enum nib_status status = NIB_OK;
    *out = (struct nib_config){0};

    for (int key = 0; key < KEY_COUNT && status == NIB_OK; key++)
        status = read_key(&r, (enum key)key);
    if (status == NIB_OK)
        status = check_features(&r);
    if (status == NIB_OK)
        status = check_heads(&r);
    if (status == NIB_OK)
        status = check_rope(&r, &out->rope_scale);
    if (status == NIB_OK)
        status = find_vocab(&r, &out->n_vocab);
    if (status != NIB_OK)
        return status;

    out->n_ctx = (uint32_t)v[CONTEXT_LENGTH];
    out->n_layers = (uint32_t)v[BLOCK_COUNT];
    out->n_embd = (uint32_t)v[EMBEDDING_LENGTH];
    out->n_ff = (uint32_t)v[FEED_FORWARD_LENGTH];
    out->n_heads = (uint32_t)v[HEAD_COUNT];
    out->n_kv_heads = (uint32_t)v[HEAD_COUNT_KV];
    out->d_head = (uint32_t)v[KEY_LENGTH];
    out->n_rot = (uint32_t)v[ROPE_DIMENSIONS];
    out->norm_eps = (float)v[NORM_EPS];
    out->rope_base = (float)v[ROPE_BASE];
    out->score_scale = (float)(1 / sqrt(v[KEY_LENGTH]));
    return NIB_OK;
}
