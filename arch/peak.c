#include "peak.h"

#include <string.h>

static const struct nib_peak *const peaks[] = {
#if defined(__x86_64__)
    &nib_peak_avx2, &nib_peak_avxvnni, &nib_peak_avx512, &nib_peak_avx512vnni,
#elif defined(__aarch64__)
    &nib_peak_neon,
    &nib_peak_dotprod,
    &nib_peak_i8mm,
#endif
    NULL,
};

const struct nib_peak *nib_peak_of(const char *isa)
{
    for (size_t i = 0; peaks[i]; i++)
        if (strcmp(peaks[i]->isa, isa) == 0)
            return peaks[i];
    return NULL;
}
