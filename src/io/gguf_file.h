/* What gguf.c (the file and its tensors) and gguf_metadata.c (keys and values) share. */
#ifndef NIB_GGUF_FILE_H
#define NIB_GGUF_FILE_H

#include "gguf.h"
#include "os.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF files are read in place");

/* A key with its value, which lies in the mapping. */
struct nib_gguf_pair {
    const char *key; /* zero-terminated */
    enum nib_gguf_type type;
    enum nib_gguf_type element; /* of an array; else equal to type */
    uint64_t n;                 /* elements; 1 if it is no array */
    struct nib_str value;       /* the elements as in the file; of a string its bytes alone */
};

/* Names in the order of strcmp(), with their place in the file. */
struct nib_gguf_index {
    const char *name;
    size_t i;
};

/* Names, zero-terminated, one after another.  The text moves while it grows: until the last one is
 * added they are known by their offsets. */
struct nib_gguf_names {
    char *text;
    size_t n_bytes, cap;
};

struct nib_gguf {
    char *path;
    struct nib_mapping file;
    uint64_t alignment;
    struct nib_gguf_names keys, tensor_names;
    struct nib_gguf_pair *pairs;
    struct nib_gguf_index *pairs_by_key;
    size_t n_pairs;
    struct nib_gguf_tensor *tensors;
    struct nib_gguf_index *tensors_by_name;
    size_t n_tensors;
    void *owner; /* of what was attached */
    void (*release)(void *owner);
};

/* Where the reader stands. */
struct nib_gguf_cursor {
    struct nib_gguf *gguf;
    const uint8_t *data;
    size_t n_bytes, at;
    uint64_t wanted; /* bytes that the last failed read asked for */
    struct nib_error *err;
};

static inline size_t nib_gguf_left(const struct nib_gguf_cursor *c)
{
    return c->n_bytes - c->at;
}

/* Copy the next n bytes to `out`; false, and nothing moves, if the file has fewer. */
static inline bool nib_gguf_take(struct nib_gguf_cursor *c, void *out, size_t n)
{
    if (nib_gguf_left(c) < n) {
        c->wanted = n;
        return false;
    }
    memcpy(out, c->data + c->at, n);
    c->at += n;
    return true;
}

/* A length and that many bytes.  On false the cursor stands after the length if there was one. */
static inline bool nib_gguf_take_string(struct nib_gguf_cursor *c, struct nib_str *out)
{
    uint64_t n;
    if (!nib_gguf_take(c, &n, sizeof(n)))
        return false;
    if (n > nib_gguf_left(c)) {
        c->wanted = n;
        return false;
    }
    *out = (struct nib_str){(const char *)c->data + c->at, (size_t)n};
    c->at += (size_t)n;
    return true;
}

/* After a read that failed: "PATH: WHAT needs N bytes at byte A, but the file has only B: ..." */
enum nib_status nib_gguf_fail_end(const struct nib_gguf_cursor *c, const char *what);

/* The array, perhaps moved, with room for n + 1 elements of `size` bytes; NULL, and the array
 * stays, without memory. */
void *nib_gguf_grow(void *array, size_t *cap, size_t n, size_t size);

/* Append a name of printable ASCII without blanks, 1..max bytes, to `names`; its offset in *out.
 * The thing named is the i-th `what`, "key" or "tensor". */
enum nib_status nib_gguf_take_name(struct nib_gguf_cursor *c, struct nib_gguf_names *names,
                                   const char *what, uint64_t i, size_t max, size_t *out);

/* Sort the names that stand first in the n elements, of `size` bytes each, of an array; a name that
 * is there twice is an error.  *out is to be freed even then. */
enum nib_status nib_gguf_index_create(struct nib_gguf_index **out, const void *array, size_t n,
                                      size_t size, const struct nib_gguf_cursor *c,
                                      const char *what);
const struct nib_gguf_index *nib_gguf_index_find(const struct nib_gguf_index *index, size_t n,
                                                 const char *name);

/* A file that is in memory already, which stays the caller's and must outlive *out; tests and
 * fuzzers see every byte read past its end.  `name` stands for the path. */
enum nib_status nib_gguf_open_memory(struct nib_gguf **out, const void *data, size_t n_bytes,
                                     const char *name, struct nib_error *err);

/*
 * Give tensors, whose names and data lie elsewhere, to a file in place of its own: what another
 * format holds is seen as GGUF.  Afterwards nib_gguf_close() ends in release(owner), which frees
 * all that the tensors and the bytes of nib_gguf_open_memory() need; on failure it is not called.
 */
enum nib_status nib_gguf_attach(struct nib_gguf *gguf, const struct nib_gguf_tensor *tensors,
                                size_t n_tensors, void *owner, void (*release)(void *owner),
                                struct nib_error *err);

/* The mapped file becomes the caller's; what it held must not be asked for any more. */
struct nib_mapping nib_gguf_take_file(struct nib_gguf *gguf);

/* gguf_metadata.c: read all pairs, and index them. */
enum nib_status nib_gguf_read_pairs(struct nib_gguf_cursor *c, uint64_t n_pairs);

#endif
