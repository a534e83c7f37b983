/* The most that a core does with AVX-512 without VNNI; the code is in the template. */
#define PEAK        nib_peak_avx512
#define PEAK_ISA    "avx512"
#define PEAK_AVX512 1
#define PEAK_VNNI   0
#include "peak_template.h"
