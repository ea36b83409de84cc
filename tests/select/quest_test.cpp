// SPDX-License-Identifier: BSL-1.0
#include "oriel/select/quest.hpp"

#include <gtest/gtest.h>

#include "tensors.hpp"

namespace oriel::test {
namespace {

/// A block whose keys cancel in their mean still promises its largest element.
TEST(Quest, TakesTheBlockWithTheLargestBound) {
  block_shape const shape{.block = 2, .blocks = 8, .kv_heads = 1, .head_dim = 1};
  aligned_memory bytes(block_bounds::required_bytes(shape));
  block_bounds bounds(bytes, shape);
  float const keys[] = {1, 1, 9, -9, 2, 2, 3, -1, 0};
  ASSERT_TRUE(bounds.append({keys, 9, 1, 1}).ok());
  float row[16] = {1.0f};
  auto const chosen = [&](index top_k) {
    std::vector<index> to(static_cast<std::size_t>(top_k));
    to.resize(static_cast<std::size_t>(
        quest(bounds, top_k).choose({.q = row, .position = 8, .keys = {0, 9}}, to.data())));
    return to;
  };
  using list = std::vector<index>;
  EXPECT_EQ(chosen(1), (list{4})) << "the own block, which is not complete";
  EXPECT_EQ(chosen(2), (list{1, 4}));
  EXPECT_EQ(chosen(3), (list{1, 3, 4}));
  EXPECT_EQ(chosen(4), (list{1, 2, 3, 4}));
  row[0] = -1.0f;  // now the least count
  EXPECT_EQ(chosen(3), (list{1, 3, 4}));
  EXPECT_EQ(quest(bounds, 3).dense_before(), 6);
}

}  // namespace
}  // namespace oriel::test
