/* The most that a core does with AVX-512 VNNI; the code is in the template. */
#define PEAK        nib_peak_avx512vnni
#define PEAK_ISA    "avx512vnni"
#define PEAK_AVX512 1
#define PEAK_VNNI   1
#include "peak_template.h"
