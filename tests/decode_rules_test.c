/* What depends on the ids before: DRY, bad words, the least length, biases, and a past that is
 * handed on; each against a computation straight from its definition. */
#include "golden_data.h"
#include "random.h"
#include "sampler.h"

#include <float.h>
#include <math.h>

static struct nib_sampler *sampler_of(const struct nib_sampler_params *params, size_t n_vocab)
{
    struct nib_sampler *sampler;
    struct nib_error err;
    if (nib_sampler_create(&sampler, params, n_vocab, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return sampler;
}

static struct nib_sampler_params greedy(void)
{
    struct nib_sampler_params params;
    nib_sampler_params_init(&params);
    params.temperature = 0;
    return params;
}

static int32_t choose(struct nib_sampler *sampler, const float *logits)
{
    struct nib_choice choice;
    struct nib_error err;
    if (nib_sampler_choose(sampler, logits, &choice, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return choice.id;
}

/* ---- DRY ------------------------------------------------------------------------------------ */

static bool has_breaker_at(const struct nib_dry_params *p, const int32_t *ids, size_t n, size_t at,
                           size_t *end)
{
    *end = 0;
    for (size_t b = 0; b < p->n_breakers; b++) {
        const struct nib_id_list *breaker = &p->breakers[b];
        if (at + breaker->n_ids <= n &&
            memcmp(ids + at, breaker->ids, breaker->n_ids * sizeof(*ids)) == 0 &&
            at + breaker->n_ids > *end)
            *end = at + breaker->n_ids;
    }
    return *end > 0;
}

/* The penalty of `next` after ids[n]: every earlier place of it is tried. */
static double penalty_by_definition(const struct nib_dry_params *p, const int32_t *ids, size_t n,
                                    int32_t next)
{
    if (p->last_n >= 0 && n > (size_t)p->last_n) {
        ids += n - (size_t)p->last_n;
        n = (size_t)p->last_n;
    }
    for (size_t b = 0; b < p->n_breakers; b++)
        if (p->breakers[b].n_ids == 1 && p->breakers[b].ids[0] == next)
            return 0;
    size_t begin = 0, end; /* repetitions lie behind the latest breaker */
    for (size_t at = n; at-- > 0 && begin == 0;)
        if (has_breaker_at(p, ids, n, at, &end))
            begin = end;
    int64_t longest = -1;
    for (size_t place = 1; place < n; place++) {
        if (ids[place] != next)
            continue;
        size_t length = 0; /* ids before `place` that are those at the end */
        while (length < place && n - length > begin &&
               ids[place - 1 - length] == ids[n - 1 - length])
            length++;
        longest = (int64_t)length > longest ? (int64_t)length : longest;
    }
    if (longest < 0 || longest < p->allowed_length)
        return 0;
    return p->multiplier * pow(p->base, (double)(longest - p->allowed_length));
}

static void check_dry(const struct nib_dry_params *params, uint64_t seed, size_t n_vocab,
                      size_t length)
{
    struct nib_dry *dry;
    struct nib_history history = {0};
    float row[16], expected[16];
    assert_true(n_vocab <= NIB_COUNT(row));
    assert_int_equal(nib_dry_create(&dry, params, n_vocab, NULL), NIB_OK);
    assert_int_equal(nib_history_reserve(&history, length, NULL), NIB_OK);
    for (size_t step = 0; step < length; step++) {
        assert_int_equal(nib_dry_update(dry, &history, NULL), NIB_OK);
        for (size_t id = 0; id < n_vocab; id++) {
            row[id] = (float)id - 3;
            const double x = (double)row[id] -
                             penalty_by_definition(params, history.ids, history.n, (int32_t)id);
            expected[id] = x < -FLT_MAX ? -FLT_MAX : (float)x;
        }
        const struct nib_edits edits = nib_dry_edits(dry);
        nib_edit_row(&edits, row);
        for (size_t id = 0; id < n_vocab; id++)
            assert_true(fabsf(row[id] - expected[id]) <= 1e-6f * fabsf(expected[id]));
        /* Copies of what was make long repetitions. */
        const double u = nib_random_uniform(seed, 1, step), v = nib_random_uniform(seed, 2, step);
        const int32_t id =
            u < 0.8 && step > 20 ? history.ids[history.n - 7] : (int32_t)(v * (double)n_vocab);
        nib_history_add(&history, id);
    }
    nib_history_free(&history);
    nib_dry_free(dry);
}

static void test_dry_equals_its_definition(void **state)
{
    (void)state;
    const int32_t ids[] = {2, 3, 2, 3, 4, 1, 1};
    const struct nib_id_list breakers[] = {{ids, 1}, {ids + 1, 3}, {ids + 1, 1}, {ids + 5, 2}};
    const int32_t windows[] = {-1, 0, 1, 2, 5, 30, 1000};
    uint64_t seed = 0;
    for (size_t w = 0; w < NIB_COUNT(windows); w++)
        for (int32_t allowed = 0; allowed < 5; allowed++)
            for (size_t n_breakers = 0; n_breakers <= NIB_COUNT(breakers); n_breakers++)
                for (size_t n_vocab = 5; n_vocab <= 13; n_vocab += 4) {
                    const struct nib_dry_params params = {
                        .multiplier = 0.8,
                        .base = allowed % 2 ? 1.75 : 1,
                        .allowed_length = allowed,
                        .last_n = windows[w],
                        /* The first breakers last: seldom used ids alone let repetitions grow. */
                        .breakers = breakers + NIB_COUNT(breakers) - n_breakers,
                        .n_breakers = n_breakers,
                    };
                    check_dry(&params, seed++, n_vocab, 120);
                }
}

static void test_dry_takes_a_megabyte_of_one_id(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    struct nib_dry *dry;
    struct nib_history history = {0};
    const struct nib_dry_params params = {
        .multiplier = 1, .base = 1.75, .allowed_length = 2, .last_n = -1};
    assert_int_equal(nib_dry_create(&dry, &params, 3, NULL), NIB_OK);
    assert_int_equal(nib_history_reserve(&history, N, NULL), NIB_OK);
    for (size_t i = 0; i < N; i++)
        nib_history_add(&history, 1);
    assert_int_equal(nib_dry_update(dry, &history, NULL), NIB_OK);
    float row[3] = {0, 3, -1};
    const struct nib_edits edits = nib_dry_edits(dry);
    nib_edit_row(&edits, row);
    assert_true(row[0] == 0 && row[1] == -FLT_MAX && row[2] == -1);
    nib_history_free(&history);
    nib_dry_free(dry);
}

static void test_dry_ends_a_loop_in_the_sampler(void **state)
{
    (void)state;
    const float logits[] = {0, 1, 0.9f, 0.5f};
    struct nib_sampler_params params = greedy();
    params.dry_multiplier = 0.8f;
    struct nib_sampler *sampler = sampler_of(&params, 4);
    int n_others = 0;
    for (int i = 0; i < 30; i++)
        n_others += choose(sampler, logits) != 1;
    assert_true(n_others > 5);
    nib_sampler_free(sampler);
    const int32_t one = 1;
    const struct nib_id_list breaker = {&one, 1}; /* nothing is a repetition then */
    params.dry_breakers = &breaker;
    params.n_dry_breakers = 1;
    sampler = sampler_of(&params, 4);
    for (int i = 0; i < 30; i++)
        assert_int_equal(choose(sampler, logits), 1);
    nib_sampler_free(sampler);
}

static bool has_list(const int32_t *ids, size_t n, const struct nib_id_list *list)
{
    for (size_t i = 0; i + list->n_ids <= n; i++)
        if (memcmp(ids + i, list->ids, list->n_ids * sizeof(*ids)) == 0)
            return true;
    return false;
}

/* Wherever the tokens of a text begin and end, a breaker in it is found; where there is none, none
 * is. */
static void check_breaker(const struct nib_model *model, const char *breaker)
{
    struct nib_id_list *lists;
    struct nib_error err;
    size_t n_lists;
    if (nib_dry_breakers(model, &breaker, 1, &lists, &n_lists, &err) != NIB_OK)
        fail_msg("%s", err.message);
    assert_true(n_lists > 0);
    static const char *const words[] = {"the", " world", ":",  "\n",  " of",
                                        "ing", "x",      ". ", "\n\n"};
    for (uint64_t step = 0; step < 500; step++) {
        char text[200] = "";
        for (uint64_t i = 0; i < 8; i++) {
            const double u = nib_random_uniform(step, 3, i);
            strcat(text, u < 0.1 ? breaker : words[(size_t)(u * NIB_COUNT(words))]);
        }
        int32_t *ids;
        size_t n_ids, n_found = 0;
        assert_int_equal(nib_tokenize(model, text, strlen(text), 0, &ids, &n_ids, NULL), NIB_OK);
        for (size_t i = 0; i < n_lists; i++)
            n_found += has_list(ids, n_ids, &lists[i]);
        assert_true((n_found > 0) == (strstr(text, breaker) != NULL));
        nib_free(ids);
    }
    nib_free(lists);
}

static void test_breakers_are_found_in_any_tokens(void **state)
{
    (void)state;
    struct nib_model *model;
    struct nib_error err;
    if (nib_model_open(&model, NIB_TEST_DATA "/gguf-models/llama3-scaled-q8_0.gguf", NULL, &err) !=
        NIB_OK)
        fail_msg("%s", err.message);
    const char *const breakers[] = {"\n", ":", "\n\n", "the", " w", "d:", "g of"};
    for (size_t i = 0; i < NIB_COUNT(breakers); i++)
        check_breaker(model, breakers[i]);
    struct nib_id_list *lists;
    size_t n;
    assert_int_equal(nib_dry_breakers(model, NULL, 0, &lists, &n, &err), NIB_OK);
    assert_int_equal(n, 0);
    nib_free(lists);
    const char *const empty = "";
    assert_int_equal(nib_dry_breakers(model, &empty, 1, &lists, &n, &err), NIB_ERROR_ARGUMENT);
    assert_null(lists);
    nib_model_close(model);
}

/* ---- constraints ---------------------------------------------------------------------------- */

static void test_bad_words_are_never_completed(void **state)
{
    (void)state;
    enum { V = 6, N = 3000 };
    const int32_t ids[] = {0, 1, 2, 1, 1, 1, 3, 5};
    const struct nib_id_list words[] = {
        {ids, 2}, {ids + 2, 3}, {ids + 3, 3}, {ids + 6, 1}, {ids + 6, 2}};
    struct nib_sampler_params params;
    nib_sampler_params_init(&params);
    params.temperature = 5;
    params.top_k = 0;
    params.top_p = 1;
    params.min_p = 0;
    params.bad_words = words;
    params.n_bad_words = NIB_COUNT(words);
    struct nib_sampler *sampler = sampler_of(&params, V);
    const float logits[V] = {1, 2, 3, 4, 0, 0};
    int32_t all[N + 2] = {5, 0}; /* the prompt ends in the beginning of a word */
    int n_pairs = 0;
    assert_int_equal(nib_sampler_add_prompt(sampler, all, 2, NULL), NIB_OK);
    for (size_t n = 2; n < NIB_COUNT(all); n++) {
        all[n] = choose(sampler, logits);
        for (size_t w = 0; w < NIB_COUNT(words); w++) {
            const size_t length = words[w].n_ids;
            assert_true(n + 1 < length ||
                        memcmp(all + n + 1 - length, words[w].ids, length * sizeof(*all)) != 0);
        }
        n_pairs += all[n] == 1 && all[n - 1] == 1;
    }
    assert_true(n_pairs > 10); /* parts of words are free */
    nib_sampler_free(sampler);
}

static void test_end_ids_wait_for_the_least_length(void **state)
{
    (void)state;
    const float logits[] = {1, 5, 4, 3};
    const int32_t ends[] = {1, 2};
    struct nib_sampler_params params = greedy();
    params.end_ids = ends;
    params.n_end_ids = 2;
    for (uint32_t least = 0; least < 5; least++) {
        params.min_length = least;
        struct nib_sampler *sampler = sampler_of(&params, 4);
        assert_int_equal(nib_sampler_add_prompt(sampler, (int32_t[]){1, 1, 0}, 3, NULL), NIB_OK);
        for (uint32_t i = 0; i < 8; i++)
            assert_int_equal(choose(sampler, logits), i < least ? 3 : 1);
        nib_sampler_free(sampler);
    }
}

static void test_biases_are_added_and_ban(void **state)
{
    (void)state;
    const float logits[] = {1, 5, 4, 3};
    const struct nib_logit_bias biases[] = {{1, -INFINITY}, {0, 3.5f}, {2, FLT_MAX}, {2, -FLT_MAX}};
    struct nib_sampler_params params = greedy();
    params.logit_bias = biases;
    params.n_logit_bias = 1;
    struct nib_sampler *sampler = sampler_of(&params, 4);
    assert_string_equal(nib_sampler_describe(sampler), "logit-bias 1 -> greedy");
    assert_int_equal(choose(sampler, logits), 2);
    nib_sampler_free(sampler);
    params.n_logit_bias = 2;
    sampler = sampler_of(&params, 4);
    assert_int_equal(choose(sampler, logits), 0);
    const float *row = sampler->row;
    assert_true(row[0] == 4.5f && row[1] == -INFINITY && row[2] == 4 && row[3] == 3);
    nib_sampler_free(sampler);
    params.n_logit_bias = 4;
    sampler = sampler_of(&params, 4);
    choose(sampler, logits);
    assert_true(isfinite(sampler->row[2]));
    nib_sampler_free(sampler);
}

static void test_everything_banned_is_an_error(void **state)
{
    (void)state;
    const struct nib_logit_bias biases[] = {{0, -INFINITY}, {1, -INFINITY}};
    struct nib_sampler_params params = greedy();
    params.logit_bias = biases;
    params.n_logit_bias = 2;
    struct nib_sampler *sampler = sampler_of(&params, 2);
    struct nib_choice choice;
    struct nib_error err;
    assert_int_equal(nib_sampler_choose(sampler, (float[]){1, 2}, &choice, &err),
                     NIB_ERROR_NUMERIC);
    assert_non_null(strstr(err.message, "masked"));
    nib_sampler_free(sampler);
}

static void test_ids_that_do_not_exist_are_refused(void **state)
{
    (void)state;
    const int32_t far[] = {4}, negative[] = {0, -1};
    const struct nib_id_list lists[] = {{far, 1}, {negative, 2}, {far, 0}};
    const struct nib_logit_bias biases[] = {{4, 1}, {-1, 1}, {0, NAN}, {0, INFINITY}};
    struct nib_sampler *sampler;
    struct nib_error err;
    for (size_t i = 0; i < NIB_COUNT(lists); i++)
        for (int k = 0; k < 2; k++) {
            struct nib_sampler_params params = greedy();
            params.dry_multiplier = 1;
            *(k ? &params.bad_words : &params.dry_breakers) = &lists[i];
            *(k ? &params.n_bad_words : &params.n_dry_breakers) = 1;
            assert_int_equal(nib_sampler_create(&sampler, &params, 4, &err), NIB_ERROR_ARGUMENT);
            assert_non_null(strstr(err.message, k ? "bad_words 0" : "dry_breakers 0"));
        }
    for (size_t i = 0; i < NIB_COUNT(biases); i++) {
        struct nib_sampler_params params = greedy();
        params.logit_bias = &biases[i];
        params.n_logit_bias = 1;
        assert_int_equal(nib_sampler_create(&sampler, &params, 4, &err), NIB_ERROR_ARGUMENT);
        assert_non_null(strstr(err.message, "logit_bias 0"));
    }
    struct nib_sampler_params params = greedy();
    params.end_ids = far;
    params.n_end_ids = 1;
    assert_int_equal(nib_sampler_create(&sampler, &params, 4, &err), NIB_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "end_ids 0"));
}

/* ---- log-probabilities ---------------------------------------------------------------------- */

static void test_top_logprobs_are_the_best_in_order(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 2, 65, 3000};
    for (size_t k = 0; k < NIB_COUNT(sizes); k++)
        for (size_t n = 0; n < 12; n++) {
            const size_t n_vocab = sizes[k];
            float *logits = calloc(n_vocab, sizeof(*logits));
            double total = 0;
            size_t n_finite = 0;
            for (size_t i = 0; i < n_vocab; i++) {
                const double u = nib_random_uniform(n, 0, i);
                logits[i] = n_vocab > 1 && u < 0.1 ? -INFINITY : (float)(int)(30 * u) / 2;
                total += exp((double)logits[i]);
                n_finite += logits[i] > -INFINITY;
            }
            struct nib_id_logprob top[12];
            const size_t n_top = nib_top_logprobs(logits, n_vocab, n, top);
            assert_int_equal(n_top, n < n_finite ? n : n_finite);
            for (size_t i = 0; i < n_top; i++) {
                const double expected = (double)logits[top[i].id] - log(total);
                assert_true(fabs(top[i].logprob - expected) < 1e-12);
                assert_true(fabs(nib_logprob(logits, n_vocab, top[i].id) - expected) < 1e-12);
                size_t n_before = 0; /* larger ones, and equals with lower ids */
                for (size_t j = 0; j < n_vocab; j++)
                    n_before += logits[j] > logits[top[i].id] ||
                                (logits[j] == logits[top[i].id] && (int32_t)j < top[i].id);
                assert_int_equal(n_before, i);
            }
            free(logits);
        }
    const float banned[] = {1, -INFINITY};
    assert_true(nib_logprob(banned, 2, 1) == -INFINITY && nib_logprob(banned, 2, 0) == 0);
    assert_true(nib_logprob((const float[]){-INFINITY, -INFINITY}, 2, 0) == -INFINITY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dry_equals_its_definition),
        cmocka_unit_test(test_dry_takes_a_megabyte_of_one_id),
        cmocka_unit_test(test_dry_ends_a_loop_in_the_sampler),
        cmocka_unit_test(test_breakers_are_found_in_any_tokens),
        cmocka_unit_test(test_bad_words_are_never_completed),
        cmocka_unit_test(test_end_ids_wait_for_the_least_length),
        cmocka_unit_test(test_biases_are_added_and_ban),
        cmocka_unit_test(test_everything_banned_is_an_error),
        cmocka_unit_test(test_ids_that_do_not_exist_are_refused),
        cmocka_unit_test(test_top_logprobs_are_the_best_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
