/* The sampling chain in any order, through the public API: against transformers, against exact
 * distributions, and against its stages computed by the book. */
#include "nibble.h"
#include "golden_data.h"
#include "quick.h"
#include "random.h"

#include <math.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

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

static float number(yyjson_val *params, const char *name, double otherwise)
{
    yyjson_val *value = yyjson_obj_get(params, name);
    return (float)(value ? yyjson_get_num(value) : otherwise);
}

/* The numbers that `values` has, and the stages of `order`. */
static struct nib_sampler_params params_of(yyjson_val *values, yyjson_val *order, char *names,
                                           size_t size)
{
    struct nib_sampler_params params = plain();
    params.seed = 2024;
    params.temperature = number(values, "temperature", 1);
    params.top_k = (int32_t)number(values, "top_k", 0);
    params.top_p = number(values, "top_p", 1);
    params.min_p = number(values, "min_p", 0);
    params.typical_p = number(values, "typical_p", 1);
    params.repeat_penalty = number(values, "repetition_penalty", 1);
    params.repeat_last_n = -1;
    size_t i, n, used = 0;
    yyjson_val *name;
    *names = 0;
    yyjson_arr_foreach(order, i, n, name) used +=
        (size_t)snprintf(names + used, size - used, "%s;", yyjson_get_str(name));
    params.samplers = names;
    return params;
}

/* ---- exact distributions -------------------------------------------------------------------- */

/* A standard normal deviate if chi2 is chi-square distributed (Wilson and Hilferty 1931). */
static double deviate(double chi2, double freedom)
{
    const double v = 2 / (9 * freedom);
    return (cbrt(chi2 / freedom) - (1 - v)) / sqrt(v);
}

static void check_counts(const uint32_t *counts, const double *p, size_t n_ids, int n_draws)
{
    double chi2 = 0;
    int cells = 0;
    for (size_t i = 0; i < n_ids; i++) {
        if (p[i] == 0)
            assert_int_equal(counts[i], 0);
        const double expected = p[i] * n_draws;
        if (expected < 5)
            continue;
        chi2 += (counts[i] - expected) * (counts[i] - expected) / expected;
        cells++;
    }
    if (cells < 2)
        return;
    const double z = deviate(chi2, cells - 1);
    assert_true(z < 4 && (z > -4 || cells < 10));
}

static void test_chain_in_any_order_gives_the_exact_distributions(void **state)
{
    (void)state;
    struct golden_table table = golden_table_open("sampling/sampling.safetensors");
    yyjson_doc *doc = golden_json("sampling/sampling.json");
    yyjson_val *cases = yyjson_obj_get(yyjson_doc_get_root(doc), "cases"), *test;
    size_t i, n;
    assert_int_equal(yyjson_arr_size(cases), 228);
    yyjson_arr_foreach(cases, i, n, test)
    {
        char names[200];
        const struct nib_sampler_params params = params_of(
            yyjson_obj_get(test, "params"), yyjson_obj_get(test, "order"), names, sizeof(names));
        struct golden_tensor logits =
            golden_tensor(&table, yyjson_get_str(yyjson_obj_get(test, "logits")));
        const float *probs =
            golden_tensor(&table, yyjson_get_str(yyjson_obj_get(test, "probs"))).data;
        struct nib_sampler *sampler = sampler_of(&params, logits.n);
        double *p = calloc(logits.n, sizeof(*p));
        choose(sampler, logits.data);
        for (size_t j = 0; j < logits.n; j++) {
            p[j] = nib_sampler_probability(sampler, (int32_t)j);
            assert_true(fabs(p[j] - probs[j]) <= 1e-6 && (probs[j] > 0 || p[j] < 1e-37));
        }
        if (yyjson_arr_size(yyjson_obj_get(test, "order")) > 1 && i % 3 == 0) {
            const int n_draws = is_quick() ? 1000 : 100000;
            uint32_t *counts = calloc(logits.n, sizeof(*counts));
            for (int j = 0; j < n_draws; j++)
                counts[choose(sampler, logits.data)]++;
            check_counts(counts, p, logits.n, n_draws);
            free(counts);
        }
        free(p);
        nib_sampler_free(sampler);
    }
    yyjson_doc_free(doc);
    golden_table_close(&table);
}

/* ---- transformers --------------------------------------------------------------------------- */

static struct nib_id_list list_of(yyjson_val *ids)
{
    static int32_t all[4096];
    static size_t used;
    size_t i, n;
    yyjson_val *id;
    if (used + yyjson_arr_size(ids) > COUNT(all))
        used = 0; /* lists of earlier cases are not looked at any more */
    int32_t *list = all + used;
    yyjson_arr_foreach(ids, i, n, id) all[used++] = (int32_t)yyjson_get_sint(id);
    return (struct nib_id_list){list, yyjson_arr_size(ids)};
}

static void check_transformers_case(yyjson_val *test, const int32_t *end_id)
{
    char names[200];
    float logits[200];
    struct nib_id_list words[8];
    struct nib_logit_bias biases[8];
    struct nib_sampler_params params =
        params_of(test, yyjson_obj_get(test, "samplers"), names, sizeof(names));
    size_t i, n;
    yyjson_val *value;
    yyjson_arr_foreach(yyjson_obj_get(test, "logits"), i, n, value) logits[i] =
        (float)yyjson_get_num(value);
    const size_t n_vocab = n;
    yyjson_arr_foreach(yyjson_obj_get(test, "bad_words"), i, n, value) words[i] = list_of(value);
    params.bad_words = words;
    params.n_bad_words = n;
    yyjson_arr_foreach(yyjson_obj_get(test, "bias"), i, n, value) biases[i] =
        (struct nib_logit_bias){(int32_t)yyjson_get_sint(yyjson_arr_get(value, 0)),
                                (float)yyjson_get_num(yyjson_arr_get(value, 1))};
    params.logit_bias = biases;
    params.n_logit_bias = n;
    const struct nib_id_list ids = list_of(yyjson_obj_get(test, "ids"));
    const double min_length = number(test, "min_length", 0); /* counts the prompt */
    params.end_ids = end_id;
    params.n_end_ids = 1;
    params.min_length =
        min_length > (double)ids.n_ids ? (uint32_t)(min_length - (double)ids.n_ids) : 0;
    struct nib_sampler *sampler = sampler_of(&params, n_vocab);
    assert_int_equal(nib_sampler_add_prompt(sampler, ids.ids, ids.n_ids, NULL), NIB_OK);
    choose(sampler, logits);
    yyjson_arr_foreach(yyjson_obj_get(test, "probs"), i, n, value) assert_true(
        fabs(nib_sampler_probability(sampler, (int32_t)i) - yyjson_get_num(value)) < 1e-6);
    nib_sampler_free(sampler);
}

static void test_chain_gives_what_transformers_gives(void **state)
{
    (void)state;
    yyjson_doc *doc = golden_json("sampling/huggingface.json");
    const int32_t end_id =
        (int32_t)yyjson_get_int(yyjson_obj_get(yyjson_doc_get_root(doc), "end_id"));
    yyjson_val *cases = yyjson_obj_get(yyjson_doc_get_root(doc), "cases"), *test;
    size_t i, n;
    assert_int_equal(yyjson_arr_size(cases), 60);
    yyjson_arr_foreach(cases, i, n, test) check_transformers_case(test, &end_id);
    yyjson_doc_free(doc);
}

/* ---- stages by the book --------------------------------------------------------------------- */

enum { V = 50 };

static void fill_logits(float *logits, uint64_t seed)
{
    for (uint64_t i = 0; i < V; i++)
        logits[i] = (float)(12 * nib_random_uniform(seed, 1, i) * nib_random_uniform(seed, 2, i));
}

/* softmax(logits), 0 where p is 0 already. */
static void softmax(const float *logits, const bool *is_left, double *p)
{
    double max = -INFINITY, total = 0;
    for (int i = 0; i < V; i++)
        max = is_left[i] && logits[i] > max ? logits[i] : max;
    for (int i = 0; i < V; i++)
        total += p[i] = is_left[i] ? exp(logits[i] - max) : 0;
    for (int i = 0; i < V; i++)
        p[i] /= total;
}

static void check_probabilities(const struct nib_sampler *sampler, const double *p)
{
    for (int32_t i = 0; i < V; i++)
        assert_true(fabs(nib_sampler_probability(sampler, i) - p[i]) < 1e-6);
}

static void test_top_n_sigma_keeps_what_is_near_the_best(void **state)
{
    (void)state;
    float logits[V];
    for (uint64_t seed = 0; seed < 50; seed++) {
        fill_logits(logits, seed);
        struct nib_sampler_params params = plain();
        params.top_n_sigma = (float)(0.1 + 3 * nib_random_uniform(seed, 3, 0));
        double mean = 0, variance = 0, max = -INFINITY, p[V];
        bool is_left[V];
        for (int i = 0; i < V; i++)
            mean += logits[i] / (double)V;
        for (int i = 0; i < V; i++)
            variance += (logits[i] - mean) * (logits[i] - mean) / V;
        for (int i = 0; i < V; i++)
            max = logits[i] > max ? logits[i] : max;
        for (int i = 0; i < V; i++)
            is_left[i] = logits[i] >= max - (double)params.top_n_sigma * sqrt(variance);
        softmax(logits, is_left, p);
        struct nib_sampler *sampler = sampler_of(&params, V);
        choose(sampler, logits);
        check_probabilities(sampler, p);
        nib_sampler_free(sampler);
    }
}

/* XTC's own draw decides between two distributions: what is drawn follows their mixture. */
static void test_xtc_cuts_as_often_as_it_should(void **state)
{
    (void)state;
    const int n_draws = is_quick() ? 2000 : 100000;
    const float shares[] = {0.3f, 1.0f};
    for (size_t k = 0; k < COUNT(shares); k++) {
        float logits[V];
        double whole[V], cut[V], p[V];
        bool is_left[V];
        uint32_t counts[V] = {0};
        fill_logits(logits, 9);
        struct nib_sampler_params params = plain();
        params.xtc_probability = shares[k];
        params.xtc_threshold = 0.05f;
        memset(is_left, true, sizeof(is_left));
        softmax(logits, is_left, whole);
        int stays = -1, n_over = 0;
        for (int i = 0; i < V; i++) {
            if (whole[i] < (double)params.xtc_threshold)
                continue;
            n_over++;
            stays = stays < 0 || logits[i] < logits[stays] ? i : stays;
        }
        assert_true(n_over > 2);
        for (int i = 0; i < V; i++)
            is_left[i] = whole[i] < (double)params.xtc_threshold || i == stays;
        softmax(logits, is_left, cut);
        struct nib_sampler *sampler = sampler_of(&params, V);
        for (int i = 0; i < n_draws; i++)
            counts[choose(sampler, logits)]++;
        for (int i = 0; i < V; i++)
            p[i] = (double)shares[k] * cut[i] + (1 - (double)shares[k]) * whole[i];
        check_counts(counts, p, V, n_draws);
        nib_sampler_free(sampler);
    }
}

static void test_xtc_leaves_a_single_candidate_and_its_own_kind_alone(void **state)
{
    (void)state;
    const float one_sure[] = {9, 1, 1, 1}, pair[] = {5, 5, 5, 1};
    struct nib_sampler_params params = plain();
    params.xtc_probability = 1;
    params.xtc_threshold = 0.1f;
    struct nib_sampler *sampler = sampler_of(&params, 4);
    choose(sampler, one_sure);
    assert_true(nib_sampler_probability(sampler, 0) > 0.9);
    choose(sampler, pair);
    assert_true(nib_sampler_probability(sampler, 0) == 0);
    assert_true(nib_sampler_probability(sampler, 1) == 0);
    assert_true(nib_sampler_probability(sampler, 2) > 0.9);
    nib_sampler_free(sampler);
    params.xtc_threshold = 0.51f;
    sampler = sampler_of(&params, 4);
    choose(sampler, pair);
    assert_true(nib_sampler_probability(sampler, 0) > 0.3);
    nib_sampler_free(sampler);
}

static void test_dynamic_temperature_follows_the_entropy(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        float logits[V], scaled[V];
        bool is_left[V];
        double p[V], entropy = 0;
        fill_logits(logits, seed);
        struct nib_sampler_params params = plain();
        params.temperature = 0.8f;
        params.dynatemp_range = seed % 2 ? 0.5f : 1.5f;
        params.dynatemp_exponent = 0.5f + (float)(seed % 3);
        memset(is_left, true, sizeof(is_left));
        softmax(logits, is_left, p);
        for (int i = 0; i < V; i++)
            entropy -= p[i] * log(p[i]);
        const double t = (double)params.temperature, r = (double)params.dynatemp_range;
        const double low = t > r ? t - r : 0;
        const double dynamic =
            low + (t + r - low) * pow(entropy / log(V), (double)params.dynatemp_exponent);
        for (int i = 0; i < V; i++)
            scaled[i] = (float)(logits[i] / dynamic);
        softmax(scaled, is_left, p);
        struct nib_sampler *sampler = sampler_of(&params, V);
        choose(sampler, logits);
        check_probabilities(sampler, p);
        nib_sampler_free(sampler);
    }
}

/* Every step's distribution, and the mean surprise in the long run. */
static void test_mirostat_keeps_to_its_surprise(void **state)
{
    (void)state;
    enum { MANY = 2000 };
    static float logits[MANY];
    static double p[MANY];
    const int n_draws = is_quick() ? 2000 : 100000;
    for (uint64_t i = 0; i < MANY; i++) /* a power law, as of words */
        logits[i] = (float)(-1.1 * log((double)i + 1));
    const float taus[] = {2, 4.5f};
    for (size_t k = 0; k < COUNT(taus); k++) {
        struct nib_sampler_params params = plain();
        params.mirostat = 2;
        params.mirostat_tau = taus[k];
        params.mirostat_eta = 0.1f;
        params.top_k = 1; /* of no account */
        const double tau = (double)taus[k], eta = (double)params.mirostat_eta;
        double mu = 2 * tau, total = 0, sum = 0;
        for (int i = 0; i < MANY; i++)
            total += exp((double)logits[i]);
        struct nib_sampler *sampler = sampler_of(&params, MANY);
        for (int step = 0; step < n_draws; step++) {
            const int32_t id = choose(sampler, logits);
            double left = 0;
            for (int i = 0; i < MANY && (i == 0 || -log2(exp((double)logits[i]) / total) <= mu);
                 i++)
                left += p[i] = exp((double)logits[i]);
            const double expected = exp((double)logits[id]) / left;
            if (step < 500)
                assert_true(fabs(nib_sampler_probability(sampler, id) - expected) < 1e-6);
            sum += -log2(nib_sampler_probability(sampler, id));
            mu -= eta * (-log2(nib_sampler_probability(sampler, id)) - tau);
        }
        assert_true(fabs(sum / n_draws - tau) < (is_quick() ? 0.2 : 0.02));
        nib_sampler_free(sampler);
    }
}

/* Each stage alone: its distributions are checked above and in the tables; here, that ids are drawn
 * as often as they say. */
static void test_draws_follow_what_each_stage_leaves(void **state)
{
    (void)state;
    struct nib_sampler_params all[8];
    for (size_t i = 0; i < COUNT(all); i++)
        all[i] = plain();
    all[0].top_n_sigma = 1.5f;
    all[1].top_k = 12;
    all[2].typical_p = 0.7f;
    all[3].top_p = 0.8f;
    all[4].min_p = 0.02f;
    all[5].temperature = 1.7f;
    all[6].dynatemp_range = 0.6f;
    all[7].logit_bias = &(struct nib_logit_bias){3, 4};
    all[7].n_logit_bias = 1;
    const int n_draws = is_quick() ? 2000 : 100000;
    float logits[V];
    fill_logits(logits, 21);
    for (size_t k = 0; k < COUNT(all); k++) {
        all[k].seed = 11 + k;
        struct nib_sampler *sampler = sampler_of(&all[k], V);
        uint32_t counts[V] = {0};
        double p[V];
        for (int i = 0; i < n_draws; i++)
            counts[choose(sampler, logits)]++;
        for (int32_t i = 0; i < V; i++)
            p[i] = nib_sampler_probability(sampler, i);
        check_counts(counts, p, V, n_draws);
        nib_sampler_free(sampler);
    }
}

/* ---- order and names ------------------------------------------------------------------------ */

static void check_chain(const char *samplers, const char *expected)
{
    struct nib_sampler_params params;
    nib_sampler_params_init(&params);
    params.samplers = samplers;
    params.repeat_penalty = 2;
    params.typical_p = 0.5f;
    params.top_n_sigma = 1;
    params.xtc_probability = 0.5f;
    params.dry_multiplier = 1;
    struct nib_sampler *sampler = sampler_of(&params, 100);
    assert_string_equal(nib_sampler_describe(sampler), expected);
    nib_sampler_free(sampler);
}

static void test_order_is_settable_with_names_of_others(void **state)
{
    (void)state;
    check_chain(NULL, "penalties(repeat 2, last 64) -> dry(multiplier 1, base 1.75, allowed 2, all "
                      "ids) -> top-n-sigma 1 -> top-k 40 -> typical-p 0.5 -> top-p 0.95 -> min-p "
                      "0.05 -> xtc(probability 0.5, threshold 0.1) -> temperature 0.8 -> "
                      "draw(seed 0)");
    check_chain("", "draw(seed 0)");
    check_chain("temperature;top_k", "temperature 0.8 -> top-k 40 -> draw(seed 0)");
    check_chain(" Temp, typ_p ;MIN-P", "temperature 0.8 -> typical-p 0.5 -> min-p 0.05 -> "
                                       "draw(seed 0)");
    check_chain("top-p;repetition_penalty;typical_p",
                "top-p 0.95 -> penalties(repeat 2, last 64) -> typical-p 0.5 -> draw(seed 0)");
}

static void test_unknown_and_repeated_stages_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *samplers, *words;
    } wrong[] = {{"top_k;top_q", "\"top_q\""},
                 {"top_k;top-k", "top-k comes twice"},
                 {"temp;temperature", "temperature comes twice"},
                 {"top_kk", "\"top_kk\""},
                 {"top_", "\"top_\""},
                 {"\xff", "\"\\xff\""}};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct nib_sampler_params params = plain();
        params.samplers = wrong[i].samplers;
        struct nib_sampler *sampler;
        struct nib_error err;
        assert_int_equal(nib_sampler_create(&sampler, &params, V, &err), NIB_ERROR_ARGUMENT);
        assert_non_null(strstr(err.message, "samplers: "));
        if (!strstr(err.message, wrong[i].words) && wrong[i].samplers[0] != '\xff')
            fail_msg("%s", err.message);
    }
}

/* A wanted report changes no choice, and its numbers are those of the probabilities. */
static void test_report_says_what_each_stage_left(void **state)
{
    (void)state;
    static const char *const orders[] = {
        NULL,
        "temperature;top_k;top_p;penalties;min_p",
        "top_p;dry;top_k;xtc;temperature",
        "min_p;top_n_sigma;typ_p",
        "dry;penalties",
    };
    const struct nib_logit_bias bias[] = {{3, 2}, {4, -INFINITY}};
    for (size_t k = 0; k < COUNT(orders); k++) {
        struct nib_sampler_params params;
        nib_sampler_params_init(&params);
        params.samplers = orders[k];
        params.top_k = 20;
        params.repeat_penalty = 1.3f;
        params.dry_multiplier = 1;
        params.xtc_probability = 0.5f;
        params.top_n_sigma = 2;
        params.typical_p = 0.9f;
        params.logit_bias = bias;
        params.n_logit_bias = COUNT(bias);
        struct nib_sampler *quiet = sampler_of(&params, V);
        params.wants_report = true;
        struct nib_sampler *sampler = sampler_of(&params, V);
        assert_null(nib_sampler_report(sampler));
        for (uint64_t step = 0; step < 200; step++) {
            float logits[V];
            fill_logits(logits, 77 + step % 5);
            const int32_t id = choose(sampler, logits);
            assert_int_equal(id, choose(quiet, logits));
            const struct nib_sampler_report *report = nib_sampler_report(sampler);
            assert_non_null(report);
            assert_true(report->random >= 0 && report->random < 1);
            assert_string_equal(report->stages[0].name, "logit-bias");
            assert_int_equal(report->stages[0].n_before, V);
            assert_int_equal(report->stages[0].n_after, V - 1);
            assert_int_equal(report->stages[0].n_changed, 1);
            size_t n_left = 0;
            for (int32_t i = 0; i < V; i++)
                n_left += nib_sampler_probability(sampler, i) > 0;
            for (size_t i = 0; i < report->n_stages; i++) {
                const struct nib_sampler_stage *s = &report->stages[i];
                assert_true(s->mass > 0 && s->mass <= 1 + 1e-12 && s->n_after <= s->n_before);
                assert_true((s->n_after == s->n_before) == (s->mass > 1 - 1e-12));
                if (i > 0)
                    assert_int_equal(s->n_before, report->stages[i - 1].n_after);
                assert_true((strcmp(s->name, "xtc") == 0) == (s->random >= 0));
                if (strcmp(s->name, "top-p") == 0)
                    assert_true(s->mass >= 0.95 - 1e-6);
            }
            assert_int_equal(report->stages[report->n_stages - 1].n_after, n_left);
        }
        nib_sampler_free(quiet);
        nib_sampler_free(sampler);
    }
    struct nib_sampler *sampler = sampler_of(NULL, V);
    assert_null(nib_sampler_report(sampler));
    nib_sampler_free(sampler);
}

/* Penalties that divide go with a temperature in either order: both reports say the same. */
static void test_reports_behind_a_temperature(void **state)
{
    (void)state;
    static const char *const orders[] = {"penalties;temperature;top_p",
                                         "temperature;penalties;top_p"};
    struct nib_sampler_stage penalties[2], top_p[2];
    const int32_t prompt[] = {3, 4, 3};
    float logits[V];
    fill_logits(logits, 5);
    for (size_t k = 0; k < 2; k++) {
        struct nib_sampler_params params = plain();
        params.samplers = orders[k];
        params.temperature = 0.7f;
        params.top_p = 0.9f;
        params.repeat_penalty = 1.5f;
        params.wants_report = true;
        struct nib_sampler *sampler = sampler_of(&params, V);
        assert_int_equal(nib_sampler_add_prompt(sampler, prompt, 3, NULL), NIB_OK);
        choose(sampler, logits);
        const struct nib_sampler_report *report = nib_sampler_report(sampler);
        assert_int_equal(report->n_stages, 3);
        penalties[k] = report->stages[k];
        top_p[k] = report->stages[2];
        nib_sampler_free(sampler);
        assert_string_equal(penalties[k].name, "penalties");
        assert_int_equal(penalties[k].n_changed, 2);
    }
    assert_true(top_p[0].mass < 1);
    assert_int_equal(top_p[0].n_after, top_p[1].n_after);
    assert_true(fabs(top_p[0].mass - top_p[1].mass) < 1e-6);
}

/* The threshold path: a temperature before top-k changes nothing about what is kept or drawn. */
static void test_temperature_before_top_k_keeps_the_same(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    static float logits[MANY];
    for (uint64_t i = 0; i < MANY; i++)
        logits[i] = (float)(20 * nib_random_uniform(3, 1, i) * nib_random_uniform(3, 2, i));
    struct nib_sampler_params params = plain();
    params.temperature = 0.7f;
    params.top_k = 40;
    params.samplers = "top_k;temperature";
    struct nib_sampler *after = sampler_of(&params, MANY);
    params.samplers = "temperature;top_k";
    params.wants_report = true;
    struct nib_sampler *before = sampler_of(&params, MANY);
    for (int i = 0; i < 200; i++)
        assert_int_equal(choose(before, logits), choose(after, logits));
    for (int32_t i = 0; i < MANY; i++)
        assert_true(nib_sampler_probability(before, i) == nib_sampler_probability(after, i));
    const struct nib_sampler_report *report = nib_sampler_report(before);
    assert_int_equal(report->n_stages, 2);
    assert_int_equal(report->stages[0].n_after, MANY);
    assert_int_equal(report->stages[1].n_before, MANY);
    assert_int_equal(report->stages[1].n_after, 40);
    nib_sampler_free(before);
    nib_sampler_free(after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain_in_any_order_gives_the_exact_distributions),
        cmocka_unit_test(test_chain_gives_what_transformers_gives),
        cmocka_unit_test(test_top_n_sigma_keeps_what_is_near_the_best),
        cmocka_unit_test(test_xtc_cuts_as_often_as_it_should),
        cmocka_unit_test(test_xtc_leaves_a_single_candidate_and_its_own_kind_alone),
        cmocka_unit_test(test_dynamic_temperature_follows_the_entropy),
        cmocka_unit_test(test_mirostat_keeps_to_its_surprise),
        cmocka_unit_test(test_draws_follow_what_each_stage_leaves),
        cmocka_unit_test(test_order_is_settable_with_names_of_others),
        cmocka_unit_test(test_unknown_and_repeated_stages_are_refused),
        cmocka_unit_test(test_report_says_what_each_stage_left),
        cmocka_unit_test(test_reports_behind_a_temperature),
        cmocka_unit_test(test_temperature_before_top_k_keeps_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
