/* Matrix products with AVX-512 VNNI; the code is in the template. */
#define MATMUL_INIT   nib_kernels_init_matmul_avx512vnni
#define MATMUL_AVX512 1
#define MATMUL_VNNI   1
#define MATMUL_NARROW 8
#define MATMUL_WIDE   6
#include "matmul_template.h"
