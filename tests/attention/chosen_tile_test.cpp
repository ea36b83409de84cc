// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/chosen_tile.hpp"

#include "oriel/select/listed_blocks.hpp"
#include "problem.hpp"

namespace oriel::test {
namespace {

/// Four rows: the first sees everything, the others chose blocks {0, 2}, {2} and {1, 2}.
struct four_rows {
  index chosen[4][2] = {{}, {0, 2}, {2}, {1, 2}};
  index count[4] = {0, 2, 1, 2};
  index next[4] = {};
  row_tile rows{0, 4, 1, 100};
  detail::chosen_tile tile{.own = {chosen[0], count, next, 2}, .dense = 1};
};

TEST(ChosenTile, SaysWhichRowsSeeABlock) {
  four_rows of;
  EXPECT_EQ(of.tile.takers_of(of.rows, 0), 0b0011u);
  EXPECT_EQ(of.tile.takers_of(of.rows, 0), 0b0011u) << "asked again";
  EXPECT_EQ(of.tile.takers_of(of.rows, 1), 0b1001u);
  EXPECT_EQ(of.tile.takers_of(of.rows, 2), 0b1111u);
  EXPECT_EQ(of.tile.takers_of(of.rows, 3), 0b0001u);
  four_rows other;
  EXPECT_EQ(other.tile.takers_of(other.rows, 2), 0b1111u) << "blocks before it were not asked for";
}

TEST(ChosenTile, BlocksBeforePositionZeroAreSeenByDenseRows) {
  four_rows of;
  EXPECT_EQ(of.tile.takers_of(of.rows, -1), 0b0001u);
  EXPECT_EQ(of.tile.takers_of(of.rows, 0), 0b0011u);
}

TEST(ChosenTile, HidesWhatARowDidNotChoose) {
  problem const p({.q_len = 4, .kv_len = 40});
  std::int32_t list[2] = {};
  attention call = p.call();
  call.select = listed_blocks{8, {list, 4, 1, 2, 0, 0}, 36};
  std::uint64_t word[40];
  {
    four_rows of;  // the mask shows all: blocks 0 and 1, then block 2
    EXPECT_EQ(of.tile.hide_others(call, of.rows, {2, 16}, coverage::all, word), coverage::some);
    for (index i = 0; i < 14; ++i) EXPECT_EQ(word[i], i < 6 ? 0b0011u : 0b1001u) << i;
    EXPECT_EQ(of.tile.hide_others(call, of.rows, {16, 24}, coverage::all, word), coverage::all);
  }
  four_rows of;
  for (std::uint64_t& w : word) w = 0b1110;
  EXPECT_EQ(of.tile.hide_others(call, of.rows, {0, 24}, coverage::some, word), coverage::some);
  for (index i = 0; i < 24; ++i) {
    EXPECT_EQ(word[i], i < 8 ? 0b0010u : i < 16 ? 0b1000u : 0b1110u) << i;
  }
  of.tile.dense = 0;
  EXPECT_EQ(of.tile.hide_others(call, of.rows, {24, 40}, coverage::some, word), coverage::none);
}

}  // namespace
}  // namespace oriel::test
