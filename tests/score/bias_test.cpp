// SPDX-License-Identifier: BSL-1.0
#include "oriel/score/bias.hpp"

#include <limits>

#include "score_values.hpp"

namespace oriel::test {
namespace {

/// [3 heads, 20 queries, 50 keys]
std::vector<float> table() {
  std::vector<float> all(3 * 20 * 50);
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i] = i % 11 == 0 ? -infinity : std::cos(static_cast<float>(i));
  }
  return all;
}

TEST(Bias, EqualsTheDefinition) {
  std::vector<float> const data = table();
  bias const f{data.data(), {100, 120}, {70, 120}, 20 * 50, 50};
  for (row_tile const& rows : {row_tile{0, 48, 3, 100}, {4, 31, 3, 100}, {0, 1, 3, 119}}) {
    EXPECT_LE(score_error(f, rows, {70, 120}), 1e-6);
    EXPECT_LE(score_error(f, rows, {117, 120}), 1e-6) << "the last keys of the table";
  }
  bias const shared{data.data(), {100, 120}, {70, 120}, 0, 1, 20};  // transposed, for all heads
  EXPECT_LE(score_error(shared, {0, 48, 3, 100}, {70, 120}), 1e-6);
}

TEST(Bias, HidesByTheLowestFloatToo) {
  float const data[] = {-infinity, std::numeric_limits<float>::lowest(), -1e30f};
  any_score const f = bias{data, {0, 1}, {0, 3}, 0, 3};
  EXPECT_EQ(f.exact(5.0, 0, 0, 0), -HUGE_VAL);
  EXPECT_EQ(f.exact(5.0, 0, 0, 1), -HUGE_VAL);
  EXPECT_GT(f.exact(5.0, 0, 0, 2), -1e31);
  EXPECT_LE(score_error(f, {0, 1, 1, 0}, {0, 3}), 1e-6);
}

TEST(Bias, MustHoldWhatIsAsked) {
  float const data[4] = {};
  bias const f{data, {0, 2}, {0, 2}, 0, 2};
  EXPECT_TRUE(f.check(1, {0, 2}, {0, 2}).ok());
  EXPECT_TRUE(f.check(1, {}, {0, 9}).ok()) << "nothing is asked";
  EXPECT_EQ(f.check(1, {0, 3}, {0, 2}).code, errc::shape);
  EXPECT_EQ(f.check(1, {0, 2}, {-1, 2}).code, errc::shape);
  EXPECT_EQ((bias{nullptr, {0, 2}, {0, 2}}.check(1, {0, 1}, {0, 1}).code), errc::memory);
  EXPECT_EQ((bias{data, {0, 2}, {0, 2}, INT64_MIN}.check(1, {0, 1}, {0, 1}).code), errc::shape);
  range const any{INT64_MIN, INT64_MAX};
  EXPECT_EQ((bias{data, any, {0, 2}, 0, 2}.check(1, {0, 1}, {0, 1}).code), errc::position);
  EXPECT_EQ((bias{data, {0, 2}, any, 0, 2}.check(1, {0, 1}, {0, 1}).code), errc::position);
  EXPECT_TRUE((bias{data, everywhere, {0, 2}, 0, 0}.check(1, {0, 1}, {0, 1}).ok()));
}

}  // namespace
}  // namespace oriel::test
