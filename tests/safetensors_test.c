/* Written .safetensors files, read back by the rules of the format. */
#define _GNU_SOURCE
#include "os.h"
#include "safetensors.h"
#include "scratch_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <yyjson.h>

static struct scratch_dir scratch;
static char path[512];
static struct nib_error err;

static int setup(void **state)
{
    (void)state;
    scratch_dir_create(&scratch);
    scratch_path(&scratch, "out.safetensors", path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_dir_remove(&scratch);
    return 0;
}

/* The header is 8-byte aligned JSON that begins with '{' and is padded with blanks alone; entries
 * lie one after another without gaps; the last ends with the file. */
static void expect_file(const struct nib_safetensors_entry *entries, size_t n_entries)
{
    struct nib_mapping map;
    if (nib_os_map(&map, path, &err) != NIB_OK)
        fail_msg("%s", err.message);
    uint64_t n_header;
    memcpy(&n_header, map.data, 8);
    assert_int_equal(n_header % 8, 0);
    assert_true(n_header + 8 <= map.n_bytes);
    assert_int_equal(map.data[8], '{');
    const char *json = (const char *)map.data + 8;
    size_t n_json = (size_t)n_header;
    while (json[n_json - 1] == ' ')
        n_json--;
    assert_int_equal(json[n_json - 1], '}');
    assert_true(n_header - n_json < 8);

    yyjson_doc *doc = yyjson_read(json, n_json, 0);
    assert_non_null(doc);
    yyjson_val *root = yyjson_doc_get_root(doc);
    assert_int_equal(yyjson_obj_size(root), n_entries);
    uint64_t begin = 0;
    float next = 0;
    for (size_t i = 0; i < n_entries; i++) {
        yyjson_val *entry = yyjson_obj_get(root, entries[i].name);
        assert_non_null(entry);
        assert_int_equal(yyjson_obj_size(entry), 3);
        assert_string_equal(yyjson_get_str(yyjson_obj_get(entry, "dtype")), "F32");
        yyjson_val *shape = yyjson_obj_get(entry, "shape");
        assert_int_equal(yyjson_arr_size(shape), entries[i].n_dims);
        uint64_t n = 1;
        for (size_t k = 0; k < entries[i].n_dims; k++) {
            assert_int_equal(yyjson_get_uint(yyjson_arr_get(shape, k)), entries[i].dims[k]);
            n *= entries[i].dims[k];
        }
        yyjson_val *offsets = yyjson_obj_get(entry, "data_offsets");
        assert_int_equal(yyjson_get_uint(yyjson_arr_get(offsets, 0)), begin);
        assert_int_equal(yyjson_get_uint(yyjson_arr_get(offsets, 1)), begin + 4 * n);
        for (uint64_t k = 0; k < n; k++, next++) {
            float value;
            memcpy(&value, map.data + 8 + n_header + begin + 4 * k, 4);
            assert_true(value == next);
        }
        begin += 4 * n;
    }
    assert_int_equal(8 + n_header + begin, map.n_bytes);
    yyjson_doc_free(doc);
    nib_os_unmap(&map);
}

/* Write 0, 1, 2, ... in pieces of `piece` values. */
static void write_counting(const struct nib_safetensors_entry *entries, size_t n_entries,
                           size_t piece)
{
    struct nib_safetensors_writer *writer;
    if (nib_safetensors_writer_open(&writer, path, entries, n_entries, &err) != NIB_OK)
        fail_msg("%s", err.message);
    size_t total = 0;
    for (size_t i = 0; i < n_entries; i++) {
        size_t n = 1;
        for (size_t k = 0; k < entries[i].n_dims; k++)
            n *= entries[i].dims[k];
        total += n;
    }
    float *values = malloc(piece * sizeof(*values));
    for (size_t at = 0; at < total; at += piece) {
        const size_t n = total - at < piece ? total - at : piece;
        for (size_t i = 0; i < n; i++)
            values[i] = (float)(at + i);
        assert_int_equal(nib_safetensors_writer_write(writer, values, n, &err), NIB_OK);
    }
    free(values);
    assert_int_equal(access(path, F_OK), -1);
    if (nib_safetensors_writer_commit(writer, &err) != NIB_OK)
        fail_msg("%s", err.message);
}

static void test_files_follow_the_format_for_any_header_length(void **state)
{
    (void)state;
    for (size_t length = 1; length < sizeof(((struct nib_safetensors_entry *)0)->name); length++) {
        struct nib_safetensors_entry entries[] = {
            {.name = "logits.0", .n_dims = 2, .dims = {3, 50}},
            {.n_dims = 3, .dims = {2, 3, 4}},
            {.name = "one", .n_dims = 1, .dims = {1}},
            {.name = "none", .n_dims = 2, .dims = {0, 7}},
        };
        memset(entries[1].name, 'n', length);
        write_counting(entries, NIB_COUNT(entries), length);
        expect_file(entries, NIB_COUNT(entries));
        unlink(path);
    }
}

static void test_many_tensors_and_none_are_written(void **state)
{
    (void)state;
    const size_t n = 5000;
    struct nib_safetensors_entry *entries = calloc(n, sizeof(*entries));
    for (size_t i = 0; i < n; i++) {
        snprintf(entries[i].name, sizeof(entries[i].name), "logits.%zu", i);
        entries[i].n_dims = 2;
        entries[i].dims[0] = i % 3 + 1;
        entries[i].dims[1] = 5;
    }
    write_counting(entries, n, 1000);
    expect_file(entries, n);
    unlink(path);
    write_counting(entries, 0, 1);
    expect_file(entries, 0);
    free(entries);
}

static const struct nib_safetensors_entry six = {.name = "x", .n_dims = 2, .dims = {2, 3}};

static void test_too_few_and_too_many_values_are_refused(void **state)
{
    (void)state;
    const float values[7] = {0};
    struct nib_safetensors_writer *writer;
    assert_int_equal(nib_safetensors_writer_open(&writer, path, &six, 1, &err), NIB_OK);
    assert_int_equal(nib_safetensors_writer_write(writer, values, 7, &err), NIB_ERROR_ARGUMENT);
    assert_int_equal(nib_safetensors_writer_write(writer, values, 5, &err), NIB_OK);
    assert_int_equal(nib_safetensors_writer_write(writer, values, 2, &err), NIB_ERROR_ARGUMENT);
    assert_int_equal(nib_safetensors_writer_commit(writer, &err), NIB_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "5 values were written of the 6"));
    assert_int_equal(scratch_count(&scratch), 0);

    assert_int_equal(nib_safetensors_writer_open(&writer, path, &six, 1, &err), NIB_OK);
    nib_safetensors_writer_abort(writer);
    nib_safetensors_writer_abort(NULL);
    assert_int_equal(scratch_count(&scratch), 0);
}

static void expect_bad_entry(struct nib_safetensors_entry entry, const char *piece)
{
    const struct nib_safetensors_entry entries[] = {six, entry};
    struct nib_safetensors_writer *writer;
    assert_int_equal(nib_safetensors_writer_open(&writer, path, entries, 2, &err),
                     NIB_ERROR_ARGUMENT);
    assert_null(writer);
    if (!strstr(err.message, piece))
        fail_msg("expected \"%s\" in \"%s\"", piece, err.message);
    assert_int_equal(scratch_count(&scratch), 0);
}

static void test_tables_that_cannot_be_written_are_refused(void **state)
{
    (void)state;
    struct nib_safetensors_entry unterminated = six;
    memset(unterminated.name, 'n', sizeof(unterminated.name));
    expect_bad_entry(unterminated, "1 to 31 letters");
    expect_bad_entry((struct nib_safetensors_entry){.n_dims = 1, .dims = {1}}, "1 to 31 letters");
    expect_bad_entry((struct nib_safetensors_entry){.name = "a\"b", .n_dims = 1, .dims = {1}},
                     "quotes");
    expect_bad_entry((struct nib_safetensors_entry){.name = "a\nb", .n_dims = 1, .dims = {1}},
                     "ASCII");
    expect_bad_entry((struct nib_safetensors_entry){.name = "a", .n_dims = 0}, "0 dimensions");
    expect_bad_entry((struct nib_safetensors_entry){.name = "a", .n_dims = 4}, "4 dimensions");
    expect_bad_entry(
        (struct nib_safetensors_entry){.name = "a", .n_dims = 2, .dims = {1ull << 31, 1ull << 31}},
        "2^64");
    expect_bad_entry((struct nib_safetensors_entry){.name = "a", .n_dims = 1, .dims = {~0ull / 4}},
                     "2^64");
}

static void test_a_missing_folder_is_named(void **state)
{
    (void)state;
    struct nib_safetensors_writer *writer;
    char inner[512];
    scratch_path(&scratch, "missing/out.safetensors", inner);
    assert_int_equal(nib_safetensors_writer_open(&writer, inner, &six, 1, &err), NIB_ERROR_IO);
    assert_null(writer);
    assert_non_null(strstr(err.message, inner));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_files_follow_the_format_for_any_header_length),
        TEST(test_many_tensors_and_none_are_written),
        TEST(test_too_few_and_too_many_values_are_refused),
        TEST(test_tables_that_cannot_be_written_are_refused),
        TEST(test_a_missing_folder_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
