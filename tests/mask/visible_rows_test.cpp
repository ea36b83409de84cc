// SPDX-License-Identifier: BSL-1.0
// That visible_rows() equals visible() for every mask is one of the mask laws.
#include "oriel/mask/visible_rows.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "example_masks.hpp"
#include "oriel/mask/causal.hpp"
#include "oriel/mask/full.hpp"

namespace oriel {
namespace {

TEST(VisibleRows, ByHand) {
  // Rows 1 .. 5 of groups of 2 from position 10: tokens 10 | 11 11 | 12 12.
  row_tile const rows{1, 5, 2, 10};
  std::uint64_t word[5];
  visible_rows(causal{}, rows, {9, 14}, word);
  EXPECT_EQ((std::vector(word, word + 5)), (std::vector<std::uint64_t>{31, 31, 30, 24, 0}));
  visible_rows(same_parity{}, rows, {9, 14}, word);
  EXPECT_EQ((std::vector(word, word + 5)), (std::vector<std::uint64_t>{6, 25, 6, 24, 0}));
}

TEST(VisibleRows, FillsAWholeWordAndNoMore) {
  for (int count = 1; count <= 64; ++count) {
    std::uint64_t word[2] = {~std::uint64_t{0}, 77};
    visible_rows(full{}, row_tile{0, count, 1, 0}, {5, 6}, word);
    EXPECT_EQ(word[0], ~std::uint64_t{0} >> (64 - count));
    EXPECT_EQ(word[1], 77u);
    visible_rows(full{}, row_tile{3, count, 1000, 0}, {5, 6}, word);  // one token, all its heads
    EXPECT_EQ(word[0], ~std::uint64_t{0} >> (64 - count));
  }
  std::uint64_t untouched = 5;
  visible_rows(full{}, row_tile{0, 3, 1, 0}, {5, 5}, &untouched);
  EXPECT_EQ(untouched, 5u) << "no keys, no words";
}

}  // namespace
}  // namespace oriel
