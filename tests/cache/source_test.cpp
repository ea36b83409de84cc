// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/source.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "oriel/cache/contiguous.hpp"
#include "oriel/cache/joined.hpp"
#include "oriel/cache/rolling_cache.hpp"

namespace oriel {
namespace {

using cache = rolling_cache<>;

static_assert(kv_source<any_source> && kv_source<cache> && kv_source<joined<cache>>);
static_assert(!kv_source<int> && !kv_source<kv_run>);
static_assert(is_cache<cache> && !is_cache<contiguous> && !is_cache<joined<cache>>);

// A cache is referred to, so a temporary one is refused; a view is copied.
static_assert(std::is_constructible_v<any_source, cache&>);
static_assert(std::is_constructible_v<any_source, cache const&>);
static_assert(!std::is_constructible_v<any_source, cache>);
static_assert(!std::is_constructible_v<any_source, cache const>);
static_assert(std::is_constructible_v<any_source, contiguous>);
static_assert(std::is_constructible_v<any_source, joined<cache>>);
static_assert(std::is_trivially_copyable_v<any_source>);
static_assert(!std::is_constructible_v<any_source, tensor_view<float>>);

TEST(AnySource, CopiesAView) {
  float room[48] = {};
  auto view = std::make_unique<contiguous>(tensor_view<float const>(room, 3, 2, 4),
                                           tensor_view<float const>(room + 24, 3, 2, 4), 10);
  any_source const source = *view;
  any_source const copy = source;
  view.reset();
  for (any_source const& s : {source, copy}) {
    EXPECT_TRUE(s.check().ok());
    EXPECT_EQ(s.shape(), (kv_shape{2, 4, 4}));
    EXPECT_EQ(s.positions(), (range{10, 13}));
    EXPECT_TRUE(s.lost().empty());
    EXPECT_EQ(s.run_at(1, 11).k.row(0), room + 12);
    EXPECT_EQ(s.run_at(1, 11).rows, 2);
    EXPECT_TRUE(s.overlaps({room + 47, 1, 1, 1}));
    EXPECT_FALSE(s.overlaps({room + 48, 1, 1, 1}));
  }
}

TEST(AnySource, PassesTheCheckOn) {
  float room[8] = {};
  tensor_view<float const> const one(room, 1, 1, 4), two(room, 2, 1, 4);
  EXPECT_EQ(any_source(contiguous(one, two)).check().code, errc::shape);
  cache const unusable({}, {.window = 4, .head_dim = 2});
  EXPECT_EQ(any_source(unusable).check().code, errc::memory);
}

TEST(AnySource, SeesACacheAsItIsWhenAsked) {
  cache_shape const shape{.window = 3, .head_dim = 2};
  alignas(storage_alignment) std::byte bytes[64];
  ASSERT_LE(cache::required_bytes(shape), 64);
  cache layer(bytes, shape);
  any_source const source = layer;
  EXPECT_TRUE(source.positions().empty());
  std::vector<float> const rows{0, 1, 2, 3, 4, 5, 6, 7};
  tensor_view<float const> const k(rows.data(), 4, 1, 2);
  ASSERT_TRUE(layer.append(k, k).ok());
  EXPECT_EQ(source.positions(), (range{1, 4}));
  EXPECT_EQ(source.lost(), (range{0, 1}));
  EXPECT_EQ(source.run_at(0, 3).k.row(0)[1], 7.0f);
  EXPECT_TRUE(source.overlaps({reinterpret_cast<float*>(bytes), 1, 1, 1}));
  layer.clear();
  EXPECT_TRUE(source.positions().empty());
  EXPECT_TRUE(source.lost().empty());
}

}  // namespace
}  // namespace oriel
