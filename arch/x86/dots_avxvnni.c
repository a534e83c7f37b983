/* Products with int8 caches with AVX-VNNI; the code is in the template. */
#include "simd_avx2.h"

#include "dots_template.h"

void nib_kernels_init_avxvnni(struct nib_kernels *k)
{
    fill_dots(k);
}
