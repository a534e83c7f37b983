/*
 * Rotary positions of config.json: rope_theta and rope_scaling of transformers 4, rope_parameters
 * of transformers 5.  What each kind of scaling means is defined by modeling_rope_utils.py of
 * transformers; llama3's factors are computed here, once, as GGUF has them in rope_freqs.weight.
 */
#include "hf_config.h"

#include <float.h>
#include <math.h>
#include <sleef.h>
#include <stdlib.h>

enum { MAX_ROTATED = 65536 }; /* far beyond what is run: more is refused later */

static float *new_floats(struct nib_hf_config *c, size_t n)
{
    float *floats = malloc((n ? n : 1) * sizeof(*floats));
    if (!floats)
        nib_hf_no_memory(c, n * sizeof(*floats));
    return floats;
}

/* What divides each frequency: 1 for short wavelengths, `factor` for long ones, and between. */
static void read_llama3(struct nib_hf_config *c, yyjson_val *rope, double base)
{
    const double factor = nib_hf_float(c, rope, "factor", 8);
    const double low = nib_hf_float(c, rope, "low_freq_factor", 1);
    const double high = nib_hf_float(c, rope, "high_freq_factor", 4);
    const double context = nib_hf_float(c, rope, "original_max_position_embeddings", 8192);
    if (factor <= 0 || low <= 0 || high <= low || context <= 0) {
        nib_hf_refuse(c, "rope_scaling", rope,
                      "but its factors must be positive, and high_freq_factor greater than "
                      "low_freq_factor; get the file again from its publisher");
        return;
    }
    if (c->n_rot > MAX_ROTATED)
        return;
    c->rope_freqs = new_floats(c, c->n_rot / 2);
    for (uint32_t i = 0; c->rope_freqs && i < c->n_rot / 2; i++) {
        const double wave = 2 * M_PI * Sleef_cinz_powd1_u10purec(base, 2.0 * i / c->n_rot);
        const double smooth = (context / wave - low) / (high - low);
        const double divisor = wave < context / high  ? 1
                               : wave > context / low ? factor
                                                      : 1 / ((1 - smooth) / factor + smooth);
        c->rope_freqs[i] = (float)divisor;
    }
}

static float *read_factors(struct nib_hf_config *c, yyjson_val *rope, const char *name)
{
    yyjson_val *list = yyjson_obj_get(rope, name);
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) != c->n_rot / 2) {
        nib_hf_refuse(c, name, list,
                      "expected a number for every two rotated values of a head; get the file "
                      "again from its publisher");
        return NULL;
    }
    float *factors = new_floats(c, c->n_rot / 2);
    size_t i, n;
    yyjson_val *value;
    yyjson_arr_foreach(list, i, n, value)
    {
        const double factor = yyjson_get_num(value);
        if (!yyjson_is_num(value) || !(factor > 0 && factor <= FLT_MAX))
            nib_hf_refuse(c, name, value,
                          "expected positive numbers; get the file again from its publisher");
        else if (factors)
            factors[i] = (float)factor;
    }
    return factors;
}

/* The context that the scaling starts from: of the whole configuration, or of the scaling. */
static double read_original(struct nib_hf_config *c, yyjson_val *rope)
{
    static const char name[] = "original_max_position_embeddings";
    const double original = nib_hf_float(c, NULL, name, nib_hf_float(c, rope, name, c->n_ctx));
    return original > 0 ? fmin(original, UINT32_MAX) : c->n_ctx;
}

/* max_position_embeddings may be the context before it grows, or behind. */
static void grow_context(struct nib_hf_config *c, double n)
{
    enum { MOST = 1 << 24 }; /* see config_keys.c */
    if (n > c->n_ctx && c->n_ctx < MOST)
        c->n_ctx = (uint32_t)fmin(n, MOST);
}

static void read_longrope(struct nib_hf_config *c, yyjson_val *rope)
{
    const double original = read_original(c, rope);
    const double factor = nib_hf_float(c, rope, "factor", c->n_ctx / original);
    c->rope_long = read_factors(c, rope, "long_factor");
    c->rope_short = read_factors(c, rope, "short_factor");
    const double grown =
        factor > 1 && original > 1
            ? sqrt(1 + Sleef_cinz_logd1_u10purec(factor) / Sleef_cinz_logd1_u10purec(original))
            : 1;
    /* No rope.scaling.factor: llama.cpp would divide positions by it. */
    nib_hf_put_int(c, "rope.scaling.original_context_length", (uint32_t)original);
    nib_hf_put_float(c, "rope.scaling.attn_factor",
                     nib_hf_float(c, rope, "attention_factor", grown));
}

/* 0.1 m ln(factor) + 1 */
static double yarn_growth(double factor, double m)
{
    return factor > 1 ? 0.1 * m * Sleef_cinz_logd1_u10purec(factor) + 1 : 1;
}

static void read_yarn(struct nib_hf_config *c, yyjson_val *rope)
{
    const double original = read_original(c, rope);
    const double factor = nib_hf_float(c, rope, "factor", c->n_ctx / original);
    const double m = nib_hf_float(c, rope, "mscale", 0);
    const double m_all = nib_hf_float(c, rope, "mscale_all_dim", 0);
    const double usual = yarn_growth(factor, 1);
    double growth = nib_hf_float(c, rope, "attention_factor", 0);
    if (growth == 0)
        growth = m != 0 && m_all != 0 ? yarn_growth(factor, m) / yarn_growth(factor, m_all) : usual;
    if (!nib_hf_bool(c, rope, "truncate", true))
        nib_hf_put_bool(c, "rope.scaling.yarn_truncate", false);
    nib_hf_put_float(c, "rope.scaling.factor", factor);
    nib_hf_put_int(c, "rope.scaling.original_context_length", (uint32_t)original);
    grow_context(c, original * factor);
    if (growth != usual)
        nib_hf_put_float(c, "rope.scaling.attn_factor", growth / usual);
    if (yyjson_obj_get(rope, "beta_fast"))
        nib_hf_put_float(c, "rope.scaling.yarn_beta_fast", nib_hf_float(c, rope, "beta_fast", 32));
    if (yyjson_obj_get(rope, "beta_slow"))
        nib_hf_put_float(c, "rope.scaling.yarn_beta_slow", nib_hf_float(c, rope, "beta_slow", 1));
}

/* A base that grows with the length of the text beyond what the model was trained for. */
static void read_dynamic(struct nib_hf_config *c, yyjson_val *rope)
{
    const double factor = nib_hf_float(c, rope, "factor", NIB_HF_REQUIRED);
    nib_hf_put_float(c, "rope.scaling.factor", factor);
    nib_hf_put_int(c, "rope.scaling.original_context_length", c->n_ctx);
    grow_context(c, factor * c->n_ctx);
}

static void read_scaling(struct nib_hf_config *c, yyjson_val *rope, double base)
{
    const char *type = rope ? nib_hf_string(c, rope, "rope_type|type") : NULL;
    if (!type || strcmp(type, "default") == 0)
        return;
    if (strcmp(type, "llama3") == 0) {
        read_llama3(c, rope, base);
        return;
    }
    /* Early Phi 3 has other names of it. */
    const bool is_longrope = strcmp(type, "longrope") == 0 || strcmp(type, "su") == 0 ||
                             yyjson_obj_get(rope, "long_factor");
    const bool is_linear = strcmp(type, "linear") == 0, is_yarn = strcmp(type, "yarn") == 0;
    if (!is_longrope && !is_yarn && !is_linear && strcmp(type, "dynamic") != 0) {
        nib_hf_refuse(c, "rope_type", yyjson_obj_get(rope, "rope_type"),
                      "a scaling of positions that nibble does not run; there are default, linear, "
                      "dynamic, yarn, longrope and llama3: use another model");
        return;
    }
    nib_hf_put_string(c, "rope.scaling.type", is_longrope ? "longrope" : type);
    if (is_longrope)
        read_longrope(c, rope);
    else if (is_yarn)
        read_yarn(c, rope);
    else if (is_linear)
        nib_hf_put_float(c, "rope.scaling.factor",
                         nib_hf_float(c, rope, "factor", NIB_HF_REQUIRED));
    else
        read_dynamic(c, rope);
}

/* Of 2n - 1 values 2n are rotated, by the frequencies of 2n - 1: what divides those of 2n. */
static uint32_t round_up(struct nib_hf_config *c, uint32_t n, double base)
{
    c->rope_freqs = new_floats(c, n / 2 + 1);
    for (uint32_t i = 0; c->rope_freqs && i < n / 2 + 1; i++)
        c->rope_freqs[i] = (float)Sleef_cinz_powd1_u10purec(base, 2.0 * i / n - 2.0 * i / (n + 1));
    return n + 1;
}

static uint32_t count_rotated(struct nib_hf_config *c, yyjson_val *rope, double base)
{
    static const char names[] = "partial_rotary_factor|rotary_pct";
    if (nib_hf_find(c, "rotary_dim"))
        return nib_hf_int(c, NULL, "rotary_dim", 0);
    double part = c->family->absent.rotary_part;
    part = nib_hf_float(c, NULL, names, part ? part : 1);
    if (rope)
        part = nib_hf_float(c, rope, "partial_rotary_factor", part);
    const bool is_whole = !(c->family->flags & NIB_HF_ROPE_IN_PART);
    if (!(part > 0 && part <= 1) || (is_whole && part != 1)) {
        yyjson_val *value = rope ? yyjson_obj_get(rope, "partial_rotary_factor") : NULL;
        nib_hf_refuse(c, "partial_rotary_factor", value ? value : nib_hf_find(c, names),
                      is_whole ? "but models of this family rotate whole heads, which is 1; use "
                                 "another model"
                               : "expected a part from 0 to 1; get the file again from its "
                                 "publisher");
        return 0;
    }
    const uint32_t n = (uint32_t)(c->d_head * part);
    const char *type = rope ? nib_hf_string(c, rope, "rope_type|type") : NULL;
    const bool is_plain = !type || strcmp(type, "default") == 0 || strcmp(type, "linear") == 0;
    return n % 2 == 1 && n < c->d_head && is_plain ? round_up(c, n, base) : n;
}

void nib_hf_read_rope(struct nib_hf_config *config)
{
    yyjson_val *rope = nib_hf_object(config, NULL, "rope_parameters|rope_scaling");
    yyjson_val *local = NULL;
    if (rope &&
        (yyjson_obj_get(rope, "full_attention") || yyjson_obj_get(rope, "sliding_attention"))) {
        local = nib_hf_object(config, rope, "sliding_attention");
        rope = nib_hf_object(config, rope, "full_attention");
    }
    const bool has_local = config->family->windows == NIB_HF_ALL_BUT_6TH;
    const double usual = config->family->absent.rope_base;
    double base =
        nib_hf_float(config, NULL, "rope_theta|rotary_emb_base", usual > 0 ? usual : 10000);
    if (rope)
        base = nib_hf_float(config, rope, "rope_theta", base);
    config->n_rot = count_rotated(config, rope, base);
    nib_hf_put_float(config, "rope.freq_base", base);
    if (has_local) {
        double local_base = nib_hf_float(config, NULL, "rope_local_base_freq", 10000);
        if (local) {
            const char *type = nib_hf_string(config, local, "rope_type|type");
            local_base = nib_hf_float(config, local, "rope_theta", local_base);
            if (type && strcmp(type, "default") != 0)
                nib_hf_refuse(config, "sliding_attention", local,
                              "but nibble scales only the positions of full_attention; use another "
                              "model");
        }
        nib_hf_put_float(config, "rope.freq_base_swa", local_base);
    }
    if (config->n_rot > 0)
        nib_hf_put_int(config, "rope.dimension_count", config->n_rot);
    if (config->status == NIB_OK)
        read_scaling(config, rope, base);
}
