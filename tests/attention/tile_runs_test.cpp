// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/tile_runs.hpp"

#include "oriel/cache/paged.hpp"
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
  EXPECT_EQ(all.after(10, 5), 15);
  EXPECT_EQ(all.after(10, 10), 50) << "the first behind what is lost";
  EXPECT_EQ(all.after(15, 7), 52);
  EXPECT_EQ(all.after(10, 45), 85);
  EXPECT_EQ(all.after(60, 5), 65);
  EXPECT_EQ(all.after(90, 9), 99);
  EXPECT_EQ(all.after(90, 10), nobody_knows);
  detail::key_order const blocks{.held = {0, 100}, .lost = {}, .end = 32, .next = {64, 80}};
  EXPECT_EQ(blocks.after(16, 4), 20);
  EXPECT_EQ(blocks.after(16, 16), 64);
  EXPECT_EQ(blocks.after(31, 1), 64);
  EXPECT_EQ(blocks.after(31, 1000), 79) << "not further than the next keys";
  detail::key_order const last{.held = {0, 70}, .lost = {}, .end = 32, .next = {64, 80}};
  EXPECT_EQ(last.after(30, 8), nobody_knows) << "70 is not held";
  detail::key_order const over{
      .held = {0, 2000}, .lost = {20, 1000}, .end = 20, .next = {1000, 1024}};
  EXPECT_EQ(over.after(15, 10), 1005) << "what is lost lies behind the end";
  detail::key_order const negative{.held = {-100, 0}, .lost = {-60, -50}, .end = 0};
  EXPECT_EQ(negative.after(-70, 15), -45);
}

TEST(HeldPart, BeginsBehindWhatIsLost) {
  ring_of_ten const r;  // positions 25 to 34
  any_source const source = r.ring;
  EXPECT_EQ(detail::held_part(source, {0, 28}), (range{25, 28}));
  EXPECT_EQ(detail::held_part(source, {30, 60}), (range{30, 35}));
  EXPECT_TRUE(detail::held_part(source, {0, 20}).empty());
  problem const of({.kv_len = 35, .head_dim = 4});
  cache_shape const shape{.window = 10, .head_dim = 4, .sinks = 3};
  aligned_memory bytes(rolling_cache<f32>::required_bytes(shape));
  rolling_cache<f32> sinks(bytes.span(), shape);
  ASSERT_TRUE(sinks.append(of.k.view, of.v.view).ok());
  any_source const with_sinks = sinks;
  range const lost = with_sinks.lost();
  ASSERT_EQ(lost.begin, 3);
  EXPECT_EQ(detail::held_part(with_sinks, {0, 8}), (range{0, 8})) << "from the first on";
  EXPECT_EQ(detail::held_part(with_sinks, {8, 32}), (range{lost.end, 32}));
  EXPECT_TRUE(detail::held_part(with_sinks, {8, 16}).empty());
}

/// A row, and the distances from it at which in_parts has it ask for others.
struct asked_row {
  std::byte const* row;
  std::uintptr_t l2, l1;
};
/// All rows of head 0 of a source, in the order of positions; counts the parts.
std::vector<asked_row> asked_by(any_source const& source, stored_rows kv_run::*of,
                                lines_ahead bytes, index& parts) {
  range const held = source.positions();
  detail::key_order const order{.held = held, .lost = source.lost(), .end = held.end};
  std::vector<asked_row> all;
  detail::for_each_run(source, 0, held, nullptr, [&](kv_run const& run) {
    index next = run.first;
    detail::in_parts(source, order, run, of, bytes, [&](kv_run const& part) {
      EXPECT_EQ(part.first, next);
      EXPECT_GT(part.rows, 0);
      next += part.rows;
      ++parts;
      stored_rows const& rows = part.*of;
      for (index i = 0; i < part.rows; ++i) {
        all.push_back({rows.data + i * rows.stride, rows.ahead.l2, rows.ahead.l1});
      }
    });
    EXPECT_EQ(next, run.first + run.rows);
  });
  EXPECT_EQ(static_cast<index>(all.size()), held.size());
  return all;
}

std::uintptr_t address(void const* at) { return reinterpret_cast<std::uintptr_t>(at); }

TEST(InParts, EachRowAsksForTheOneThatIsReadThatManyRowsLater) {
  ring_of_ten const r;  // its runs end before 30, and are too short to be cut
  any_source const source = r.ring;
  for (auto const of : {&kv_run::k, &kv_run::v}) {
    for (index const ahead : {0, 1, 3, 5}) {
      index parts = 0;
      auto const rows = asked_by(
          source, of, {static_cast<std::uintptr_t>(ahead) * 4 * sizeof(float), 1 << 20}, parts);
      EXPECT_EQ(parts, 2);
      for (index const first : {25, 30}) {  // of the first row of each run
        asked_row const& row = rows[static_cast<std::size_t>(first - 25)];
        index const later = first + ahead;
        if (later < 35) {
          EXPECT_EQ(address(row.row) + row.l2, address((source.run_at(0, later).*of).data));
        } else {
          EXPECT_EQ(row.l2, static_cast<std::uintptr_t>(ahead) * 4 * sizeof(float));
        }
        EXPECT_EQ(row.l1, 0u) << "nothing near behind so few rows";
      }
    }
  }
}

TEST(InParts, RowsOfPagesAskForRowsOfLaterPages) {
  constexpr index page = 32, pages = 6, heads = 2, dim = 4;
  std::vector<float> k(pages * page * heads * dim), v(k.size());
  std::vector<std::int32_t> const table{3, 0, 5, 1, 4, 2};
  page_pool const pool{tensor_view<float>(k.data(), page, heads, dim),
                       tensor_view<float>(v.data(), page, heads, dim), pages, page * heads * dim,
                       page * heads * dim};
  any_source const source = paged(pool, table, pages * page);
  for (index const asked : {16, 17, 32, 70}) {
    index const ahead = round_up(asked, 16);
    index parts = 0;
    auto const rows = asked_by(
        source, &kv_run::v, {static_cast<std::uintptr_t>(asked) * dim * sizeof(float), 0}, parts);
    for (index at = 0; at + ahead < pages * page; ++at) {
      asked_row const& row = rows[static_cast<std::size_t>(at)];
      EXPECT_EQ(address(row.row) + row.l2, address(source.run_at(0, at + ahead).v.data))
          << "position " << at << ", " << ahead << " rows ahead";
    }
  }
}

TEST(InParts, ANearRowIsOneOfTheSameHead) {
  constexpr index tokens = 256, heads = 8, dim = 16;
  std::vector<float> k(tokens * heads * dim), v(k.size());
  any_source const source = contiguous(tensor_view<float const>(k.data(), tokens, heads, dim),
                                       tensor_view<float const>(v.data(), tokens, heads, dim));
  index parts = 0;
  auto const rows = asked_by(source, &kv_run::k, {32 * 64, 4 * 64}, parts);
  EXPECT_EQ(parts, 2) << "the last 32 rows have none 32 rows later";
  for (asked_row const& row : rows) {
    EXPECT_EQ(row.l2, 32u * heads * dim * sizeof(float));
    bool const is_last = address(row.row) >= address(k.data() + (tokens - 32) * heads * dim);
    EXPECT_EQ(row.l1, is_last ? 0u : 4u * heads * dim * sizeof(float));
  }
}

/// Where rows are asked for, in the order in which rows are read.
struct recorded_fetch {
  static inline std::vector<std::pair<std::byte const*, index>> rows_of;
  static inline index rows_asked = 0;
  recorded_fetch() = default;
  recorded_fetch(stored_rows const& rows, index count) { rows_of.emplace_back(rows.data, count); }
  static index turns_for(index rows) { return rows; }
  static void turns(index count) { rows_asked += count; }
};

TEST(InStreams, AsksForTheValuesWithTheKeysAndForTheNextKeysWithTheValues) {
  problem const p({.kv_len = 1100, .head_dim = 8});
  any_source const source = p.call().kv;
  detail::key_order const order{.held = {0, 1100}, .lost = {}, .end = 1100};
  auto const reads = [&](index first, index rows, stored_rows kv_run::*of) {
    recorded_fetch::rows_of.clear();
    recorded_fetch::rows_asked = 0;
    kv_run run = source.run_at(0, first);
    run.rows = rows;
    index next = first;
    detail::in_streams<recorded_fetch>(source, order, 512, run, of, [&](kv_run const& part) {
      EXPECT_EQ(part.first, next);
      EXPECT_EQ((part.*of).data, (source.run_at(0, next).*of).data);
      EXPECT_EQ(part.rows, min_of(16, first + rows - next));
      next += part.rows;
      EXPECT_EQ(recorded_fetch::rows_asked, next - first) << "before they are read";
    });
    EXPECT_EQ(next, first + rows);
    EXPECT_EQ(recorded_fetch::rows_asked, rows);
    return recorded_fetch::rows_of;
  };
  using asked = std::vector<std::pair<std::byte const*, index>>;
  EXPECT_EQ(reads(0, 512, &kv_run::k), (asked{{source.run_at(0, 0).v.data, 512}}));
  EXPECT_EQ(reads(0, 128, &kv_run::v), (asked{{source.run_at(0, 512).k.data, 128}}));
  EXPECT_EQ(reads(512, 128, &kv_run::v), (asked{{source.run_at(0, 1024).k.data, 76}}));
  EXPECT_EQ(reads(1024, 76, &kv_run::v), asked{}) << "nothing is read behind them";
}

}  // namespace
}  // namespace oriel::test
