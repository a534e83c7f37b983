#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that are missing, through sudo where need be.
# usage: tools/install-deps.sh [build] [model] [test] [bench] [clang] [arm64] [format]     (default: build)
# Does nothing, quickly, where all is there.
set -euo pipefail

# The Clang to build with: the newest that is here with its OpenMP, else what the distribution has.
clang_version() {
    local version
    for version in 21 20 19 18 17 16; do
        if command -v "clang-$version" >/dev/null && is_installed "libomp-$version-dev"; then
            echo "$version"
            return
        fi
    done
    if command -v apt-cache >/dev/null && [ -n "$(apt-cache pkgnames clang-19 2>/dev/null | grep -x clang-19)" ]; then
        echo 19
    fi
}

is_installed() {
    dpkg-query -W -f='${db:Status-Abbrev}\n' "$1" 2>/dev/null | grep -q '^.i'
}

packages_of() {
    case "$1" in
    build)
        echo build-essential cmake ninja-build pkg-config libsleef-dev libhwloc-dev libpcre2-dev \
            libutf8proc-dev libedit-dev
        ;;
    model)
        # Any Python with pip will do, not only the distribution's.
        python3 -m pip --version >/dev/null 2>&1 || echo python3 python3-pip
        ;;
    test)
        command -v python3 >/dev/null || echo python3
        echo libcmocka-dev xz-utils
        [ "$(uname -m)" != x86_64 ] || echo qemu-user
        ;;
    bench)
        command -v python3 >/dev/null || echo python3
        echo libbenchmark-dev
        ;;
    clang)
        local version
        version=$(clang_version)
        if [ -n "$version" ]; then
            echo "clang-$version" "libomp-$version-dev" "libclang-rt-$version-dev"
        else
            echo clang libomp-dev
        fi
        ;;
    arm64) # to build for AArch64 on x86-64, and to run that
        echo gcc-aarch64-linux-gnu qemu-user libsleef-dev:arm64 libhwloc-dev:arm64 libgomp1:arm64 \
            libpcre2-dev:arm64 libutf8proc-dev:arm64 libedit-dev:arm64 libcmocka-dev:arm64
        ;;
    format)
        command -v clang-format-14 >/dev/null || echo clang-format-14
        ;;
    *)
        echo "install-deps.sh: unknown group $1; there are build, model, test, bench, clang, arm64, format" >&2
        return 2
        ;;
    esac
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "install-deps.sh: no apt-get here; install the packages named in tools/install-deps.sh yourself" >&2
    exit 0
fi
if [ "${1:-}" = --clang-version ]; then
    clang_version
    exit 0
fi

[ $# -gt 0 ] || set -- build
missing=()
for group in "$@"; do
    packages=$(packages_of "$group")
    for package in $packages; do
        is_installed "$package" || missing+=("$package")
    done
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "install-deps.sh: packages are missing; as root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi
echo "installing ${missing[*]}" >&2
[[ ${missing[*]} != *:arm64* ]] || "${as_root[@]}" dpkg --add-architecture arm64
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Old lists may still do where the update fails, so the installation decides.
if ! { "${as_root[@]}" apt-get update || true
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        -o DPkg::Lock::Timeout=300 "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    echo "install-deps.sh: apt-get could not install ${missing[*]}; see its messages above" >&2
    exit 1
fi
