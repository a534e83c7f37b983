/* Matrix products with AVX2; the code is in the template. */
#define MATMUL_INIT   nib_kernels_init_matmul_avx2
#define MATMUL_AVX512 0
#define MATMUL_VNNI   0
#define MATMUL_NARROW 4
#define MATMUL_WIDE   3
#include "matmul_template.h"
