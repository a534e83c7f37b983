/* The GGUF reader on unsound files: each is refused by name, none is fatal. */
#include "gguf_samples.h"

static const uint64_t dims_64[] = {64};

static void expect_message(const struct nib_error *err, const char *piece)
{
    if (strncmp(err->message, "model.gguf: ", 12) != 0 || !strstr(err->message, piece))
        fail_msg("expected \"%s\" in \"%s\"", piece, err->message);
}

/* Refused, with a sentence that names the file and holds both pieces.  Takes the builder. */
static void expect_bad(struct gguf_builder *b, const char *piece1, const char *piece2)
{
    struct nib_gguf *gguf = (void *)b;
    struct nib_error err;
    uint8_t *image;
    assert_int_equal(open_built(&gguf, b, &image, &err), NIB_ERROR_FILE);
    assert_null(gguf);
    assert_int_equal(err.status, NIB_ERROR_FILE);
    expect_message(&err, piece1);
    expect_message(&err, piece2);
    free(image);
}

/* ---- what is no GGUF file ------------------------------------------------------------------ */

static void expect_bad_bytes(const void *bytes, size_t n, const char *piece)
{
    struct nib_gguf *gguf;
    struct nib_error err;
    uint8_t *exact = malloc(n);
    memcpy(exact, bytes, n);
    assert_int_equal(nib_gguf_open_memory(&gguf, exact, n, "model.gguf", &err), NIB_ERROR_FILE);
    expect_message(&err, piece);
    free(exact);
}

static void test_other_formats_are_named(void **state)
{
    (void)state;
    static const char lfs[] = "version https://git-lfs.github.com/spec/v1\n";
    expect_bad_bytes(lfs, sizeof(lfs), "git lfs pull");
    expect_bad_bytes("<!DOCTYPE html>", 15, "web page");
    expect_bad_bytes("PK\3\4", 4, "zip");
    expect_bad_bytes("tjgg\1\0\0\0", 8, "GGJT");
    expect_bad_bytes("\x40\0\0\0\0\0\0\0{\"a\"", 12, "safetensors");
    expect_bad_bytes("\x7f\x45LF", 4, "\\x7fELF");
    expect_bad_bytes("G", 1, "not a GGUF file");
}

/* ---- header, counts, strings, arrays ------------------------------------------------------- */

static void test_short_headers_are_refused(void **state)
{
    (void)state;
    for (size_t n = 4; n < 24; n++)
        expect_bad_bytes("GGUF\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", n, "truncated");
}

static void test_versions_have_their_own_sentences(void **state)
{
    (void)state;
    static const struct {
        uint32_t version;
        const char *piece;
    } bad[] = {{0, "version 0 does not exist"}, {1, "version 1 is no longer read"},
               {4, "version 4 is not known"},   {UINT32_MAX, "version 4294967295 is not known"},
               {0x02000000, "big-endian"},      {0x03000000, "big-endian"}};
    for (size_t i = 0; i < NIB_COUNT(bad); i++) {
        struct gguf_builder b;
        build_sound(&b);
        b.version = bad[i].version;
        expect_bad(&b, bad[i].piece, "version");
    }
}

static void test_counts_beyond_the_file_are_refused(void **state)
{
    (void)state;
    static const uint64_t counts[] = {1ull << 60, SIZE_MAX / sizeof(struct nib_gguf_tensor) - 1,
                                      SIZE_MAX / 33, UINT64_MAX, 1000};
    for (size_t i = 0; i < NIB_COUNT(counts); i++) {
        char number[32];
        snprintf(number, sizeof(number), "%llu", (unsigned long long)counts[i]);
        struct gguf_builder b;
        build_sound(&b);
        b.n_pairs = counts[i];
        expect_bad(&b, number, "metadata keys");
        build_sound(&b);
        b.n_tensors = counts[i];
        expect_bad(&b, number, "tensors");
    }
}

static void test_lengths_beyond_the_file_are_refused(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {UINT64_MAX, UINT64_MAX - 8, 1ull << 63, 1ull << 30, 100};
    for (size_t i = 0; i < NIB_COUNT(lengths); i++) {
        char number[32];
        snprintf(number, sizeof(number), "%llu", (unsigned long long)lengths[i]);
        struct gguf_builder b;
        gguf_builder_init(&b);
        gguf_add_key(&b, "a.text", NIB_GGUF_STRING);
        gguf_put_u64(&b.pairs, lengths[i]);
        expect_bad(&b, "the value of key a.text", number);

        gguf_builder_init(&b);
        gguf_put_u64(&b.pairs, lengths[i]);
        gguf_put(&b.pairs, "abcdefgh", 8);
        b.n_pairs = 1;
        expect_bad(&b, "the name of key 0", number);

        gguf_builder_init(&b);
        gguf_put_u64(&b.infos, lengths[i]);
        gguf_put(&b.infos, (uint8_t[32]){'a'}, 32);
        b.n_tensors = 1;
        expect_bad(&b, "the name of tensor 0", number);
    }
}

static void test_array_counts_beyond_the_file_are_refused(void **state)
{
    (void)state;
    static const uint32_t elements[] = {NIB_GGUF_U8, NIB_GGUF_F64, NIB_GGUF_STRING, NIB_GGUF_ARRAY,
                                        NIB_GGUF_BOOL};
    static const uint64_t counts[] = {1ull << 62, UINT64_MAX, UINT64_MAX / 8 + 2, 1000};
    for (size_t i = 0; i < NIB_COUNT(elements); i++)
        for (size_t k = 0; k < NIB_COUNT(counts); k++) {
            struct gguf_builder b;
            gguf_builder_init(&b);
            gguf_add_array(&b, "a.list", elements[i], counts[k], "0123456789", 10);
            expect_bad(&b, "the value of key a.list", "truncated");
        }
    struct gguf_builder b; /* the second string is cut */
    gguf_builder_init(&b);
    gguf_add_array(&b, "a.list", NIB_GGUF_STRING, 2, "\3\0\0\0\0\0\0\0abc\3\0\0\0\0\0\0\0a", 20);
    expect_bad(&b, "the value of key a.list", "needs 3 bytes");
}

/* ---- nesting, types, keys, alignment ------------------------------------------------------- */

static void build_nested(struct gguf_builder *b, int depth)
{
    gguf_builder_init(b);
    gguf_add_key(b, "a.deep", NIB_GGUF_ARRAY);
    for (int i = 1; i < depth; i++) {
        gguf_put_u32(&b->pairs, NIB_GGUF_ARRAY);
        gguf_put_u64(&b->pairs, 1);
    }
    gguf_put_u32(&b->pairs, NIB_GGUF_U8);
    gguf_put_u64(&b->pairs, 1);
    gguf_put(&b->pairs, "x", 1);
}

static void test_nesting_is_bounded(void **state)
{
    (void)state;
    struct gguf_builder b;
    for (int depth = 1; depth <= 4; depth++) {
        build_nested(&b, depth);
        expect_good(&b);
    }
    build_nested(&b, 5);
    expect_bad(&b, "key a.deep", "nested deeper");
    build_nested(&b, 5000);
    expect_bad(&b, "key a.deep", "nested deeper");
}

static void test_unknown_value_types_and_bools_are_refused(void **state)
{
    (void)state;
    static const uint32_t types[] = {13, 255, 0x7fffffff, UINT32_MAX};
    for (size_t i = 0; i < NIB_COUNT(types); i++) {
        char number[32];
        snprintf(number, sizeof(number), "%u", types[i]);
        struct gguf_builder b;
        gguf_builder_init(&b);
        gguf_add_value(&b, "a.odd", types[i], "12345678", 8);
        expect_bad(&b, "key a.odd", number);
        gguf_builder_init(&b);
        gguf_add_array(&b, "a.odd", types[i], 1, "12345678", 8);
        expect_bad(&b, "key a.odd", number);
        gguf_builder_init(&b);
        gguf_add_array(&b, "a.odd", types[i], 0, "12345678", 8);
        expect_bad(&b, "key a.odd", number);
    }
    struct gguf_builder b;
    gguf_builder_init(&b);
    gguf_add_value(&b, "a.bool", NIB_GGUF_BOOL, "\2", 1);
    expect_bad(&b, "key a.bool", "bool");
    gguf_builder_init(&b);
    gguf_add_array(&b, "a.bools", NIB_GGUF_BOOL, 3, "\1\0\377", 3);
    expect_bad(&b, "key a.bools", "255");
}

static void expect_bad_key(const char *key, size_t n, const char *piece)
{
    struct gguf_builder b;
    gguf_builder_init(&b);
    gguf_add_u32(&b, "good", 1);
    gguf_put_string(&b.pairs, key, n);
    gguf_put_u32(&b.pairs, NIB_GGUF_U64);
    gguf_put_u64(&b.pairs, 1);
    b.n_pairs++;
    expect_bad(&b, "key 1", piece);
}

static void test_unprintable_keys_are_refused(void **state)
{
    (void)state;
    char *key = malloc(65536);
    memset(key, 'k', 65536);
    expect_bad_key("", 0, "empty");
    expect_bad_key("a\0b", 3, "0x00");
    expect_bad_key("a\x1b[2J", 5, "\\x1b[2J");
    expect_bad_key("a b", 3, "0x20");
    expect_bad_key("\xff\xfe", 2, "\\xff");
    expect_bad_key("caf\xc3\xa9", 5, "0xc3");
    expect_bad_key("a\x7f", 2, "0x7f");
    expect_bad_key(key, 65536, "65535");
    struct gguf_builder b;
    gguf_builder_init(&b);
    gguf_put_string(&b.pairs, key, 65535);
    gguf_put_u32(&b.pairs, NIB_GGUF_U32);
    gguf_put_u32(&b.pairs, 1);
    b.n_pairs = 1;
    expect_good(&b);
    free(key);
}

static void test_duplicate_keys_are_refused(void **state)
{
    (void)state;
    struct gguf_builder b;
    build_sound(&b);
    gguf_add_u32(&b, "general.architecture", 3);
    expect_bad(&b, "key \"general.architecture\" is there twice", "numbers");
}

static void test_alignment_is_a_power_of_two_u32(void **state)
{
    (void)state;
    static const uint32_t bad[] = {0, 1, 3, 4, 48, 65537, 131072, 1u << 31, UINT32_MAX};
    struct gguf_builder b;
    for (size_t i = 0; i < NIB_COUNT(bad); i++) {
        char number[32];
        snprintf(number, sizeof(number), "is %u;", bad[i]);
        gguf_builder_init(&b);
        gguf_add_u32(&b, "general.alignment", bad[i]);
        expect_bad(&b, "general.alignment", number);
    }
    gguf_builder_init(&b);
    gguf_add_value(&b, "general.alignment", NIB_GGUF_I32, &(int32_t){32}, 4);
    expect_bad(&b, "general.alignment", "value type 5");
    gguf_builder_init(&b);
    gguf_add_string(&b, "general.alignment", "32");
    expect_bad(&b, "general.alignment", "value type 8");
    gguf_builder_init(&b);
    gguf_add_array(&b, "general.alignment", NIB_GGUF_U32, 0, NULL, 0);
    expect_bad(&b, "general.alignment", "value type 9");
}

/* ---- tensors ------------------------------------------------------------------------------- */

/* One tensor "t.weight" after a sound one, with a kilobyte of data. */
static void expect_bad_tensor(uint32_t type, uint32_t n_dims, const uint64_t dims[4],
                              uint64_t offset, const char *piece)
{
    struct gguf_builder b;
    gguf_builder_init(&b);
    gguf_add_tensor(&b, "good", NIB_TYPE_F32, 1, dims_64, NULL, 1024);
    gguf_add_info(&b, "t.weight", type, n_dims > 4 ? 4 : n_dims, dims, offset);
    if (n_dims > 4) /* only the count lies */
        memcpy(b.infos.data + b.infos.n - 4 * 8 - 16, &n_dims, sizeof(n_dims));
    expect_bad(&b, "tensor t.weight: ", piece);
}

static void test_dimensions_are_1_to_4_and_not_zero(void **state)
{
    (void)state;
    const uint64_t dims[4] = {32, 1, 1, 1};
    expect_bad_tensor(NIB_TYPE_F32, 0, dims, 0, "has 0 dimensions");
    expect_bad_tensor(NIB_TYPE_F32, 5, dims, 0, "has 5 dimensions");
    expect_bad_tensor(NIB_TYPE_F32, UINT32_MAX, dims, 0, "has 4294967295 dimensions");
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t zero[4] = {32, 32, 32, 32};
        char piece[32];
        zero[i] = 0;
        snprintf(piece, sizeof(piece), "dimension %u is 0", i);
        expect_bad_tensor(NIB_TYPE_Q4_0, 4, zero, 0, piece);
    }
}

static void test_sizes_do_not_wrap(void **state)
{
    (void)state;
    expect_bad_tensor(NIB_TYPE_I8, 1, (uint64_t[4]){UINT64_MAX}, 256, "2^63");
    expect_bad_tensor(NIB_TYPE_I8, 1, (uint64_t[4]){1ull << 63}, 256, "2^63");
    expect_bad_tensor(NIB_TYPE_I8, 2, (uint64_t[4]){1ull << 32, 1ull << 32}, 256, "2^63");
    expect_bad_tensor(NIB_TYPE_I8, 4, (uint64_t[4]){1u << 16, 1u << 16, 1u << 16, 1u << 16}, 256,
                      "2^63");
    expect_bad_tensor(NIB_TYPE_F64, 1, (uint64_t[4]){1ull << 61}, 256, "2^64 bytes");
    expect_bad_tensor(NIB_TYPE_F32, 1, (uint64_t[4]){1ull << 62}, 256, "2^64 bytes");
    expect_bad_tensor(NIB_TYPE_Q4_0, 2, (uint64_t[4]){32, 1ull << 57}, 256, "truncated");
    expect_bad_tensor(NIB_TYPE_F32, 1, (uint64_t[4]){(1ull << 62) - 1}, 256, "pass 2^64");
    expect_bad_tensor(NIB_TYPE_I8, 1, (uint64_t[4]){INT64_MAX}, 256, "truncated");
}

static void test_rows_are_whole_blocks(void **state)
{
    (void)state;
    expect_bad_tensor(NIB_TYPE_Q4_0, 2, (uint64_t[4]){33, 32}, 256, "rows of 33 values");
    expect_bad_tensor(NIB_TYPE_Q4_0, 2, (uint64_t[4]){16, 2}, 256, "rows of 16 values");
    expect_bad_tensor(NIB_TYPE_Q4_K, 2, (uint64_t[4]){128, 2}, 256, "blocks have 256");
}

static void test_withdrawn_and_unknown_types_are_named(void **state)
{
    (void)state;
    static const uint32_t types[] = {4, 5, 31, 32, 33, 36, 37, 38, 42, 255, 0x7fffffff, UINT32_MAX};
    for (size_t i = 0; i < NIB_COUNT(types); i++) {
        char piece[64];
        snprintf(piece, sizeof(piece), "type %u %s", types[i],
                 types[i] < 40 ? "was withdrawn" : "is not known");
        expect_bad_tensor(types[i], 1, (uint64_t[4]){32}, 256, piece);
    }
}

static void test_data_lies_inside_the_file(void **state)
{
    (void)state;
    const uint64_t dims[4] = {64};
    expect_bad_tensor(NIB_TYPE_F32, 1, dims, 1024, "it is truncated; download it again");
    expect_bad_tensor(NIB_TYPE_F32, 1, dims, 800, "ends at byte");
    expect_bad_tensor(NIB_TYPE_F32, 1, dims, 1ull << 40, "ends at byte");
    expect_bad_tensor(NIB_TYPE_F32, 1, dims, 260, "offset 260 is no multiple");
    expect_bad_tensor(NIB_TYPE_F32, 1, dims, UINT64_MAX - 31, "pass 2^64");
    expect_bad_tensor(NIB_TYPE_F32, 1, dims, UINT64_MAX - 255, "pass 2^64");
    expect_bad_tensor(NIB_TYPE_F32, 1, dims, UINT64_MAX, "is no multiple");
}

static void test_tensors_that_share_bytes_are_refused(void **state)
{
    (void)state;
    static const uint64_t offsets[] = {0, 32, 224};
    for (size_t i = 0; i < NIB_COUNT(offsets); i++) {
        struct gguf_builder b;
        gguf_builder_init(&b);
        gguf_add_tensor(&b, "first", NIB_TYPE_F32, 1, dims_64, NULL, 1024);
        gguf_add_info(&b, "second", NIB_TYPE_F32, 1, dims_64, offsets[i]);
        expect_bad(&b, "first", "share bytes");
    }
}

static void test_truncated_data_is_refused(void **state)
{
    (void)state;
    static const size_t cuts[] = {1, 4, 128, 255};
    for (size_t i = 0; i < NIB_COUNT(cuts); i++) {
        struct gguf_builder b;
        gguf_builder_init(&b);
        gguf_add_tensor(&b, "last", NIB_TYPE_F32, 1, dims_64, NULL, 256);
        b.data.n -= cuts[i];
        char piece[64];
        snprintf(piece, sizeof(piece), "ends at byte 320, but the file has %zu: it is truncated",
                 320 - cuts[i]);
        expect_bad(&b, piece, "tensor last");
    }
}

static void expect_bad_tensor_name(const char *name, size_t n, const char *piece)
{
    struct gguf_builder b;
    gguf_builder_init(&b);
    gguf_put_string(&b.infos, name, n);
    gguf_put_u32(&b.infos, 1);
    gguf_put_u64(&b.infos, 1);
    gguf_put_u32(&b.infos, NIB_TYPE_F32);
    gguf_put_u64(&b.infos, 0);
    gguf_put(&b.infos, "12345678", 8);
    b.n_tensors = 1;
    expect_bad(&b, "tensor 0", piece);
}

static void test_tensor_names_are_printable_and_unique(void **state)
{
    (void)state;
    char name[66];
    memset(name, 'n', sizeof(name));
    expect_bad_tensor_name("", 0, "empty");
    expect_bad_tensor_name("a\0b", 3, "0x00");
    expect_bad_tensor_name("a\x1b[31m", 6, "\\x1b");
    expect_bad_tensor_name(name, 65, "65 bytes");

    struct gguf_builder b;
    gguf_builder_init(&b);
    name[64] = '\0';
    gguf_add_tensor(&b, name, NIB_TYPE_F32, 1, dims_64, NULL, 256);
    expect_good(&b);

    build_sound(&b);
    gguf_add_tensor(&b, "q.weight", NIB_TYPE_F32, 1, dims_64, NULL, 256);
    expect_bad(&b, "tensor \"q.weight\" is there twice", "numbers 1 and 3");
}

/* ---- every byte, every length -------------------------------------------------------------- */

/* Read all that a file gives; the sum keeps the reads from being dropped. */
static unsigned read_everything(const struct nib_gguf *g)
{
    unsigned sum = 0;
    for (size_t i = 0; i < nib_gguf_key_count(g); i++) {
        const char *key = nib_gguf_key(g, i);
        char text[80];
        nib_gguf_value_text(g, i, text, sizeof(text));
        sum += (unsigned)strlen(text) + nib_gguf_has(g, key);
        size_t n;
        if (nib_gguf_strings(g, key, &n)) {
            struct nib_str *strings = malloc((n + 1) * sizeof(*strings));
            nib_gguf_copy_strings(g, key, strings);
            for (size_t k = 0; k < n; k++)
                sum += strings[k].len ? (unsigned char)strings[k].data[strings[k].len - 1] : 0;
            free(strings);
        }
        if (nib_gguf_ints(g, key, &n)) {
            int64_t *ints = malloc((n + 1) * sizeof(*ints));
            nib_gguf_copy_ints(g, key, ints);
            free(ints);
        }
        if (nib_gguf_floats(g, key, &n)) {
            float *floats = malloc((n + 1) * sizeof(*floats));
            nib_gguf_copy_floats(g, key, floats);
            free(floats);
        }
    }
    for (size_t i = 0; i < nib_gguf_tensor_count(g); i++) {
        const struct nib_gguf_tensor *t = nib_gguf_tensor(g, i);
        assert_ptr_equal(nib_gguf_find(g, t->name), t);
        for (size_t k = 0; k < t->n_bytes; k++)
            sum += t->data[k];
    }
    return sum;
}

/* True if it opened. */
static bool try_image(const uint8_t *image, size_t n)
{
    struct nib_gguf *gguf;
    struct nib_error err = {0};
    uint8_t *exact = malloc(n); /* so that AddressSanitizer sees its end */
    memcpy(exact, image, n);
    const enum nib_status status = nib_gguf_open_memory(&gguf, exact, n, "model.gguf", &err);
    if (status == NIB_OK) {
        volatile unsigned sum = read_everything(gguf);
        (void)sum;
        nib_gguf_close(gguf);
    } else {
        assert_int_equal(status, NIB_ERROR_FILE);
        assert_null(gguf);
        expect_message(&err, ": ");
    }
    free(exact);
    return status == NIB_OK;
}

static void test_no_changed_byte_and_no_cut_is_fatal(void **state)
{
    (void)state;
    struct gguf_builder b;
    build_sound(&b);
    size_t n;
    uint8_t *image = gguf_builder_image(&b, &n);
    const size_t n_header = n - b.data.n;
    gguf_builder_free(&b);
    assert_true(try_image(image, n));

    for (size_t i = 0; i < n_header; i++) {
        const uint8_t old = image[i];
        const uint8_t changed[] = {0x00, 0xff, old ^ 0x80, old ^ 0x01};
        for (size_t k = 0; k < NIB_COUNT(changed); k++) {
            image[i] = changed[k];
            try_image(image, n);
        }
        image[i] = old;
    }
    for (size_t length = 1; length < n; length++)
        assert_false(try_image(image, length));
    free(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_formats_are_named),
        cmocka_unit_test(test_short_headers_are_refused),
        cmocka_unit_test(test_versions_have_their_own_sentences),
        cmocka_unit_test(test_counts_beyond_the_file_are_refused),
        cmocka_unit_test(test_lengths_beyond_the_file_are_refused),
        cmocka_unit_test(test_array_counts_beyond_the_file_are_refused),
        cmocka_unit_test(test_nesting_is_bounded),
        cmocka_unit_test(test_unknown_value_types_and_bools_are_refused),
        cmocka_unit_test(test_unprintable_keys_are_refused),
        cmocka_unit_test(test_duplicate_keys_are_refused),
        cmocka_unit_test(test_alignment_is_a_power_of_two_u32),
        cmocka_unit_test(test_dimensions_are_1_to_4_and_not_zero),
        cmocka_unit_test(test_sizes_do_not_wrap),
        cmocka_unit_test(test_rows_are_whole_blocks),
        cmocka_unit_test(test_withdrawn_and_unknown_types_are_named),
        cmocka_unit_test(test_data_lies_inside_the_file),
        cmocka_unit_test(test_tensors_that_share_bytes_are_refused),
        cmocka_unit_test(test_truncated_data_is_refused),
        cmocka_unit_test(test_tensor_names_are_printable_and_unique),
        cmocka_unit_test(test_no_changed_byte_and_no_cut_is_fatal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
