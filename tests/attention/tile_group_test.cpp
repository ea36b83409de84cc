// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/tile_group.hpp"

#include "problem.hpp"

namespace oriel::test {
namespace {

using detail::work_item;

TEST(NextTile, IsTheFirstThatHoldsAnyOfTheKeys) {
  key_ranges const keys = unite(key_ranges({0, 4}), key_ranges({300, 500}));
  EXPECT_EQ(detail::next_tile(keys, 0, 128), 0);
  EXPECT_EQ(detail::next_tile(keys, 128, 128), 256) << "nothing between sinks and window";
  EXPECT_EQ(detail::next_tile(keys, 384, 128), 384);
  EXPECT_EQ(detail::next_tile(keys, 512, 128), INT64_MAX);
  EXPECT_EQ(detail::next_tile(keys, 512, 512), INT64_MAX);
  EXPECT_EQ(detail::next_tile(keys, 0, 512), 0) << "both in one";
  EXPECT_EQ(detail::next_tile({}, 0, 128), INT64_MAX);
  EXPECT_EQ(detail::next_tile(key_ranges({-300, -200}), -1024, 128), -384);
}

TEST(TileGroup, ReachesWhatAnyOfItsTilesDoes) {
  detail::tile_group g;
  g.add({0, 4, 1, 0}, 0, key_ranges({0, 64}));
  g.add({4, 4, 1, 0}, 1, key_ranges({32, 128}));
  EXPECT_EQ(g.count, 2);
  EXPECT_EQ(g.any.hull(), (range{0, 128}));
  EXPECT_EQ(g.head[1], 1);
}

TEST(RunAhead, PartsOfTheNextKeyTileForTheTilesOfABlock) {
  problem const p({.q_len = 200, .kv_len = 200, .head_dim = 8});
  attention const call = p.call();
  attention_batch const batch(call);
  detail::item_walk<default_arch> walk(batch, INT64_MAX);
  ASSERT_TRUE(walk.next());
  work_item const& b = walk.at();
  ASSERT_GT(b.count, 1);
  detail::tile_group g;
  for (int i = 0; i < b.count; ++i) g.add(b.rows(call, i), b.head(i), key_ranges({0, 200}));
  index next = tile_keys;
  for (int i = 0; i < b.count; ++i) {
    kv_run const part = detail::run_ahead(call, g, i, {0, tile_keys});
    EXPECT_TRUE(part.rows == 0 || part.first == next);
    next += part.rows;
  }
  EXPECT_EQ(next, 200) << "all of them, and none behind";
  for (int i = 0; i < b.count; ++i) {
    EXPECT_EQ(detail::run_ahead(call, g, i, {tile_keys, 200}).rows, 0);
  }
}

TEST(RowsAhead, TheQueriesThatTakeATilesPlaceNextAndWhereItsResultsGo) {
  problem const p({.q_len = 400, .kv_len = 400, .head_dim = 8});
  answer const to(p.call());
  attention call = p.call();
  call.out = to.out.view;
  detail::tile_group g;
  for (int i = 0; i < 2; ++i) g.add({i * 48, 48, 1, 0}, 0, key_ranges({0, 400}));
  kv_run const ahead = detail::rows_ahead(call, g, 1);
  EXPECT_EQ(ahead.rows, 48);
  EXPECT_EQ(ahead.k.row(0), p.q.view.row(48 + 96, 0)) << "two tiles of 48 further on";
  EXPECT_EQ(ahead.v.row(0), to.out.view.row(48, 0));
  g.rows[1].first = 350;
  EXPECT_EQ(detail::rows_ahead(call, g, 1).k.row(0), p.q.view.row(352, 0)) << "no further than q";
}

}  // namespace
}  // namespace oriel::test
