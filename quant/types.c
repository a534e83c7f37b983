#include "types.h"

static const struct nib_type_info types[NIB_TYPE_END] = {
    [NIB_TYPE_F32] = {"F32", 1, 4},
    [NIB_TYPE_F16] = {"F16", 1, 2},
    [NIB_TYPE_Q4_0] = {"Q4_0", 32, 18},
    [NIB_TYPE_Q4_1] = {"Q4_1", 32, 20},
    [NIB_TYPE_Q5_0] = {"Q5_0", 32, 22},
    [NIB_TYPE_Q5_1] = {"Q5_1", 32, 24},
    [NIB_TYPE_Q8_0] = {"Q8_0", 32, 34},
    [NIB_TYPE_Q8_1] = {"Q8_1", 32, 36},
    [NIB_TYPE_Q2_K] = {"Q2_K", 256, 84},
    [NIB_TYPE_Q3_K] = {"Q3_K", 256, 110},
    [NIB_TYPE_Q4_K] = {"Q4_K", 256, 144},
    [NIB_TYPE_Q5_K] = {"Q5_K", 256, 176},
    [NIB_TYPE_Q6_K] = {"Q6_K", 256, 210},
    [NIB_TYPE_Q8_K] = {"Q8_K", 256, 292},
    [NIB_TYPE_IQ2_XXS] = {"IQ2_XXS", 256, 66},
    [NIB_TYPE_IQ2_XS] = {"IQ2_XS", 256, 74},
    [NIB_TYPE_IQ3_XXS] = {"IQ3_XXS", 256, 98},
    [NIB_TYPE_IQ1_S] = {"IQ1_S", 256, 50},
    [NIB_TYPE_IQ4_NL] = {"IQ4_NL", 32, 18},
    [NIB_TYPE_IQ3_S] = {"IQ3_S", 256, 110},
    [NIB_TYPE_IQ2_S] = {"IQ2_S", 256, 82},
    [NIB_TYPE_IQ4_XS] = {"IQ4_XS", 256, 136},
    [NIB_TYPE_I8] = {"I8", 1, 1},
    [NIB_TYPE_I16] = {"I16", 1, 2},
    [NIB_TYPE_I32] = {"I32", 1, 4},
    [NIB_TYPE_I64] = {"I64", 1, 8},
    [NIB_TYPE_F64] = {"F64", 1, 8},
    [NIB_TYPE_IQ1_M] = {"IQ1_M", 256, 56},
    [NIB_TYPE_BF16] = {"BF16", 1, 2},
    [NIB_TYPE_TQ1_0] = {"TQ1_0", 256, 54},
    [NIB_TYPE_TQ2_0] = {"TQ2_0", 256, 66},
    [NIB_TYPE_MXFP4] = {"MXFP4", 32, 17},
    [NIB_TYPE_NVFP4] = {"NVFP4", 64, 36},
    [NIB_TYPE_Q1_0] = {"Q1_0", 128, 18},
};

const struct nib_type_info *nib_type_info(uint32_t type)
{
    return type < NIB_TYPE_END && types[type].name ? &types[type] : NULL;
}
