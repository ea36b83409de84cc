#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# levels_are_apart.sh PROGRAM OBJECTS JOINED: in a dispatched program no function that others can
# reach by its name has AVX instructions, but those that carry their level's name. OBJECTS are those
# of the highest level as compiled, separated by semicolons: they do have such functions, so the
# check bites. JOINED is what oriel_add_dispatch makes of them.
set -euo pipefail
source "$(dirname "$0")/functions_with_avx.sh"
program=$1 joined=$3
IFS=';' read -ra objects <<<"$2"

failed=0
visible() { grep -E '^[TWwi?] ' | grep -vE '\.x86_64_v[34]$' || true; }
before=$(functions_with_avx "${objects[@]}" | visible)
[[ $before == *_Z3dotIf* ]] || { echo "no shared inline function in: ${objects[*]}"; failed=1; }
[[ $(functions_with_avx "$joined") == *_Z3dotIf* ]] || { echo "no code in $joined"; failed=1; }
for file in "$joined" "$program"; do
  after=$(functions_with_avx "$file" | visible)
  [[ -z $after ]] || { echo "visible, with AVX instructions, in $file:"; echo "$after"; failed=1; }
done
shared=$(nm --defined-only --extern-only "$joined" | grep -vE ' T .*\.x86_64_v4$' || true)
[[ -z $shared ]] || { echo "visible in $joined: $shared"; failed=1; }
((failed)) || echo "$(wc -l <<<"$before") functions of the level were visible before it was joined"
exit "$failed"
