/* Rotary positions (Su et al., "RoFormer", 2021): the angles of a position, computed with SLEEF's
 * deterministic functions so that they are the same on every machine. */
#ifndef NIB_POSITIONS_H
#define NIB_POSITIONS_H

#include "common.h"

/* Frequencies f[i] = base^(-2 i / n_rot) / factors[i], i < n_rot / 2; factors may be NULL. */
void nib_rope_frequencies(float *frequency, float base, size_t n_rot, const float *factors);

/* c[i] = cos(position f[i]), s[i] = sin(position f[i]), i < n. */
void nib_rope_angles(float *c, float *s, const float *frequency, size_t n, uint32_t position);

#endif
