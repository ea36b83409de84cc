// SPDX-License-Identifier: BSL-1.0
#include "oriel/score/alibi.hpp"

#include "score_values.hpp"

namespace oriel::test {
namespace {

constexpr float slopes[] = {0.5f, 0.25f, 0.125f, 0.0625f, 0.03f, 0.7f};

TEST(Alibi, EqualsTheDefinition) {
  EXPECT_LE(largest_score_error(alibi{slopes}), 1e-6);
  EXPECT_LE(largest_score_error(alibi{slopes}, 2), 1e-6) << "heads of another group";
}

TEST(Alibi, FormsDistancesIn64Bits) {
  // Beyond 2^24 not every integer is a float, but the distance is rounded once.
  for (index const far : {(index{1} << 24) + 1, (index{1} << 31) + 129, (index{1} << 53) + 3}) {
    EXPECT_LE(score_error(alibi{slopes}, {0, 48, 4, far}, {0, 100}), 1e-6) << far;
    EXPECT_LE(score_error(alibi{slopes}, {0, 48, 4, far}, {far - 60, far + 60}), 1e-6) << far;
  }
}

TEST(Alibi, PenalisesBothDirections) {
  any_score const f = alibi{slopes};
  EXPECT_DOUBLE_EQ(f.exact(1.0, 10, 1, 4), 1.0 - 0.25 * 6);
  EXPECT_DOUBLE_EQ(f.exact(1.0, 4, 1, 10), 1.0 - 0.25 * 6);
}

TEST(Alibi, NeedsASlopePerHead) {
  EXPECT_TRUE(alibi{slopes}.check(6, {}, {}).ok());
  EXPECT_EQ(alibi{slopes}.check(5, {}, {}).code, errc::heads);
  EXPECT_EQ(alibi{}.check(1, {}, {}).code, errc::heads);
}

TEST(AlibiSlope, IsThePublishedOne) {
  EXPECT_FLOAT_EQ(alibi_slope(0, 8), 0.5f);
  EXPECT_FLOAT_EQ(alibi_slope(7, 8), 0x1p-8f);
  // 12 heads: those of 8, then every other one of 16.
  EXPECT_FLOAT_EQ(alibi_slope(7, 12), 0x1p-8f);
  EXPECT_FLOAT_EQ(alibi_slope(8, 12), std::exp2(-0.5f));
  EXPECT_FLOAT_EQ(alibi_slope(11, 12), std::exp2(-3.5f));
  EXPECT_FLOAT_EQ(alibi_slope(0, 1), 0x1p-8f);
}

}  // namespace
}  // namespace oriel::test
