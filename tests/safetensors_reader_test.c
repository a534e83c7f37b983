/* The rules of .safetensors files: what is read, and for each that is broken its error. */
#define _GNU_SOURCE
#include "safetensors_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct nib_error err;

/* Header length, header, n_data bytes of data, in a block of exactly that size. */
static uint8_t *make_file(const char *header, size_t n_header, size_t n_data, size_t *n_bytes)
{
    const uint64_t length = n_header;
    uint8_t *bytes = malloc(8 + n_header + n_data);
    assert_non_null(bytes);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, n_header);
    for (size_t i = 0; i < n_data; i++)
        bytes[8 + n_header + i] = (uint8_t)i;
    *n_bytes = 8 + n_header + n_data;
    return bytes;
}

static void expect_bytes_error(const void *bytes, size_t n_bytes, const char *part)
{
    struct nib_safetensors *file = (void *)&err;
    memset(&err, 0, sizeof(err));
    void *copy = malloc(n_bytes ? n_bytes : 1); /* reads past its end are seen */
    memcpy(copy, bytes, n_bytes);
    const enum nib_status status =
        nib_safetensors_open_memory(&file, copy, n_bytes, "x.safetensors", &err);
    if (status == NIB_OK || !strstr(err.message, part))
        fail_msg("expected \"%s\", got %d: %s", part, (int)status, err.message);
    assert_null(file);
    assert_non_null(strstr(err.message, "x.safetensors: "));
    free(copy);
}

static void expect_error(const char *header, size_t n_data, const char *part)
{
    size_t n_bytes;
    uint8_t *bytes = make_file(header, strlen(header), n_data, &n_bytes);
    expect_bytes_error(bytes, n_bytes, part);
    free(bytes);
}

static struct nib_safetensors *open_file(const char *header, size_t n_data, uint8_t **bytes)
{
    size_t n_bytes;
    struct nib_safetensors *file;
    *bytes = make_file(header, strlen(header), n_data, &n_bytes);
    if (nib_safetensors_open_memory(&file, *bytes, n_bytes, "x.safetensors", &err) != NIB_OK)
        fail_msg("%s", err.message);
    return file;
}

#define A "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"
#define B "\"b\":{\"dtype\":\"F16\",\"shape\":[1,2],\"data_offsets\":[8,12]}"

/* ---- what is read ---------------------------------------------------------------------------- */

static void test_tensors_come_in_the_order_of_their_data(void **state)
{
    (void)state;
    uint8_t *bytes;
    struct nib_safetensors *file =
        open_file("{\"__metadata__\":{\"format\":\"pt\"}," B "," A "}   ", 12, &bytes);
    assert_int_equal(nib_safetensors_count(file), 2);
    const struct nib_safetensors_tensor *a = nib_safetensors_tensor(file, 0);
    const struct nib_safetensors_tensor *b = nib_safetensors_tensor(file, 1);
    assert_string_equal(a->name, "a");
    assert_string_equal(a->dtype, "F32");
    assert_int_equal(a->n_dims, 1);
    assert_int_equal(a->dims[0], 2);
    assert_int_equal(a->n_bytes, 8);
    assert_int_equal(a->data[0], 0);
    assert_string_equal(b->name, "b");
    assert_int_equal(b->n_dims, 2);
    assert_int_equal(b->dims[1], 2);
    assert_int_equal(b->data[3], 11);
    assert_string_equal(nib_safetensors_path(file), "x.safetensors");
    nib_safetensors_close(file);
    free(bytes);
}

static void test_scalars_and_empty_tensors_are_read(void **state)
{
    (void)state;
    uint8_t *bytes;
    struct nib_safetensors *file =
        open_file("{\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                  "\"e\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[4,4]},"
                  "\"t\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[4,12]}}",
                  12, &bytes);
    assert_int_equal(nib_safetensors_count(file), 3);
    assert_int_equal(nib_safetensors_tensor(file, 0)->n_dims, 0);
    assert_int_equal(nib_safetensors_tensor(file, 0)->n_bytes, 4);
    assert_string_equal(nib_safetensors_tensor(file, 1)->name, "e");
    assert_int_equal(nib_safetensors_tensor(file, 1)->n_bytes, 0);
    nib_safetensors_close(file);
    free(bytes);
}

static void test_types_that_are_not_run_are_known(void **state)
{
    (void)state;
    uint8_t *bytes;
    struct nib_safetensors *file =
        open_file("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[0,3]},"
                  "\"b\":{\"dtype\":\"F4\",\"shape\":[2,3],\"data_offsets\":[3,6]}}",
                  6, &bytes);
    assert_string_equal(nib_safetensors_tensor(file, 0)->dtype, "F8_E4M3");
    assert_int_equal(nib_safetensors_tensor(file, 1)->n_bytes, 3);
    nib_safetensors_close(file);
    free(bytes);
}

static void test_no_tensors_is_a_file_too(void **state)
{
    (void)state;
    uint8_t *bytes;
    struct nib_safetensors *file = open_file("{}", 0, &bytes);
    assert_int_equal(nib_safetensors_count(file), 0);
    nib_safetensors_close(file);
    free(bytes);
}

/* ---- S1, S2: header -------------------------------------------------------------------------- */

static void test_open_rejects_short_files(void **state)
{
    (void)state;
    const uint8_t zeros[8] = {0};
    for (size_t n = 0; n < 8; n++)
        expect_bytes_error(zeros, n, "less than a safetensors header length");
    expect_bytes_error(zeros, 8, "does not begin with '{'");
}

static void test_open_rejects_header_lengths(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 7, 100000001};
    uint8_t bytes[16] = {0};
    for (size_t i = 0; i < NIB_COUNT(lengths); i++) {
        memcpy(bytes, &lengths[i], 8);
        expect_bytes_error(bytes, sizeof(bytes), "at most 100000000 are allowed");
    }
    const uint64_t one_more = 9;
    memcpy(bytes, &one_more, 8);
    expect_bytes_error(bytes, sizeof(bytes), "its header needs 9 bytes, but only 8 follow");
    expect_error("{", 8, "does not begin with '{'");
}

static void test_open_rejects_what_is_around_the_header(void **state)
{
    (void)state;
    expect_error(" {" A "}", 8, "does not begin with '{'");
    expect_error("[]", 0, "does not begin with '{'");
    expect_error("{" A "}\n", 8, "ends in byte 0x0a");
    const char padded[] = "{" A "}\0\0";
    size_t n_bytes;
    uint8_t *bytes = make_file(padded, sizeof(padded) - 1, 8, &n_bytes);
    expect_bytes_error(bytes, n_bytes, "ends in byte 0x00");
    free(bytes);
    expect_error("{" A "} {}", 8, "is no sound JSON");
    expect_error("{" A ",}", 8, "is no sound JSON");
    expect_error("{\"a\":\xff}", 0, "is no sound JSON");
}

static void test_open_rejects_git_lfs_pointers(void **state)
{
    (void)state;
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:00\n";
    expect_bytes_error(pointer, sizeof(pointer) - 1, "git lfs pull");
}

/* ---- S3, S8, S9: keys ------------------------------------------------------------------------ */

static void test_open_rejects_keys_that_are_there_twice(void **state)
{
    (void)state;
    expect_error("{" A "," A "}", 8, "the key \"a\" is there twice");
    expect_error("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"shape\":[2],\"data_offsets\":[0,8]}}",
                 8, "tensor a: the key \"shape\" is there twice");
    expect_error("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "is there twice");
}

static void test_open_rejects_metadata(void **state)
{
    (void)state;
    expect_error("{\"__metadata__\":{\"a\":1}}", 0, "__metadata__");
    expect_error("{\"__metadata__\":{\"a\":null}}", 0, "__metadata__");
    expect_error("{\"__metadata__\":{\"a\":{}}}", 0, "__metadata__");
    expect_error("{\"__metadata__\":[]}", 0, "__metadata__");
    expect_error("{\"__metadata__\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
                 "__metadata__");
}

static void test_open_rejects_names(void **state)
{
    (void)state;
    expect_error("{\"\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "no name");
    expect_error("{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
                 "holds a zero byte");
    expect_error("{\"a\\ud800\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
                 "is no sound JSON");
}

static void test_open_rejects_deep_and_huge_headers(void **state)
{
    (void)state;
    enum { N = 1000000 };
    char *header = malloc(2 * N + 8);
    memset(header, '[', N);
    memset(header + N, ']', N);
    memcpy(header, "{\"a\":", 5);
    header[2 * N - 1] = '}';
    header[2 * N] = '\0';
    expect_error(header, 0, "deep, at most 8 are allowed");

    /* As many values as cannot be of tensors. */
    const size_t n_huge = 40000000;
    header = realloc(header, 2 * n_huge + 8);
    assert_non_null(header);
    size_t n = (size_t)sprintf(header, "{\"a\":[");
    for (size_t i = 0; i < n_huge; i++) {
        header[n++] = '1';
        header[n++] = ',';
    }
    strcpy(header + n - 1, "]}");
    expect_error(header, 0, "at most 32000000 are allowed");
    free(header);
}

/* ---- S4: places ------------------------------------------------------------------------------ */

static void test_open_rejects_places(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b, *part;
    } cases[] = {
        {"[0,8]", "[4,12]", "its data begins at byte 4, expected 8"},   /* overlap */
        {"[0,8]", "[0,8]", "its data begins at byte 0, expected 8"},    /* the same */
        {"[0,8]", "[12,20]", "its data begins at byte 12, expected 8"}, /* hole */
        {"[4,12]", "[12,20]", "its data begins at byte 4, expected 0"},
        {"[8,0]", "[8,16]", "its data_offsets are 8 and 0"},
        {"[0,8]", "[8,9999]", "its data_offsets are 8 and 9999"},
        {"[0,8]", "[8,18446744073709551615]", "its data_offsets are 8 and 18446744073709551615"},
        {"[0,8]", "[8,18446744073709551616]", "are no two integers"},
        {"[0,8]", "[-8,0]", "are no two integers"},
        {"[0,8]", "[8]", "are no two integers"},
        {"[0,8]", "[8,16,24]", "are no two integers"},
        {"[0,8]", "\"8\"", "are no two integers"},
        {"[0,8]", "null", "are no two integers"},
        {"[0,8]", "[8,15]", "span 7 bytes, but its shape and type make 8"},
    };
    for (size_t i = 0; i < NIB_COUNT(cases); i++) {
        char header[512];
        snprintf(header, sizeof(header),
                 "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":%s},"
                 "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":%s}}",
                 cases[i].a, cases[i].b);
        expect_error(header, 20, cases[i].part);
    }
    expect_error("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "are no two integers");
}

/* ---- S5, S6: shape and type ------------------------------------------------------------------ */

static void test_open_rejects_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *shape, *part;
    } cases[] = {
        {"[4294967296,4294967296]", "more than 2^64 bits"},
        {"[9223372036854775808,2,0]", "more than 2^64 bits"},
        {"[-1]", "dimension 0 is no integer"},
        {"[2,-1]", "dimension 1 is no integer"},
        {"[1e300]", "dimension 0 is no integer"},
        {"[1.5]", "dimension 0 is no integer"},
        {"[2.0]", "dimension 0 is no integer"},
        {"[\"4\"]", "dimension 0 is no integer"},
        {"[null]", "dimension 0 is no integer"},
        {"[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2]", "20 dimensions, at most 8"},
        {"2", "its shape is no array"},
        {"null", "its shape is no array"},
        {"[3]", "span 8 bytes, but its shape and type make 12"},
        {"[0]", "span 8 bytes, but its shape and type make 0"},
    };
    for (size_t i = 0; i < NIB_COUNT(cases); i++) {
        char header[512];
        snprintf(header, sizeof(header),
                 "{\"a\":{\"dtype\":\"F32\",\"shape\":%s,\"data_offsets\":[0,8]}}", cases[i].shape);
        expect_error(header, 8, cases[i].part);
    }
}

static void test_open_rejects_types(void **state)
{
    (void)state;
    static const struct {
        const char *dtype, *part;
    } cases[] = {
        {"\"f32\"", "its dtype \"f32\" is none of the format"},
        {"\"F5\"", "its dtype \"F5\" is none of the format"},
        {"\"F32\\u0000\"", "is none of the format"},
        {"\"\"", "is none of the format"},
        {"32", "it has no dtype"},
        {"null", "it has no dtype"},
    };
    for (size_t i = 0; i < NIB_COUNT(cases); i++) {
        char header[512];
        snprintf(header, sizeof(header),
                 "{\"a\":{\"dtype\":%s,\"shape\":[2],\"data_offsets\":[0,8]}}", cases[i].dtype);
        expect_error(header, 8, cases[i].part);
    }
    expect_error("{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "it has no dtype");
    expect_error("{\"a\":[]}", 8, "its entry in the header is no object");
    expect_error("{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1,
                 "no whole number of bytes");
}

/* ---- S14: the end ---------------------------------------------------------------------------- */

static void test_open_rejects_bytes_behind_the_last_tensor(void **state)
{
    (void)state;
    expect_error("{" A "}", 9, "its tensors end at byte");
    expect_error("{}", 1, "its tensors end at byte 10, but the file has 11");
    expect_error("{" A "}", 7, "its data_offsets are 0 and 8");
}

/* A sound file with every byte changed in turn, and cut at every length, is read or refused. */
static void test_open_survives_any_damage(void **state)
{
    (void)state;
    size_t n_bytes;
    static const char header[] = "{\"__metadata__\":{\"f\":\"pt\"}," A "," B "}  ";
    uint8_t *bytes = make_file(header, sizeof(header) - 1, 12, &n_bytes);
    struct nib_safetensors *file;
    for (size_t i = 0; i < n_bytes; i++)
        for (unsigned x = 1; x < 256; x++) {
            bytes[i] ^= (uint8_t)x;
            nib_safetensors_open_memory(&file, bytes, n_bytes, "x", &err);
            nib_safetensors_close(file);
            bytes[i] ^= (uint8_t)x;
        }
    for (size_t n = 0; n < n_bytes; n++) {
        uint8_t *cut = malloc(n + 1);
        memcpy(cut, bytes, n);
        assert_int_not_equal(nib_safetensors_open_memory(&file, cut, n, "x", &err), NIB_OK);
        free(cut);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensors_come_in_the_order_of_their_data),
        cmocka_unit_test(test_scalars_and_empty_tensors_are_read),
        cmocka_unit_test(test_types_that_are_not_run_are_known),
        cmocka_unit_test(test_no_tensors_is_a_file_too),
        cmocka_unit_test(test_open_rejects_short_files),
        cmocka_unit_test(test_open_rejects_header_lengths),
        cmocka_unit_test(test_open_rejects_what_is_around_the_header),
        cmocka_unit_test(test_open_rejects_git_lfs_pointers),
        cmocka_unit_test(test_open_rejects_keys_that_are_there_twice),
        cmocka_unit_test(test_open_rejects_metadata),
        cmocka_unit_test(test_open_rejects_names),
        cmocka_unit_test(test_open_rejects_deep_and_huge_headers),
        cmocka_unit_test(test_open_rejects_places),
        cmocka_unit_test(test_open_rejects_shapes),
        cmocka_unit_test(test_open_rejects_types),
        cmocka_unit_test(test_open_rejects_bytes_behind_the_last_tensor),
        cmocka_unit_test(test_open_survives_any_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
