// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/bounds.hpp"

#include "oriel/cache/rolling_cache.hpp"
#include "oriel/select/listed_blocks.hpp"
#include "problem.hpp"

namespace oriel::test {
namespace {

TEST(Bounds, OfABatchAreSumsOfQueriesAndMaximaOfKeys) {
  attention_case const c{.q_len = 5, .kv_len = 70, .q_heads = 4, .kv_heads = 2, .head_dim = 8};
  problem const p(c);
  attention calls[2] = {p.call(), p.call()};
  calls[1].q = p.q.view.slice({0, 3});
  calls[1].kv = contiguous(p.k.view.slice({0, 90 - 20}), p.v.view);
  attend_bounds const b = bounds_of(calls);
  EXPECT_EQ(b.sequences, 2);
  EXPECT_EQ(b.q_len, 8);
  EXPECT_EQ(b.kv_len, 70);
  EXPECT_EQ(b.q_heads, 4);
  EXPECT_EQ(b.kv_heads, 2);
  EXPECT_EQ(b.head_dim, 8);
  EXPECT_EQ(b.value_dim(), 8);
  EXPECT_EQ(b.chosen_blocks, 0);
  EXPECT_FALSE(b.coded);
  EXPECT_FALSE(b.narrow_q);
}

TEST(Bounds, OfARingAreItsCapacityWhateverHasGoneBy) {
  cache_shape const shape{.window = 16, .head_dim = 8, .margin = 3, .sinks = 2};
  aligned_memory bytes(rolling_cache<bf16>::required_bytes(shape));
  rolling_cache<bf16> cache(bytes, shape);
  problem const p({.q_len = 1, .kv_len = 100, .head_dim = 8});
  ASSERT_TRUE(cache.append(p.k.view, p.v.view).ok());
  attention call = p.call();
  call.kv = cache;
  EXPECT_EQ(bounds_of(call).kv_len, shape.capacity());
  EXPECT_TRUE(bounds_of(call).coded);
}

TEST(Bounds, OfASelectorAndOfNarrowQueries) {
  problem const p({.q_len = 4, .kv_len = 64, .head_dim = 8});
  narrow_tensor<bf16> const q(p.q.view);
  std::int32_t list[3] = {};
  attention call = p.call();
  call.q = q.view;
  call.select = listed_blocks{8, {list, 4, 1, 3, 0, 0}, 36};
  EXPECT_EQ(bounds_of(call).chosen_blocks, 3);
  EXPECT_TRUE(bounds_of(call).narrow_q);
}

TEST(Bounds, OfAnEmptyBatchMakeAPlan) {
  attend_bounds const b = bounds_of(std::span<attention const>());
  EXPECT_EQ(b.sequences, 0);
  EXPECT_EQ(b.q_len, 0);
  EXPECT_TRUE(plan_attend(b).check().ok());
}

}  // namespace
}  // namespace oriel::test
