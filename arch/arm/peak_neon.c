/* The most that a core does with the AArch64 baseline; the loops are in the template. */
#include "peak.h"

#include <arm_neon.h>

static inline int32x4_t multiply(int32x4_t sum, int8x16_t codes, int8x16_t x)
{
    const int16x8_t low = vmull_s8(vget_low_s8(codes), vget_low_s8(x));
    return vpadalq_s16(sum, vmlal_high_s8(low, codes, x));
}

#define PEAK      nib_peak_neon
#define PEAK_ISA  "neon"
#define PEAK_NAME "smull, smlal2, sadalp"
#define PEAK_OPS  32
#include "peak_neon_template.h"
