#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Checks that every source, or every file named, is formatted as .clang-format says.
# `format.sh --fix FILE...` rewrites the files named. Needs clang-format 14: other versions format
# differently. Exits 77 (skipped) without it.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in clang-format-14 clang-format none; do
  if [[ $("$tool" --version 2>/dev/null) == *"version 14."* ]]; then break; fi
done
if [[ $tool == none ]]; then
  echo "SKIPPED: there is no clang-format 14 here"
  exit 77
fi

if [[ ${1:-} == --fix ]]; then
  (($# > 1)) || { echo "name the files to rewrite: format.sh --fix FILE..." >&2; exit 2; }
  exec "$tool" -i "${@:2}"
fi
sources=("$@")
if (($# == 0)); then
  mapfile -d '' -t sources < <(find include cmake tests bench examples -name '*.[ch]pp' -print0 2>/dev/null)
fi
wrong=0
for source in "${sources[@]}"; do
  # Not --dry-run: it objects to "}  // namespace oriel::inline v0" and then changes nothing.
  if ! "$tool" "$source" | cmp -s - "$source"; then
    echo "$source is not formatted: tests/format.sh --fix $source"
    wrong=1
  fi
done
((wrong)) || echo "${#sources[@]} files are formatted"
exit "$wrong"
