#include "positions.h"

#include <math.h>
#include <sleef.h>

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* The pair of values that turns n times over the original context, as a real number. */
static double turning_pair(const struct nib_rope *rope, double n_rot, double n)
{
    const double two_pi = 6.283185307179586;
    return n_rot * Sleef_cinz_logd1_u10purec(rope->n_ctx_original / (n * two_pi)) /
           (2 * Sleef_cinz_logd1_u10purec(rope->base));
}

/* Between fast pairs, which stay, and slow ones, which are divided by the factor. */
static void apply_yarn(float *frequency, const struct nib_rope *rope, size_t n_rot)
{
    const double n = (double)n_rot;
    double low = turning_pair(rope, n, rope->beta_fast);
    double high = turning_pair(rope, n, rope->beta_slow);
    if (rope->has_whole_bounds) {
        low = floor(low);
        high = ceil(high);
    }
    low = low > 0 ? low : 0;
    high = high < n - 1 ? high : n - 1;
    if (high == low)
        high += 0.001;
    for (size_t i = 0; i < n_rot / 2; i++) {
        const double slow = clamp(((double)i - low) / (high - low), 0, 1);
        const double f = (double)frequency[i];
        frequency[i] = (float)(f / (double)rope->factor * slow + f * (1 - slow));
    }
}

void nib_rope_frequencies(float *frequency, const struct nib_rope *rope, size_t n_rot,
                          uint32_t n_ctx)
{
    const double n = (double)n_rot;
    const bool is_long = n_ctx > rope->n_ctx_original;
    double base = (double)rope->base;
    if (rope->scaling == NIB_SCALING_DYNAMIC && is_long && n_rot > 2) {
        const double f = (double)rope->factor;
        base *= Sleef_cinz_powd1_u10purec(f * n_ctx / rope->n_ctx_original - (f - 1), n / (n - 2));
    }
    const float *factors = rope->scaling == NIB_SCALING_LONG && is_long && rope->long_factors
                               ? rope->long_factors
                               : rope->factors;
    for (size_t i = 0; i < n_rot / 2; i++) {
        const double exponent = -(double)(2 * i) / n;
        /* Rounded to binary32 before the division, as the models were trained. */
        const float f = (float)Sleef_cinz_powd1_u10purec(base, exponent);
        frequency[i] = factors ? f / factors[i] : f;
    }
    if (rope->scaling == NIB_SCALING_YARN)
        apply_yarn(frequency, rope, n_rot);
}

void nib_rope_angles(float *c, float *s, const float *frequency, size_t n, uint32_t position,
                     float magnitude)
{
    for (size_t i = 0; i < n; i++) {
        const double angle = (double)position * (double)frequency[i];
        c[i] = (float)Sleef_cinz_cosd1_u10purec(angle) * magnitude;
        s[i] = (float)Sleef_cinz_sind1_u10purec(angle) * magnitude;
    }
}

/* The sum of e^(i f p) over N positions is e^(i f p'), p' their middle, times sin(N f / 2) /
 * sin(f / 2). */
void nib_rope_mean_angles(float *c, float *s, const float *frequency, size_t n, uint32_t first,
                          uint32_t n_positions, float magnitude)
{
    const double middle = first + (n_positions - 1) / 2.0;
    for (size_t i = 0; i < n; i++) {
        const double half = (double)frequency[i] / 2, angle = 2 * half * middle;
        const double one = Sleef_cinz_sind1_u10purec(half);
        const double all = Sleef_cinz_sind1_u10purec(n_positions * half);
        const double length = fabs(one) > 1e-12 ? all / (n_positions * one) : 1;
        c[i] = (float)(Sleef_cinz_cosd1_u10purec(angle) * length) * magnitude;
        s[i] = (float)(Sleef_cinz_sind1_u10purec(angle) * length) * magnitude;
    }
}
