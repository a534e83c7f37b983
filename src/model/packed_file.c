/* See packed_file.h. */
#include "packed_file.h"
#include "checked.h"
#include "gguf_file.h"
#include "gguf_writer.h"

#include <inttypes.h>
#include <stdlib.h>

#define KEY(name) "nibble.pack." name

static const char arena_name[] = "nibble.arena";

enum { ARENA_ALIGNMENT = 2 * 1024 * 1024, MAX_NAME = 64, PIECE_BYTES = 8 * 1024 * 1024 };

bool nib_packed_is(const struct nib_gguf *gguf)
{
    return nib_gguf_has(gguf, KEY("version"));
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum nib_status fail_damaged(const struct nib_gguf *gguf, const char *what,
                                    struct nib_error *err)
{
    return nib_fail(err, NIB_ERROR_FILE,
                    "%s: is a packed model, but %s: the file is damaged; pack the model again",
                    nib_gguf_path(gguf), what);
}

static enum nib_status fail_version(const struct nib_gguf *gguf, struct nib_error *err)
{
    struct nib_str source = NIB_STR("");
    nib_gguf_string(gguf, KEY("source"), &source);
    return nib_fail(
        err, NIB_ERROR_FILE,
        "%s: was packed by another version of nibble, which laid weights out in another "
        "way; pack it again from %.*s",
        nib_gguf_path(gguf), (int)(source.len < 160 ? source.len : 160), source.data);
}

static enum nib_status check_version(const struct nib_gguf *gguf, struct nib_error *err)
{
    int64_t version = 0;
    if (!nib_gguf_int(gguf, KEY("version"), &version) || version != NIB_PACK_VERSION)
        return fail_version(gguf, err);
    return NIB_OK;
}

static enum nib_status check_type(const struct nib_gguf *gguf, const char *type,
                                  struct nib_error *err)
{
    struct nib_str has = NIB_STR("");
    nib_gguf_string(gguf, KEY("type"), &has);
    if (!type || nib_str_equal(has, nib_str_from(type)))
        return NIB_OK;
    return nib_fail(err, NIB_ERROR_ARGUMENT,
                    "%s: its weights are packed already%s%.*s, and cannot become %.40s; leave the "
                    "type out, or pack the model again from its source",
                    nib_gguf_path(gguf), has.len > 0 ? " as " : "",
                    (int)(has.len < 40 ? has.len : 40), has.data, type);
}

/* Numbers from the file of `count`; to be freed. */
static enum nib_status read_numbers(int64_t **out, const struct nib_gguf *gguf, const char *key,
                                    size_t count, struct nib_error *err)
{
    size_t n = 0;
    if (!nib_gguf_ints(gguf, key, &n) || n != count)
        return fail_damaged(gguf, "its list of tensors is incomplete", err);
    *out = malloc((n + 1) * sizeof(**out));
    if (!*out)
        return nib_fail_memory(err, n * sizeof(**out), "the list of tensors");
    nib_gguf_copy_ints(gguf, key, *out);
    return NIB_OK;
}

/* The lists as they stand in the file. */
struct lists {
    struct nib_str *names;
    int64_t *types, *packed_types, *n_dims, *dims;
    size_t n;
};

static void free_lists(struct lists *l)
{
    free(l->names);
    free(l->types);
    free(l->packed_types);
    free(l->n_dims);
    free(l->dims);
}

static enum nib_status read_lists(struct lists *l, const struct nib_gguf *gguf,
                                  struct nib_error *err)
{
    if (!nib_gguf_strings(gguf, KEY("names"), &l->n))
        return fail_damaged(gguf, "it has no list of tensors", err);
    l->names = malloc((l->n + 1) * sizeof(*l->names));
    if (!l->names)
        return nib_fail_memory(err, l->n * sizeof(*l->names), "the list of tensors");
    nib_gguf_copy_strings(gguf, KEY("names"), l->names);
    const struct {
        const char *key;
        int64_t **out;
        size_t n;
    } numbers[] = {{KEY("types"), &l->types, l->n},
                   {KEY("packed_types"), &l->packed_types, l->n},
                   {KEY("n_dims"), &l->n_dims, l->n},
                   {KEY("dims"), &l->dims, 4 * l->n}};
    enum nib_status status = NIB_OK;
    for (size_t i = 0; i < NIB_COUNT(numbers) && status == NIB_OK; i++)
        status = read_numbers(numbers[i].out, gguf, numbers[i].key, numbers[i].n, err);
    return status;
}

static bool is_name(struct nib_str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.data[i] <= ' ' || name.data[i] > '~')
            return false;
    return name.len > 0 && name.len <= MAX_NAME;
}

static bool is_type(int64_t type)
{
    return type >= 0 && type < NIB_TYPE_END && nib_type_info((uint32_t)type);
}

/* The i-th tensor, checked as gguf.c checks those that stand in a file. */
static bool take_tensor(struct nib_gguf_tensor *out, const struct lists *l, size_t i)
{
    if (!is_name(l->names[i]) || !is_type(l->types[i]) || !is_type(l->packed_types[i]) ||
        l->n_dims[i] < 1 || l->n_dims[i] > 4)
        return false;
    *out = (struct nib_gguf_tensor){.type = (enum nib_type)l->types[i],
                                    .n_dims = (uint32_t)l->n_dims[i]};
    uint64_t n_values = 1, n_bytes;
    for (uint32_t d = 0; d < 4; d++) {
        const int64_t dim = l->dims[4 * i + d];
        if (dim < 1 || (d >= out->n_dims && dim != 1))
            return false;
        out->dims[d] = (uint64_t)dim;
        if (!nib_checked_mul(n_values, out->dims[d], &n_values) || n_values > INT64_MAX)
            return false;
    }
    const struct nib_type_info *info = nib_type_info(out->type);
    if (out->dims[0] % info->n_values != 0 ||
        !nib_checked_mul(n_values / info->n_values, info->n_bytes, &n_bytes) || n_bytes > SIZE_MAX)
        return false;
    out->n_bytes = (size_t)n_bytes;
    return true;
}

/* Give the tensors to `gguf`, with their names in one block that it will free. */
static enum nib_status attach(struct nib_packed *out, struct nib_gguf *gguf, const struct lists *l,
                              struct nib_error *err)
{
    size_t n_text = 1;
    for (size_t i = 0; i < l->n; i++)
        n_text += l->names[i].len < MAX_NAME ? l->names[i].len + 1 : MAX_NAME + 1;
    struct nib_gguf_tensor *tensors = calloc(l->n + 1, sizeof(*tensors));
    char *text = malloc(n_text), *at = text;
    out->types = calloc(l->n + 1, sizeof(*out->types));
    enum nib_status status = NIB_OK;
    if (!tensors || !text || !out->types)
        status = nib_fail_memory(err, l->n * sizeof(*tensors), "the list of tensors");
    for (size_t i = 0; i < l->n && status == NIB_OK; i++) {
        if (!take_tensor(&tensors[i], l, i)) {
            status = fail_damaged(gguf, "a tensor in its list cannot be", err);
            break;
        }
        memcpy(at, l->names[i].data, l->names[i].len);
        at[l->names[i].len] = '\0';
        tensors[i].name = at;
        at += l->names[i].len + 1;
        out->types[i] = (enum nib_type)l->packed_types[i];
    }
    if (status == NIB_OK)
        status = nib_gguf_attach(gguf, tensors, l->n, text, free, err);
    if (status != NIB_OK)
        free(text);
    free(tensors);
    return status;
}

enum nib_status nib_packed_open(struct nib_packed *out, struct nib_gguf *gguf, const char *type,
                                struct nib_error *err)
{
    *out = (struct nib_packed){0};
    enum nib_status status = check_version(gguf, err);
    if (status == NIB_OK)
        status = check_type(gguf, type, err);
    if (status != NIB_OK)
        return status;
    const struct nib_gguf_tensor *arena = nib_gguf_find(gguf, arena_name);
    int64_t layout;
    if (!arena || arena->type != NIB_TYPE_I8 || nib_gguf_tensor_count(gguf) != 1)
        return fail_damaged(gguf, "it has not the one tensor nibble.arena", err);
    if (!nib_gguf_int(gguf, KEY("layout"), &layout))
        return fail_damaged(gguf, "nibble.pack.layout is missing", err);
    out->layout = (uint64_t)layout;
    out->arena = arena->data;
    out->arena_bytes = arena->n_bytes;
    struct lists lists = {0};
    status = read_lists(&lists, gguf, err);
    if (status == NIB_OK)
        status = attach(out, gguf, &lists, err);
    free_lists(&lists);
    return status;
}

void nib_packed_free(struct nib_packed *packed)
{
    free(packed->types);
    *packed = (struct nib_packed){0};
}

enum nib_status nib_packed_check(const struct nib_packed *packed, const struct nib_gguf *gguf,
                                 uint64_t layout, size_t arena_bytes, struct nib_error *err)
{
    if (packed->layout != layout)
        return fail_version(gguf, err);
    if (packed->arena_bytes != arena_bytes)
        return nib_fail(err, NIB_ERROR_FILE,
                        "%s: its packed weights have %zu bytes, expected %zu: the file is damaged; "
                        "pack the model again",
                        nib_gguf_path(gguf), packed->arena_bytes, arena_bytes);
    if ((uintptr_t)packed->arena % 64 != 0)
        return fail_damaged(gguf, "its weights do not begin at a multiple of 64 bytes", err);
    return NIB_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

static enum nib_status put_lists(struct nib_gguf_image *image, const struct nib_model *model,
                                 const struct nib_gguf *gguf, struct nib_error *err)
{
    const size_t n = nib_gguf_tensor_count(gguf);
    const char **names = malloc((n + 1) * sizeof(*names));
    uint32_t *numbers = malloc((3 * n + 1) * sizeof(*numbers));
    uint64_t *dims = malloc((4 * n + 1) * sizeof(*dims));
    if (names && numbers && dims) {
        for (size_t i = 0; i < n; i++) {
            const struct nib_gguf_tensor *t = nib_gguf_tensor(gguf, i);
            names[i] = t->name;
            numbers[i] = t->type;
            numbers[n + i] = model->types[i];
            numbers[2 * n + i] = t->n_dims;
            memcpy(dims + 4 * i, t->dims, sizeof(t->dims));
        }
        nib_gguf_put_strings(image, KEY("names"), names, n);
        nib_gguf_put_array(image, KEY("types"), NIB_GGUF_U32, numbers, n);
        nib_gguf_put_array(image, KEY("packed_types"), NIB_GGUF_U32, numbers + n, n);
        nib_gguf_put_array(image, KEY("n_dims"), NIB_GGUF_U32, numbers + 2 * n, n);
        nib_gguf_put_array(image, KEY("dims"), NIB_GGUF_U64, dims, 4 * n);
    } else {
        image->is_out_of_memory = true;
    }
    free(names);
    free(numbers);
    free(dims);
    return nib_gguf_image_end(image, err);
}

enum nib_status nib_packed_begin(struct nib_gguf_writer **out, const char *path,
                                 const struct nib_model *model, const struct nib_gguf *gguf,
                                 const struct nib_packed_origin *origin, struct nib_error *err)
{
    *out = NULL;
    if (nib_packed_is(gguf))
        return nib_fail(err, NIB_ERROR_ARGUMENT, "%s: is packed already; use it as it is",
                        nib_gguf_path(gguf));
    struct nib_gguf_image image;
    nib_gguf_image_begin(&image);
    nib_gguf_put_u32(&image, KEY("version"), NIB_PACK_VERSION);
    nib_gguf_put_u64(&image, KEY("layout"), model->layout);
    nib_gguf_put_string(&image, KEY("source"), nib_str_from(origin->source));
    nib_gguf_put_string(&image, KEY("type"), nib_str_from(origin->type ? origin->type : ""));
    enum nib_status status = put_lists(&image, model, gguf, err);
    if (status == NIB_OK)
        status = nib_gguf_writer_open(out, path, err);
    if (status == NIB_OK) {
        const struct nib_gguf_tensor arena = {
            .name = arena_name, .n_dims = 1, .dims = {model->arena_bytes, 1, 1, 1}};
        nib_gguf_writer_copy_metadata(*out, gguf, NULL, 0);
        nib_gguf_writer_add_pairs(*out, &image);
        nib_gguf_writer_add_tensor(*out, &arena, NIB_TYPE_I8);
        nib_gguf_writer_align_data(*out, KEY("padding"), ARENA_ALIGNMENT);
    }
    nib_gguf_image_free(&image);
    return status;
}

enum nib_status nib_packed_write(struct nib_gguf_writer *writer, const struct nib_model *model,
                                 bool (*progress)(void *data, uint64_t done), void *data,
                                 struct nib_error *err)
{
    const size_t n = model->arena_bytes;
    enum nib_status status = nib_gguf_writer_begin_data(writer, err);
    for (size_t at = 0; at < n && status == NIB_OK; at += PIECE_BYTES) {
        if (progress && !progress(data, at))
            status = nib_fail(err, NIB_ERROR_CANCELLED, "packing was stopped; nothing was written");
        else
            status = nib_gguf_writer_write(writer, (const char *)model->arena + at,
                                           n - at < PIECE_BYTES ? n - at : PIECE_BYTES, err);
    }
    if (status == NIB_OK)
        status = nib_gguf_writer_end_tensor(writer, err);
    if (status == NIB_OK)
        return nib_gguf_writer_commit(writer, err);
    nib_gguf_writer_abort(writer);
    return status;
}
