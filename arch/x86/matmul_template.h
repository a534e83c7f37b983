/*
 * Matrix products over packed weights, for one instruction set.  The including file defines
 *
 *     MATMUL_INIT      name of the function that fills the table
 *     MATMUL_AVX512    1: a vector is the 16 rows of a group; 0: half of them, in 256 bits
 *     MATMUL_VNNI      1: vpdpbusd; 0: vpmaddubsw, whose pairs are kept inside int16 (see below)
 *     MATMUL_NARROW    tokens that are multiplied by the weights as they lie; more take the wide
 * way MATMUL_WIDE      tokens of the widest tile of the wide way
 *
 * A tile keeps its sums in registers and walks the columns once: weights are unpacked once for all
 * of its tokens, activations are broadcast from memory.  Tiling is free: every output element is
 * one chain in the order of docs/numerics.md.
 *
 * Without VNNI, products u8 x s8 are added in pairs to int16.  Codes below 16 make at most
 * 2 * 15 * 127 = 3810 a step, and the 8 steps of a block 30480 < 32768; 5 bits take 4 steps, 6 bits
 * 2.  8 bits do not fit: the code is split, q = 16 high + low, and both nibbles are summed apart.
 */
#include <string.h>

#include "kernels.h"
#include "matmul_codes.h"

/* Four activations, the same in every 32-bit lane. */
INLINE vint broadcast4(const int8_t *q)
{
    int32_t word;
    memcpy(&word, q, 4);
    return V(set1_epi32)(word);
}

/* sum += the dot of a strip, exactly; without VNNI in int16. */
INLINE vint dot(vint sum, vint codes, vint x)
{
#if MATMUL_VNNI && MATMUL_AVX512
    return _mm512_dpbusd_epi32(sum, codes, x);
#elif MATMUL_VNNI
    return _mm256_dpbusd_avx_epi32(sum, codes, x);
#else
    sum = V(add_epi16)(sum, V(maddubs_epi16)(codes, x));
    __asm__(
        ""
        : "+v"(
            sum)); /* else the compiler makes a tree of the additions, and runs out of registers */
    return sum;
#endif
}

/* int16 sums to int32, times `factor`, on top of idot. */
INLINE vint widen(vint idot, vint sum, short factor)
{
    return V(add_epi32)(idot, V(madd_epi16)(sum, V(set1_epi16)(factor)));
}

/* Steps that int16 sums hold, of codes of so many bits. */
INLINE int steps_of_bits(const int bits)
{
    return bits <= 4 || bits == 8 ? 8 : bits == 5 ? 4 : 2;
}

/* acc = fma((float)idot, dw * da, acc) */
INLINE vfloat scale_in(vfloat acc, vint idot, vfloat dw, const float *da)
{
    return V(fmadd_ps)(V(cvtepi32_ps)(idot), V(mul_ps)(dw, V(set1_ps)(*da)), acc);
}

/* What the activations' sums give to the minimum of a run of columns. */
INLINE vfloat min_factor(const struct nib_act *x, size_t run, size_t t, const bool is_half)
{
    if (!is_half)
        return V(set1_ps)(x->s[run * x->n_rows + t]);
    const float sum = (float)-x->nsum_half[run * x->n_rows + t];
    return V(set1_ps)(x->d[run / 2 * x->n_rows + t] * sum);
}

/* Rows [row, row + LANES) of group g for token t. */
INLINE void store_sums(const struct nib_matmul *m, size_t g, size_t row, size_t t, vfloat sum)
{
    float *y = m->y + (t - m->token_begin) * m->y_stride + (g - m->group_begin) * NIB_GROUP + row;
    if (m->bias)
        sum = V(add_ps)(sum, V(loadu_ps)(m->bias + g * NIB_GROUP + row));
    if (m->accumulate)
        sum = V(add_ps)(V(loadu_ps)(y), sum);
    V(storeu_ps)(y, sum);
}

/* Strip i of a block in an order that lets neighbours share what they are unpacked from. */
INLINE int strip_at(const int i, const bool is_half)
{
    return is_half ? i : i / 2 + i % 2 * 4;
}

#include "matmul_float.h"
#include "matmul_narrow.h"
#include "matmul_wide.h"

INLINE void matmul_codes(const struct nib_matmul *m, const enum nib_pack pack)
{
    if (m->token_end - m->token_begin > 2 * MATMUL_NARROW)
        matmul_wide(m, &nib_packs[pack]);
    else
        matmul_narrow(m, &nib_packs[pack]);
}

#define FLOAT_MATMUL(pack)                                                                         \
    static void matmul_##pack(const struct nib_matmul *m)                                          \
    {                                                                                              \
        matmul_floats(m, NIB_PACK_##pack);                                                         \
    }
#define CODE_MATMUL(pack)                                                                          \
    static void matmul_##pack(const struct nib_matmul *m)                                          \
    {                                                                                              \
        matmul_codes(m, NIB_PACK_##pack);                                                          \
    }
#define ENTRY(pack) k->matmul[NIB_PACK_##pack] = matmul_##pack;

NIB_FLOAT_PACKS(FLOAT_MATMUL)
NIB_CODE_PACKS(CODE_MATMUL)

void MATMUL_INIT(struct nib_kernels *k)
{
    NIB_FLOAT_PACKS(ENTRY)
    NIB_CODE_PACKS(ENTRY)
}
