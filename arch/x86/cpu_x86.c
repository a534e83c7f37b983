/*
 * CPU detection by CPUID and XGETBV (Intel SDM volume 2; volume 1, 13.3).  Runs before anything is
 * known about the CPU, hence is built for the baseline.
 */
#include <cpuid.h>
#include <string.h>

#include "kernels.h"

enum {
    STATE_YMM = 0x6,  /* XCR0: SSE and AVX registers */
    STATE_ZMM = 0xe0, /* XCR0: opmasks, upper halves of zmm0-15, zmm16-31 */
};

struct registers {
    unsigned eax, ebx, ecx, edx;
};

/* All zero for a leaf that the CPU does not have. */
static struct registers cpuid(unsigned leaf, unsigned subleaf)
{
    struct registers r = {0};
    if (!__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx))
        return (struct registers){0};
    return r;
}

static bool has(unsigned word, unsigned bit)
{
    return word >> bit & 1;
}

/* Which registers the operating system saves. */
static unsigned saved_state(void)
{
    if (!has(cpuid(1, 0).ecx, 27)) /* OSXSAVE */
        return 0;
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

unsigned nib_cpu_features(void)
{
    const unsigned state = saved_state();
    const struct registers leaf1 = cpuid(1, 0), leaf7 = cpuid(7, 0);
    const bool fma = has(leaf1.ecx, 12), avx = has(leaf1.ecx, 28), f16c = has(leaf1.ecx, 29);
    const bool avx2 = has(leaf7.ebx, 5), bmi2 = has(leaf7.ebx, 8);
    if ((state & STATE_YMM) != STATE_YMM || !fma || !avx || !f16c || !avx2 || !bmi2)
        return 0;
    unsigned features = NIB_CPU_AVX2;
    if (leaf7.eax >= 1 && has(cpuid(7, 1).eax, 4))
        features |= NIB_CPU_AVXVNNI;

    const bool f = has(leaf7.ebx, 16), dq = has(leaf7.ebx, 17);
    const bool bw = has(leaf7.ebx, 30), vl = has(leaf7.ebx, 31);
    if ((state & STATE_ZMM) != STATE_ZMM || !f || !dq || !bw || !vl)
        return features;
    features |= NIB_CPU_AVX512;
    if (has(leaf7.ecx, 11))
        features |= NIB_CPU_AVX512VNNI;
    return features;
}

bool nib_cpu_has_sha(void)
{
    return has(cpuid(1, 0).ecx, 19) && has(cpuid(7, 0).ebx, 29); /* with SSE4.1 */
}

void nib_cpu_name(char name[64])
{
    char brand[49] = {0};
    memset(name, 0, 64);
    if (__get_cpuid_max(0x80000000, NULL) < 0x80000004)
        return;
    for (unsigned i = 0; i < 3; i++) {
        const struct registers r = cpuid(0x80000002 + i, 0);
        memcpy(brand + 16 * i, &r, sizeof(r));
    }
    const char *const start = brand + strspn(brand, " ");
    size_t n = strlen(start);
    while (n > 0 && start[n - 1] == ' ')
        n--;
    memcpy(name, start, n);
}
