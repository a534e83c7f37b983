/* The most that a core does with AVX2; the code is in the template. */
#define PEAK        nib_peak_avx2
#define PEAK_ISA    "avx2"
#define PEAK_AVX512 0
#define PEAK_VNNI   0
#include "peak_template.h"
