// SPDX-License-Identifier: BSL-1.0
#include "oriel/codec/rounded_functions.hpp"

#include <gtest/gtest.h>

namespace oriel {
namespace {

TEST(RoundedRows, FromBeginsWithABlocksFirstRow) {
  std::int16_t codes[8 * 32] = {};
  float sums[8 * 3] = {};
  float unit[8] = {};
  rounded_rows const from = rounded_rows{codes, 32, sums, 3, unit}.from(4);
  EXPECT_EQ(from.codes, codes + 4 * 32);
  EXPECT_EQ(from.step, 32);
  EXPECT_EQ(from.sums, sums + 4 * 3);
  EXPECT_EQ(from.sums_step, 3);
  EXPECT_EQ(from.unit, unit + 4);
}

TEST(RoundedWeights, AreAtTheirRowAndGroup) {
  std::int16_t codes[4 * 2 * 128] = {};
  rounded_weights const weights{codes, 2 * 128, 128};
  EXPECT_EQ(weights.at(3, 1), codes + 3 * 256 + 128);
  EXPECT_EQ(weights.from(2).at(1, 1), weights.at(3, 1));
}

}  // namespace
}  // namespace oriel
