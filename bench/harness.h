/*
 * Google Benchmark for C: register functions by name, loop until it has seen enough, say what an
 * iteration does.  harness.cc is the only C++ here.
 */
#ifndef NIB_HARNESS_H
#define NIB_HARNESS_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nib_bench; /* a run of one benchmark */

/* Prepares, loops `while (nib_bench_next(b))`, clears up; only the loop is timed.  Called several
 * times for one result. */
typedef void nib_bench_fn(struct nib_bench *b, const void *arg);

enum nib_bench_clock {
    NIB_BENCH_CPU,  /* of the calling thread: for work on one core */
    NIB_BENCH_REAL, /* for work of many threads */
};

/* arg[arg_bytes] is copied. */
void nib_bench_register(const char *name, enum nib_bench_clock clock, nib_bench_fn *fn,
                        const void *arg, size_t arg_bytes);

bool nib_bench_next(struct nib_bench *b);

void nib_bench_value(struct nib_bench *b, const char *counter, double value);
void nib_bench_rate(struct nib_bench *b, const char *counter, double per_iteration); /* per s */
void nib_bench_fail(struct nib_bench *b, const char *why); /* instead of looping */

/* A line about the machine or the run, at the top of the results. */
void nib_bench_context(const char *key, const char *value);

/* Run what the options (Google Benchmark's) ask for; the program's exit code. */
int nib_bench_main(int argc, char **argv);

#ifdef __cplusplus
}
#endif

#endif
