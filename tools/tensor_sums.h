/* The tensors of a model by their type in the file. */
#ifndef NIB_TENSOR_SUMS_H
#define NIB_TENSOR_SUMS_H

#include "nibble.h"

struct nib_type_sum {
    const char *type;
    size_t n_tensors;
    uint64_t n_weights, n_file_bytes, n_packed_bytes;
};

enum { NIB_MAX_TYPE_SUMS = 64 };

/* Fills sums[NIB_MAX_TYPE_SUMS], in the order of the file; returns how many there are. */
size_t nib_sum_types(const struct nib_model *model, struct nib_type_sum *sums);

#endif
