#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# One attend call costs one copy of each kernel, whatever the mask and the source, and little code.
# usage: compile_budget.sh object nm
set -euo pipefail
object=$1 nm=${2:-nm}
failed=0
# A compiler may add copies of its own (".constprop" and the like): the size below bounds those.
symbols=$("$nm" -C "$object" | sed 's/ \[clone [^]]*\]//g; s/^[0-9a-f]* *[TtWw] /code /' | sort -u)
expect_at_most() {  # most, what, pattern
  local found
  found=$(grep -cE "$3" <<<"$symbols" || true)
  echo "$found x $2 (at most $1)"
  ((found <= $1)) || failed=1
}
expect_at_most 3 "tile_gemm: one per width of a row tile" '^code .*tile_gemm<'
expect_at_most 3 "decode scores: one per number of rows" '^code .*decode_tile<.*score_rows<'
expect_at_most 3 "decode sums: one per number of rows" '^code .*decode_tile<.*accumulate_rows<'
expect_at_most 2 "attend_tiles: one per kernel" '^code .*attend_tiles<'
expect_at_most 1 "run_task" '^code .*run_task<'
bytes=$(wc -c <"$object")
echo "$bytes bytes of object code (at most 300000)"
((bytes <= 300000)) || failed=1
exit "$failed"
