/*
 * CPU detection by the auxiliary vector, which the kernel and emulators fill; /proc/cpuinfo and
 * /sys tell of the host under emulation.  The name comes from MIDR_EL1 (Arm ARM, D19.2.100), which
 * programs may read where the kernel says so.
 */
#include <stdio.h>
#include <sys/auxv.h>

#include "kernels.h"

/* Bits of Linux' ABI (Documentation/arch/arm64/elf_hwcaps.rst); old headers lack some. */
enum {
    HAS_ASIMD = 1 << 1,    /* of AT_HWCAP */
    HAS_CPUID = 1 << 11,   /* of AT_HWCAP: ID registers can be read */
    HAS_ASIMDDP = 1 << 20, /* of AT_HWCAP */
    HAS_I8MM = 1 << 13,    /* of AT_HWCAP2 */
};

unsigned nib_cpu_features(void)
{
    const unsigned long hwcap = getauxval(AT_HWCAP), hwcap2 = getauxval(AT_HWCAP2);
    if (!(hwcap & HAS_ASIMD))
        return 0;
    unsigned features = NIB_CPU_NEON;
    if (hwcap & HAS_ASIMDDP)
        features |= NIB_CPU_DOTPROD;
    if (hwcap2 & HAS_I8MM)
        features |= NIB_CPU_I8MM;
    return features;
}

static const struct {
    unsigned implementer, part;
    const char *name;
} cores[] = {
    {0x41, 0xd03, "Arm Cortex-A53"},   {0x41, 0xd05, "Arm Cortex-A55"},
    {0x41, 0xd07, "Arm Cortex-A57"},   {0x41, 0xd08, "Arm Cortex-A72"},
    {0x41, 0xd09, "Arm Cortex-A73"},   {0x41, 0xd0a, "Arm Cortex-A75"},
    {0x41, 0xd0b, "Arm Cortex-A76"},   {0x41, 0xd0c, "Arm Neoverse-N1"},
    {0x41, 0xd0d, "Arm Cortex-A77"},   {0x41, 0xd40, "Arm Neoverse-V1"},
    {0x41, 0xd41, "Arm Cortex-A78"},   {0x41, 0xd44, "Arm Cortex-X1"},
    {0x41, 0xd46, "Arm Cortex-A510"},  {0x41, 0xd47, "Arm Cortex-A710"},
    {0x41, 0xd48, "Arm Cortex-X2"},    {0x41, 0xd49, "Arm Neoverse-N2"},
    {0x41, 0xd4d, "Arm Cortex-A715"},  {0x41, 0xd4e, "Arm Cortex-X3"},
    {0x41, 0xd4f, "Arm Neoverse-V2"},  {0x46, 0x001, "Fujitsu A64FX"},
    {0xc0, 0xac3, "Ampere AmpereOne"},
};

void nib_cpu_name(char name[64])
{
    name[0] = '\0';
    if (!(getauxval(AT_HWCAP) & HAS_CPUID))
        return;
    uint64_t midr;
    __asm__("mrs %0, MIDR_EL1" : "=r"(midr));
    const unsigned implementer = midr >> 24 & 0xff, part = midr >> 4 & 0xfff;
    for (size_t i = 0; i < sizeof(cores) / sizeof(*cores); i++)
        if (cores[i].implementer == implementer && cores[i].part == part) {
            snprintf(name, 64, "%s", cores[i].name);
            return;
        }
    snprintf(name, 64, "AArch64, implementer 0x%02x, part 0x%03x", implementer, part);
}
