// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/attend_block.hpp"

#include "oriel/cache/rolling_cache.hpp"
#include "problem.hpp"

namespace oriel::test {
namespace {

using detail::block;

/// A ring of 10 slots that holds positions 25 to 34: runs end before 30.
struct ring_of_ten {
  problem of{{.kv_len = 35, .head_dim = 4}};
  cache_shape shape{.window = 10, .head_dim = 4};
  aligned_memory bytes{rolling_cache<f32>::required_bytes(shape)};
  rolling_cache<f32> ring{bytes.span(), shape};
  ring_of_ten() { EXPECT_TRUE(ring.append(of.k.view, of.v.view).ok()); }
};

TEST(ForEachRun, YieldsTheKeysThatSomeRowSeesInRunsOfTheSource) {
  ring_of_ten const r;
  any_source const source = r.ring;
  auto const keys_of = [&](std::uint64_t const* word) {
    std::vector<std::pair<index, index>> runs;
    detail::for_each_run(source, 0, {26, 34}, word, [&](kv_run const& run) {
      runs.emplace_back(run.first, run.rows);
      EXPECT_EQ(run.k.data, source.run_at(0, run.first).k.data);
    });
    return runs;
  };
  using runs = std::vector<std::pair<index, index>>;
  EXPECT_EQ(keys_of(nullptr), (runs{{26, 4}, {30, 4}}));
  std::uint64_t const some[] = {0, 1, 2, 0, 0, 4, 0, 1};  // of 26, 27, ..., 33
  EXPECT_EQ(keys_of(some), (runs{{27, 2}, {31, 1}, {33, 1}}));
  std::uint64_t const none[8] = {};
  EXPECT_EQ(keys_of(none), runs{});
}

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

TEST(RunAhead, TheKeysThatADecodeBlockScoresNext) {
  problem const p({.kv_len = 300, .q_heads = 2, .kv_heads = 2, .head_dim = 8});
  attention const call = p.call();
  attention_batch const batch(call);
  detail::block_walk<default_arch> walk(batch, INT64_MAX);
  ASSERT_TRUE(walk.next());
  ASSERT_EQ(walk.at().count, 2);
  detail::tile_group g{.decode = true};
  for (int i = 0; i < 2; ++i) g.add(walk.at().rows(call, i), i, key_ranges({0, 300}));
  range const tile{0, tile_keys};
  kv_run const other_head = detail::run_ahead(call, g, 0, tile);
  EXPECT_EQ(other_head.k.data, call.kv.run_at(1, 0).k.data);
  EXPECT_EQ(other_head.rows, tile_keys);
  kv_run const next_tile = detail::run_ahead(call, g, 1, tile);
  EXPECT_EQ(next_tile.k.data, call.kv.run_at(0, tile_keys).k.data);
  kv_run const rest = detail::run_ahead(call, g, 1, {128, 256});
  EXPECT_EQ(rest.rows, 300 - 256);
}

}  // namespace
}  // namespace oriel::test
