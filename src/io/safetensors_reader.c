/* See safetensors_reader.h. */
#include "safetensors_reader.h"
#include "checked.h"
#include "json_reader.h"
#include "os.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    LENGTH_BYTES = 8,
    MAX_HEADER = 100000000,
    MAX_TENSORS = 1000000,
    VALUES_PER_TENSOR = 32, /* of the JSON, for its bound */
};

struct nib_safetensors {
    char *path;
    struct nib_mapping file;
    yyjson_doc *header; /* names and types are its strings */
    struct nib_safetensors_tensor *tensors;
    size_t n_tensors;
};

struct reader {
    struct nib_safetensors *file;
    const uint8_t *data;
    size_t n_bytes, n_header;
    struct nib_error *err;
};

/* ---- the header ------------------------------------------------------------------------------ */

static enum nib_status read_length(struct reader *r)
{
    const char *path = r->file->path;
    static const char lfs[] = "version https://git-lfs";
    if (r->n_bytes >= sizeof(lfs) && memcmp(r->data, lfs, sizeof(lfs) - 1) == 0)
        return nib_fail(r->err, NIB_ERROR_FILE,
                        "%s: is a Git LFS pointer, not the weights; run \"git lfs pull\"", path);
    uint64_t n;
    if (r->n_bytes < sizeof(n))
        return nib_fail(r->err, NIB_ERROR_FILE,
                        "%s: the file has %zu bytes, less than a safetensors header length (8): it "
                        "is truncated; download it again",
                        path, r->n_bytes);
    memcpy(&n, r->data, sizeof(n));
    if (n > MAX_HEADER)
        return nib_fail(r->err, NIB_ERROR_FILE,
                        "%s: its header would have %" PRIu64
                        " bytes, at most %d are allowed: this is no safetensors file, or it is "
                        "damaged; download it again",
                        path, n, MAX_HEADER);
    if (n > r->n_bytes - LENGTH_BYTES)
        return nib_fail(r->err, NIB_ERROR_FILE,
                        "%s: its header needs %" PRIu64
                        " bytes, but only %zu follow: the file is truncated; download it again",
                        path, n, r->n_bytes - LENGTH_BYTES);
    if (n < 2 || r->data[LENGTH_BYTES] != '{')
        return nib_fail(r->err, NIB_ERROR_FILE,
                        "%s: its header of %" PRIu64
                        " bytes does not begin with '{': this is no safetensors file, or it is "
                        "damaged; download it again",
                        path, n);
    r->n_header = (size_t)n;
    return NIB_OK;
}

static enum nib_status parse_header(struct reader *r)
{
    static const struct nib_json_limits limits = {MAX_HEADER,
                                                  (size_t)MAX_TENSORS * VALUES_PER_TENSOR, 8};
    const char *text = (const char *)r->data + LENGTH_BYTES;
    size_t n = r->n_header;
    while (text[n - 1] == ' ')
        n--;
    if (text[n - 1] != '}')
        return nib_fail(r->err, NIB_ERROR_FILE,
                        "%s: its header ends in byte 0x%02x, expected '}' and blanks: the file is "
                        "damaged or was made by a faulty program; download it again",
                        r->file->path, (unsigned char)text[n - 1]);
    enum nib_status status =
        nib_json_parse(&r->file->header, text, n, &limits, r->file->path, r->err);
    if (status != NIB_OK)
        return status;
    yyjson_val *root = yyjson_doc_get_root(r->file->header);
    if (yyjson_obj_size(root) > MAX_TENSORS + 1)
        return nib_fail(r->err, NIB_ERROR_FILE,
                        "%s: its header names %zu tensors, at most %d are allowed; get the file "
                        "again from its publisher",
                        r->file->path, yyjson_obj_size(root), MAX_TENSORS);
    return nib_json_check_keys(root, r->file->path, "the header", r->err);
}

/* Its content is never acted on. */
static enum nib_status check_metadata(const struct reader *r, yyjson_val *metadata)
{
    size_t i, n;
    yyjson_val *key, *value;
    bool is_sound = yyjson_is_obj(metadata) || yyjson_is_null(metadata);
    yyjson_obj_foreach(metadata, i, n, key, value) is_sound = is_sound && yyjson_is_str(value);
    return is_sound ? NIB_OK
                    : nib_fail(r->err, NIB_ERROR_FILE,
                               "%s: __metadata__ in its header must be an object of strings: the "
                               "file was made by a faulty program; get it again from its publisher",
                               r->file->path);
}

/* ---- tensors --------------------------------------------------------------------------------- */

static enum nib_status fail_tensor(const struct reader *r, const char *name, const char *what)
{
    return nib_fail(r->err, NIB_ERROR_FILE,
                    "%s: tensor %.128s: %s: the file is damaged or was made by a faulty program; "
                    "download it again",
                    r->file->path, name, what);
}

/* Bits of a value; 0: the format has no such type. */
static unsigned dtype_bits(const char *name)
{
    static const struct {
        const char *name;
        unsigned bits;
    } dtypes[] = {
        {"F32", 32},        {"F16", 16},        {"BF16", 16},   {"F64", 64},    {"F8_E4M3", 8},
        {"F8_E5M2", 8},     {"F8_E8M0", 8},     {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F4", 4},
        {"BOOL", 8},        {"U8", 8},          {"I8", 8},      {"U16", 16},    {"I16", 16},
        {"U32", 32},        {"I32", 32},        {"U64", 64},    {"I64", 64},    {"C64", 64},
        {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
    };
    for (size_t i = 0; i < NIB_COUNT(dtypes); i++)
        if (strcmp(dtypes[i].name, name) == 0)
            return dtypes[i].bits;
    return 0;
}

/* The dimensions, and the bytes that they and the type make. */
static enum nib_status read_shape(const struct reader *r, struct nib_safetensors_tensor *t,
                                  yyjson_val *shape)
{
    char what[128];
    if (!yyjson_is_arr(shape))
        return fail_tensor(r, t->name, "its shape is no array");
    if (yyjson_arr_size(shape) > NIB_SAFETENSORS_MAX_DIMS) {
        snprintf(what, sizeof(what), "it has %zu dimensions, at most %d are allowed",
                 yyjson_arr_size(shape), NIB_SAFETENSORS_MAX_DIMS);
        return fail_tensor(r, t->name, what);
    }
    uint64_t n_bits = dtype_bits(t->dtype);
    size_t i, n;
    yyjson_val *dim;
    yyjson_arr_foreach(shape, i, n, dim)
    {
        if (!yyjson_is_uint(dim)) {
            snprintf(what, sizeof(what), "dimension %zu is no integer of at least 0", i);
            return fail_tensor(r, t->name, what);
        }
        t->dims[i] = yyjson_get_uint(dim);
    }
    t->n_dims = (uint32_t)n;
    for (i = 0; i < t->n_dims; i++)
        if (!nib_checked_mul(n_bits, t->dims[i], &n_bits))
            return fail_tensor(r, t->name, "its dimensions make more than 2^64 bits");
    if (n_bits % 8 != 0)
        return fail_tensor(r, t->name, "its values make no whole number of bytes");
    t->n_bytes = (size_t)(n_bits / 8);
    return NIB_OK;
}

static enum nib_status read_offsets(const struct reader *r, struct nib_safetensors_tensor *t,
                                    yyjson_val *offsets)
{
    char what[224];
    yyjson_val *first = yyjson_arr_get(offsets, 0), *second = yyjson_arr_get(offsets, 1);
    if (yyjson_arr_size(offsets) != 2 || !yyjson_is_uint(first) || !yyjson_is_uint(second))
        return fail_tensor(r, t->name, "its data_offsets are no two integers of at least 0");
    const uint64_t begin = yyjson_get_uint(first), end = yyjson_get_uint(second);
    const uint64_t n_data = r->n_bytes - LENGTH_BYTES - r->n_header;
    if (end < begin || end > n_data) {
        snprintf(what, sizeof(what),
                 "its data_offsets are %" PRIu64 " and %" PRIu64
                 ", expected the first to be at most the second, and both within the %" PRIu64
                 " bytes of data",
                 begin, end, n_data);
        return fail_tensor(r, t->name, what);
    }
    if (end - begin != t->n_bytes) {
        snprintf(what, sizeof(what),
                 "its data_offsets span %" PRIu64 " bytes, but its shape and type make %zu",
                 end - begin, t->n_bytes);
        return fail_tensor(r, t->name, what);
    }
    t->data = r->data + LENGTH_BYTES + r->n_header + begin;
    return NIB_OK;
}

static enum nib_status read_tensor(const struct reader *r, struct nib_safetensors_tensor *t,
                                   const char *name, yyjson_val *entry)
{
    char where[160];
    t->name = name;
    if (*name == '\0')
        return nib_fail(r->err, NIB_ERROR_FILE,
                        "%s: a tensor in its header has no name; get the file again from its "
                        "publisher",
                        r->file->path);
    if (!yyjson_is_obj(entry))
        return fail_tensor(r, name, "its entry in the header is no object");
    snprintf(where, sizeof(where), "tensor %.128s", name);
    enum nib_status status = nib_json_check_keys(entry, r->file->path, where, r->err);
    if (status != NIB_OK)
        return status;
    yyjson_val *dtype = yyjson_obj_get(entry, "dtype");
    t->dtype = yyjson_get_str(dtype);
    if (!t->dtype)
        return fail_tensor(r, name, "it has no dtype");
    if (dtype_bits(t->dtype) == 0 || strlen(t->dtype) != yyjson_get_len(dtype)) {
        char what[96];
        snprintf(what, sizeof(what), "its dtype \"%.32s\" is none of the format", t->dtype);
        return fail_tensor(r, name, what);
    }
    status = read_shape(r, t, yyjson_obj_get(entry, "shape"));
    if (status == NIB_OK)
        status = read_offsets(r, t, yyjson_obj_get(entry, "data_offsets"));
    return status;
}

/* Empty tensors come before what begins where they lie. */
static int compare_data(const void *a, const void *b)
{
    const struct nib_safetensors_tensor *x = a, *y = b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    if (x->n_bytes != y->n_bytes)
        return x->n_bytes < y->n_bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

static enum nib_status check_cover(const struct reader *r)
{
    const struct nib_safetensors *file = r->file;
    const uint8_t *begin = r->data + LENGTH_BYTES + r->n_header, *at = begin;
    for (size_t i = 0; i < file->n_tensors; i++) {
        const struct nib_safetensors_tensor *t = &file->tensors[i];
        if (t->data != at) {
            char what[160];
            snprintf(what, sizeof(what),
                     "its data begins at byte %zu, expected %zu, where the data before it ends",
                     (size_t)(t->data - begin), (size_t)(at - begin));
            return fail_tensor(r, t->name, what);
        }
        at += t->n_bytes;
    }
    const size_t n_used = (size_t)(at - r->data);
    if (n_used != r->n_bytes)
        return nib_fail(r->err, NIB_ERROR_FILE,
                        "%s: its tensors end at byte %zu, but the file has %zu: something was "
                        "appended, or the file is damaged; download it again",
                        file->path, n_used, r->n_bytes);
    return NIB_OK;
}

static enum nib_status read_tensors(const struct reader *r)
{
    struct nib_safetensors *file = r->file;
    yyjson_val *root = yyjson_doc_get_root(file->header);
    const size_t n_entries = yyjson_obj_size(root);
    file->tensors = calloc(n_entries ? n_entries : 1, sizeof(*file->tensors));
    if (!file->tensors)
        return nib_fail_memory(r->err, n_entries * sizeof(*file->tensors), "a table of tensors");
    enum nib_status status = NIB_OK;
    size_t i, n;
    yyjson_val *key, *value;
    yyjson_obj_foreach(root, i, n, key, value)
    {
        const char *name = yyjson_get_str(key);
        if (strcmp(name, "__metadata__") == 0)
            status = check_metadata(r, value);
        else
            status = read_tensor(r, &file->tensors[file->n_tensors++], name, value);
        if (status != NIB_OK)
            return status;
    }
    qsort(file->tensors, file->n_tensors, sizeof(*file->tensors), compare_data);
    return check_cover(r);
}

/* ---- open, close ----------------------------------------------------------------------------- */

static enum nib_status open_any(struct nib_safetensors **out, const char *path, const void *data,
                                size_t n_bytes, struct nib_error *err)
{
    *out = NULL;
    enum nib_status status = NIB_OK;
    struct nib_safetensors *file = calloc(1, sizeof(*file));
    if (!file || !(file->path = strdup(path))) {
        status = nib_fail_memory(err, sizeof(*file), "a safetensors file");
        goto fail;
    }
    if (!data) {
        status = nib_os_map(&file->file, path, err);
        if (status != NIB_OK)
            goto fail;
        data = file->file.data;
        n_bytes = file->file.n_bytes;
    }
    struct reader r = {.file = file, .data = data, .n_bytes = n_bytes, .err = err};
    status = read_length(&r);
    if (status == NIB_OK)
        status = parse_header(&r);
    if (status == NIB_OK)
        status = read_tensors(&r);
    if (status != NIB_OK)
        goto fail;
    *out = file;
    return NIB_OK;

fail:
    nib_safetensors_close(file);
    return status;
}

enum nib_status nib_safetensors_open(struct nib_safetensors **out, const char *path,
                                     struct nib_error *err)
{
    return open_any(out, path, NULL, 0, err);
}

enum nib_status nib_safetensors_open_memory(struct nib_safetensors **out, const void *data,
                                            size_t n_bytes, const char *name, struct nib_error *err)
{
    assert(data);
    return open_any(out, name, data, n_bytes, err);
}

void nib_safetensors_close(struct nib_safetensors *file)
{
    if (!file)
        return;
    yyjson_doc_free(file->header);
    nib_os_unmap(&file->file);
    free(file->tensors);
    free(file->path);
    free(file);
}

const char *nib_safetensors_path(const struct nib_safetensors *file)
{
    return file->path;
}

size_t nib_safetensors_count(const struct nib_safetensors *file)
{
    return file->n_tensors;
}

const struct nib_safetensors_tensor *nib_safetensors_tensor(const struct nib_safetensors *file,
                                                            size_t i)
{
    assert(i < file->n_tensors);
    return &file->tensors[i];
}
