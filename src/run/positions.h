/* Rotary positions: Su et al., 2021, https://arxiv.org/abs/2104.09864. */
#ifndef NIB_POSITIONS_H
#define NIB_POSITIONS_H

#include "model.h"

/*
 * frequency[i] = base^(-2 i / n_rot), i < n_rot / 2, divided by the factors where there are some,
 * for a context of n_ctx tokens: dynamic   above n_ctx_original, base is taken times (f n / o - f +
 * 1)^(n_rot / (n_rot - 2)) yarn      Peng et al. 2023, https://arxiv.org/abs/2309.00071: slow ones
 * are divided by f longrope  Ding et al. 2024, https://arxiv.org/abs/2402.13753: other factors
 * above n_ctx_original
 */
void nib_rope_frequencies(float *frequency, const struct nib_rope *rope, size_t n_rot,
                          uint32_t n_ctx);

/* Cosines and sines, times the rope's magnitude, of position times each of n frequencies. */
void nib_rope_angles(float *cosine, float *sine, const float *frequency, size_t n,
                     uint32_t position, float magnitude);

/* The means of the above over n_positions from `first` on: a vector that is rotated by all of them
 * is, in the mean, itself rotated by these. */
void nib_rope_mean_angles(float *cosine, float *sine, const float *frequency, size_t n,
                          uint32_t first, uint32_t n_positions, float magnitude);

#endif
