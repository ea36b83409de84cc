// SPDX-License-Identifier: BSL-1.0
#include "oriel/mask/dense_mask.hpp"

#include <gtest/gtest.h>

#include <array>

#include "mask_laws.hpp"
#include "oriel/mask/both.hpp"
#include "oriel/mask/causal.hpp"

using namespace oriel;

namespace {
/// 48 x 60 random pairs in blocks, so that whole rectangles are shown and hidden.
std::array<unsigned char, 48 * 60> const& pairs() {
  static auto const made = [] {
    std::array<unsigned char, 48 * 60> all;
    dice d(3);
    unsigned char value = 0;
    for (auto& x : all) {
      if (d.between(0, 30) == 0) value = static_cast<unsigned char>(d.pick(std::vector{0, 1, 7}));
      x = value;
    }
    return all;
  }();
  return made;
}
}  // namespace

template <>
struct mask_examples<dense_mask> {
  static constexpr bool exact_cover = true;
  static std::vector<mask_example<dense_mask>> all() {
    return {{{pairs().data(), {-4, 44}, {-10, 50}, 60}, 0},
            {{pairs().data(), {0, 60}, {0, 48}, 1, 60}, 0},  // transposed
            {{pairs().data(), {-20, 40}, {0, 60}, 0}, 0},    // a row for all
            {{pairs().data() + 47 * 60, {0, 48}, {0, 60}, -60}, 0},
            {{static_cast<unsigned char const*>(nullptr), {3, 3}, {0, 9}, 9}, 0}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(DenseMask, MaskLaws, dense_mask);

namespace oriel {
namespace {

TEST(DenseMask, TakesBoolsAndHidesWhatItDoesNotHold) {
  bool const data[] = {true, false, true, true};
  dense_mask const m(data, {10, 12}, {20, 22}, 2);
  EXPECT_TRUE(m.check().ok());
  EXPECT_TRUE(m.visible(10, 20) && m.visible(11, 21));
  EXPECT_FALSE(m.visible(10, 21) || m.visible(9, 20) || m.visible(11, 22));
}

TEST(DenseMask, NeedsMemoryWithinTheAddressSpace) {
  bool const* const null = nullptr;
  EXPECT_EQ((dense_mask(null, {0, 1}, {0, 1}, 1).check().code), errc::memory);
  EXPECT_TRUE((dense_mask(null, {0, 0}, {0, 1}, 1).check().ok()));
  bool const one = true;
  EXPECT_EQ((dense_mask(&one, {0, 9}, {0, 9}, INT64_MIN).check().code), errc::shape);
  EXPECT_EQ((dense_mask(&one, {0, 9}, {0, 9}, 1, INT64_MAX).check().code), errc::shape);
}

}  // namespace
}  // namespace oriel
