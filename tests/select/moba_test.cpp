// SPDX-License-Identifier: BSL-1.0
#include "oriel/select/moba.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tensors.hpp"

namespace oriel::test {
namespace {

/// Keys of one head and dimension whose means are given, blocks of 4.
struct kept {
  block_shape shape;
  aligned_memory bytes;
  block_means means;

  explicit kept(std::vector<float> const& gates, index kept_blocks = 100)
      : shape{.block = 4, .blocks = kept_blocks, .kv_heads = 1, .head_dim = 1},
        bytes(block_means::required_bytes(shape)),
        means(bytes, shape) {
    for (float const gate : gates) {
      float const keys[] = {gate, gate, gate, gate};
      EXPECT_TRUE(means.append({keys, 4, 1, 1}).ok());
    }
  }
  std::vector<index> chosen(index top_k, index position, range keys = {0, 1000},
                            float q = 1.0f) const {
    std::vector<index> to(static_cast<std::size_t>(top_k));
    std::vector<float> row(16, 0.0f);  // g++ 12 warns of masked loads from less than a register
    row[0] = q;
    index const count =
        moba(means, top_k).choose({.q = row.data(), .position = position, .keys = keys}, to.data());
    to.resize(static_cast<std::size_t>(count));
    return to;
  }
};
using list = std::vector<index>;

TEST(Moba, ChoosesTheOwnBlockAndTheBestBeforeIt) {
  kept const k({1, 5, 3, 4, 9, 2});
  EXPECT_EQ(k.chosen(3, 24), (list{1, 4, 6}));
  EXPECT_EQ(k.chosen(3, 19), (list{1, 3, 4})) << "blocks behind the own one take no part";
  EXPECT_EQ(k.chosen(3, 24, {0, 1000}, -1.0f), (list{0, 5, 6}));
  EXPECT_EQ(k.chosen(1, 24), (list{6})) << "top-1 is the own block only";
  EXPECT_EQ(k.chosen(9, 24), (list{0, 1, 2, 3, 4, 5, 6})) << "fewer than top-k";
  EXPECT_EQ(k.chosen(3, 0), (list{0}));
}

TEST(Moba, OfEqualGatesTheEarlier) {
  kept const k({2, 7, 7, 7, 2, 7});
  EXPECT_EQ(k.chosen(3, 24), (list{1, 2, 6}));
  EXPECT_EQ(k.chosen(6, 24), (list{0, 1, 2, 3, 5, 6}));
}

TEST(Moba, WhatARingHasBegunToOverwriteIsOutOfReach) {
  kept const k({9, 9, 3, 4, 1, 2});
  EXPECT_EQ(k.chosen(3, 24, {5, 25}), (list{2, 3, 6})) << "block 1 begins at 4";
  kept const few({9, 9, 3, 4, 1, 2}, 2);
  EXPECT_EQ(few.chosen(3, 24), (list{4, 5, 6})) << "means that are kept no more";
}

TEST(Moba, EqualsASortOfAllGates) {
  random_numbers random(3);
  tensor const k = tensor(400, 3, 33).filled(1);
  tensor const q = tensor(50, 3, 33).filled(2);
  block_shape const shape{.block = 8, .blocks = 50, .kv_heads = 3, .head_dim = 33};
  aligned_memory bytes(block_means::required_bytes(shape));
  block_means means(bytes, shape);
  ASSERT_TRUE(means.append(k.view).ok());
  for (index t = 0; t < 50; ++t) {
    index const position = 8 * t + random.below(8);
    index const head = random.below(3);
    index const top_k = 1 + random.below(12);
    std::vector<double> gate(static_cast<std::size_t>(t));
    for (index b = 0; b < t; ++b) {
      for (index d = 0; d < 33; ++d) {
        gate[static_cast<std::size_t>(b)] +=
            static_cast<double>(q.view.row(t, head)[d]) * means.of(head, b)[d];
      }
    }
    list all(gate.size());
    std::iota(all.begin(), all.end(), 0);
    std::stable_sort(all.begin(), all.end(), [&](index a, index b) {
      return gate[static_cast<std::size_t>(a)] > gate[static_cast<std::size_t>(b)];
    });
    all.resize(std::min(all.size(), static_cast<std::size_t>(top_k - 1)));
    all.push_back(t);
    std::sort(all.begin(), all.end());
    list got(static_cast<std::size_t>(top_k));
    got.resize(static_cast<std::size_t>(
        moba(means, top_k)
            .choose({q.view.row(t, head), position, head, head, {0, 400}}, got.data())));
    EXPECT_EQ(got, all) << t;
  }
}

TEST(Moba, ChecksItsNumbers) {
  kept const k({1, 2, 3});
  kv_shape const shape{1, 1, 1};
  EXPECT_TRUE(moba(k.means, 1).check({shape, 1, {0, 13}}).ok());
  EXPECT_TRUE(moba(k.means, 1024).check({shape, 1, {0, 16}}).ok());
  EXPECT_EQ(moba(k.means, 0).check({shape, 1, {0, 1}}).code, errc::select);
  EXPECT_EQ(moba(k.means, 1025).check({shape, 1, {0, 1}}).code, errc::select);
  EXPECT_EQ(moba(k.means, 2).check({{2, 1, 1}, 2, {0, 1}}).code, errc::heads);
  EXPECT_EQ(moba(k.means, 2).check({{1, 2, 1}, 1, {0, 1}}).code, errc::shape);
  EXPECT_EQ(moba(k.means, 2).check({shape, 1, {0, 17}}).code, errc::select) << "a block is missing";
  EXPECT_TRUE(moba(k.means, 2).check({shape, 1, {}}).ok());
  block_means const none({}, k.shape);
  EXPECT_EQ(moba(none, 2).check({shape, 1, {0, 1}}).code, errc::memory);
  EXPECT_EQ(moba(k.means, 3).dense_before(), 12);
  EXPECT_STREQ(moba(k.means, INT64_MIN).check({shape, 1, {0, 1}}).what,
               "select: top_k must be at least 1 and at most 1024");
}

}  // namespace
}  // namespace oriel::test
