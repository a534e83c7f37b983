/* Matrix products with smmla; the code is in the template. */
#define MATMUL_INIT    nib_kernels_init_matmul_i8mm
#define MATMUL_DOTPROD 1
#define MATMUL_I8MM    1
#include "matmul_neon_template.h"
