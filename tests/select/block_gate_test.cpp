// SPDX-License-Identifier: BSL-1.0
#include "oriel/select/block_gate.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "tensors.hpp"

namespace oriel::test {
namespace {

template <class Kind>
double exact(Kind, float const* q, float const* block, index dim) {
  double sum = 0.0;
  for (index d = 0; d < dim; ++d) {
    if constexpr (std::is_same_v<Kind, mean_of_keys>) {
      sum += static_cast<double>(q[d]) * block[d];
    } else {
      sum += std::max(static_cast<double>(q[d]) * block[d],
                      static_cast<double>(q[d]) * block[dim + d]);
    }
  }
  return sum;
}

template <class Kind>
class BlockGate : public testing::Test {};
using kinds = testing::Types<mean_of_keys, bounds_of_keys>;
TYPED_TEST_SUITE(BlockGate, kinds);

/// Any number of rows and blocks, any dimension: exact, in order, and the bits of a gate alone.
TYPED_TEST(BlockGate, EqualsTheDefinitionWhateverStandsBeside) {
  for (index const dim : {1, 3, 16, 33, 80}) {
    tensor const k = tensor(40 * 3, 2, dim).filled(1);
    tensor const q = tensor(7, 1, dim).filled(2);
    block_shape const shape{.block = 3, .blocks = 32, .kv_heads = 2, .head_dim = dim};
    aligned_memory bytes(block_summary<TypeParam>::required_bytes(shape));
    block_summary<TypeParam> of(bytes, shape);
    ASSERT_TRUE(of.append(k.view).ok());
    ASSERT_EQ(of.held(), (range{8, 40}));
    for (int count = 1; count <= 7; ++count) {
      float const* rows[7];
      for (int r = 0; r < 7; ++r) rows[r] = q.view.row(r, 0);
      for (range const blocks : {range{8, 40}, {13, 14}, {30, 37}, {20, 20}}) {
        index next[7];
        std::fill_n(next, 7, blocks.begin);
        for_each_gate<default_arch>(of, 1, rows, count, blocks, [&](int r, index b, float gate) {
          ASSERT_LT(r, count);
          ASSERT_EQ(b, next[r]++);
          double const want = exact(TypeParam{}, rows[r], of.of(1, b), dim);
          ASSERT_NEAR(gate, want, 1e-6 * std::max(1.0, std::sqrt(dim)) * 4);
          float alone = 0.0f;
          for_each_gate<default_arch>(of, 1, &rows[r], 1, {b, b + 1},
                                      [&](int, index, float x) { alone = x; });
          ASSERT_EQ(gate, alone);
        });
        for (int r = 0; r < count; ++r) ASSERT_EQ(next[r], max_of(blocks.begin, blocks.end));
      }
    }
  }
}

TEST(BlockGate, NoProductExceedsABound) {
  tensor const k = tensor(400, 1, 33).filled(5);
  tensor const q = tensor(20, 1, 33).filled(6);
  block_shape const shape{.block = 8, .blocks = 50, .kv_heads = 1, .head_dim = 33};
  aligned_memory bytes(block_bounds::required_bytes(shape));
  block_bounds of(bytes, shape);
  ASSERT_TRUE(of.append(k.view).ok());
  for (index t = 0; t < 20; ++t) {
    float const* const row = q.view.row(t, 0);
    for_each_gate<default_arch>(of, 0, &row, 1, of.held(), [&](int, index b, float bound) {
      for (index key = 8 * b; key < 8 * b + 8; ++key) {
        double product = 0.0;
        for (index d = 0; d < 33; ++d)
          product += static_cast<double>(row[d]) * k.view.row(key, 0)[d];
        EXPECT_LE(product, static_cast<double>(bound) + 1e-5);
      }
    });
  }
}

}  // namespace
}  // namespace oriel::test
