/* GGUF: the header, the table of tensors, and where their data lies.  See gguf.h. */
#include "gguf_file.h"
#include "checked.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    HEADER_BYTES = 24,     /* magic, version, number of tensors, number of keys */
    MIN_PAIR_BYTES = 14,   /* length, one letter, type, one byte */
    MIN_TENSOR_BYTES = 33, /* length, one letter, n_dims, one dimension, type, offset */
    MAX_TENSOR_NAME = 64,
    DEFAULT_ALIGNMENT = 32,
};

/* ---- shared with gguf_metadata.c ----------------------------------------------------------- */

enum nib_status nib_gguf_fail_end(const struct nib_gguf_cursor *c, const char *what)
{
    return nib_fail(c->err, NIB_ERROR_FILE,
                    "%s: %s needs %" PRIu64 " bytes at byte %zu, but the file has only %zu: it is "
                    "truncated or damaged; download it again",
                    c->gguf->path, what, c->wanted, c->at, c->n_bytes);
}

void *nib_gguf_grow(void *array, size_t *cap, size_t n, size_t size)
{
    if (n < *cap)
        return array;
    const size_t wanted = *cap ? 2 * *cap : 64;
    void *grown = realloc(array, wanted * size);
    if (grown)
        *cap = wanted;
    return grown;
}

static bool append_name(struct nib_gguf_names *names, struct nib_str name)
{
    if (names->cap - names->n_bytes <= name.len) {
        const size_t cap = 2 * names->cap + name.len + 4096;
        char *text = realloc(names->text, cap);
        if (!text)
            return false;
        names->text = text;
        names->cap = cap;
    }
    memcpy(names->text + names->n_bytes, name.data, name.len);
    names->n_bytes += name.len;
    names->text[names->n_bytes++] = '\0';
    return true;
}

enum nib_status nib_gguf_take_name(struct nib_gguf_cursor *c, struct nib_gguf_names *names,
                                   const char *what, uint64_t i, size_t max, size_t *out)
{
    const char *path = c->gguf->path;
    const size_t begin = c->at;
    struct nib_str name;
    if (!nib_gguf_take_string(c, &name)) {
        char where[64];
        snprintf(where, sizeof(where), "the name of %s %" PRIu64, what, i);
        return nib_gguf_fail_end(c, where);
    }
    if (name.len == 0)
        return nib_fail(c->err, NIB_ERROR_FILE,
                        "%s: %s %" PRIu64 " (byte %zu) has an empty name: the file is damaged; "
                        "download it again",
                        path, what, i, begin);
    if (name.len > max)
        return nib_fail(c->err, NIB_ERROR_FILE,
                        "%s: the name of %s %" PRIu64 ", \"%.32s...\", has %zu bytes; at most %zu "
                        "are allowed: the file is damaged or was made by a faulty converter",
                        path, what, i, name.data, name.len, max);
    for (size_t k = 0; k < name.len; k++)
        if (name.data[k] <= ' ' || name.data[k] > '~')
            return nib_fail(
                c->err, NIB_ERROR_FILE,
                "%s: the name of %s %" PRIu64 ", \"%.*s\", holds byte 0x%02x; only "
                "printable ASCII is allowed: the file is damaged or was made by a faulty "
                "converter",
                path, what, i, (int)(name.len < 64 ? name.len : 64), name.data,
                (unsigned char)name.data[k]);
    *out = names->n_bytes;
    if (!append_name(names, name))
        return nib_fail_memory(c->err, name.len, "the names in a model file");
    return NIB_OK;
}

static int compare_names(const void *a, const void *b)
{
    const struct nib_gguf_index *x = a, *y = b;
    return strcmp(x->name, y->name);
}

enum nib_status nib_gguf_index_create(struct nib_gguf_index **out, const void *array, size_t n,
                                      size_t size, const struct nib_gguf_cursor *c,
                                      const char *what)
{
    struct nib_gguf_index *index = malloc((n ? n : 1) * sizeof(*index));
    if (!index)
        return nib_fail_memory(c->err, n * sizeof(*index), "the index of a model file");
    for (size_t i = 0; i < n; i++) {
        const void *element = (const char *)array + i * size;
        index[i] = (struct nib_gguf_index){*(const char *const *)element, i};
    }
    qsort(index, n, sizeof(*index), compare_names);
    *out = index;

    for (size_t i = 1; i < n; i++)
        if (strcmp(index[i - 1].name, index[i].name) == 0)
            return nib_fail(c->err, NIB_ERROR_FILE,
                            "%s: %s \"%.64s\" is there twice (numbers %zu and %zu): the file is "
                            "damaged or was made by a faulty converter",
                            c->gguf->path, what, index[i].name, index[i - 1].i, index[i].i);
    return NIB_OK;
}

const struct nib_gguf_index *nib_gguf_index_find(const struct nib_gguf_index *index, size_t n,
                                                 const char *name)
{
    if (n == 0)
        return NULL;
    const struct nib_gguf_index wanted = {.name = name};
    return bsearch(&wanted, index, n, sizeof(*index), compare_names);
}

/* ---- the header ---------------------------------------------------------------------------- */

/* What people hand in instead of a model. */
static enum nib_status fail_magic(const struct nib_gguf_cursor *c)
{
    static const struct {
        const char *begins, *is;
    } known[] = {
        {"version https://git-lfs",
         "it is a Git LFS pointer; run \"git lfs pull\" to get the model"},
        {"<", "it looks like a web page; download the model file itself"},
        {"PK\003\004", "it is a zip archive (PyTorch?); convert the model to GGUF"},
        {"lmgg", "it is an old GGML file; get or convert the model as GGUF"},
        {"fmgg", "it is an old GGMF file; get or convert the model as GGUF"},
        {"tjgg", "it is an old GGJT file; get or convert the model as GGUF"},
    };
    for (size_t i = 0; i < NIB_COUNT(known); i++) {
        const size_t n = strlen(known[i].begins);
        if (c->n_bytes >= n && memcmp(c->data, known[i].begins, n) == 0)
            return nib_fail(c->err, NIB_ERROR_FILE, "%s: not a GGUF file: %s", c->gguf->path,
                            known[i].is);
    }
    if (c->n_bytes > 8 && c->data[8] == '{')
        return nib_fail(c->err, NIB_ERROR_FILE,
                        "%s: not a GGUF file: it looks like safetensors; convert the model to GGUF",
                        c->gguf->path);
    const int n = c->n_bytes < 4 ? (int)c->n_bytes : 4;
    return nib_fail(c->err, NIB_ERROR_FILE,
                    "%s: not a GGUF file: it begins with \"%.*s\", not with \"GGUF\"; give a model "
                    "in GGUF format",
                    c->gguf->path, n, (const char *)c->data);
}

static enum nib_status check_version(const struct nib_gguf_cursor *c, uint32_t version)
{
    const char *path = c->gguf->path;
    if (version == 2 || version == 3)
        return NIB_OK;
    if (version == 0)
        return nib_fail(c->err, NIB_ERROR_FILE,
                        "%s: GGUF version 0 does not exist: the file is damaged; download it again",
                        path);
    if (version == 1)
        return nib_fail(c->err, NIB_ERROR_FILE,
                        "%s: GGUF version 1 is no longer read (2 and 3 are); get a newer file of "
                        "this model or convert it again",
                        path);
    if ((version & 0xffff) == 0)
        return nib_fail(c->err, NIB_ERROR_FILE,
                        "%s: the file has the byte order of a big-endian machine (version "
                        "0x%08" PRIx32 "); convert it to little-endian",
                        path, version);
    return nib_fail(c->err, NIB_ERROR_FILE,
                    "%s: GGUF version %" PRIu32
                    " is not known (2 and 3 are): use a newer nibble, or "
                    "download the file again if it should be of these",
                    path, version);
}

static enum nib_status check_count(const struct nib_gguf_cursor *c, uint64_t n, uint64_t min_bytes,
                                   const char *what)
{
    if (n <= nib_gguf_left(c) / min_bytes)
        return NIB_OK;
    return nib_fail(c->err, NIB_ERROR_FILE,
                    "%s: the header promises %" PRIu64
                    " %s, but its %zu bytes cannot hold them: the "
                    "file is truncated or damaged; download it again",
                    c->gguf->path, n, what, c->n_bytes);
}

static enum nib_status read_header(struct nib_gguf_cursor *c, uint64_t *n_tensors,
                                   uint64_t *n_pairs)
{
    uint32_t version;
    if (c->n_bytes < 4 || memcmp(c->data, "GGUF", 4) != 0)
        return fail_magic(c);
    if (c->n_bytes < HEADER_BYTES)
        return nib_fail(
            c->err, NIB_ERROR_FILE,
            "%s: the file has %zu bytes, less than a GGUF header (24): it is truncated; "
            "download it again",
            c->gguf->path, c->n_bytes);
    c->at = 4;
    nib_gguf_take(c, &version, sizeof(version));
    enum nib_status status = check_version(c, version);
    if (status != NIB_OK)
        return status;
    nib_gguf_take(c, n_tensors, sizeof(*n_tensors));
    nib_gguf_take(c, n_pairs, sizeof(*n_pairs));
    status = check_count(c, *n_pairs, MIN_PAIR_BYTES, "metadata keys");
    if (status == NIB_OK)
        status = check_count(c, *n_tensors, MIN_TENSOR_BYTES, "tensors");
    return status;
}

static enum nib_status read_alignment(struct nib_gguf_cursor *c)
{
    struct nib_gguf *gguf = c->gguf;
    gguf->alignment = DEFAULT_ALIGNMENT;
    const struct nib_gguf_index *found =
        nib_gguf_index_find(gguf->pairs_by_key, gguf->n_pairs, "general.alignment");
    if (!found)
        return NIB_OK;
    const struct nib_gguf_pair *pair = &gguf->pairs[found->i];
    if (pair->type != NIB_GGUF_U32)
        return nib_fail(
            c->err, NIB_ERROR_FILE,
            "%s: general.alignment must be a u32 (value type 4), not value type %d: the "
            "file is damaged or was made by a faulty converter",
            gguf->path, (int)pair->type);
    uint32_t alignment;
    memcpy(&alignment, pair->value.data, sizeof(alignment));
    if (alignment < 8 || alignment > 65536 || (alignment & (alignment - 1)) != 0)
        return nib_fail(c->err, NIB_ERROR_FILE,
                        "%s: general.alignment is %" PRIu32 "; it must be a power of two from 8 to "
                        "65536: the file is damaged or was made by a faulty converter",
                        gguf->path, alignment);
    gguf->alignment = alignment;
    return NIB_OK;
}

/* ---- tensors ------------------------------------------------------------------------------- */

/* As the table has it; becomes a nib_gguf_tensor when the data is placed. */
struct entry {
    size_t name; /* offset in names */
    struct nib_gguf_tensor tensor;
    uint64_t offset, n_bytes;
};

NIB_PRINTF(3, 4)
static enum nib_status fail_tensor(const struct nib_gguf_cursor *c, const struct entry *e,
                                   const char *format, ...)
{
    char what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    return nib_fail(c->err, NIB_ERROR_FILE, "%s: tensor %s: %s", c->gguf->path,
                    c->gguf->tensor_names.text + e->name, what);
}

static enum nib_status read_dims(struct nib_gguf_cursor *c, struct entry *e, uint64_t *n_values)
{
    struct nib_gguf_tensor *t = &e->tensor;
    if (!nib_gguf_take(c, &t->n_dims, sizeof(t->n_dims)))
        return nib_gguf_fail_end(c, "the table of tensors");
    if (t->n_dims < 1 || t->n_dims > 4)
        return fail_tensor(c, e,
                           "has %" PRIu32 " dimensions; 1 to 4 are allowed: the file is damaged or "
                           "holds what nibble does not run",
                           t->n_dims);
    *n_values = 1;
    for (uint32_t i = 0; i < 4; i++) {
        t->dims[i] = 1;
        if (i >= t->n_dims)
            continue;
        if (!nib_gguf_take(c, &t->dims[i], sizeof(t->dims[i])))
            return nib_gguf_fail_end(c, "the table of tensors");
        if (t->dims[i] == 0)
            return fail_tensor(c, e,
                               "dimension %" PRIu32 " is 0: the file is damaged or was made by a "
                               "faulty converter",
                               i);
        if (!nib_checked_mul(*n_values, t->dims[i], n_values) || *n_values > INT64_MAX)
            return fail_tensor(c, e,
                               "dimension %" PRIu32 " is %" PRIu64
                               ", which makes the tensor larger "
                               "than 2^63 values: the file is damaged; download it again",
                               i, t->dims[i]);
    }
    return NIB_OK;
}

static enum nib_status fail_type(const struct nib_gguf_cursor *c, const struct entry *e,
                                 uint32_t type)
{
    static const uint8_t withdrawn[] = {4, 5, 31, 32, 33, 36, 37, 38};
    for (size_t i = 0; i < NIB_COUNT(withdrawn); i++)
        if (type == withdrawn[i])
            return fail_tensor(c, e,
                               "type %" PRIu32 " was withdrawn from GGUF; get a newer file of this "
                               "model or convert it again",
                               type);
    return fail_tensor(c, e,
                       "type %" PRIu32 " is not known: use a newer nibble, or download the file "
                       "again",
                       type);
}

static enum nib_status read_type(struct nib_gguf_cursor *c, struct entry *e, uint64_t n_values)
{
    uint32_t type;
    if (!nib_gguf_take(c, &type, sizeof(type)))
        return nib_gguf_fail_end(c, "the table of tensors");
    const struct nib_type_info *info = nib_type_info(type);
    if (!info)
        return fail_type(c, e, type);
    e->tensor.type = (enum nib_type)type;
    if (e->tensor.dims[0] % info->n_values != 0)
        return fail_tensor(c, e,
                           "has rows of %" PRIu64 " values, which %s cannot hold: its blocks have "
                           "%" PRIu32 ": the file is damaged or was made by a faulty converter",
                           e->tensor.dims[0], info->name, info->n_values);
    if (!nib_checked_mul(n_values / info->n_values, info->n_bytes, &e->n_bytes))
        return fail_tensor(c, e,
                           "its %" PRIu64
                           " values of type %s are more than 2^64 bytes: the file is "
                           "damaged; download it again",
                           n_values, info->name);
    return NIB_OK;
}

static enum nib_status read_entry(struct nib_gguf_cursor *c, uint64_t i, struct entry *e)
{
    uint64_t n_values = 0;
    enum nib_status status =
        nib_gguf_take_name(c, &c->gguf->tensor_names, "tensor", i, MAX_TENSOR_NAME, &e->name);
    if (status == NIB_OK)
        status = read_dims(c, e, &n_values);
    if (status == NIB_OK)
        status = read_type(c, e, n_values);
    if (status == NIB_OK && !nib_gguf_take(c, &e->offset, sizeof(e->offset)))
        status = nib_gguf_fail_end(c, "the table of tensors");
    if (status == NIB_OK && e->offset % c->gguf->alignment != 0)
        status =
            fail_tensor(c, e,
                        "its offset %" PRIu64 " is no multiple of the file's alignment %" PRIu64
                        ": the file is damaged; download it again",
                        e->offset, c->gguf->alignment);
    return status;
}

/* The last byte that the data takes must be there.  `begin` is the file offset of all data. */
static enum nib_status place_data(const struct nib_gguf_cursor *c, struct entry *e, uint64_t begin)
{
    uint64_t first, end;
    if (!nib_checked_add(begin, e->offset, &first) || !nib_checked_add(first, e->n_bytes, &end))
        return fail_tensor(c, e,
                           "its offset %" PRIu64 " plus its %" PRIu64
                           " bytes pass 2^64: the file is "
                           "damaged; download it again",
                           e->offset, e->n_bytes);
    if (end > c->n_bytes)
        return fail_tensor(c, e,
                           "ends at byte %" PRIu64 ", but the file has %zu: it is truncated; "
                           "download it again",
                           end, c->n_bytes);
    e->tensor.data = c->data + first;
    e->tensor.n_bytes = (size_t)e->n_bytes;
    return NIB_OK;
}

static int compare_data(const void *a, const void *b)
{
    const struct nib_gguf_tensor *x = *(const struct nib_gguf_tensor *const *)a;
    const struct nib_gguf_tensor *y = *(const struct nib_gguf_tensor *const *)b;
    return (x->data > y->data) - (x->data < y->data);
}

static enum nib_status check_overlaps(const struct nib_gguf_cursor *c)
{
    const struct nib_gguf *gguf = c->gguf;
    const size_t n = gguf->n_tensors;
    const struct nib_gguf_tensor **order = malloc((n ? n : 1) * sizeof(*order));
    if (!order)
        return nib_fail_memory(c->err, n * sizeof(*order), "the index of a model file");
    for (size_t i = 0; i < n; i++)
        order[i] = &gguf->tensors[i];
    qsort(order, n, sizeof(*order), compare_data);

    enum nib_status status = NIB_OK;
    for (size_t i = 1; i < n && status == NIB_OK; i++)
        if (order[i - 1]->data + order[i - 1]->n_bytes > order[i]->data)
            status = nib_fail(
                c->err, NIB_ERROR_FILE,
                "%s: tensors %s and %s share bytes from %zu on: the file is damaged or "
                "was made by a faulty converter",
                gguf->path, order[i - 1]->name, order[i]->name, (size_t)(order[i]->data - c->data));
    free(order);
    return status;
}

static enum nib_status read_table(struct nib_gguf_cursor *c, uint64_t n_tensors,
                                  struct entry **entries)
{
    size_t cap = 0;
    for (size_t i = 0; i < n_tensors; i++) {
        struct entry *grown = nib_gguf_grow(*entries, &cap, i, sizeof(*grown));
        if (!grown)
            return nib_fail_memory(c->err, 2 * cap * sizeof(*grown), "a table of tensors");
        *entries = grown;
        const enum nib_status status = read_entry(c, i, &grown[i]);
        if (status != NIB_OK)
            return status;
    }
    return NIB_OK;
}

static enum nib_status place_tensors(const struct nib_gguf_cursor *c, struct entry *entries,
                                     size_t n)
{
    struct nib_gguf *gguf = c->gguf;
    gguf->tensors = malloc((n ? n : 1) * sizeof(*gguf->tensors));
    if (!gguf->tensors)
        return nib_fail_memory(c->err, n * sizeof(*gguf->tensors), "a table of tensors");

    uint64_t begin = 0; /* cannot overflow: c->at is a position in the file */
    nib_checked_align(c->at, gguf->alignment, &begin);
    for (size_t i = 0; i < n; i++) {
        const enum nib_status status = place_data(c, &entries[i], begin);
        if (status != NIB_OK)
            return status;
        gguf->tensors[i] = entries[i].tensor;
        gguf->tensors[i].name = gguf->tensor_names.text + entries[i].name;
        gguf->tensors[i].view = NULL;
    }
    gguf->n_tensors = n;
    return nib_gguf_index_create(&gguf->tensors_by_name, gguf->tensors, n, sizeof(*gguf->tensors),
                                 c, "tensor");
}

static enum nib_status read_tensors(struct nib_gguf_cursor *c, uint64_t n_tensors)
{
    struct entry *entries = NULL;
    enum nib_status status = read_table(c, n_tensors, &entries);
    if (status == NIB_OK)
        status = place_tensors(c, entries, (size_t)n_tensors);
    if (status == NIB_OK)
        status = check_overlaps(c);
    free(entries);
    return status;
}

/* ---- open, close, look up ------------------------------------------------------------------ */

/* Read what is at data, which may be gguf->file. */
static enum nib_status read_file(struct nib_gguf *gguf, const uint8_t *data, size_t n_bytes,
                                 struct nib_error *err)
{
    uint64_t n_tensors = 0, n_pairs = 0;
    struct nib_gguf_cursor c = {.gguf = gguf, .data = data, .n_bytes = n_bytes, .err = err};
    enum nib_status status = read_header(&c, &n_tensors, &n_pairs);
    if (status == NIB_OK)
        status = nib_gguf_read_pairs(&c, n_pairs);
    if (status == NIB_OK)
        status = read_alignment(&c);
    if (status == NIB_OK)
        status = read_tensors(&c, n_tensors);
    return status;
}

/* Map the file, unless its bytes are given, and read it. */
static enum nib_status open_any(struct nib_gguf **out, const char *path, const uint8_t *data,
                                size_t n_bytes, struct nib_error *err)
{
    *out = NULL;
    enum nib_status status = NIB_OK;
    struct nib_gguf *gguf = calloc(1, sizeof(*gguf));
    if (!gguf || !(gguf->path = strdup(path))) {
        status = nib_fail_memory(err, sizeof(*gguf), "a model file");
        goto fail;
    }
    if (!data) {
        status = nib_os_map(&gguf->file, path, err);
        if (status != NIB_OK)
            goto fail;
        data = gguf->file.data;
        n_bytes = gguf->file.n_bytes;
    }
    status = read_file(gguf, data, n_bytes, err);
    if (status != NIB_OK)
        goto fail;
    *out = gguf;
    return NIB_OK;

fail:
    nib_gguf_close(gguf);
    return status;
}

enum nib_status nib_gguf_open(struct nib_gguf **out, const char *path, struct nib_error *err)
{
    return open_any(out, path, NULL, 0, err);
}

enum nib_status nib_gguf_open_memory(struct nib_gguf **out, const void *data, size_t n_bytes,
                                     const char *name, struct nib_error *err)
{
    assert(data);
    return open_any(out, name, data, n_bytes, err);
}

enum nib_status nib_gguf_attach(struct nib_gguf *gguf, const struct nib_gguf_tensor *tensors,
                                size_t n_tensors, void *owner, void (*release)(void *owner),
                                struct nib_error *err)
{
    const struct nib_gguf_cursor c = {.gguf = gguf, .err = err};
    struct nib_gguf_tensor *copy = malloc((n_tensors ? n_tensors : 1) * sizeof(*copy));
    if (!copy)
        return nib_fail_memory(err, n_tensors * sizeof(*copy), "a table of tensors");
    if (n_tensors > 0)
        memcpy(copy, tensors, n_tensors * sizeof(*copy));
    free(gguf->tensors);
    free(gguf->tensors_by_name);
    gguf->tensors = copy;
    gguf->tensors_by_name = NULL;
    gguf->n_tensors = n_tensors;
    const enum nib_status status =
        nib_gguf_index_create(&gguf->tensors_by_name, copy, n_tensors, sizeof(*copy), &c, "tensor");
    if (status == NIB_OK) {
        gguf->owner = owner;
        gguf->release = release;
    }
    return status;
}

struct nib_mapping nib_gguf_take_file(struct nib_gguf *gguf)
{
    const struct nib_mapping file = gguf->file;
    gguf->file = (struct nib_mapping){0};
    return file;
}

void nib_gguf_close(struct nib_gguf *gguf)
{
    if (!gguf)
        return;
    nib_os_unmap(&gguf->file);
    free(gguf->keys.text);
    free(gguf->tensor_names.text);
    free(gguf->pairs);
    free(gguf->pairs_by_key);
    free(gguf->tensors);
    free(gguf->tensors_by_name);
    free(gguf->path);
    if (gguf->release)
        gguf->release(gguf->owner);
    free(gguf);
}

const char *nib_gguf_path(const struct nib_gguf *gguf)
{
    return gguf->path;
}

size_t nib_gguf_tensor_count(const struct nib_gguf *gguf)
{
    return gguf->n_tensors;
}

const struct nib_gguf_tensor *nib_gguf_tensor(const struct nib_gguf *gguf, size_t i)
{
    assert(i < gguf->n_tensors);
    return &gguf->tensors[i];
}

const struct nib_gguf_tensor *nib_gguf_find(const struct nib_gguf *gguf, const char *name)
{
    const struct nib_gguf_index *found =
        nib_gguf_index_find(gguf->tensors_by_name, gguf->n_tensors, name);
    return found ? &gguf->tensors[found->i] : NULL;
}
