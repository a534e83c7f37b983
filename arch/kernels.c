/*
 * The levels of instruction sets, and filling the kernel table level by level, best last.
 */
#include <string.h>

#include "kernels.h"

struct level {
    const char *name;
    unsigned features;
    void (*init)(struct nib_kernels *k);        /* everything but matrix products; may be NULL */
    void (*init_matmul)(struct nib_kernels *k); /* may be NULL */
};

#if defined(__x86_64__)

#define AVX2       NIB_CPU_AVX2
#define AVXVNNI    (AVX2 | NIB_CPU_AVXVNNI)
#define AVX512     (AVX2 | NIB_CPU_AVX512)
#define AVX512VNNI (AVX512 | NIB_CPU_AVX512VNNI)

static const struct level levels[] = {
    {"scalar", 0, nib_kernels_init_scalar, NULL},
    {"avx2", AVX2, nib_kernels_init_avx2, nib_kernels_init_matmul_avx2},
    {"avxvnni", AVXVNNI, nib_kernels_init_avxvnni, nib_kernels_init_matmul_avxvnni},
    {"avx512", AVX512, nib_kernels_init_avx512, nib_kernels_init_matmul_avx512},
    {"avx512vnni", AVX512VNNI, nib_kernels_init_avx512vnni, nib_kernels_init_matmul_avx512vnni},
};

/* Every set of levels that the features can span, larger ones first. */
static const struct {
    unsigned features;
    const char *list;
} lists[] = {
    {AVX512VNNI | AVXVNNI, "scalar avx2 avxvnni avx512 avx512vnni"},
    {AVX512VNNI, "scalar avx2 avx512 avx512vnni"},
    {AVX512 | AVXVNNI, "scalar avx2 avxvnni avx512"},
    {AVX512, "scalar avx2 avx512"},
    {AVXVNNI, "scalar avx2 avxvnni"},
    {AVX2, "scalar avx2"},
    {0, "scalar"},
};

#elif defined(__aarch64__)

#define NEON    NIB_CPU_NEON
#define DOTPROD (NEON | NIB_CPU_DOTPROD)
#define I8MM    (DOTPROD | NIB_CPU_I8MM)

static const struct level levels[] = {
    {"scalar", 0, nib_kernels_init_scalar, NULL},
    {"neon", NEON, nib_kernels_init_neon, nib_kernels_init_matmul_neon},
    {"dotprod", DOTPROD, NULL, nib_kernels_init_matmul_dotprod},
    {"i8mm", I8MM, NULL, nib_kernels_init_matmul_i8mm},
};

static const struct {
    unsigned features;
    const char *list;
} lists[] = {
    {I8MM, "scalar neon dotprod i8mm"},
    {DOTPROD, "scalar neon dotprod"},
    {NEON, "scalar neon"},
    {0, "scalar"},
};

#else

static const struct level levels[] = {
    {"scalar", 0, nib_kernels_init_scalar, NULL},
};

static const struct {
    unsigned features;
    const char *list;
} lists[] = {{0, "scalar"}};

unsigned nib_cpu_features(void)
{
    return 0;
}

void nib_cpu_name(char name[64])
{
    name[0] = '\0';
}

#endif

enum { LEVEL_COUNT = sizeof(levels) / sizeof(*levels) };

static bool includes(unsigned features, unsigned needed)
{
    return (features & needed) == needed;
}

void nib_kernels_init(struct nib_kernels *k, unsigned features)
{
    for (int i = 0; i < LEVEL_COUNT; i++) {
        if (!includes(features, levels[i].features))
            continue;
        if (levels[i].init)
            levels[i].init(k);
        if (levels[i].init_matmul)
            levels[i].init_matmul(k);
        k->name = levels[i].name;
    }
}

bool nib_isa_features(const char *isa, unsigned *features)
{
    for (int i = 0; i < LEVEL_COUNT; i++) {
        if (strcmp(isa, levels[i].name) == 0) {
            *features = levels[i].features;
            return true;
        }
    }
    return false;
}

const char *nib_isa_name(unsigned features)
{
    int best = 0;
    for (int i = 0; i < LEVEL_COUNT; i++)
        best = includes(features, levels[i].features) ? i : best;
    return levels[best].name;
}

const char *nib_isa_list(unsigned features)
{
    int i = 0;
    while (!includes(features, lists[i].features))
        i++;
    return lists[i].list;
}
