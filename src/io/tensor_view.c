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

/* Loops of their own where values lie together: compilers make vectors of them. */
static void read_f32(const uint8_t *from, size_t stride, size_t n, float *out)
{
    if (stride == sizeof(*out))
        memcpy(out, from, n * sizeof(*out));
    else
        for (size_t i = 0; i < n; i++)
            memcpy(out + i, from + i * stride, sizeof(*out));
}

static uint16_t load_half(const uint8_t *from)
{
    uint16_t h;
    memcpy(&h, from, sizeof(h));
    return h;
}

static void read_bf16(const uint8_t *from, size_t stride, size_t n, float *out)
{
    if (stride == sizeof(uint16_t))
        for (size_t i = 0; i < n; i++)
            out[i] = nib_bf16_to_f32(load_half(from + i * sizeof(uint16_t)));
    else
        for (size_t i = 0; i < n; i++)
            out[i] = nib_bf16_to_f32(load_half(from + i * stride));
}

static void read_f16(const uint8_t *from, size_t stride, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = nib_f16_to_f32(load_half(from + i * stride));
}

static void read_values(enum nib_type type, const uint8_t *from, size_t stride, size_t n,
                        float *out)
{
    assert(type == NIB_TYPE_F32 || type == NIB_TYPE_F16 || type == NIB_TYPE_BF16);
    if (type == NIB_TYPE_F32)
        read_f32(from, stride, n, out);
    else if (type == NIB_TYPE_BF16)
        read_bf16(from, stride, n, out);
    else
        read_f16(from, stride, n, out);
}

/* Of a tensor of one dimension values are rows. */
static void read_vector(const struct nib_gguf_tensor *t, size_t begin, size_t end, float *out)
{
    const struct nib_tensor_view *v = t->view;
    if (!v->rows) {
        read_values(t->type, v->slices[0] + begin * v->row_stride, v->row_stride, end - begin, out);
        return;
    }
    for (size_t i = begin; i < end; i++)
        read_values(t->type, v->slices[0] + v->rows[i] * v->row_stride, 0, 1, out + i - begin);
}

void nib_tensor_floats(const struct nib_gguf_tensor *t, uint64_t row, size_t begin, size_t end,
                       float *out)
{
    const struct nib_tensor_view *v = t->view;
    const size_t stride = v ? v->value_stride : nib_type_info(t->type)->n_bytes;
    if (v && t->n_dims == 1) {
        read_vector(t, begin, end, out);
    } else {
        const uint8_t *first = v ? view_row(t, row) : nib_tensor_row(t, row);
        read_values(t->type, first + begin * stride, stride, end - begin, out);
    }
    if (v && v->plus != 0)
        for (size_t i = 0; i < end - begin; i++)
            out[i] += v->plus;
}
