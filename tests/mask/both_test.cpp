// SPDX-License-Identifier: BSL-1.0
#include "oriel/mask/both.hpp"

#include <gtest/gtest.h>

#include "example_masks.hpp"
#include "mask_laws.hpp"
#include "oriel/mask/causal.hpp"
#include "oriel/mask/full.hpp"
#include "oriel/mask/sliding_window.hpp"

using oriel::both, oriel::causal, oriel::full, oriel::sliding_window;
using oriel::operator&;  // for two masks of a user's own

using mistral = both<causal, sliding_window>;
template <>
struct mask_examples<mistral> {
  static constexpr bool exact_cover = true;  // q - k takes every value between its ends
  static std::vector<mask_example<mistral>> all() {
    return {{causal{} & sliding_window{1}, 1},
            {causal{} & sliding_window{16}, 16},
            {causal{} & sliding_window{4096}, 4096},
            {causal{} & sliding_window{INT64_MAX}, INT64_MAX}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(CausalAndWindow, MaskLaws, mistral);

using nested = both<both<sliding_window, full>, both<sliding_window, causal>>;
template <>
struct mask_examples<nested> {
  static constexpr bool exact_cover = true;
  static std::vector<mask_example<nested>> all() {
    return {{(sliding_window{9} & full{}) & (sliding_window{5} & causal{}), 5}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(Nested, MaskLaws, nested);

using both_of_users = both<same_parity, sliding_window>;
template <>
struct mask_examples<both_of_users> {
  static constexpr bool exact_cover = false;
  static std::vector<mask_example<both_of_users>> all() {
    return {{same_parity{} & sliding_window{12}, 12}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(WithAUsers, MaskLaws, both_of_users);

// Two masks of two ranges a row may show three ranges together.
using pair_of_two_spans = both<two_spans, two_spans>;
template <>
struct mask_examples<pair_of_two_spans> {
  static constexpr bool exact_cover = false;
  static std::vector<mask_example<pair_of_two_spans>> all() {
    return {{two_spans{{0, 10}, {20, 30}} & two_spans{{5, 25}, {28, 40}}, 12}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(TwoSpans, MaskLaws, pair_of_two_spans);

namespace oriel {
namespace {

static_assert(std::is_empty_v<both<causal, full>>, "composition costs no memory");
static_assert(sizeof(mistral) == sizeof(index));
static_assert(std::is_same_v<decltype(causal{} & sliding_window{1}), mistral>);

TEST(Both, ChecksItsTerms) {
  EXPECT_TRUE((causal{} & sliding_window{1}).check().ok());
  EXPECT_EQ((causal{} & sliding_window{0}).check().code, errc::mask);
  EXPECT_EQ((sliding_window{-1} & causal{}).check().code, errc::mask);
  EXPECT_EQ((full{} & (causal{} & sliding_window{0})).check().code, errc::mask);
}

TEST(Both, TheSmallerWindowWins) {
  auto const m = causal{} & sliding_window{8} & sliding_window{3};
  EXPECT_TRUE(m.visible(100, 98));
  EXPECT_FALSE(m.visible(100, 97));
  EXPECT_EQ(m.reach({100, 110}).hull(), (range{98, 110}));
}

TEST(Both, AnswersAreConstant) {
  constexpr auto m = causal{} & sliding_window{4};
  static_assert(m.cover({10, 12}, {7, 11}) == coverage::some);
  static_assert(m.cover({10, 12}, {8, 11}) == coverage::all);
  static_assert(m.cover({10, 12}, {0, 7}) == coverage::none);
  static_assert(m.cover({10, 12}, {12, 13}) == coverage::none);
}

}  // namespace
}  // namespace oriel
