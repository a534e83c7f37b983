#!/usr/bin/env bash
# Builds the fuzzers of tests/fuzz with Clang's libFuzzer and the sanitizers, and runs each for
# NIB_FUZZ_SECONDS (60), as many at once as there are processors, beginning with what was once found
# (tests/fuzz/seeds) and the random numbers of NIB_FUZZ_SEED (0: others each time).  Of one seed and
# an empty build-fuzz/corpus come the same inputs, as many as there is time for.  What they find stays
# in build-fuzz and is printed.  The last line is "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/.."
tools/install-deps.sh build test clang
version=$(tools/install-deps.sh --clang-version)
build=build-fuzz
cmake -S . -B "$build" -G Ninja -DCMAKE_C_COMPILER="clang${version:+-$version}" -DNIB_FUZZ=ON \
    -DNIB_TESTS=OFF >/dev/null
targets=$(sed -n 's/^nib_add_fuzzer(\([a-z_]*\) .*/\1_fuzz/p' tests/fuzz/CMakeLists.txt)
# shellcheck disable=SC2086
cmake --build "$build" --target $targets

# The comparisons that libFuzzer learns from are of pointers too, so that inputs depend on addresses.
fixed_addresses=()
! setarch -R true 2>/dev/null || fixed_addresses=(setarch -R)

run_one() {
    local log=$build/$1.log
    local corpora=("corpus/$1")
    mkdir -p "$build/corpus/$1"
    [ ! -d "tests/fuzz/seeds/$1" ] || corpora+=("$PWD/tests/fuzz/seeds/$1")
    if (cd "$build" && "${fixed_addresses[@]}" "tests/fuzz/$1" -max_total_time="${NIB_FUZZ_SECONDS:-60}" \
        -seed="${NIB_FUZZ_SEED:-0}" -reload=0 -timeout=20 -rss_limit_mb=2048 -verbosity=0 \
        -print_final_stats=1 "${corpora[@]}") >"$log" 2>&1; then
        echo "$1: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, no finding"
    else
        echo "FAILED: $1"
        tail -n 40 "$log"
        local found
        found=$(sed -n 's/.*Test unit written to //p' "$log")
        if [ -n "$found" ]; then
            echo "$1: the input that it found; base64 -d | gunzip gives it back:"
            gzip -9 <"$build/$found" | base64
        fi
        return 1
    fi
}

passed=0 failed=0 running=()
finish() {
    if wait "${running[0]}"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    running=("${running[@]:1}")
}
for target in $targets; do
    run_one "$target" &
    running+=($!)
    [ "${#running[@]}" -lt "$(nproc)" ] || finish
done
while [ "${#running[@]}" -gt 0 ]; do finish; done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
