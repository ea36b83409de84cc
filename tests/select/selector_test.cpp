// SPDX-License-Identifier: BSL-1.0
#include "oriel/select/selector.hpp"

#include <gtest/gtest.h>

#include "oriel/select/moba.hpp"
#include "tensors.hpp"

namespace oriel::test {
namespace {

/// A selector of one's own: the row's block and the first one.
struct first_and_own {
  index keys;
  index block() const noexcept { return keys; }
  index most() const noexcept { return 2; }
  index dense_before() const noexcept { return 2 * keys; }
  index choose(choosing_row const& row, index* to) const noexcept {
    to[0] = 0;
    to[1] = row.position / keys;
    return 2;
  }
  status check(choosing_call const&) const noexcept {
    if (keys < 1) return {errc::select, "select: first_and_own.keys must be at least 1"};
    return {};
  }
};
static_assert(selector<first_and_own> && selector<moba> && !selector<int>);
static_assert(std::is_trivially_copyable_v<any_selector>);

TEST(AnySelector, IsNoneByDefault) {
  any_selector const none;
  EXPECT_FALSE(none);
  EXPECT_EQ(none.most(), 0);
  EXPECT_TRUE(none.check({}).ok());
}

TEST(AnySelector, AnswersAsWhatItHolds) {
  any_selector const own = first_and_own{10};
  ASSERT_TRUE(own);
  EXPECT_EQ(own.block(), 10);
  EXPECT_EQ(own.most(), 2);
  EXPECT_EQ(own.dense_before(), 20);
  index to[2];
  EXPECT_EQ(own.choose({.position = 57}, to), 2);
  EXPECT_EQ(to[0], 0);
  EXPECT_EQ(to[1], 5);
  EXPECT_EQ(any_selector(first_and_own{0}).check({}).code, errc::select);
}

}  // namespace
}  // namespace oriel::test
