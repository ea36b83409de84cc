// SPDX-License-Identifier: BSL-1.0
#include "oriel/core/config.hpp"

#include <gtest/gtest.h>

namespace oriel {
inline namespace v0 {
struct versioned {};
}  // namespace v0

namespace {

static_assert(__is_same(oriel::versioned, oriel::v0::versioned), "v0 is an inline namespace");

ORIEL_INLINE constexpr int twice(int x) noexcept { return 2 * x; }

/// The macros stand where a function and a lambda with any trailing part need them.
template <class F>
ORIEL_INLINE constexpr int apply(F const& f, int x) noexcept {
  return f(x);
}

TEST(Config, InlinedFunctionsAndLambdasAreConstexpr) {
  constexpr int seven = apply([](int x) ORIEL_INLINE_LAMBDA { return twice(x) + 1; }, 3);
  static_assert(seven == 7);
  int at_run_time = 20;
  auto const f = [&](int x) ORIEL_INLINE_LAMBDA { return twice(x) + at_run_time; };
  EXPECT_EQ(apply(f, 1), 22);
}

TEST(Config, InfinitiesAreKept) {
  double volatile zero = 0;
  EXPECT_GT(1 / zero, 1e308);
  EXPECT_NE(zero / zero, zero / zero);
}

}  // namespace
}  // namespace oriel
