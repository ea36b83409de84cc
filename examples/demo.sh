#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# A language model answers a question with every attention done by oriel, over rolling caches of 256
# rows; then the memory of masks and caches, measured. Installs what is missing (Debian, Ubuntu), gets
# the model, builds for this machine. Everything it makes lies in build/; a second run reuses it.
#
#   bash examples/demo.sh ["a question"]
set -euo pipefail
cd "$(dirname "$0")/.."
question=${1:-Why is the sky blue? Answer in three sentences.}

echo '== what is needed: packages and the model'
bash tests/install_packages.sh g++ cmake ninja-build pkg-config python3 libxsimd-dev libeigen3-dev \
  libcli11-dev nlohmann-json3-dev libpcre2-dev libbenchmark-dev libgmock-dev
bash examples/get_model.sh

echo '== building for this machine (build/release): some minutes, the log is build/demo.log'
log=build/demo.log
if ! { cmake --preset release -DORIEL_FETCH_DEPENDENCIES=ON &&
       cmake --build --preset release --target smollm2 oriel_memory; } >"$log" 2>&1; then
  tail -n 60 "$log" >&2
  echo "the build failed; all of it is in $log" >&2
  exit 1
fi
sed -n 's/^isa  */   /p' build/release/oriel_isa.txt

model=build/model/SmolLM2-135M-Instruct.Q4_1.gguf
echo "== smollm2 --chat --window 256 --stats --prompt \"$question\""
build/release/smollm2 --model "$model" --chat --window 256 --stats --tokens 200 --prompt "$question"

echo
echo '== memory: a dense mask against none'
build/release/oriel_memory --quick
