/* The files of weights in a folder: model.safetensors, or the shards of its index. */
#ifndef NIB_HF_WEIGHTS_H
#define NIB_HF_WEIGHTS_H

#include "safetensors_reader.h"

struct nib_hf_weights {
    struct nib_safetensors **files;
    size_t n_files, n_tensors; /* n_tensors: of all */
};

/* Index and headers agree when it returns NIB_OK: no tensor is in two files, in another one than
 * the index says, or missing.  To be freed even where it fails. */
enum nib_status nib_hf_weights_open(struct nib_hf_weights *weights, const char *folder,
                                    struct nib_error *err);
void nib_hf_weights_free(struct nib_hf_weights *weights);

#endif
