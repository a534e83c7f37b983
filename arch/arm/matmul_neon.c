/* Matrix products with the NEON that every AArch64 has; the code is in the template. */
#define MATMUL_INIT    nib_kernels_init_matmul_neon
#define MATMUL_DOTPROD 0
#define MATMUL_I8MM    0
#include "matmul_neon_template.h"
