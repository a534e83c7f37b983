#include "random.h"

void nib_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t x0 = counter[0], x1 = counter[1], x2 = counter[2], x3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53u * x0;
        const uint64_t b = (uint64_t)0xCD9E8D57u * x2;
        x0 = (uint32_t)(b >> 32) ^ x1 ^ k0;
        x1 = (uint32_t)b;
        x2 = (uint32_t)(a >> 32) ^ x3 ^ k1;
        x3 = (uint32_t)a;
        k0 += 0x9E3779B9u; /* golden ratio */
        k1 += 0xBB67AE85u; /* sqrt(3) - 1 */
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

double nib_random_uniform(uint64_t seed, uint32_t sequence, uint64_t position)
{
    return nib_random_uniform_at(seed, sequence, position, 0);
}

double nib_random_uniform_at(uint64_t seed, uint32_t sequence, uint64_t position, uint32_t which)
{
    const uint32_t counter[4] = {(uint32_t)position, (uint32_t)(position >> 32), sequence, which};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t bits[4];
    nib_philox(counter, key, bits);
    const uint64_t high = bits[0] >> 5, low = bits[1] >> 6; /* 27 + 26 bits */
    return (double)(high << 26 | low) * 0x1p-53;
}
