// SPDX-License-Identifier: BSL-1.0
#include "oriel/core/head_map.hpp"

#include <gtest/gtest.h>

namespace oriel {
namespace {

TEST(HeadMap, EveryQueryHeadHasItsGroup) {
  for (auto const [q_heads, kv_heads] :
       {head_map{1, 1}, {8, 8}, {8, 2}, {9, 3}, {32, 1}, {10, 5}}) {
    head_map const map{q_heads, kv_heads};
    ASSERT_TRUE(map.check().ok());
    index next = 0;  // the groups of kv heads 0, 1, ... are the query heads in order
    for (index kv = 0; kv < kv_heads; ++kv) {
      EXPECT_EQ(map.first_q_head(kv), next);
      for (index i = 0; i < map.group(); ++i) EXPECT_EQ(map.kv_head(next++), kv);
    }
    EXPECT_EQ(next, q_heads);
  }
}

TEST(HeadMap, RefusesWhatDoesNotDivide) {
  struct bad {
    head_map map;
    char const* what;
  };
  for (auto const& [map, what] : {bad{{8, 3}, "q.heads must be a multiple of kv.heads"},
                                  {{2, 4}, "q.heads must be a multiple of kv.heads"},
                                  {{8, 0}, "kv.heads must be at least 1"},
                                  {{8, -2}, "kv.heads must be at least 1"},
                                  {{0, 1}, "q.heads must be at least 1"},
                                  {{-8, 2}, "q.heads must be at least 1"},
                                  {{INT64_MIN, -1}, "kv.heads must be at least 1"}}) {
    status const s = map.check();
    EXPECT_EQ(s.code, errc::heads);
    EXPECT_STREQ(s.what, what);
  }
}

}  // namespace
}  // namespace oriel
