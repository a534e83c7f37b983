/* See weight_items.h. */
#include "weight_items.h"

#include <inttypes.h>
#include <stdio.h>

enum { MAX_NAME = 128 };

/* ---- checking -------------------------------------------------------------------------------- */

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

static enum nib_status fail_shape(const struct nib_weight_plan *p, const struct nib_gguf_tensor *t,
                                  uint64_t found, const char *what, uint64_t expected)
{
    return nib_fail(p->err, NIB_ERROR_FILE,
                    "%s: %s: %" PRIu64 " %s, expected %" PRIu64
                    "; the file contradicts itself: get it again from its publisher",
                    nib_gguf_path(p->gguf), t->name, found, what, expected);
}

static enum nib_status check_matrix(const struct nib_weight_plan *p,
                                    const struct nib_gguf_tensor *t, uint64_t n_slices,
                                    uint64_t n_rows, uint64_t n_cols)
{
    if (t->dims[3] != 1 || (n_slices == 1 && t->dims[2] != 1))
        return fail_shape(p, t, t->n_dims, "dimensions", n_slices == 1 ? 2 : 3);
    if (t->dims[2] != n_slices)
        return fail_shape(p, t, t->dims[2], "experts", n_slices);
    if (t->dims[1] != n_rows)
        return fail_shape(p, t, t->dims[1], "rows", n_rows);
    if (t->dims[0] != n_cols)
        return fail_shape(p, t, t->dims[0], "columns", n_cols);
    return NIB_OK;
}

/* As many values in whatever dimensions. */
static enum nib_status check_vector(const struct nib_weight_plan *p,
                                    const struct nib_gguf_tensor *t, uint64_t length)
{
    if (t->dims[2] != 1 || t->dims[3] != 1)
        return fail_shape(p, t, t->n_dims, "dimensions", 1);
    if (t->dims[1] != 1)
        return fail_shape(p, t, t->dims[1], "rows", 1);
    if (t->dims[0] != length)
        return fail_shape(p, t, t->dims[0], "values", length);
    return NIB_OK;
}

static enum nib_status fail_missing(const struct nib_weight_plan *p, const char *name)
{
    return nib_fail(
        p->err, NIB_ERROR_FILE,
        "%s: the tensor %s is missing, without which no %s model runs; get the complete "
        "file",
        nib_gguf_path(p->gguf), name, p->model->family->name);
}

/* ---- items ----------------------------------------------------------------------------------- */

static void add_item(struct nib_weight_plan *p, struct nib_weight_item item)
{
    p->is_used[nib_weight_tensor_index(p, item.tensor)] = true;
    item.offset = p->n_bytes;
    p->n_bytes += (nib_weight_item_bytes(&item) + NIB_WEIGHT_ALIGNMENT - 1) / NIB_WEIGHT_ALIGNMENT *
                  NIB_WEIGHT_ALIGNMENT;
    p->items[p->n_items++] = item;
}

/* Rows of a tensor that go into one matrix; total: rows that the tensor must have. */
struct part {
    uint32_t first, n, total;
};

static enum nib_status add_matrix(struct nib_weight_plan *p, const char *name, struct part rows,
                                  uint32_t n_cols, uint32_t n_stacked, bool is_rotated,
                                  struct nib_matrix *to)
{
    const struct nib_gguf_tensor *t = nib_gguf_find(p->gguf, name);
    if (!t)
        return NIB_OK;
    const enum nib_type type = p->types[nib_weight_tensor_index(p, t)];
    enum nib_pack pack;
    if (!nib_pack_of_type(type, &pack) || !nib_pack_of_type(t->type, &(enum nib_pack){0})) {
        char types[256];
        list_types(types);
        return nib_fail(
            p->err, NIB_ERROR_FILE,
            "%s: %s is of type %s, which nibble does not run; it runs %s: use a file of "
            "this model with one of these",
            nib_gguf_path(p->gguf), name, type_name(t), types);
    }
    const enum nib_status status = check_matrix(p, t, n_stacked, rows.total, n_cols);
    if (status == NIB_OK)
        add_item(p, (struct nib_weight_item){.tensor = t,
                                             .first_row = rows.first,
                                             .type = type,
                                             .matrix = nib_matrix_shape(pack, rows.n, n_cols),
                                             .to_matrix = to,
                                             .is_rotated = is_rotated,
                                             .n_stacked = n_stacked});
    return status;
}

static enum nib_status fail_vector_type(const struct nib_weight_plan *p,
                                        const struct nib_gguf_tensor *t)
{
    return nib_fail(p->err, NIB_ERROR_FILE,
                    "%s: %s is of type %s; norms, biases and factors must be F32, F16 or BF16: "
                    "use another file of this model",
                    nib_gguf_path(p->gguf), t->name, type_name(t));
}

/* A norm's weight, a bias: floats, padded with zeros to whole groups. */
static enum nib_status add_vector(struct nib_weight_plan *p, const char *name, struct part values,
                                  bool is_rotated, const float **to)
{
    const struct nib_gguf_tensor *t = nib_gguf_find(p->gguf, name);
    if (!t)
        return NIB_OK;
    if (!nib_type_is_float(t->type))
        return fail_vector_type(p, t);
    const enum nib_status status = check_vector(p, t, values.total);
    if (status == NIB_OK)
        add_item(p, (struct nib_weight_item){.tensor = t,
                                             .first_row = values.first,
                                             .type = NIB_TYPE_F32,
                                             .to_vector = to,
                                             .length = values.n,
                                             .is_rotated = is_rotated});
    return status;
}

/* Rows of floats behind each other. */
static enum nib_status add_table(struct nib_weight_plan *p, const char *name, uint32_t n_rows,
                                 uint32_t n_cols, const float **to)
{
    const struct nib_gguf_tensor *t = nib_gguf_find(p->gguf, name);
    if (!nib_type_is_float(t->type))
        return fail_vector_type(p, t);
    const enum nib_status status = check_matrix(p, t, 1, n_rows, n_cols);
    if (status == NIB_OK)
        add_item(
            p, (struct nib_weight_item){
                   .tensor = t, .type = NIB_TYPE_F32, .to_vector = to, .length = n_rows * n_cols});
    return status;
}

static struct part whole(uint32_t n)
{
    return (struct part){0, n, n};
}

/* ---- layers ---------------------------------------------------------------------------------- */

/* Rows of a tensor that stands in the table once for each part. */
static struct part rows_of(const struct nib_weight_plan *p, const struct nib_tensor_name *tensor)
{
    const struct nib_config *c = &p->stack->config;
    struct part rows = {tensor->first_row ? tensor->first_row(c) : 0, tensor->n_rows(c), 0};
    for (const struct nib_tensor_name *t = p->tensors; t->name; t++)
        if (strcmp(t->name, tensor->name) == 0)
            rows.total += t->n_rows(c);
    return rows;
}

/* Norms of q and k: over a head, of each head's own, or over all heads. */
static enum nib_status add_head_norm(struct nib_weight_plan *p,
                                     const struct nib_tensor_name *tensor, const char *weight,
                                     const char *bias, struct nib_head_norm *norm)
{
    const struct nib_config *c = &p->stack->config;
    const struct nib_gguf_tensor *t = nib_gguf_find(p->gguf, weight);
    const uint32_t n_all = tensor->n_rows(c);
    const bool is_rotated = p->model->family->rope_pairs;
    struct part values = whole(c->d_head);
    if (t->dims[0] == c->d_head && t->n_dims == 2 && t->dims[1] > 1) {
        norm->stride = c->d_head;
        const enum nib_status status =
            add_table(p, weight, n_all / c->d_head, c->d_head, &norm->norm.w);
        if (status == NIB_OK)
            p->items[p->n_items - 1].is_rotated = is_rotated;
        return status;
    }
    /* Of one head both are the same, but only whole norms come before limits (layers.c). */
    if (t->dims[0] != c->d_head || (p->model->family->norms_then_clamps && n_all == c->d_head)) {
        values = whole(n_all);
        norm->is_whole = true;
    }
    const enum nib_status status = add_vector(p, weight, values, is_rotated, &norm->norm.w);
    if (status != NIB_OK || p->model->family->norm == NIB_NORM_RMS)
        return status;
    return add_vector(p, bias, values, is_rotated, &norm->norm.b);
}

static enum nib_status add_layer_tensor(struct nib_weight_plan *p, uint32_t layer,
                                        const struct nib_tensor_name *tensor)
{
    const struct nib_config *config = &p->stack->config;
    char *const slot = (char *)&p->stack->layers[layer] + tensor->slot;
    const struct part rows = rows_of(p, tensor);
    const bool is_rotated = tensor->is_rotated && p->model->family->rope_pairs;
    char weight[MAX_NAME], bias[MAX_NAME];
    snprintf(weight, sizeof(weight), "%sblk.%" PRIu32 ".%s.weight", p->prefix, layer, tensor->name);
    snprintf(bias, sizeof(bias), "%sblk.%" PRIu32 ".%s.bias", p->prefix, layer, tensor->name);
    if (tensor->n_rows(config) == 0 || (tensor->kind == NIB_SLOT_EXPERTS && config->n_experts == 0))
        return NIB_OK; /* found unused if it is there */
    if (!nib_gguf_find(p->gguf, weight))
        return tensor->is_optional ? NIB_OK : fail_missing(p, weight);

    enum nib_status status = NIB_OK;
    switch (tensor->kind) {
    case NIB_SLOT_NORM: {
        struct nib_norm *norm = (struct nib_norm *)slot;
        status = add_vector(p, weight, rows, false, &norm->w);
        if (status == NIB_OK && p->model->family->norm != NIB_NORM_RMS)
            status = add_vector(p, bias, rows, false, &norm->b); /* else found unused */
        return status;
    }
    case NIB_SLOT_HEAD_NORM:
        return add_head_norm(p, tensor, weight, bias, (struct nib_head_norm *)slot);
    case NIB_SLOT_EXPERTS: {
        struct nib_expert_stack *stack = (struct nib_expert_stack *)slot;
        return add_matrix(p, weight, rows, tensor->n_cols(config), config->n_experts, false,
                          &stack->first);
    }
    case NIB_SLOT_BIAS:
        return add_table(p, weight, config->n_buckets, config->n_heads, (const float **)slot);
    case NIB_SLOT_LINEAR:
        break;
    }
    struct nib_linear *linear = (struct nib_linear *)slot;
    const uint32_t n_cols = tensor->n_cols(config);
    /* A matrix of one row is a vector in some files. */
    status = add_matrix(p, weight, rows, n_cols, 1, is_rotated, &linear->w);
    return status == NIB_OK ? add_vector(p, bias, rows, is_rotated, &linear->b) : status;
}

static const char *name_of_slot(const struct nib_weight_plan *p, size_t slot)
{
    for (const struct nib_tensor_name *t = p->tensors; t->name; t++)
        if (t->slot == slot)
            return t->name;
    return NULL;
}

/* What every layer has, in whichever of the tensors that its family allows. */
static enum nib_status check_layer(const struct nib_weight_plan *p, uint32_t layer,
                                   size_t first_item)
{
#define SLOT(field) offsetof(struct nib_layer, field)
    static const size_t always[] = {SLOT(attn.q), SLOT(attn.k), SLOT(attn.v), SLOT(attn.o)};
    static const size_t dense[] = {SLOT(ffn.up), SLOT(ffn.down), SLOT(ffn.gate)};
    static const size_t experts[] = {SLOT(moe.router), SLOT(moe.gate), SLOT(moe.up),
                                     SLOT(moe.down)};
#undef SLOT
    const char *const base = (const char *)&p->stack->layers[layer];
    /* Beside experts with gates, whole layers have them too; alone, a table says what it needs. */
    const bool has_experts = name_of_slot(p, experts[1]) != NULL;
    bool is_moe = false;
    for (size_t i = first_item; i < p->n_items; i++)
        is_moe |= (const char *)p->items[i].to_matrix == base + experts[1];
    const struct {
        const size_t *slots;
        size_t n;
    } needed[] = {{always, 4}, {is_moe ? experts : dense, is_moe ? 4 : has_experts ? 3 : 2}};
    for (size_t k = 0; k < NIB_COUNT(needed); k++)
        for (size_t j = 0; j < needed[k].n; j++) {
            bool is_there = false;
            for (size_t i = first_item; i < p->n_items; i++)
                is_there |= (const char *)p->items[i].to_matrix == base + needed[k].slots[j];
            char name[MAX_NAME];
            const char *slot = name_of_slot(p, needed[k].slots[j]);
            snprintf(name, sizeof(name), "%sblk.%" PRIu32 ".%s.weight", p->prefix, layer,
                     slot ? slot : "");
            if (!is_there)
                return fail_missing(p, name);
        }
    return NIB_OK;
}

/* ---- all ------------------------------------------------------------------------------------- */

/* The name with the stack's prefix, or as it is where that is not there: what stacks share. */
static const char *outer_name(const struct nib_weight_plan *p, const char *name, char out[MAX_NAME])
{
    snprintf(out, MAX_NAME, "%s%s", p->prefix, name);
    return nib_gguf_find(p->gguf, out) ? out : name;
}

struct outer_tensor {
    const char *name;
    uint32_t n_rows; /* 0: a vector */
    uint32_t n;
    void *to;
    bool is_required, is_there;
};

static enum nib_status add_outer(struct nib_weight_plan *p, const struct outer_tensor *tensors,
                                 size_t n)
{
    enum nib_status status = NIB_OK;
    for (size_t i = 0; i < n && status == NIB_OK; i++) {
        char full[MAX_NAME];
        if (!tensors[i].is_there)
            continue;
        const char *name = outer_name(p, tensors[i].name, full);
        if (tensors[i].is_required && !nib_gguf_find(p->gguf, name))
            status = fail_missing(p, name);
        else if (tensors[i].n_rows > 0)
            status = add_matrix(p, name, whole(tensors[i].n_rows), tensors[i].n, 1, false,
                                tensors[i].to);
        else
            status = add_vector(p, name, whole(tensors[i].n), false, tensors[i].to);
    }
    return status;
}

/* What stands around the layers of either stack.  An encoder may share the decoder's embedding. */
static enum nib_status add_stack_tensors(struct nib_weight_plan *p)
{
    struct nib_model *m = p->stack;
    const struct nib_config *c = &m->config;
    const bool has_biases = m->family->norm != NIB_NORM_RMS;
    const bool is_encoder = m != p->model;
    const bool has_own = nib_gguf_find(p->gguf, "enc.token_embd.weight") != NULL;
    const struct outer_tensor tensors[] = {
        {"token_embd.weight", c->n_vocab, c->n_embd, &m->embedding, true, !is_encoder || has_own},
        {"position_embd.weight", c->n_ctx, c->n_embd, &m->positions, true,
         m->family->positions == NIB_POSITIONS_LEARNED},
        {"token_embd_norm.weight", 0, c->n_embd, &m->embedding_norm.w, false, true},
        {"token_embd_norm.bias", 0, c->n_embd, &m->embedding_norm.b, false, has_biases},
        {"output_norm.weight", 0, c->n_embd, &m->final_norm.w, !c->is_post_norm, true},
        {"output_norm.bias", 0, c->n_embd, &m->final_norm.b, false, has_biases},
    };
    return add_outer(p, tensors, NIB_COUNT(tensors));
}

static enum nib_status add_head(struct nib_weight_plan *p)
{
    struct nib_model *m = p->model;
    const struct nib_config *c = &m->config;
    struct nib_rope *rope = &m->config.rope[NIB_ROPE_GLOBAL];
    const bool is_long = rope->scaling == NIB_SCALING_LONG;
    const struct outer_tensor tensors[] = {
        {"output.weight", c->n_vocab, c->n_embd, &m->output.w, false, true},
        {"output.bias", 0, c->n_vocab, &m->output.b, false, true},
        {"rope_freqs.weight", 0, c->n_rot / 2, &rope->factors, false, c->n_rot > 0},
        {"rope_factors_short.weight", 0, c->n_rot / 2, &rope->factors, false, is_long},
        {"rope_factors_long.weight", 0, c->n_rot / 2, &rope->long_factors, false, is_long},
    };
    return add_outer(p, tensors, NIB_COUNT(tensors));
}

static enum nib_status check_all_used(const struct nib_weight_plan *p)
{
    for (size_t i = 0; i < nib_gguf_tensor_count(p->gguf); i++)
        if (!p->is_used[i])
            return nib_fail(p->err, NIB_ERROR_FILE,
                            "%s: the tensor %s is not part of the %s family as nibble runs it; a "
                            "model computed without it would give wrong text: use another model",
                            nib_gguf_path(p->gguf), nib_gguf_tensor(p->gguf, i)->name,
                            p->model->family->name);
    return NIB_OK;
}

/* A tensor of a layer fills at most three slots, or none. */
size_t nib_weight_plan_room(const struct nib_gguf *gguf)
{
    return 3 * nib_gguf_tensor_count(gguf) + 1;
}

static enum nib_status add_stack(struct nib_weight_plan *p, struct nib_model *stack,
                                 const char *prefix, const struct nib_tensor_name *tensors)
{
    p->stack = stack;
    p->prefix = prefix;
    p->tensors = tensors;
    enum nib_status status = add_stack_tensors(p);
    for (uint32_t layer = 0; layer < stack->config.n_layers && status == NIB_OK; layer++) {
        const size_t first_item = p->n_items;
        for (const struct nib_tensor_name *t = tensors; t->name && status == NIB_OK; t++)
            status = add_layer_tensor(p, layer, t);
        if (status == NIB_OK)
            status = check_layer(p, layer, first_item);
    }
    return status;
}

enum nib_status nib_weight_plan_make(struct nib_weight_plan *p)
{
    const struct nib_family *family = p->model->family;
    struct nib_model *encoder = p->model->encoder;
    enum nib_status status = add_stack(p, p->model, encoder ? "dec." : "", family->layer_tensors);
    if (status == NIB_OK && encoder)
        status = add_stack(p, encoder, "enc.", family->encoder_tensors);
    if (status == NIB_OK)
        status = add_head(p);
    return status == NIB_OK ? check_all_used(p) : status;
}

/* ---- layout ---------------------------------------------------------------------------------- */

/* FNV-1a */
static uint64_t hash(uint64_t h, const void *data, size_t n)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < n; i++)
        h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
    return h;
}

uint64_t nib_weight_layout(const struct nib_weight_plan *p)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < p->n_items; i++) {
        const struct nib_weight_item *item = &p->items[i];
        const struct nib_matrix *m = &item->matrix;
        const char *pack = item->to_matrix ? nib_pack_info(m->pack)->name : "vector";
        const uint64_t numbers[] = {
            item->first_row, item->length,  item->is_rotated, item->n_stacked,   item->offset,
            m->n_rows,       m->n_cols,     m->n_groups,      m->planes.two,     m->planes.one,
            m->planes.scale, m->planes.min, m->planes.super,  m->planes.n_bytes,
        };
        h = hash(h, item->tensor->name, strlen(item->tensor->name) + 1);
        h = hash(h, pack, strlen(pack) + 1);
        h = hash(h, numbers, sizeof(numbers));
    }
    return h & INT64_MAX;
}
