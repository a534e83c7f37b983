/* Filters in any order against exact distributions, selection against sorting, sums against libm.
 */
#include "filters.h"
#include "golden_data.h"
#include "random.h"

#include <math.h>

static const struct {
    const char *name;
    enum nib_filter filter;
} golden_names[] = {
    {"top_k", NIB_FILTER_TOP_K},
    {"typical_p", NIB_FILTER_TYPICAL_P},
    {"top_p", NIB_FILTER_TOP_P},
    {"min_p", NIB_FILTER_MIN_P},
    {"temperature", NIB_FILTER_TEMPERATURE},
};

static enum nib_filter filter_of(const char *name)
{
    for (size_t i = 0; i < NIB_COUNT(golden_names); i++)
        if (strcmp(golden_names[i].name, name) == 0)
            return golden_names[i].filter;
    fail_msg("no filter %s", name);
    return NIB_FILTER_COUNT;
}

static void apply(enum nib_filter filter, double value, struct nib_candidates *c)
{
    nib_filter_apply(filter, &(struct nib_filter_values){.value = value}, c);
}

static double bound_of(enum nib_filter filter, double value, const struct nib_row *row,
                       struct nib_candidates *scratch)
{
    return nib_filter_bound(filter, &(struct nib_filter_values){.value = value}, row, scratch);
}

static struct nib_row row_of(const float *logits, size_t n)
{
    struct nib_row row = {.logits = logits, .n = n};
    row.block_max = calloc(nib_row_blocks(n), sizeof(float));
    assert_int_equal(nib_row_scan(&row, NULL), NIB_OK);
    return row;
}

static void check_probabilities(struct nib_candidates *c, struct golden_tensor expected)
{
    const float *probs = expected.data;
    double *found = calloc(expected.n, sizeof(*found));
    const double total = nib_candidates_weigh(c);
    for (size_t i = 0; i < c->n; i++)
        found[c->ids[i]] = c->weights[i] / total;
    for (size_t i = 0; i < expected.n; i++) {
        assert_true(fabs(found[i] - probs[i]) <= 1e-6);
        if (probs[i] == 0 && found[i] > 0)
            assert_true(found[i] < 1e-37); /* smaller than a float */
    }
    free(found);
}

static void check_case(const struct golden_table *table, yyjson_val *test, bool uses_bound)
{
    struct golden_tensor logits =
        golden_tensor(table, yyjson_get_str(yyjson_obj_get(test, "logits")));
    yyjson_val *order = yyjson_obj_get(test, "order"), *params = yyjson_obj_get(test, "params");
    struct nib_row row = row_of(logits.data, logits.n);
    struct nib_candidates c;
    assert_int_equal(nib_candidates_create(&c, logits.n, NULL), NIB_OK);
    size_t i, n;
    yyjson_val *name;
    double bound = -INFINITY;
    yyjson_arr_foreach(order, i, n, name)
    {
        const enum nib_filter filter = filter_of(yyjson_get_str(name));
        const double value = yyjson_get_num(yyjson_obj_get(params, yyjson_get_str(name)));
        if (i == 0) {
            bound = uses_bound ? bound_of(filter, value, &row, &c) : bound;
            nib_candidates_load(&c, &row, bound);
        }
        apply(filter, value, &c);
    }
    assert_int_equal(c.n, yyjson_get_int(yyjson_obj_get(test, "kept")));
    check_probabilities(&c, golden_tensor(table, yyjson_get_str(yyjson_obj_get(test, "probs"))));
    nib_candidates_free(&c);
    free(row.block_max);
}

static void test_filters_give_the_exact_distributions_in_any_order(void **state)
{
    (void)state;
    struct golden_table table = golden_table_open("sampling/sampling.safetensors");
    yyjson_doc *doc = golden_json("sampling/sampling.json");
    yyjson_val *cases = yyjson_obj_get(yyjson_doc_get_root(doc), "cases"), *test;
    size_t i, n;
    assert_int_equal(yyjson_arr_size(cases), 228);
    yyjson_arr_foreach(cases, i, n, test)
    {
        check_case(&table, test, false);
        check_case(&table, test, true);
    }
    yyjson_doc_free(doc);
    golden_table_close(&table);
}

/* ---- against sorting ------------------------------------------------------------------------ */

struct pair {
    double logit, p;
    int32_t id;
};

static int compare_pairs(const void *left, const void *right)
{
    const struct pair *a = left, *b = right;
    if (a->logit != b->logit)
        return a->logit > b->logit ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

static int compare_ids(const void *left, const void *right)
{
    const int32_t a = *(const int32_t *)left, b = *(const int32_t *)right;
    return a < b ? -1 : a > b;
}

enum shape { NORMAL, FLAT, RISING, FALLING, STEPS, PEAKED, SHAPES };

static float *logits_of(enum shape shape, size_t n)
{
    float *x = malloc(n * sizeof(*x));
    for (size_t i = 0; i < n; i++) {
        const double u = nib_random_uniform(7, 0, 2 * i), v = nib_random_uniform(7, 0, 2 * i + 1);
        const double normal = sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
        x[i] = shape == NORMAL    ? (float)(3 * normal)
               : shape == FLAT    ? 1.0f
               : shape == RISING  ? (float)i * 1e-3f
               : shape == FALLING ? (float)i * -1e-3f
               : shape == STEPS   ? (float)(int)(4 * u)
                                  : (float)(normal + (i == n / 2 ? 30 : 0));
    }
    return x;
}

static struct pair *sorted_pairs(const float *logits, size_t n)
{
    struct pair *pairs = malloc(n * sizeof(*pairs));
    double total = 0;
    const double max = logits[nib_argmax(logits, n)];
    for (size_t i = 0; i < n; i++)
        total += exp(logits[i] - max);
    for (size_t i = 0; i < n; i++)
        pairs[i] = (struct pair){logits[i], exp(logits[i] - max) / total, (int32_t)i};
    qsort(pairs, n, sizeof(*pairs), compare_pairs);
    return pairs;
}

static void check_kept(enum nib_filter filter, double value, const struct nib_row *row,
                       const struct pair *sorted, size_t n_kept)
{
    struct nib_candidates c;
    assert_int_equal(nib_candidates_create(&c, row->n, NULL), NIB_OK);
    nib_candidates_load(&c, row, bound_of(filter, value, row, &c));
    apply(filter, value, &c);
    assert_int_equal(c.n, n_kept);
    int32_t *expected = malloc(n_kept * sizeof(*expected));
    for (size_t i = 0; i < n_kept; i++)
        expected[i] = sorted[i].id;
    qsort(expected, n_kept, sizeof(*expected), compare_ids);
    qsort(c.ids, c.n, sizeof(*c.ids), compare_ids);
    assert_memory_equal(c.ids, expected, n_kept * sizeof(*expected));
    free(expected);
    nib_candidates_free(&c);
}

static void check_shape(enum shape shape, size_t n)
{
    float *logits = logits_of(shape, n);
    struct nib_row row = row_of(logits, n);
    struct pair *sorted = sorted_pairs(logits, n);
    const size_t ks[] = {1, 2, 40, 63, 64, 65, 1000, n - 1, n, n + 1};
    for (size_t i = 0; i < NIB_COUNT(ks); i++) {
        if (ks[i] == 0)
            continue;
        size_t kept = ks[i] < n ? ks[i] : n;
        while (kept < n && sorted[kept].logit == sorted[kept - 1].logit)
            kept++;
        check_kept(NIB_FILTER_TOP_K, (double)ks[i], &row, sorted, kept);
    }
    const double ps[] = {1e-30, 0.1234567, 0.5123457, 0.9512349, 0.9990123};
    for (size_t i = 0; i < NIB_COUNT(ps); i++) {
        size_t kept = 0;
        for (double mass = 0; kept < n && mass < ps[i]; kept++)
            mass += sorted[kept].p;
        check_kept(NIB_FILTER_TOP_P, ps[i], &row, sorted, kept);
    }
    const double ms[] = {1e-9, 0.0512349, 0.7512341, 1};
    for (size_t i = 0; i < NIB_COUNT(ms); i++) {
        size_t kept = 0;
        while (kept < n && sorted[kept].p >= ms[i] * sorted[0].p)
            kept++;
        check_kept(NIB_FILTER_MIN_P, ms[i], &row, sorted, kept);
    }
    free(sorted);
    free(row.block_max);
    free(logits);
}

static void test_selection_equals_sorting_for_every_shape(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 2, 7, 64, 65, 1000, 20011};
    for (enum shape shape = 0; shape < SHAPES; shape++)
        for (size_t i = 0; i < NIB_COUNT(sizes); i++)
            check_shape(shape, sizes[i]);
}

static void test_extreme_values_leave_a_distribution(void **state)
{
    (void)state;
    const float logits[] = {3.4e38f, -3.4e38f, -INFINITY, 1e-45f, 3.3e38f};
    const double values[NIB_FILTER_COUNT][2] = {
        [NIB_FILTER_TOP_N_SIGMA] = {1e-45, 3e38}, [NIB_FILTER_TOP_K] = {1, 3},
        [NIB_FILTER_TYPICAL_P] = {1e-45, 0.999},  [NIB_FILTER_TOP_P] = {1e-45, 0.999},
        [NIB_FILTER_MIN_P] = {1e-45, 1},          [NIB_FILTER_XTC] = {1e-45, 1},
        [NIB_FILTER_TEMPERATURE] = {1e-45, 3e38}, [NIB_FILTER_MIROSTAT] = {-1e300, 1e300}};
    struct nib_row row = row_of(logits, NIB_COUNT(logits));
    for (enum nib_filter f = 0; f < NIB_FILTER_COUNT; f++)
        for (enum nib_filter g = 0; g < NIB_FILTER_COUNT; g++)
            for (int i = 0; i < 4; i++) {
                struct nib_candidates c;
                assert_int_equal(nib_candidates_create(&c, row.n, NULL), NIB_OK);
                nib_candidates_load(&c, &row, -INFINITY);
                assert_int_equal(c.n, 4);
                apply(f, values[f][i & 1], &c);
                apply(g, values[g][i >> 1], &c);
                const double total = nib_candidates_weigh(&c);
                assert_true(c.n >= 1 && total >= 1 && total <= 4);
                const int32_t id = c.ids[nib_candidates_draw(&c, 0.999999)];
                assert_true(id >= 0 && id < 5 && id != 2);
                nib_candidates_free(&c);
            }
    free(row.block_max);
}

/* ---- rows and sums -------------------------------------------------------------------------- */

static void test_exp_is_within_two_units_in_the_last_place(void **state)
{
    (void)state;
    for (double x = 0; x > -699; x -= 0.00371) {
        double y;
        nib_exp(&y, &x, 1);
        const double expected = exp(x);
        assert_true(fabs(y - expected) <= 2 * expected * 0x1p-52);
    }
    const double ends[] = {0, -0.0, -700, -745, -1e300, -INFINITY};
    double y[NIB_COUNT(ends)];
    nib_exp(y, ends, NIB_COUNT(ends));
    assert_true(y[0] == 1 && y[1] == 1);
    for (size_t i = 2; i < NIB_COUNT(ends); i++)
        assert_true(y[i] > 0 && y[i] < 1e-303);
}

static void test_log_softmax_equals_the_textbook(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 63, 64, 65, 1000};
    for (size_t k = 0; k < NIB_COUNT(sizes); k++) {
        const size_t n = sizes[k];
        float *logits = logits_of(NORMAL, n);
        double total = 0;
        for (size_t i = 0; i < n; i++)
            total += exp(logits[i]);
        const int32_t best = nib_argmax(logits, n);
        for (size_t i = 0; i < n; i++) {
            const double found = nib_log_softmax(logits, n, best, (int32_t)i);
            assert_true(fabs(found - (logits[i] - log(total))) < 1e-12);
        }
        free(logits);
    }
}

static void test_argmax_takes_the_lowest_of_equals(void **state)
{
    (void)state;
    for (size_t n = 1; n < 200; n += 3)
        for (size_t at = 0; at < n; at++) {
            float logits[200];
            for (size_t i = 0; i < n; i++)
                logits[i] = i < at ? -1.0f : i % 2 == at % 2 ? 2.0f : 0.0f;
            assert_int_equal(nib_argmax(logits, n), at);
        }
    const float odd[] = {NAN, -INFINITY, NAN, -5, NAN};
    assert_int_equal(nib_argmax(odd, 5), 3);
    assert_int_equal(nib_argmax(odd, 2), 1);
    assert_int_equal(nib_argmax(odd, 1), -1);
    assert_int_equal(nib_argmax(odd, 0), -1);
}

static void test_scan_names_the_id_that_is_not_a_number(void **state)
{
    (void)state;
    float *logits = calloc(300, sizeof(*logits));
    float block_max[5];
    struct nib_row row = {.logits = logits, .n = 300, .block_max = block_max};
    struct nib_error err;
    const float bad[] = {NAN, INFINITY, -NAN};
    for (size_t k = 0; k < NIB_COUNT(bad); k++)
        for (size_t at = 0; at < 300; at += 13) {
            char name[16];
            snprintf(name, sizeof(name), "id %zu ", at);
            logits[at] = bad[k];
            assert_int_equal(nib_row_scan(&row, &err), NIB_ERROR_NUMERIC);
            assert_non_null(strstr(err.message, name));
            logits[at] = 0;
        }
    assert_int_equal(nib_row_scan(&row, &err), NIB_OK);
    assert_int_equal(row.best, 0);
    for (size_t i = 0; i < 300; i++)
        logits[i] = -INFINITY;
    assert_int_equal(nib_row_scan(&row, &err), NIB_ERROR_NUMERIC);
    assert_non_null(strstr(err.message, "all 300 logits"));
    logits[299] = -3e38f;
    assert_int_equal(nib_row_scan(&row, &err), NIB_OK);
    assert_int_equal(row.best, 299);
    free(logits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filters_give_the_exact_distributions_in_any_order),
        cmocka_unit_test(test_selection_equals_sorting_for_every_shape),
        cmocka_unit_test(test_extreme_values_leave_a_distribution),
        cmocka_unit_test(test_exp_is_within_two_units_in_the_last_place),
        cmocka_unit_test(test_log_softmax_equals_the_textbook),
        cmocka_unit_test(test_argmax_takes_the_lowest_of_equals),
        cmocka_unit_test(test_scan_names_the_id_that_is_not_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
