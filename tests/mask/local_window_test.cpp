// SPDX-License-Identifier: BSL-1.0
#include "oriel/mask/local_window.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "mask_laws.hpp"

template <>
struct mask_examples<oriel::local_window> {
  static constexpr bool exact_cover = true;
  static std::vector<mask_example<oriel::local_window>> all() {
    std::vector<mask_example<oriel::local_window>> list;
    using oriel::index;
    for (index left : {index{0}, index{1}, index{16}, oriel::max_position, INT64_MAX}) {
      for (index right : {index{0}, index{3}, index{20}, INT64_MAX}) {
        list.push_back({{left, right}, left < 100 ? left : -std::min(right, oriel::max_position)});
      }
    }
    return list;
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(LocalWindow, MaskLaws, oriel::local_window);

namespace oriel {
namespace {

static_assert(local_window{3, 2}.visible(10, 7) && !local_window{3, 2}.visible(10, 6));
static_assert(local_window{3, 2}.visible(10, 12) && !local_window{3, 2}.visible(10, 13));
static_assert(local_window{3, 2}.row(10).hull() == range{7, 13}, "left + right + 1 keys");
static_assert(local_window{}.row(10).hull() == range{10, 11}, "the query's own key alone");

TEST(LocalWindow, SidesMustNotBeNegative) {
  EXPECT_TRUE((local_window{0, 0}.check().ok()));
  EXPECT_EQ((local_window{-1, 5}.check().code), errc::mask);
  EXPECT_EQ((local_window{5, -1}.check().code), errc::mask);
  EXPECT_EQ((local_window{INT64_MIN, INT64_MIN}.check().code), errc::mask);
}

TEST(LocalWindow, WhatIsDead) {
  EXPECT_EQ((dead_before(local_window{3, 2}, 10)), 7);
  EXPECT_EQ((dead_before(local_window{3, 2}, -4)), -7);
}

}  // namespace
}  // namespace oriel
