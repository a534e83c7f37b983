/*
 * config.json, read key by key: what is wrong with a key is said once, the first time, and from
 * then on values are those of absent keys.  Keys are looked up in text_config first if there is
 * one.  null counts as absent.
 */
#ifndef NIB_HF_CONFIG_H
#define NIB_HF_CONFIG_H

#include "gguf_image.h"
#include "hf_family.h"

#include <yyjson.h>

enum {
    NIB_HF_MAX_LAYERS = 65536
}; /* beyond it nothing is written per layer: it is refused later */

struct nib_hf_config {
    const char *path;
    yyjson_doc *doc;
    yyjson_val *root, *text; /* text: text_config, or root */
    const struct nib_hf_family *family;
    struct nib_gguf_image *image; /* keys are put here */
    enum nib_status status;
    struct nib_error *err;

    /* What names and shapes of tensors depend on, once nib_hf_config_read() is through. */
    uint32_t n_layers, n_decoder_layers, n_ctx, n_embd, n_ff, n_heads, n_kv_heads, d_head, n_rot,
        n_experts;
    double first_position; /* that a table of sines has in its first row */
    bool is_tied;
    float *rope_freqs, *rope_long, *rope_short; /* [n_rot / 2] or NULL */
};

/* Opens it and finds the family; to be freed even where it fails. */
enum nib_status nib_hf_config_open(struct nib_hf_config *config, const char *path,
                                   struct nib_error *err);
enum nib_status nib_hf_config_parse(struct nib_hf_config *config, const char *text, size_t n_bytes,
                                    const char *path, struct nib_error *err);
/* All keys "ARCH.*" into the image. */
enum nib_status nib_hf_config_read(struct nib_hf_config *config, struct nib_gguf_image *image);
void nib_hf_config_free(struct nib_hf_config *config);

/* ---- for hf_families.c and hf_rope.c --------------------------------------------------------- */

/* The first of "a|b|c" that is in the text's part, or else in the whole, and not null; or NULL. */
yyjson_val *nib_hf_find(const struct nib_hf_config *config, const char *names);

/* Numbers of an object, which is text_config and root where it is NULL.  An absent one is
 * `absent`; NIB_HF_REQUIRED makes that an error. */
#define NIB_HF_REQUIRED (-1)
uint32_t nib_hf_int(struct nib_hf_config *config, yyjson_val *object, const char *names,
                    double absent);
double nib_hf_float(struct nib_hf_config *config, yyjson_val *object, const char *names,
                    double absent);
bool nib_hf_bool(struct nib_hf_config *config, yyjson_val *object, const char *names, bool absent);
/* Zero-terminated, at most 64 bytes; NULL where it is absent. */
const char *nib_hf_string(struct nib_hf_config *config, yyjson_val *object, const char *names);
/* The object of a name in object or, where that is NULL, in the configuration; or NULL. */
yyjson_val *nib_hf_object(struct nib_hf_config *config, yyjson_val *object, const char *names);

/* "PATH: NAME is VALUE, RULE". */
void nib_hf_refuse(struct nib_hf_config *config, const char *name, yyjson_val *value,
                   const char *rule);
void nib_hf_no_memory(struct nib_hf_config *config, size_t n_bytes);

/* Keys "ARCH.NAME". */
void nib_hf_put_int(struct nib_hf_config *config, const char *name, uint32_t value);
void nib_hf_put_float(struct nib_hf_config *config, const char *name, double value);
void nib_hf_put_bool(struct nib_hf_config *config, const char *name, bool value);
void nib_hf_put_string(struct nib_hf_config *config, const char *name, const char *value);
void nib_hf_put_array(struct nib_hf_config *config, const char *name, enum nib_gguf_type type,
                      const void *elements, size_t n);

/* The window of the layers whose byte is 1; nothing where there is none. */
void nib_hf_put_windows(struct nib_hf_config *config, uint32_t window, const uint8_t *pattern);

/* hf_rope.c */
void nib_hf_read_rope(struct nib_hf_config *config);

/* hf_two_stacks.c */
void nib_hf_read_t5(struct nib_hf_config *config);
void nib_hf_read_bart(struct nib_hf_config *config);
void nib_hf_read_mbart(struct nib_hf_config *config);
void nib_hf_read_m2m100(struct nib_hf_config *config);
void nib_hf_read_transformer(struct nib_hf_config *config);

#endif
