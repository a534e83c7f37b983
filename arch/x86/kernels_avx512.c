/* Float and attention kernels for AVX-512 (F, BW, VL, DQ). */
#include "simd_avx512.h"

#include "dots_template.h"
#include "float_template.h"

void nib_kernels_init_avx512(struct nib_kernels *k)
{
    fill_kernels(k);
    fill_dots(k);
    k->name = "avx512";
}
