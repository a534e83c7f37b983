#!/usr/bin/env bash
# From a fresh clone to a model that talks: installs what is missing, builds, gets the default model,
# runs a prompt.
# usage: tools/quickstart.sh [PROMPT]
set -euo pipefail
cd "$(dirname "$0")/.."

prompt=${1:-What is the difference between a CPU and a GPU? Answer in three sentences.}
tools/install-deps.sh build model
cmake -S . -B build -G Ninja -DNIB_TESTS=OFF >/dev/null
cmake --build build >&2
model=$(tools/get-model.sh | tail -n 1)

echo >&2
build/nibble run "$model" -cnv -p "$prompt" -n 256
cat >&2 <<EOF

more: build/nibble chat $model
      build/nibble inspect $model
      build/nibble --help
EOF
