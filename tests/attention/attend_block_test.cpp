// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/attend_block.hpp"

#include "problem.hpp"

namespace oriel::test {
namespace {

using detail::block;

TEST(RunAhead, PartsOfTheNextKeyTileForTheTilesOfABlock) {
  problem const p({.q_len = 200, .kv_len = 200, .head_dim = 8});
  attention const call = p.call();
  attention_batch const batch(call);
  detail::block_walk<default_arch> walk(batch, INT64_MAX);
  ASSERT_TRUE(walk.next());
  block const& b = walk.at();
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

}  // namespace
}  // namespace oriel::test
