/* SHA-256 (FIPS 180-4), as files of models are published with. */
#ifndef NIB_SHA256_H
#define NIB_SHA256_H

#include "common.h"

struct nib_sha256 {
    uint32_t state[8];
    uint64_t n_bytes;
    uint8_t held[64]; /* the last n_bytes % 64 */
    bool is_plain;    /* without the CPU's own instructions */
};

void nib_sha256_begin(struct nib_sha256 *sha);
void nib_sha256_add(struct nib_sha256 *sha, const void *data, size_t n_bytes);
void nib_sha256_end(struct nib_sha256 *sha, char hex[65]);

/* Blocks of 64 bytes; arch/x86/sha256_sha.c. */
extern const uint32_t nib_sha256_constants[64];
void nib_sha256_blocks_sha(uint32_t state[8], const uint8_t *data, size_t n_blocks);

#endif
