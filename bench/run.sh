#!/usr/bin/env bash
# Builds the kernel benches, runs them, writes JSON and prints tables in Markdown (docs/performance.md).
# usage: bench/run.sh [--quick] [--filter=REGEX] [--repetitions=N] [OUT.json]   (default: build/bench.json)
#        --quick: the best level of instruction sets alone, once; some minutes instead of half an hour
# Names are those of build/nibble_bench --benchmark_list_tests.  Best on a machine that does nothing else.
set -euo pipefail
here=$PWD
cd "$(dirname "$0")/.."

quick=false filter=. repetitions=5 out=build/bench.json
for argument in "$@"; do
    case "$argument" in
    --quick) quick=true ;;
    --filter=*) filter=${argument#*=} ;;
    --repetitions=*) repetitions=${argument#*=} ;;
    -*)
        sed -n '3,4s/^# //p' "$0" >&2
        exit 2
        ;;
    /*) out=$argument ;;
    *) out=$here/$argument ;;
    esac
done

tools/install-deps.sh build bench
cmake -S . -B build -G Ninja -DNIB_BENCH=ON >/dev/null
cmake --build build --target nibble_bench >&2

if $quick; then
    best=$(build/nibble_bench --benchmark_list_tests | grep ^matmul | tail -n 1 | cut -d / -f 3)
    [ "$filter" != . ] || filter="^peak|^sampling|/$best(/|\$)"
    repetitions=1
fi
# Repetitions of all benches are mixed at random, so that a busy minute does not fall on one of them.
build/nibble_bench --benchmark_filter="$filter" --benchmark_min_time=0.05 \
    --benchmark_repetitions="$repetitions" --benchmark_enable_random_interleaving=true \
    --benchmark_out="$out" --benchmark_out_format=json >&2
echo "load after: $(cut -d ' ' -f 1-3 /proc/loadavg)" >&2
bench/table.py "$out"
