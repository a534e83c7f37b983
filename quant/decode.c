/* Floats are widened; all else is packed and read back, so each format is read in one place. */
#include "decode.h"
#include "half.h"

#include <assert.h>
#include <string.h>

static size_t float_bytes(enum nib_type type)
{
    return type == NIB_TYPE_F32 ? 4 : type == NIB_TYPE_F16 || type == NIB_TYPE_BF16 ? 2 : 0;
}

bool nib_can_decode(enum nib_type type)
{
    enum nib_pack pack;
    return float_bytes(type) > 0 || nib_pack_of_type(type, &pack);
}

static struct nib_matrix shape_of(enum nib_type type, size_t n_cols)
{
    enum nib_pack pack = NIB_PACK_F32;
    const bool is_known = nib_pack_of_type(type, &pack);
    assert(is_known);
    (void)is_known;
    return nib_matrix_shape(pack, NIB_GROUP, (uint32_t)n_cols);
}

size_t nib_decode_scratch(enum nib_type type, size_t n_cols)
{
    return float_bytes(type) > 0 ? 0 : shape_of(type, n_cols).planes.n_bytes;
}

static void widen(enum nib_type type, const uint8_t *row, size_t n, float *out)
{
    if (type == NIB_TYPE_F32) {
        memcpy(out, row, n * sizeof(*out));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, row + 2 * i, sizeof(half));
        out[i] = type == NIB_TYPE_F16 ? nib_f16_to_f32(half) : nib_bf16_to_f32(half);
    }
}

void nib_decode_rows(enum nib_type type, const uint8_t *const rows[NIB_GROUP], size_t n_cols,
                     uint8_t *scratch, float *out)
{
    struct nib_matrix matrix = {0};
    if (float_bytes(type) == 0) {
        matrix = shape_of(type, n_cols);
        memset(scratch, 0, matrix.planes.n_bytes);
        nib_pack_group(type, scratch, rows, n_cols);
        matrix.data = scratch;
    }
    for (size_t r = 0; r < NIB_GROUP; r++) {
        if (!rows[r])
            continue;
        if (matrix.data)
            nib_matrix_row(&matrix, r, out + r * n_cols);
        else
            widen(type, rows[r], n_cols, out + r * n_cols);
    }
}
