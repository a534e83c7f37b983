/*
 * From the tensors of a file to the weights of a model: types are chosen, tensors checked
 * (weight_items.c), one arena is filled.
 */
#include "hf_folder.h"
#include "os.h"
#include "pack_weights.h"
#include "packed_file.h"
#include "quantize_plan.h"
#include "weight_items.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- types ----------------------------------------------------------------------------------- */

/* Short names of mixes. */
static const struct {
    const char *name, *mix;
} short_names[] = {{"q4", "Q4_K_M"}, {"q5", "Q5_K_M"}, {"q6", "Q6_K"}, {"q8", "Q8_0"}};

static const struct nib_mix *find_mix(const char *name)
{
    for (size_t i = 0; i < NIB_COUNT(short_names); i++)
        if (nib_same_word(short_names[i].name, name))
            name = short_names[i].mix;
    return nib_mix_find(name);
}

/*
 * What the file's tensors become: `name` is a type or mix.  Without one they stay as they are, but
 * those of a Hugging Face folder become int8.  What is quantised already stays so, unless floats
 * are wanted.
 */
static enum nib_status choose_types(enum nib_type *types, const struct nib_gguf *gguf,
                                    const char *name, struct nib_error *err)
{
    const size_t n = nib_gguf_tensor_count(gguf);
    for (size_t i = 0; i < n; i++)
        types[i] = nib_gguf_tensor(gguf, i)->type;
    if (!name && nib_hf_is_folder(nib_gguf_path(gguf)))
        name = "q8";
    if (!name)
        return NIB_OK;
    const struct nib_mix *mix = find_mix(name);
    if (!mix)
        return nib_fail(err, NIB_ERROR_ARGUMENT,
                        "weights of type \"%.40s\": there are q4, q5, q6, q8, f16, bf16, f32, and "
                        "the types and mixes that nibble quantize has",
                        name);
    struct nib_quantize_choice *choices = calloc(n + 1, sizeof(*choices));
    if (!choices)
        return nib_fail_memory(err, (n + 1) * sizeof(*choices), "the types of tensors");
    const enum nib_status status =
        nib_quantize_plan(choices, gguf, mix, &(struct nib_quantize_params){0}, err);
    for (size_t i = 0; i < n && status == NIB_OK; i++)
        if (nib_type_is_float(types[i]) || nib_type_is_float(mix->type))
            types[i] = choices[i].type;
    free(choices);
    return status;
}

/* ---- filling --------------------------------------------------------------------------------- */

static void fill_vector(const struct nib_model *m, const struct nib_weight_item *item)
{
    const struct nib_config *c = &m->config;
    const struct nib_gguf_tensor *t = item->tensor;
    float *out = (float *)(void *)((char *)m->arena + item->offset);
    for (size_t i = 0; i < item->length; i++) {
        const uint64_t at =
            item->first_row + (item->is_rotated ? nib_rotated_row(i, c->d_head, c->n_rot) : i);
        const size_t column = (size_t)(at % t->dims[0]);
        nib_tensor_floats(t, at / t->dims[0], column, column + 1, &out[i]);
    }
}

/* What points to weights points into the arena. */
static void place_items(const struct nib_weight_plan *p)
{
    for (size_t i = 0; i < p->n_items; i++) {
        const struct nib_weight_item *item = &p->items[i];
        const uint8_t *data = (const uint8_t *)p->model->arena + item->offset;
        if (item->to_vector) {
            *item->to_vector = (const float *)(const void *)data;
        } else {
            *item->to_matrix = item->matrix;
            item->to_matrix->data = data;
        }
    }
}

/* The factors with the linear scale in them; without factors they take the place after all items.
 * In an arena that is used as it is they are there. */
static enum nib_status scale_rope(const struct nib_weight_plan *p, bool is_filled)
{
    struct nib_model *m = p->model;
    struct nib_rope *rope = &m->config.rope[NIB_ROPE_GLOBAL];
    if (!rope->factors && m->config.rope_scale == 1)
        return NIB_OK;
    float *spare = (float *)(void *)((char *)m->arena + p->n_bytes);
    if (is_filled)
        rope->factors = spare;
    const float *from[] = {rope->factors, rope->long_factors};
    for (size_t f = 0; f < NIB_COUNT(from); f++)
        for (uint32_t i = 0; i < m->config.n_rot / 2 && (f == 0 || from[f]); i++) {
            const float factor = from[f] ? from[f][i] : 1;
            if (!isfinite(factor) || factor <= 0)
                return nib_fail(p->err, NIB_ERROR_FILE,
                                "%s: factor %u of the rotation (rope_freqs.weight) is %g, expected "
                                "a number above 0; get the file again",
                                nib_gguf_path(p->gguf), i, (double)factor);
            if (f == 0 && !is_filled)
                spare[i] = factor * m->config.rope_scale;
        }
    rope->factors = spare;
    return NIB_OK;
}

static size_t arena_bytes(const struct nib_weight_plan *p)
{
    const size_t n_factors =
        (p->model->config.n_rot / 2 * sizeof(float) + NIB_WEIGHT_ALIGNMENT - 1) /
        NIB_WEIGHT_ALIGNMENT;
    return p->n_bytes + n_factors * NIB_WEIGHT_ALIGNMENT;
}

static enum nib_status allocate_arena(const struct nib_weight_plan *p)
{
    struct nib_model *m = p->model;
    m->arena_bytes = arena_bytes(p);
    const uint64_t available = nib_os_memory_available();
    if (m->arena_bytes > available)
        return nib_fail(
            p->err, NIB_ERROR_MEMORY,
            "%s: the weights need %.1f MiB of memory, and %.1f MiB are available; close "
            "other programs, or use a smaller model or a file with fewer bits per "
            "weight",
            nib_gguf_path(p->gguf), (double)m->arena_bytes / 1048576, (double)available / 1048576);
    m->arena = nib_os_alloc(m->arena_bytes);
    return m->arena ? NIB_OK : nib_fail_memory(p->err, m->arena_bytes, "the weights");
}

static enum nib_status fill_matrices(const struct nib_weight_plan *p,
                                     const struct nib_model_params *params)
{
    struct nib_model *m = p->model;
    struct nib_pack_item *work = calloc(p->n_items + 1, sizeof(*work));
    if (!work)
        return nib_fail_memory(p->err, (p->n_items + 1) * sizeof(*work), "a list of weights");
    size_t n = 0;
    for (size_t i = 0; i < p->n_items; i++) {
        const struct nib_weight_item *item = &p->items[i];
        if (!item->to_matrix)
            continue;
        work[n] = (struct nib_pack_item){.matrix = item->matrix,
                                         .tensor = item->tensor,
                                         .type = item->type,
                                         .first_row = item->first_row,
                                         .n_stacked = item->n_stacked,
                                         .d_head = m->config.d_head,
                                         .n_rot = item->is_rotated ? m->config.n_rot : 0};
        work[n++].matrix.data = item->to_matrix->data;
    }
    const enum nib_status status =
        nib_pack_matrices(work, n, nib_gguf_path(p->gguf), params, p->err);
    free(work);
    return status;
}

static void finish_layers(struct nib_model *m)
{
    for (uint32_t i = 0; i < m->config.n_layers; i++) {
        struct nib_layer *l = &m->layers[i];
        struct nib_expert_stack *stacks[] = {&l->moe.gate, &l->moe.up, &l->moe.down};
        for (size_t j = 0; j < NIB_COUNT(stacks); j++)
            stacks[j]->n_bytes = stacks[j]->first.n_groups * stacks[j]->first.planes.n_bytes;
        if (m->family->arrange)
            m->family->arrange(&m->config, l);
    }
}

static bool is_within(const void *p, const void *begin, size_t n_bytes)
{
    return (uintptr_t)p - (uintptr_t)begin < n_bytes;
}

/* Weights that are not read for every token of an answer: the encoder's, and what makes the keys
 * and values of a source. */
static bool is_of_encoder(const struct nib_model *encoder, const struct nib_weight_item *item)
{
    return encoder &&
           (item->to_matrix == &encoder->embedding || item->to_matrix == &encoder->positions ||
            is_within(item->to_matrix, encoder->layers,
                      encoder->config.n_layers * sizeof(*encoder->layers)));
}

/* The numbers that nib_model_info() and nib_model_tensor() give. */
static void count(const struct nib_weight_plan *p)
{
    struct nib_model *m = p->model;
    struct nib_model_info *info = &m->info;
    const struct nib_config *c = &m->config;
    const bool is_tied = !nib_gguf_find(p->gguf, "output.weight");
    for (size_t i = 0; i < nib_gguf_tensor_count(p->gguf); i++) {
        const struct nib_gguf_tensor *t = nib_gguf_tensor(p->gguf, i);
        info->n_file_bytes += t->n_bytes;
        if (strncmp(t->name, "rope_f", 6) != 0)
            info->n_params += t->dims[0] * t->dims[1] * t->dims[2];
    }
    for (size_t i = 0; i < p->n_items; i++) {
        const struct nib_weight_item *item = &p->items[i];
        const uint64_t n_packed =
            item->to_matrix ? nib_weight_item_bytes(item) : item->length * sizeof(float);
        m->tensors[nib_weight_tensor_index(p, item->tensor)].n_packed_bytes += n_packed;
        info->n_packed_bytes += n_packed;
        if (!item->to_matrix || item->to_matrix == &m->positions ||
            (item->to_matrix == &m->embedding && !is_tied) || is_of_encoder(m->encoder, item))
            continue;
        info->n_token_bytes +=
            item->n_stacked > 1 ? n_packed / c->n_experts * c->n_experts_used : n_packed;
    }
}

/* An arena of memory, filled from the file. */
static enum nib_status fill_arena(const struct nib_weight_plan *p,
                                  const struct nib_model_params *params)
{
    enum nib_status status = allocate_arena(p);
    if (status != NIB_OK)
        return status;
    place_items(p);
    for (size_t i = 0; i < p->n_items; i++)
        if (p->items[i].to_vector)
            fill_vector(p->model, &p->items[i]);
    status = scale_rope(p, false);
    return status == NIB_OK ? fill_matrices(p, params) : status;
}

/* The arena of a packed file, once it is known to be what this plan would fill. */
static enum nib_status use_arena(const struct nib_weight_plan *p, const struct nib_packed *packed)
{
    struct nib_model *m = p->model;
    const size_t n_bytes = arena_bytes(p);
    const enum nib_status status = nib_packed_check(packed, p->gguf, m->layout, n_bytes, p->err);
    if (status != NIB_OK)
        return status;
    m->arena = (void *)(uintptr_t)packed->arena; /* only read */
    m->arena_bytes = n_bytes;
    place_items(p);
    nib_os_expect(m->arena, n_bytes);
    return scale_rope(p, true);
}

static enum nib_status load(struct nib_weight_plan *p, const struct nib_packed *packed,
                            const struct nib_model_params *params)
{
    struct nib_model *m = p->model;
    enum nib_status status = nib_weight_plan_make(p);
    if (status != NIB_OK)
        return status;
    m->layout = nib_weight_layout(p);
    status = packed ? use_arena(p, packed) : fill_arena(p, params);
    if (status != NIB_OK)
        return status;
    if (!m->output.w.data)
        m->output.w = m->embedding;
    m->output.is_fine_head = !m->encoder;
    finish_layers(m);
    count(p);
    status = nib_distance_bias_create(m, true, p->err);
    if (!m->encoder || status != NIB_OK)
        return status;
    if (!m->encoder->embedding.data)
        m->encoder->embedding = m->embedding;
    finish_layers(m->encoder);
    return nib_distance_bias_create(m->encoder, false, p->err);
}

enum nib_status nib_weights_load(struct nib_model *model, const struct nib_gguf *gguf,
                                 const struct nib_packed *packed,
                                 const struct nib_model_params *params, struct nib_error *err)
{
    const size_t n = nib_gguf_tensor_count(gguf), n_items = nib_weight_plan_room(gguf);
    struct nib_weight_plan p = {.model = model, .gguf = gguf, .err = err};
    model->types = calloc(n + 1, sizeof(*model->types));
    p.types = model->types;
    p.items = calloc(n_items, sizeof(*p.items));
    p.is_used = calloc(n + 1, sizeof(*p.is_used));
    model->layers = calloc(model->config.n_layers, sizeof(*model->layers));
    if (model->encoder)
        model->encoder->layers =
            calloc(model->encoder->config.n_layers, sizeof(*model->encoder->layers));
    enum nib_status status = NIB_OK;
    if (!model->types || !p.items || !p.is_used || !model->layers ||
        (model->encoder && !model->encoder->layers))
        status = nib_fail_memory(
            err, n_items * sizeof(*p.items) + model->config.n_layers * sizeof(*model->layers),
            "the list of weights");
    else if (packed)
        memcpy(model->types, packed->types, n * sizeof(*model->types));
    else
        status = choose_types(model->types, gguf, params->type, err);
    if (status == NIB_OK)
        status = nib_layers_set_rules(model, gguf, err);
    if (status == NIB_OK && model->encoder)
        status = nib_layers_set_rules(model->encoder, gguf, err);
    if (status == NIB_OK)
        status = load(&p, packed, params);
    free(p.items);
    free(p.is_used);
    return status;
}
