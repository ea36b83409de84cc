// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/attention.hpp"

#include "problem.hpp"

namespace oriel::test {
namespace {

TEST(Attention, DefaultsOfTheCall) {
  problem const p({.q_len = 5, .kv_len = 7, .q_heads = 4, .kv_heads = 2, .head_dim = 8});
  attention call{.q = p.q.view, .kv = contiguous(p.k.view, p.v.view)};
  EXPECT_EQ(call.queries(), (range{2, 7})) << "the last query sits at the last key";
  EXPECT_FLOAT_EQ(call.used_scale(), 1.0f / std::sqrt(8.0f));
  EXPECT_EQ(call.heads().group(), 2);
  EXPECT_TRUE(call.mask.visible(2, 6)) << "not causal by itself";
  EXPECT_FALSE(call.score);
  EXPECT_FALSE(call.select);
  call.first_query = -3;
  call.scale = 0.25f;
  EXPECT_EQ(call.queries(), (range{-3, 2}));
  EXPECT_EQ(call.used_scale(), 0.25f);
}

}  // namespace
}  // namespace oriel::test
