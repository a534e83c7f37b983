/* See gguf_writer.h. */
#include "gguf_writer.h"
#include "checked.h"
#include "gguf_file.h"

#include <stdlib.h>

enum { DEFAULT_ALIGNMENT = 32, HEADER_BYTES = 24 };

struct nib_gguf_writer {
    struct nib_file_writer *file;
    char *pairs, *infos; /* the head's two tables, as in the file */
    size_t n_pairs_bytes, n_infos_bytes, pairs_cap, infos_cap;
    uint64_t n_pairs, n_tensors;
    uint64_t alignment;
    uint64_t n_data;    /* of the tensors declared, with padding */
    uint64_t n_written; /* of them */
    bool is_out_of_memory;
};

enum nib_status nib_gguf_writer_open(struct nib_gguf_writer **out, const char *path,
                                     struct nib_error *err)
{
    struct nib_gguf_writer *writer = calloc(1, sizeof(*writer));
    *out = NULL;
    if (!writer)
        return nib_fail_memory(err, sizeof(*writer), "a file writer");
    writer->alignment = DEFAULT_ALIGNMENT;
    const enum nib_status status = nib_file_writer_open(&writer->file, path, err);
    if (status != NIB_OK) {
        free(writer);
        return status;
    }
    *out = writer;
    return NIB_OK;
}

/* ---- the head -------------------------------------------------------------------------------- */

static void put(struct nib_gguf_writer *w, char **table, size_t *n, size_t *cap, const void *data,
                size_t n_bytes)
{
    if (*cap - *n < n_bytes) {
        const size_t grown_cap = 2 * *cap + n_bytes + 4096;
        char *grown = realloc(*table, grown_cap);
        if (!grown) {
            w->is_out_of_memory = true;
            return;
        }
        *table = grown;
        *cap = grown_cap;
    }
    if (n_bytes > 0)
        memcpy(*table + *n, data, n_bytes);
    *n += n_bytes;
}

static void put_pair(struct nib_gguf_writer *w, const void *data, size_t n_bytes)
{
    put(w, &w->pairs, &w->n_pairs_bytes, &w->pairs_cap, data, n_bytes);
}

static void put_info(struct nib_gguf_writer *w, const void *data, size_t n_bytes)
{
    put(w, &w->infos, &w->n_infos_bytes, &w->infos_cap, data, n_bytes);
}

static void put_key(struct nib_gguf_writer *w, const char *key, uint32_t type)
{
    const uint64_t n = strlen(key);
    put_pair(w, &n, sizeof(n));
    put_pair(w, key, (size_t)n);
    put_pair(w, &type, sizeof(type));
    w->n_pairs++;
}

static void put_u32(struct nib_gguf_writer *w, const struct nib_gguf_u32 *pair)
{
    put_key(w, pair->key, NIB_GGUF_U32);
    put_pair(w, &pair->value, sizeof(pair->value));
}

static void copy_pair(struct nib_gguf_writer *w, const struct nib_gguf_pair *pair)
{
    put_key(w, pair->key, pair->type);
    if (pair->type == NIB_GGUF_ARRAY) {
        const uint32_t element = pair->element;
        put_pair(w, &element, sizeof(element));
        put_pair(w, &pair->n, sizeof(pair->n));
    } else if (pair->type == NIB_GGUF_STRING) {
        const uint64_t n = pair->value.len;
        put_pair(w, &n, sizeof(n));
    }
    put_pair(w, pair->value.data, pair->value.len);
}

void nib_gguf_writer_copy_metadata(struct nib_gguf_writer *writer, const struct nib_gguf *source,
                                   const struct nib_gguf_u32 *changes, size_t n_changes)
{
    writer->alignment = source->alignment;
    for (size_t i = 0; i < source->n_pairs; i++) {
        const struct nib_gguf_u32 *change = NULL;
        for (size_t k = 0; k < n_changes; k++)
            if (strcmp(changes[k].key, source->pairs[i].key) == 0)
                change = &changes[k];
        if (change)
            put_u32(writer, change);
        else
            copy_pair(writer, &source->pairs[i]);
    }
    for (size_t k = 0; k < n_changes; k++)
        if (!nib_gguf_has(source, changes[k].key))
            put_u32(writer, &changes[k]);
}

void nib_gguf_writer_add_pairs(struct nib_gguf_writer *writer, const struct nib_gguf_image *image)
{
    put_pair(writer, image->data + HEADER_BYTES, image->n_bytes - HEADER_BYTES);
    writer->n_pairs += image->n_pairs;
}

uint64_t nib_gguf_tensor_bytes(const struct nib_gguf_tensor *like, enum nib_type type)
{
    const struct nib_type_info *info = nib_type_info(type);
    return like->dims[0] / info->n_values * info->n_bytes * like->dims[1] * like->dims[2] *
           like->dims[3];
}

static uint64_t padded(const struct nib_gguf_writer *w, uint64_t n)
{
    uint64_t out = n;
    nib_checked_align(n, w->alignment, &out); /* tensors are far smaller than 2^64 */
    return out;
}

void nib_gguf_writer_add_tensor(struct nib_gguf_writer *writer, const struct nib_gguf_tensor *like,
                                enum nib_type type)
{
    const uint64_t n = strlen(like->name);
    const uint32_t number = type;
    put_info(writer, &n, sizeof(n));
    put_info(writer, like->name, (size_t)n);
    put_info(writer, &like->n_dims, sizeof(like->n_dims));
    put_info(writer, like->dims, like->n_dims * sizeof(like->dims[0]));
    put_info(writer, &number, sizeof(number));
    put_info(writer, &writer->n_data, sizeof(writer->n_data));
    writer->n_tensors++;
    writer->n_data += padded(writer, nib_gguf_tensor_bytes(like, type));
}

void nib_gguf_writer_align_data(struct nib_gguf_writer *writer, const char *key, uint64_t alignment)
{
    static const char zeros[4096];
    const uint32_t element = NIB_GGUF_U8;
    put_key(writer, key, NIB_GGUF_ARRAY);
    put_pair(writer, &element, sizeof(element));
    const uint64_t head =
        HEADER_BYTES + writer->n_pairs_bytes + sizeof(uint64_t) + writer->n_infos_bytes;
    const uint64_t n = (alignment - head % alignment) % alignment;
    put_pair(writer, &n, sizeof(n));
    for (uint64_t left = n; left > 0 && !writer->is_out_of_memory;) {
        const size_t piece = left < sizeof(zeros) ? (size_t)left : sizeof(zeros);
        put_pair(writer, zeros, piece);
        left -= piece;
    }
}

/* ---- data ------------------------------------------------------------------------------------ */

static enum nib_status pad(struct nib_gguf_writer *w, uint64_t n, struct nib_error *err)
{
    static const char zeros[4096];
    enum nib_status status = NIB_OK;
    while (n > 0 && status == NIB_OK) {
        const size_t piece = n < sizeof(zeros) ? (size_t)n : sizeof(zeros);
        status = nib_file_writer_write(w->file, zeros, piece, err);
        n -= piece;
    }
    return status;
}

enum nib_status nib_gguf_writer_begin_data(struct nib_gguf_writer *writer, struct nib_error *err)
{
    if (writer->is_out_of_memory)
        return nib_fail_memory(err, writer->n_pairs_bytes + writer->n_infos_bytes,
                               "the head of a model file");
    uint8_t start[HEADER_BYTES] = "GGUF";
    const uint32_t version = 3;
    memcpy(start + 4, &version, sizeof(version));
    memcpy(start + 8, &writer->n_tensors, sizeof(writer->n_tensors));
    memcpy(start + 16, &writer->n_pairs, sizeof(writer->n_pairs));

    const uint64_t n = sizeof(start) + writer->n_pairs_bytes + writer->n_infos_bytes;
    enum nib_status status = nib_file_writer_write(writer->file, start, sizeof(start), err);
    if (status == NIB_OK)
        status = nib_file_writer_write(writer->file, writer->pairs, writer->n_pairs_bytes, err);
    if (status == NIB_OK)
        status = nib_file_writer_write(writer->file, writer->infos, writer->n_infos_bytes, err);
    if (status == NIB_OK)
        status = pad(writer, padded(writer, n) - n, err);
    return status;
}

enum nib_status nib_gguf_writer_write(struct nib_gguf_writer *writer, const void *data,
                                      size_t n_bytes, struct nib_error *err)
{
    writer->n_written += n_bytes;
    assert(writer->n_written <= writer->n_data);
    return nib_file_writer_write(writer->file, data, n_bytes, err);
}

enum nib_status nib_gguf_writer_end_tensor(struct nib_gguf_writer *writer, struct nib_error *err)
{
    const uint64_t n = padded(writer, writer->n_written) - writer->n_written;
    writer->n_written += n;
    return pad(writer, n, err);
}

static void free_writer(struct nib_gguf_writer *writer)
{
    free(writer->pairs);
    free(writer->infos);
    free(writer);
}

enum nib_status nib_gguf_writer_commit(struct nib_gguf_writer *writer, struct nib_error *err)
{
    assert(writer->n_written == writer->n_data);
    const enum nib_status status = nib_file_writer_commit(writer->file, err);
    free_writer(writer);
    return status;
}

void nib_gguf_writer_abort(struct nib_gguf_writer *writer)
{
    if (!writer)
        return;
    nib_file_writer_abort(writer->file);
    free_writer(writer);
}
