// SPDX-License-Identifier: BSL-1.0
#include "oriel/mask/mask.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "example_masks.hpp"
#include "mask_laws.hpp"
#include "oriel/mask/both.hpp"
#include "oriel/mask/causal.hpp"
#include "oriel/mask/sliding_window.hpp"

template <>
struct mask_examples<same_parity> {
  static constexpr bool exact_cover = false;
  static std::vector<mask_example<same_parity>> all() { return {{{}}}; }
};
template <>
struct mask_examples<sinks_and_recent> {
  static constexpr bool exact_cover = false;
  static std::vector<mask_example<sinks_and_recent>> all() {
    return {{{4, 8}, 8}, {{1, 1}, 1}, {{0, 5}, 5}, {{20, 3}, 17}, {{9, INT64_MAX}, 9}};
  }
};

namespace oriel {
namespace {

static_assert(mask<full> && mask<causal> && mask<sliding_window> && mask<any_mask>);
static_assert(mask<both<causal, sliding_window>> && mask<same_parity> && mask<sinks_and_recent>);
static_assert(interval_mask<sliding_window> && interval_mask<sinks_and_recent>);
static_assert(!interval_mask<same_parity> && !interval_mask<any_mask>);
static_assert(!interval_mask<both<causal, sliding_window>> && mask<both<causal, same_parity>>);

struct no_reach {
  bool visible(index, index) const noexcept { return true; }
  coverage cover(range, range) const noexcept { return coverage::all; }
};
struct throws : full {
  bool visible(index, index) const { return true; }
};
struct says_int : full {
  int cover(range, range) const noexcept { return 2; }
};
struct one_range : full {
  range reach(range) const noexcept { return everywhere; }
};
struct not_const : full {
  bool visible(index, index) noexcept { return true; }
};
struct owns_memory : full {
  std::vector<bool> bits;
};
static_assert(!mask<int> && !mask<range> && !mask<no_reach>);
static_assert(!mask<throws>, "a question must be noexcept");
static_assert(!mask<says_int> && !mask<one_range> && !mask<not_const>);
static_assert(!mask<owns_memory>, "a mask is trivially copyable");

struct picky : full {
  index rows = 0;
  status check() const noexcept {
    if (rows == 0) return {errc::mask, "mask: picky.rows must not be 0"};
    return {};
  }
};

TEST(CheckMask, AsksWhereThereIsACheck) {
  EXPECT_TRUE(check_mask(full{}).ok());
  EXPECT_TRUE(check_mask(same_parity{}).ok());
  EXPECT_EQ(check_mask(picky{}).code, errc::mask);
  EXPECT_TRUE(check_mask(picky{.rows = 1}).ok());
}

}  // namespace
}  // namespace oriel

INSTANTIATE_TYPED_TEST_SUITE_P(SameParity, MaskLaws, same_parity);
INSTANTIATE_TYPED_TEST_SUITE_P(SinksAndRecent, MaskLaws, sinks_and_recent);
