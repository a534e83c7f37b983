/*
 * The packed form of a model: a GGUF file that is mapped and used in place.  It holds
 *
 *     the keys of its source                  tokenizer, template, ...: byte for byte
 *     nibble.pack.version       U32           NIB_PACK_VERSION
 *     nibble.pack.layout        U64           which weight lies where, see nib_weight_layout()
 *     nibble.pack.source        string        what it was made from
 *     nibble.pack.type          string        the type asked for, "" if none was
 *     nibble.pack.names         [n] string    the tensors of the source, ...
 *     nibble.pack.types         [n] U32       their types there, ...
 *     nibble.pack.packed_types  [n] U32       the types that they have here, ...
 *     nibble.pack.n_dims        [n] U32       and their shapes
 *     nibble.pack.dims          [4 n] U64
 *     nibble.pack.padding       [...] U8      zeros
 *
 * and one tensor, nibble.arena, of type I8: the arena of struct nib_model, at a multiple of 2 MB. A
 * reader makes its own plan from the keys and the list of tensors, as if it had the source, and
 * takes the arena only if both agree about every offset: so nothing in a file, however hostile,
 * says where to read.
 */
#ifndef NIB_PACKED_FILE_H
#define NIB_PACKED_FILE_H

#include "gguf.h"
#include "model.h"

/* To be raised by whoever changes how a group of a matrix (quant/pack.h) or a vector lies in memory
 * without a change of its size. */
enum { NIB_PACK_VERSION = 1 };

struct nib_gguf_writer;

/* What a packed file says beside its source. */
struct nib_packed {
    enum nib_type *types; /* [tensors] as they lie in the arena */
    uint64_t layout;
    const uint8_t *arena;
    size_t arena_bytes;
};

bool nib_packed_is(const struct nib_gguf *gguf);

/*
 * `gguf`, which is packed, gets the tensors of its source, without data.  *out is to be freed with
 * nib_packed_free() even after a failure; the arena belongs to the mapping of `gguf`.  `type`: what
 * nib_model_params asks for; it can only be what the file has.
 */
enum nib_status nib_packed_open(struct nib_packed *out, struct nib_gguf *gguf, const char *type,
                                struct nib_error *err);
void nib_packed_free(struct nib_packed *packed);

/* NIB_OK if the plan made for this model is the file's own. */
enum nib_status nib_packed_check(const struct nib_packed *packed, const struct nib_gguf *gguf,
                                 uint64_t layout, size_t arena_bytes, struct nib_error *err);

/*
 * Write a model that is loaded, whose file `gguf` is still open, at `path`: begin() takes all that
 * it needs from `gguf`, write() ends the writer whether it fails or not.  The name appears when the
 * file is complete.
 */
struct nib_packed_origin {
    const char *source, *type; /* as in the file */
};
enum nib_status nib_packed_begin(struct nib_gguf_writer **out, const char *path,
                                 const struct nib_model *model, const struct nib_gguf *gguf,
                                 const struct nib_packed_origin *origin, struct nib_error *err);
/* `progress` (or NULL) returns false to stop. */
enum nib_status nib_packed_write(struct nib_gguf_writer *writer, const struct nib_model *model,
                                 bool (*progress)(void *data, uint64_t done), void *data,
                                 struct nib_error *err);

#endif
