#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# A process that attends by blocks has at most 1.05 times the resident set of one that attends to
# everything. 16384 tokens and 8 heads of 64 floats are 134 MB, so that 5 % are more than what
# differs between two runs; only the last 64 queries are computed, in the memory of all.
#
#   bash tests/examples/moba_resident.sh PROGRAM
set -euo pipefail

resident() {  # way
  "$program" --way "$1" --tokens 16384 --queries 64 --heads 8 --dim 64 --block 512 --top-k 3 |
    sed -n 's/.*resident \([0-9]*\) KiB.*/\1/p'
}
program=$1
dense=$(resident dense)
blocks=$(resident oriel)
echo "resident: dense $dense KiB, by blocks $blocks KiB"
((dense > 131072 && blocks * 100 <= dense * 105))
