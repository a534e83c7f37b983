/*
 * GGUF files, versions 2 and 3, little-endian:
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 *
 * nib_gguf_open() checks every size, count, offset, alignment, string and type against the file
 * before it is used and allocates in proportion to what the file really holds; after it has
 * returned NIB_OK all accessors are safe.  Strings and arrays point into the mapping.
 */
#ifndef NIB_GGUF_H
#define NIB_GGUF_H

#include "common.h"
#include "types.h"

struct nib_gguf;

/* Numbers as in the file. */
enum nib_gguf_type {
    NIB_GGUF_U8,
    NIB_GGUF_I8,
    NIB_GGUF_U16,
    NIB_GGUF_I16,
    NIB_GGUF_U32,
    NIB_GGUF_I32,
    NIB_GGUF_F32,
    NIB_GGUF_BOOL,
    NIB_GGUF_STRING,
    NIB_GGUF_ARRAY,
    NIB_GGUF_U64,
    NIB_GGUF_I64,
    NIB_GGUF_F64,
};

/*
 * Where the values of a tensor lie that is not one run of memory, as in a Hugging Face folder
 * (src/hf/): value (row, column) of slice i (of dims[2]: an expert) is at
 *
 *     slices[i] + (rows ? rows[row] : row) * row_stride + column * value_stride
 *
 * The values of a tensor of one dimension are rows of one column.  Only of float types.
 */
struct nib_tensor_view {
    const uint8_t *const *slices;    /* [dims[2]] */
    const uint32_t *rows;            /* [rows of a slice], or NULL: as they lie */
    size_t row_stride, value_stride; /* bytes */
    float plus;                      /* is added to every value */
    bool is_copy; /* lies in ordinary memory: not for nib_os_forget(), which would lose it */
};

struct nib_gguf_tensor {
    const char *name; /* zero-terminated, printable, unique */
    enum nib_type type;
    uint32_t n_dims;     /* 1..4 */
    uint64_t dims[4];    /* columns first; unused ones are 1 */
    const uint8_t *data; /* NULL: see view */
    size_t n_bytes;
    const struct nib_tensor_view *view; /* or NULL */
};

enum nib_status nib_gguf_open(struct nib_gguf **out, const char *path, struct nib_error *err);
void nib_gguf_close(struct nib_gguf *gguf);

const char *nib_gguf_path(const struct nib_gguf *gguf);
size_t nib_gguf_tensor_count(const struct nib_gguf *gguf);
const struct nib_gguf_tensor *nib_gguf_tensor(const struct nib_gguf *gguf, size_t i);
const struct nib_gguf_tensor *nib_gguf_find(const struct nib_gguf *gguf,
                                            const char *name); /* or NULL */
size_t nib_gguf_key_count(const struct nib_gguf *gguf);
const char *nib_gguf_key(const struct nib_gguf *gguf, size_t i);

/*
 * Rows of a tensor, counted over dims[1] * dims[2] * dims[3]; a tensor of one dimension is a single
 * row.  nib_tensor_row(): the bytes of a row where they lie together as the type has them, else
 * NULL.  nib_tensor_floats(): values [begin, end) of a row, of a float type.
 */
const uint8_t *nib_tensor_row(const struct nib_gguf_tensor *tensor, uint64_t row);
void nib_tensor_floats(const struct nib_gguf_tensor *tensor, uint64_t row, size_t begin, size_t end,
                       float *out);

/* The i-th value as readable text, cut to about `cap` bytes, control characters escaped. */
void nib_gguf_value_text(const struct nib_gguf *gguf, size_t i, char *out, size_t cap);

/*
 * Metadata by key.  Each returns false and leaves *out alone if the key is missing or its type is
 * of another kind; any integer type is taken where it fits, F64 for F32, and integers for floats.
 * Floats that are not finite count as another kind.
 */
bool nib_gguf_has(const struct nib_gguf *gguf, const char *key);
bool nib_gguf_string(const struct nib_gguf *gguf, const char *key, struct nib_str *out);
bool nib_gguf_int(const struct nib_gguf *gguf, const char *key, int64_t *out);
bool nib_gguf_float(const struct nib_gguf *gguf, const char *key, double *out);
bool nib_gguf_bool(const struct nib_gguf *gguf, const char *key, bool *out);

/* Arrays: the count if the key is an array of strings / integers (of any width, or bools) / F32,
 * else false. */
bool nib_gguf_strings(const struct nib_gguf *gguf, const char *key, size_t *n);
bool nib_gguf_ints(const struct nib_gguf *gguf, const char *key, size_t *n);
bool nib_gguf_floats(const struct nib_gguf *gguf, const char *key, size_t *n);

/* An array of U8 where it lies. */
bool nib_gguf_bytes(const struct nib_gguf *gguf, const char *key, struct nib_str *out);

/* Whole arrays, into memory of the caller with room for the n that the calls above gave. */
void nib_gguf_copy_strings(const struct nib_gguf *gguf, const char *key, struct nib_str *out);
void nib_gguf_copy_ints(const struct nib_gguf *gguf, const char *key, int64_t *out);
void nib_gguf_copy_floats(const struct nib_gguf *gguf, const char *key, float *out);

#endif
