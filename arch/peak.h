/*
 * What a core can do at most at each level of instruction sets: loops that only multiply integers,
 * only multiply floats, or only read.  They are the bench's yardstick and no part of the library.
 */
#ifndef NIB_PEAK_H
#define NIB_PEAK_H

#include <stddef.h>

struct nib_peak_loop {
    const char *name; /* its instructions; NULL: the level has no such loop */
    double n_ops;     /* of a round; a multiplication and its addition are two */
    void (*run)(size_t n_rounds);
};

/*
 * Without an instruction that adds products of bytes to int32, sums are kept in int16 for as long
 * as the codes allow, so how much a level can do depends on their number of bits.
 */
enum nib_peak_codes {
    NIB_PEAK_4_BITS, /* and fewer: 8 products are added before they are widened */
    NIB_PEAK_5_BITS, /* 4 */
    NIB_PEAK_6_BITS, /* 2 */
    NIB_PEAK_8_BITS, /* 1 */
    NIB_PEAK_CODES
};

struct nib_peak {
    const char *isa; /* as nib_isa_list() has it */
    struct nib_peak_loop integers[NIB_PEAK_CODES];
    struct nib_peak_loop floats; /* fused multiply-adds of f32 */
    /* Read all of it, as fast as one core can; n_bytes is a multiple of 4096. */
    void (*read)(const void *data, size_t n_bytes);
};

/* NULL for a level that has no loops ("scalar"). */
const struct nib_peak *nib_peak_of(const char *isa);

extern const struct nib_peak nib_peak_avx2, nib_peak_avxvnni, nib_peak_avx512, nib_peak_avx512vnni;
extern const struct nib_peak nib_peak_neon, nib_peak_dotprod, nib_peak_i8mm;

/* The peak for codes of that many bits. */
static inline const struct nib_peak_loop *nib_peak_integers(const struct nib_peak *peak,
                                                            unsigned n_bits)
{
    return &peak->integers[n_bits <= 4   ? NIB_PEAK_4_BITS
                           : n_bits == 5 ? NIB_PEAK_5_BITS
                           : n_bits == 6 ? NIB_PEAK_6_BITS
                                         : NIB_PEAK_8_BITS];
}

#endif
