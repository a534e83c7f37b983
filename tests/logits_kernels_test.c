/*
 * Kernels over rows of logits: every backend against scalar, bit for bit, and scalar against sums
 * in double precision; then the rows of a context: the best ids and their log-probabilities.
 */
#include "kernel_check.h"

#include <nibble.h>

#include "context.h"
#include "logits_rows.h"

static size_t n_blocks_of(size_t n)
{
    return (n + NIB_LOGITS_BLOCK - 1) / NIB_LOGITS_BLOCK;
}

static void test_block_max_equals_scalar(void **unused)
{
    (void)unused;
    for (int shape = 1; shape < N_LENGTHS + n_shapes; shape++) {
        const size_t n = some_length(shape);
        const struct buffer x = random_floats(n, some_values(shape));
        const struct buffer expected = floats(n_blocks_of(n));
        const bool is_finite = scalar.block_max(expected.p, x.p, n);
        for (int k = 0; k < n_backends; k++) {
            const struct buffer got = floats(n_blocks_of(n));
            assert_int_equal(backends[k].block_max(got.p, x.p, n), is_finite);
            if (is_finite)
                assert_same("block_max", &backends[k], expected, got);
            release(got);
        }
        release(x), release(expected);
    }
}

/* Each value alone is the largest once, and not a number once. */
static void test_block_max_sees_every_value(void **unused)
{
    (void)unused;
    enum { N = 3 * NIB_LOGITS_BLOCK + 21 };
    float x[N], max[4];
    for (int k = -1; k < n_backends; k++) {
        const struct nib_kernels *t = k < 0 ? &scalar : &backends[k];
        for (int i = 0; i < N; i++) {
            for (int j = 0; j < N; j++)
                x[j] = -2 - (float)j;
            x[i] = -1;
            assert_true(t->block_max(max, x, N));
            for (int b = 0; b < 4; b++)
                assert_true(max[b] ==
                            (b == i / NIB_LOGITS_BLOCK ? -1 : -2 - (float)(b * NIB_LOGITS_BLOCK)));
            x[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -INFINITY;
            assert_false(t->block_max(max, x, N));
        }
    }
}

static float largest(const float *x, size_t n)
{
    float max = -INFINITY;
    for (size_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

static void test_exp_sum_equals_scalar(void **unused)
{
    (void)unused;
    for (int shape = 1; shape < N_LENGTHS + n_shapes; shape++) {
        const size_t n = some_length(shape);
        const struct buffer x = random_floats(n, (enum values)(shape % ANY_BITS));
        const float max = largest(x.p, n);
        const double expected = scalar.exp_sum(x.p, n, max);
        for (int k = 0; k < n_backends; k++) {
            const double got = backends[k].exp_sum(x.p, n, max);
            if (memcmp(&got, &expected, sizeof(got)) != 0)
                fail_msg("exp_sum of %zu on %s: %a, expected %a", n, backends[k].name, got,
                         expected);
        }
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += exp((double)((const float *)x.p)[i] - (double)max);
        assert_true(fabs(expected - sum) <= 1e-6 * sum);
        release(x);
    }
}

/* ---- rows of a context ----------------------------------------------------------------------- */

enum { N_IDS = 37, N_TOP = 40 };

static void check_row(struct nib_context *context, const struct nib_model *model, size_t row)
{
    const size_t n_tokens = nib_model_info(model)->n_tokens;
    const float *logits = nib_logits(context, row);
    assert_int_equal(nib_logits_best(context, row), nib_argmax(logits, n_tokens));

    struct nib_id_logprob expected[N_TOP], got[N_TOP];
    struct nib_top top = {.row = row, .n = N_TOP, .ids = got};
    const size_t n = nib_top_logprobs(logits, n_tokens, N_TOP, expected);
    nib_logits_top(context, &top, 1);
    assert_int_equal(top.n, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(got[i].id, expected[i].id);
        assert_true(fabs(got[i].logprob - expected[i].logprob) < 1e-6);
    }
    const double last = nib_logprob(logits, n_tokens, (int32_t)n_tokens - 1);
    assert_true(fabs((double)logits[n_tokens - 1] - top.log_sum - last) < 1e-6);
}

/* Rows of several chunks, on one thread and two; an odd vocabulary too. */
static void test_rows_of_a_context(void **unused)
{
    (void)unused;
    static const char *const models[] = {"gpt2", "gemma2", "llama-gqa"};
    for (size_t i = 0; i < 2 * sizeof(models) / sizeof(*models); i++) {
        char path[1024];
        struct nib_error err;
        struct nib_model *model;
        struct nib_context *context;
        struct nib_context_params p;
        snprintf(path, sizeof(path), "%s/models/%s", NIB_TEST_DATA, models[i / 2]);
        if (nib_model_open(&model, path, NULL, &err) != NIB_OK)
            fail_msg("%s", err.message);
        nib_context_params_init(&p);
        p.n_logits = N_IDS;
        p.n_batch = 7;
        p.n_threads = 1 + (int)(i % 2);
        if (nib_context_create(&context, model, &p, &err) != NIB_OK)
            fail_msg("%s", err.message);
        int32_t ids[N_IDS];
        bool wants[N_IDS];
        for (size_t j = 0; j < N_IDS; j++) {
            ids[j] = (int32_t)(random_below(nib_model_info(model)->n_tokens));
            wants[j] = true;
        }
        const struct nib_batch batch = {N_IDS, ids, NULL, wants};
        if (nib_evaluate(context, &batch, &err) != NIB_OK)
            fail_msg("%s", err.message);
        for (size_t row = 0; row < N_IDS; row++)
            check_row(context, model, row);
        assert_int_equal(nib_logits_best(context, N_IDS), -1);
        nib_context_free(context);
        nib_model_close(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_block_max_equals_scalar),
        cmocka_unit_test(test_block_max_sees_every_value),
        cmocka_unit_test(test_exp_sum_equals_scalar),
        cmocka_unit_test(test_rows_of_a_context),
    };
    return cmocka_run_group_tests(tests, find_backends, NULL);
}
