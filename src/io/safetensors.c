/* Writing .safetensors: 8 bytes of header length, the header in JSON, then the data without gaps.
 * See safetensors.h. */
#include "safetensors.h"
#include "checked.h"
#include "os.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors data is little-endian");

enum {
    MAX_HEADER = 100 * 1000 * 1000, /* readers refuse more */
    MAX_ENTRY = 256, /* of JSON: name, three dimensions and two offsets of 20 digits */
};

struct nib_safetensors_writer {
    struct nib_file_writer *file;
    uint64_t n_values, n_written;
};

/* The name needs no escapes in JSON, and the size fits. */
static enum nib_status check_entry(const struct nib_safetensors_entry *e, uint64_t *n_bytes,
                                   struct nib_error *err)
{
    const char *end = memchr(e->name, '\0', sizeof(e->name));
    if (!end || end == e->name)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "a tensor's name must have 1 to %zu letters to be written",
                        sizeof(e->name) - 1);
    for (const char *c = e->name; c < end; c++)
        if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\')
            return nib_fail(err, NIB_ERROR_ARGUMENT,
                            "tensor name \"%s\": only ASCII without quotes and backslashes can be "
                            "written",
                            e->name);
    if (e->n_dims < 1 || e->n_dims > 3)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "tensor %s: %" PRIu32 " dimensions; 1 to 3 can be "
                        "written",
                        e->name, e->n_dims);
    *n_bytes = sizeof(float);
    for (uint32_t i = 0; i < e->n_dims; i++)
        if (!nib_checked_mul(*n_bytes, e->dims[i], n_bytes))
            return nib_fail(err, NIB_ERROR_ARGUMENT, "tensor %s: more than 2^64 bytes", e->name);
    return NIB_OK;
}

/* {"dtype":"F32","shape":[2,3],"data_offsets":[0,24]} with its name; returns the length. */
static size_t print_entry(char *out, const struct nib_safetensors_entry *e, uint64_t begin,
                          uint64_t end)
{
    size_t n = (size_t)snprintf(out, MAX_ENTRY, "\"%s\":{\"dtype\":\"F32\",\"shape\":[", e->name);
    for (uint32_t i = 0; i < e->n_dims; i++)
        n += (size_t)snprintf(out + n, MAX_ENTRY - n, "%s%" PRIu64, i ? "," : "", e->dims[i]);
    n += (size_t)snprintf(out + n, MAX_ENTRY - n, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}",
                          begin, end);
    return n;
}

/* Length and JSON, padded with blanks so that the data begins at a multiple of 8; to be freed. */
static enum nib_status make_header(char **out, size_t *n_out, uint64_t *n_data,
                                   const struct nib_safetensors_entry *entries, size_t n_entries,
                                   struct nib_error *err)
{
    if (n_entries > MAX_HEADER / MAX_ENTRY)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "%zu tensors are more than one safetensors file takes (%d); write several "
                        "files",
                        n_entries, MAX_HEADER / MAX_ENTRY);
    const size_t cap = 8 + 2 + n_entries * (MAX_ENTRY + 1) + 8;
    char *header = malloc(cap);
    if (!header)
        return nib_fail_memory(err, cap, "the header of a safetensors file");

    size_t n = 8;
    header[n++] = '{';
    uint64_t begin = 0;
    for (size_t i = 0; i < n_entries; i++) {
        uint64_t n_bytes = 0, end = 0;
        enum nib_status status = check_entry(&entries[i], &n_bytes, err);
        if (status == NIB_OK && !nib_checked_add(begin, n_bytes, &end))
            status = nib_fail(err, NIB_ERROR_ARGUMENT, "tensor %s: the file would pass 2^64 bytes",
                              entries[i].name);
        if (status != NIB_OK) {
            free(header);
            return status;
        }
        if (i > 0)
            header[n++] = ',';
        n += print_entry(header + n, &entries[i], begin, end);
        begin = end;
    }
    header[n++] = '}';
    while (n % 8 != 0)
        header[n++] = ' ';
    const uint64_t n_json = n - 8;
    memcpy(header, &n_json, sizeof(n_json));
    *out = header;
    *n_out = n;
    *n_data = begin;
    return NIB_OK;
}

enum nib_status nib_safetensors_writer_open(struct nib_safetensors_writer **out, const char *path,
                                            const struct nib_safetensors_entry *entries,
                                            size_t n_entries, struct nib_error *err)
{
    *out = NULL;
    char *header = NULL;
    size_t n_header = 0;
    uint64_t n_data = 0;
    struct nib_safetensors_writer *writer = NULL;
    enum nib_status status = make_header(&header, &n_header, &n_data, entries, n_entries, err);
    if (status != NIB_OK)
        goto fail;
    writer = calloc(1, sizeof(*writer));
    if (!writer) {
        status = nib_fail_memory(err, sizeof(*writer), "a file writer");
        goto fail;
    }
    writer->n_values = n_data / sizeof(float);
    status = nib_file_writer_open(&writer->file, path, err);
    if (status == NIB_OK)
        status = nib_file_writer_write(writer->file, header, n_header, err);
    if (status != NIB_OK)
        goto fail;
    free(header);
    *out = writer;
    return NIB_OK;

fail:
    free(header);
    nib_safetensors_writer_abort(writer);
    return status;
}

enum nib_status nib_safetensors_writer_write(struct nib_safetensors_writer *writer,
                                             const float *data, size_t n_values,
                                             struct nib_error *err)
{
    if (n_values > writer->n_values - writer->n_written)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "%zu values after %" PRIu64 " are more than the %" PRIu64
                        " of the table of "
                        "tensors",
                        n_values, writer->n_written, writer->n_values);
    const enum nib_status status =
        nib_file_writer_write(writer->file, data, n_values * sizeof(float), err);
    if (status == NIB_OK)
        writer->n_written += n_values;
    return status;
}

enum nib_status nib_safetensors_writer_commit(struct nib_safetensors_writer *writer,
                                              struct nib_error *err)
{
    if (writer->n_written != writer->n_values) {
        const enum nib_status status =
            nib_fail(err, NIB_ERROR_ARGUMENT,
                     "%" PRIu64 " values were written of the %" PRIu64 " of the table of tensors",
                     writer->n_written, writer->n_values);
        nib_safetensors_writer_abort(writer);
        return status;
    }
    const enum nib_status status = nib_file_writer_commit(writer->file, err);
    free(writer);
    return status;
}

void nib_safetensors_writer_abort(struct nib_safetensors_writer *writer)
{
    if (!writer)
        return;
    nib_file_writer_abort(writer->file);
    free(writer);
}
