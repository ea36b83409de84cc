#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Installs what is missing (Debian, Ubuntu), builds, and runs every test, in the configurations below;
# the last is the complete release build, whose ctest summary ends the output. Stops at the first
# failure with the configuration's name (clang-tidy runs beside others and is looked at late).
# Everything it makes lies in build/; a second run reuses it.
#
#   bash tests/run.sh                  everything
#   bash tests/run.sh clang release    only these configurations, in the order below
set -euo pipefail
cd "$(dirname "$0")/.."

jobs=$(nproc)
log=build/log
mkdir -p "$log"
wanted=" $* "
ran=0
current='set-up'
tidy=''
trap 'code=$?; ((code == 0)) || echo "FAILED: $current" >&2; kill $tidy 2>/dev/null || true' EXIT

is_wanted() { [[ $wanted == "  " || $wanted == *" $1 "* ]]; }

# Runs a command with its output in a file, shown only when it fails.
quietly() {
  local file=$1
  shift
  local code=0
  "$@" >"$file" 2>&1 || code=$?
  if ((code != 0 && code != 77)); then                  # 77: skipped
    echo "--- $* (the end of $file):"
    tail -n 80 "$file"
  fi
  return "$code"
}

# configuration PRESET TARGET WHAT [CMAKE ARGUMENTS]: configures, builds the target, runs the
# preset's tests.
configuration() {
  local preset=$1 target=$2 what=$3 start=$SECONDS
  shift 3
  is_wanted "$preset" || return 0
  current="configuration $preset"
  echo "== $preset: $what"
  quietly "$log/$preset.configure" cmake --preset "$preset" -DORIEL_FETCH_DEPENDENCIES=ON "$@"
  quietly "$log/$preset.build" cmake --build --preset "$preset" --target "$target"
  quietly "$log/$preset.test" ctest --preset "$preset" --parallel "$jobs"
  echo "   $(grep -E 'tests passed|tests failed' "$log/$preset.test"), $((SECONDS - start)) s"
  ran=$((ran + 1))
}
has() { grep -qw "$1" /proc/cpuinfo; }

# --- what is needed ------------------------------------------------------------------------------
echo '== set-up: packages and the model'
bash tests/install_packages.sh g++ cmake ninja-build clang libomp-dev clang-format clang-tidy \
  pkg-config python3 libxsimd-dev libeigen3-dev libcli11-dev nlohmann-json3-dev libpcre2-dev \
  libgtest-dev libgmock-dev libbenchmark-dev qemu-user
bash examples/get_model.sh

# --- other compilers, other instruction sets, sanitizers -----------------------------------------
if is_wanted tidy; then                                 # a single process: beside the others
  bash tests/tidy.sh >"$log/tidy" 2>&1 &
  tidy=$!
fi
configuration clang all 'clang++, this machine, tests and the smaller examples'
configuration sse2 oriel_tests 'the library for SSE2, -fno-exceptions -fno-rtti'
if is_wanted aarch64; then
  current='configuration aarch64'
  bash tests/install_packages.sh g++-aarch64-linux-gnu googletest
  configuration aarch64 oriel_tests 'the library for 64-bit Arm (NEON), under qemu-user'
fi
if is_wanted asan-ubsan; then
  current='configuration asan-ubsan'
  code=0 xsimd='the installed xsimd' directory='' arch=native
  if has avx2 && has fma; then arch=x86-64-v3; fi
  bash tests/get_xsimd.sh || code=$?
  ((code == 0 || code == 77)) || exit "$code"
  if ((code == 0)); then
    xsimd="Debian 13's xsimd" directory=$PWD/build/deps/xsimd-13
  fi
  configuration asan-ubsan oriel_tests "sanitizers, for $arch, -ffp-contract=off, $xsimd" \
    "-DORIEL_ARCH=$arch" "-DFETCHCONTENT_SOURCE_DIR_XSIMD=$directory"
fi
if is_wanted tidy; then
  current='configuration tidy'
  echo '== tidy: clang-tidy over the headers'
  code=0
  wait "$tidy" || code=$?
  tidy=''
  if ((code != 0 && code != 77)); then
    cat "$log/tidy"
    exit "$code"
  fi
  tail -n 1 "$log/tidy" | sed 's/^/   /'
  ran=$((ran + 1))
fi

# --- the release build, complete; ctest has the last word ----------------------------------------
if is_wanted release; then
  current='configuration release'
  echo '== release: everything, optimised for this machine, and the real model'
  quietly "$log/release.configure" cmake --preset release -DORIEL_FETCH_DEPENDENCIES=ON
  quietly "$log/release.build" cmake --build --preset release
  ran=$((ran + 1))
  echo "   built after $SECONDS s in all, for: $(sed -n 's/^isa  *//p' build/release/oriel_isa.txt)"
  ctest --preset release --parallel "$jobs"
elif ((ran == 0)); then
  current="no configuration is named:$wanted"
  exit 2
fi
