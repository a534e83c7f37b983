/* From the numbers of a file to struct nib_config: what they must be to each other. */
#include "config_keys.h"

#include <math.h>
#include <sleef.h>
#include <stdio.h>

static enum nib_status check_heads(struct nib_config_reader *r)
{
    double *v = r->value;
    char rule[160];
    if (v[NIB_KEY_HEAD_COUNT_KV] == 0)
        v[NIB_KEY_HEAD_COUNT_KV] = v[NIB_KEY_HEAD_COUNT];
    if (fmod(v[NIB_KEY_HEAD_COUNT], v[NIB_KEY_HEAD_COUNT_KV]) != 0) {
        snprintf(rule, sizeof(rule),
                 "it must divide the number of heads, attention.head_count = %g",
                 v[NIB_KEY_HEAD_COUNT]);
        return nib_config_fail_key(r, NIB_KEY_HEAD_COUNT_KV, rule);
    }
    if (v[NIB_KEY_HEAD_COUNT] / v[NIB_KEY_HEAD_COUNT_KV] > NIB_MAX_GROUP) {
        snprintf(rule, sizeof(rule),
                 "at most %d heads may share each of attention.head_count_kv = %g key heads",
                 NIB_MAX_GROUP, v[NIB_KEY_HEAD_COUNT_KV]);
        return nib_config_fail_key(r, NIB_KEY_HEAD_COUNT, rule);
    }
    if (v[NIB_KEY_KEY_LENGTH] == 0) {
        v[NIB_KEY_KEY_LENGTH] = floor(v[NIB_KEY_EMBEDDING_LENGTH] / v[NIB_KEY_HEAD_COUNT]);
        if (v[NIB_KEY_KEY_LENGTH] * v[NIB_KEY_HEAD_COUNT] != v[NIB_KEY_EMBEDDING_LENGTH]) {
            snprintf(rule, sizeof(rule),
                     "without attention.key_length it must be a multiple of attention.head_count = "
                     "%g",
                     v[NIB_KEY_HEAD_COUNT]);
            return nib_config_fail_key(r, NIB_KEY_EMBEDDING_LENGTH, rule);
        }
        if (v[NIB_KEY_KEY_LENGTH] > 512)
            return nib_config_fail_key(r, NIB_KEY_KEY_LENGTH, "heads have at most 512 values");
    }
    if (v[NIB_KEY_VALUE_LENGTH] != 0 && v[NIB_KEY_VALUE_LENGTH] != v[NIB_KEY_KEY_LENGTH]) {
        snprintf(rule, sizeof(rule), "nibble runs only models where it is attention.key_length, %g",
                 v[NIB_KEY_KEY_LENGTH]);
        return nib_config_fail_key(r, NIB_KEY_VALUE_LENGTH, rule);
    }
    return NIB_OK;
}

static enum nib_status check_norm(struct nib_config_reader *r, float *eps)
{
    const enum nib_config_key key =
        r->family->norm == NIB_NORM_RMS ? NIB_KEY_RMS_EPS : NIB_KEY_LAYER_EPS;
    if (r->value[key] == 0)
        return nib_config_fail_key(r, key, "norms need it");
    *eps = (float)r->value[key];
    return NIB_OK;
}

/* ---- rotation -------------------------------------------------------------------------------- */

static enum nib_status check_rotated(struct nib_config_reader *r, struct nib_config *c)
{
    double *v = r->value;
    if (r->family->positions != NIB_POSITIONS_ROTATED || c->alibi_bias > 0)
        return NIB_OK;
    if (v[NIB_KEY_ROPE_DIMENSIONS] == 0)
        v[NIB_KEY_ROPE_DIMENSIONS] = v[NIB_KEY_KEY_LENGTH];
    if (v[NIB_KEY_ROPE_DIMENSIONS] > v[NIB_KEY_KEY_LENGTH] ||
        fmod(v[NIB_KEY_ROPE_DIMENSIONS], 2) != 0) {
        char rule[96];
        snprintf(rule, sizeof(rule), "it must be even and at most the %g values of a head",
                 v[NIB_KEY_KEY_LENGTH]);
        return nib_config_fail_key(r, NIB_KEY_ROPE_DIMENSIONS, rule);
    }
    c->n_rot = (uint32_t)v[NIB_KEY_ROPE_DIMENSIONS];
    return NIB_OK;
}

static enum nib_status read_scaling(struct nib_config_reader *r, struct nib_config *c)
{
    static const struct {
        const char *name;
        enum nib_rope_scaling scaling;
    } types[] = {{"none", NIB_SCALING_NONE},
                 {"linear", NIB_SCALING_NONE},
                 {"dynamic", NIB_SCALING_DYNAMIC},
                 {"yarn", NIB_SCALING_YARN},
                 {"longrope", NIB_SCALING_LONG}};
    const double *v = r->value;
    struct nib_rope *rope = &c->rope[NIB_ROPE_GLOBAL];
    /* Without a word: linear, whose factor has an older name, scale_linear; or files of Phi 3. */
    struct nib_str type = nib_gguf_find(r->gguf, "rope_factors_long.weight") ? NIB_STR("longrope")
                                                                             : NIB_STR("linear");
    const enum nib_status status = nib_config_read_string(r, "rope.scaling.type", &type);
    if (status != NIB_OK)
        return status;
    size_t i = 0;
    while (i < NIB_COUNT(types) && !nib_str_equal(type, nib_str_from(types[i].name)))
        i++;
    if (i == NIB_COUNT(types)) {
        char name[NIB_MAX_KEY];
        return nib_fail(r->err, NIB_ERROR_FILE,
                        "%s: %s is \"%.*s\", which nibble does not run: none, linear, dynamic, "
                        "yarn, longrope, and factors in the tensor rope_freqs.weight; use a model "
                        "without it",
                        nib_gguf_path(r->gguf), nib_config_key_name(r, "rope.scaling.type", name),
                        (int)(type.len < 40 ? type.len : 40), type.data);
    }
    if (nib_str_equal(type, NIB_STR("linear")))
        c->rope_scale = (float)(v[NIB_KEY_ROPE_FACTOR] != 1 ? v[NIB_KEY_ROPE_FACTOR]
                                                            : v[NIB_KEY_ROPE_SCALE_LINEAR]);
    rope->scaling = types[i].scaling;
    rope->factor = (float)v[NIB_KEY_ROPE_FACTOR];
    rope->beta_fast = (float)v[NIB_KEY_ROPE_BETA_FAST];
    rope->beta_slow = (float)v[NIB_KEY_ROPE_BETA_SLOW];
    rope->n_ctx_original =
        (uint32_t)(v[NIB_KEY_ROPE_CTX_ORIGINAL] > 0 ? v[NIB_KEY_ROPE_CTX_ORIGINAL]
                                                    : v[NIB_KEY_CONTEXT_LENGTH]);
    double magnitude = v[NIB_KEY_ROPE_MAGNITUDE];
    if (rope->scaling == NIB_SCALING_YARN && rope->factor > 1)
        magnitude *= 0.1 * Sleef_cinz_logd1_u10purec(rope->factor) + 1;
    if (rope->scaling == NIB_SCALING_YARN || rope->scaling == NIB_SCALING_LONG)
        rope->magnitude = (float)magnitude;
    rope->has_whole_bounds = true;
    return nib_config_read_bool(r, "rope.scaling.yarn_truncate", &rope->has_whole_bounds);
}

static enum nib_status read_rope(struct nib_config_reader *r, struct nib_config *c)
{
    const double *v = r->value;
    const double local = v[NIB_KEY_ROPE_BASE_LOCAL];
    c->rope_scale = 1;
    c->rope[NIB_ROPE_GLOBAL] =
        (struct nib_rope){.base = (float)v[NIB_KEY_ROPE_BASE], .magnitude = 1};
    c->rope[NIB_ROPE_LOCAL] = (struct nib_rope){
        .base = local > 0 ? (float)local : r->family->local_rope_base, .magnitude = 1};
    const enum nib_status status = check_rotated(r, c);
    return status == NIB_OK ? read_scaling(r, c) : status;
}

/* ---- experts, activation, scales ------------------------------------------------------------- */

static enum nib_status read_experts(struct nib_config_reader *r, struct nib_config *c)
{
    const double *v = r->value;
    c->n_experts = (uint32_t)v[NIB_KEY_EXPERT_COUNT];
    c->n_ff = (uint32_t)v[NIB_KEY_FEED_FORWARD_LENGTH];
    if (c->n_experts == 0)
        return c->n_ff > 0 ? NIB_OK
                           : nib_config_fail_key(r, NIB_KEY_FEED_FORWARD_LENGTH,
                                                 "a feed-forward layer has at least one value");
    c->n_experts_used = (uint32_t)v[NIB_KEY_EXPERTS_USED];
    if (c->n_experts_used < 1 || c->n_experts_used > c->n_experts) {
        char rule[96];
        snprintf(rule, sizeof(rule), "it must be from 1 to the number of experts, %u",
                 c->n_experts);
        return nib_config_fail_key(r, NIB_KEY_EXPERTS_USED, rule);
    }
    c->n_ff_expert = (uint32_t)v[NIB_KEY_EXPERT_LENGTH];
    if (c->n_ff_expert == 0)
        c->n_ff_expert = c->n_ff;
    if (c->n_ff_expert == 0)
        return nib_config_fail_key(r, NIB_KEY_EXPERT_LENGTH, "an expert has at least one value");
    c->n_ff_shared = (uint32_t)v[NIB_KEY_SHARED_LENGTH];
    c->renormalizes_experts = r->family->renormalizes_experts;
    return nib_config_read_bool(r, "expert_weights_norm", &c->renormalizes_experts);
}

static bool has_gates(const struct nib_gguf *gguf)
{
    return nib_gguf_find(gguf, "enc.blk.0.ffn_gate.weight") != NULL;
}

static enum nib_status read_activation(struct nib_config_reader *r, struct nib_config *c)
{
    static const struct {
        const char *name;
        enum nib_activation activation;
    } names[] = {{"silu", NIB_ACTIVATION_SILU},
                 {"gelu", NIB_ACTIVATION_GELU},
                 {"gelu_tanh", NIB_ACTIVATION_GELU_TANH},
                 {"relu", NIB_ACTIVATION_RELU}};
    struct nib_str name = {0};
    c->activation = r->family->is_gelu_with_gate && has_gates(r->gguf) ? NIB_ACTIVATION_GELU_TANH
                                                                       : r->family->activation;
    const enum nib_status status = nib_config_read_string(r, "feed_forward.activation", &name);
    if (status != NIB_OK || !name.data)
        return status;
    for (size_t i = 0; i < NIB_COUNT(names); i++)
        if (nib_str_equal(name, nib_str_from(names[i].name))) {
            c->activation = names[i].activation;
            return NIB_OK;
        }
    return nib_fail(r->err, NIB_ERROR_FILE,
                    "%s: the activation \"%.*s\" is not known, only silu, gelu, gelu_tanh and "
                    "relu; use another model",
                    nib_gguf_path(r->gguf), (int)(name.len < 40 ? name.len : 40), name.data);
}

static void read_scales(const struct nib_config_reader *r, struct nib_config *c)
{
    const double *v = r->value;
    const struct nib_family *f = r->family;
    const double d_head = f->wide_scale_layers == c->n_layers
                              ? v[NIB_KEY_EMBEDDING_LENGTH] / v[NIB_KEY_HEAD_COUNT]
                              : v[NIB_KEY_KEY_LENGTH];
    const float score_scale = f->score_scale > 0 ? f->score_scale : (float)(1 / sqrt(d_head));
    c->score_scale = v[NIB_KEY_SCORE_SCALE] > 0 ? (float)v[NIB_KEY_SCORE_SCALE] : score_scale;
    c->embedding_scale = 1;
    if (v[NIB_KEY_EMBEDDING_SCALE] > 0)
        c->embedding_scale = (float)v[NIB_KEY_EMBEDDING_SCALE];
    else if (f->scales_embedding)
        c->embedding_scale = sqrtf((float)c->n_embd);
    c->residual_scale = (float)v[NIB_KEY_RESIDUAL_SCALE];
    c->logit_scale =
        (float)(f->divides_logits ? 1 / v[NIB_KEY_LOGIT_SCALE] : v[NIB_KEY_LOGIT_SCALE]);
    char name[NIB_MAX_KEY];
    if (f->scales_tied_logits && !nib_gguf_find(r->gguf, "output.weight") &&
        !nib_gguf_has(r->gguf, nib_config_key_name(r, "logit_scale", name)))
        c->logit_scale = 1 / sqrtf((float)c->n_embd);
    c->score_cap = (float)v[NIB_KEY_SCORE_CAP];
    c->logit_cap = (float)v[NIB_KEY_LOGIT_CAP];
    c->clamp_qkv = (float)v[NIB_KEY_CLAMP_QKV];
    c->window = (uint32_t)v[NIB_KEY_WINDOW];
}

/* ---- all ------------------------------------------------------------------------------------- */

/* Rows of the embedding: what a file says of its vocabulary elsewhere may be out of date. */
static enum nib_status find_vocab(const struct nib_config_reader *r, bool is_encoder,
                                  uint32_t *n_vocab)
{
    enum { MAX_VOCAB = 1 << 24 };
    const struct nib_gguf_tensor *embedding =
        nib_gguf_find(r->gguf, is_encoder ? "enc.token_embd.weight" : "dec.token_embd.weight");
    if (!embedding)
        embedding = nib_gguf_find(r->gguf, "token_embd.weight");
    if (!embedding)
        return nib_fail(r->err, NIB_ERROR_FILE,
                        "%s: the tensor token_embd.weight is missing; this file holds no complete "
                        "model",
                        nib_gguf_path(r->gguf));
    if (embedding->dims[1] > MAX_VOCAB)
        return nib_fail(r->err, NIB_ERROR_FILE,
                        "%s: token_embd.weight has %llu rows, expected at most %d; get the file "
                        "again",
                        nib_gguf_path(r->gguf), (unsigned long long)embedding->dims[1], MAX_VOCAB);
    *n_vocab = (uint32_t)embedding->dims[1];
    return NIB_OK;
}

/* Decoders have numbers of their own, where they differ from the encoder's. */
static void take_decoder_keys(double *v)
{
    static const enum nib_config_key pairs[][2] = {
        {NIB_KEY_BLOCK_COUNT, NIB_KEY_DECODER_BLOCK_COUNT},
        {NIB_KEY_HEAD_COUNT, NIB_KEY_DECODER_HEAD_COUNT},
        {NIB_KEY_FEED_FORWARD_LENGTH, NIB_KEY_DECODER_FEED_FORWARD},
    };
    for (size_t i = 0; i < NIB_COUNT(pairs); i++)
        if (v[pairs[i][1]] > 0)
            v[pairs[i][0]] = v[pairs[i][1]];
}

enum nib_status nib_config_from_gguf(struct nib_config *out, const struct nib_gguf *gguf,
                                     const struct nib_family *family, bool is_encoder,
                                     struct nib_error *err)
{
    struct nib_config_reader r = {.gguf = gguf, .family = family, .err = err};
    const double *v = r.value;
    struct nib_config c = {0};
    *out = c;
    enum nib_status status = nib_config_read_keys(&r);
    if (family->encoder_tensors && !is_encoder)
        take_decoder_keys(r.value);
    if (status == NIB_OK)
        status = check_heads(&r);
    if (status == NIB_OK)
        status = check_norm(&r, &c.norm_eps);
    if (status != NIB_OK)
        return status;

    c.n_ctx = (uint32_t)v[NIB_KEY_CONTEXT_LENGTH];
    c.n_layers = (uint32_t)v[NIB_KEY_BLOCK_COUNT];
    c.n_embd = (uint32_t)v[NIB_KEY_EMBEDDING_LENGTH];
    c.n_heads = (uint32_t)v[NIB_KEY_HEAD_COUNT];
    c.n_kv_heads = (uint32_t)v[NIB_KEY_HEAD_COUNT_KV];
    c.d_head = (uint32_t)v[NIB_KEY_KEY_LENGTH];
    c.alibi_bias = v[NIB_KEY_ALIBI_BIAS] > 0 ? (float)v[NIB_KEY_ALIBI_BIAS] : family->alibi_bias;
    c.is_parallel = family->is_parallel;
    c.n_buckets = (uint32_t)v[NIB_KEY_BUCKET_COUNT];
    c.max_distance = (uint32_t)v[NIB_KEY_MAX_DISTANCE];
    read_scales(&r, &c);
    bool norms_first = !family->is_post_norm;
    status = nib_config_read_bool(&r, "use_parallel_residual", &c.is_parallel);
    if (status == NIB_OK)
        status = nib_config_read_bool(&r, "normalize_before", &norms_first);
    c.is_post_norm = !norms_first;
    if (status == NIB_OK)
        status = read_rope(&r, &c);
    if (status == NIB_OK)
        status = read_experts(&r, &c);
    if (status == NIB_OK)
        status = read_activation(&r, &c);
    if (status == NIB_OK)
        status = find_vocab(&r, is_encoder, &c.n_vocab);
    if (status == NIB_OK)
        *out = c;
    return status;
}
