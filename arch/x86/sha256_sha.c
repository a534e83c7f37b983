/* The blocks of SHA-256 by the CPU's instructions for it (Intel SDM volume 2, SHA256RNDS2). */
#include "sha256.h"

#include <immintrin.h>

void nib_sha256_blocks_sha(uint32_t state[8], const uint8_t *data, size_t n_blocks)
{
    const __m128i *const k = (const __m128i *)nib_sha256_constants;
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i abef = _mm_set_epi32((int)state[0], (int)state[1], (int)state[4], (int)state[5]);
    __m128i cdgh = _mm_set_epi32((int)state[2], (int)state[3], (int)state[6], (int)state[7]);
    for (; n_blocks > 0; n_blocks--, data += 64) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[16]; /* four words each */
        for (int i = 0; i < 16; i++) {
            if (i < 4) {
                const __m128i *from = (const __m128i *)(const void *)(data + 16 * i);
                w[i] = _mm_shuffle_epi8(_mm_loadu_si128(from), big_endian);
            } else {
                const __m128i minus_7 = _mm_alignr_epi8(w[i - 1], w[i - 2], 4);
                const __m128i sum =
                    _mm_add_epi32(_mm_sha256msg1_epu32(w[i - 4], w[i - 3]), minus_7);
                w[i] = _mm_sha256msg2_epu32(sum, w[i - 1]);
            }
            const __m128i words = _mm_add_epi32(w[i], _mm_loadu_si128(k + i));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, words);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(words, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    uint32_t fe_ba[4], hg_dc[4];
    _mm_storeu_si128((__m128i *)(void *)fe_ba, abef);
    _mm_storeu_si128((__m128i *)(void *)hg_dc, cdgh);
    const uint32_t out[8] = {fe_ba[3], fe_ba[2], hg_dc[3], hg_dc[2],
                             fe_ba[1], fe_ba[0], hg_dc[1], hg_dc[0]};
    for (int i = 0; i < 8; i++)
        state[i] = out[i];
}
