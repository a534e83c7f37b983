/* Reading reference data: JSON files and .safetensors tables under tests/data. */
#ifndef NIB_GOLDEN_DATA_H
#define NIB_GOLDEN_DATA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <yyjson.h>

struct golden_table {
    uint8_t *bytes;
    const uint8_t *data; /* behind the header */
    yyjson_doc *header;
};

struct golden_tensor {
    const void *data; /* float or int64_t, as the table says; aligned for both */
    size_t n;
};

static inline uint8_t *golden_read(const char *name, size_t *n_bytes)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", NIB_TEST_DATA, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("cannot open %s", path);
    fseek(file, 0, SEEK_END);
    *n_bytes = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*n_bytes + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *n_bytes, file), *n_bytes);
    bytes[*n_bytes] = 0;
    fclose(file);
    return bytes;
}

static inline yyjson_doc *golden_json(const char *name)
{
    size_t n_bytes;
    uint8_t *bytes = golden_read(name, &n_bytes);
    yyjson_doc *doc = yyjson_read((const char *)bytes, n_bytes, 0);
    free(bytes);
    assert_non_null(doc);
    return doc;
}

static inline struct golden_table golden_table_open(const char *name)
{
    size_t n_bytes;
    uint8_t *bytes = golden_read(name, &n_bytes);
    uint64_t n_header;
    memcpy(&n_header, bytes, sizeof(n_header));
    yyjson_doc *header = yyjson_read((const char *)bytes + 8, n_header, 0);
    assert_non_null(header);
    return (struct golden_table){bytes, bytes + 8 + n_header, header};
}

static inline void golden_table_close(struct golden_table *table)
{
    yyjson_doc_free(table->header);
    free(table->bytes);
}

static inline struct golden_tensor golden_tensor(const struct golden_table *table, const char *name)
{
    yyjson_val *entry = yyjson_obj_get(yyjson_doc_get_root(table->header), name);
    if (!entry)
        fail_msg("no tensor %s", name);
    yyjson_val *offsets = yyjson_obj_get(entry, "data_offsets");
    const uint64_t begin = yyjson_get_uint(yyjson_arr_get(offsets, 0));
    const uint64_t end = yyjson_get_uint(yyjson_arr_get(offsets, 1));
    const char *dtype = yyjson_get_str(yyjson_obj_get(entry, "dtype"));
    return (struct golden_tensor){table->data + begin,
                                  (end - begin) / (strcmp(dtype, "F32") == 0 ? 4 : 8)};
}

#endif
