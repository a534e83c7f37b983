/* See tensor_sums.h. */
#include "tensor_sums.h"

#include <string.h>

static struct nib_type_sum *find_type(struct nib_type_sum *sums, size_t *n, const char *type)
{
    for (size_t i = 0; i < *n; i++) {
        if (strcmp(sums[i].type, type) == 0)
            return &sums[i];
    }
    if (*n == NIB_MAX_TYPE_SUMS)
        return &sums[*n - 1];
    sums[*n] = (struct nib_type_sum){.type = type};
    return &sums[(*n)++];
}

size_t nib_sum_types(const struct nib_model *model, struct nib_type_sum *sums)
{
    size_t n = 0;
    for (size_t i = 0; i < nib_model_tensor_count(model); i++) {
        struct nib_tensor_info tensor;
        nib_model_tensor(model, i, &tensor);
        uint64_t n_weights = 1;
        for (uint32_t j = 0; j < tensor.n_dims; j++)
            n_weights *= tensor.dims[j];
        struct nib_type_sum *sum = find_type(sums, &n, tensor.type);
        sum->n_tensors++;
        sum->n_weights += n_weights;
        sum->n_file_bytes += tensor.n_file_bytes;
        sum->n_packed_bytes += tensor.n_packed_bytes;
    }
    return n;
}
