/*
 * Where the values of a tensor of GGUF lie in those of the files.  Dimensions of the source are
 * rows first: [out, in] is a matrix of `out` rows.
 */
#include "gguf.h"
#include "hf_tensors.h"

#include <inttypes.h>
#include <stdio.h>

struct maker {
    struct nib_gguf_tensor *out;
    struct nib_hf_memory *memory;
    const struct nib_hf_piece *pieces;
    size_t n;
    const struct nib_hf_config *config;
    size_t n_value; /* bytes of a value */
    struct nib_error *err;
};

static enum nib_status fail_piece(const struct maker *m, const struct nib_hf_piece *piece,
                                  const char *what)
{
    return nib_fail(m->err, NIB_ERROR_FILE, "%s: tensor %.128s %s", piece->path,
                    piece->source->name, what);
}

static enum nib_status fail_shape(const struct maker *m, const struct nib_hf_piece *piece,
                                  const char *expected)
{
    const struct nib_safetensors_tensor *t = piece->source;
    char what[384], dims[128] = "";
    size_t n = 0;
    for (uint32_t i = 0; i < t->n_dims && n < sizeof(dims); i++)
        n += (size_t)snprintf(dims + n, sizeof(dims) - n, "%s%" PRIu64, i ? ", " : "", t->dims[i]);
    snprintf(what, sizeof(what),
             "has the shape [%s], expected %s: the file does not belong to this config.json, or is "
             "damaged; download the folder again",
             dims, expected);
    return fail_piece(m, piece, what);
}

static enum nib_status out_of_memory(const struct maker *m, size_t n_bytes)
{
    return nib_fail_memory(m->err, n_bytes, "the places of weights");
}

/* ---- what is read ---------------------------------------------------------------------------- */

static enum nib_status check_type(struct maker *m, const struct nib_hf_piece *piece,
                                  enum nib_type *out)
{
    static const struct {
        const char *name;
        enum nib_type type;
    } types[] = {
        {"F32", NIB_TYPE_F32},
        {"F16", NIB_TYPE_F16},
        {"BF16", NIB_TYPE_BF16},
    };
    for (size_t i = 0; i < NIB_COUNT(types); i++)
        if (strcmp(types[i].name, piece->source->dtype) == 0) {
            *out = types[i].type;
            return NIB_OK;
        }
    char what[192];
    snprintf(what, sizeof(what),
             "is of dtype %s, which nibble does not read: F32, F16 and BF16; use a version of this "
             "model in one of these, or a GGUF file of it",
             piece->source->dtype);
    return fail_piece(m, piece, what);
}

static enum nib_status check_source(struct maker *m, const struct nib_hf_piece *piece)
{
    const struct nib_safetensors_tensor *t = piece->source;
    enum nib_type type = NIB_TYPE_F32;
    const enum nib_status status = check_type(m, piece, &type);
    if (status != NIB_OK)
        return status;
    if (t->n_dims < 1 || t->n_dims > 4 || t->n_bytes == 0)
        return fail_shape(m, piece, "one to four dimensions, none of them 0");
    const struct nib_safetensors_tensor *first = m->pieces[0].source;
    if (t->n_dims != first->n_dims || memcmp(t->dims, first->dims, sizeof(t->dims)) != 0 ||
        strcmp(t->dtype, first->dtype) != 0)
        return fail_shape(m, piece, "that and the type of the other parts");
    m->out->type = type;
    m->n_value = nib_type_info(type)->n_bytes;
    return NIB_OK;
}

/* The first piece as it lies. */
static void make_plain(struct maker *m)
{
    const struct nib_safetensors_tensor *t = m->pieces[0].source;
    m->out->name = m->pieces[0].name;
    m->out->n_dims = t->n_dims;
    for (uint32_t i = 0; i < 4; i++)
        m->out->dims[i] = i < t->n_dims ? t->dims[t->n_dims - 1 - i] : 1;
    m->out->data = t->data;
    m->out->n_bytes = t->n_bytes;
}

/* A view of n slices, all at the first piece's data, whose rows lie one after another. */
static struct nib_tensor_view *make_view(struct maker *m, size_t n, const uint8_t ***slices)
{
    struct nib_tensor_view *view = nib_hf_alloc(m->memory, sizeof(*view));
    *slices = nib_hf_alloc(m->memory, n * sizeof(**slices));
    if (!view || !*slices)
        return NULL;
    for (size_t i = 0; i < n; i++)
        (*slices)[i] = m->pieces[0].source->data;
    view->slices = *slices;
    view->value_stride = m->n_value;
    view->row_stride = m->n_value * (m->out->n_dims > 1 ? m->out->dims[0] : 1);
    m->out->view = view;
    m->out->data = NULL;
    return view;
}

uint8_t *nib_hf_view_copy(struct nib_gguf_tensor *tensor, struct nib_hf_memory *memory)
{
    const size_t n_value = nib_type_info(tensor->type)->n_bytes;
    struct nib_tensor_view *view = nib_hf_alloc(memory, sizeof(*view));
    const uint8_t **slices = nib_hf_alloc(memory, sizeof(*slices));
    uint8_t *copy = nib_hf_alloc(memory, tensor->n_bytes);
    if (!view || !slices || !copy)
        return NULL;
    slices[0] = copy;
    view->slices = slices;
    view->value_stride = n_value;
    view->row_stride = n_value * (tensor->n_dims > 1 ? (size_t)tensor->dims[0] : 1);
    view->is_copy = true;
    tensor->view = view;
    tensor->data = NULL;
    return copy;
}

/* ---- rows in another order ------------------------------------------------------------------- */

static size_t n_rows_of(const struct maker *m)
{
    return m->out->n_dims > 1 ? m->out->dims[1] : m->out->dims[0];
}

static enum nib_status make_rows(struct maker *m, uint32_t **rows)
{
    const uint8_t **slices;
    const size_t n = n_rows_of(m);
    struct nib_tensor_view *view = make_view(m, 1, &slices);
    *rows = view && n <= UINT32_MAX ? nib_hf_alloc(m->memory, n * sizeof(**rows)) : NULL;
    if (!*rows)
        return out_of_memory(m, n * sizeof(**rows));
    view->rows = *rows;
    return NIB_OK;
}

/* (half, i) -> (i, half), in every head. */
static enum nib_status make_pairs(struct maker *m, uint32_t n_heads)
{
    const size_t n = n_rows_of(m);
    if (m->out->n_dims > 2 || n_heads == 0 || n % (2 * (size_t)n_heads) != 0) {
        char expected[96];
        snprintf(expected, sizeof(expected), "an even number of rows for each of %" PRIu32 " heads",
                 n_heads);
        return fail_shape(m, m->pieces, expected);
    }
    uint32_t *rows;
    const enum nib_status status = make_rows(m, &rows);
    const size_t d = n / n_heads;
    for (size_t i = 0; status == NIB_OK && i < n; i++)
        rows[i] = (uint32_t)(i / d * d + i % 2 * (d / 2) + i % d / 2);
    return status;
}

/* Groups of g queries, a key and a value, of d rows each. */
static enum nib_status make_grouped(struct maker *m)
{
    const size_t n = n_rows_of(m);
    const uint64_t q = m->config->n_heads, kv = m->config->n_kv_heads, d = m->config->d_head;
    if (m->out->n_dims > 2 || kv == 0 || q % kv != 0 || d == 0 || n != (q + 2 * kv) * d) {
        char expected[128];
        snprintf(expected, sizeof(expected),
                 "%" PRIu64 " rows for each of %" PRIu64 " queries, %" PRIu64
                 " keys and as many values",
                 d, q, kv);
        return fail_shape(m, m->pieces, expected);
    }
    uint32_t *rows;
    const size_t g = (size_t)(q / kv);
    const enum nib_status status = kv == 1 ? NIB_OK : make_rows(m, &rows); /* 1: the same order */
    for (size_t i = 0; status == NIB_OK && kv > 1 && i < n; i++) {
        const size_t head = i / d, at = i % d;
        const size_t group = head < q ? head / g : (head - q) % kv;
        const size_t member = head < q ? head % g : g + (head - q) / kv;
        rows[i] = (uint32_t)((group * (g + 2) + member) * d + at);
    }
    return status;
}

/* ---- other forms ----------------------------------------------------------------------------- */

static enum nib_status make_transposed(struct maker *m)
{
    const uint8_t **slices;
    if (m->out->n_dims == 1)
        return NIB_OK;
    if (m->out->n_dims != 2)
        return fail_shape(m, m->pieces, "two dimensions");
    const uint64_t n_out = m->out->dims[0], n_in = m->out->dims[1];
    struct nib_tensor_view *view = make_view(m, 1, &slices);
    if (!view)
        return out_of_memory(m, sizeof(*view));
    m->out->dims[0] = n_in;
    m->out->dims[1] = n_out;
    view->row_stride = m->n_value;
    view->value_stride = m->n_value * (size_t)n_out;
    return NIB_OK;
}

static enum nib_status make_plus_one(struct maker *m)
{
    const uint8_t **slices;
    if (m->out->n_dims != 1)
        return fail_shape(m, m->pieces, "one dimension");
    struct nib_tensor_view *view = make_view(m, 1, &slices);
    if (!view)
        return out_of_memory(m, sizeof(*view));
    view->plus = 1;
    return NIB_OK;
}

static enum nib_status make_without_two(struct maker *m)
{
    struct nib_gguf_tensor *t = m->out;
    if (t->n_dims != 2 || t->dims[1] < 3)
        return fail_shape(m, m->pieces, "a matrix of at least three rows");
    const size_t n_skipped = 2 * (size_t)t->dims[0] * m->n_value;
    t->dims[1] -= 2;
    t->data += n_skipped;
    t->n_bytes -= n_skipped;
    return NIB_OK;
}

static void make_flat(struct maker *m)
{
    struct nib_gguf_tensor *t = m->out;
    t->dims[0] *= t->dims[1] * t->dims[2] * t->dims[3];
    t->dims[1] = t->dims[2] = t->dims[3] = 1;
    t->n_dims = 1;
}

/* ---- experts --------------------------------------------------------------------------------- */

static enum nib_status fail_experts(const struct maker *m, size_t n)
{
    char what[192];
    snprintf(what, sizeof(what),
             "is one of %zu parts of %s, expected all from 0 to %" PRIu32
             ": files are missing or do not belong together; download the folder again",
             n, m->pieces[0].name, m->config->n_experts - 1);
    return fail_piece(m, m->pieces, what);
}

/* One matrix each. */
static enum nib_status make_experts(struct maker *m)
{
    const uint8_t **slices;
    if (m->out->n_dims != 2)
        return fail_shape(m, m->pieces, "two dimensions");
    if (m->n != m->config->n_experts || m->pieces[m->n - 1].part != m->n - 1)
        return fail_experts(m, m->n);
    if (!make_view(m, m->n, &slices))
        return out_of_memory(m, m->n * sizeof(*slices));
    for (size_t i = 0; i < m->n; i++)
        slices[i] = m->pieces[i].source->data;
    m->out->n_dims = 3;
    m->out->dims[2] = m->n;
    m->out->n_bytes *= m->n;
    return NIB_OK;
}

/* All in one tensor, of whose rows those of [begin, begin + n_parts) / n_parts are taken. */
static enum nib_status make_fused(struct maker *m, uint32_t begin, uint32_t n_parts)
{
    struct nib_gguf_tensor *t = m->out;
    const uint8_t **slices;
    if (t->n_dims != 3 || t->dims[2] != m->config->n_experts || t->dims[1] % n_parts != 0)
        return fail_shape(m, m->pieces, "a matrix for each expert");
    if (n_parts == 1)
        return NIB_OK;
    const size_t n_slice = (size_t)(t->dims[0] * t->dims[1]) * m->n_value;
    if (!make_view(m, (size_t)t->dims[2], &slices))
        return out_of_memory(m, (size_t)t->dims[2] * sizeof(*slices));
    for (size_t i = 0; i < t->dims[2]; i++)
        slices[i] += i * n_slice + begin * (n_slice / n_parts);
    t->dims[1] /= n_parts;
    t->n_bytes /= n_parts;
    return NIB_OK;
}

/* Vectors that become rows are copied: they are few and short. */
static enum nib_status make_stacked(struct maker *m)
{
    struct nib_gguf_tensor *t = m->out;
    if (t->n_dims != 1)
        return fail_shape(m, m->pieces, "one dimension");
    if (m->pieces[m->n - 1].part != m->n - 1)
        return fail_piece(m, m->pieces,
                          "has no neighbours: parts of its kind are missing; "
                          "download the folder again");
    const size_t n_row = t->n_bytes;
    t->n_dims = 2;
    t->dims[1] = m->n;
    t->n_bytes *= m->n;
    uint8_t *rows = nib_hf_view_copy(t, m->memory);
    if (!rows)
        return out_of_memory(m, t->n_bytes);
    for (size_t i = 0; i < m->n; i++)
        memcpy(rows + i * n_row, m->pieces[i].source->data, n_row);
    return NIB_OK;
}

/* ---- by rule --------------------------------------------------------------------------------- */

static enum nib_status make(struct maker *m)
{
    switch (m->pieces[0].rule->how) {
    case NIB_HF_PAIRS_Q:
        return make_pairs(m, m->config->n_heads);
    case NIB_HF_PAIRS_K:
        return make_pairs(m, m->config->n_kv_heads);
    case NIB_HF_TRANSPOSED:
        return make_transposed(m);
    case NIB_HF_GROUPED_QKV:
        return make_grouped(m);
    case NIB_HF_PLUS_ONE:
        return make_plus_one(m);
    case NIB_HF_SKIP_TWO:
        return make_without_two(m);
    case NIB_HF_FLAT:
    case NIB_HF_FLAT_BIAS:
        make_flat(m);
        return NIB_OK;
    case NIB_HF_EXPERT:
        return make_experts(m);
    case NIB_HF_EXPERTS:
        return make_fused(m, 0, 1);
    case NIB_HF_EXPERTS_1ST:
        return make_fused(m, 0, 2);
    case NIB_HF_EXPERTS_2ND:
        return make_fused(m, 1, 2);
    case NIB_HF_STACKED:
        return make_stacked(m);
    default:
        return NIB_OK;
    }
}

enum nib_status nib_hf_view(struct nib_gguf_tensor *out, struct nib_hf_memory *memory,
                            const struct nib_hf_piece *pieces, size_t n,
                            const struct nib_hf_config *config, struct nib_error *err)
{
    struct maker m = {
        .out = out, .memory = memory, .pieces = pieces, .n = n, .config = config, .err = err};
    *out = (struct nib_gguf_tensor){0};
    for (size_t i = 0; i < n; i++) {
        const enum nib_status status = check_source(&m, &pieces[i]);
        if (status != NIB_OK)
            return status;
    }
    make_plain(&m);
    const size_t n_name = strlen(pieces[0].name) + 1; /* pieces are gone later */
    char *name = nib_hf_alloc(memory, n_name);
    if (!name)
        return out_of_memory(&m, n_name);
    memcpy(name, pieces[0].name, n_name);
    out->name = name;
    return make(&m);
}
