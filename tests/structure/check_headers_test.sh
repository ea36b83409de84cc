#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# check_headers.sh finds each kind of breach, and only those.
set -euo pipefail
check=$(cd "$(dirname "$0")" && pwd)/check_headers.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

header() {  # path, then lines after the usual head
  mkdir -p "$tree/include/oriel/$(dirname "$1")" "$tree/tests/$(dirname "$1")"
  { printf '// SPDX-License-Identifier: BSL-1.0\n#pragma once\n'
    printf '%s\n' "${@:2}"; } >"$tree/include/oriel/$1"
  : >"$tree/tests/${1%.hpp}_test.cpp"
}
failures=0
expect() {  # what the output must contain
  if [[ $output != *"$1"* ]]; then
    printf 'did not find: %s\nin: %s\n' "$1" "$output"
    failures=$((failures + 1))
  fi
}
run() { output=$(bash "$check" "$tree" 2>&1) && code=0 || code=$?; }

header core/a.hpp '#include <cstdint>' '// nothing new, no throw' 'bool operator()(int) = delete;' \
  'char const* s = "new"; /* malloc(1) */' '/* several' '   new lines */' 'int renewed = 0;'
header simd/b.hpp '#include <xsimd/xsimd.hpp>' '#include "oriel/core/a.hpp"'
header mask/c.hpp '#include <oriel/simd/b.hpp>'
header interop/d.hpp '#include <vector>' '#include <Eigen/Core>' '#include <oriel/oriel.hpp>' \
  'inline void f() { throw 1; }'
header oriel.hpp '#include <oriel/core/a.hpp>' '#include <oriel/mask/c.hpp>'
run
[[ $code == 0 ]] || { echo "a good tree fails: $output"; exit 1; }
expect '5 headers keep the rules'

header core/up.hpp '#include "oriel/mask/c.hpp"'
header core/umbrella.hpp '#include <oriel/oriel.hpp>'
header score/beside.hpp '#include <oriel/mask/c.hpp>'
header kernel/out.hpp '#include <oriel/interop/d.hpp>'
header kernel/gone.hpp '#include <oriel/kernel/nowhere.hpp>'
header kernel/vectors.hpp '#include <xsimd/xsimd.hpp>'
header mask/foreign.hpp '#include <Eigen/Core>'
header mask/owning.hpp '#include <vector>'
header cache/words.hpp 'int* a = new int;' 'void f() { throw 1; }' 'void* p = std::malloc(8);' \
  '/* a comment */ int* b = new int; // and more'
header cache/long.hpp "$(seq -f '// %g' 430)"
header cache/wide.hpp "int x = $(printf '1%.0s' {1..100});"
header cache/untested.hpp
rm "$tree/tests/cache/untested_test.cpp"
header attic/room.hpp
printf '#include <cstdint>\n' >"$tree/include/oriel/core/bare.hpp"
: >"$tree/tests/core/bare_test.cpp"
printf '#include <oriel/interop/d.hpp>\n' >>"$tree/include/oriel/oriel.hpp"
run
[[ $code == 1 ]] || { echo "a bad tree passes: $output"; exit 1; }
expect 'core/up.hpp:3: core includes oriel/mask/c.hpp, a later room'
expect 'core/umbrella.hpp:3: includes the umbrella'
expect 'score/beside.hpp:3: score includes oriel/mask/c.hpp, which stands beside it'
expect 'kernel/out.hpp:3: includes oriel/interop/d.hpp: only interop may'
expect 'kernel/gone.hpp:3: includes oriel/kernel/nowhere.hpp, which is not there'
expect 'kernel/vectors.hpp:3: includes xsimd/xsimd.hpp: only simd talks to xsimd'
expect 'mask/foreign.hpp:3: includes Eigen/Core'
expect 'mask/owning.hpp:3: includes <vector>'
expect 'cache/words.hpp:3: uses new'
expect 'cache/words.hpp:4: uses throw'
expect 'cache/words.hpp:5: uses malloc'
expect 'cache/words.hpp:6: uses new'
expect 'cache/long.hpp:432: is over 420 lines'
expect 'cache/wide.hpp:3: is longer than 100 columns'
expect 'cache/untested.hpp:1: has no test tests/cache/untested_test.cpp'
expect 'attic/room.hpp:1: there is no room named attic'
expect 'core/bare.hpp:1: has no #pragma once'
expect 'core/bare.hpp:1: the first line is not the SPDX line'
expect 'oriel.hpp:5: includes oriel/interop/d.hpp: only interop may'
((failures == 0)) && echo 'every kind of breach is found'
exit "$failures"
