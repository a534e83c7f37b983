/* Google Benchmark behind harness.h. */
#include "harness.h"

#include <benchmark/benchmark.h>

#include <string>

struct nib_bench {
    benchmark::State &state;
};

void nib_bench_register(const char *name, nib_bench_clock clock, nib_bench_fn *fn, const void *arg,
                        size_t arg_bytes)
{
    const std::string copy(static_cast<const char *>(arg), arg_bytes);
    auto *b = benchmark::RegisterBenchmark(name, [fn, copy](benchmark::State &state) {
        nib_bench run{state};
        fn(&run, copy.data());
    });
    b->Unit(benchmark::kMicrosecond);
    if (clock == NIB_BENCH_REAL)
        b->UseRealTime();
}

bool nib_bench_next(nib_bench *b)
{
    return b->state.KeepRunning();
}

void nib_bench_value(nib_bench *b, const char *counter, double value)
{
    b->state.counters[counter] = value;
}

void nib_bench_rate(nib_bench *b, const char *counter, double per_iteration)
{
    b->state.counters[counter] =
        benchmark::Counter(per_iteration, benchmark::Counter::kIsIterationInvariantRate);
}

void nib_bench_fail(nib_bench *b, const char *why)
{
    b->state.SkipWithError(why);
}

void nib_bench_context(const char *key, const char *value)
{
    benchmark::AddCustomContext(key, value);
}

int nib_bench_main(int argc, char **argv)
{
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv))
        return 2;
    const size_t n_run = benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return n_run > 0 ? 0 : 1;
}
