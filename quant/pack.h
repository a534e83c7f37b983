/*
 * Packed weights: what all kernels read.  A matrix [n_rows, n_cols] is cut into groups of 16 rows
 * (the last one padded with zero rows); inside a group the columns run in strips of 4, so that a
 * 32-bit lane is a row:
 *
 *     strip   16 rows x 4 columns of bytes, row after row                             =  64 bytes
 *     int8    a block of 32 columns = 8 strips                                        = 512 bytes
 *     int4    a block of 32 columns = 4 units of 64 bytes; unit p holds strip p
 *             in the low nibbles and strip p + 4 in the high ones                     = 256 bytes
 *     2 bits  a block of 32 columns = 2 units; bits 2i of unit u belong to
 *             strip 4u + i                                                            = 128 bytes
 *     1 bit   a block of 32 columns = 1 unit; bit i belongs to strip i                =  64 bytes
 *     float   one column after the other, 16 rows each
 *
 * A code is put together from one to three of these planes: low bits first.  Codes are unsigned; a
 * type's zero point is taken off by the kernels; a type with a code book has codes that name its
 * entries.  A group is a run of planes, each over all columns: codes, 2 bits, 1 bit, scales,
 * minimums, super-scales (struct nib_planes).  Scales lie 16 rows side by side in the source's own
 * precision, so packing loses nothing.
 */
#ifndef NIB_PACK_H
#define NIB_PACK_H

#include "types.h"

enum { NIB_GROUP = 16, NIB_BLOCK = 32, NIB_SUPER = 256 };

/* All packings.  TQ1_0 and TQ2_0 become Q8_0, IQ1, IQ2 and IQ3 become I8. */
#define NIB_FLOAT_PACKS(X) X(F32) X(F16) X(BF16)
#define NIB_CODE_PACKS(X)                                                                          \
    X(Q4_0)                                                                                        \
    X(Q4_1)                                                                                        \
    X(Q5_0)                                                                                        \
    X(Q5_1)                                                                                        \
    X(Q8_0)                                                                                        \
    X(IQ4_NL)                                                                                      \
    X(MXFP4)                                                                                       \
    X(Q2_K)                                                                                        \
    X(Q3_K)                                                                                        \
    X(Q4_K)                                                                                        \
    X(Q5_K)                                                                                        \
    X(Q6_K)                                                                                        \
    X(IQ4_XS)                                                                                      \
    X(I8)

enum nib_pack {
#define NIB_PACK_NUMBER(name) NIB_PACK_##name,
    NIB_FLOAT_PACKS(NIB_PACK_NUMBER) NIB_CODE_PACKS(NIB_PACK_NUMBER)
#undef NIB_PACK_NUMBER
        NIB_PACK_COUNT
};

/* How the other operand of a product is held. */
enum nib_act_kind {
    NIB_ACT_F32, /* as it is */
    NIB_ACT_Q8,  /* int8, a scale per 32 columns */
    NIB_ACT_Q15, /* for any type of Q8: codes of 15 bits, a scale per 32 columns */
    NIB_ACT_COUNT
};

/*
 * How scales are held: what a weight x is of its code q, less the zero point or looked up.  f16 but
 * where said otherwise; d and dmin belong to 256 columns, in the super-scales.
 */
enum nib_scale_form {
    NIB_SCALE_NONE,   /* float types */
    NIB_SCALE_F16,    /* 32 columns: x = scale q, or scale q + min */
    NIB_SCALE_E8M0,   /* 32 columns: x = 2^(scale - 128) q, scale a byte */
    NIB_SCALE_U8_MIN, /* 32 columns: x = (d scale) q - (dmin min), both bytes */
    NIB_SCALE_I8,     /* 32 columns: x = (d scale) q, a signed byte */
    NIB_SCALE_I8_16,  /* 16 columns, the same */
    NIB_SCALE_F32_16, /* 16 columns, the same with d as f32 */
    NIB_SCALE_I6_16,  /* 16 columns, the same with scale - 32 in 6 bits: after d, 8 rows of bytes
                         with the low nibbles of scales i and i + 8, then 4 with bits 2j of scale
                         4j + i */
    NIB_SCALE_U4_16,  /* 16 columns: x = (d scale) q - (dmin min), a byte scale | min << 4 */
};

/* Bytes of each plane: per block of 32 columns, or per super-block of 256.  0: no such plane. */
struct nib_pack_info {
    const char *name;
    enum nib_type source; /* NIB_TYPE_END: several */
    enum nib_act_kind act;
    enum nib_scale_form form;
    uint8_t zero_shift;  /* zero point = 1 << zero_shift; 0: none */
    uint8_t bits;        /* of a code that kernels multiply, looked up and with its zero point */
    uint8_t float_bytes; /* of a value of a float type, else 0 */
    uint16_t codes, two, one;
    uint16_t scale, min, super;
    const int8_t *book; /* [16]: codes are looked up, and the zero point is added; or NULL */
};

const struct nib_pack_info *nib_pack_info(enum nib_pack pack);

/* Which packing a GGUF type gets; false if there is none. */
bool nib_pack_of_type(enum nib_type type, enum nib_pack *out);

/* Columns that share a scale: 16 or 32. */
static inline size_t nib_scale_columns(enum nib_scale_form form)
{
    return form >= NIB_SCALE_I8_16 ? 16 : 32;
}

static inline bool nib_pack_has_min(const struct nib_pack_info *info)
{
    return info->min || info->form == NIB_SCALE_U4_16;
}

/* Byte offsets inside a group; the codes are at 0. */
struct nib_planes {
    size_t two, one, scale, min, super;
    size_t n_bytes; /* of a group, a multiple of 64 */
};

struct nib_planes nib_planes(enum nib_pack pack, size_t n_cols);

struct nib_matrix {
    enum nib_pack pack;
    uint32_t n_rows, n_cols;
    size_t n_groups;
    struct nib_planes planes;
    const uint8_t *data; /* [n_groups][planes.n_bytes], 64-byte aligned */
};

/* A matrix without data yet; its data takes n_groups * planes.n_bytes bytes. */
struct nib_matrix nib_matrix_shape(enum nib_pack pack, uint32_t n_rows, uint32_t n_cols);

/*
 * Pack one group at `dst`, zeroed memory, from 16 rows of type `source`, which has a packing, each
 * n_cols values; NULL is a row of zeros.  The rows of a group may come from anywhere, which is how
 * rows are reordered and tensors split.
 */
void nib_pack_group(enum nib_type source, uint8_t *dst, const uint8_t *const rows[NIB_GROUP],
                    size_t n_cols);

/* Single elements, for the specification kernels and tests: `group` is the group's data, `row`
 * 0..15.  A code is what kernels multiply: looked up, its zero point still on. */
struct nib_scale {
    float scale, min; /* x = scale * (code - zero) + min */
};

int nib_matrix_code(const struct nib_matrix *matrix, const uint8_t *group, int row, size_t col);
struct nib_scale nib_matrix_scale(const struct nib_matrix *matrix, const uint8_t *group, int row,
                                  size_t col);

/* The floats of one row, exactly those that the source type defines; out[n_cols]. */
void nib_matrix_row(const struct nib_matrix *matrix, size_t row, float *out);

#endif
