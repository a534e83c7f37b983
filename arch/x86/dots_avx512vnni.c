/* Products with int8 caches with AVX-512 VNNI; the code is in the template. */
#include "simd_avx512.h"

#include "dots_template.h"

void nib_kernels_init_avx512vnni(struct nib_kernels *k)
{
    fill_dots(k);
}
