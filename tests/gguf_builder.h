/*
 * Makes GGUF files for tests, sound ones and others: whatever is added is written as it is.
 *
 *     struct gguf_builder b;
 *     gguf_builder_init(&b);
 *     gguf_add_string(&b, "general.architecture", "llama");
 *     gguf_add_u32(&b, "llama.block_count", 2);
 *     gguf_add_tensor(&b, "output_norm.weight", NIB_TYPE_F32, 1, (uint64_t[]){64}, data, 256);
 *     gguf_builder_write(&b, path);
 *     gguf_builder_free(&b);
 */
#ifndef GGUF_BUILDER_H
#define GGUF_BUILDER_H

#include "gguf.h"

#include <stdio.h>
#include <stdlib.h>

struct gguf_bytes {
    uint8_t *data;
    size_t n, cap;
};

struct gguf_builder {
    uint32_t version, alignment; /* the key general.alignment is up to the caller */
    uint64_t n_pairs, n_tensors; /* as written to the header; may be changed to lie */
    struct gguf_bytes pairs, infos, data;
};

static inline void gguf_put(struct gguf_bytes *b, const void *data, size_t n)
{
    if (b->cap - b->n < n) {
        b->cap = 2 * b->cap + n + 256;
        b->data = realloc(b->data, b->cap);
        if (!b->data)
            abort();
    }
    if (n > 0)
        memcpy(b->data + b->n, data, n);
    b->n += n;
}

static inline void gguf_put_u32(struct gguf_bytes *b, uint32_t value)
{
    gguf_put(b, &value, sizeof(value));
}

static inline void gguf_put_u64(struct gguf_bytes *b, uint64_t value)
{
    gguf_put(b, &value, sizeof(value));
}

static inline void gguf_put_string(struct gguf_bytes *b, const char *data, size_t n)
{
    gguf_put_u64(b, n);
    gguf_put(b, data, n);
}

static inline void gguf_pad(struct gguf_bytes *b, size_t alignment)
{
    while (b->n % alignment != 0)
        gguf_put(b, "", 1);
}

static inline void gguf_builder_init(struct gguf_builder *b)
{
    *b = (struct gguf_builder){.version = 3, .alignment = 32};
}

static inline void gguf_builder_free(struct gguf_builder *b)
{
    free(b->pairs.data);
    free(b->infos.data);
    free(b->data.data);
}

/* ---- metadata ------------------------------------------------------------------------------ */

/* Key and type; the value is to be put into b->pairs. */
static inline void gguf_add_key(struct gguf_builder *b, const char *key, uint32_t type)
{
    gguf_put_string(&b->pairs, key, strlen(key));
    gguf_put_u32(&b->pairs, type);
    b->n_pairs++;
}

static inline void gguf_add_value(struct gguf_builder *b, const char *key, uint32_t type,
                                  const void *value, size_t n_bytes)
{
    gguf_add_key(b, key, type);
    gguf_put(&b->pairs, value, n_bytes);
}

static inline void gguf_add_u32(struct gguf_builder *b, const char *key, uint32_t value)
{
    gguf_add_value(b, key, NIB_GGUF_U32, &value, sizeof(value));
}

static inline void gguf_add_f32(struct gguf_builder *b, const char *key, float value)
{
    gguf_add_value(b, key, NIB_GGUF_F32, &value, sizeof(value));
}

static inline void gguf_add_bool(struct gguf_builder *b, const char *key, bool value)
{
    gguf_add_value(b, key, NIB_GGUF_BOOL, &(uint8_t){value}, 1);
}

static inline void gguf_add_string(struct gguf_builder *b, const char *key, const char *value)
{
    gguf_add_key(b, key, NIB_GGUF_STRING);
    gguf_put_string(&b->pairs, value, strlen(value));
}

/* An array of n numbers, n_bytes in all. */
static inline void gguf_add_array(struct gguf_builder *b, const char *key, uint32_t element,
                                  uint64_t n, const void *values, size_t n_bytes)
{
    gguf_add_key(b, key, NIB_GGUF_ARRAY);
    gguf_put_u32(&b->pairs, element);
    gguf_put_u64(&b->pairs, n);
    gguf_put(&b->pairs, values, n_bytes);
}

static inline void gguf_add_strings(struct gguf_builder *b, const char *key,
                                    const char *const *values, size_t n)
{
    gguf_add_array(b, key, NIB_GGUF_STRING, n, NULL, 0);
    for (size_t i = 0; i < n; i++)
        gguf_put_string(&b->pairs, values[i], strlen(values[i]));
}

/* ---- tensors ------------------------------------------------------------------------------- */

/* A row of the table alone. */
static inline void gguf_add_info(struct gguf_builder *b, const char *name, uint32_t type,
                                 uint32_t n_dims, const uint64_t *dims, uint64_t offset)
{
    gguf_put_string(&b->infos, name, strlen(name));
    gguf_put_u32(&b->infos, n_dims);
    for (uint32_t i = 0; i < n_dims; i++)
        gguf_put_u64(&b->infos, dims[i]);
    gguf_put_u32(&b->infos, type);
    gguf_put_u64(&b->infos, offset);
    b->n_tensors++;
}

/* A row of the table, and its data behind what is there.  NULL data: zeros. */
static inline void gguf_add_tensor(struct gguf_builder *b, const char *name, uint32_t type,
                                   uint32_t n_dims, const uint64_t *dims, const void *data,
                                   size_t n_bytes)
{
    gguf_pad(&b->data, b->alignment);
    gguf_add_info(b, name, type, n_dims, dims, b->data.n);
    if (data) {
        gguf_put(&b->data, data, n_bytes);
        return;
    }
    uint8_t *zeros = calloc(1, n_bytes + 1);
    if (!zeros)
        abort();
    gguf_put(&b->data, zeros, n_bytes);
    free(zeros);
}

/* ---- the file ------------------------------------------------------------------------------ */

/* All bytes of the file, to be freed; no more are allocated than it has. */
static inline uint8_t *gguf_builder_image(const struct gguf_builder *b, size_t *n_bytes)
{
    struct gguf_bytes out = {0};
    gguf_put(&out, "GGUF", 4);
    gguf_put_u32(&out, b->version);
    gguf_put_u64(&out, b->n_tensors);
    gguf_put_u64(&out, b->n_pairs);
    gguf_put(&out, b->pairs.data, b->pairs.n);
    gguf_put(&out, b->infos.data, b->infos.n);
    if (b->data.n > 0) {
        gguf_pad(&out, b->alignment);
        gguf_put(&out, b->data.data, b->data.n);
    }
    *n_bytes = out.n;
    uint8_t *exact = realloc(out.data, out.n);
    if (!exact)
        abort();
    return exact;
}

static inline void gguf_builder_write(const struct gguf_builder *b, const char *path)
{
    size_t n;
    uint8_t *image = gguf_builder_image(b, &n);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(image, 1, n, file) != n || fclose(file) != 0)
        abort();
    free(image);
}

#endif
