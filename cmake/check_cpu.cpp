// SPDX-License-Identifier: BSL-1.0
// Part of each of our own programs: ends it, before any other constructor runs, with a sentence
// where an illegal instruction would end it without one.
#include <cstdio>
#include <cstdlib>

#include "../include/oriel/interop/check_cpu.hpp"

[[gnu::constructor(101)]] static void end_on_the_wrong_cpu() noexcept {
  oriel::status const s = oriel::check_cpu();
  if (s.code == oriel::errc::ok) return;
  std::fprintf(stderr, "%s\n", s.what);
  std::_Exit(1);
}
