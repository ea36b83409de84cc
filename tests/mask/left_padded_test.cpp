// SPDX-License-Identifier: BSL-1.0
#include "oriel/mask/left_padded.hpp"

#include <gtest/gtest.h>

#include "example_masks.hpp"
#include "mask_laws.hpp"
#include "oriel/mask/both.hpp"
#include "oriel/mask/causal.hpp"
#include "oriel/mask/chunked.hpp"
#include "oriel/mask/either.hpp"
#include "oriel/mask/full.hpp"
#include "oriel/mask/sliding_window.hpp"

using namespace oriel;

using padded_llama4 = left_padded<both<causal, chunked>>;
template <>
struct mask_examples<padded_llama4> {
  static constexpr bool exact_cover = false;
  static std::vector<mask_example<padded_llama4>> all() {
    return {{{0, causal{} & chunked{5}}, 5},
            {{7, causal{} & chunked{5}}, 5},
            {{30, causal{} & chunked{8}}, 8}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(PaddedLlama4, MaskLaws, padded_llama4);

using padded_full = left_padded<full>;
template <>
struct mask_examples<padded_full> {
  static constexpr bool exact_cover = true;
  static std::vector<mask_example<padded_full>> all() {
    return {{{0, {}}, 0}, {{30, {}}, 0}, {{max_position - 20, {}}, 0}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(PaddedFull, MaskLaws, padded_full);

using padded_user = left_padded<same_parity>;
template <>
struct mask_examples<padded_user> {
  static constexpr bool exact_cover = false;
  static std::vector<mask_example<padded_user>> all() { return {{{9, {}}, 0}}; }
};
INSTANTIATE_TYPED_TEST_SUITE_P(PaddedUser, MaskLaws, padded_user);

namespace oriel {
namespace {

TEST(LeftPadded, ChunksAreCountedFromTheFirstRealToken) {
  left_padded const m{3, causal{} & chunked{4}};
  EXPECT_TRUE(m.visible(6, 3));
  EXPECT_FALSE(m.visible(7, 6)) << "a chunk ends behind slot 6";
  EXPECT_FALSE(m.visible(2, 2)) << "padding sees nothing";
  EXPECT_FALSE(m.visible(6, 2)) << "and is not seen";
  EXPECT_TRUE(m.reach({0, 3}).empty());
}

TEST(LeftPadded, ChecksItsSlotsAndItsMask) {
  EXPECT_TRUE((left_padded{0, causal{}}.check().ok()));
  EXPECT_EQ((left_padded{-1, causal{}}.check().code), errc::mask);
  EXPECT_EQ((left_padded{max_position, causal{}}.check().code), errc::mask);
  EXPECT_EQ((left_padded{1, sliding_window{0}}.check().code), errc::mask);
}

}  // namespace
}  // namespace oriel
