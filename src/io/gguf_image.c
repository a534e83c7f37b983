/* See gguf_image.h. */
#include "gguf_image.h"
#include "gguf_file.h"

#include <stdlib.h>

enum { PAIRS_AT = 16, HEADER_BYTES = 24 };

static void put(struct nib_gguf_image *image, const void *data, size_t n)
{
    if (image->is_out_of_memory || n == 0)
        return;
    if (image->cap - image->n_bytes < n) {
        const size_t cap = 2 * image->cap + n + 4096;
        uint8_t *grown = n < SIZE_MAX / 4 ? realloc(image->data, cap) : NULL;
        if (!grown) {
            image->is_out_of_memory = true;
            return;
        }
        image->data = grown;
        image->cap = cap;
    }
    memcpy(image->data + image->n_bytes, data, n);
    image->n_bytes += n;
}

static void put_key(struct nib_gguf_image *image, const char *key, uint32_t type)
{
    const uint64_t n = strlen(key);
    put(image, &n, sizeof(n));
    put(image, key, (size_t)n);
    put(image, &type, sizeof(type));
    image->n_pairs++;
}

void nib_gguf_image_begin(struct nib_gguf_image *image)
{
    uint8_t header[HEADER_BYTES] = "GGUF\3"; /* version; no tensors; pairs are counted at the end */
    *image = (struct nib_gguf_image){0};
    put(image, header, sizeof(header));
}

enum nib_status nib_gguf_image_end(struct nib_gguf_image *image, struct nib_error *err)
{
    if (image->is_out_of_memory)
        return nib_fail_memory(err, image->n_bytes, "the metadata of a model");
    memcpy(image->data + PAIRS_AT, &image->n_pairs, sizeof(image->n_pairs));
    return NIB_OK;
}

void nib_gguf_image_free(struct nib_gguf_image *image)
{
    free(image->data);
    *image = (struct nib_gguf_image){0};
}

void nib_gguf_put_u32(struct nib_gguf_image *image, const char *key, uint32_t value)
{
    put_key(image, key, NIB_GGUF_U32);
    put(image, &value, sizeof(value));
}

void nib_gguf_put_u64(struct nib_gguf_image *image, const char *key, uint64_t value)
{
    put_key(image, key, NIB_GGUF_U64);
    put(image, &value, sizeof(value));
}

void nib_gguf_put_f32(struct nib_gguf_image *image, const char *key, float value)
{
    put_key(image, key, NIB_GGUF_F32);
    put(image, &value, sizeof(value));
}

void nib_gguf_put_bool(struct nib_gguf_image *image, const char *key, bool value)
{
    const uint8_t byte = value;
    put_key(image, key, NIB_GGUF_BOOL);
    put(image, &byte, sizeof(byte));
}

void nib_gguf_put_string(struct nib_gguf_image *image, const char *key, struct nib_str value)
{
    const uint64_t n = value.len;
    put_key(image, key, NIB_GGUF_STRING);
    put(image, &n, sizeof(n));
    put(image, value.data, value.len);
}

void nib_gguf_put_array(struct nib_gguf_image *image, const char *key, enum nib_gguf_type type,
                        const void *elements, size_t n)
{
    static const uint8_t sizes[] = {
        [NIB_GGUF_U8] = 1,  [NIB_GGUF_BOOL] = 1, [NIB_GGUF_U32] = 4,
        [NIB_GGUF_I32] = 4, [NIB_GGUF_F32] = 4,  [NIB_GGUF_U64] = 8,
    };
    assert(type < NIB_COUNT(sizes) && sizes[type] > 0);
    const uint32_t element = type;
    const uint64_t count = n;
    put_key(image, key, NIB_GGUF_ARRAY);
    put(image, &element, sizeof(element));
    put(image, &count, sizeof(count));
    put(image, elements, n * sizes[type]);
}

void nib_gguf_put_strings(struct nib_gguf_image *image, const char *key, const char *const *strings,
                          size_t n)
{
    const uint32_t element = NIB_GGUF_STRING;
    const uint64_t count = n;
    put_key(image, key, NIB_GGUF_ARRAY);
    put(image, &element, sizeof(element));
    put(image, &count, sizeof(count));
    for (size_t i = 0; i < n; i++) {
        const uint64_t len = strlen(strings[i]);
        put(image, &len, sizeof(len));
        put(image, strings[i], (size_t)len);
    }
}
