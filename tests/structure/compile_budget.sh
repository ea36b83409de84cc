#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# One attend call costs one copy of each kernel, whatever the mask and the source, and little code.
# usage: compile_budget.sh object nm
set -euo pipefail
object=$1 nm=${2:-nm}
failed=0
symbols=$("$nm" -C "$object")
expect_at_most() {  # most, what, pattern
  local found
  found=$(grep -cE "$3" <<<"$symbols" || true)
  echo "$found x $2 (at most $1)"
  ((found <= $1)) || failed=1
}
expect_at_most 3 "tile_gemm: one per width of a row tile" ' [TtWw] .*tile_gemm<'
expect_at_most 3 "decode scores: one per number of rows" ' [TtWw] .*decode_tile<.*score_rows<'
expect_at_most 3 "decode sums: one per number of rows" ' [TtWw] .*decode_tile<.*accumulate_rows<'
expect_at_most 2 "attend_tiles: one per kernel" ' [TtWw] .*attend_tiles<'
expect_at_most 1 "run_task" ' [TtWw] .*run_task<'
bytes=$(wc -c <"$object")
echo "$bytes bytes of object code (at most 300000)"
((bytes <= 300000)) || failed=1
exit "$failed"
