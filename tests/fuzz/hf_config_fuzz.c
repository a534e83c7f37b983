/*
 * libFuzzer: any bytes as config.json, which become keys or are refused; and, with the weights of a
 * tiny model that has a name of every kind, tensors whose values can all be read.
 */
#include "gguf_file.h"
#include "hf_tensors.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static uint8_t weights[1 << 16];
static size_t n_weights;

static void add(char *header, size_t cap, size_t *at, const char *name, const char *shape, size_t n)
{
    const size_t used = strlen(header);
    snprintf(header + used, cap - used,
             "%c\"%s\":{\"dtype\":\"F16\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
             used ? ',' : '{', name, shape, *at, *at + 2 * n);
    *at += 2 * n;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    static char header[4096];
    size_t at = 0;
    add(header, sizeof(header), &at, "model.embed_tokens.weight", "4,8", 32);
    add(header, sizeof(header), &at, "model.norm.weight", "8", 8);
    add(header, sizeof(header), &at, "model.layers.0.self_attn.q_proj.weight", "8,8", 64);
    add(header, sizeof(header), &at, "model.layers.0.self_attn.q_proj.bias", "8", 8);
    add(header, sizeof(header), &at, "model.layers.0.self_attn.k_proj.weight", "4,8", 32);
    add(header, sizeof(header), &at, "model.layers.1.mlp.experts.gate_up_proj", "2,6,8", 96);
    add(header, sizeof(header), &at, "model.layers.0.mlp.experts.0.up_proj.weight", "3,8", 24);
    add(header, sizeof(header), &at, "model.layers.0.mlp.experts.1.up_proj.weight", "3,8", 24);
    add(header, sizeof(header), &at, "lm_head.weight", "4,8", 32);
    strcat(header, "}");
    const uint64_t n = strlen(header);
    memcpy(weights, &n, sizeof(n));
    memcpy(weights + 8, header, n);
    n_weights = 8 + n + at;
    return 0;
}

static void read_all(const struct nib_gguf_tensor *t)
{
    float values[64];
    if (!t->name || t->n_bytes == 0 || t->dims[0] > 64)
        return;
    const uint64_t n_rows = t->dims[1] * t->dims[2] * t->dims[3];
    for (uint64_t row = 0; row < n_rows; row++)
        nib_tensor_floats(t, row, 0, (size_t)t->dims[0], values);
}

static void find_tensors(const struct nib_hf_config *config)
{
    struct nib_safetensors *file;
    struct nib_hf_tensors tensors;
    struct nib_error err = {0};
    if (nib_safetensors_open_memory(&file, weights, n_weights, "w", NULL) != NIB_OK)
        abort();
    const struct nib_hf_weights all = {&file, 1, nib_safetensors_count(file)};
    if (nib_hf_tensors_find(&tensors, &all, config, &err) == NIB_OK)
        for (size_t i = 0; i < tensors.n; i++)
            read_all(&tensors.all[i]);
    else if (err.message[0] == '\0')
        abort();
    nib_hf_tensors_free(&tensors);
    nib_safetensors_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct nib_hf_config config;
    struct nib_gguf_image image;
    struct nib_gguf *gguf;
    struct nib_error err = {0};
    nib_gguf_image_begin(&image);
    enum nib_status status =
        nib_hf_config_parse(&config, (const char *)data, n_bytes, "config.json", &err);
    if (status == NIB_OK)
        status = nib_hf_config_read(&config, &image);
    if (status != NIB_OK && err.message[0] == '\0')
        abort();
    if (status == NIB_OK) {
        find_tensors(&config);
        /* Whatever was written is sound. */
        if (nib_gguf_image_end(&image, NULL) != NIB_OK ||
            nib_gguf_open_memory(&gguf, image.data, image.n_bytes, "image", NULL) != NIB_OK)
            abort();
        nib_gguf_close(gguf);
    }
    nib_gguf_image_free(&image);
    nib_hf_config_free(&config);
    return 0;
}
