// SPDX-License-Identifier: BSL-1.0
#include "oriel/score/score.hpp"

#include "score_values.hpp"

namespace oriel::test {
namespace {

static_assert(score<zebra>);
static_assert(!score<int>);
static_assert(!score<any_score>, "it is asked by tile, not by register");

TEST(Score, AUsersFunctorNeedsNoCheck) {
  EXPECT_TRUE(check_score(zebra{1.0f}, 3, {0, 5}, {0, 5}).ok());
}

TEST(ScoreRows, ALaneKnowsItsQueryAndItsHead) {
  score_rows<double> const rows{{7}, {2}};
  EXPECT_EQ(rows.each([](index q, index h) { return static_cast<double>(10 * q + h); }), 72.0);
  score_keys<double> const keys{4.0, 3, 0, 3, &rows};
  EXPECT_EQ(keys.each([](index q, index h, index k) { return static_cast<double>(q * h * k); }),
            42.0);
}

TEST(ScoreKeys, LanesWithoutAKeyRepeatTheLast) {
  score_keys<vec<default_arch>> const keys{
      .distance = vec<default_arch>(0.0f), .first = 10, .step = 1, .last = 11, .rows = nullptr};
  EXPECT_EQ(keys.key(0), 10);
  EXPECT_EQ(keys.key(1), 11);
  EXPECT_EQ(keys.key(2), 11);
}

}  // namespace
}  // namespace oriel::test
