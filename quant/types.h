/* The tensor types of GGUF files and the sizes of their blocks. */
#ifndef NIB_TYPES_H
#define NIB_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers as in GGUF. */
enum nib_type {
    NIB_TYPE_F32 = 0,
    NIB_TYPE_F16 = 1,
    NIB_TYPE_Q4_0 = 2,
    NIB_TYPE_Q4_1 = 3,
    NIB_TYPE_Q5_0 = 6,
    NIB_TYPE_Q5_1 = 7,
    NIB_TYPE_Q8_0 = 8,
    NIB_TYPE_Q8_1 = 9,
    NIB_TYPE_Q2_K = 10,
    NIB_TYPE_Q3_K = 11,
    NIB_TYPE_Q4_K = 12,
    NIB_TYPE_Q5_K = 13,
    NIB_TYPE_Q6_K = 14,
    NIB_TYPE_Q8_K = 15,
    NIB_TYPE_IQ2_XXS = 16,
    NIB_TYPE_IQ2_XS = 17,
    NIB_TYPE_IQ3_XXS = 18,
    NIB_TYPE_IQ1_S = 19,
    NIB_TYPE_IQ4_NL = 20,
    NIB_TYPE_IQ3_S = 21,
    NIB_TYPE_IQ2_S = 22,
    NIB_TYPE_IQ4_XS = 23,
    NIB_TYPE_I8 = 24,
    NIB_TYPE_I16 = 25,
    NIB_TYPE_I32 = 26,
    NIB_TYPE_I64 = 27,
    NIB_TYPE_F64 = 28,
    NIB_TYPE_IQ1_M = 29,
    NIB_TYPE_BF16 = 30,
    NIB_TYPE_TQ1_0 = 34,
    NIB_TYPE_TQ2_0 = 35,
    NIB_TYPE_MXFP4 = 39,
    NIB_TYPE_NVFP4 = 40,
    NIB_TYPE_Q1_0 = 41,
    NIB_TYPE_END
};

struct nib_type_info {
    const char *name;  /* "Q4_1" */
    uint32_t n_values; /* of a block */
    uint32_t n_bytes;  /* of a block */
};

static inline bool nib_type_is_float(enum nib_type type)
{
    return type == NIB_TYPE_F32 || type == NIB_TYPE_F16 || type == NIB_TYPE_BF16;
}

/* NULL for numbers that name no type (never assigned, or withdrawn). */
const struct nib_type_info *nib_type_info(uint32_t type);

#endif
