/* Results of nibble bench, written as they come: tables, or JSON and CSV with llama-bench's names.
 */
#ifndef NIB_BENCH_REPORT_H
#define NIB_BENCH_REPORT_H

#include "nibble.h"

#include <time.h>

#define NIB_BENCH_MAX_REPETITIONS 1000

struct nib_bench_test {
    int64_t n_prompt, n_gen, n_depth;
    time_t started;
    size_t n_samples;
    double samples[NIB_BENCH_MAX_REPETITIONS]; /* seconds */
};

struct nib_bench_report {
    const struct nib_model *model;
    int format;
    struct nib_machine_info machine;
    char type[64];                         /* "llama 135M Q4_1" */
    double bandwidth;                      /* bytes/s that the current threads read */
    struct nib_memory_info weights, cache; /* after the latest test */
    size_t n_rows;
};

extern const char *const nib_bench_formats[]; /* "md", "json", "jsonl", "csv" */

void nib_bench_report_begin(struct nib_bench_report *report, const struct nib_model *model,
                            int format);
void nib_bench_report_add(struct nib_bench_report *report, const struct nib_context *context,
                          const struct nib_bench_test *test);
void nib_bench_report_end(struct nib_bench_report *report);

#endif
