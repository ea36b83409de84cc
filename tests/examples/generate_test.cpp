// SPDX-License-Identifier: BSL-1.0
#include "generate.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace smollm2 {
namespace {

std::vector<token_id> found(std::vector<token_id> const& text, index most) {
  auto const after = lookup(text, most);
  return {after.begin(), after.end()};
}

TEST(Lookup, FindsWhatFollowedTheLastTokensBefore) {
  using ids = std::vector<token_id>;
  EXPECT_EQ(found({1, 2, 3, 4, 1, 2}, 8), (ids{3, 4, 1, 2}));
  EXPECT_EQ(found({1, 2, 3, 4, 1, 2}, 1), (ids{3}));
  EXPECT_EQ(found({1, 2, 3, 4, 1, 2}, 0), ids{});
  EXPECT_EQ(found({1, 2, 3, 4, 1, 2}, -1), ids{});
  EXPECT_EQ(found({1, 2, 7, 1, 2, 8, 1, 2}, 8), (ids{8, 1, 2})) << "the last place";
  EXPECT_EQ(found({5, 1, 2, 7, 6, 1, 2, 8, 5, 1, 2}, 1), (ids{7})) << "the longest run first";
  EXPECT_EQ(found({9, 9, 9}, 8), (ids{9})) << "places may overlap";
  EXPECT_EQ(found({1, 2, 1, 3}, 8), ids{}) << "one token is no hint";
  for (ids const& text : {ids{}, ids{1}, ids{1, 1}, ids{1, 2, 3}}) {
    EXPECT_EQ(found(text, 8), ids{});
  }
}

}  // namespace
}  // namespace smollm2
