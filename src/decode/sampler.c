/*
 * The sampler: penalties, then the filters in the order of enum nib_filter, then a draw; or, with
 * temperature 0, penalties and the largest logit.  Nothing is allocated once it is created.
 */
#include "filters.h"
#include "penalties.h"
#include "random.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct nib_sampler {
    struct nib_sampler_params params;
    size_t n_vocab, n_tokens; /* logits of a row, and those that may be chosen */
    uint64_t n_choices;
    double values[NIB_FILTER_COUNT];
    struct nib_penalties *penalties; /* NULL: none */
    struct nib_candidates candidates;
    float *block_max;
    char description[320];
};

void nib_sampler_params_init(struct nib_sampler_params *params)
{
    *params = (struct nib_sampler_params){
        .temperature = 0.8f,
        .top_k = 40,
        .top_p = 0.95f,
        .min_p = 0.05f,
        .repeat_penalty = 1.0f,
        .repeat_last_n = 64,
    };
}

/* Written so that NaN is refused. */
static enum nib_status check_params(const struct nib_sampler_params *p, struct nib_error *err)
{
    static const char format[] = "%s is %g; it must be %s";
#define CHECK(name, condition, range)                                                              \
    if (!(condition))                                                                              \
    return nib_fail(err, NIB_ERROR_ARGUMENT, format, #name, (double)p->name, range)
    CHECK(temperature, p->temperature >= 0 && p->temperature < INFINITY,
          "0 (always the most likely id) or a positive number, usually 0.2 to 1.5");
    CHECK(top_k, p->top_k >= 0, "the number of ids to keep, or 0 for all");
    CHECK(top_p, p->top_p > 0 && p->top_p <= 1, "above 0 and at most 1, where 1 keeps all ids");
    CHECK(min_p, p->min_p >= 0 && p->min_p <= 1, "from 0 to 1, where 0 keeps all ids");
    CHECK(repeat_penalty, p->repeat_penalty > 0 && p->repeat_penalty < INFINITY,
          "a positive number, where 1 changes nothing and 1.1 is usual");
    CHECK(repeat_last_n, p->repeat_last_n >= -1 && p->repeat_last_n <= NIB_PENALTIES_WINDOW_MAX,
          "the number of latest ids to look at, up to 1048576, or -1 for all");
    CHECK(frequency_penalty, isfinite(p->frequency_penalty), "a number, usually -2 to 2");
    CHECK(presence_penalty, isfinite(p->presence_penalty), "a number, usually -2 to 2");
#undef CHECK
    return NIB_OK;
}

static bool has_penalties(const struct nib_sampler_params *p)
{
    return p->repeat_last_n != 0 &&
           (p->repeat_penalty != 1 || p->frequency_penalty != 0 || p->presence_penalty != 0);
}

static void append(struct nib_sampler *s, const char *format, ...) NIB_PRINTF(2, 3);

static void append(struct nib_sampler *s, const char *format, ...)
{
    const size_t used = strlen(s->description);
    va_list args;
    va_start(args, format);
    vsnprintf(s->description + used, sizeof(s->description) - used, format, args);
    va_end(args);
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
    if (p->repeat_last_n < 0)
        append(s, "all ids) -> ");
    else
        append(s, "last %d) -> ", p->repeat_last_n);
}

static void describe(struct nib_sampler *s)
{
    if (s->penalties)
        describe_penalties(s);
    if (s->params.temperature == 0) {
        append(s, "greedy");
        return;
    }
    for (enum nib_filter f = 0; f < NIB_FILTER_COUNT; f++)
        if (!nib_filter_is_off(f, s->values[f]))
            append(s, "%s %.7g -> ", nib_filter_name(f), s->values[f]);
    append(s, "draw(seed %llu)", (unsigned long long)s->params.seed);
}

static enum nib_status allocate(struct nib_sampler *s, struct nib_error *err)
{
    const struct nib_sampler_params *p = &s->params;
    s->block_max = calloc(nib_row_blocks(s->n_vocab), sizeof(*s->block_max));
    if (!s->block_max)
        return nib_fail_memory(err, nib_row_blocks(s->n_vocab) * sizeof(*s->block_max),
                               "the sampler");
    if (has_penalties(p)) {
        const struct nib_penalty_params values = {.repeat = p->repeat_penalty,
                                                  .frequency = p->frequency_penalty,
                                                  .presence = p->presence_penalty,
                                                  .last_n = p->repeat_last_n};
        const enum nib_status status =
            nib_penalties_create(&s->penalties, &values, s->n_vocab, err);
        if (status != NIB_OK)
            return status;
    }
    return p->temperature == 0 ? NIB_OK : nib_candidates_create(&s->candidates, s->n_vocab, err);
}

enum nib_status nib_sampler_create(struct nib_sampler **out,
                                   const struct nib_sampler_params *params, size_t n_vocab,
                                   struct nib_error *err)
{
    *out = NULL;
    struct nib_sampler_params defaults;
    nib_sampler_params_init(&defaults);
    params = params ? params : &defaults;
    enum nib_status status = check_params(params, err);
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
    struct nib_sampler *s = calloc(1, sizeof(*s));
    if (!s)
        return nib_fail_memory(err, sizeof(*s), "the sampler");
    s->params = *params;
    s->n_vocab = n_vocab;
    s->n_tokens = params->n_tokens > 0 ? params->n_tokens : n_vocab;
    s->values[NIB_FILTER_TOP_K] = params->top_k;
    s->values[NIB_FILTER_TYPICAL_P] = 1;
    s->values[NIB_FILTER_TOP_P] = params->top_p;
    s->values[NIB_FILTER_MIN_P] = params->min_p;
    s->values[NIB_FILTER_TEMPERATURE] = params->temperature;
    status = allocate(s, err);
    if (status != NIB_OK) {
        nib_sampler_free(s);
        return status;
    }
    describe(s);
    *out = s;
    return NIB_OK;
}

void nib_sampler_free(struct nib_sampler *sampler)
{
    if (!sampler)
        return;
    nib_penalties_free(sampler->penalties);
    nib_candidates_free(&sampler->candidates);
    free(sampler->block_max);
    free(sampler);
}

const char *nib_sampler_describe(const struct nib_sampler *sampler)
{
    return sampler->description;
}

enum nib_status nib_sampler_add_prompt(struct nib_sampler *sampler, const int32_t *ids,
                                       size_t n_ids, struct nib_error *err)
{
    for (size_t i = 0; i < n_ids; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= sampler->n_vocab)
            return nib_fail(
                err, NIB_ERROR_ARGUMENT,
                "id %d at place %zu of the prompt does not exist: the model has ids 0 to "
                "%zu; tokenize the text with this model",
                ids[i], i, sampler->n_vocab - 1);
    for (size_t i = 0; sampler->penalties && i < n_ids; i++)
        nib_penalties_see(sampler->penalties, ids[i], false);
    return NIB_OK;
}

/* The first filter at work may say what need not be loaded: with top-k 40, nearly everything. */
static void load(struct nib_sampler *s, const struct nib_row *row)
{
    double bound = -INFINITY;
    for (enum nib_filter f = 0; f < NIB_FILTER_COUNT; f++)
        if (!nib_filter_is_off(f, s->values[f])) {
            bound = nib_filter_bound(f, s->values[f], row, &s->candidates);
            break;
        }
    nib_candidates_load(&s->candidates, row, bound);
}

static int32_t draw(struct nib_sampler *s, const struct nib_row *row)
{
    load(s, row);
    for (enum nib_filter f = 0; f < NIB_FILTER_COUNT; f++)
        nib_filter_apply(f, s->values[f], &s->candidates);
    const double u = nib_random_uniform(s->params.seed, s->params.sequence, s->n_choices);
    return nib_candidates_draw(&s->candidates, u);
}

enum nib_status nib_sampler_choose(struct nib_sampler *sampler, const float *logits,
                                   struct nib_choice *choice, struct nib_error *err)
{
    *choice = (struct nib_choice){0};
    struct nib_row row = {
        .logits = logits, .n = sampler->n_tokens, .block_max = sampler->block_max};
    if (sampler->penalties)
        row.logits = nib_penalties_apply(sampler->penalties, logits);
    const enum nib_status status = nib_row_scan(&row, err);
    if (status != NIB_OK)
        return status;
    choice->id = sampler->params.temperature == 0 ? row.best : draw(sampler, &row);
    if (sampler->params.wants_logprob) {
        const bool is_whole = !sampler->penalties && sampler->n_tokens == sampler->n_vocab;
        const int32_t best = is_whole ? row.best : nib_argmax(logits, sampler->n_vocab);
        choice->logprob = (float)nib_log_softmax(logits, sampler->n_vocab, best, choice->id);
    }
    if (sampler->penalties)
        nib_penalties_see(sampler->penalties, choice->id, true);
    sampler->n_choices++;
    return NIB_OK;
}
