// SPDX-License-Identifier: BSL-1.0
#include "oriel/score/any_score.hpp"

#include <memory>

#include "oriel/score/softcap.hpp"
#include "score_values.hpp"

namespace oriel::test {
namespace {

static_assert(std::is_trivially_copyable_v<any_score>);
static_assert(std::is_convertible_v<softcap, any_score> && !std::is_convertible_v<int, any_score>);

TEST(AnyScore, IsNoneByDefault) {
  any_score const none;
  EXPECT_FALSE(none);
  EXPECT_TRUE(none.check(3, {0, 4}, {0, 4}).ok());
  EXPECT_EQ(none.exact(2.5, 1, 0, 0), 2.5);
  EXPECT_TRUE(any_score(softcap{1.0f}));
}

/// As large as a functor may be; every byte counts.
struct listed {
  float added[32];
  template <class V>
  auto for_rows(score_rows<V> const&) const noexcept {
    return [this](V const& score, score_keys<V> const& keys) {
      return score + keys.each([this](index, index, index key) { return added[key % 32]; });
    };
  }
};
static_assert(sizeof(listed) == any_score::capacity);

TEST(AnyScore, HoldsACopyOfEveryByte) {
  auto source = std::make_unique<listed>();
  for (int i = 0; i < 32; ++i) source->added[i] = static_cast<float>(i * i);
  any_score const first = *source;
  any_score second;
  second = first;
  source.reset();
  for (index k = 0; k < 32; ++k)
    EXPECT_EQ(second.exact(1.0, 0, 0, k), 1.0 + static_cast<double>(k * k));
  EXPECT_LE(score_error(second, {0, 20, 2, 40}, {0, 70}), 1e-6);
}

TEST(AnyScore, AUsersFunctorRunsInBothLayouts) {
  EXPECT_LE(largest_score_error(zebra{1.5f}), 1e-6);
}

TEST(AnyScore, PassesTheCheckOn) {
  EXPECT_EQ(any_score(softcap{-1.0f}).check(1, {}, {}).code, errc::score);
}

}  // namespace
}  // namespace oriel::test
