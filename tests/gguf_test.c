/* The GGUF reader on sound files: values, arrays, tensors, and files as such. */
#define _GNU_SOURCE
#include "gguf_samples.h"
#include "scratch_dir.h"

static const uint64_t dims_64[] = {64};

static struct nib_gguf *open_sound(uint8_t **image)
{
    struct gguf_builder b;
    struct nib_gguf *gguf;
    struct nib_error err;
    build_sound(&b);
    if (open_built(&gguf, &b, image, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return gguf;
}

/* ---- what sound files give ----------------------------------------------------------------- */

static void test_integers_of_every_width_are_read(void **state)
{
    (void)state;
    uint8_t *image;
    struct nib_gguf *g = open_sound(&image);
    static const struct {
        const char *key;
        int64_t value;
    } expected[] = {{"a.u8", 200},           {"a.i8", -3},
                    {"a.u16", 60000},        {"a.i16", -300},
                    {"a.i32", -70000},       {"a.u64", 1ll << 40},
                    {"a.i64", -(1ll << 40)}, {"general.alignment", 32}};
    for (size_t i = 0; i < NIB_COUNT(expected); i++) {
        int64_t value = 0;
        double real = 0;
        assert_true(nib_gguf_int(g, expected[i].key, &value));
        assert_int_equal(value, expected[i].value);
        assert_true(nib_gguf_float(g, expected[i].key, &real));
        assert_true(real == (double)expected[i].value);
    }
    nib_gguf_close(g);
    free(image);
}

static void test_values_of_another_kind_leave_the_output_alone(void **state)
{
    (void)state;
    uint8_t *image;
    struct nib_gguf *g = open_sound(&image);
    int64_t value = 77;
    double real = 77;
    bool flag = true;
    size_t n = 77;
    struct nib_str text = {"x", 77};
    assert_false(nib_gguf_int(g, "a.huge", &value)); /* does not fit */
    assert_false(nib_gguf_int(g, "a.f32", &value));
    assert_false(nib_gguf_int(g, "a.bool", &value));
    assert_false(nib_gguf_int(g, "a.i16s", &value));
    assert_false(nib_gguf_int(g, "missing", &value));
    assert_false(nib_gguf_float(g, "a.nan", &real));
    assert_false(nib_gguf_float(g, "a.text", &real));
    assert_false(nib_gguf_bool(g, "a.u8", &flag));
    assert_false(nib_gguf_string(g, "a.u8", &text));
    assert_false(nib_gguf_string(g, "a.strings", &text));
    assert_false(nib_gguf_strings(g, "a.text", &n));
    assert_false(nib_gguf_strings(g, "a.i16s", &n));
    assert_false(nib_gguf_ints(g, "a.floats", &n));
    assert_false(nib_gguf_ints(g, "a.u64s", &n)); /* one does not fit */
    assert_false(nib_gguf_ints(g, "a.nested", &n));
    assert_false(nib_gguf_floats(g, "a.i16s", &n));
    assert_false(nib_gguf_floats(g, "a.infs", &n));
    assert_true(value == 77 && real == 77 && flag && n == 77 && text.len == 77);
    assert_false(nib_gguf_has(g, "a"));
    assert_true(nib_gguf_has(g, "a.nested"));
    nib_gguf_close(g);
    free(image);
}

static void test_floats_bools_strings_and_arrays_are_read(void **state)
{
    (void)state;
    uint8_t *image;
    struct nib_gguf *g = open_sound(&image);
    double real = 0;
    assert_true(nib_gguf_float(g, "a.f32", &real) && real == 0.5);
    assert_true(nib_gguf_float(g, "a.f64", &real) && real == 0.1);
    assert_true(nib_gguf_float(g, "a.huge", &real) && real == 9223372036854775808.0);
    bool flag = false;
    assert_true(nib_gguf_bool(g, "a.bool", &flag) && flag);
    struct nib_str text;
    assert_true(nib_gguf_string(g, "general.architecture", &text));
    assert_true(nib_str_equal(text, NIB_STR("llama")));

    size_t n = 0;
    struct nib_str strings[3];
    assert_true(nib_gguf_strings(g, "a.strings", &n) && n == 3);
    nib_gguf_copy_strings(g, "a.strings", strings);
    assert_true(nib_str_equal(strings[0], NIB_STR("one")));
    assert_true(nib_str_equal(strings[1], NIB_STR("")));
    assert_true(nib_str_equal(strings[2], NIB_STR("\xff\xfe")));
    int64_t ints[3];
    assert_true(nib_gguf_ints(g, "a.i16s", &n) && n == 3);
    nib_gguf_copy_ints(g, "a.i16s", ints);
    assert_true(ints[0] == 1 && ints[1] == -2 && ints[2] == 3);
    float floats[2];
    assert_true(nib_gguf_floats(g, "a.floats", &n) && n == 2);
    nib_gguf_copy_floats(g, "a.floats", floats);
    assert_true(floats[0] == 1.5f && floats[1] == -2.5f);
    assert_true(nib_gguf_ints(g, "a.empty", &n) && n == 0);
    nib_gguf_close(g);
    free(image);
}

static void test_tensors_have_their_shape_and_data(void **state)
{
    (void)state;
    uint8_t *image;
    struct nib_gguf *g = open_sound(&image);
    assert_int_equal(nib_gguf_tensor_count(g), 3);
    const struct nib_gguf_tensor *t = nib_gguf_find(g, "norm.weight");
    assert_non_null(t);
    assert_ptr_equal(t, nib_gguf_tensor(g, 0));
    assert_string_equal(t->name, "norm.weight");
    assert_int_equal(t->n_bytes, 256);
    assert_int_equal((t->data - image) % 32, 0);
    float last;
    memcpy(&last, t->data + 252, 4);
    assert_true(last == 63);
    t = nib_gguf_find(g, "q.weight");
    assert_int_equal(t->type, NIB_TYPE_Q4_1);
    assert_int_equal(t->n_dims, 2);
    assert_true(t->dims[0] == 64 && t->dims[1] == 3 && t->dims[2] == 1 && t->dims[3] == 1);
    assert_int_equal(t->n_bytes, 120);
    assert_null(nib_gguf_find(g, "q.weigh"));
    nib_gguf_close(g);
    free(image);
}

static const char *text_of(const struct nib_gguf *g, const char *key, char *out, size_t cap)
{
    for (size_t i = 0; i < nib_gguf_key_count(g); i++)
        if (strcmp(nib_gguf_key(g, i), key) == 0) {
            nib_gguf_value_text(g, i, out, cap);
            return out;
        }
    return "(missing)";
}

static void test_values_print_as_text_and_are_cut(void **state)
{
    (void)state;
    uint8_t *image;
    struct nib_gguf *g = open_sound(&image);
    char out[100];
    assert_string_equal(text_of(g, "a.i64", out, 100), "-1099511627776");
    assert_string_equal(text_of(g, "a.huge", out, 100), "9223372036854775808");
    assert_string_equal(text_of(g, "a.f32", out, 100), "0.5");
    assert_string_equal(text_of(g, "a.bool", out, 100), "true");
    assert_string_equal(text_of(g, "a.text", out, 100), "two\\nlines \\x1b[31m");
    assert_string_equal(text_of(g, "a.text", out, 10), "two\\nl...");
    assert_string_equal(text_of(g, "a.strings", out, 100), "[3] \"one\", \"\", \"\\xff\\xfe\"");
    assert_string_equal(text_of(g, "a.i16s", out, 100), "[3] 1, -2, 3");
    assert_string_equal(text_of(g, "a.i16s", out, 15), "[3] 1, -2, 3");
    assert_string_equal(text_of(g, "a.i16s", out, 14), "[3] 1, ...");
    assert_string_equal(text_of(g, "a.empty", out, 100), "[0]");
    assert_string_equal(text_of(g, "a.nested", out, 100), "[1] ...");

    /* No cap makes it write past its end. */
    for (size_t i = 0; i < nib_gguf_key_count(g); i++)
        for (size_t cap = 0; cap <= 60; cap++) {
            char *exact = malloc(cap + 1);
            exact[cap] = '#';
            nib_gguf_value_text(g, i, exact, cap);
            assert_true(cap == 0 || strlen(exact) < cap);
            assert_int_equal(exact[cap], '#');
            free(exact);
        }
    nib_gguf_close(g);
    free(image);
}

static void test_versions_2_and_3_trailing_bytes_gaps_and_any_order_are_taken(void **state)
{
    (void)state;
    struct gguf_builder b;
    build_sound(&b);
    b.version = 2;
    expect_good(&b);

    build_sound(&b);
    gguf_put(&b.data, "trailing", 8);
    expect_good(&b);

    gguf_builder_init(&b); /* a gap, and the second tensor before the first */
    gguf_add_info(&b, "late", NIB_TYPE_F32, 1, dims_64, 1024);
    gguf_add_info(&b, "early", NIB_TYPE_F32, 1, dims_64, 0);
    gguf_put(&b.data, (uint8_t[1280]){0}, 1280);
    expect_good(&b);

    gguf_builder_init(&b); /* a vocabulary without tensors, a header without anything */
    gguf_add_u32(&b, "a", 1);
    expect_good(&b);
    gguf_builder_init(&b);
    expect_good(&b);

    for (uint32_t alignment = 8; alignment <= 65536; alignment *= 2) {
        gguf_builder_init(&b);
        b.alignment = alignment;
        gguf_add_u32(&b, "general.alignment", alignment);
        gguf_add_tensor(&b, "a", NIB_TYPE_F32, 1, dims_64, NULL, 256);
        gguf_add_tensor(&b, "b", NIB_TYPE_F32, 1, dims_64, NULL, 256);
        expect_good(&b);
    }
}

/* A name is found in a sorted index: quadratic work would take minutes here. */
static void test_many_keys_and_tensors_open_quickly(void **state)
{
    (void)state;
    struct gguf_builder b;
    gguf_builder_init(&b);
    char name[64];
    const int n = 200000;
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "a.rather.long.common.beginning.%d", i);
        gguf_add_u32(&b, name, (uint32_t)i);
        gguf_add_info(&b, name, NIB_TYPE_I8, 1, (uint64_t[]){1}, (uint64_t)i * 32);
    }
    b.data = (struct gguf_bytes){calloc((size_t)n, 32), (size_t)n * 32, (size_t)n * 32};

    struct nib_gguf *g;
    struct nib_error err;
    uint8_t *image;
    const double begin = nib_os_seconds();
    if (open_built(&g, &b, &image, &err) != NIB_OK)
        fail_msg("%s", err.message);
    for (int i = 0; i < n; i += 7) {
        int64_t value;
        snprintf(name, sizeof(name), "a.rather.long.common.beginning.%d", i);
        assert_true(nib_gguf_int(g, name, &value) && value == i);
        assert_ptr_equal(nib_gguf_find(g, name), nib_gguf_tensor(g, (size_t)i));
    }
    assert_true(nib_os_seconds() - begin < 30);
    nib_gguf_close(g);
    free(image);
}

/* ---- files, and what is none --------------------------------------------------------------- */

static void test_a_file_is_mapped_and_other_things_are_refused(void **state)
{
    (void)state;
    struct scratch_dir dir;
    char path[512];
    scratch_dir_create(&dir);
    scratch_path(&dir, "model.gguf", path);
    struct nib_gguf *g;
    struct nib_error err;
    struct gguf_builder b;

    assert_int_equal(nib_gguf_open(&g, path, &err), NIB_ERROR_IO);
    assert_non_null(strstr(err.message, "no such file"));
    assert_int_equal(nib_gguf_open(&g, dir.path, &err), NIB_ERROR_IO);
    assert_non_null(strstr(err.message, "is a directory"));
    assert_int_equal(nib_gguf_open(&g, "/dev/zero", &err), NIB_ERROR_IO);
    assert_non_null(strstr(err.message, "is a device"));
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(nib_gguf_open(&g, path, &err), NIB_ERROR_IO);
    assert_non_null(strstr(err.message, "pipe"));
    unlink(path);

    fclose(fopen(path, "w"));
    assert_int_equal(nib_gguf_open(&g, path, &err), NIB_ERROR_FILE);
    assert_non_null(strstr(err.message, "empty"));
    assert_null(g);

    build_sound(&b);
    gguf_builder_write(&b, path);
    gguf_builder_free(&b);
    assert_int_equal(nib_gguf_open(&g, path, &err), NIB_OK);
    assert_string_equal(nib_gguf_path(g), path);
    assert_int_equal(nib_gguf_tensor_count(g), 3);
    nib_gguf_close(g);
    scratch_dir_remove(&dir);
    nib_gguf_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_of_every_width_are_read),
        cmocka_unit_test(test_values_of_another_kind_leave_the_output_alone),
        cmocka_unit_test(test_floats_bools_strings_and_arrays_are_read),
        cmocka_unit_test(test_tensors_have_their_shape_and_data),
        cmocka_unit_test(test_values_print_as_text_and_are_cut),
        cmocka_unit_test(test_versions_2_and_3_trailing_bytes_gaps_and_any_order_are_taken),
        cmocka_unit_test(test_many_keys_and_tensors_open_quickly),
        cmocka_unit_test(test_a_file_is_mapped_and_other_things_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
