/*
 * The kernels against what the machine can do (docs/performance.md).
 * usage: nibble_bench [--tiny] [Google Benchmark's options]
 */
#include "yardstick.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    bool is_tiny = false;
    int n = 1;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--tiny") == 0)
            is_tiny = true;
        else
            argv[n++] = argv[i];
    argv[n] = NULL;

    const struct nib_yard *yard = nib_yard_open(is_tiny);
    if (!yard)
        return 1;
    nib_register_peaks(yard);
    nib_register_matmul(yard);
    nib_register_attention(yard);
    nib_register_floats(yard);
    nib_register_sampling(yard);
    const int code = nib_bench_main(n, argv);
    nib_yard_close();
    return code;
}
