/* Encoders against the reference's bytes and errors (data/quants), and blocks at the edge of what a
 * type holds. */
#include "decode.h"
#include "encode.h"
#include "golden_data.h"
#include "half.h"

#include <math.h>

enum { N_ROWS = 20, N_COLS = 256, N_NORMAL = 8, ROW_DENORMAL = 9 };

static const struct {
    enum nib_type type;
    bool is_searched;
    int n; /* weights that share a scale */
} types[] = {
    {NIB_TYPE_F16, false, 1},   {NIB_TYPE_BF16, false, 1},   {NIB_TYPE_Q4_0, false, 32},
    {NIB_TYPE_Q4_1, false, 32}, {NIB_TYPE_Q5_0, false, 32},  {NIB_TYPE_Q5_1, false, 32},
    {NIB_TYPE_Q8_0, false, 32}, {NIB_TYPE_MXFP4, false, 32}, {NIB_TYPE_Q2_K, true, 16},
    {NIB_TYPE_Q3_K, true, 16},  {NIB_TYPE_Q4_K, true, 32},   {NIB_TYPE_Q5_K, true, 32},
    {NIB_TYPE_Q6_K, true, 16},  {NIB_TYPE_IQ4_NL, true, 32}, {NIB_TYPE_IQ4_XS, true, 32},
};
enum { N_TYPES = sizeof(types) / sizeof(types[0]) };

static size_t row_bytes(enum nib_type type)
{
    const struct nib_type_info *info = nib_type_info(type);
    return N_COLS / info->n_values * info->n_bytes;
}

static const void *table_of(const struct golden_table *table, enum nib_type type, const char *what)
{
    char name[32];
    snprintf(name, sizeof(name), "%s.%s", nib_type_info(type)->name, what);
    return golden_tensor(table, name).data;
}

/* A row of 256 weights there and back. */
static void encode(enum nib_type type, const float *x, const float *importance, uint8_t *bytes)
{
    size_t bad;
    if (!nib_encode(type, x, N_COLS, importance, bytes, &bad))
        fail_msg("%s: weight %zu, %g, was refused", nib_type_info(type)->name, bad, (double)x[bad]);
}

static void decode(enum nib_type type, const uint8_t *bytes, size_t n_cols, float *out)
{
    const size_t n_scratch = nib_decode_scratch(type, n_cols);
    uint8_t *scratch = malloc(n_scratch + 1);
    float *all = malloc(NIB_GROUP * n_cols * sizeof(*all));
    assert_non_null(scratch);
    assert_non_null(all);
    const uint8_t *const rows[NIB_GROUP] = {bytes};
    nib_decode_rows(type, rows, n_cols, scratch, all);
    memcpy(out, all, n_cols * sizeof(*out));
    free(scratch);
    free(all);
}

static void round_trip(enum nib_type type, const float *x, float *out)
{
    uint8_t bytes[4 * N_COLS];
    encode(type, x, NULL, bytes);
    decode(type, bytes, N_COLS, out);
}

/* ---- reference data -------------------------------------------------------------------------- */

static void test_types_without_a_search_give_the_reference_bytes(void **state)
{
    (void)state;
    struct golden_table table = golden_table_open("quants/quants.safetensors");
    const float *src = golden_tensor(&table, "src").data;
    for (size_t t = 0; t < N_TYPES; t++)
        for (size_t r = 0; r < N_ROWS && !types[t].is_searched; r++) {
            /* The reference takes the exponent of 1e-40 for a large one. */
            if (types[t].type == NIB_TYPE_MXFP4 && r == ROW_DENORMAL)
                continue;
            const size_t n = row_bytes(types[t].type);
            const uint8_t *expected =
                (const uint8_t *)table_of(&table, types[t].type, "bytes") + r * n;
            uint8_t bytes[4 * N_COLS];
            encode(types[t].type, src + r * N_COLS, NULL, bytes);
            for (size_t i = 0; i < n; i++)
                if (bytes[i] != expected[i])
                    fail_msg("%s row %zu byte %zu: %02x, expected %02x",
                             nib_type_info(types[t].type)->name, r, i, bytes[i], expected[i]);
        }
    golden_table_close(&table);
}

/* Squared errors of a row: plain, and with the weights rms of the block + |x|, and x^2. */
struct errors {
    double plain, mixed, square;
};

static struct errors errors_of(const float *x, const float *y, int n)
{
    struct errors e = {0};
    for (int i = 0; i < N_COLS; i += n) {
        double mean = 0;
        for (int k = i; k < i + n; k++)
            mean += (double)x[k] * (double)x[k] / n;
        for (int k = i; k < i + n; k++) {
            const double value = (double)x[k], d = value - (double)y[k];
            e.plain += d * d;
            e.mixed += (sqrt(mean) + fabs(value)) * d * d;
            e.square += value * value * d * d;
        }
    }
    return e;
}

static void check_ratio(const char *what, enum nib_type type, size_t row, double error,
                        double reference, double limit)
{
    if (!(error <= limit * reference))
        fail_msg("%s, row %zu: %s error is %.4f of the reference's, expected at most %.3f",
                 nib_type_info(type)->name, row, what, error / reference, limit);
}

/* Row by row the reference may win by chance, by a little; over the normal rows it never does. */
static void test_searched_types_err_no_more_than_the_reference(void **state)
{
    (void)state;
    struct golden_table table = golden_table_open("quants/quants.safetensors");
    const float *src = golden_tensor(&table, "src").data;
    for (size_t t = 0; t < N_TYPES; t++) {
        if (!types[t].is_searched)
            continue;
        const enum nib_type type = types[t].type;
        const float *reference = table_of(&table, type, "deq");
        struct errors ours = {0}, theirs = {0};
        for (size_t r = 0; r < N_ROWS; r++) {
            const float *x = src + r * N_COLS;
            float y[N_COLS];
            round_trip(type, x, y);
            const struct errors mine = errors_of(x, y, types[t].n);
            const struct errors other = errors_of(x, reference + r * N_COLS, types[t].n);
            check_ratio("plain", type, r, mine.plain, other.plain, 1.05);
            check_ratio("weighted", type, r, mine.mixed, other.mixed, 1.005);
            ours.plain += r < N_NORMAL ? mine.plain : 0;
            ours.mixed += r < N_NORMAL ? mine.mixed : 0;
            ours.square += r < N_NORMAL ? mine.square : 0;
            theirs.plain += r < N_NORMAL ? other.plain : 0;
            theirs.mixed += r < N_NORMAL ? other.mixed : 0;
            theirs.square += r < N_NORMAL ? other.square : 0;
        }
        check_ratio("plain", type, N_NORMAL, ours.plain, theirs.plain, 1);
        check_ratio("weighted", type, N_NORMAL, ours.mixed, theirs.mixed, 1);
        if (type != NIB_TYPE_Q2_K) /* there the reference weighs by |x| and takes |error| */
            check_ratio("square weighted", type, N_NORMAL, ours.square, theirs.square, 1);
    }
    golden_table_close(&table);
}

static void test_every_type_is_decoded_exactly(void **state)
{
    (void)state;
    struct golden_table table = golden_table_open("quants/quants.safetensors");
    size_t n_types = 0;
    for (uint32_t type = NIB_TYPE_F16; type < NIB_TYPE_END; type++) {
        if (!nib_type_info(type) || !nib_can_decode((enum nib_type)type))
            continue;
        const uint8_t *bytes = table_of(&table, (enum nib_type)type, "bytes");
        const float *expected = table_of(&table, (enum nib_type)type, "deq");
        for (size_t r = 0; r < N_ROWS; r++) {
            float y[N_COLS];
            decode((enum nib_type)type, bytes + r * row_bytes((enum nib_type)type), N_COLS, y);
            for (size_t k = 0; k < N_COLS; k++)
                if (nib_float_bits(y[k]) != nib_float_bits(expected[r * N_COLS + k]))
                    fail_msg("%s row %zu column %zu: %a, expected %a", nib_type_info(type)->name, r,
                             k, (double)y[k], (double)expected[r * N_COLS + k]);
        }
        n_types++;
    }
    assert_int_equal(n_types, 24); /* all of the table but NVFP4 and Q1_0 */
    golden_table_close(&table);
}

/* ---- single blocks --------------------------------------------------------------------------- */

static void test_zeros_stay_zeros(void **state)
{
    (void)state;
    static const float zeros[N_COLS];
    for (size_t t = 0; t < N_TYPES; t++) {
        float y[N_COLS];
        round_trip(types[t].type, zeros, y);
        for (int i = 0; i < N_COLS; i++)
            assert_true(y[i] == 0);
    }
}

static void test_weights_below_every_scale_become_small(void **state)
{
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++)
        for (int exponent = -149; exponent <= -30; exponent += 7) {
            float x[N_COLS], y[N_COLS];
            for (int i = 0; i < N_COLS; i++)
                x[i] = ldexpf((float)(i % 5 - 2), exponent);
            round_trip(types[t].type, x, y);
            for (int i = 0; i < N_COLS; i++)
                assert_true(fabsf(y[i]) <= 4e-8f);
        }
}

/* Everything between is scaled by the extreme, which itself is met to within its scale's step. */
static void test_the_limit_is_held_and_what_is_beyond_is_refused_by_its_place(void **state)
{
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++) {
        const enum nib_type type = types[t].type;
        const float limit = nib_encode_limit(type);
        for (int sign = -1; sign <= 1; sign += 2) {
            float x[N_COLS] = {0}, y[N_COLS];
            x[77] = (float)sign * limit;
            round_trip(type, x, y);
            for (int i = 0; i < N_COLS; i++)
                assert_true(isfinite(y[i]));
            assert_true(fabsf(y[77] - x[77]) <= 0.35f * limit);

            uint8_t bytes[4 * N_COLS];
            size_t bad = 0;
            x[77] = (float)sign * nextafterf(limit, INFINITY);
            assert_false(nib_encode(type, x, N_COLS, NULL, bytes, &bad));
            assert_int_equal(bad, 77);
        }
    }
}

static void test_the_first_weight_that_is_no_number_is_named(void **state)
{
    (void)state;
    static const float values[] = {NAN, -NAN, INFINITY, -INFINITY};
    for (size_t t = 0; t < N_TYPES; t++)
        for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++)
            for (int at = 0; at < N_COLS; at += 51) {
                float x[N_COLS] = {0};
                uint8_t bytes[4 * N_COLS];
                size_t bad = 999;
                x[at] = values[v];
                x[N_COLS - 1] = NAN;
                assert_false(nib_encode(types[t].type, x, N_COLS, NULL, bytes, &bad));
                assert_int_equal(bad, at);
            }
}

static void test_one_huge_weight_is_kept(void **state)
{
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++) {
        float x[N_COLS], y[N_COLS];
        for (int i = 0; i < N_COLS; i++)
            x[i] = 0.01f * (float)(i % 7 - 3);
        x[100] = 30000;
        round_trip(types[t].type, x, y);
        assert_true(fabsf(y[100] - x[100]) <= 0.2f * x[100]);
    }
}

/* ---- importance, and what bytes may depend on ------------------------------------------------ */

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* Sums of four even numbers, some rows with large ones among them. */
static void fill(float *x, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        int64_t sum = 0;
        for (int k = 0; k < 4; k++)
            sum += (int64_t)(next_random(&seed) & 0xfffff) - 0x80000;
        const float scale = i / N_COLS % 3 == 1 && i % 37 == 0 ? 20.0f : 1.0f;
        x[i] = scale * ldexpf((float)sum, -24);
    }
}

static void test_importance_moves_error_away_from_what_counts(void **state)
{
    (void)state;
    enum { ROWS = 16 };
    static float x[ROWS * N_COLS];
    fill(x, ROWS * N_COLS, 3);
    float ones[N_COLS], importance[N_COLS];
    for (int i = 0; i < N_COLS; i++) {
        ones[i] = 1;
        importance[i] = i % 4 == 0 ? 100.0f : 1.0f;
    }
    for (size_t t = 0; t < N_TYPES; t++) {
        const enum nib_type type = types[t].type;
        double even = 0, weighted = 0;
        for (size_t r = 0; r < ROWS; r++) {
            uint8_t plain[4 * N_COLS], same[4 * N_COLS], other[4 * N_COLS];
            float y[N_COLS], z[N_COLS];
            const float *row = x + r * N_COLS;
            encode(type, row, NULL, plain);
            encode(type, row, ones, same);
            assert_memory_equal(plain, same, row_bytes(type));
            encode(type, row, importance, other);
            decode(type, plain, N_COLS, y);
            decode(type, other, N_COLS, z);
            for (int i = 0; i < N_COLS; i += 4) {
                even += pow((double)(y[i] - row[i]), 2);
                weighted += pow((double)(z[i] - row[i]), 2);
            }
        }
        if (types[t].is_searched)
            assert_true(weighted < 0.97 * even);
        else
            assert_true(weighted == even);
    }
}

static void test_a_row_is_its_blocks(void **state)
{
    (void)state;
    static float x[4 * N_COLS];
    fill(x, 4 * N_COLS, 4);
    for (size_t t = 0; t < N_TYPES; t++) {
        const size_t n = row_bytes(types[t].type);
        uint8_t whole[4 * 4 * N_COLS + 1], part[4 * N_COLS];
        size_t bad;
        assert_true(nib_encode(types[t].type, x, 4 * N_COLS, NULL, whole + 1, &bad));
        for (size_t r = 0; r < 4; r++) {
            encode(types[t].type, x + r * N_COLS, NULL, part);
            assert_memory_equal(whole + 1 + r * n, part, n);
        }
    }
}

/* FNV-1a over the bytes of all types: what every compiler and processor must give. */
static void test_bytes_are_the_same_on_every_machine(void **state)
{
    (void)state;
    enum { ROWS = 64 };
    static float x[ROWS * N_COLS];
    fill(x, ROWS * N_COLS, 5);
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t t = 0; t < N_TYPES; t++)
        for (size_t r = 0; r < ROWS; r++) {
            uint8_t bytes[4 * N_COLS];
            encode(types[t].type, x + r * N_COLS, NULL, bytes);
            for (size_t i = 0; i < row_bytes(types[t].type); i++)
                hash = (hash ^ bytes[i]) * 0x100000001b3u;
        }
    assert_int_equal(hash, 0x42c4d848a5102d21);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_without_a_search_give_the_reference_bytes),
        cmocka_unit_test(test_searched_types_err_no_more_than_the_reference),
        cmocka_unit_test(test_every_type_is_decoded_exactly),
        cmocka_unit_test(test_zeros_stay_zeros),
        cmocka_unit_test(test_weights_below_every_scale_become_small),
        cmocka_unit_test(test_the_limit_is_held_and_what_is_beyond_is_refused_by_its_place),
        cmocka_unit_test(test_the_first_weight_that_is_no_number_is_named),
        cmocka_unit_test(test_one_huge_weight_is_kept),
        cmocka_unit_test(test_importance_moves_error_away_from_what_counts),
        cmocka_unit_test(test_a_row_is_its_blocks),
        cmocka_unit_test(test_bytes_are_the_same_on_every_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
