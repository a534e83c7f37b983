/* Matrix products with AVX-512 (F, BW, VL, DQ); the code is in the template. */
#define MATMUL_INIT   nib_kernels_init_matmul_avx512
#define MATMUL_AVX512 1
#define MATMUL_VNNI   0
#define MATMUL_NARROW 4
#define MATMUL_WIDE   6
#include "matmul_template.h"
