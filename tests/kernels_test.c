/*
 * The table of kernels: which levels there are, and that each fills every entry.  What the entries
 * compute: float_kernels_test.c, quantize_kernels_test.c, attention tests, matmul_test.c.
 */
#include "kernel_check.h"

static void test_levels_are_within_features(void **unused)
{
    (void)unused;
    unsigned features = 1;
    assert_true(nib_isa_features("scalar", &features));
    assert_int_equal(features, 0);
    assert_false(nib_isa_features("avx3", &features));
    assert_string_equal(nib_isa_name(0), "scalar");
    assert_string_equal(nib_isa_list(0), "scalar");

    for (unsigned set = 0; set < 64; set++) {
        const char *const list = nib_isa_list(set), *const best = nib_isa_name(set);
        assert_true(strlen(list) >= strlen(best));
        assert_string_equal(list + strlen(list) - strlen(best), best);
        assert_true(nib_isa_features(best, &features));
        assert_int_equal(features & ~set, 0);
    }
}

static void assert_complete(const struct nib_kernels *k)
{
    assert_non_null(k->name);
    assert_true(k->rms_norm && k->layer_norm && k->rope && k->add && k->mul && k->scale);
    assert_true(k->to_f16 && k->from_f16 && k->softmax_tile && k->softmax_merge);
    assert_true(k->dots && k->hadamard && k->codes8 && k->codes15);
    assert_true(k->soft_cap && k->add_distance);
    for (int i = 0; i < NIB_ACTIVATION_COUNT; i++)
        assert_non_null(k->activate[i]);
    for (int i = 0; i < NIB_ACT_COUNT; i++)
        assert_non_null(k->quantize[i]);
    for (int i = 0; i < NIB_CACHE_FLOATS; i++)
        assert_true(k->scores[i] && k->values[i]);
    for (int i = 0; i < NIB_PACK_COUNT; i++)
        assert_non_null(k->matmul[i]);
}

static void test_every_level_fills_every_entry(void **unused)
{
    (void)unused;
    assert_complete(&scalar);
    for (int i = 0; i < n_backends; i++)
        assert_complete(&backends[i]);
    struct nib_kernels k;
    nib_kernels_init(&k, nib_cpu_features());
    assert_complete(&k);
    assert_string_equal(k.name, nib_isa_name(nib_cpu_features()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels_are_within_features),
        cmocka_unit_test(test_every_level_fills_every_entry),
    };
    return cmocka_run_group_tests(tests, find_backends, NULL);
}
