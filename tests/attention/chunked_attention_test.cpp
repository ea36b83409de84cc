// SPDX-License-Identifier: BSL-1.0
// Llama 4's local attention through a ring of one chunk.
#include "oriel/attention/attend.hpp"
#include "oriel/cache/joined.hpp"
#include "oriel/cache/rolling_cache.hpp"
#include "oriel/mask/both.hpp"
#include "oriel/mask/chunked.hpp"
#include "problem.hpp"

namespace oriel::test {
namespace {

class ChunkedAttention : public testing::TestWithParam<index> {
 protected:
  index const chunk = GetParam();
  problem const of{{.q_len = 300, .kv_len = 300, .q_heads = 4, .kv_heads = 2, .head_dim = 24}};
  cache_shape const shape{.window = chunk, .kv_heads = 2, .head_dim = 24};

  attention call(kernel_choice kernel) const {
    attention all = of.call();
    all.mask = causal{} & chunked{chunk};
    all.kernel = kernel;
    return all;
  }
};

TEST_P(ChunkedAttention, EqualsTheDefinition) {
  expect_exact(call(kernel_choice::by_length), attend_anew(call(kernel_choice::by_length)));
}

/// Any pieces, straddling boundaries or not, through C slots: the bits of one call.
TEST_P(ChunkedAttention, PiecesThroughARingOfOneChunk) {
  attention const whole = call(kernel_choice::row_lanes);
  answer const want = attend_anew(whole);
  for (index const piece : {index{1}, index{3}, chunk, chunk + 1, index{100}}) {
    aligned_memory bytes(rolling_cache<f32>::required_bytes(shape));
    rolling_cache<f32> cache(bytes, shape);
    EXPECT_EQ(cache.capacity(), chunk);
    for (index at = 0; at < 300; at += piece) {
      range const part{at, min_of(at + piece, 300)};
      attention step = whole;
      step.q = of.q.view.slice(part);
      step.kv = joined(cache, of.k.view.slice(part), of.v.view.slice(part));
      ASSERT_EQ(attend_anew(step).bits(), want.bits(part)) << "from " << at << " by " << piece;
      ASSERT_TRUE(cache.append(of.k.view.slice(part), of.v.view.slice(part)).ok());
    }
  }
}

/// Decode across every boundary: written first, then attended, with a chunk's rows and no more.
TEST_P(ChunkedAttention, DecodeInAChunkSizedCache) {
  attention const whole = call(kernel_choice::by_length);
  aligned_memory bytes(rolling_cache<f32>::required_bytes(shape));
  rolling_cache<f32> cache(bytes, shape);
  for (index at = 0; at < 300; ++at) {
    range const one{at, at + 1};
    ASSERT_TRUE(cache.append(of.k.view.slice(one), of.v.view.slice(one)).ok());
    attention step = whole;
    step.q = of.q.view.slice(one);
    step.first_query = at;
    attention rolled = step;
    rolled.kv = cache;
    ASSERT_EQ(attend_anew(rolled).bits(), attend_anew(step).bits()) << at;
  }
}

INSTANTIATE_TEST_SUITE_P(Chunks, ChunkedAttention,
                         testing::Values(1, 2, 7, 64, 128, 299, 300, 301, 8192));

}  // namespace
}  // namespace oriel::test
