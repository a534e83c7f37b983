/* Packing matrices on all threads, with a change of type where one is wanted. */
#ifndef NIB_PACK_WEIGHTS_H
#define NIB_PACK_WEIGHTS_H

#include "gguf.h"
#include "pack.h"

/*
 * Rows of a tensor to pack as `type`: from first_row on, and of n_stacked matrices, which lie
 * behind each other, as many as the matrix has.  n_rot > 0: they are heads of d_head rows, see
 * nib_rotated_row().
 */
struct nib_pack_item {
    struct nib_matrix matrix; /* its data: zeroed memory of this job */
    const struct nib_gguf_tensor *tensor;
    enum nib_type type;
    uint64_t first_row;
    size_t n_stacked;
    uint32_t d_head, n_rot;
};

/*
 * Which source row becomes packed row `row`, where the source rotates neighbours (2i, 2i + 1) and
 * packed heads rotate halves (i, n_rot / 2 + i).
 */
static inline size_t nib_rotated_row(size_t row, uint32_t d_head, uint32_t n_rot)
{
    const size_t i = row % d_head, half = n_rot / 2;
    if (i >= n_rot)
        return row;
    return row - i + (i < half ? 2 * i : 2 * (i - half) + 1);
}

/* n_threads as in nib_model_params, and its progress: of bytes written.  Pages of a mapping that
 * have been read are given back.  `path` is for errors: of weights that the type cannot hold. */
enum nib_status nib_pack_matrices(const struct nib_pack_item *items, size_t n_items,
                                  const char *path, const struct nib_model_params *params,
                                  struct nib_error *err);

#endif
