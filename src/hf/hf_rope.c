/*
 * Rotary positions of config.json: rope_theta and rope_scaling of transformers 4, rope_parameters
 * of transformers 5.  What each kind of scaling means is defined by modeling_rope_utils.py of
 * transformers; llama3's factors are computed here, once, as GGUF has them in rope_freqs.weight.
 */
#include "hf_config.h"

#include <math.h>
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
        const double wave = 2 * M_PI * pow(base, 2.0 * i / c->n_rot);
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
        if (!yyjson_is_num(value) || !(factor > 0) || !isfinite((float)factor))
            nib_hf_refuse(c, name, value,
                          "expected positive numbers; get the file again from its publisher");
        if (factors)
            factors[i] = (float)factor;
    }
    return factors;
}

static void read_longrope(struct nib_hf_config *c, yyjson_val *rope)
{
    const double context = nib_hf_int(c, NULL, "max_position_embeddings", NIB_HF_REQUIRED);
    double original = nib_hf_float(c, rope, "original_max_position_embeddings", 0);
    if (original == 0)
        original = nib_hf_float(c, NULL, "original_max_position_embeddings", 0);
    const double factor =
        original > 0 ? context / original : nib_hf_float(c, rope, "factor", NIB_HF_REQUIRED);
    if (original == 0)
        original = context;
    c->rope_long = read_factors(c, rope, "long_factor");
    c->rope_short = read_factors(c, rope, "short_factor");
    const double grown = factor > 1 && original > 1 ? sqrt(1 + log(factor) / log(original)) : 1;
    nib_hf_put_float(c, "rope.scaling.factor", factor);
    nib_hf_put_int(c, "rope.scaling.original_context_length", (uint32_t)fmin(original, UINT32_MAX));
    nib_hf_put_float(c, "rope.scaling.attn_factor",
                     nib_hf_float(c, rope, "attention_factor", grown));
}

/* 0.1 m ln(factor) + 1 */
static double yarn_growth(double factor, double m)
{
    return factor > 1 ? 0.1 * m * log(factor) + 1 : 1;
}

static void read_yarn(struct nib_hf_config *c, yyjson_val *rope)
{
    const double factor = nib_hf_float(c, rope, "factor", NIB_HF_REQUIRED);
    const double m = nib_hf_float(c, rope, "mscale", 0);
    const double m_all = nib_hf_float(c, rope, "mscale_all_dim", 0);
    const double usual = yarn_growth(factor, 1);
    double growth = nib_hf_float(c, rope, "attention_factor", 0);
    if (growth == 0)
        growth = m != 0 && m_all != 0 ? yarn_growth(factor, m) / yarn_growth(factor, m_all) : usual;
    yyjson_val *truncate = yyjson_obj_get(rope, "truncate");
    if (truncate && yyjson_is_false(truncate))
        nib_hf_refuse(c, "truncate", truncate,
                      "but nibble runs yarn only with whole bounds; use another model");
    nib_hf_put_float(c, "rope.scaling.factor", factor);
    if (growth != usual)
        nib_hf_put_float(c, "rope.scaling.attn_factor", growth / usual);
    if (yyjson_obj_get(rope, "beta_fast"))
        nib_hf_put_float(c, "rope.scaling.yarn_beta_fast", nib_hf_float(c, rope, "beta_fast", 32));
    if (yyjson_obj_get(rope, "beta_slow"))
        nib_hf_put_float(c, "rope.scaling.yarn_beta_slow", nib_hf_float(c, rope, "beta_slow", 1));
}

/* The context that the scaling starts from. */
static void put_original(struct nib_hf_config *c, yyjson_val *rope)
{
    const uint32_t context = nib_hf_int(c, NULL, "max_position_embeddings", 0);
    const double original =
        nib_hf_float(c, rope, "original_max_position_embeddings",
                     nib_hf_float(c, NULL, "original_max_position_embeddings", context));
    if (original > 0 && original <= UINT32_MAX)
        nib_hf_put_int(c, "rope.scaling.original_context_length", (uint32_t)original);
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
    const bool is_longrope = strcmp(type, "longrope") == 0 || strcmp(type, "su") == 0;
    const bool is_yarn = strcmp(type, "yarn") == 0;
    if (!is_longrope && !is_yarn && strcmp(type, "linear") != 0 && strcmp(type, "dynamic") != 0) {
        nib_hf_refuse(c, "rope_type", yyjson_obj_get(rope, "rope_type"),
                      "a scaling of positions that nibble does not run; there are default, linear, "
                      "dynamic, yarn, longrope and llama3: use another model");
        return;
    }
    nib_hf_put_string(c, "rope.scaling.type", is_longrope ? "longrope" : type);
    if (is_longrope) {
        read_longrope(c, rope);
        return;
    }
    if (is_yarn)
        read_yarn(c, rope);
    else
        nib_hf_put_float(c, "rope.scaling.factor",
                         nib_hf_float(c, rope, "factor", NIB_HF_REQUIRED));
    if (strcmp(type, "linear") != 0)
        put_original(c, rope);
}

static uint32_t count_rotated(struct nib_hf_config *c, yyjson_val *rope)
{
    if (nib_hf_find(c, "rotary_dim"))
        return nib_hf_int(c, NULL, "rotary_dim", 0);
    double part = c->family->absent.rotary_part;
    part = nib_hf_float(c, NULL, "partial_rotary_factor|rotary_pct", part ? part : 1);
    if (rope)
        part = nib_hf_float(c, rope, "partial_rotary_factor", part);
    if (part > 0 && part <= 1)
        return (uint32_t)(c->d_head * part);
    nib_hf_refuse(c, "partial_rotary_factor",
                  nib_hf_find(c, "partial_rotary_factor|rotary_pct|rope_parameters"),
                  "expected a part from 0 to 1; get the file again from its publisher");
    return 0;
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
    double base =
        nib_hf_float(config, NULL, "rope_theta|rotary_emb_base", has_local ? 1000000 : 10000);
    if (rope)
        base = nib_hf_float(config, rope, "rope_theta", base);
    config->n_rot = count_rotated(config, rope);
    nib_hf_put_float(config, "rope.freq_base", base);
    if (has_local) {
        double local_base = nib_hf_float(config, NULL, "rope_local_base_freq", 10000);
        if (local)
            local_base = nib_hf_float(config, local, "rope_theta", local_base);
        nib_hf_put_float(config, "rope.freq_base_swa", local_base);
    }
    if (config->n_rot > 0)
        nib_hf_put_int(config, "rope.dimension_count", config->n_rot);
    if (config->status == NIB_OK)
        read_scaling(config, rope, base);
}
