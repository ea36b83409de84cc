// SPDX-License-Identifier: BSL-1.0
#include "oriel/view/integers.hpp"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace oriel {
namespace {

static_assert(std::is_convertible_v<std::vector<index>, integers> &&
              std::is_convertible_v<std::span<std::int32_t const>, integers> &&
              !std::is_convertible_v<std::vector<float>, integers> &&
              !std::is_convertible_v<int, integers>);

TEST(Integers, AreReadInEitherWidth) {
  std::vector<std::int32_t> const narrow{-3, 7};
  std::array<index, 2> const wide{-3, index{1} << 40};
  integers const a = narrow;
  integers const b = wide;
  EXPECT_EQ(a.size(), 2);
  EXPECT_EQ(a[0], -3);
  EXPECT_EQ(a[1], 7);
  EXPECT_EQ(b[0], -3);
  EXPECT_EQ(b[1], index{1} << 40);
  EXPECT_TRUE(integers().empty());
}

}  // namespace
}  // namespace oriel
