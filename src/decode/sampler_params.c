/* The parameters of a sampler: defaults, ranges, and how they read in a description. */
#include "sampler.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

void nib_sampler_params_init(struct nib_sampler_params *params)
{
    *params = (struct nib_sampler_params){
        .temperature = 0.8f,
        .dynatemp_exponent = 1.0f,
        .top_k = 40,
        .top_p = 0.95f,
        .min_p = 0.05f,
        .typical_p = 1.0f,
        .xtc_threshold = 0.1f,
        .repeat_penalty = 1.0f,
        .repeat_last_n = 64,
        .dry_base = 1.75f,
        .dry_allowed_length = 2,
        .dry_last_n = -1,
        .mirostat_tau = 5.0f,
        .mirostat_eta = 0.1f,
    };
}

/* Written so that NaN is refused.  Numbers of what is off are not looked at where they have no
 * meaning then. */
static enum nib_status check_numbers(const struct nib_sampler_params *p, struct nib_error *err)
{
    static const char format[] = "%s is %g; it must be %s";
    static const char window[] =
        "the number of latest ids to look at, up to 1048576, or -1 for all";
    const bool has_dynatemp = p->dynatemp_range != 0, has_xtc = p->xtc_probability != 0;
    const bool has_dry = p->dry_multiplier != 0, has_mirostat = p->mirostat != 0;
#define CHECK(name, condition, range)                                                              \
    if (!(condition))                                                                              \
    return nib_fail(err, NIB_ERROR_ARGUMENT, format, #name, (double)p->name, range)
    CHECK(temperature, p->temperature >= 0 && p->temperature < INFINITY,
          "0 (always the most likely id) or a positive number, usually 0.2 to 1.5");
    CHECK(dynatemp_range, p->dynatemp_range >= 0 && p->dynatemp_range < INFINITY,
          "0 (off) or a positive number, usually below the temperature");
    CHECK(dynatemp_exponent,
          !has_dynatemp || (p->dynatemp_exponent > 0 && p->dynatemp_exponent < INFINITY),
          "a positive number, usually 1");
    CHECK(top_k, p->top_k >= 0, "the number of ids to keep, or 0 for all");
    CHECK(top_p, p->top_p > 0 && p->top_p <= 1, "above 0 and at most 1, where 1 keeps all ids");
    CHECK(min_p, p->min_p >= 0 && p->min_p <= 1, "from 0 to 1, where 0 keeps all ids");
    CHECK(typical_p, p->typical_p > 0 && p->typical_p <= 1,
          "above 0 and at most 1, where 1 keeps all ids");
    CHECK(top_n_sigma, p->top_n_sigma >= 0 && p->top_n_sigma < INFINITY,
          "a positive number, usually 1, or 0 for all ids");
    CHECK(xtc_probability, p->xtc_probability >= 0 && p->xtc_probability <= 1,
          "from 0 to 1, where 0 is off");
    CHECK(xtc_threshold, !has_xtc || (p->xtc_threshold >= 0 && p->xtc_threshold <= 1),
          "from 0 to 1, where more than 0.5 is off");
    CHECK(repeat_penalty, p->repeat_penalty > 0 && p->repeat_penalty < INFINITY,
          "a positive number, where 1 changes nothing and 1.1 is usual");
    CHECK(repeat_last_n, p->repeat_last_n >= -1 && p->repeat_last_n <= NIB_PENALTIES_WINDOW_MAX,
          window);
    CHECK(frequency_penalty, isfinite(p->frequency_penalty), "a number, usually -2 to 2");
    CHECK(presence_penalty, isfinite(p->presence_penalty), "a number, usually -2 to 2");
    CHECK(dry_multiplier, p->dry_multiplier >= 0 && p->dry_multiplier < INFINITY,
          "a positive number, usually 0.8, or 0 for no penalty");
    CHECK(dry_base, !has_dry || (p->dry_base >= 1 && p->dry_base < INFINITY),
          "at least 1, usually 1.75");
    CHECK(dry_allowed_length, !has_dry || p->dry_allowed_length >= 0, "0 or more, usually 2");
    CHECK(dry_last_n,
          !has_dry || (p->dry_last_n >= -1 && p->dry_last_n <= NIB_PENALTIES_WINDOW_MAX), window);
    CHECK(mirostat, p->mirostat == 0 || p->mirostat == 2, "0 (off) or 2, its version");
    CHECK(mirostat_tau, !has_mirostat || (p->mirostat_tau >= 0 && p->mirostat_tau < INFINITY),
          "the surprise to keep to in bits, 0 or more, usually 5");
    CHECK(mirostat_eta, !has_mirostat || (p->mirostat_eta >= 0 && p->mirostat_eta <= 1),
          "from 0 to 1, usually 0.1");
#undef CHECK
    return NIB_OK;
}

enum nib_status nib_sampler_check(const struct nib_sampler_params *params, size_t n_vocab,
                                  struct nib_error *err)
{
    const enum nib_status status = check_numbers(params, err);
    if (status != NIB_OK)
        return status;
    if (n_vocab < 1 || n_vocab > INT32_MAX)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "n_vocab is %zu; it must be the model's number of ids, 1 to %d", n_vocab,
                        INT32_MAX);
    if (params->n_tokens > n_vocab)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "n_tokens is %u; it must be at most n_vocab, %zu, or 0 for all of them",
                        params->n_tokens, n_vocab);
    return NIB_OK;
}

void nib_sampler_fill_values(struct nib_sampler *s)
{
    const struct nib_sampler_params *p = &s->params;
    struct nib_filter_values *v = s->values;
    v[NIB_FILTER_TOP_N_SIGMA].value = p->top_n_sigma;
    v[NIB_FILTER_TOP_K].value = p->top_k;
    v[NIB_FILTER_TYPICAL_P].value = p->typical_p;
    v[NIB_FILTER_TOP_P].value = p->top_p;
    v[NIB_FILTER_MIN_P].value = p->min_p;
    v[NIB_FILTER_XTC].value = p->xtc_probability;
    v[NIB_FILTER_XTC].threshold = p->xtc_threshold;
    v[NIB_FILTER_TEMPERATURE].value = p->temperature;
    v[NIB_FILTER_TEMPERATURE].range = p->dynatemp_range;
    v[NIB_FILTER_TEMPERATURE].exponent = p->dynatemp_exponent;
    v[NIB_FILTER_MIROSTAT].value = p->mirostat ? 2 * (double)p->mirostat_tau : INFINITY;
}

bool nib_sampler_uses_stage(const struct nib_sampler *s, size_t stage)
{
    const struct nib_sampler_params *p = &s->params;
    if (stage == NIB_STAGE_PENALTIES)
        return p->repeat_last_n != 0 &&
               (p->repeat_penalty != 1 || p->frequency_penalty != 0 || p->presence_penalty != 0);
    if (stage == NIB_STAGE_DRY)
        return p->dry_last_n != 0 && p->dry_multiplier != 0;
    return p->temperature != 0 && !nib_filter_is_off((enum nib_filter)stage, &s->values[stage]);
}

/* ---- description ---------------------------------------------------------------------------- */

static void append(struct nib_sampler *s, const char *format, ...) NIB_PRINTF(2, 3);

static void append(struct nib_sampler *s, const char *format, ...)
{
    const size_t used = strlen(s->description);
    va_list args;
    va_start(args, format);
    vsnprintf(s->description + used, sizeof(s->description) - used, format, args);
    va_end(args);
}

static void describe_window(struct nib_sampler *s, int32_t last_n)
{
    if (last_n < 0)
        append(s, "all ids) -> ");
    else
        append(s, "last %d) -> ", last_n);
}

static void describe_penalties(struct nib_sampler *s)
{
    const struct nib_sampler_params *p = &s->params;
    append(s, "penalties(");
    if (p->repeat_penalty != 1)
        append(s, "repeat %g, ", (double)p->repeat_penalty);
    if (p->frequency_penalty != 0)
        append(s, "frequency %g, ", (double)p->frequency_penalty);
    if (p->presence_penalty != 0)
        append(s, "presence %g, ", (double)p->presence_penalty);
    describe_window(s, p->repeat_last_n);
}

static void describe_dry(struct nib_sampler *s)
{
    const struct nib_sampler_params *p = &s->params;
    append(s, "dry(multiplier %g, base %g, allowed %d, ", (double)p->dry_multiplier,
           (double)p->dry_base, p->dry_allowed_length);
    describe_window(s, p->dry_last_n);
}

static void describe_stage(struct nib_sampler *s, size_t stage)
{
    const struct nib_sampler_params *p = &s->params;
    if (stage == NIB_STAGE_PENALTIES)
        describe_penalties(s);
    else if (stage == NIB_STAGE_DRY)
        describe_dry(s);
    else if (stage == NIB_FILTER_XTC)
        append(s, "xtc(probability %g, threshold %g) -> ", (double)p->xtc_probability,
               (double)p->xtc_threshold);
    else if (stage == NIB_FILTER_MIROSTAT)
        append(s, "mirostat(tau %g, eta %g) -> ", (double)p->mirostat_tau, (double)p->mirostat_eta);
    else if (stage == NIB_FILTER_TEMPERATURE && p->dynatemp_range > 0)
        append(s, "temperature(%g +- %g, exponent %g) -> ", (double)p->temperature,
               (double)p->dynatemp_range, (double)p->dynatemp_exponent);
    else
        append(s, "%s %.7g -> ", nib_stage_name(stage), s->values[stage].value);
}

void nib_sampler_fill_description(struct nib_sampler *s)
{
    for (enum nib_constraint i = 0; i < NIB_CONSTRAINT_COUNT; i++) {
        const size_t value = nib_constraint_value(s->constraints, i);
        if (value > 0)
            append(s, "%s %zu -> ", nib_constraint_name(i), value);
    }
    for (size_t i = 0; i < s->chain.n; i++)
        describe_stage(s, s->chain.stages[i]);
    if (s->params.temperature == 0)
        append(s, "greedy");
    else
        append(s, "draw(seed %llu)", (unsigned long long)s->params.seed);
}
