// SPDX-License-Identifier: BSL-1.0
#include "oriel/mask/spans.hpp"

#include <gtest/gtest.h>

#include "mask_laws.hpp"
#include "oriel/mask/both.hpp"
#include "oriel/mask/causal.hpp"
#include "oriel/mask/either.hpp"
#include "oriel/mask/sliding_window.hpp"

using namespace oriel;

namespace {
constexpr range images[] = {{-3, 2}, {5, 6}, {6, 20}, {30, 45}};
constexpr range far_image[] = {{(oriel::index{1} << 31) - 9, (oriel::index{1} << 31) + 9}};
}  // namespace

template <>
struct mask_examples<spans> {
  static constexpr bool exact_cover = false;
  static std::vector<mask_example<spans>> all() {
    return {{{images}, 5}, {{far_image}, 3}, {{}, 0}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(Spans, MaskLaws, spans);

using clamped = both<either<causal, spans>, sliding_window>;
template <>
struct mask_examples<clamped> {
  static constexpr bool exact_cover = false;
  static std::vector<mask_example<clamped>> all() {
    return {{(causal{} | spans{images}) & sliding_window{6}, 6}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(ClampedToTheWindow, MaskLaws, clamped);

using unclamped = either<both<causal, sliding_window>, spans>;
template <>
struct mask_examples<unclamped> {
  static constexpr bool exact_cover = false;
  static std::vector<mask_example<unclamped>> all() {
    return {{(causal{} & sliding_window{6}) | spans{images}, 6}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(NotClamped, MaskLaws, unclamped);

namespace oriel {
namespace {

TEST(Spans, SeeBothWaysWithinAndNothingElse) {
  spans const m{images};
  EXPECT_TRUE(m.visible(6, 19) && m.visible(19, 6));
  EXPECT_FALSE(m.visible(5, 6) || m.visible(25, 25) || m.visible(20, 19));
  EXPECT_EQ(m.cover({30, 45}, {30, 45}), coverage::all);
  EXPECT_EQ(m.cover({22, 29}, {0, 45}), coverage::none);
}

TEST(Spans, MustAscendAndHoldSomething) {
  EXPECT_TRUE((spans{images}.check().ok()));
  constexpr range empty[] = {{3, 3}};
  EXPECT_EQ((spans{empty}.check().code), errc::mask);
  constexpr range crossing[] = {{0, 4}, {3, 5}};
  EXPECT_EQ((spans{crossing}.check().code), errc::mask);
  constexpr range huge[] = {{0, INT64_MAX}};
  EXPECT_EQ((spans{huge}.check().code), errc::position);
}

}  // namespace
}  // namespace oriel
