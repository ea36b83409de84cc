// SPDX-License-Identifier: BSL-1.0
#include "oriel/mask/either.hpp"

#include <gtest/gtest.h>

#include "example_masks.hpp"
#include "mask_laws.hpp"
#include "oriel/mask/both.hpp"
#include "oriel/mask/causal.hpp"
#include "oriel/mask/full.hpp"
#include "oriel/mask/sliding_window.hpp"

using oriel::both, oriel::causal, oriel::either, oriel::full, oriel::sliding_window;
using oriel::operator|;  // for two masks of a user's own

using causal_or_window = either<causal, sliding_window>;
template <>
struct mask_examples<causal_or_window> {
  static constexpr bool exact_cover = false;  // together they may show all
  static std::vector<mask_example<causal_or_window>> all() {
    return {{causal{} | sliding_window{1}, 1}, {causal{} | sliding_window{9}, 9}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(CausalOrWindow, MaskLaws, causal_or_window);

using either_of_users = either<same_parity, two_spans>;
template <>
struct mask_examples<either_of_users> {
  static constexpr bool exact_cover = false;
  static std::vector<mask_example<either_of_users>> all() {
    return {{same_parity{} | two_spans{{0, 10}, {20, 30}}, 12}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(OfUsers, MaskLaws, either_of_users);

using five_spans = either<either<two_spans, two_spans>, two_spans>;  // more ranges than a reach has
template <>
struct mask_examples<five_spans> {
  static constexpr bool exact_cover = false;
  static std::vector<mask_example<five_spans>> all() {
    return {{two_spans{{0, 5}, {20, 25}} | two_spans{{10, 15}, {30, 35}} |
                 two_spans{{40, 45}, {50, 55}},
             -20}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(FiveSpans, MaskLaws, five_spans);

namespace oriel {
namespace {

static_assert(std::is_empty_v<either<causal, full>>, "composition costs no memory");

TEST(Either, ChecksItsTerms) {
  EXPECT_TRUE((causal{} | sliding_window{1}).check().ok());
  EXPECT_EQ((causal{} | sliding_window{0}).check().code, errc::mask);
  EXPECT_EQ((sliding_window{-1} | causal{}).check().code, errc::mask);
}

TEST(Either, AnswersAreConstant) {
  constexpr auto m = causal{} | sliding_window{4};
  static_assert(m.visible(0, 100) && m.visible(100, 0));
  static_assert((causal{} | full{}).cover({0, 1}, {5, 6}) == coverage::all);
}

}  // namespace
}  // namespace oriel
