/*
 * Norms, positions, activation functions, elementwise arithmetic and conversions to halves: every
 * backend against scalar.  What scalar computes is held to formulas in float_accuracy_test.c.
 */
#include "kernel_check.h"

/* ---- the entries ----------------------------------------------------------------------------- */

enum { MAX_INPUTS = 3 };

/* One call: io holds a copy of in[0] before, the output after. */
struct call {
    const struct nib_kernels *k;
    float *io;
    const float *in[MAX_INPUTS];
    size_t n;
    float factor;
};

struct entry {
    const char *name;
    void (*run)(const struct call *c);
    int n_inputs;
    bool is_norm; /* every output depends on every value of in[0], not only on the one at its place
                   */
    bool is_rope; /* in[0] has 2 n values */
};

static const float eps = 1e-5f;

static void run_rms_norm(const struct call *c)
{
    c->k->rms_norm(c->io, c->in[0], c->in[1], c->n, eps);
}

static void run_rms_norm_in_place(const struct call *c)
{
    c->k->rms_norm(c->io, c->io, c->in[1], c->n, eps);
}

static void run_layer_norm(const struct call *c)
{
    c->k->layer_norm(c->io, c->in[0], c->in[1], NULL, c->n, eps);
}

static void run_layer_norm_with_bias(const struct call *c)
{
    c->k->layer_norm(c->io, c->in[0], c->in[1], c->in[2], c->n, eps);
}

static void run_rope(const struct call *c)
{
    c->k->rope(c->io, c->in[1], c->in[2], c->n);
}

static void run_silu(const struct call *c)
{
    c->k->activate[NIB_ACTIVATION_SILU](c->io, c->n);
}

static void run_gelu(const struct call *c)
{
    c->k->activate[NIB_ACTIVATION_GELU](c->io, c->n);
}

static void run_gelu_tanh(const struct call *c)
{
    c->k->activate[NIB_ACTIVATION_GELU_TANH](c->io, c->n);
}

static void run_relu(const struct call *c)
{
    c->k->activate[NIB_ACTIVATION_RELU](c->io, c->n);
}

static void run_add(const struct call *c)
{
    c->k->add(c->io, c->in[1], c->n);
}

static void run_mul(const struct call *c)
{
    c->k->mul(c->io, c->in[1], c->n);
}

static void run_scale(const struct call *c)
{
    c->k->scale(c->io, c->factor, c->n);
}

static const struct entry entries[] = {
    {.name = "rms_norm", .run = run_rms_norm, .n_inputs = 2, .is_norm = true},
    {.name = "rms_norm in place", .run = run_rms_norm_in_place, .n_inputs = 2, .is_norm = true},
    {.name = "layer_norm", .run = run_layer_norm, .n_inputs = 2, .is_norm = true},
    {.name = "layer_norm with bias",
     .run = run_layer_norm_with_bias,
     .n_inputs = 3,
     .is_norm = true},
    {.name = "rope", .run = run_rope, .n_inputs = 3, .is_rope = true},
    {.name = "silu", .run = run_silu, .n_inputs = 1},
    {.name = "gelu", .run = run_gelu, .n_inputs = 1},
    {.name = "gelu_tanh", .run = run_gelu_tanh, .n_inputs = 1},
    {.name = "relu", .run = run_relu, .n_inputs = 1},
    {.name = "add", .run = run_add, .n_inputs = 2},
    {.name = "mul", .run = run_mul, .n_inputs = 2},
    {.name = "scale", .run = run_scale, .n_inputs = 1},
};

enum { N_ENTRIES = sizeof(entries) / sizeof(*entries) };

static void run_entry(const struct entry *e, const struct nib_kernels *k, struct buffer io,
                      const struct buffer in[MAX_INPUTS], size_t n, float factor)
{
    struct call c = {.k = k, .io = io.p, .n = n, .factor = factor};
    for (int i = 0; i < e->n_inputs; i++)
        c.in[i] = in[i].p;
    memcpy(io.p, in[0].p, io.n_bytes);
    e->run(&c);
}

/* ---- against scalar -------------------------------------------------------------------------- */

/* Of three inputs the first has the kind of values of the shape, the others mostly usual ones. */
static void make_inputs(const struct entry *e, struct buffer in[MAX_INPUTS], size_t n, int shape)
{
    in[0] = random_floats(e->is_rope ? 2 * n : n, some_values(shape));
    for (int i = 1; i < e->n_inputs; i++)
        in[i] = random_floats(n, shape % 3 ? USUAL : some_values(shape / 3));
}

static void compare(const struct entry *e, int shape)
{
    const size_t n = some_length(shape);
    struct buffer in[MAX_INPUTS];
    make_inputs(e, in, n, shape);
    const float factor = random_value(some_values(shape / 5));
    const struct buffer expected = copy_of(in[0]), got = copy_of(in[0]);
    run_entry(e, &scalar, expected, in, n, factor);
    for (int i = 0; i < n_backends; i++) {
        run_entry(e, &backends[i], got, in, n, factor);
        assert_same(e->name, &backends[i], expected, got);
    }
    for (int i = 0; i < e->n_inputs; i++)
        release(in[i]);
    release(expected), release(got);
}

static void test_every_entry_equals_scalar(void **unused)
{
    (void)unused;
    for (int e = 0; e < N_ENTRIES; e++)
        for (int shape = 0; shape < N_LENGTHS + n_shapes; shape++)
            compare(&entries[e], shape);
}

/* All bit patterns in steps of a prime, signs, infinities and NaNs included. */
static void test_activations_equal_scalar_over_all_magnitudes(void **unused)
{
    (void)unused;
    enum { CHUNK = 8192, STEP = 8191 };
    const struct buffer x = floats(CHUNK), expected = floats(CHUNK), got = floats(CHUNK);
    for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += (uint64_t)CHUNK * STEP) {
        for (uint64_t i = 0; i < CHUNK; i++)
            ((float *)x.p)[i] = nib_bits_float((uint32_t)(bits + i * STEP));
        for (int a = 0; a < NIB_ACTIVATION_COUNT; a++) {
            memcpy(expected.p, x.p, x.n_bytes);
            scalar.activate[a](expected.p, CHUNK);
            for (int i = 0; i < n_backends; i++) {
                memcpy(got.p, x.p, x.n_bytes);
                backends[i].activate[a](got.p, CHUNK);
                assert_same("an activation", &backends[i], expected, got);
            }
        }
    }
    release(x), release(expected), release(got);
}

/* ---- one changed input ----------------------------------------------------------------------- */

/* Values in [1, 2) of both signs: no factor is so small that a change would be rounded away. */
static void fill_distinct(struct buffer b)
{
    for (size_t i = 0; i < b.n_bytes / sizeof(float); i++) {
        const float x = 1.5f + 0.5f * random_unit();
        ((float *)b.p)[i] = random_below(2) ? x : -x;
    }
}

/* Whether output i may, and must, notice a change of in[input][at]. */
static bool depends(const struct entry *e, int input, size_t at, size_t i, size_t n)
{
    if (e->is_rope)
        return i % n == at % n;
    return i == at || (e->is_norm && input == 0);
}

static void check_change(const struct entry *e, const struct nib_kernels *k, int input,
                         const struct buffer in[MAX_INPUTS], struct buffer before,
                         struct buffer after, size_t n)
{
    const size_t n_out = before.n_bytes / sizeof(float);
    const size_t at = random_below(in[input].n_bytes / sizeof(float));
    float *const value = (float *)in[input].p + at;
    const float old = *value;
    run_entry(e, k, before, in, n, 3.0f);
    *value = e->run == run_relu ? fabsf(old) + 8.0f : old + copysignf(8.0f, old);
    run_entry(e, k, after, in, n, 3.0f);
    *value = old;

    size_t n_changed = 0;
    for (size_t i = 0; i < n_out; i++) {
        const bool changed = ((const float *)before.p)[i] != ((const float *)after.p)[i];
        if (changed && !depends(e, input, at, i, n))
            fail_msg("%s on %s, n = %zu: output %zu depends on value %zu of input %d", e->name,
                     k->name, n, i, at, input);
        n_changed += changed;
    }
    /* Of the outputs of a norm one in millions stays the same by chance. */
    const size_t n_expected = e->is_rope ? 2 : e->is_norm && input == 0 ? n - n / 8 : 1;
    if (n_changed < n_expected)
        fail_msg("%s on %s, n = %zu: a change of value %zu of input %d changes %zu outputs",
                 e->name, k->name, n, at, input, n_changed);
}

static void test_one_changed_input_changes_what_depends_on_it(void **unused)
{
    (void)unused;
    for (int shape = 0; shape < N_LENGTHS + n_shapes; shape++) {
        const size_t n = 4 + some_length(shape); /* a norm of few values may have few results */
        for (const struct entry *e = entries; e < entries + N_ENTRIES; e++) {
            struct buffer in[MAX_INPUTS];
            for (int i = 0; i < e->n_inputs; i++) {
                in[i] = floats(e->is_rope && i == 0 ? 2 * n : n);
                fill_distinct(in[i]);
            }
            const struct buffer before = copy_of(in[0]), after = copy_of(in[0]);
            for (int i = -1; i < n_backends; i++)
                for (int input = 0; input < e->n_inputs; input++)
                    check_change(e, i < 0 ? &scalar : &backends[i], input, in, before, after, n);
            for (int i = 0; i < e->n_inputs; i++)
                release(in[i]);
            release(before), release(after);
        }
    }
}

/* ---- halves ---------------------------------------------------------------------------------- */

static void test_halves_equal_scalar(void **unused)
{
    (void)unused;
    for (int shape = 0; shape < N_LENGTHS + n_shapes; shape++) {
        const size_t n = some_length(shape);
        const struct buffer x = random_floats(n, some_values(shape));
        const struct buffer expected = buffer_of(2 * n, 2), got = buffer_of(2 * n, 2);
        const struct buffer wide_expected = floats(n), wide_got = floats(n);
        scalar.to_f16(expected.p, x.p, n);
        scalar.from_f16(wide_expected.p, expected.p, n);
        for (int i = 0; i < n_backends; i++) {
            backends[i].to_f16(got.p, x.p, n);
            assert_memory_equal(expected.p, got.p, 2 * n);
            backends[i].from_f16(wide_got.p, expected.p, n);
            assert_memory_equal(wide_expected.p, wide_got.p, 4 * n);
        }
        release(x), release(expected), release(got), release(wide_expected), release(wide_got);
    }
}

/* Every half, and floats at the middle between neighbours, on every backend. */
static void test_halves_convert_exactly(void **unused)
{
    (void)unused;
    static uint16_t half[65536], back[65536];
    static float wide[65536], middle[65536];
    for (int i = -1; i < n_backends; i++) {
        const struct nib_kernels *const k = i < 0 ? &scalar : &backends[i];
        for (uint32_t h = 0; h < 65536; h++)
            half[h] = (uint16_t)h;
        k->from_f16(wide, half, 65536);
        k->to_f16(back, wide, 65536);
        for (uint32_t h = 0; h < 65536; h++) {
            const bool is_nan = (h & 0x7fff) > 0x7c00;
            assert_int_equal(back[h], is_nan ? h | 0x200 : h);
        }
        assert_float_equal(wide[0x3c00], 1.0f, 0.0f);
        assert_float_equal(wide[1], 0x1p-24f, 0.0f);
        assert_float_equal(wide[0x7bff], 65504.0f, 0.0f);

        for (uint32_t h = 0; h < 0x7bff; h++)
            middle[h] = (wide[h] + wide[h + 1]) * 0.5f;
        k->to_f16(back, middle, 0x7bff);
        for (uint32_t h = 0; h < 0x7bff; h++)
            assert_int_equal(back[h], h + (h & 1)); /* to even */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_entry_equals_scalar),
        cmocka_unit_test(test_activations_equal_scalar_over_all_magnitudes),
        cmocka_unit_test(test_one_changed_input_changes_what_depends_on_it),
        cmocka_unit_test(test_halves_equal_scalar),
        cmocka_unit_test(test_halves_convert_exactly),
    };
    return cmocka_run_group_tests(tests, find_backends, NULL);
}
