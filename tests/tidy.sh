#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# clang-tidy over every header, with the checks of .clang-tidy as errors. Made for version 14.
# Exits 77 (skipped) without it.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=$(command -v clang-tidy-14 || command -v clang-tidy || true)
if [[ -z $tool || $("$tool" --version) != *"version 14."* ]]; then
  echo 'SKIPPED: there is no clang-tidy 14 here'
  exit 77
fi
# One unit that includes the umbrella and attends, so that templates are seen instantiated.
flags=(-std=c++20 -march=x86-64-v3 -Iinclude)
if [[ ! -f /usr/include/xsimd/xsimd.hpp && -d build/deps/xsimd-13 ]]; then
  flags+=(-isystem build/deps/xsimd-13/usr/include)
fi
"$tool" --quiet tests/structure/smoke.cpp -- "${flags[@]}"
echo 'clang-tidy has nothing to say'
