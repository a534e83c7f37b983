/* Arithmetic on sizes that come from outside.  Each returns false, and leaves *out alone, if the
 * result does not fit. */
#ifndef NIB_CHECKED_H
#define NIB_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

static inline bool nib_checked_add(uint64_t a, uint64_t b, uint64_t *out)
{
    if (a > UINT64_MAX - b)
        return false;
    *out = a + b;
    return true;
}

static inline bool nib_checked_mul(uint64_t a, uint64_t b, uint64_t *out)
{
    if (b != 0 && a > UINT64_MAX / b)
        return false;
    *out = a * b;
    return true;
}

/* Round up to a multiple of `unit`, a power of two. */
static inline bool nib_checked_align(uint64_t a, uint64_t unit, uint64_t *out)
{
    if (!nib_checked_add(a, unit - 1, &a))
        return false;
    *out = a & ~(unit - 1);
    return true;
}

#endif
