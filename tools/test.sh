#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test.  The last line is "N passed, N failed".
# usage: tools/test.sh [--clang] [--sanitize]
set -euo pipefail
cd "$(dirname "$0")/.."

# What a user has set for programs is no part of their tests.
for name in "${!NIBBLE_@}" "${!OMP_@}" "${!KMP_@}" "${!GOMP_@}"; do
    [[ $name == NIBBLE_TEST_* ]] || unset "$name"
done

build=build
groups=(build model test)
configure=(-DNIB_TESTS=ON)
compiler=gcc
sanitize=
for argument in "$@"; do
    case "$argument" in
    --clang)
        compiler=clang
        groups+=(clang)
        ;;
    --sanitize)
        sanitize=address,undefined
        ;;
    *)
        echo "usage: tools/test.sh [--clang] [--sanitize]" >&2
        exit 2
        ;;
    esac
done

if [ "$compiler$sanitize" = gcc ]; then
    groups+=(bench)
    configure+=(-DNIB_BENCH=ON)
fi

tools/install-deps.sh "${groups[@]}"
if [ "$compiler" = clang ]; then
    build=build-clang
    version=$(tools/install-deps.sh --clang-version)
    configure+=(-DCMAKE_C_COMPILER="clang${version:+-$version}")
fi
if [ -n "$sanitize" ]; then
    build=$build-sanitize
    # -O3 with sanitizers takes minutes for one file of kernels.
    configure+=(-DNIB_SANITIZE="$sanitize" -DCMAKE_C_FLAGS_RELEASE="-O1 -g")
fi

cmake -S . -B "$build" -G Ninja "${configure[@]}" >/dev/null
cmake --build "$build"

# Tests that need the model skip without it, except where everything is to be tested.
if model=$(tools/get-model.sh); then
    export NIBBLE_TEST_MODEL=${model##*$'\n'}
elif [ -n "${CI:-}" ]; then
    echo "the default model could not be had; CI needs it" >&2
    echo "0 passed, 1 failed"
    exit 1
else
    echo "without the default model: tests that need it are skipped" >&2
fi

echo "compiler: $compiler${sanitize:+ with $sanitize}; $("$build"/nibble --version | grep '^isa')"
results=$PWD/$build/test-results.xml
rm -f "$results"
status=0
# CTest itself lists the tests that were skipped; what a test left out is in its output, kept in full.
ctest --test-dir "$build" --output-on-failure --test-output-size-passed 1000000 \
    --output-junit "$results" || status=$?
[ -f "$results" ] || { echo "0 passed, 1 failed"; exit 1; }
sed -n 's/^\[  SKIPPED \] \(test_[a-z0-9_]*\)$/skipped: \1/p' "$results" | sort -u

attribute() {
    grep -oE "$1=\"[0-9]+\"" "$results" | head -n 1 | grep -oE '[0-9]+' || echo 0
}
total=$(attribute tests) failed=$(attribute failures)
skipped=$(($(attribute skipped) + $(attribute disabled)))
[ "$skipped" = 0 ] || echo "$skipped skipped"
echo "$((total - failed - skipped)) passed, $failed failed"
[ "$status" = 0 ] && [ "$total" -gt "$skipped" ]
