/* Float and attention kernels for NEON, the baseline of AArch64. */
#include "simd_neon.h"

#include "dots_template.h"
#include "float_template.h"

void nib_kernels_init_neon(struct nib_kernels *k)
{
    fill_kernels(k);
    fill_dots(k);
    k->name = "neon";
}
