/*
 * From the tensors of a file to the weights of a model: every tensor that the family names is
 * checked against the config, gets its place in one arena, and is packed or widened into it.
 */
#include "gguf.h"
#include "half.h"
#include "model.h"
#include "os.h"
#include "pack_weights.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_NAME = 128, ALIGNMENT = 64 };

/* What becomes of one tensor. */
struct item {
    const struct nib_gguf_tensor *tensor;
    struct nib_matrix matrix;     /* without data */
    struct nib_matrix *to_matrix; /* one of these two */
    const float **to_vector;
    uint32_t length; /* of a vector */
    bool is_rotated;
    size_t offset; /* in the arena */
};

struct loader {
    struct nib_model *model;
    const struct nib_gguf *gguf;
    struct item *items; /* at most one for each tensor of the file */
    size_t n_items;
    bool *is_used; /* by the tensor's number in the file */
    size_t n_bytes;
    struct nib_error *err;
};

/* ---- checking -------------------------------------------------------------------------------- */

static size_t tensor_index(const struct loader *l, const struct nib_gguf_tensor *tensor)
{
    return (size_t)(tensor - nib_gguf_tensor(l->gguf, 0));
}

static const char *type_name(const struct nib_gguf_tensor *tensor)
{
    return nib_type_info(tensor->type)->name;
}

/* All types that a matrix may have: "F32, F16, ...". */
static void list_types(char out[256])
{
    size_t n = 0;
    enum nib_pack pack;
    for (uint32_t type = 0; type < NIB_TYPE_END && n < 256; type++)
        if (nib_pack_of_type((enum nib_type)type, &pack))
            n += (size_t)snprintf(out + n, 256 - n, "%s%s", n > 0 ? ", " : "",
                                  nib_type_info(type)->name);
}

static enum nib_status check_shape(const struct loader *l, const struct nib_gguf_tensor *t,
                                   uint32_t n_rows, uint32_t n_cols)
{
    const char *path = nib_gguf_path(l->gguf);
    static const char next[] = "the file contradicts itself: get it again from its publisher";
    if (t->dims[2] != 1 || t->dims[3] != 1)
        return nib_fail(l->err, NIB_ERROR_FILE, "%s: %s: %" PRIu32 " dimensions, expected %d; %s",
                        path, t->name, t->n_dims, n_rows > 0 ? 2 : 1, next);
    if (t->dims[1] != (n_rows > 0 ? n_rows : 1))
        return nib_fail(l->err, NIB_ERROR_FILE,
                        "%s: %s: %" PRIu64 " rows, expected %" PRIu32 "; %s", path, t->name,
                        t->dims[1], n_rows > 0 ? n_rows : 1, next);
    if (t->dims[0] != n_cols)
        return nib_fail(l->err, NIB_ERROR_FILE, "%s: %s: %" PRIu64 " %s, expected %" PRIu32 "; %s",
                        path, t->name, t->dims[0], n_rows > 0 ? "columns" : "values", n_cols, next);
    return NIB_OK;
}

static enum nib_status fail_missing(const struct loader *l, const char *name)
{
    return nib_fail(
        l->err, NIB_ERROR_FILE,
        "%s: the tensor %s is missing, without which no %s model runs; get the complete "
        "file",
        nib_gguf_path(l->gguf), name, l->model->family->name);
}

static struct item *add_item(struct loader *l, const struct nib_gguf_tensor *tensor, size_t n_bytes)
{
    l->is_used[tensor_index(l, tensor)] = true;
    struct item *item = &l->items[l->n_items++];
    *item = (struct item){.tensor = tensor, .offset = l->n_bytes};
    l->n_bytes += (n_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return item;
}

/* A tensor that is not in the file leaves *to as it is. */
static enum nib_status add_matrix(struct loader *l, const char *name, uint32_t n_rows,
                                  uint32_t n_cols, bool is_rotated, struct nib_matrix *to)
{
    const struct nib_gguf_tensor *t = nib_gguf_find(l->gguf, name);
    if (!t)
        return NIB_OK;
    enum nib_pack pack;
    if (!nib_pack_of_type(t->type, &pack)) {
        char types[256];
        list_types(types);
        return nib_fail(
            l->err, NIB_ERROR_FILE,
            "%s: %s is of type %s, which nibble does not run; it runs %s: use a file of "
            "this model with one of these",
            nib_gguf_path(l->gguf), name, type_name(t), types);
    }
    const enum nib_status status = check_shape(l, t, n_rows, n_cols);
    if (status != NIB_OK)
        return status;
    const struct nib_matrix matrix = nib_matrix_shape(pack, n_rows, n_cols);
    struct item *item = add_item(l, t, matrix.n_groups * matrix.planes.n_bytes);
    item->matrix = matrix;
    item->to_matrix = to;
    item->is_rotated = is_rotated;
    return NIB_OK;
}

/* A norm's weight, a bias: floats, padded with zeros to whole groups. */
static enum nib_status add_vector(struct loader *l, const char *name, uint32_t length,
                                  bool is_rotated, const float **to)
{
    const struct nib_gguf_tensor *t = nib_gguf_find(l->gguf, name);
    if (!t)
        return NIB_OK;
    if (t->type != NIB_TYPE_F32 && t->type != NIB_TYPE_F16 && t->type != NIB_TYPE_BF16)
        return nib_fail(l->err, NIB_ERROR_FILE,
                        "%s: %s is of type %s; norms, biases and factors must be F32, F16 or BF16: "
                        "use another file of this model",
                        nib_gguf_path(l->gguf), name, type_name(t));
    const enum nib_status status = check_shape(l, t, 0, length);
    if (status != NIB_OK)
        return status;
    const size_t padded = ((size_t)length + NIB_GROUP - 1) / NIB_GROUP * NIB_GROUP;
    struct item *item = add_item(l, t, padded * sizeof(float));
    item->to_vector = to;
    item->length = length;
    item->is_rotated = is_rotated;
    return NIB_OK;
}

static enum nib_status add_layer_tensor(struct loader *l, uint32_t layer,
                                        const struct nib_tensor_name *tensor)
{
    const struct nib_config *config = &l->model->config;
    char *const slot = (char *)&l->model->layers[layer] + tensor->slot;
    const uint32_t n_rows = tensor->n_rows(config);
    const bool is_rotated = tensor->is_rotated && l->model->family->rope_pairs;
    char weight[MAX_NAME], bias[MAX_NAME];
    snprintf(weight, sizeof(weight), "blk.%" PRIu32 ".%s.weight", layer, tensor->name);
    snprintf(bias, sizeof(bias), "blk.%" PRIu32 ".%s.bias", layer, tensor->name);
    if (!nib_gguf_find(l->gguf, weight))
        return tensor->is_optional ? NIB_OK : fail_missing(l, weight);

    if (tensor->kind == NIB_SLOT_NORM) {
        struct nib_norm *norm = (struct nib_norm *)slot;
        const enum nib_status status = add_vector(l, weight, n_rows, false, &norm->w);
        if (status != NIB_OK || l->model->family->norm == NIB_NORM_RMS)
            return status; /* a bias would be found unused */
        return add_vector(l, bias, n_rows, false, &norm->b);
    }
    struct nib_linear *linear = (struct nib_linear *)slot;
    const enum nib_status status =
        add_matrix(l, weight, n_rows, tensor->n_cols(config), is_rotated, &linear->w);
    return status == NIB_OK ? add_vector(l, bias, n_rows, is_rotated, &linear->b) : status;
}

/* What stands outside of the layers. */
static enum nib_status add_model_tensors(struct loader *l)
{
    struct nib_model *m = l->model;
    const struct nib_config *c = &m->config;
    enum nib_status status = NIB_OK;
    static const char *const required[] = {"token_embd.weight", "output_norm.weight"};
    for (size_t i = 0; i < NIB_COUNT(required); i++)
        if (!nib_gguf_find(l->gguf, required[i]))
            return fail_missing(l, required[i]);

    status = add_matrix(l, required[0], c->n_vocab, c->n_embd, false, &m->embedding);
    if (status == NIB_OK)
        status = add_vector(l, required[1], c->n_embd, false, &m->final_norm.w);
    if (status == NIB_OK && m->family->norm != NIB_NORM_RMS)
        status = add_vector(l, "output_norm.bias", c->n_embd, false, &m->final_norm.b);
    if (status == NIB_OK)
        status = add_matrix(l, "output.weight", c->n_vocab, c->n_embd, false, &m->output.w);
    if (status == NIB_OK)
        status = add_vector(l, "output.bias", c->n_vocab, false, &m->output.b);
    if (status == NIB_OK)
        status = add_vector(l, "rope_freqs.weight", c->n_rot / 2, false, &m->rope_factors);
    return status;
}

static enum nib_status check_all_used(const struct loader *l)
{
    for (size_t i = 0; i < nib_gguf_tensor_count(l->gguf); i++)
        if (!l->is_used[i])
            return nib_fail(l->err, NIB_ERROR_FILE,
                            "%s: the tensor %s is not part of the %s family as nibble runs it; a "
                            "model computed without it would give wrong text: use another model",
                            nib_gguf_path(l->gguf), nib_gguf_tensor(l->gguf, i)->name,
                            l->model->family->name);
    return NIB_OK;
}

static enum nib_status add_all(struct loader *l)
{
    enum nib_status status = add_model_tensors(l);
    for (uint32_t layer = 0; layer < l->model->config.n_layers; layer++)
        for (const struct nib_tensor_name *t = l->model->family->layer_tensors;
             t->name && status == NIB_OK; t++)
            status = add_layer_tensor(l, layer, t);
    return status == NIB_OK ? check_all_used(l) : status;
}

/* ---- filling --------------------------------------------------------------------------------- */

static float read_float(const struct nib_gguf_tensor *t, size_t i)
{
    if (t->type == NIB_TYPE_F32) {
        float x;
        memcpy(&x, t->data + 4 * i, sizeof(x));
        return x;
    }
    uint16_t h;
    memcpy(&h, t->data + 2 * i, sizeof(h));
    return t->type == NIB_TYPE_F16 ? nib_f16_to_f32(h) : nib_bf16_to_f32(h);
}

static void fill_vector(const struct loader *l, const struct item *item)
{
    const struct nib_config *c = &l->model->config;
    float *out = (float *)((char *)l->model->arena + item->offset);
    for (size_t i = 0; i < item->length; i++)
        out[i] = read_float(item->tensor,
                            item->is_rotated ? nib_rotated_row(i, c->d_head, c->n_rot) : i);
    *item->to_vector = out;
}

/* The place after all items is kept for them. */
static enum nib_status fill_rope_factors(const struct loader *l)
{
    struct nib_model *m = l->model;
    if (!m->rope_factors && m->config.rope_scale == 1)
        return NIB_OK;
    float *out = (float *)((char *)m->arena + l->n_bytes);
    for (uint32_t i = 0; i < m->config.n_rot / 2; i++) {
        const float factor = m->rope_factors ? m->rope_factors[i] : 1;
        if (!isfinite(factor) || factor <= 0)
            return nib_fail(l->err, NIB_ERROR_FILE,
                            "%s: rope_freqs.weight: value %" PRIu32
                            " is %g, expected a number above 0; get the file again",
                            nib_gguf_path(l->gguf), i, (double)factor);
        out[i] = factor * m->config.rope_scale;
    }
    m->rope_factors = out;
    return NIB_OK;
}

static enum nib_status allocate_arena(struct loader *l)
{
    struct nib_model *m = l->model;
    const size_t n_factors = (m->config.n_rot / 2 * sizeof(float) + ALIGNMENT - 1) / ALIGNMENT;
    m->arena_bytes = l->n_bytes + n_factors * ALIGNMENT;
    const uint64_t available = nib_os_memory_available();
    if (m->arena_bytes > available)
        return nib_fail(
            l->err, NIB_ERROR_MEMORY,
            "%s: the weights need %.1f MiB of memory, and %.1f MiB are available; close "
            "other programs, or use a smaller model or a file with fewer bits per "
            "weight",
            nib_gguf_path(l->gguf), (double)m->arena_bytes / 1048576, (double)available / 1048576);
    m->arena = nib_os_alloc(m->arena_bytes);
    return m->arena ? NIB_OK : nib_fail_memory(l->err, m->arena_bytes, "the weights");
}

static enum nib_status fill_matrices(const struct loader *l, const struct nib_model_params *params)
{
    struct nib_model *m = l->model;
    struct nib_pack_item *work = calloc(l->n_items + 1, sizeof(*work));
    if (!work)
        return nib_fail_memory(l->err, (l->n_items + 1) * sizeof(*work), "a list of weights");
    size_t n = 0;
    for (size_t i = 0; i < l->n_items; i++) {
        const struct item *item = &l->items[i];
        if (!item->to_matrix)
            continue;
        work[n] = (struct nib_pack_item){.matrix = item->matrix,
                                         .source = item->tensor->data,
                                         .source_type = item->tensor->type,
                                         .n_row_bytes = item->tensor->n_bytes / item->matrix.n_rows,
                                         .d_head = m->config.d_head,
                                         .n_rot = item->is_rotated ? m->config.n_rot : 0};
        work[n].matrix.data = (const uint8_t *)m->arena + item->offset;
        *item->to_matrix = work[n++].matrix;
    }
    const enum nib_status status = nib_pack_matrices(work, n, params, l->err);
    free(work);
    return status;
}

/* The numbers that nib_model_info() and nib_model_tensor() give. */
static void count(const struct loader *l)
{
    struct nib_model *m = l->model;
    struct nib_model_info *info = &m->info;
    for (size_t i = 0; i < l->n_items; i++) {
        const struct item *item = &l->items[i];
        const struct nib_gguf_tensor *t = item->tensor;
        const bool is_matrix = item->to_matrix != NULL;
        const uint64_t n_packed = is_matrix ? item->matrix.n_groups * item->matrix.planes.n_bytes
                                            : item->length * sizeof(float);
        m->tensors[tensor_index(l, t)].n_packed_bytes = n_packed;
        info->n_file_bytes += t->n_bytes;
        info->n_packed_bytes += n_packed;
        if (item->to_vector != &m->rope_factors)
            info->n_params += t->dims[0] * t->dims[1];
        const bool is_tied = !nib_gguf_find(l->gguf, "output.weight");
        if (is_matrix && (item->to_matrix != &m->embedding || is_tied))
            info->n_token_bytes += n_packed;
    }
}

static enum nib_status load(struct loader *l, const struct nib_model_params *params)
{
    struct nib_model *m = l->model;
    enum nib_status status = add_all(l);
    if (status == NIB_OK)
        status = allocate_arena(l);
    if (status != NIB_OK)
        return status;
    for (size_t i = 0; i < l->n_items; i++)
        if (l->items[i].to_vector)
            fill_vector(l, &l->items[i]);
    status = fill_rope_factors(l);
    if (status == NIB_OK)
        status = fill_matrices(l, params);
    if (status == NIB_OK && !m->output.w.data)
        m->output.w = m->embedding;
    return status;
}

enum nib_status nib_weights_load(struct nib_model *model, const struct nib_gguf *gguf,
                                 const struct nib_model_params *params, struct nib_error *err)
{
    const size_t n = nib_gguf_tensor_count(gguf);
    struct loader l = {.model = model, .gguf = gguf, .err = err};
    l.items = calloc(n + 1, sizeof(*l.items));
    l.is_used = calloc(n + 1, sizeof(*l.is_used));
    model->layers = calloc(model->config.n_layers, sizeof(*model->layers));
    enum nib_status status;
    if (!l.items || !l.is_used || !model->layers)
        status = nib_fail_memory(err, (n + 1) * sizeof(*l.items), "a list of weights");
    else
        status = load(&l, params);
    if (status == NIB_OK)
        count(&l);
    free(l.items);
    free(l.is_used);
    return status;
}
