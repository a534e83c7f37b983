/*
 * Folders as Hugging Face publishes them, for tests: config.json and F32 weights whose values
 * count up through the file, so that each says where it lies.
 */
#ifndef NIB_HF_BUILDER_H
#define NIB_HF_BUILDER_H

#include "hf_folder.h"
#include "scratch_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct hf_tensor {
    const char *name;  /* ends a list: NULL */
    uint64_t dims[4];  /* rows first, unused ones 0 */
    const char *dtype; /* NULL: F32; others have zeros */
};

static inline size_t hf_dtype_bytes(const char *dtype)
{
    return !dtype || strcmp(dtype, "F32") == 0 ? 4 : strcmp(dtype, "F8_E4M3") == 0 ? 1 : 2;
}

static inline void hf_write_weights(const struct scratch_dir *dir, const char *name,
                                    const struct hf_tensor *tensors)
{
    char path[512], header[65536];
    size_t n = 1, at = 0, n_values = 0;
    scratch_write(dir, name, "");
    FILE *file = fopen(scratch_path(dir, name, path), "wb");
    assert_non_null(file);
    header[0] = '{';
    for (const struct hf_tensor *t = tensors; t->name; t++) {
        size_t n_bytes = hf_dtype_bytes(t->dtype);
        n += (size_t)snprintf(header + n, sizeof(header) - n,
                              "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", t == tensors ? "" : ",",
                              t->name, t->dtype ? t->dtype : "F32");
        for (int i = 0; i < 4 && t->dims[i]; i++) {
            n += (size_t)snprintf(header + n, sizeof(header) - n, "%s%llu", i ? "," : "",
                                  (unsigned long long)t->dims[i]);
            n_bytes *= t->dims[i];
        }
        n += (size_t)snprintf(header + n, sizeof(header) - n, "],\"data_offsets\":[%zu,%zu]}", at,
                              at + n_bytes);
        at += n_bytes;
    }
    assert_true(n + 2 < sizeof(header));
    header[n++] = '}';
    const uint64_t length = n;
    fwrite(&length, 1, sizeof(length), file);
    fwrite(header, 1, n, file);
    for (const struct hf_tensor *t = tensors; t->name; t++) {
        size_t n_bytes = hf_dtype_bytes(t->dtype);
        for (int i = 0; i < 4 && t->dims[i]; i++)
            n_bytes *= t->dims[i];
        for (size_t i = 0; i < n_bytes; i += 4) {
            const float value = t->dtype ? 0.0f : (float)n_values++;
            fwrite(&value, 1, n_bytes - i < 4 ? n_bytes - i : 4, file);
        }
    }
    assert_int_equal(fclose(file), 0);
}

/* The first value of a tensor of the list. */
static inline float hf_first_value(const struct hf_tensor *tensors, const char *name)
{
    size_t first = 0;
    for (const struct hf_tensor *t = tensors; t->name; t++) {
        if (strcmp(t->name, name) == 0)
            return (float)first;
        size_t n = 1;
        for (int i = 0; i < 4 && t->dims[i]; i++)
            n *= t->dims[i];
        first += n;
    }
    fail_msg("no tensor %s", name);
    return 0;
}

static inline float hf_value(const struct nib_gguf_tensor *t, uint64_t row, size_t column)
{
    float value;
    nib_tensor_floats(t, row, column, column + 1, &value);
    return value;
}

static inline const struct nib_gguf_tensor *hf_get(const struct nib_gguf *gguf, const char *name)
{
    const struct nib_gguf_tensor *t = nib_gguf_find(gguf, name);
    if (!t)
        fail_msg("no tensor %s", name);
    return t;
}

static inline void hf_expect_int(const struct nib_gguf *gguf, const char *key, int64_t expected)
{
    int64_t value;
    if (!nib_gguf_int(gguf, key, &value))
        fail_msg("no integer %s", key);
    if (value != expected)
        fail_msg("%s is %lld, expected %lld", key, (long long)value, (long long)expected);
}

static inline void hf_expect_float(const struct nib_gguf *gguf, const char *key, double expected)
{
    double value;
    if (!nib_gguf_float(gguf, key, &value))
        fail_msg("no number %s", key);
    if (value < expected - 1e-6 * (expected < 0 ? -expected : expected) ||
        value > expected + 1e-6 * (expected < 0 ? -expected : expected))
        fail_msg("%s is %.9g, expected %.9g", key, value, expected);
}

static inline void hf_expect_string(const struct nib_gguf *gguf, const char *key,
                                    const char *expected)
{
    struct nib_str value;
    if (!nib_gguf_string(gguf, key, &value))
        fail_msg("no string %s", key);
    if (!nib_str_equal(value, nib_str_from(expected)))
        fail_msg("%s is %.*s, expected %s", key, (int)value.len, value.data, expected);
}

static inline void hf_expect_bool(const struct nib_gguf *gguf, const char *key, bool expected)
{
    bool value;
    if (!nib_gguf_bool(gguf, key, &value))
        fail_msg("no bool %s", key);
    assert_int_equal(value, expected);
}

#endif
