/*
 * GGUF version 3 written as a stream: first everything of the head is declared, then the data of
 * the tensors follows in the order of their declaration, in pieces of any size.  The file takes its
 * name when it is complete and synced (nib_file_writer); until then the name keeps what it had.
 */
#ifndef NIB_GGUF_WRITER_H
#define NIB_GGUF_WRITER_H

#include "gguf.h"
#include "gguf_image.h"

struct nib_gguf_writer;

enum nib_status nib_gguf_writer_open(struct nib_gguf_writer **out, const char *path,
                                     struct nib_error *err);

/* A key with a value of type U32. */
struct nib_gguf_u32 {
    const char *key;
    uint32_t value;
};

/* The metadata of `source`, byte for byte and in its order, but with the values of `changes` where
 * their keys stand; keys that are not there come last.  The alignment is taken over too. */
void nib_gguf_writer_copy_metadata(struct nib_gguf_writer *writer, const struct nib_gguf *source,
                                   const struct nib_gguf_u32 *changes, size_t n_changes);

/* More keys, which `source` does not have. */
void nib_gguf_writer_add_pairs(struct nib_gguf_writer *writer, const struct nib_gguf_image *image);

/* Name and dimensions of `like`; its type may be another one. */
void nib_gguf_writer_add_tensor(struct nib_gguf_writer *writer, const struct nib_gguf_tensor *like,
                                enum nib_type type);

/* Bytes that a tensor with these dimensions has; the caller knows that they fit uint64_t. */
uint64_t nib_gguf_tensor_bytes(const struct nib_gguf_tensor *like, enum nib_type type);

/* After all that is declared: one more key, an array of zeros as long as it takes for the data to
 * begin at a multiple of `alignment`, which is one of 64 KiB. */
void nib_gguf_writer_align_data(struct nib_gguf_writer *writer, const char *key,
                                uint64_t alignment);

/* The head ends here.  Fails too where memory was short before. */
enum nib_status nib_gguf_writer_begin_data(struct nib_gguf_writer *writer, struct nib_error *err);
enum nib_status nib_gguf_writer_write(struct nib_gguf_writer *writer, const void *data,
                                      size_t n_bytes, struct nib_error *err);
/* After a tensor's last byte. */
enum nib_status nib_gguf_writer_end_tensor(struct nib_gguf_writer *writer, struct nib_error *err);

/* One of both ends the writer; abort leaves nothing behind, and NULL is fine. */
enum nib_status nib_gguf_writer_commit(struct nib_gguf_writer *writer, struct nib_error *err);
void nib_gguf_writer_abort(struct nib_gguf_writer *writer);

#endif
