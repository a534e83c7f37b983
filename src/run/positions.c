#include "positions.h"

#include <sleef.h>

void nib_rope_frequencies(float *frequency, float base, size_t n_rot, const float *factors)
{
    for (size_t i = 0; i < n_rot / 2; i++) {
        const double exponent = -(double)(2 * i) / (double)n_rot;
        /* Rounded to binary32 before the division, as the models were trained. */
        const float f = (float)Sleef_cinz_powd1_u10purec((double)base, exponent);
        frequency[i] = factors ? f / factors[i] : f;
    }
}

void nib_rope_angles(float *c, float *s, const float *frequency, size_t n, uint32_t position)
{
    for (size_t i = 0; i < n; i++) {
        const double angle = (double)position * (double)frequency[i];
        c[i] = (float)Sleef_cinz_cosd1_u10purec(angle);
        s[i] = (float)Sleef_cinz_sind1_u10purec(angle);
    }
}
