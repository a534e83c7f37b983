#!/usr/bin/env bash
# The level of instructions that is picked, and that it gives the logits of every other: on this
# machine each that NIBBLE_ISA can name, and emulated CPUs (qemu-user) that lack this or that, where an
# instruction that the CPU does not have ends the program.
# usage: tests/dispatch_test.sh NIBBLE MODELS_FOLDER [NATIVE]
# NIBBLE is for x86-64 or, cross built, for AArch64; NATIVE is a program of this machine to compare
# with.  NIBBLE_TEST_MODEL names a real model, for a short text.
set -u
nibble=$(realpath "$1")
models=$(realpath "$2")
native=$(realpath "${3:-$1}")
real_model=${NIBBLE_TEST_MODEL:-}
unset "${!NIBBLE_@}" "${!OMP_@}" QEMU_CPU
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
failures=0 runs=0

fail() { # SENTENCE
    failures=$((failures + 1))
    echo "FAILED: $1"
    [ ! -s err ] || head -n 3 err | cut -c 1-300 | sed 's/^/    stderr: /'
}

# CPU models and the level of each.
case "$(od -An -t u1 -j 18 -N 1 "$nibble" | tr -d ' ')" in # e_machine
62)
    emulator=qemu-x86_64
    cpus=(Nehalem=scalar qemu64=scalar SandyBridge=scalar Haswell=avx2 Haswell,-avx2=scalar
        max,-avx=scalar max=avx2)
    better=avx2
    ;;
183)
    emulator=qemu-aarch64
    cpus=(cortex-a72=neon neoverse-n1=dotprod max,sve=off=i8mm max=i8mm)
    better=dotprod
    ;;
*)
    echo "no levels but scalar on this architecture"
    exit 77
    ;;
esac

# 24 tokens in two chunks: many rows at once, then a single one.
ids='[[1,37,11,85,122,159,196,233,270,307,344,381,418,455,492,529,566,603,640,677,714,751,788,825]]'
echo "$ids" >ids.json
names=(llama-q4_k_m llama3-scaled-q8_0)
expect() { # NAME MODEL
    "$native" score "$2" --ids ids.json --logits "$1.expected" -b 23 >out 2>err || {
        fail "$native score $2"
        exit 1
    }
}
for name in "${names[@]}"; do
    expect "$name" "$models/$name.gguf"
done

same_logits() { # WHAT NAME MODEL COMMAND...
    local what=$1 name=$2 model=$3 code=0
    shift 3
    runs=$((runs + 1))
    rm -f got
    "$@" score "$model" --ids ids.json --logits got -b 23 -t 1 >out 2>err || code=$?
    if [ "$code" != 0 ]; then
        fail "$what, $name: exit code $code"
    else
        cmp -s got "$name.expected" || fail "$what, $name: other logits"
    fi
}

refuses() { # LEVEL COMMAND...
    local level=$1 code=0
    shift
    NIBBLE_ISA=$level "$@" score "$models/${names[0]}.gguf" --ids ids.json --logits got >out 2>err || code=$?
    [ "$code" = 5 ] && [ "$(wc -l <err)" = 1 ] && grep -q "=$level: .*this CPU has:" err ||
        fail "NIBBLE_ISA=$level with $*: exit code $code, expected 5 and one sentence"
}

if [ "$native" = "$nibble" ]; then
    levels=$("$nibble" --version | sed -n 's/^isa .*this machine: \(.*\))/\1/p')
    for level in $levels; do
        for name in "${names[@]}"; do
            NIBBLE_ISA=$level same_logits "NIBBLE_ISA=$level" "$name" "$models/$name.gguf" "$nibble"
        done
    done
    refuses sse9 "$nibble"
    echo "this machine: $levels"
fi

if ! command -v "$emulator" >/dev/null; then
    echo "no $emulator here: emulated CPUs are left out (tools/install-deps.sh test)"
else
    for entry in "${cpus[@]}"; do
        cpu=${entry%=*} level=${entry##*=}
        emulated=("$emulator" -cpu "$cpu" "$nibble")
        seen=$("${emulated[@]}" --version 2>err | sed -n 's/^isa *\([^ ]*\) .*/\1/p')
        [ "$seen" = "$level" ] || fail "$cpu: level '$seen', expected $level"
        for name in "${names[@]}"; do
            same_logits "$cpu" "$name" "$models/$name.gguf" "${emulated[@]}"
        done
        echo "$cpu: $seen"
    done
    refuses "$better" "$emulator" -cpu "${cpus[0]%=*}" "$nibble"
    if [ "$emulator" = qemu-aarch64 ] && [ -n "$real_model" ] && [ -f "$real_model" ]; then
        expect real "$real_model"
        for entry in "${cpus[@]:0:3}"; do
            same_logits "${entry%=*}" real "$real_model" "$emulator" -cpu "${entry%=*}" "$nibble"
        done
        echo "real model: sha256 of the logits $(sha256sum <real.expected | cut -c 1-16) on this machine and on $(
            printf '%s ' "${cpus[@]:0:3}")"
    fi
fi

echo "$runs runs compared, $failures failed"
[ "$failures" = 0 ]
