/* Matrix products with sdot; the code is in the template. */
#define MATMUL_INIT    nib_kernels_init_matmul_dotprod
#define MATMUL_DOTPROD 1
#define MATMUL_I8MM    0
#include "matmul_neon_template.h"
