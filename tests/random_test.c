/* Philox4x32-10 against the known answers that its authors publish with Random123. */
#include "random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void test_philox_gives_the_published_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], expected[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t out[4];
        nib_philox(cases[i].counter, cases[i].key, out);
        assert_memory_equal(out, cases[i].expected, sizeof(out));
    }
}

static void test_uniform_takes_53_bits_of_the_first_two_words(void **state)
{
    (void)state;
    const double expected = ((0x6627e8d5u >> 5) * 67108864.0 + (0xe169c58du >> 6)) / 0x1p53;
    assert_true(nib_random_uniform(0, 0, 0) == expected);
}

static void test_uniform_depends_on_seed_sequence_and_position(void **state)
{
    (void)state;
    const double u = nib_random_uniform(1, 2, 3);
    assert_true(u == nib_random_uniform(1, 2, 3));
    assert_true(u != nib_random_uniform(2, 2, 3));
    assert_true(u != nib_random_uniform(1ull << 32, 2, 3));
    assert_true(u != nib_random_uniform(1, 3, 3));
    assert_true(u != nib_random_uniform(1, 2, 4));
    assert_true(u != nib_random_uniform(1, 2, 3 + (1ull << 32)));
}

static void test_uniform_fills_the_unit_interval_evenly(void **state)
{
    (void)state;
    enum { N = 100000, CELLS = 100 };
    int counts[CELLS] = {0};
    double chi2 = 0;
    for (uint64_t i = 0; i < N; i++) {
        const double u = nib_random_uniform(42, 0, i);
        assert_true(u >= 0 && u < 1);
        counts[(int)(u * CELLS)]++;
    }
    for (int i = 0; i < CELLS; i++) {
        const double off = counts[i] - N / (double)CELLS;
        chi2 += off * off / (N / (double)CELLS);
    }
    assert_true(chi2 > 99 - 42 && chi2 < 99 + 42); /* 3 standard deviations */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_gives_the_published_answers),
        cmocka_unit_test(test_uniform_takes_53_bits_of_the_first_two_words),
        cmocka_unit_test(test_uniform_depends_on_seed_sequence_and_position),
        cmocka_unit_test(test_uniform_fills_the_unit_interval_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
