#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Times other people's CPU attention beside oriel's: see README.md. Installs what is missing (Debian,
# Ubuntu; Python packages into build/peers/venv: several GB where only PyPI can be reached), builds
# ours for this machine, prints a table and writes build/peers/peers.json.
#
#   bash bench/peers/run.sh [--case 'decode kv=4096 heads=32:8 dim=128']... [--peer sdpa]... [--rounds N]
#
# PYTHON=python3.12 chooses the Python (3.11 to 3.14, with its headers), CXX the compiler.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=bench/peers
made=build/peers
python=$made/venv/bin/python
cpu_wheels=https://download.pytorch.org/whl/cpu/

echo '== what is needed'
bash tests/install_packages.sh g++ libxsimd-dev libnuma1 python3
# Python's own headers are for FlexAttention, which compiles what it runs.
"${PYTHON:-python3}" - <<'END' 2>/dev/null || bash tests/install_packages.sh python3-venv python3-dev
import ensurepip, os, sysconfig
os.stat(sysconfig.get_path("include") + "/Python.h")
END
mkdir -p "$made"
if [[ ! -x $python ]] || ! cmp -s <(cat $here/requirements*.txt) "$made/installed.txt"; then
  "${PYTHON:-python3}" -m venv "$made/venv"
  # PyTorch without CUDA if its own package index answers; PyPI's works too, with 3 GB for nothing.
  index=()
  if "$python" -c "import urllib.request as u; u.urlopen('$cpu_wheels', timeout=10)" 2>/dev/null; then
    index=(--extra-index-url "$cpu_wheels")
  fi
  "$python" -m pip install --quiet "${index[@]}" -r "$here/requirements.txt"
  "$python" -m pip install --quiet --no-deps -r "$here/requirements-vllm.txt"
  cat $here/requirements*.txt >"$made/installed.txt"
fi

echo '== building oriel for this machine'
"${CXX:-g++}" -std=c++20 -O3 -DNDEBUG -march=native -Iinclude -fPIC -shared -pthread \
  "$here/oriel_peer.cpp" -o "$made/liboriel_peer.so"

echo '== comparing (minutes per case)'
exec "$python" "$here/compare.py" --library "$made/liboriel_peer.so" --json "$made/peers.json" "$@"
