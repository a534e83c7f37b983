/*
 * The metadata of a GGUF file, built in memory: keys with values, in the order they are put, that
 * nib_gguf_open_memory() reads.  Each key is put once.  Where memory runs out the rest is dropped,
 * which nib_gguf_image_end() reports.
 */
#ifndef NIB_GGUF_IMAGE_H
#define NIB_GGUF_IMAGE_H

#include "gguf.h"

struct nib_gguf_image {
    uint8_t *data;
    size_t n_bytes, cap;
    uint64_t n_pairs;
    bool is_out_of_memory;
};

void nib_gguf_image_begin(struct nib_gguf_image *image);
enum nib_status nib_gguf_image_end(struct nib_gguf_image *image, struct nib_error *err);
void nib_gguf_image_free(struct nib_gguf_image *image);

void nib_gguf_put_u32(struct nib_gguf_image *image, const char *key, uint32_t value);
void nib_gguf_put_u64(struct nib_gguf_image *image, const char *key, uint64_t value);
void nib_gguf_put_f32(struct nib_gguf_image *image, const char *key, float value);
void nib_gguf_put_bool(struct nib_gguf_image *image, const char *key, bool value);
void nib_gguf_put_string(struct nib_gguf_image *image, const char *key, struct nib_str value);
/* An array of numbers or bools: `elements` holds n of them as the file has them. */
/* Of U8, BOOL, U32, I32, F32 or U64. */
void nib_gguf_put_array(struct nib_gguf_image *image, const char *key, enum nib_gguf_type type,
                        const void *elements, size_t n);
void nib_gguf_put_strings(struct nib_gguf_image *image, const char *key, const char *const *strings,
                          size_t n);

#endif
