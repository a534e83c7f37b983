/* The tensors of the files as those that GGUF has. */
#ifndef NIB_HF_TENSORS_H
#define NIB_HF_TENSORS_H

#include "gguf.h"
#include "hf_config.h"
#include "hf_weights.h"

/* Memory that views and names lie in, freed as a whole. */
struct nib_hf_memory {
    void **blocks;
    size_t n, cap;
};

void *nib_hf_alloc(struct nib_hf_memory *memory, size_t n_bytes); /* zeroed; NULL: none left */
void nib_hf_memory_free(struct nib_hf_memory *memory);

struct nib_hf_tensors {
    struct nib_gguf_tensor *all; /* ordinary ones first, then by layer, then by name */
    size_t n;
    struct nib_hf_memory memory;
};

/* A tensor of the file, or a part of one, and where it goes. */
struct nib_hf_piece {
    char name[64]; /* as GGUF has it */
    int64_t layer; /* -1: none */
    uint32_t part; /* of experts */
    const struct nib_hf_rule *rule;
    const struct nib_safetensors_tensor *source;
    const char *path; /* of its file */
};

/* To be freed even where it fails. */
enum nib_status nib_hf_tensors_find(struct nib_hf_tensors *tensors,
                                    const struct nib_hf_weights *weights,
                                    const struct nib_hf_config *config, struct nib_error *err);
void nib_hf_tensors_free(struct nib_hf_tensors *tensors);

/* hf_views.c: the tensor that n pieces of one name make. */
enum nib_status nib_hf_view(struct nib_gguf_tensor *out, struct nib_hf_memory *memory,
                            const struct nib_hf_piece *pieces, size_t n,
                            const struct nib_hf_config *config, struct nib_error *err);

/* Give a tensor, whose type and dimensions are set, memory for its values: it is returned, and a
 * view of it is the tensor's.  NULL: none left. */
uint8_t *nib_hf_view_copy(struct nib_gguf_tensor *tensor, struct nib_hf_memory *memory);

/* hf_sinusoids.c: tables of positions with these names, all with the same values; `tensors` has
 * room for them.  Those far larger than all weights are refused. */
enum nib_status nib_hf_sinusoids_add(struct nib_hf_tensors *tensors,
                                     const struct nib_hf_config *config, const char *const *names,
                                     size_t n_names, uint64_t n_weight_bytes,
                                     struct nib_error *err);

#endif
