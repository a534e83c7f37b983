/* A sound GGUF file with one of everything, for the tests of the reader. */
#ifndef GGUF_SAMPLES_H
#define GGUF_SAMPLES_H

#include "gguf_builder.h"
#include "gguf_file.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* One of everything. */
static inline void build_sound(struct gguf_builder *b)
{
    gguf_builder_init(b);
    gguf_add_string(b, "general.architecture", "llama");
    gguf_add_u32(b, "general.alignment", 32);
    gguf_add_value(b, "a.u8", NIB_GGUF_U8, &(uint8_t){200}, 1);
    gguf_add_value(b, "a.i8", NIB_GGUF_I8, &(int8_t){-3}, 1);
    gguf_add_value(b, "a.u16", NIB_GGUF_U16, &(uint16_t){60000}, 2);
    gguf_add_value(b, "a.i16", NIB_GGUF_I16, &(int16_t){-300}, 2);
    gguf_add_value(b, "a.i32", NIB_GGUF_I32, &(int32_t){-70000}, 4);
    gguf_add_value(b, "a.u64", NIB_GGUF_U64, &(uint64_t){1ull << 40}, 8);
    gguf_add_value(b, "a.i64", NIB_GGUF_I64, &(int64_t){-(1ll << 40)}, 8);
    gguf_add_value(b, "a.huge", NIB_GGUF_U64, &(uint64_t){1ull << 63}, 8);
    gguf_add_f32(b, "a.f32", 0.5f);
    gguf_add_value(b, "a.f64", NIB_GGUF_F64, &(double){0.1}, 8);
    gguf_add_f32(b, "a.nan", NAN);
    gguf_add_bool(b, "a.bool", true);
    gguf_add_string(b, "a.text", "two\nlines \x1b[31m");
    gguf_add_strings(b, "a.strings", (const char *const[]){"one", "", "\xff\xfe"}, 3);
    gguf_add_array(b, "a.i16s", NIB_GGUF_I16, 3, (int16_t[]){1, -2, 3}, 6);
    gguf_add_array(b, "a.u64s", NIB_GGUF_U64, 2, (uint64_t[]){1, 1ull << 63}, 16);
    gguf_add_array(b, "a.floats", NIB_GGUF_F32, 2, (float[]){1.5f, -2.5f}, 8);
    gguf_add_array(b, "a.infs", NIB_GGUF_F32, 2, (float[]){1.5f, INFINITY}, 8);
    gguf_add_array(b, "a.bools", NIB_GGUF_BOOL, 2, (uint8_t[]){0, 1}, 2);
    gguf_add_array(b, "a.empty", NIB_GGUF_U32, 0, NULL, 0);
    gguf_add_array(b, "a.nested", NIB_GGUF_ARRAY, 1, NULL, 0);
    gguf_put_u32(&b->pairs, NIB_GGUF_U8);
    gguf_put_u64(&b->pairs, 2);
    gguf_put(&b->pairs, "\1\2", 2);

    float values[64];
    for (int i = 0; i < 64; i++)
        values[i] = (float)i;
    gguf_add_tensor(b, "norm.weight", NIB_TYPE_F32, 1, (uint64_t[]){64}, values, sizeof(values));
    gguf_add_tensor(b, "q.weight", NIB_TYPE_Q4_1, 2, (uint64_t[]){64, 3}, NULL, 120);
    gguf_add_tensor(b, "e.weight", NIB_TYPE_F16, 4, (uint64_t[]){2, 2, 2, 2}, NULL, 32);
}

/* Open the file in memory.  Takes the builder; *image is to be freed after *gguf is closed. */
static inline enum nib_status open_built(struct nib_gguf **gguf, struct gguf_builder *b,
                                         uint8_t **image, struct nib_error *err)
{
    size_t n;
    *image = gguf_builder_image(b, &n);
    gguf_builder_free(b);
    err->message[0] = '\0';
    return nib_gguf_open_memory(gguf, *image, n, "model.gguf", err);
}

static inline void expect_good(struct gguf_builder *b)
{
    struct nib_gguf *gguf;
    struct nib_error err;
    uint8_t *image;
    if (open_built(&gguf, b, &image, &err) != NIB_OK)
        fail_msg("%s", err.message);
    nib_gguf_close(gguf);
    free(image);
}

#endif
