/* Matrix products with AVX-VNNI; the code is in the template. */
#define MATMUL_INIT   nib_kernels_init_matmul_avxvnni
#define MATMUL_AVX512 0
#define MATMUL_VNNI   1
#define MATMUL_NARROW 4
#define MATMUL_WIDE   4
#include "matmul_template.h"
