#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# The rules of the house that no compiler checks. Prints every breach as file:line; exits 1 on any.
# usage: check_headers.sh [project directory]
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"

# --- one file at a time: which way includes point, and what headers may not do --------------------
check='
BEGIN {
  # A header includes its own room and those before it. score and mask stand side by side.
  split("core view simd mask score codec cache select kernel attention interop", names, " ")
  for (i in names) level[names[i]] = i + 0
  level["score"] = level["mask"]
  split("throw try catch new delete malloc calloc realloc free aligned_alloc posix_memalign abort " \
        "exit terminate assert", words, " ")
  for (i in words) forbidden[words[i]] = 1
}
function breach(text) { printf "%s:%d: %s\n", FILENAME, FNR, text; failed = 1 }
function leave() {
  if (file == "") return
  if (!pragma) { printf "%s:1: has no #pragma once\n", file; failed = 1 }
  if (lines > 420) { printf "%s:%d: is over 420 lines: is it still one idea?\n", file, lines; failed = 1 }
}
FNR == 1 {
  leave()
  file = FILENAME; pragma = 0; in_comment = 0
  room = FILENAME; sub("^include/oriel/", "", room)
  room = room ~ "/" ? substr(room, 1, index(room, "/") - 1) : ""      # "" is the umbrella
  if (room != "" && !(room in level)) breach("there is no room named " room)
  if ($0 !~ /^\/\/ SPDX-License-Identifier: BSL-1\.0$/) breach("the first line is not the SPDX line")
}
{
  lines = FNR
  code = $0
  if (length(code) > 100 && code !~ /https?:|^ *"|#error/) breach("is longer than 100 columns")
  if (code ~ /^#pragma once$/) pragma = 1

  if (match(code, /^ *# *include *[<"][^>"]*[>"]/)) {
    path = substr(code, RSTART, RLENGTH); sub(/^[^<"]*[<"]/, "", path); sub(/[>"]$/, "", path)
    if (path ~ /^oriel\//) {
      target = substr(path, 7); target = target ~ "/" ? substr(target, 1, index(target, "/") - 1) : ""
      if (system("test -f include/" path) != 0) breach("includes " path ", which is not there")
      else if (target == "" && room != "" && room != "interop") breach("includes the umbrella")
      else if (target == "interop" && room != "interop") breach("includes " path ": only interop may")
      else if (target != "" && room != "" && level[target] > level[room])
        breach(room " includes " path ", a later room")
      else if (target != room && target != "" && room != "" && level[target] == level[room])
        breach(room " includes " path ", which stands beside it")
    } else if (path ~ /^xsimd\//) {
      if (room != "simd" && room != "interop") breach("includes " path ": only simd talks to xsimd")
    } else if (room != "interop" && path !~ /^[a-z0-9_]+$/ && path !~ /^(.*mm|arm_.*)intrin\.h$/ &&
               path !~ /^arm_(neon|sve)\.h$/ && path !~ /^(unistd|sched)\.h$/) {
      breach("includes " path ": the library needs nothing but the standard library and xsimd")
    }
    if (room != "interop" &&
        path ~ /^(vector|string|map|set|unordered_map|unordered_set|list|deque|functional|iostream|sstream|stdexcept|exception|thread|mutex|ranges)$/)
      breach("includes <" path ">: the library allocates, throws and prints nothing")
    next
  }

  # Code alone: without comments, strings and characters.
  gsub(/\\./, "", code); gsub(/"[^"]*"/, "\"\"", code); gsub(/\047[^\047]*\047/, "", code)
  if (in_comment) { if (!sub(/^.*\*\//, "", code)) next; in_comment = 0 }
  gsub(/\/\*[^*]*\*\//, "", code); sub(/\/\/.*$/, "", code)
  if (sub(/\/\*.*$/, "", code)) in_comment = 1
  gsub(/= *delete/, "", code)
  if (room != "interop") {
    n = split(code, tokens, /[^A-Za-z0-9_]+/)
    for (i = 1; i <= n; ++i) if (tokens[i] in forbidden) breach("uses " tokens[i] ": only interop may")
  }
}
END { leave(); exit failed }
'
mapfile -t headers < <(find include/oriel -name '*.hpp' | LC_ALL=C sort)
failed=0
awk "$check" "${headers[@]}" || failed=1

# --- tests mirror headers ------------------------------------------------------------------------
for header in "${headers[@]}"; do
  path=${header#include/oriel/}
  [[ $path == */* ]] || continue                       # the umbrella
  test=tests/${path%.hpp}_test.cpp
  if [[ ! -f $test ]]; then
    echo "$header:1: has no test $test"
    failed=1
  fi
done

((failed)) || echo "${#headers[@]} headers keep the rules"
exit "$failed"
