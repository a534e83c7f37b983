/*
 * The specification of the float kernels against formulas in double precision.
 */
#include "exp.h"
#include "kernel_check.h"

static double ulp_of(double x)
{
    const float f = fabsf((float)x);
    return f < FLT_MIN ? 0x1p-149 : (double)(nextafterf(f, INFINITY) - f);
}

static void test_exp_is_within_2_ulp(void **unused)
{
    (void)unused;
    double worst = 0;
    for (double x = -87.0; x <= 88.0; x += 0.000173) {
        const float arg = (float)x;
        const double exact = exp((double)arg);
        const double error = fabs((double)nib_exp(arg) - exact) / ulp_of(exact);
        worst = error > worst ? error : worst;
    }
    printf("exp: at most %.3f ulp off\n", worst);
    assert_true(worst <= 2.0);
    assert_true(nib_exp(0.0f) == 1.0f && nib_exp(-0.0f) == 1.0f);
    assert_true(nib_exp(-INFINITY) == 0.0f && nib_exp(-87.01f) == 0.0f);
    assert_true(nib_exp(INFINITY) == nib_exp(88.0f) && isfinite(nib_exp(INFINITY)));
    assert_true(isnan(nib_exp(NAN)));
}

static double exact_activation(int activation, double x)
{
    switch (activation) {
    case NIB_ACTIVATION_SILU:
        return x / (1 + exp(-x));
    case NIB_ACTIVATION_GELU:
        return 0.5 * x * (1 + erf(x * 0.70710678118654752440));
    case NIB_ACTIVATION_GELU_TANH:
        return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    default:
        return x > 0 ? x : 0;
    }
}

/* 1 + erf and 1 + tanh cancel for negative x: the bound is in units of |x| there. */
static void test_activations_are_accurate(void **unused)
{
    (void)unused;
    for (int activation = 0; activation < NIB_ACTIVATION_COUNT; activation++) {
        for (double x = -20; x <= 20; x += 0.00037) {
            float y = (float)x;
            const double exact = exact_activation(activation, (double)y);
            scalar.activate[activation](&y, 1);
            assert_true(fabs((double)y - exact) <= 3e-7 * fabs(x) + 1e-30);
        }
    }
}

static void test_norms_are_accurate(void **unused)
{
    (void)unused;
    static const size_t lengths[] = {1, 15, 64, 576, 1536};
    static float x[1536], w[1536], b[1536], rms[1536], layer[1536];
    for (size_t l = 0; l < 5; l++) {
        const size_t n = lengths[l];
        double sum = 0, squares = 0, variance = 0;
        for (size_t i = 0; i < n; i++) {
            x[i] = random_value(USUAL) + 1.0f, w[i] = random_value(USUAL), b[i] = w[i] - 1.0f;
            sum += (double)x[i], squares += (double)x[i] * (double)x[i];
        }
        const double mean = sum / (double)n;
        for (size_t i = 0; i < n; i++)
            variance += ((double)x[i] - mean) * ((double)x[i] - mean);
        scalar.rms_norm(rms, x, w, n, 1e-5f);
        scalar.layer_norm(layer, x, w, b, n, 1e-5f);
        const double r_rms = 1 / sqrt(squares / (double)n + 1e-5);
        const double r_layer = 1 / sqrt(variance / (double)n + 1e-5);
        for (size_t i = 0; i < n; i++) {
            const double e_rms = (double)x[i] * r_rms * (double)w[i];
            const double e_layer = ((double)x[i] - mean) * r_layer * (double)w[i] + (double)b[i];
            assert_true(fabs((double)rms[i] - e_rms) <= 1e-6 * fabs(e_rms));
            assert_true(fabs((double)layer[i] - e_layer) <= 3e-6 * (1 + fabs(e_layer)));
        }
    }
}

static void test_rope_rotates(void **unused)
{
    (void)unused;
    enum { N = 32 };
    float x[2 * N], y[2 * N], c[N], s[N];
    for (int i = 0; i < N; i++) {
        const double angle = 7.0 * pow(10000.0, -(double)i / N);
        c[i] = (float)cos(angle), s[i] = (float)sin(angle);
        y[i] = x[i] = random_value(USUAL), y[N + i] = x[N + i] = random_value(USUAL);
    }
    scalar.rope(y, c, s, N);
    for (int i = 0; i < N; i++) {
        const double x0 = (double)x[i], x1 = (double)x[N + i], ci = (double)c[i], si = (double)s[i];
        assert_true(fabs((double)y[i] - (x0 * ci - x1 * si)) <= 1e-6);
        assert_true(fabs((double)y[N + i] - (x0 * si + x1 * ci)) <= 1e-6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp_is_within_2_ulp),
        cmocka_unit_test(test_activations_are_accurate),
        cmocka_unit_test(test_norms_are_accurate),
        cmocka_unit_test(test_rope_rotates),
    };
    return cmocka_run_group_tests(tests, find_backends, NULL);
}
