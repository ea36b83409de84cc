// SPDX-License-Identifier: BSL-1.0
// That any_mask answers as the mask it holds is one of the mask laws, run for every mask.
#include "oriel/mask/any_mask.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>

#include "example_masks.hpp"
#include "mask_laws.hpp"
#include "oriel/mask/both.hpp"
#include "oriel/mask/causal.hpp"
#include "oriel/mask/sliding_window.hpp"

template <>
struct mask_examples<oriel::any_mask> {
  static constexpr bool exact_cover = true;
  static std::vector<mask_example<oriel::any_mask>> all() {
    return {{oriel::causal{}}, {oriel::causal{} & oriel::sliding_window{16}, 16}, {oriel::full{}}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(AnyMask, MaskLaws, oriel::any_mask);

namespace oriel {
namespace {

static_assert(std::is_trivially_copyable_v<any_mask>);
static_assert(std::is_convertible_v<causal, any_mask> && !std::is_constructible_v<any_mask, int>);
static_assert(!std::is_default_constructible_v<any_mask>, "there is no mask by default");

/// As large as a mask may be; every byte counts.
struct listed {
  std::array<index, 16> keys{};
  bool visible(index, index k) const noexcept {
    return std::find(keys.begin(), keys.end(), k) != keys.end();
  }
  coverage cover(range, range) const noexcept { return coverage::some; }
  key_ranges reach(range) const noexcept { return everywhere; }
};
static_assert(sizeof(listed) == any_mask::capacity);

TEST(AnyMask, HoldsACopyOfEveryByte) {
  auto source = std::make_unique<listed>(
      listed{{2, 3, 5, 7, 11, 13, 17, 19, -1, -1, -1, -1, -1, -1, -1, -1}});
  any_mask const first = *source;
  any_mask second = full{};
  second = first;
  source.reset();
  for (index k = 0; k < 21; ++k) {
    bool const prime =
        k == 2 || k == 3 || k == 5 || k == 7 || k == 11 || k == 13 || k == 17 || k == 19;
    EXPECT_EQ(first.visible(0, k), prime);
    EXPECT_EQ(second.visible(0, k), prime);
  }
}

TEST(MaskRef, ComposesWhatWasChosenAtRunTime) {
  any_mask chosen = causal{};
  auto const m = mask_ref(chosen) & sliding_window{3};
  EXPECT_FALSE(m.visible(5, 2));
  EXPECT_TRUE(m.visible(5, 3));
  chosen = full{};
  EXPECT_TRUE(m.visible(5, 9)) << "it refers";
  EXPECT_EQ((any_mask(mask_ref(chosen) & sliding_window{0}).check().code), errc::mask);
}

TEST(AnyMask, PassesTheCheckOn) {
  EXPECT_EQ(any_mask(sliding_window{0}).check().code, errc::mask);
  EXPECT_EQ(any_mask(causal{} & sliding_window{0}).check().code, errc::mask);
  EXPECT_TRUE(any_mask(causal{} & sliding_window{1}).check().ok());
  EXPECT_TRUE(any_mask(same_parity{}).check().ok());
}

}  // namespace
}  // namespace oriel
