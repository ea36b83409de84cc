// SPDX-License-Identifier: BSL-1.0
#include "oriel/score/softcap.hpp"

#include <limits>

#include "score_values.hpp"

namespace oriel::test {
namespace {

TEST(Softcap, EqualsTheDefinition) {
  for (float const cap : {0.5f, 20.0f, 50.0f, 1e6f}) {
    EXPECT_LE(largest_score_error(softcap{cap}), 1e-6) << cap;
  }
}

TEST(Softcap, KeepsSmallScoresAndBoundsLargeOnes) {
  any_score const f = softcap{50.0f};
  EXPECT_NEAR(f.exact(1e-4, 0, 0, 0), 1e-4, 1e-15);
  EXPECT_NEAR(f.exact(1e9, 0, 0, 0), 50.0, 1e-9);
}

TEST(Softcap, NeedsACap) {
  EXPECT_TRUE(softcap{30.0f}.check(1, {}, {}).ok());
  for (float const cap : {0.0f, -1.0f, infinity, std::numeric_limits<float>::quiet_NaN(), 1e-42f}) {
    EXPECT_EQ(softcap{cap}.check(1, {}, {}).code, errc::score) << cap;
  }
}

}  // namespace
}  // namespace oriel::test
