// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/tile_runs.hpp"

#include "oriel/cache/rolling_cache.hpp"
#include "problem.hpp"

namespace oriel::test {
namespace {

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

TEST(KeyOrder, FollowsThePositionsThatAreHeldUpToTheEndAndThenTheNextKeys) {
  constexpr index nobody_knows = INT64_MAX;
  detail::key_order const all{.held = {10, 100}, .lost = {20, 50}, .end = 100};
  EXPECT_EQ(all.behind(10, 5), 15);
  EXPECT_EQ(all.behind(10, 10), 50) << "the first behind what is lost";
  EXPECT_EQ(all.behind(15, 7), 52);
  EXPECT_EQ(all.behind(90, 9), 99);
  EXPECT_EQ(all.behind(90, 10), nobody_knows);
  detail::key_order const blocks{.held = {0, 100}, .lost = {}, .end = 32, .next = {64, 80}};
  EXPECT_EQ(blocks.behind(16, 4), 20);
  EXPECT_EQ(blocks.behind(16, 16), 64);
  EXPECT_EQ(blocks.behind(31, 1), 64);
  EXPECT_EQ(blocks.behind(31, 1000), 79) << "not further than the next keys";
  detail::key_order const last{.held = {0, 70}, .lost = {}, .end = 32, .next = {64, 80}};
  EXPECT_EQ(last.behind(30, 8), nobody_knows) << "70 is not held";
}

TEST(InParts, EachRowOfAPartAsksForTheOneThatIsReadThatManyRowsLater) {
  ring_of_ten const r;  // its runs end before 30
  any_source const source = r.ring;
  detail::key_order const order{.held = source.positions(), .lost = source.lost(), .end = 35};
  auto const address = [](void const* at) { return reinterpret_cast<std::uintptr_t>(at); };
  for (auto const of : {&kv_run::k, &kv_run::v}) {
    for (index const ahead : {0, 1, 3, 7, 112}) {
      kv_run const run = source.run_at(0, 25);
      ASSERT_EQ(run.rows, 5);
      lines_ahead const bytes{static_cast<std::uintptr_t>(ahead * run.k.bytes), 1 << 20};
      index next = run.first;
      detail::in_parts(source, order, run, of, bytes, [&](kv_run const& part) {
        ASSERT_EQ(part.first, next);
        ASSERT_GT(part.rows, 0);
        stored_rows const& rows = part.*of;
        EXPECT_EQ(rows.ahead.l1, 0u) << "nothing near behind so few rows";
        for (index i = 0; i < part.rows; ++i) {
          index const later = next + i + ahead;
          std::uintptr_t const asked = address(rows.data + i * rows.stride) + rows.ahead.l2;
          auto const expected = later < 35 ? address((source.run_at(0, later).*of).data)
                                           : address(rows.data + i * rows.stride) +
                                                 static_cast<std::uintptr_t>(ahead * rows.stride);
          EXPECT_EQ(asked, expected) << "position " << next + i << ", ahead " << ahead;
        }
        next += part.rows;
      });
      EXPECT_EQ(next, 30) << "all rows of the run";
    }
  }
}

/// Where rows are asked for, in the order in which rows are read.
struct recorded_fetch {
  static inline std::vector<std::pair<std::byte const*, index>> rows_of;
  static inline index lines_asked = 0;
  recorded_fetch() = default;
  recorded_fetch(stored_rows const& rows, index count) { rows_of.emplace_back(rows.data, count); }
  static index lines_in(index rows) { return rows; }
  static void lines(index count) { lines_asked += count; }
};

TEST(InStreams, AsksForTheValuesWithTheKeysAndForTheNextKeysWithTheValues) {
  problem const p({.kv_len = 300, .head_dim = 8});
  any_source const source = p.call().kv;
  detail::key_order const order{.held = {0, 300}, .lost = {}, .end = 300};
  auto const reads = [&](index first, index rows, stored_rows kv_run::*of) {
    recorded_fetch::rows_of.clear();
    recorded_fetch::lines_asked = 0;
    kv_run run = source.run_at(0, first);
    run.rows = rows;
    index next = first;
    detail::in_streams<recorded_fetch>(source, order, run, of, [&](kv_run const& part) {
      EXPECT_EQ(part.first, next);
      EXPECT_EQ((part.*of).data, (source.run_at(0, next).*of).data);
      next += part.rows;
    });
    EXPECT_EQ(next, first + rows);
    EXPECT_EQ(recorded_fetch::lines_asked, rows);
    return recorded_fetch::rows_of;
  };
  using asked = std::vector<std::pair<std::byte const*, index>>;
  EXPECT_EQ(reads(0, 128, &kv_run::k), (asked{{source.run_at(0, 0).v.data, 128}}));
  EXPECT_EQ(reads(0, 128, &kv_run::v), (asked{{source.run_at(0, 128).k.data, 128}}));
  EXPECT_EQ(reads(128, 128, &kv_run::v), (asked{{source.run_at(0, 256).k.data, 44}}));
  EXPECT_EQ(reads(256, 44, &kv_run::v), asked{}) << "nothing is read behind them";
}

}  // namespace
}  // namespace oriel::test
