// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/block_means.hpp"

#include <gtest/gtest.h>

#include "tensors.hpp"

namespace oriel::test {
namespace {

block_shape const shape{.block = 5, .blocks = 3, .kv_heads = 2, .head_dim = 7};

struct kept {
  aligned_memory bytes{block_means::required_bytes(shape)};
  block_means means{bytes, shape};
};

TEST(BlockMeans, BytesAreCounted) {
  EXPECT_EQ(block_means::required_bytes(shape), (3 + 1) * 2 * 7 * 4);
  EXPECT_EQ(block_means::required_bytes({.block = 0, .blocks = 1, .head_dim = 1}), 0);
  EXPECT_EQ(block_means::required_bytes({.block = 1, .blocks = INT64_MAX, .head_dim = 9}),
            INT64_MAX);
}

TEST(BlockMeans, AreTheMeansOfTheLatestCompleteBlocks) {
  tensor const k = tensor(33, 2, 7, layout::padded).filled(1);
  for (index const piece : {index{1}, index{4}, index{5}, index{33}}) {
    kept own;
    for (index at = 0; at < 33; at += piece) {
      ASSERT_TRUE(own.means.append(k.view.slice({at, min_of(at + piece, 33)})).ok());
    }
    EXPECT_EQ(own.means.positions(), (range{0, 33}));
    EXPECT_EQ(own.means.held(), (range{3, 6})) << "6 are complete, 3 are kept";
    for (index b = 3; b < 6; ++b) {
      for (index head = 0; head < 2; ++head) {
        for (index d = 0; d < 7; ++d) {
          float sum = 0.0f;  // in order of position
          for (index t = 5 * b; t < 5 * b + 5; ++t) sum += k.view.row(t, head)[d];
          EXPECT_EQ(own.means.mean(head, b)[d], sum * (1.0f / 5.0f)) << "pieces of " << piece;
        }
      }
    }
    EXPECT_TRUE(own.bytes.is_untouched_behind());
  }
}

TEST(BlockMeans, ASequenceMayBeginInABlock) {
  tensor const k = tensor(10, 2, 7).filled(2);
  kept own;
  ASSERT_TRUE(own.means.append(k.view, 13).ok());
  EXPECT_EQ(own.means.held(), (range{3, 4})) << "block 2 is not whole";
  EXPECT_EQ(own.means.append(k.view, 24).code, errc::position);
  own.means.clear();
  EXPECT_TRUE(own.means.held().empty());
  EXPECT_TRUE(own.means.append(k.view, 0).ok());
}

TEST(BlockMeans, SayWhatIsWrong) {
  kept own;
  tensor const k = tensor(3, 2, 7).filled(2);
  tensor const heads = tensor(3, 1, 7).filled(2);
  tensor const dims = tensor(3, 2, 6).filled(2);
  EXPECT_EQ(own.means.append(heads.view).code, errc::heads);
  EXPECT_EQ(own.means.append(dims.view).code, errc::shape);
  EXPECT_EQ(own.means.append(k.view, -1).code, errc::position);
  EXPECT_EQ(own.means.append(k.view, max_position - 2).code, errc::position);
  auto* const inside = reinterpret_cast<float const*>(own.bytes.span().data());
  EXPECT_EQ(own.means.append({inside, 1, 2, 7}).code, errc::alias);
  EXPECT_TRUE(own.means.positions().empty()) << "nothing was taken";
  EXPECT_EQ(block_means(own.bytes.span().first(16), shape).check().code, errc::memory);
  EXPECT_EQ(block_means({}, shape).check().code, errc::memory);
  EXPECT_EQ(block_means(own.bytes.span().subspan(4), {.block = 1, .blocks = 1, .head_dim = 1})
                .check()
                .code,
            errc::alignment);
  block_means broken(own.bytes, {.block = 0, .blocks = 1, .head_dim = 1});
  EXPECT_EQ(broken.check().code, errc::shape);
  EXPECT_EQ(broken.append(k.view).code, errc::shape);
}

}  // namespace
}  // namespace oriel::test
