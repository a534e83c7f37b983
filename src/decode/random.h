/*
 * Random numbers from a counter: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011).  A number depends on its key and counter alone, so a sample does not depend
 * on what else is running.
 */
#ifndef NIB_RANDOM_H
#define NIB_RANDOM_H

#include <stdint.h>

void nib_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Uniform in [0, 1), 53 bits: the first of those at a position. */
double nib_random_uniform(uint64_t seed, uint32_t sequence, uint64_t position);

/* The which-th of them. */
double nib_random_uniform_at(uint64_t seed, uint32_t sequence, uint64_t position, uint32_t which);

#endif
