#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# An example prints what its source quotes, and ends with status 0. The quote is the lines of the
# source that begin with "//   "; in it, * stands for what depends on the machine.
#
#   bash tests/examples/check_output.sh SOURCE PROGRAM [ARGUMENT...]
set -euo pipefail

mapfile -t quoted < <(sed -n 's|^//   ||p' "$1")
shift
output=$("$@")
mapfile -t printed <<<"$output"

differ=0
for ((i = 0; i < ${#quoted[@]} || i < ${#printed[@]}; ++i)); do
  # Unquoted on the right: a pattern.
  if [[ ${printed[i]-} != ${quoted[i]-} ]]; then
    printf 'line %d\n  quoted:  %s\n  printed: %s\n' $((i + 1)) "${quoted[i]-}" "${printed[i]-}"
    differ=1
  fi
done
((${#quoted[@]} > 0 && differ == 0))
