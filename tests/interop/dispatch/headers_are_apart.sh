#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# headers_are_apart.sh PROJECT COMPILER: for those who compile for several instruction sets without
# oriel_add_dispatch. At any level of optimisation, our headers leave no function in an object that
# others could share and that has AVX instructions, unless the instruction set is part of its name.
set -euo pipefail
source "$(dirname "$0")/functions_with_avx.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

failed=0
for flags in '-O0 -march=x86-64-v4' '-O1 -march=x86-64-v4' '-O3 -march=x86-64-v3'; do
  # shellcheck disable=SC2086
  "$2" -std=c++20 $flags -I"$1/include" -c "$(dirname "$0")/all_headers.cpp" -o "$work/all.o"
  functions_with_avx "$work/all.o" | grep -E '^[Ww] ' >"$work/weak" || true
  ours=$(grep -c xsimd "$work/weak" || true)
  ((ours > 0)) || { echo "$flags: no function with an instruction set in its name"; failed=1; }
  if grep -v xsimd "$work/weak"; then
    echo "above: functions that objects share, with AVX instructions ($flags)"
    failed=1
  fi
done
((failed)) || echo "every shared function of the headers names its instruction set"
exit "$failed"
