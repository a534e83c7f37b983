/* The most that a core does with dot products; the loops are in the template. */
#include "peak.h"

#include <arm_neon.h>

static inline int32x4_t multiply(int32x4_t sum, int8x16_t codes, int8x16_t x)
{
    return vdotq_s32(sum, codes, x);
}

#define PEAK      nib_peak_dotprod
#define PEAK_ISA  "dotprod"
#define PEAK_NAME "sdot"
#define PEAK_OPS  32
#include "peak_neon_template.h"
