// SPDX-License-Identifier: BSL-1.0
#include "oriel/mask/sliding_window.hpp"

#include <gtest/gtest.h>

#include "mask_laws.hpp"

template <>
struct mask_examples<oriel::sliding_window> {
  static constexpr bool exact_cover = true;
  static std::vector<mask_example<oriel::sliding_window>> all() {
    using oriel::index;
    std::vector<mask_example<oriel::sliding_window>> list;
    for (index keys : {index{1}, index{2}, index{16}, index{33}, index{4096}, index{1} << 40,
                       oriel::max_position, INT64_MAX - 1, INT64_MAX}) {
      list.push_back({{.keys = keys}, keys});
    }
    return list;
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(SlidingWindow, MaskLaws, oriel::sliding_window);

namespace oriel {
namespace {

static_assert(sizeof(sliding_window) == sizeof(index));
static_assert(sliding_window{.keys = 3}.visible(5, 3) && !sliding_window{.keys = 3}.visible(5, 2));
static_assert(sliding_window{.keys = 1}.visible(5, 5) && !sliding_window{.keys = 1}.visible(5, 4));
static_assert(sliding_window{.keys = 1}.visible(5, 9), "it says nothing of later keys");

TEST(SlidingWindow, NeedsAKey) {
  for (index keys : {INT64_MIN, index{-7}, index{-1}, index{0}}) {
    status const s = sliding_window{.keys = keys}.check();
    EXPECT_EQ(s.code, errc::mask);
    EXPECT_STREQ(s.what, "mask: sliding_window.keys must be at least 1");
  }
  for (index keys : {index{1}, INT64_MAX}) EXPECT_TRUE(sliding_window{.keys = keys}.check().ok());
  EXPECT_EQ(sliding_window{}.check().code, errc::mask) << "there is no window by default";
}

TEST(SlidingWindow, NothingOverflowsWithoutAKey) {
  // Refused by check(), but the questions may still be asked: UBSan listens.
  for (index keys : {INT64_MIN, -max_position, index{-1}, index{0}}) {
    sliding_window const none{.keys = keys};
    for (index q : {1 - max_position, index{-1}, index{0}, max_position - 1}) {
      EXPECT_FALSE(none.visible(q, q));
      EXPECT_EQ(none.cover({q, q + 1}, {q, q + 1}), coverage::none) << keys << " at " << q;
      EXPECT_FALSE(mask_laws::holds(none.row(q), q));
      EXPECT_FALSE(mask_laws::holds(none.reach({q, q + 1}), q));
    }
  }
}

TEST(SlidingWindow, ReachBeginsWithTheFirstQuerysOldestKey) {
  EXPECT_EQ(sliding_window{.keys = 16}.reach({100, 200}).hull().begin, 85);
  EXPECT_EQ(sliding_window{.keys = INT64_MAX}.reach({100, 200}).hull().begin, 1 - max_position);
}

}  // namespace
}  // namespace oriel
