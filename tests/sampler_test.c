/* The sampler through the public API: its chain, its penalties, its draws, its errors. */
#include "nibble.h"
#include "golden_data.h"
#include "penalties.h"
#include "quick.h"
#include "random.h"

#include <float.h>
#include <math.h>

static struct nib_sampler_params plain(void)
{
    struct nib_sampler_params params;
    nib_sampler_params_init(&params);
    params.temperature = 1;
    params.top_k = 0;
    params.top_p = 1;
    params.min_p = 0;
    return params;
}

static struct nib_sampler *sampler_of(const struct nib_sampler_params *params, size_t n_vocab)
{
    struct nib_sampler *sampler;
    struct nib_error err;
    if (nib_sampler_create(&sampler, params, n_vocab, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return sampler;
}

static int32_t choose(struct nib_sampler *sampler, const float *logits)
{
    struct nib_choice choice;
    struct nib_error err;
    if (nib_sampler_choose(sampler, logits, &choice, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return choice.id;
}

/* ---- the chain ------------------------------------------------------------------------------ */

static void check_description(const struct nib_sampler_params *params, const char *expected)
{
    struct nib_sampler *sampler = sampler_of(params, 100);
    assert_string_equal(nib_sampler_describe(sampler), expected);
    nib_sampler_free(sampler);
}

static void test_description_shows_what_is_at_work_in_its_order(void **state)
{
    (void)state;
    struct nib_sampler_params params;
    nib_sampler_params_init(&params);
    check_description(&params,
                      "top-k 40 -> top-p 0.95 -> min-p 0.05 -> temperature 0.8 -> draw(seed 0)");
    check_description(NULL,
                      "top-k 40 -> top-p 0.95 -> min-p 0.05 -> temperature 0.8 -> draw(seed 0)");
    params.repeat_penalty = 1.1f;
    params.frequency_penalty = 0.5f;
    params.presence_penalty = -0.25f;
    params.top_p = 1;
    params.temperature = 1;
    params.seed = UINT64_MAX;
    check_description(&params, "penalties(repeat 1.1, frequency 0.5, presence -0.25, last 64) -> "
                               "top-k 40 -> min-p 0.05 -> draw(seed 18446744073709551615)");
    params.temperature = 0;
    params.repeat_last_n = -1;
    check_description(&params, "penalties(repeat 1.1, frequency 0.5, presence -0.25, all ids) -> "
                               "greedy");
    params.repeat_last_n = 0;
    check_description(&params, "greedy");
}

static void test_longest_description_is_whole(void **state)
{
    (void)state;
    const struct nib_sampler_params params = {.seed = UINT64_MAX,
                                              .temperature = 1.23456e-30f,
                                              .top_k = INT32_MAX,
                                              .top_p = 1.23456e-30f,
                                              .min_p = 1.23456e-30f,
                                              .typical_p = 1.23456e-30f,
                                              .repeat_penalty = 1.23456e-30f,
                                              .repeat_last_n = 1048576,
                                              .frequency_penalty = -1.23456e-30f,
                                              .presence_penalty = -1.23456e-30f};
    struct nib_sampler *sampler = sampler_of(&params, 10);
    assert_non_null(strstr(nib_sampler_describe(sampler), "(seed 18446744073709551615)"));
    nib_sampler_free(sampler);
}

static void test_temperature_zero_takes_the_lowest_of_the_largest(void **state)
{
    (void)state;
    const float logits[] = {1, 5, -2, 5, 4};
    struct nib_sampler_params params = plain();
    params.temperature = 0;
    params.top_k = 3;
    struct nib_sampler *sampler = sampler_of(&params, 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(choose(sampler, logits), 1);
    nib_sampler_free(sampler);
}

static void test_choices_depend_on_seed_sequence_and_number_alone(void **state)
{
    (void)state;
    enum { N = 50 };
    float flat[1000] = {0};
    struct nib_sampler_params params = plain();
    int32_t first[N];
    int n_other[2] = {0};
    struct nib_sampler *sampler = sampler_of(&params, 1000);
    for (int i = 0; i < N; i++)
        first[i] = choose(sampler, flat);
    nib_sampler_free(sampler);

    sampler = sampler_of(&params, 1000);
    for (int i = 0; i < N; i++) {
        const float bad[1000] = {NAN};
        struct nib_choice choice;
        assert_int_equal(nib_sampler_choose(sampler, bad, &choice, NULL), NIB_ERROR_NUMERIC);
        assert_int_equal(choose(sampler, flat), first[i]); /* a failure was no choice */
    }
    nib_sampler_free(sampler);

    for (int k = 0; k < 2; k++) {
        params = plain();
        params.seed = k == 0;
        params.sequence = k == 1;
        sampler = sampler_of(&params, 1000);
        for (int i = 0; i < N; i++)
            n_other[k] += choose(sampler, flat) != first[i];
        nib_sampler_free(sampler);
    }
    assert_true(n_other[0] > N - 5 && n_other[1] > N - 5);
}

static void test_logprob_is_of_the_untouched_distribution(void **state)
{
    (void)state;
    const float logits[] = {2, 1, 0, -INFINITY, -1};
    double total = 0;
    for (int i = 0; i < 5; i++)
        total += exp(logits[i]);
    struct nib_sampler_params params = plain();
    params.wants_logprob = true;
    params.repeat_penalty = 50;
    params.temperature = 0.3f;
    params.top_k = 2;
    struct nib_sampler *sampler = sampler_of(&params, 5);
    for (int i = 0; i < 20; i++) {
        struct nib_choice choice;
        assert_int_equal(nib_sampler_choose(sampler, logits, &choice, NULL), NIB_OK);
        assert_true(fabs(choice.logprob - (logits[choice.id] - log(total))) < 1e-6);
    }
    nib_sampler_free(sampler);
}

/* The largest logits pad the row: never chosen, yet part of the distribution. */
static void test_ids_without_a_token_are_never_chosen(void **state)
{
    (void)state;
    const float logits[] = {2, 1, 0, 5, 6};
    double total = 0;
    for (int i = 0; i < 5; i++)
        total += exp(logits[i]);
    for (int greedy = 0; greedy < 2; greedy++) {
        struct nib_sampler_params params = plain();
        params.temperature = greedy ? 0 : 2;
        params.frequency_penalty = greedy ? 0 : 0.01f;
        params.wants_logprob = true;
        params.n_tokens = 3;
        struct nib_sampler *sampler = sampler_of(&params, 5);
        assert_int_equal(nib_sampler_add_prompt(sampler, (int32_t[]){4}, 1, NULL), NIB_OK);
        for (int i = 0; i < 100; i++) {
            struct nib_choice choice;
            assert_int_equal(nib_sampler_choose(sampler, logits, &choice, NULL), NIB_OK);
            assert_true(choice.id < 3 && (!greedy || choice.id == 0));
            assert_true(fabs(choice.logprob - (logits[choice.id] - log(total))) < 1e-6);
        }
        nib_sampler_free(sampler);
    }
}

/* ---- draws ---------------------------------------------------------------------------------- */

/* A standard normal deviate if chi2 is chi-square distributed (Wilson and Hilferty 1931). */
static double deviate(double chi2, double freedom)
{
    const double v = 2 / (9 * freedom);
    return (cbrt(chi2 / freedom) - (1 - v)) / sqrt(v);
}

static void check_draws(struct nib_sampler *sampler, struct golden_tensor logits,
                        struct golden_tensor probs)
{
    const int n = is_quick() ? 2000 : 100000;
    const float *p = probs.data;
    uint32_t *counts = calloc(probs.n, sizeof(*counts));
    for (int i = 0; i < n; i++)
        counts[choose(sampler, logits.data)]++;
    double chi2 = 0;
    int cells = 0;
    for (size_t i = 0; i < probs.n; i++) {
        if (p[i] == 0)
            assert_int_equal(counts[i], 0);
        const double expected = (double)p[i] * n;
        if (expected < 5)
            continue;
        chi2 += (counts[i] - expected) * (counts[i] - expected) / expected;
        cells++;
    }
    free(counts);
    if (cells < 2)
        return;
    const double z = deviate(chi2, cells - 1);
    assert_true(z < 4 && (z > -4 || cells < 10));
}

static float number(yyjson_val *params, const char *name, double otherwise)
{
    yyjson_val *value = yyjson_obj_get(params, name);
    return (float)(value ? yyjson_get_num(value) : otherwise);
}

/* Is `order` one that the sampler's own chain can have? */
static bool is_chain_order(yyjson_val *order)
{
    static const char *const chain[] = {"top_k", "top_p", "min_p", "temperature"};
    size_t i, n, next = 0;
    yyjson_val *name;
    yyjson_arr_foreach(order, i, n, name)
    {
        while (next < 4 && strcmp(chain[next], yyjson_get_str(name)) != 0)
            next++;
        if (next++ >= 4)
            return false;
    }
    return true;
}

static void test_draws_follow_the_exact_distributions(void **state)
{
    (void)state;
    struct golden_table table = golden_table_open("sampling/sampling.safetensors");
    yyjson_doc *doc = golden_json("sampling/sampling.json");
    yyjson_val *cases = yyjson_obj_get(yyjson_doc_get_root(doc), "cases"), *test;
    size_t i, n, n_fitting = 0, n_drawn = 0;
    yyjson_arr_foreach(cases, i, n, test)
    {
        yyjson_val *values = yyjson_obj_get(test, "params");
        yyjson_val *order = yyjson_obj_get(test, "order");
        if (!is_chain_order(order) || (yyjson_arr_size(order) == 1 && n_fitting++ % 8 != 0))
            continue;
        struct nib_sampler_params params = plain();
        params.seed = 2024;
        params.temperature = number(values, "temperature", 1);
        params.top_k = (int32_t)number(values, "top_k", 0);
        params.top_p = number(values, "top_p", 1);
        params.min_p = number(values, "min_p", 0);
        struct golden_tensor logits =
            golden_tensor(&table, yyjson_get_str(yyjson_obj_get(test, "logits")));
        struct nib_sampler *sampler = sampler_of(&params, logits.n);
        check_draws(sampler, logits,
                    golden_tensor(&table, yyjson_get_str(yyjson_obj_get(test, "probs"))));
        nib_sampler_free(sampler);
        n_drawn++;
    }
    assert_true(n_drawn > 30);
    yyjson_doc_free(doc);
    golden_table_close(&table);
}

/* The same ids from every compiler and CPU: no libm function is on the way. */
static void test_choices_are_the_same_everywhere(void **state)
{
    (void)state;
    enum { V = 5000 };
    static float logits[V];
    for (uint64_t i = 0; i < V; i++)
        logits[i] = (float)(16 * nib_random_uniform(1, 1, i) * nib_random_uniform(1, 2, i));
    const struct nib_sampler_params all[] = {
        {.temperature = 0.7f, .top_p = 0.9f, .typical_p = 1, .repeat_penalty = 1},
        {.temperature = 1.5f,
         .top_k = 50,
         .top_p = 0.95f,
         .min_p = 0.02f,
         .typical_p = 1,
         .repeat_penalty = 1},
        {.temperature = 1, .top_p = 1, .typical_p = 1, .repeat_penalty = 1.1f, .repeat_last_n = 64},
    };
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t k = 0; k < NIB_COUNT(all); k++) {
        struct nib_sampler *sampler = sampler_of(&all[k], V);
        for (int i = 0; i < 500; i++)
            hash = (hash ^ (uint64_t)choose(sampler, logits)) * 1099511628211u;
        nib_sampler_free(sampler);
    }
    assert_int_equal(hash, 0x22763fecf7dd8ea0);
}

/* ---- penalties ------------------------------------------------------------------------------ */

static const char *const models[] = {"gpt2.p0.", "gpt2.p1.", "gpt-neox-f16.p0.",
                                     "gpt-neox-f16.p1."};

static struct golden_tensor tensor_of(const struct golden_table *table, const char *model,
                                      const char *name)
{
    char whole[64];
    snprintf(whole, sizeof(whole), "%s%s", model, name);
    return golden_tensor(table, whole);
}

/* The logits [n <= 1000] with the penalties; until the next call. */
static const float *penalise(const struct nib_penalties *penalties, const float *logits, size_t n)
{
    static float row[1000];
    assert_true(n <= NIB_COUNT(row));
    memcpy(row, logits, n * sizeof(*row));
    const struct nib_edits edits = nib_penalties_edits(penalties);
    nib_edit_row(&edits, row);
    return row;
}

static void test_frequency_and_presence_give_the_reference_logits(void **state)
{
    (void)state;
    struct golden_table table = golden_table_open("sampling/penalties.safetensors");
    for (size_t m = 0; m < NIB_COUNT(models); m++) {
        struct golden_tensor logits = tensor_of(&table, models[m], "last_logits");
        struct golden_tensor expected = tensor_of(&table, models[m], "penalty.logits");
        struct golden_tensor history = tensor_of(&table, models[m], "penalty.history");
        const float *values = tensor_of(&table, models[m], "penalty.frequency_presence").data;
        const struct nib_penalty_params params = {
            .repeat = 1, .frequency = values[0], .presence = values[1], .last_n = -1};
        struct nib_penalties *penalties;
        assert_int_equal(nib_penalties_create(&penalties, &params, logits.n, NULL), NIB_OK);
        for (size_t i = 0; i < history.n; i++)
            nib_penalties_see(penalties, (int32_t)((const int64_t *)history.data)[i], true);
        const float *found = penalise(penalties, logits.data, logits.n);
        for (size_t i = 0; i < logits.n; i++)
            assert_true(fabsf(found[i] - ((const float *)expected.data)[i]) <= 1e-6f);
        nib_penalties_free(penalties);
    }
    golden_table_close(&table);
}

static void test_repetition_gives_the_reference_id(void **state)
{
    (void)state;
    struct golden_table table = golden_table_open("sampling/penalties.safetensors");
    int n_changed = 0;
    for (size_t m = 0; m < NIB_COUNT(models); m++) {
        struct golden_tensor logits = tensor_of(&table, models[m], "last_logits");
        struct golden_tensor prompt = tensor_of(&table, models[m], "input_ids");
        const int64_t *expected = tensor_of(&table, models[m], "reppen1.3").data;
        struct nib_sampler_params params = plain();
        params.temperature = 0;
        params.repeat_penalty = 1.3f;
        params.repeat_last_n = -1;
        struct nib_sampler *sampler = sampler_of(&params, logits.n);
        for (size_t i = 0; i < prompt.n; i++) {
            const int32_t id = (int32_t)((const int64_t *)prompt.data)[i];
            assert_int_equal(nib_sampler_add_prompt(sampler, &id, 1, NULL), NIB_OK);
        }
        assert_int_equal(choose(sampler, logits.data), *expected);
        n_changed += nib_argmax(logits.data, logits.n) != *expected;
        nib_sampler_free(sampler);
    }
    assert_true(n_changed > 0);
    golden_table_close(&table);
}

/* The penalties by the book, from the whole history. */
static float penalised(const struct nib_penalty_params *params, const int32_t *ids,
                       const bool *is_output, size_t n, int32_t id, float logit)
{
    size_t n_all = 0, n_output = 0;
    const size_t window =
        params->last_n < 0 || (size_t)params->last_n > n ? n : (size_t)params->last_n;
    for (size_t i = n - window; i < n; i++) {
        n_all += ids[i] == id;
        n_output += ids[i] == id && is_output[i];
    }
    double x = logit;
    if (n_all > 0)
        x = x > 0 ? x / params->repeat : x * params->repeat;
    if (n_output > 0)
        x -= (double)n_output * params->frequency + params->presence;
    return (float)x;
}

static void test_window_slides_over_prompt_and_output(void **state)
{
    (void)state;
    enum { V = 12, N = 300 };
    const int32_t windows[] = {-1, 0, 1, 2, 7, 64, 1000};
    int32_t ids[N];
    bool is_output[N];
    float logits[V];
    for (int i = 0; i < V; i++)
        logits[i] = (float)(i - V / 2);
    for (size_t w = 0; w < NIB_COUNT(windows); w++) {
        const struct nib_penalty_params params = {
            .repeat = 1.5, .frequency = 0.25, .presence = 0.125, .last_n = windows[w]};
        struct nib_penalties *penalties;
        assert_int_equal(nib_penalties_create(&penalties, &params, V, NULL), NIB_OK);
        for (size_t n = 0; n < N; n++) {
            const float *found = penalise(penalties, logits, V);
            for (int32_t id = 0; id < V; id++)
                assert_true(found[id] == penalised(&params, ids, is_output, n, id, logits[id]));
            const double u = nib_random_uniform(5, 0, n);
            ids[n] = (int32_t)(V * u * u); /* low ids more often */
            is_output[n] = n > 20 && n % 50 != 0;
            nib_penalties_see(penalties, ids[n], is_output[n]);
        }
        nib_penalties_free(penalties);
    }
}

static void test_penalties_keep_logits_finite_and_infinity_infinite(void **state)
{
    (void)state;
    const float logits[] = {FLT_MAX, -FLT_MAX, -INFINITY, 1, 0};
    const struct nib_penalty_params all[] = {
        {.repeat = 1e-38, .last_n = -1},
        {.repeat = 3e38, .last_n = -1},
        {.repeat = 1, .frequency = FLT_MAX, .presence = FLT_MAX, .last_n = 64},
        {.repeat = 1, .frequency = -FLT_MAX, .presence = -FLT_MAX, .last_n = 64}};
    for (size_t k = 0; k < NIB_COUNT(all); k++) {
        struct nib_penalties *penalties;
        assert_int_equal(nib_penalties_create(&penalties, &all[k], 5, NULL), NIB_OK);
        for (int32_t id = 0; id < 5; id++)
            nib_penalties_see(penalties, id, true);
        const float *found = penalise(penalties, logits, 5);
        for (int i = 0; i < 5; i++)
            assert_true(i == 2 ? found[i] == -INFINITY : isfinite(found[i]));
        nib_penalties_free(penalties);
    }
}

/* ---- errors --------------------------------------------------------------------------------- */

static void test_parameters_outside_their_range_are_refused_by_name(void **state)
{
    (void)state;
    struct nib_sampler_params wrong[64];
    const char *names[NIB_COUNT(wrong)];
    size_t n = 0;
    for (size_t i = 0; i < NIB_COUNT(wrong); i++)
        nib_sampler_params_init(&wrong[i]);
    for (size_t i = 0; i < NIB_COUNT(wrong); i++) /* what is off is not looked at */
        wrong[i].dynatemp_range = wrong[i].xtc_probability = wrong[i].dry_multiplier = 0.5f;
    for (size_t i = 0; i < NIB_COUNT(wrong); i++)
        wrong[i].mirostat = 2;
#define WRONG(field, value) (wrong[n].field = (value), names[n++] = #field)
    WRONG(temperature, -1);
    WRONG(temperature, NAN);
    WRONG(temperature, INFINITY);
    WRONG(top_k, -1);
    WRONG(top_k, INT32_MIN);
    WRONG(top_p, 0);
    WRONG(top_p, -0.5f);
    WRONG(top_p, 1.01f);
    WRONG(top_p, NAN);
    WRONG(min_p, -0.1f);
    WRONG(min_p, 1.1f);
    WRONG(min_p, NAN);
    WRONG(repeat_penalty, 0);
    WRONG(repeat_penalty, -1);
    WRONG(repeat_penalty, NAN);
    WRONG(repeat_penalty, INFINITY);
    WRONG(repeat_last_n, -2);
    WRONG(repeat_last_n, INT32_MAX);
    WRONG(frequency_penalty, NAN);
    WRONG(frequency_penalty, -INFINITY);
    WRONG(presence_penalty, NAN);
    WRONG(presence_penalty, INFINITY);
    WRONG(dynatemp_range, -1);
    WRONG(dynatemp_range, NAN);
    WRONG(dynatemp_exponent, 0);
    WRONG(dynatemp_exponent, NAN);
    WRONG(typical_p, 0);
    WRONG(typical_p, 1.5f);
    WRONG(typical_p, NAN);
    WRONG(top_n_sigma, -1);
    WRONG(top_n_sigma, INFINITY);
    WRONG(xtc_probability, -0.1f);
    WRONG(xtc_probability, 1.1f);
    WRONG(xtc_probability, NAN);
    WRONG(xtc_threshold, -0.1f);
    WRONG(xtc_threshold, NAN);
    WRONG(dry_multiplier, -1);
    WRONG(dry_multiplier, NAN);
    WRONG(dry_base, 0.5f);
    WRONG(dry_base, NAN);
    WRONG(dry_allowed_length, -1);
    WRONG(dry_last_n, -2);
    WRONG(mirostat, 1);
    WRONG(mirostat, -2);
    WRONG(mirostat_tau, -1);
    WRONG(mirostat_tau, NAN);
    WRONG(mirostat_eta, -1);
    WRONG(mirostat_eta, NAN);
#undef WRONG
    for (size_t i = 0; i < n; i++) {
        struct nib_sampler *sampler = (void *)wrong;
        struct nib_error err;
        assert_int_equal(nib_sampler_create(&sampler, &wrong[i], 100, &err), NIB_ERROR_ARGUMENT);
        assert_null(sampler);
        assert_int_equal(err.status, NIB_ERROR_ARGUMENT);
        assert_non_null(strstr(err.message, names[i]));
        assert_int_equal(nib_sampler_create(&sampler, &wrong[i], 100, NULL), NIB_ERROR_ARGUMENT);
    }
}

static void test_absurd_vocabularies_are_refused(void **state)
{
    (void)state;
    struct nib_sampler *sampler;
    const size_t sizes[] = {0, (size_t)INT32_MAX + 1, SIZE_MAX};
    for (size_t i = 0; i < NIB_COUNT(sizes); i++) {
        assert_int_equal(nib_sampler_create(&sampler, NULL, sizes[i], NULL), NIB_ERROR_ARGUMENT);
        assert_null(sampler);
    }
    struct nib_sampler_params params = plain();
    params.n_tokens = 5;
    struct nib_error err;
    assert_int_equal(nib_sampler_create(&sampler, &params, 4, &err), NIB_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "n_tokens is 5"));
    nib_sampler_free(NULL);
}

static void test_prompt_ids_outside_the_vocabulary_are_refused_whole(void **state)
{
    (void)state;
    struct nib_sampler_params params = plain();
    params.temperature = 0;
    params.repeat_penalty = 10;
    struct nib_sampler *sampler = sampler_of(&params, 4);
    struct nib_error err;
    assert_int_equal(nib_sampler_add_prompt(sampler, (int32_t[]){3, 4}, 2, &err),
                     NIB_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "id 4 at place 1"));
    assert_int_equal(nib_sampler_add_prompt(sampler, (int32_t[]){3, -1}, 2, NULL),
                     NIB_ERROR_ARGUMENT);
    assert_int_equal(choose(sampler, (float[]){1, 2, 3, 4}), 3); /* 3 was not remembered */
    assert_int_equal(nib_sampler_add_prompt(sampler, (int32_t[]){2}, 1, NULL), NIB_OK);
    assert_int_equal(choose(sampler, (float[]){1, 2, 3, 4}), 1);
    nib_sampler_free(sampler);
}

static void test_nan_is_an_error_that_names_the_id(void **state)
{
    (void)state;
    for (int k = 0; k < 4; k++) {
        struct nib_sampler_params params = plain();
        params.temperature = k & 1;
        params.repeat_penalty = k & 2 ? 1.1f : 1.0f;
        struct nib_sampler *sampler = sampler_of(&params, 5);
        struct nib_choice choice = {7, 7};
        struct nib_error err;
        const float logits[] = {1, 2, 3, NAN, 4};
        assert_int_equal(nib_sampler_add_prompt(sampler, (int32_t[]){3}, 1, NULL), NIB_OK);
        assert_int_equal(nib_sampler_choose(sampler, logits, &choice, &err), NIB_ERROR_NUMERIC);
        assert_non_null(strstr(err.message, "id 3 "));
        assert_int_equal(choice.id, 0);
        const float masked[] = {-INFINITY, -INFINITY, 3, -INFINITY, -INFINITY};
        assert_int_equal(choose(sampler, masked), 2);
        nib_sampler_free(sampler);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_description_shows_what_is_at_work_in_its_order),
        cmocka_unit_test(test_longest_description_is_whole),
        cmocka_unit_test(test_temperature_zero_takes_the_lowest_of_the_largest),
        cmocka_unit_test(test_choices_depend_on_seed_sequence_and_number_alone),
        cmocka_unit_test(test_logprob_is_of_the_untouched_distribution),
        cmocka_unit_test(test_ids_without_a_token_are_never_chosen),
        cmocka_unit_test(test_draws_follow_the_exact_distributions),
        cmocka_unit_test(test_choices_are_the_same_everywhere),
        cmocka_unit_test(test_frequency_and_presence_give_the_reference_logits),
        cmocka_unit_test(test_repetition_gives_the_reference_id),
        cmocka_unit_test(test_window_slides_over_prompt_and_output),
        cmocka_unit_test(test_penalties_keep_logits_finite_and_infinity_infinite),
        cmocka_unit_test(test_parameters_outside_their_range_are_refused_by_name),
        cmocka_unit_test(test_absurd_vocabularies_are_refused),
        cmocka_unit_test(test_prompt_ids_outside_the_vocabulary_are_refused_whole),
        cmocka_unit_test(test_nan_is_an_error_that_names_the_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
