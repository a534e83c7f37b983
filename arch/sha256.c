/* See sha256.h. */
#include "sha256.h"
#include "kernels.h"

const uint32_t nib_sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static uint32_t load(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Round k of 8: a to h are s[-k], s[1 - k] ... of 8. */
static inline void round_of(uint32_t s[8], int k, uint32_t word)
{
    const uint32_t a = s[-k & 7], b = s[(1 - k) & 7], c = s[(2 - k) & 7];
    const uint32_t e = s[(4 - k) & 7], f = s[(5 - k) & 7], g = s[(6 - k) & 7];
    uint32_t *d = &s[(3 - k) & 7], *h = &s[(7 - k) & 7];
    const uint32_t x =
        *h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + (g ^ (e & (f ^ g))) + word;
    *d += x;
    *h = x + (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) | (c & (a | b)));
}

static void add_block(uint32_t state[8], const uint8_t *block)
{
    uint32_t w[64];
    for (int i = 0; i < 16; i++)
        w[i] = load(block + 4 * i);
    for (int i = 16; i < 64; i++) {
        const uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) +
               (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
    }
    uint32_t s[8];
    memcpy(s, state, sizeof(s));
    for (int i = 0; i < 64; i += 8) { /* the roles of s turn by one each round */
        for (int k = 0; k < 8; k++)
            round_of(s, k, nib_sha256_constants[i + k] + w[i + k]);
    }
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

static void add_blocks(struct nib_sha256 *sha, const uint8_t *data, size_t n_blocks)
{
#if defined(__x86_64__)
    if (!sha->is_plain) {
        nib_sha256_blocks_sha(sha->state, data, n_blocks);
        return;
    }
#endif
    for (size_t i = 0; i < n_blocks; i++)
        add_block(sha->state, data + 64 * i);
}

void nib_sha256_begin(struct nib_sha256 *sha)
{
    *sha = (struct nib_sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                                         0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
#if defined(__x86_64__)
    sha->is_plain = !nib_cpu_has_sha();
#endif
}

void nib_sha256_add(struct nib_sha256 *sha, const void *data, size_t n_bytes)
{
    const uint8_t *p = data;
    const size_t n_held = sha->n_bytes % 64;
    sha->n_bytes += n_bytes;
    if (n_held > 0) {
        const size_t n = n_bytes < 64 - n_held ? n_bytes : 64 - n_held;
        memcpy(sha->held + n_held, p, n);
        if (n_held + n < 64)
            return;
        add_blocks(sha, sha->held, 1);
        p += n;
        n_bytes -= n;
    }
    add_blocks(sha, p, n_bytes / 64);
    if (n_bytes % 64 > 0)
        memcpy(sha->held, p + n_bytes / 64 * 64, n_bytes % 64);
}

void nib_sha256_end(struct nib_sha256 *sha, char hex[65])
{
    static const char digits[] = "0123456789abcdef";
    const uint64_t n_bits = 8 * sha->n_bytes;
    uint8_t end[72] = {0x80};
    const size_t n_zeros = (119 - sha->n_bytes % 64) % 64; /* up to 8 bytes before a block's end */
    for (int i = 0; i < 8; i++)
        end[1 + n_zeros + (size_t)i] = (uint8_t)(n_bits >> (56 - 8 * i));
    nib_sha256_add(sha, end, 1 + n_zeros + 8);
    for (int i = 0; i < 64; i++)
        hex[i] = digits[sha->state[i / 8] >> (28 - 4 * (i % 8)) & 15];
    hex[64] = '\0';
}
