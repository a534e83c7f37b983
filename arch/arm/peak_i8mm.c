/* The most that a core does with products of 2 x 8 by 8 x 2 bytes; the loops are in the template.
 */
#include "peak.h"

#include <arm_neon.h>

static inline int32x4_t multiply(int32x4_t sum, int8x16_t codes, int8x16_t x)
{
    return vmmlaq_s32(sum, codes, x);
}

#define PEAK      nib_peak_i8mm
#define PEAK_ISA  "i8mm"
#define PEAK_NAME "smmla"
#define PEAK_OPS  64
#include "peak_neon_template.h"
