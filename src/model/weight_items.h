/*
 * Which tensor of a file becomes what in memory: every tensor that the family names is checked
 * against the config and gets its place in one arena.
 */
#ifndef NIB_WEIGHT_ITEMS_H
#define NIB_WEIGHT_ITEMS_H

#include "gguf.h"
#include "model.h"

/* A matrix, a stack of experts' matrices, or a vector; of a fused tensor a part. */
struct nib_weight_item {
    const struct nib_gguf_tensor *tensor;
    uint64_t first_row;           /* of the tensor; of a vector, value */
    enum nib_type type;           /* in memory; of a vector F32 */
    struct nib_matrix matrix;     /* without data; n_rows of all experts together */
    struct nib_matrix *to_matrix; /* one of these two */
    const float **to_vector;
    uint32_t length;  /* of a vector */
    bool is_rotated;  /* see nib_rotated_row() */
    size_t n_stacked; /* matrices behind each other: experts, else 1 */
    size_t offset;    /* in the arena */
};

struct nib_weight_plan {
    struct nib_model *model;
    const struct nib_gguf *gguf;
    const enum nib_type *types; /* of the file's tensors, in memory */
    /* The stack of layers at hand: the model, or its encoder. */
    struct nib_model *stack;
    const char *prefix; /* of the names of its tensors: "", "enc." or "dec." */
    const struct nib_tensor_name *tensors;
    struct nib_weight_item *items;
    size_t n_items;
    bool *is_used;  /* by the tensor's number in the file */
    size_t n_bytes; /* of the arena */
    struct nib_error *err;
};

enum { NIB_WEIGHT_ALIGNMENT = 64 };

/* Fill `items`, which have room for nib_weight_plan_room(). */
size_t nib_weight_plan_room(const struct nib_gguf *gguf);
enum nib_status nib_weight_plan_make(struct nib_weight_plan *plan);

/* A number, below 2^63, for which weight lies where and in what form: unlike for plans that differ.
 */
uint64_t nib_weight_layout(const struct nib_weight_plan *plan);

static inline size_t nib_weight_tensor_index(const struct nib_weight_plan *plan,
                                             const struct nib_gguf_tensor *tensor)
{
    return (size_t)(tensor - nib_gguf_tensor(plan->gguf, 0));
}

/* Bytes in the arena. */
static inline size_t nib_weight_item_bytes(const struct nib_weight_item *item)
{
    if (item->to_vector)
        return ((size_t)item->length + NIB_GROUP - 1) / NIB_GROUP * NIB_GROUP * sizeof(float);
    return item->n_stacked * item->matrix.n_groups * item->matrix.planes.n_bytes;
}

#endif
