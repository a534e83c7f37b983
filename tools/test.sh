#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test.  The last line is "N passed, N failed".
# usage: tools/test.sh [--clang] [--sanitize] | --arm64
# --arm64 builds for AArch64 and runs the tests on emulated CPUs: all on one, on the others what
# depends on the CPU.
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
is_arm64=false
for argument in "$@"; do
    case "$argument" in
    --clang)
        compiler=clang
        groups+=(clang)
        ;;
    --sanitize)
        sanitize=address,undefined
        ;;
    --arm64)
        is_arm64=true
        groups+=(arm64)
        ;;
    *)
        echo "usage: tools/test.sh [--clang] [--sanitize] | --arm64" >&2
        exit 2
        ;;
    esac
done

if [ "$compiler$sanitize$is_arm64" = gccfalse ]; then
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

if $is_arm64; then
    # The logits are compared with those of this machine.
    cmake -S . -B build -G Ninja >/dev/null
    cmake --build build --target nibble_tool
    build=build-arm64
    configure+=(-DCMAKE_TOOLCHAIN_FILE="$PWD/tools/cmake/aarch64.cmake" -DNIB_NATIVE_TOOL="$PWD/build/nibble")
    export NIB_TEST_QUICK=1 NIB_TEST_SHAPES=${NIB_TEST_SHAPES:-20}
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

passed=0 failed=0 skipped=0 status=0
results=$PWD/$build/test-results.xml

attribute() {
    grep -oE "$1=\"[0-9]+\"" "$results" | head -n 1 | grep -oE '[0-9]+' || echo 0
}

run_tests() { # CTEST'S ARGUMENTS...: counted
    rm -f "$results"
    # CTest itself lists the tests that were skipped; what a test left out is in its output, kept in full.
    ctest --test-dir "$build" --parallel "$(nproc)" --output-on-failure --test-output-size-passed 1000000 \
        --output-junit "$results" "$@" || status=$?
    if [ ! -f "$results" ]; then
        failed=$((failed + 1))
        return
    fi
    sed -n 's/^\[  SKIPPED \] \(test_[a-z0-9_]*\)$/skipped: \1/p' "$results" | sort -u
    local left_out=$(($(attribute skipped) + $(attribute disabled)))
    skipped=$((skipped + left_out))
    passed=$((passed + $(attribute tests) - $(attribute failures) - left_out))
    failed=$((failed + $(attribute failures)))
}

if $is_arm64; then
    export QEMU_CPU
    for QEMU_CPU in max,sve=off neoverse-n1 cortex-a72; do
        echo "CPU: $QEMU_CPU; $(qemu-aarch64 "$build"/nibble --version | grep '^isa')"
        if [ $QEMU_CPU = max,sve=off ]; then
            run_tests
        else
            run_tests -R 'kernels|matmul|attention_tiles|^model$|engine'
        fi
    done
else
    echo "compiler: $compiler${sanitize:+ with $sanitize}; $("$build"/nibble --version | grep '^isa')"
    run_tests
fi
[ "$skipped" = 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ "$status" = 0 ] && [ "$passed" -gt 0 ]
