/*
 * The loops of peak.h for one instruction set of AArch64.  The including file defines
 *
 *     PEAK           name of the table
 *     PEAK_ISA       name of the level
 *     PEAK_NAME      the instructions that multiply bytes
 *     PEAK_OPS       operations of one multiply()
 *
 * and `static inline int32x4_t multiply(int32x4_t sum, int8x16_t codes, int8x16_t x)`.  Every loop
 * has 16 chains, more than latency x throughput of any core so far, in registers.
 */

#define UNROLL _Pragma("GCC unroll 16")

enum { CHAINS = 16 };

/* Makes the compiler believe that the register changes, so that it moves nothing out of a loop. */
#define OPAQUE(x) __asm__ volatile("" : "+w"(x))

static void multiply_bytes(size_t n_rounds)
{
    int32x4_t sum[CHAINS];
    int8x16_t codes = vdupq_n_s8(3), x = vdupq_n_s8(-5);
    UNROLL for (int i = 0; i < CHAINS; i++) sum[i] = vdupq_n_s32(0);
    for (size_t round = 0; round < n_rounds; round++)
        UNROLL for (int i = 0; i < CHAINS; i++)
        {
            OPAQUE(codes);
            sum[i] = multiply(sum[i], codes, x);
            OPAQUE(sum[i]);
        }
}

static void multiply_floats(size_t n_rounds)
{
    float32x4_t sum[CHAINS], a = vdupq_n_f32(0.5f), b = vdupq_n_f32(0.25f);
    UNROLL for (int i = 0; i < CHAINS; i++) sum[i] = vdupq_n_f32(0);
    for (size_t round = 0; round < n_rounds; round++)
        UNROLL for (int i = 0; i < CHAINS; i++)
        {
            sum[i] = vfmaq_f32(sum[i], a, b);
            OPAQUE(sum[i]);
        }
}

/* Four streams, which the CPU's prefetchers follow each. */
static void read_all(const void *data, size_t n_bytes)
{
    enum { STREAMS = 4, STEP = 256 };
    const size_t part = n_bytes / STREAMS;
    uint8x16_t sum[4];
    UNROLL for (int i = 0; i < 4; i++) sum[i] = vdupq_n_u8(0);
    for (size_t at = 0; at < part; at += STEP)
        UNROLL for (int s = 0; s < STREAMS; s++)
        {
            const uint8_t *p = (const uint8_t *)data + (size_t)s * part + at;
            UNROLL for (int i = 0; i < STEP / 16; i++) sum[i % 4] =
                vorrq_u8(sum[i % 4], vld1q_u8(p + i * 16));
        }
    UNROLL for (int i = 0; i < 4; i++) OPAQUE(sum[i]);
}

/* One for codes of any width: sums are of 32 bits. */
#define INTEGERS                                                                                   \
    {                                                                                              \
        PEAK_NAME, (double)PEAK_OPS *CHAINS, multiply_bytes                                        \
    }

const struct nib_peak PEAK = {
    .isa = PEAK_ISA,
    .integers = {INTEGERS, INTEGERS, INTEGERS, INTEGERS},
    .floats = {"fmla", 8.0 * CHAINS, multiply_floats},
    .read = read_all,
};
