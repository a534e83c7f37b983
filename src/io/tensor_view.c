/* Reading tensors by rows, however they lie: see gguf.h. */
#include "gguf.h"
#include "half.h"

/* A view whose rows are runs of bytes of the tensor's own type. */
static bool has_plain_rows(const struct nib_gguf_tensor *t)
{
    const struct nib_tensor_view *v = t->view;
    return t->n_dims > 1 && v->plus == 0 && v->value_stride == nib_type_info(t->type)->n_bytes;
}

static const uint8_t *view_row(const struct nib_gguf_tensor *t, uint64_t row)
{
    const struct nib_tensor_view *v = t->view;
    const uint64_t slice = row / t->dims[1], i = row % t->dims[1];
    return v->slices[slice] + (v->rows ? v->rows[i] : i) * v->row_stride;
}

const uint8_t *nib_tensor_row(const struct nib_gguf_tensor *t, uint64_t row)
{
    if (!t->view)
        return t->data + row * (t->n_bytes / (t->dims[1] * t->dims[2] * t->dims[3]));
    return has_plain_rows(t) ? view_row(t, row) : NULL;
}

static float read_value(enum nib_type type, const uint8_t *data)
{
    if (type == NIB_TYPE_F32) {
        float x;
        memcpy(&x, data, sizeof(x));
        return x;
    }
    assert(type == NIB_TYPE_F16 || type == NIB_TYPE_BF16);
    uint16_t h;
    memcpy(&h, data, sizeof(h));
    return type == NIB_TYPE_F16 ? nib_f16_to_f32(h) : nib_bf16_to_f32(h);
}

void nib_tensor_floats(const struct nib_gguf_tensor *t, uint64_t row, size_t begin, size_t end,
                       float *out)
{
    const struct nib_tensor_view *v = t->view;
    const size_t n_bytes = nib_type_info(t->type)->n_bytes;
    const uint8_t *first = v && t->n_dims == 1 ? v->slices[0]
                           : v                 ? view_row(t, row)
                                               : nib_tensor_row(t, row);
    for (size_t i = begin; i < end; i++) {
        const size_t at = !v              ? i * n_bytes
                          : t->n_dims > 1 ? i * v->value_stride
                                          : (v->rows ? v->rows[i] : i) * v->row_stride;
        out[i - begin] = read_value(t->type, first + at) + (v ? v->plus : 0);
    }
}
