/*
 * Hashing for open-addressing tables.  Every table has its own seed, so that a file cannot be made
 * whose keys all collide; results never depend on the order in a table.
 */
#ifndef NIB_HASH_H
#define NIB_HASH_H

#include "common.h"

/* Fold the 128-bit product: every bit of the result depends on every bit of a. */
static inline uint64_t nib_hash_mix(uint64_t a)
{
    const unsigned __int128 product = (unsigned __int128)a * UINT64_C(0x9E3779B97F4A7C15);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t nib_hash_bytes(uint64_t seed, const char *p, size_t n)
{
    uint64_t h = seed ^ n;
    uint64_t word;
    for (; n > 8; n -= 8, p += 8) {
        memcpy(&word, p, 8);
        h = nib_hash_mix(h ^ word) + seed;
    }
    uint32_t first, last;
    if (n >= 4) {
        memcpy(&first, p, 4);
        memcpy(&last, p + n - 4, 4);
    } else {
        first = n == 0 ? 0 : (unsigned char)p[0] | (uint32_t)(unsigned char)p[n / 2] << 8;
        last = n == 0 ? 0 : (unsigned char)p[n - 1];
    }
    return nib_hash_mix(nib_hash_mix(h ^ ((uint64_t)last << 32 | first)) ^ seed);
}

/* Unlike from one run to the next; `memory` is any address of the table's owner. */
uint64_t nib_hash_seed(const void *memory);

#endif
