# What the tests of programs outside share: the header's example, its compilers, its run.
# Sourced with CC, CFLAGS, CMAKE, PKG_CONFIG from CTest and with the arguments BUILD MODELS_FOLDER.
set -euo pipefail
build=$(realpath "$1")
model=$(realpath "$2")/llama3-scaled-q8_0.gguf
source=$(realpath "$(dirname "$0")/..")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# What a user has set is no part of the test.
unset "${!NIBBLE_@}" "${!OMP_@}" LDFLAGS CPPFLAGS
read -ra flags <<<"${CFLAGS:-}"
cd "$folder"

fail() { # SENTENCE
    echo "FAILED: $1"
    exit 1
}

# The C++ compiler that belongs to $CC, else any; nothing where there is none.
cxx() {
    local name folder candidate
    name=$(basename "$CC") folder=$(dirname "$CC")
    case "$name" in
    *clang*) name=${name/clang/clang++} ;;
    *gcc*) name=${name/gcc/g++} ;;
    *cc*) name=${name/cc/c++} ;;
    esac
    for candidate in "$folder/$name" c++ g++ clang++; do
        command -v "$candidate" && return
    done
    return 0
}

# The program in the comment at the top of the header, and the only one: any other is to be built too.
write_example() { # FILE
    local header=$source/include/nibble.h
    [ "$(grep -c '^ \* Example' "$header")" = 1 ] || fail "nibble.h has not one example"
    awk '/^ \* Example/ { inside = 1; next }
         inside && /^ \*\// { exit }
         inside { sub(/^ \*( |     )?/, ""); print }' "$header" >"$1"
    grep -q 'int main' "$1" || fail "the example of nibble.h is not found"
}

# The example says what the program says, and of a missing model one sentence.
check_example() { # COMMAND
    local text expected
    text=$("$1" "$model") || fail "$1: exit code $?"
    expected=$("$build/nibble" run "$model" -p "The capital of France is" -n 16 --temp 0 2>err) ||
        fail "nibble run: $(cat err)"
    [ "$text" = "$expected" ] || fail "$1 says '$text', the program '$expected'"
    ! "$1" nowhere.gguf >out 2>err || fail "$1 finds a model where there is none"
    [ ! -s out ] && grep -q nowhere.gguf err || fail "$1 says of a missing model: $(cat out err)"
}
