#!/usr/bin/env bash
# The header stands alone in C11 and C++17, and its example builds without warnings and runs.
# usage: tests/header_test.sh BUILD MODELS_FOLDER      (CTest sets CC, CFLAGS, PKG_CONFIG)
. "$(dirname "$0")/outside.sh"

# The library as it lies in the build folder.
export PKG_CONFIG_PATH=$build:${PKG_CONFIG_PATH:-}
read -ra link <<<"$("$PKG_CONFIG" --cflags --libs nibble) -Wl,-rpath,$build"
warnings=(-Wall -Wextra -pedantic -Werror)

write_example example.c
"$CC" -std=c11 "${warnings[@]}" "${flags[@]}" example.c -o example_c "${link[@]}" ||
    fail "the example is no C11"
check_example ./example_c

cxx=$(cxx)
if [ -n "$cxx" ]; then
    cp example.c example.cc
    "$cxx" -std=c++17 "${warnings[@]}" "${flags[@]}" example.cc -o example_cxx "${link[@]}" ||
        fail "the example is no C++17"
    check_example ./example_cxx
else
    echo "no C++ compiler here: C alone"
fi
