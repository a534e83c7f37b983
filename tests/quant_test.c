/* Half floats, and packed weights read back, against the reference's bytes and values
 * (data/quants: 20 rows of 256 values of each type; the last rows are zeros, denormals, extremes).
 */
#include "golden_data.h"
#include "half.h"
#include "os.h"
#include "pack.h"

#include <math.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* ---- half floats ----------------------------------------------------------------------------- */

static void test_every_f16_survives_widening(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        const float x = nib_f16_to_f32((uint16_t)h);
        const bool is_nan = (h & 0x7fff) > 0x7c00;
        assert_int_equal(!!isnan(x), is_nan);
        assert_int_equal(nib_f32_to_f16(x), is_nan ? h | 0x200 : h);
        if (!is_nan && (h & 0x7fff) < 0x7c00) { /* the definition */
            const int exponent = h >> 10 & 31, fraction = h & 0x3ff;
            const double magnitude =
                exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
            assert_true((double)x == (h & 0x8000 ? -magnitude : magnitude));
        }
    }
}

static void test_every_bf16_survives_widening(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        const float x = nib_bf16_to_f32((uint16_t)h);
        assert_int_equal(nib_float_bits(x), h << 16);
        assert_int_equal(nib_f32_to_bf16(x), isnan(x) ? h | 0x40 : h);
    }
}

static void test_narrowing_to_f16_rounds_to_nearest_even(void **state)
{
    (void)state;
    /* Around the middle between each two neighbours, infinity standing where 65536 would. */
    for (uint16_t h = 0; h < 0x7c00; h++) {
        const double low = (double)nib_f16_to_f32(h);
        const double high = h + 1 == 0x7c00 ? 65536 : (double)nib_f16_to_f32((uint16_t)(h + 1));
        const float middle = (float)((low + high) / 2);
        assert_true((double)middle == (low + high) / 2);
        const uint16_t even = (uint16_t)(h + (h & 1));
        assert_int_equal(nib_f32_to_f16(middle), even);
        assert_int_equal(nib_f32_to_f16(-middle), even | 0x8000);
        assert_int_equal(nib_f32_to_f16(nextafterf(middle, 0)), h);
        assert_int_equal(nib_f32_to_f16(nextafterf(middle, INFINITY)), h + 1);
    }
    assert_int_equal(nib_f32_to_f16(INFINITY), 0x7c00);
    assert_int_equal(nib_f32_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(nib_f32_to_f16(3e38f), 0x7c00);
    assert_int_equal(nib_f32_to_f16(1e-45f), 0);
    assert_int_equal(nib_f32_to_f16(-0.0f), 0x8000);
}

static void test_narrowing_to_bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7f80; h++) {
        const uint32_t middle = h << 16 | 0x8000;
        assert_int_equal(nib_f32_to_bf16(nib_bits_float(middle)), h + (h & 1));
        assert_int_equal(nib_f32_to_bf16(nib_bits_float(middle - 1)), h);
        assert_int_equal(nib_f32_to_bf16(nib_bits_float(middle + 1)), h + 1);
    }
    assert_int_equal(nib_f32_to_bf16(nib_bits_float(0x7f800001)), 0x7fc0);
}

#ifdef __x86_64__
__attribute__((target("f16c"))) static uint16_t hardware_f16(float x)
{
    return (uint16_t)_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT);
}
#endif

static void test_narrowing_to_f16_is_what_hardware_does(void **state)
{
    (void)state;
#ifdef __x86_64__
    if (!__builtin_cpu_supports("f16c"))
        skip();
    /* All upper halves of a float with lower halves that matter, NaN among them. */
    static const uint16_t low[] = {0,      1,      0xfff,  0x1000, 0x1001, 0x1fff, 0x2000, 0x3000,
                                   0x7fff, 0x8000, 0x8001, 0xefff, 0xf000, 0xf001, 0xffff};
    for (uint32_t high = 0; high < 65536; high++)
        for (size_t i = 0; i < sizeof(low) / sizeof(low[0]); i++) {
            const float x = nib_bits_float(high << 16 | low[i]);
            if (nib_f32_to_f16(x) != hardware_f16(x))
                fail_msg("%08x: %04x, expected %04x", (unsigned)(high << 16 | low[i]),
                         nib_f32_to_f16(x), hardware_f16(x));
        }
#else
    skip();
#endif
}

/* ---- packing --------------------------------------------------------------------------------- */

enum { N_ROWS = 20, N_COLS = 256 };

static const struct {
    const char *name;
    enum nib_type type;
} types[] = {
    {"F16", NIB_TYPE_F16},       {"BF16", NIB_TYPE_BF16},     {"Q4_0", NIB_TYPE_Q4_0},
    {"Q4_1", NIB_TYPE_Q4_1},     {"Q5_0", NIB_TYPE_Q5_0},     {"Q5_1", NIB_TYPE_Q5_1},
    {"Q8_0", NIB_TYPE_Q8_0},     {"Q2_K", NIB_TYPE_Q2_K},     {"Q3_K", NIB_TYPE_Q3_K},
    {"Q4_K", NIB_TYPE_Q4_K},     {"Q5_K", NIB_TYPE_Q5_K},     {"Q6_K", NIB_TYPE_Q6_K},
    {"IQ4_NL", NIB_TYPE_IQ4_NL}, {"IQ4_XS", NIB_TYPE_IQ4_XS}, {"MXFP4", NIB_TYPE_MXFP4},
    {"IQ1_S", NIB_TYPE_IQ1_S},   {"IQ1_M", NIB_TYPE_IQ1_M},   {"IQ2_XXS", NIB_TYPE_IQ2_XXS},
    {"IQ2_XS", NIB_TYPE_IQ2_XS}, {"IQ2_S", NIB_TYPE_IQ2_S},   {"IQ3_XXS", NIB_TYPE_IQ3_XXS},
    {"IQ3_S", NIB_TYPE_IQ3_S},   {"TQ1_0", NIB_TYPE_TQ1_0},   {"TQ2_0", NIB_TYPE_TQ2_0},
};
enum { N_TYPES = sizeof(types) / sizeof(types[0]) };

/* Row r of the matrix is source row order(r). */
static struct nib_matrix pack(enum nib_type type, const uint8_t *source, size_t n_row_bytes,
                              uint32_t n_rows, uint32_t n_cols, size_t (*order)(size_t))
{
    enum nib_pack kind = NIB_PACK_COUNT;
    assert_true(nib_pack_of_type(type, &kind));
    struct nib_matrix m = nib_matrix_shape(kind, n_rows, n_cols);
    uint8_t *data = nib_os_alloc(m.n_groups * m.planes.n_bytes);
    assert_non_null(data);
    for (size_t g = 0; g < m.n_groups; g++) {
        const uint8_t *rows[NIB_GROUP];
        for (size_t r = 0; r < NIB_GROUP; r++) {
            const size_t row = g * NIB_GROUP + r;
            rows[r] = row < n_rows ? source + order(row) * n_row_bytes : NULL;
        }
        nib_pack_group(type, data + g * m.planes.n_bytes, rows, n_cols);
    }
    m.data = data;
    return m;
}

static void unpack(struct nib_matrix *m)
{
    nib_os_free((void *)m->data, m->n_groups * m->planes.n_bytes);
}

static size_t same(size_t row)
{
    return row;
}

static size_t mirrored(size_t row)
{
    return N_ROWS - 1 - row;
}

static size_t source_row_bytes(enum nib_type type, size_t n_cols)
{
    const struct nib_type_info *info = nib_type_info(type);
    return n_cols / info->n_values * info->n_bytes;
}

static void check_rows(const struct nib_matrix *m, const float *expected, size_t n_cols,
                       size_t (*order)(size_t), const char *name)
{
    float *row = malloc(n_cols * sizeof(*row)); /* of this size, so that ASan sees a longer write */
    assert_non_null(row);
    for (size_t r = 0; r < m->n_rows; r++) {
        nib_matrix_row(m, r, row);
        for (size_t k = 0; k < n_cols; k++) {
            const float want = expected[order(r) * n_cols + k];
            if (nib_float_bits(row[k]) != nib_float_bits(want))
                fail_msg("%s row %zu column %zu: %a, expected %a", name, r, k, (double)row[k],
                         (double)want);
        }
    }
    free(row);
}

static void test_rows_read_back_exactly(void **state)
{
    (void)state;
    struct golden_table table = golden_table_open("quants/quants.safetensors");
    for (size_t t = 0; t < N_TYPES; t++) {
        char name[32];
        snprintf(name, sizeof(name), "%s.bytes", types[t].name);
        const uint8_t *bytes = golden_tensor(&table, name).data;
        snprintf(name, sizeof(name), "%s.deq", types[t].name);
        const struct golden_tensor deq = golden_tensor(&table, name);
        assert_int_equal(deq.n, N_ROWS * N_COLS);

        /* 20 rows: a whole group, and one with 12 rows of padding. */
        const size_t n_row_bytes = source_row_bytes(types[t].type, N_COLS);
        struct nib_matrix m = pack(types[t].type, bytes, n_row_bytes, N_ROWS, N_COLS, same);
        assert_int_equal(m.n_groups, 2);
        check_rows(&m, deq.data, N_COLS, same, types[t].name);
        unpack(&m);
        m = pack(types[t].type, bytes, n_row_bytes, N_ROWS, N_COLS, mirrored);
        check_rows(&m, deq.data, N_COLS, mirrored, types[t].name);
        unpack(&m);

        /* 5 rows of 1024: four rows of the table each. */
        m = pack(types[t].type, bytes, 4 * n_row_bytes, N_ROWS / 4, 4 * N_COLS, same);
        check_rows(&m, deq.data, 4 * N_COLS, same, types[t].name);
        unpack(&m);
    }
    golden_table_close(&table);
}

static void test_f32_rows_read_back_exactly_at_any_length(void **state)
{
    (void)state;
    float source[20 * 37];
    for (size_t i = 0; i < 20 * 37; i++)
        source[i] = sinf((float)i) * 1e-20f;
    struct nib_matrix m =
        pack(NIB_TYPE_F32, (const uint8_t *)source, 37 * sizeof(float), 20, 37, same);
    check_rows(&m, source, 37, same, "F32");
    unpack(&m);
}

static void test_padding_rows_are_zero(void **state)
{
    (void)state;
    struct golden_table table = golden_table_open("quants/quants.safetensors");
    for (size_t t = 0; t < N_TYPES; t++) {
        char name[32];
        snprintf(name, sizeof(name), "%s.bytes", types[t].name);
        struct nib_matrix m = pack(types[t].type, golden_tensor(&table, name).data,
                                   source_row_bytes(types[t].type, N_COLS), 3, N_COLS, same);
        m.n_rows = NIB_GROUP;
        for (size_t r = 3; r < NIB_GROUP; r++) {
            float row[N_COLS];
            nib_matrix_row(&m, r, row);
            for (size_t k = 0; k < N_COLS; k++)
                assert_true(row[k] == 0);
        }
        unpack(&m);
    }
    golden_table_close(&table);
}

/* What is expanded to 8 bits has no packing of its own. */
static bool has_own_packing(enum nib_type type, enum nib_pack *pack)
{
    return nib_pack_of_type(type, pack) && nib_pack_info(*pack)->source == type;
}

static void test_packed_size_is_that_of_the_source(void **state)
{
    (void)state;
    int n_packings = 0;
    enum nib_pack kind;
    for (uint32_t type = 0; type < NIB_TYPE_END; type++) {
        if (!has_own_packing((enum nib_type)type, &kind))
            continue;
        n_packings++;
        for (size_t n_cols = 2048; n_cols <= 16384; n_cols *= 2) {
            const double source = (double)source_row_bytes((enum nib_type)type, n_cols) * NIB_GROUP;
            const struct nib_planes planes = nib_planes(kind, n_cols);
            assert_true((double)planes.n_bytes >= source);
            assert_true((double)planes.n_bytes <= source * 1.03);
            assert_int_equal(planes.n_bytes % 64, 0);
        }
    }
    assert_int_equal(n_packings, NIB_PACK_COUNT - 1); /* NIB_PACK_I8 holds several types */
}

static void test_types_without_packing_are_not_found(void **state)
{
    (void)state;
    enum nib_pack out = NIB_PACK_COUNT;
    assert_true(nib_pack_of_type(NIB_TYPE_IQ1_S, &out));
    assert_int_equal(out, NIB_PACK_I8);
    assert_true(nib_pack_of_type(NIB_TYPE_TQ2_0, &out));
    assert_int_equal(out, NIB_PACK_Q8_0);
    assert_false(nib_pack_of_type(NIB_TYPE_I32, &out));
    assert_false(nib_pack_of_type(NIB_TYPE_NVFP4, &out));
    assert_false(nib_pack_of_type(NIB_TYPE_END, &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_f16_survives_widening),
        cmocka_unit_test(test_every_bf16_survives_widening),
        cmocka_unit_test(test_narrowing_to_f16_rounds_to_nearest_even),
        cmocka_unit_test(test_narrowing_to_bf16_rounds_to_nearest_even),
        cmocka_unit_test(test_narrowing_to_f16_is_what_hardware_does),
        cmocka_unit_test(test_rows_read_back_exactly),
        cmocka_unit_test(test_f32_rows_read_back_exactly_at_any_length),
        cmocka_unit_test(test_padding_rows_are_zero),
        cmocka_unit_test(test_packed_size_is_that_of_the_source),
        cmocka_unit_test(test_types_without_packing_are_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
