/* The most that a core does with AVX-VNNI; the code is in the template. */
#define PEAK        nib_peak_avxvnni
#define PEAK_ISA    "avxvnni"
#define PEAK_AVX512 0
#define PEAK_VNNI   1
#include "peak_template.h"
