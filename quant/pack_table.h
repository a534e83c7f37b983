/*
 * The table of packings.  It is a constant in a header, so that a kernel written for any packing
 * becomes one for a certain packing when compiled.
 */
#ifndef NIB_PACK_TABLE_H
#define NIB_PACK_TABLE_H

#include "pack.h"

/* Values of IQ4_NL and IQ4_XS. */
static const int8_t nib_book_iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                        1,    13,   25,  38,  53,  69,  89,  113};

/* Twice the values of e2m1 (OCP Microscaling Formats, 5.3.3). */
static const int8_t nib_book_e2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

#define NIB_FLOATS(type, size)  .source = NIB_TYPE_##type, .act = NIB_ACT_F32, .float_bytes = (size)
#define NIB_CODES(type, n_bits) .source = NIB_TYPE_##type, .act = NIB_ACT_Q8, .bits = (n_bits)

static const struct nib_pack_info nib_packs[NIB_PACK_COUNT] = {
    [NIB_PACK_F32] = {"f32", NIB_FLOATS(F32, 4)},
    [NIB_PACK_F16] = {"f16", NIB_FLOATS(F16, 2)},
    [NIB_PACK_BF16] = {"bf16", NIB_FLOATS(BF16, 2)},
    [NIB_PACK_Q4_0] = {"q4_0", NIB_CODES(Q4_0, 4), .zero_shift = 3, .codes = 256,
                       .form = NIB_SCALE_F16, .scale = 32},
    [NIB_PACK_Q4_1] = {"q4_1", NIB_CODES(Q4_1, 4), .codes = 256, .form = NIB_SCALE_F16, .scale = 32,
                       .min = 32},
    [NIB_PACK_Q5_0] = {"q5_0", NIB_CODES(Q5_0, 5), .zero_shift = 4, .codes = 256, .one = 64,
                       .form = NIB_SCALE_F16, .scale = 32},
    [NIB_PACK_Q5_1] = {"q5_1", NIB_CODES(Q5_1, 5), .codes = 256, .one = 64, .form = NIB_SCALE_F16,
                       .scale = 32, .min = 32},
    [NIB_PACK_Q8_0] = {"q8_0", NIB_CODES(Q8_0, 8), .zero_shift = 7, .codes = 512,
                       .form = NIB_SCALE_F16, .scale = 32},
    [NIB_PACK_IQ4_NL] = {"iq4_nl", NIB_CODES(IQ4_NL, 8), .zero_shift = 7, .codes = 256,
                         .form = NIB_SCALE_F16, .scale = 32, .book = nib_book_iq4},
    [NIB_PACK_MXFP4] = {"mxfp4", NIB_CODES(MXFP4, 5), .zero_shift = 4, .codes = 256,
                        .form = NIB_SCALE_E8M0, .scale = 16, .book = nib_book_e2m1},
    [NIB_PACK_Q2_K] = {"q2_k", NIB_CODES(Q2_K, 2), .two = 128, .form = NIB_SCALE_U4_16, .scale = 32,
                       .super = 64},
    [NIB_PACK_Q3_K] = {"q3_k", NIB_CODES(Q3_K, 3), .zero_shift = 2, .two = 128, .one = 64,
                       .form = NIB_SCALE_I6_16, .super = 224},
    [NIB_PACK_Q4_K] = {"q4_k", NIB_CODES(Q4_K, 4), .codes = 256, .form = NIB_SCALE_U8_MIN,
                       .scale = 16, .min = 16, .super = 64},
    [NIB_PACK_Q5_K] = {"q5_k", NIB_CODES(Q5_K, 5), .codes = 256, .one = 64,
                       .form = NIB_SCALE_U8_MIN, .scale = 16, .min = 16, .super = 64},
    [NIB_PACK_Q6_K] = {"q6_k", NIB_CODES(Q6_K, 6), .zero_shift = 5, .codes = 256, .two = 128,
                       .form = NIB_SCALE_I8_16, .scale = 32, .super = 32},
    [NIB_PACK_IQ4_XS] = {"iq4_xs", NIB_CODES(IQ4_XS, 8), .zero_shift = 7, .codes = 256,
                         .form = NIB_SCALE_I8, .scale = 16, .super = 32, .book = nib_book_iq4},
    [NIB_PACK_I8] = {"i8", .act = NIB_ACT_Q8, .bits = 8, .source = NIB_TYPE_END, .zero_shift = 7,
                     .codes = 512, .form = NIB_SCALE_F32_16, .scale = 32, .super = 64},
};

#undef NIB_FLOATS
#undef NIB_CODES

#endif
