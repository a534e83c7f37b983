/* Float and attention kernels for AVX2 with FMA and F16C. */
#include "simd_avx2.h"

#include "dots_template.h"
#include "float_template.h"

void nib_kernels_init_avx2(struct nib_kernels *k)
{
    fill_kernels(k);
    fill_dots(k);
    k->name = "avx2";
}
