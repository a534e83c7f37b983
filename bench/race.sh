#!/usr/bin/env bash
# Races nibble against llama.cpp (or a fork of it) on one machine: the same file, threads and tests, in
# turn, so that both meet the same weather.  Medians over all runs, and their ratio.
# usage: bench/race.sh MODEL.gguf LLAMA_BENCH [-p N] [-n N] [-t N] [-r ROUNDS]
#        NIBBLE=path/to/nibble (default build/nibble)
set -euo pipefail

usage() {
    sed -n '2,5s/^# //p' "$0" >&2
    exit 2
}
[ $# -ge 2 ] || usage
model=$1 peer=$2
shift 2
prompt=512 gen=128 rounds=3
nibble=${NIBBLE:-$(dirname "$0")/../build/nibble}
threads=$("$nibble" --version | sed -n 's/.* \([0-9]*\) threads by default/\1/p')
while [ $# -ge 2 ]; do
    case "$1" in
    -p) prompt=$2 ;;
    -n) gen=$2 ;;
    -t) threads=$2 ;;
    -r) rounds=$2 ;;
    *) usage ;;
    esac
    shift 2
done
[ $# = 0 ] || usage

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for round in $(seq "$rounds"); do
    echo "round $round of $rounds" >&2
    "$nibble" bench "$model" -p "$prompt" -n "$gen" -t "$threads" -r 3 -o json -q >"$folder/nibble.$round"
    "$peer" -m "$model" -p "$prompt" -n "$gen" -t "$threads" -r 3 -o json >"$folder/peer.$round" 2>/dev/null
done

python3 - "$folder" "$(basename "$peer")" "$threads" <<'EOF'
import glob, json, statistics, sys
folder, peer, threads = sys.argv[1:]

def read(name):
    """Test name -> all samples; llama-bench and nibble bench name their fields alike."""
    samples, about = {}, ""
    for path in sorted(glob.glob("%s/%s.*" % (folder, name))):
        for row in json.load(open(path)):
            test = "tg%d" % row["n_gen"] if row["n_gen"] else "pp%d" % row["n_prompt"]
            samples.setdefault(test, []).extend(row["samples_ts"])
            about = "%s, %s" % (row["cpu_info"], row["model_type"])
    return samples, about

ours, about = read("nibble")
theirs, _ = read("peer")
print("%s, %s threads, %d runs each" % (about, threads, len(next(iter(ours.values())))))
print("| test | nibble t/s | %s t/s | ratio |" % peer)
print("|---|--:|--:|--:|")
for test in ours:
    if test in theirs:
        a, b = statistics.median(ours[test]), statistics.median(theirs[test])
        print("| %s | %.1f (%.1f .. %.1f) | %.1f (%.1f .. %.1f) | %.2f |"
              % (test, a, min(ours[test]), max(ours[test]), b, min(theirs[test]), max(theirs[test]), a / b))
EOF
