/*
 * Quantisation of activations: every backend against scalar, and scalar against its definition
 * (docs/numerics.md, rule 8).
 */
#include "kernel_check.h"

/* Blocks of one kind of values each; a block now and then gets another kind. */
static void fill_blocks(float *x, size_t n, enum values values)
{
    for (size_t i = 0; i < n; i += NIB_BLOCK) {
        const bool other = random_below(8) == 0;
        const enum values v = other ? (enum values)random_below(VALUES_COUNT) : values;
        for (size_t j = i; j < n && j < i + NIB_BLOCK; j++)
            x[j] = random_value(v);
    }
}

static const char *const kind_names[] = {"f32", "q8", "q15"};

/* Float activations may have any number of columns. */
static size_t some_columns(enum nib_act_kind kind, int shape)
{
    if (kind == NIB_ACT_F32)
        return 1 + some_length(shape);
    return NIB_BLOCK * (shape < N_LENGTHS ? (size_t)shape + 1 : 1 + random_below(20));
}

/* One row on every backend; the other rows must stay as they were. */
static void compare(enum nib_act_kind kind, size_t n_rows, size_t row, struct buffer x)
{
    const size_t n = x.n_bytes / sizeof(float);
    const size_t n_bytes = nib_act_bytes(kind, n_rows, n);
    const struct buffer expected = buffer_of(n_bytes, 64), got = buffer_of(n_bytes, 64);
    const struct nib_act a = nib_act_place(kind, n_rows, n, expected.p);
    scalar.quantize[kind](&a, row, x.p);
    for (int i = 0; i < n_backends; i++) {
        const struct nib_act b = nib_act_place(kind, n_rows, n, got.p);
        memset(got.p, GUARD_PATTERN, n_bytes);
        backends[i].quantize[kind](&b, row, x.p);
        if (memcmp(expected.p, got.p, n_bytes) != 0)
            fail_msg("quantize %s on %s: %zu columns, row %zu of %zu differ from scalar",
                     kind_names[kind], backends[i].name, n, row, n_rows);
    }
    release(expected), release(got);
}

static void test_every_entry_equals_scalar(void **unused)
{
    (void)unused;
    for (int kind = 0; kind < NIB_ACT_COUNT; kind++) {
        for (int shape = 0; shape < N_LENGTHS + n_shapes; shape++) {
            const size_t n_rows = 1 + random_below(9);
            const size_t n_cols = some_columns((enum nib_act_kind)kind, shape);
            const struct buffer x = floats(n_cols);
            fill_blocks(x.p, n_cols, some_values(shape));
            compare((enum nib_act_kind)kind, n_rows, random_below(n_rows), x);
            release(x);
        }
    }
}

/* The bytes of the row of one block of columns, or of one value for floats. */
static void *codes_at(const struct nib_act *a, size_t row, size_t at)
{
    if (a->kind == NIB_ACT_F32)
        return a->f + row * a->stride + at;
    const size_t block = at / NIB_BLOCK * a->n_rows + row;
    return a->q + block * NIB_BLOCK * a->n_parts + at % NIB_BLOCK;
}

/* A change that leaves the scale of its block alone changes its own code and nothing else's. */
static void test_one_changed_input_changes_its_code(void **unused)
{
    (void)unused;
    for (int shape = 0; shape < n_shapes; shape++) {
        const enum nib_act_kind kind = (enum nib_act_kind)(shape % NIB_ACT_COUNT);
        const size_t n_cols = NIB_BLOCK * (1 + random_below(20)), n_rows = 1 + random_below(9);
        const size_t row = random_below(n_rows), at = random_below(n_cols);
        const struct buffer x = random_floats(n_cols, USUAL);
        for (size_t i = 0; i < n_cols; i += NIB_BLOCK)
            ((float *)x.p)[at % NIB_BLOCK == 0 ? i + 1 : i] = 5.0f; /* the largest of each block */
        const size_t n_bytes = nib_act_bytes(kind, n_rows, n_cols);
        const struct buffer before = buffer_of(n_bytes, 64), after = buffer_of(n_bytes, 64);
        for (int i = -1; i < n_backends; i++) {
            const struct nib_kernels *const k = i < 0 ? &scalar : &backends[i];
            const struct nib_act a = nib_act_place(kind, n_rows, n_cols, before.p);
            const struct nib_act b = nib_act_place(kind, n_rows, n_cols, after.p);
            float *const value = (float *)x.p + at;
            k->quantize[kind](&a, row, x.p);
            const float old = *value;
            *value = -old - copysignf(0.1f, old);
            k->quantize[kind](&b, row, x.p);
            *value = old;
            for (size_t j = 0; j < n_cols; j++) {
                const size_t size = kind == NIB_ACT_F32 ? sizeof(float) : 1;
                const int8_t *p = codes_at(&a, row, j), *q = codes_at(&b, row, j);
                const bool low = kind == NIB_ACT_Q15 && p[NIB_BLOCK] != q[NIB_BLOCK];
                const bool changed = memcmp(p, q, size) != 0 || low;
                if (changed != (j == at))
                    fail_msg("quantize %s on %s: a change of value %zu, code %zu %s",
                             kind_names[kind], k->name, at, j, changed ? "changed" : "did not");
            }
        }
        release(x), release(before), release(after);
    }
}

/* Blocks of a row of codes: half a step from x at most, with their sums. */
static void check_codes(const struct nib_act *a, size_t row, const float *x)
{
    for (size_t b = 0; b < a->n_cols / NIB_BLOCK; b++, x += NIB_BLOCK) {
        const size_t at = b * a->n_rows + row;
        const int8_t *q = codes_at(a, row, b * NIB_BLOCK);
        const double d = (double)a->d[at];
        int sum[2] = {0};
        for (int i = 0; i < NIB_BLOCK; i++) {
            const int low = a->n_parts == 2 ? q[NIB_BLOCK + i] : 0;
            const int code = a->n_parts == 2 ? 128 * q[i] + low : q[i];
            assert_true(low >= -64 && low <= 63);
            assert_true(fabs(code * d - (double)x[i]) <= 0.5001 * d);
            sum[i / 16] += code;
        }
        assert_int_equal(nib_act_isum(a->zero[at], a->n_parts), sum[0] + sum[1]);
        for (size_t half = 0; half < 2; half++)
            assert_int_equal(
                nib_act_isum(a->zero_half[(2 * b + half) * a->n_rows + row], a->n_parts),
                sum[half]);
        assert_true(a->s[at] == a->d[at] * (float)(sum[0] + sum[1]));
    }
}

static void test_quantisation_follows_its_definition(void **unused)
{
    (void)unused;
    _Alignas(64) uint8_t memory[4096];
    float x[NIB_SUPER];
    for (int i = 0; i < NIB_SUPER; i++)
        x[i] = random_value(USUAL);

    x[40] = -127.0f; /* the largest of block 1 */
    struct nib_act a = nib_act_place(NIB_ACT_Q8, 2, NIB_SUPER, memory);
    scalar.quantize[NIB_ACT_Q8](&a, 1, x);
    check_codes(&a, 1, x);
    assert_float_equal(a.d[1 * 2 + 1], 1.0f, 0.0f);
    assert_int_equal(*(int8_t *)codes_at(&a, 1, 40), -127);

    x[40] = -16256.0f, x[41] = 64.0f, x[42] = -65.0f, x[43] = 63.0f;
    a = nib_act_place(NIB_ACT_Q15, 2, NIB_SUPER, memory);
    scalar.quantize[NIB_ACT_Q15](&a, 1, x);
    check_codes(&a, 1, x);
    assert_float_equal(a.d[1 * 2 + 1], 1.0f, 0.0f);
    const int8_t *high = codes_at(&a, 1, 40), *low = high + NIB_BLOCK;
    assert_memory_equal(high, ((int8_t[]){-127, 1, -1, 0}), 4);
    assert_memory_equal(low, ((int8_t[]){0, -64, 63, 63}), 4);
}

/* NaN and infinity poison their block; values too small for a normal scale are zero. */
static void test_quantisation_marks_blocks_without_a_scale(void **unused)
{
    (void)unused;
    static const float bad[] = {NAN, INFINITY, -INFINITY, 1e-37f, 0x1p-149f, -0.0f};
    for (int i = -1; i < n_backends; i++) {
        const struct nib_kernels *const k = i < 0 ? &scalar : &backends[i];
        for (size_t b = 0; b < sizeof(bad) / sizeof(*bad); b++) {
            _Alignas(64) uint8_t memory[1024];
            float x[NIB_BLOCK] = {0};
            x[17] = bad[b];
            x[3] = b < 3 ? 1.0f : 0.0f;
            const struct nib_act a = nib_act_place(NIB_ACT_Q8, 1, NIB_BLOCK, memory);
            k->quantize[NIB_ACT_Q8](&a, 0, x);
            assert_true(b < 3 ? isnan(a.d[0]) && isnan(a.s[0]) : a.d[0] == 0 && a.s[0] == 0);
            assert_int_equal(a.zero[0], 0);
            for (int j = 0; j < NIB_BLOCK; j++)
                assert_int_equal(a.q[j], 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_entry_equals_scalar),
        cmocka_unit_test(test_one_changed_input_changes_its_code),
        cmocka_unit_test(test_quantisation_follows_its_definition),
        cmocka_unit_test(test_quantisation_marks_blocks_without_a_scale),
    };
    return cmocka_run_group_tests(tests, find_backends, NULL);
}
