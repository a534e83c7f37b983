/*
 * Reading .safetensors files (https://github.com/huggingface/safetensors), by the rules of its
 * reference implementation and a little stricter: a header of at most 100 MB that begins with '{'
 * and is padded with blanks alone, no key twice, tensors that follow each other from the first byte
 * after the header to the last of the file without gap or overlap.
 *
 * nib_safetensors_open() checks all of it before it returns NIB_OK.  Data lies in the mapping, at
 * any address: a header may have an odd length.
 */
#ifndef NIB_SAFETENSORS_READER_H
#define NIB_SAFETENSORS_READER_H

#include "common.h"

enum { NIB_SAFETENSORS_MAX_DIMS = 8 };

struct nib_safetensors_tensor {
    const char *name;  /* zero-terminated UTF-8, not empty, unique in the file; may hold anything */
    const char *dtype; /* as the format names it: "F32", "F8_E4M3", ... */
    uint32_t n_dims;   /* 0: a single value */
    uint64_t dims[NIB_SAFETENSORS_MAX_DIMS]; /* rows first; may be 0 */
    const uint8_t *data;
    size_t n_bytes; /* what the dimensions and the type make */
};

struct nib_safetensors;

enum nib_status nib_safetensors_open(struct nib_safetensors **out, const char *path,
                                     struct nib_error *err);
/* A file that is in memory already, which stays the caller's and must outlive *out. */
enum nib_status nib_safetensors_open_memory(struct nib_safetensors **out, const void *data,
                                            size_t n_bytes, const char *name,
                                            struct nib_error *err);
void nib_safetensors_close(struct nib_safetensors *file);

const char *nib_safetensors_path(const struct nib_safetensors *file);
size_t nib_safetensors_count(const struct nib_safetensors *file);
/* In the order of their data. */
const struct nib_safetensors_tensor *nib_safetensors_tensor(const struct nib_safetensors *file,
                                                            size_t i);

#endif
