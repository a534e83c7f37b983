#!/usr/bin/env bash
# Folders of tests/data that are kept as archives, which CMake unpacks into the build folder.
# usage: tests/data/archive.sh            NAME.tar.xz of each folder that is there, which is removed
#        tests/data/archive.sh --unpack   the folders, to be changed
set -euo pipefail
cd "$(dirname "$0")"
for name in models quants sampling templates tokenizers; do
    if [ "${1:-}" = --unpack ]; then
        [ -d "$name" ] || tar xf "$name.tar.xz"
    elif [ -d "$name" ]; then
        tar c --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner "$name" | xz -9e >"$name.tar.xz"
        rm -r "$name"
    fi
done
