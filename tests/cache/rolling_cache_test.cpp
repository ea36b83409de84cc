// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/rolling_cache.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <vector>

#include "cache_oracle.hpp"
#include "dice.hpp"

namespace oriel {
namespace {

using cache = rolling_cache<f32>;
constexpr index most = INT64_MAX;

static_assert(kv_source<cache> && is_cache<cache>);

TEST(RollingCacheBytes, AreExact) {
  struct test_case {
    cache_shape shape;
    index rows, bytes;
  };
  for (auto const& [shape, rows, bytes] : {
           test_case{{.window = 1, .head_dim = 1}, 1, 8},
           {{.window = 1, .head_dim = 64}, 1, 512},
           {{.window = 16, .kv_heads = 3, .head_dim = 64}, 16, 16 * 3 * 512},
           {{.window = 33, .kv_heads = 2, .head_dim = 10, .v_dim = 7}, 33, 33 * 2 * 68},
           {{.window = 33, .head_dim = 10, .margin = 8}, 40, 40 * 80},
           {{.window = 4096, .kv_heads = 8, .head_dim = 128}, 4096, 33'554'432},  // Mistral 7B
       }) {
    EXPECT_TRUE(shape.check().ok());
    EXPECT_EQ(shape.capacity(), rows);
    EXPECT_EQ(cache::required_bytes(shape), bytes);
  }
}

TEST(RollingCacheBytes, SaturateOrAreNoneForWhatMakesNoSense) {
  alignas(64) static std::byte bytes[64];
  struct test_case {
    cache_shape shape;
    errc made;
    index bytes;
    char const* what;
  };
  char const* const too_few = "cache bytes must hold rolling_cache::required_bytes(shape)";
  for (auto const& [shape, made, required, what] : {
           test_case{{.window = most, .head_dim = 1}, errc::memory, most, too_few},
           {{.window = most, .head_dim = 1, .margin = most}, errc::memory, most, too_few},
           {{.window = 2, .head_dim = 1, .margin = most}, errc::memory, most, too_few},
           {{.window = 1, .head_dim = most}, errc::memory, most, too_few},
           {{.window = 1, .head_dim = 1, .v_dim = most}, errc::memory, most, too_few},
           {{.window = 1, .kv_heads = most, .head_dim = 1}, errc::memory, most, too_few},
           {{.window = most, .kv_heads = most, .head_dim = most}, errc::memory, most, too_few},
           {{.window = index{1} << 60, .head_dim = 1}, errc::memory, most, too_few},
           {{.window = 3, .kv_heads = 3, .head_dim = 1}, errc::memory, 72, too_few},
           {{.window = 0, .head_dim = 1}, errc::shape, 0, "cache_shape.window must be at least 1"},
           {{.window = INT64_MIN, .head_dim = 1},
            errc::shape,
            0,
            "cache_shape.window must be at least 1"},
           {{.window = 1, .head_dim = 1, .margin = 0},
            errc::shape,
            0,
            "cache_shape.margin must be at least 1"},
           {{.window = 1, .kv_heads = 0, .head_dim = 1},
            errc::heads,
            0,
            "cache_shape.kv_heads must be at least 1"},
           {{.window = 1}, errc::shape, 0, "cache_shape.head_dim must be at least 1"},
           {{.window = 1, .head_dim = 1, .v_dim = 0},
            errc::shape,
            0,
            "cache_shape.v_dim must be at least 1"},
           {{}, errc::shape, 0, "cache_shape.window must be at least 1"},
       }) {
    EXPECT_EQ(cache::required_bytes(shape), required) << what;
    cache const c(bytes, shape);
    EXPECT_EQ(c.check().code, made) << what;
    EXPECT_STREQ(c.check().what, what);
  }
}

TEST(RollingCacheBytes, AreRefusedUnlessUsable) {
  alignas(64) static std::byte bytes[129];
  cache_shape const shape{.window = 4, .kv_heads = 2, .head_dim = 2};  // 128 bytes
  struct test_case {
    std::span<std::byte> bytes;
    errc code;
  };
  for (auto const& [memory, code] : {
           test_case{{bytes, 128}, errc::ok},
           {{bytes, 129}, errc::ok},
           {{bytes, 127}, errc::memory},
           {{bytes, 0}, errc::memory},
           {{}, errc::memory},
           {{bytes + 1, 128}, errc::alignment},
       }) {
    cache c(memory, shape);
    EXPECT_EQ(c.check().code, code) << memory.size();
    if (code == errc::ok) continue;
    // Unusable: append says why, and it holds and has lost nothing.
    std::vector<float> const rows(64, 1.0f);
    tensor_view<float const> const k(rows.data(), 5, 2, 2);
    EXPECT_EQ(c.append(k, k).code, code);
    EXPECT_TRUE(c.positions().empty());
    EXPECT_TRUE(c.lost().empty());
    for (std::byte b : bytes) EXPECT_EQ(b, std::byte{0});
  }
}

TEST(RollingCacheBytes, OfAShapeThatMakesNoSenseHoldNothing) {
  alignas(64) static std::byte bytes[64];
  for (cache_shape const& shape :
       {cache_shape{}, cache_shape{.window = -100, .head_dim = 1},
        cache_shape{.window = INT64_MIN, .head_dim = 1, .margin = 0},
        cache_shape{.window = INT64_MIN, .head_dim = 1, .margin = INT64_MIN}}) {
    cache const c(bytes, shape);
    EXPECT_FALSE(c.check().ok());
    EXPECT_TRUE(c.positions().empty());
    EXPECT_EQ(c.positions().end, 0);
    EXPECT_TRUE(c.lost().empty()) << c.lost().begin << " .. " << c.lost().end;
  }
}

TEST(RollingCache, EqualsAListOfRows) {
  dice d(1);
  for (int round = 0; round < 400 && !testing::Test::HasFailure(); ++round) {
    bool const own_v_dim = d.coin();
    cache_shape const shape{
        .window = d.between(index{1}, index{20}),
        .kv_heads = d.between(index{1}, index{3}),
        .head_dim = d.between(index{1}, index{9}),
        .v_dim = own_v_dim ? std::optional(d.between(index{1}, index{9})) : std::nullopt,
        .margin = d.coin() ? 1 : d.between(index{1}, index{7})};
    guarded_bytes memory(cache::required_bytes(shape));
    cache c(memory.bytes(), shape);
    ASSERT_TRUE(c.check().ok());
    row_list expected(shape);
    for (int step = 0; step < 30; ++step) {
      if (d.between(0, 19) == 0) {
        c.clear();
        expected.clear();
      }
      index const n = d.pick(std::vector<index>{0, 1, 1, 1, 2, d.between(index{0}, index{5}),
                                                d.between(index{0}, 3 * shape.capacity())});
      std::optional<index> first;
      if (expected.empty() && n > 0 && d.coin()) {
        first = d.pick(std::vector<index>{0, 5, index{1} << 24, index{1} << 31,
                                          (index{1} << 53) - 1, max_position - 2000});
      } else if (d.coin()) {
        first = expected.end();
      }
      random_rows const k(d, n, shape.kv_heads, shape.head_dim);
      random_rows const v(d, n, shape.kv_heads, shape.value_dim());
      ASSERT_TRUE(c.append(k.view(), v.view(), first).ok());
      expected.append(k.view(), v.view(), first);
      expect_equal(c, expected);
      ASSERT_TRUE(memory.intact());
    }
  }
}

TEST(RollingCache, AnySplitOfAPromptLeavesTheSameBytes) {
  dice d(2);
  cache_shape const shape{.window = 7, .kv_heads = 2, .head_dim = 3, .margin = 2};
  random_rows const k(d, 40, 2, 3), v(d, 40, 2, 3);
  guarded_bytes whole(cache::required_bytes(shape));
  cache at_once(whole.bytes(), shape);
  ASSERT_TRUE(at_once.append(k.view(), v.view()).ok());
  for (int round = 0; round < 100; ++round) {
    guarded_bytes memory(cache::required_bytes(shape));
    cache c(memory.bytes(), shape);
    for (index at = 0; at < 40;) {
      range const piece{at, std::min<index>(40, at + d.between(index{0}, index{17}))};
      ASSERT_TRUE(c.append(k.view().slice(piece), v.view().slice(piece)).ok());
      at = piece.end;
    }
    EXPECT_TRUE(std::equal(memory.bytes().begin(), memory.bytes().end(), whole.bytes().begin()));
    EXPECT_EQ(c.positions(), at_once.positions());
    EXPECT_EQ(c.lost(), at_once.lost());
  }
}

TEST(RollingCache, ARefusalChangesNothing) {
  dice d(3);
  cache_shape const shape{.window = 4, .kv_heads = 2, .head_dim = 3, .v_dim = 2};
  guarded_bytes memory(cache::required_bytes(shape));
  cache c(memory.bytes(), shape);
  random_rows const k(d, 6, 2, 3), v(d, 6, 2, 2);
  ASSERT_TRUE(c.append(k.view(), v.view(), 100).ok());
  std::vector<std::byte> const before(memory.bytes().begin(), memory.bytes().end());

  using view = tensor_view<float const>;
  view const one_k = k.view().slice({0, 1}), one_v = v.view().slice({0, 1});
  auto* const own = reinterpret_cast<float const*>(memory.bytes().data());
  float const* const end = own + memory.bytes().size() / sizeof(float);
  view const null(nullptr, 1, 2, 3), four_heads(own, 1, 4, 1), wide(own, 1, 2, 4);
  struct test_case {
    view k, v;
    std::optional<index> first;
    errc code;
  };
  for (auto const& [bad_k, bad_v, first, code] : {
           test_case{one_k, one_v, 105, errc::position},
           {one_k, one_v, 107, errc::position},
           {one_k, one_v, 0, errc::position},
           {one_k, one_v, -1, errc::position},
           {one_k, one_v, INT64_MIN, errc::position},
           {one_k, one_v, most, errc::position},
           {k.view().slice({0, 0}), v.view().slice({0, 0}), 105, errc::position},
           {k.view().slice({0, 2}), one_v, {}, errc::shape},
           {one_v, one_v, {}, errc::shape},
           {one_k, one_k, {}, errc::shape},
           {wide, one_v, {}, errc::shape},
           {four_heads, four_heads, {}, errc::heads},
           {{own, 1, 1, 3}, {own, 1, 1, 2}, {}, errc::heads},
           {{own, 1, 0, 3}, {own, 1, 0, 2}, {}, errc::heads},
           {null, one_v, {}, errc::memory},
           {one_k, {nullptr, 1, 2, 2}, {}, errc::memory},
           {{own, 1, 2, 3}, one_v, {}, errc::alias},
           {one_k, {own, 1, 2, 2}, {}, errc::alias},
           {{end - 1, 1, 2, 3}, one_v, {}, errc::alias},
           {one_k, {own - 3, 1, 2, 2}, {}, errc::alias},
           {{k.view().data, 2, 2, 3, most, 3}, v.view().slice({0, 2}), {}, errc::shape},
           {{k.view().data, most, 2, 3, 0, 3},
            {v.view().data, most, 2, 2, 0, 2},
            {},
            errc::position},
           {{k.view().data, max_position - 106, 2, 3, 0, 3},
            {v.view().data, max_position - 106, 2, 2, 0, 2},
            {},
            errc::position},
       }) {
    status const s = c.append(bad_k, bad_v, first);
    EXPECT_EQ(s.code, code) << s.what;
    EXPECT_EQ(c.positions(), (range{102, 106}));
    EXPECT_EQ(c.lost(), (range{100, 102}));
    EXPECT_TRUE(std::equal(before.begin(), before.end(), memory.bytes().begin())) << s.what;
  }
  EXPECT_TRUE(c.append(one_k, one_v, 106).ok()) << "and it is still usable";
}

TEST(RollingCache, FirstIsCheckedInAnEmptyCacheToo) {
  alignas(64) static std::byte bytes[64];
  cache_shape const shape{.window = 4, .head_dim = 2};
  float const row[2] = {1, 2};
  tensor_view<float const> const one(row, 1, 1, 2);
  for (index first : {INT64_MIN, -max_position, index{-1}, max_position - 1, max_position, most}) {
    cache c(bytes, shape);
    EXPECT_EQ(c.append(one, one, first).code, errc::position) << first;
    EXPECT_TRUE(c.append(one, one).ok());
    EXPECT_EQ(c.positions(), (range{0, 1}));
  }
  cache c(bytes, shape);
  EXPECT_TRUE(c.append(one, one, max_position - 3).ok());
  EXPECT_TRUE(c.append(one, one).ok());
  EXPECT_EQ(c.append(one, one).code, errc::position) << "no position is left";
  EXPECT_EQ(c.positions(), (range{max_position - 3, max_position - 1}));
}

TEST(RollingCache, NoRowsBeginNothing) {
  alignas(64) static std::byte bytes[64];
  cache_shape const shape{.window = 4, .head_dim = 2};
  std::vector<float> const rows(20);
  tensor_view<float const> const none(rows.data(), 0, 1, 2), two(rows.data(), 2, 1, 2);
  {
    cache c(bytes, shape);
    ASSERT_TRUE(c.append(none, none, 5).ok());
    EXPECT_TRUE(c.positions().empty());
    EXPECT_TRUE(c.lost().empty());
    ASSERT_TRUE(c.append(two, two, 9).ok()) << "an empty cache takes any first";
    EXPECT_EQ(c.positions(), (range{9, 11}));
    EXPECT_TRUE(c.lost().empty()) << "5 .. 9 were never held";
  }
  {
    cache c(bytes, shape);
    ASSERT_TRUE(c.append(two, two).ok());
    ASSERT_TRUE(c.append(none, none).ok());
    ASSERT_TRUE(c.append(none, none, 2).ok());
    EXPECT_EQ(c.append(none, none, 3).code, errc::position);
    EXPECT_EQ(c.positions(), (range{0, 2}));
  }
  {  // "else the position after the last one kept, or 0": no row is kept
    cache c(bytes, shape);
    ASSERT_TRUE(c.append(none, none, 5).ok());
    ASSERT_TRUE(c.append(two, two).ok());
    EXPECT_EQ(c.positions(), (range{0, 2}));
  }
}

TEST(RollingCache, APromptOfAnyLengthFromARepeatedRow) {
  // 2^40 tokens that are one row in memory: only the last `capacity` are written.
  alignas(64) static std::byte bytes[64];
  cache c(bytes, {.window = 4, .head_dim = 2});
  float const row[2] = {3, 4};
  constexpr index n = index{1} << 40;
  tensor_view<float const> const many(row, n, 1, 2, 0, 2);
  ASSERT_TRUE(c.append(many, many).ok());
  EXPECT_EQ(c.positions(), (range{n - 4, n}));
  EXPECT_EQ(c.lost(), (range{0, n - 4}));
  for (index p = n - 4; p < n; ++p) EXPECT_EQ(c.run_at(0, p).v.row(0)[1], 4.0f);
}

TEST(RollingCache, OverlapsItsBytesAndNoOthers) {
  cache_shape const shape{.window = 3, .kv_heads = 2, .head_dim = 2};
  guarded_bytes memory(cache::required_bytes(shape));
  cache const c(memory.bytes(), shape);
  auto* const own = reinterpret_cast<float*>(memory.bytes().data());
  auto const size = static_cast<index>(memory.bytes().size() / sizeof(float));
  EXPECT_TRUE(c.overlaps({own, 1, 1, 1}));
  EXPECT_TRUE(c.overlaps({own + size - 1, 1, 1, 1}));
  EXPECT_FALSE(c.overlaps({own - 1, 1, 1, 1}));
  EXPECT_FALSE(c.overlaps({own + size, 1, 1, 1}));
  EXPECT_FALSE(c.overlaps({own, 0, 1, 1}));
}

}  // namespace
}  // namespace oriel
