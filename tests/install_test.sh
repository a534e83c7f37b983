#!/usr/bin/env bash
# What is installed can be built upon, by CMake package and by pkg-config, wherever it is moved to.
# usage: tests/install_test.sh BUILD MODELS_FOLDER      (CTest sets CC, CFLAGS, CMAKE, PKG_CONFIG)
. "$(dirname "$0")/outside.sh"

"$CMAKE" --install "$build" --prefix "$folder/installed" >log || fail "installation: $(cat log)"
mv installed moved
moved/bin/nibble --version >/dev/null || fail "the installed program does not run"
library=$(dirname "$(find "$folder/moved" -name 'libnibble.*' -print -quit)")

mkdir program
write_example program/example.c
cat >program/CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.22)
project(program LANGUAGES C)
find_package(nibble 0.1 REQUIRED)
add_executable(program example.c)
target_link_libraries(program nibble::nibble)
END
"$CMAKE" -S program -B by_cmake -DCMAKE_PREFIX_PATH="$folder/moved" >log 2>&1 &&
    "$CMAKE" --build by_cmake >>log 2>&1 || fail "by find_package: $(cat log)"
check_example by_cmake/program

export PKG_CONFIG_PATH=$library/pkgconfig:${PKG_CONFIG_PATH:-}
read -ra link <<<"$("$PKG_CONFIG" --cflags --libs --static nibble) -Wl,-rpath,$library"
"$CC" "${flags[@]}" program/example.c -o by_pkg_config "${link[@]}" || fail "by pkg-config"
check_example ./by_pkg_config
