#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# The README quotes only compiled files: a block of C++ below a line <!-- FILE --> is FILE, but for
# its SPDX line.
set -euo pipefail
cd "$(dirname "$0")/../.."

quoted=0
while IFS= read -r file; do
  diff -u <(tail -n +2 "$file") <(awk -v mark="<!-- $file -->" '
    $0 == mark { found = 1; next }
    found && /^```cpp$/ { inside = 1; next }
    inside && /^```$/ { exit }
    inside' README.md) || { echo "README.md does not quote $file as it is"; exit 1; }
  quoted=$((quoted + 1))
done < <(sed -n 's/^<!-- \(.*\.cpp\) -->$/\1/p' README.md)
echo "README.md quotes $quoted file(s)"
((quoted > 0))
