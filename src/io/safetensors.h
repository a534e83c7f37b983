/*
 * Writing .safetensors files (https://github.com/huggingface/safetensors): a table of F32 tensors
 * whose shapes are known before their data.  Data is streamed in the order of the table; the file
 * appears under its name only when it is complete.
 */
#ifndef NIB_SAFETENSORS_H
#define NIB_SAFETENSORS_H

#include "common.h"

struct nib_safetensors_entry {
    char name[32];
    uint32_t n_dims; /* 1..3 */
    uint64_t dims[3];
};

struct nib_safetensors_writer;

enum nib_status nib_safetensors_writer_open(struct nib_safetensors_writer **out, const char *path,
                                            const struct nib_safetensors_entry *entries,
                                            size_t n_entries, struct nib_error *err);
enum nib_status nib_safetensors_writer_write(struct nib_safetensors_writer *writer,
                                             const float *data, size_t n_values,
                                             struct nib_error *err);
/* Fails if not all data was written.  Frees the writer either way. */
enum nib_status nib_safetensors_writer_commit(struct nib_safetensors_writer *writer,
                                              struct nib_error *err);
void nib_safetensors_writer_abort(struct nib_safetensors_writer *writer);

#endif
