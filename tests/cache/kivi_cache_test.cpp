// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/kivi_cache.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "cache_oracle.hpp"
#include "dice.hpp"

namespace oriel {
namespace {

using cache = kivi_cache<2, 16>;
static_assert(kv_source<cache> && is_cache<cache>);
static_assert(channel_groups<2, 32, f16>::row_bytes(128) == 32 + 16);
static_assert(kivi_cache<>::required_bytes({.window = 32, .kv_heads = 2, .head_dim = 128}) ==
              32 * 2 * 2 * 48 + 32 * 2 * 256 * 4);
static_assert(kivi_cache<>::required_bytes({.window = 33, .kv_heads = 2, .head_dim = 128}) ==
                  64 * 2 * 2 * 48 + 32 * 2 * 256 * 4,
              "whole groups");

/// A row of a position as the cache shows it.
std::vector<float> shown(kv_run const& run, stored_rows const& rows, index dim) {
  std::vector<float> to(static_cast<std::size_t>(dim));
  float const* const row = run.floats(rows, dim, to.data());
  return {row, row + dim};
}

TEST(KiviCache, NewestRowsAreFloatsAndOldOnesKeepTheirChannelsScale) {
  dice d(2);
  for (int round = 0; round < 60 && !testing::Test::HasFailure(); ++round) {
    cache_shape const shape{.window = d.between(index{1}, index{40}),
                            .kv_heads = d.between(index{1}, index{2}),
                            .head_dim = d.between(index{1}, index{40}),
                            .v_dim = d.between(index{1}, index{40}),
                            .margin = d.between(index{1}, index{5})};
    guarded_bytes memory(cache::required_bytes(shape));
    cache kept(memory.bytes(), shape);
    ASSERT_TRUE(kept.check().ok());
    EXPECT_EQ(kept.capacity() % 16, 0);
    index const first = d.pick(std::vector<index>{0, 5, 16, (index{1} << 40) + 3});
    std::vector<std::vector<float>> keys, values;  // [token][head * dim]
    for (int piece = 0; piece < 6; ++piece) {
      index const n = d.between(index{0}, index{50});
      std::vector<float> k(static_cast<std::size_t>(n * shape.kv_heads * shape.head_dim));
      std::vector<float> v(static_cast<std::size_t>(n * shape.kv_heads * *shape.v_dim));
      for (float& x : k) x = d.real();
      for (float& x : v) x = d.real();
      tensor_view<float const> const k_view(k.data(), n, shape.kv_heads, shape.head_dim);
      tensor_view<float const> const v_view(v.data(), n, shape.kv_heads, *shape.v_dim);
      ASSERT_TRUE(
          kept.append(k_view, v_view, keys.empty() ? std::optional(first) : std::nullopt).ok());
      for (index t = 0; t < n; ++t) {
        keys.emplace_back(k_view.row(t, 0), k_view.row(t, 0) + shape.kv_heads * shape.head_dim);
        values.emplace_back(v_view.row(t, 0), v_view.row(t, 0) + shape.kv_heads * *shape.v_dim);
      }
      ASSERT_TRUE(memory.intact());
      if (keys.empty()) continue;
      range const held = kept.positions();
      ASSERT_EQ(held.end, first + std::ssize(keys));
      EXPECT_LE(held.begin, max_of(first, held.end - (shape.window - 1 + shape.margin)));
      EXPECT_EQ(kept.lost(), (range{first, held.begin}));
      for (index p = held.begin; p < held.end; ++p) {
        for (index head = 0; head < shape.kv_heads; ++head) {
          kv_run const run = kept.run_at(head, p);
          ASSERT_GE(run.rows, 1);
          ASSERT_LE(p + run.rows, held.end);
          auto const key = shown(run, run.k, shape.head_dim);
          auto const value = shown(run, run.v, *shape.v_dim);
          auto const t = static_cast<std::size_t>(p - first);
          bool const is_fresh = p >= round_down(held.end, 16);
          EXPECT_EQ(kept.fresh().contains(p), is_fresh);
          for (index c = 0; c < shape.head_dim; ++c) {
            auto const at = static_cast<std::size_t>(head * shape.head_dim + c);
            if (is_fresh) {
              ASSERT_EQ(key[static_cast<std::size_t>(c)], keys[t][at]);
              continue;
            }
            float low = HUGE_VALF, high = -HUGE_VALF;  // of the channel in its group
            for (index g = max_of(first, round_down(p, 16)); g < round_down(p, 16) + 16; ++g) {
              low = std::min(low, keys[static_cast<std::size_t>(g - first)][at]);
              high = std::max(high, keys[static_cast<std::size_t>(g - first)][at]);
            }
            ASSERT_NEAR(key[static_cast<std::size_t>(c)], keys[t][at],
                        0.51f * (high - low) / 3.0f + 2e-3f);
          }
          for (index c = 0; c < *shape.v_dim; ++c) {
            auto const at = static_cast<std::size_t>(head * *shape.v_dim + c);
            float const error = std::abs(value[static_cast<std::size_t>(c)] - values[t][at]);
            ASSERT_LE(error, is_fresh ? 0.0f : 0.51f * 2.0f / 3.0f + 2e-3f);
          }
          // A run's other rows are those of its other positions.
          std::vector<float> all(static_cast<std::size_t>(run.rows * shape.head_dim));
          if (run.k.reader) {
            run.k.reader(run.slice(run.k, shape.head_dim), all.data());
            for (index i = 0; i < run.rows; ++i) {
              kv_run const other = kept.run_at(head, p + i);
              auto const expected = shown(other, other.k, shape.head_dim);
              auto const begin = all.begin() + i * shape.head_dim;
              ASSERT_TRUE(std::equal(expected.begin(), expected.end(), begin));
            }
          }
        }
      }
    }
  }
}

TEST(KiviCache, ChecksNameTheRule) {
  cache_shape const shape{.window = 20, .kv_heads = 2, .head_dim = 8};
  guarded_bytes memory(cache::required_bytes(shape));
  cache kept(memory.bytes(), shape);
  std::vector<float> const rows(64);
  tensor_view<float const> const k(rows.data(), 2, 2, 8), short_k(rows.data(), 2, 2, 7);
  EXPECT_EQ(cache(memory.bytes().first(64), shape).check().code, errc::memory);
  EXPECT_EQ(cache(memory.bytes(), {.window = 0, .head_dim = 8}).check().code, errc::shape);
  EXPECT_EQ(cache(memory.bytes(), {.window = 1, .head_dim = 5000}).check().code, errc::shape);
  EXPECT_EQ(kept.append(short_k, k).code, errc::shape);
  EXPECT_EQ(kept.append(k, k, -1).code, errc::position);
  EXPECT_TRUE(kept.append(k, k, 3).ok());
  EXPECT_EQ(kept.append(k, k, 3).code, errc::position);
  auto* const own = reinterpret_cast<float const*>(memory.bytes().data());
  EXPECT_EQ(kept.append(tensor_view<float const>(own, 1, 2, 8), k.slice({0, 1})).code, errc::alias);
  EXPECT_EQ(kept.positions(), (range{3, 5}));
  kept.clear();
  EXPECT_TRUE(kept.positions().empty());
}

}  // namespace
}  // namespace oriel
