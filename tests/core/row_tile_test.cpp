// SPDX-License-Identifier: BSL-1.0
#include "oriel/core/row_tile.hpp"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace oriel {
namespace {

TEST(RowTile, RowsAreTokenAndHeadOfTheGroup) {
  struct test_case {
    row_tile rows;
    std::vector<index> positions;
  };
  constexpr index far = (index{1} << 53) - 1;
  for (auto const& [rows, positions] : {test_case{{0, 4, 1, 10}, {10, 11, 12, 13}},
                                        {{0, 5, 2, 10}, {10, 10, 11, 11, 12}},
                                        {{3, 5, 2, 0}, {1, 2, 2, 3, 3}},
                                        {{7, 3, 9, 5}, {5, 5, 6}},
                                        {{64, 2, 5, far}, {far + 12, far + 13}}}) {
    for (int r = 0; r < rows.count; ++r) {
      EXPECT_EQ(rows.position(r), positions[static_cast<std::size_t>(r)]);
    }
    EXPECT_EQ(rows.queries(), (range{positions.front(), positions.back() + 1}));
  }
}

TEST(RowTile, RowsBeforeAPosition) {
  row_tile const rows{3, 5, 2, 10};  // positions 11 12 12 13 13
  EXPECT_EQ(rows.count_before(11), 0);
  EXPECT_EQ(rows.count_before(12), 1);
  EXPECT_EQ(rows.count_before(13), 3);
  EXPECT_EQ(rows.count_before(14), 5);
  EXPECT_EQ(rows.count_before(everywhere.begin), 0);
  EXPECT_EQ(rows.count_before(max_position), 5);
}

TEST(RowTile, TokensAndTheWordsOfTheirRows) {
  using tokens = std::vector<std::pair<index, std::uint64_t>>;
  auto const of = [](row_tile const& rows) {
    tokens all;
    for_each_token(rows, [&](index q, std::uint64_t word) { all.emplace_back(q, word); });
    return all;
  };
  EXPECT_EQ(of({1, 5, 2, 10}), (tokens{{10, 1}, {11, 6}, {12, 24}}));
  EXPECT_EQ(of({0, 64, 64, 3}), (tokens{{3, ~std::uint64_t{0}}}));
  EXPECT_EQ(of({5, 2, 3, 0}), (tokens{{1, 1}, {2, 2}}));
  EXPECT_EQ(of({5, 0, 3, 0}), tokens{});
  EXPECT_EQ((row_tile{5, 2, 3, 0}.head(0)), 2);
  EXPECT_EQ((row_tile{5, 2, 3, 0}.head(1)), 0);
}

}  // namespace
}  // namespace oriel
