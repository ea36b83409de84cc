// SPDX-License-Identifier: BSL-1.0
#include "oriel/mask/prefix.hpp"

#include <gtest/gtest.h>

#include "mask_laws.hpp"
#include "oriel/mask/both.hpp"
#include "oriel/mask/causal.hpp"
#include "oriel/mask/chunked.hpp"
#include "oriel/mask/either.hpp"
#include "oriel/mask/sliding_window.hpp"

using oriel::causal, oriel::prefix, oriel::sinks, oriel::sliding_window;

template <>
struct mask_examples<prefix> {
  static constexpr bool exact_cover = true;
  static std::vector<mask_example<prefix>> all() {
    return {{{0}, 0}, {{1}, 0}, {{20}, 10}, {{4096}, 0}, {{INT64_MAX}, 0}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(Prefix, MaskLaws, prefix);

using prefix_lm = oriel::either<causal, prefix>;
template <>
struct mask_examples<prefix_lm> {
  static constexpr bool exact_cover = false;
  static std::vector<mask_example<prefix_lm>> all() {
    return {{causal{} | prefix{20}, 10}, {causal{} | prefix{0}, 0}, {causal{} | prefix{40}, -20}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(PrefixLm, MaskLaws, prefix_lm);

using streaming = oriel::both<causal, oriel::either<sliding_window, sinks>>;
template <>
struct mask_examples<streaming> {
  static constexpr bool exact_cover = false;
  static std::vector<mask_example<streaming>> all() {
    return {{causal{} & (sliding_window{5} | sinks{4}), 5},
            {causal{} & (sliding_window{30} | sinks{25}), 30},
            {causal{} & (sliding_window{1} | sinks{1}), 1}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(Streaming, MaskLaws, streaming);

namespace oriel {
namespace {

static_assert(prefix{3}.visible(0, 2) && !prefix{3}.visible(0, 3) && !prefix{3}.visible(0, -1));

TEST(Prefix, MustNotBeNegative) {
  EXPECT_TRUE(prefix{0}.check().ok());
  EXPECT_EQ(prefix{-1}.check().code, errc::mask);
}

TEST(Sinks, WidenAWindowOrAChunkButShowNoFuture) {
  auto const window = causal{} & (sliding_window{3} | sinks{2});
  auto const chunk = causal{} & (chunked{4} | sinks{2});
  EXPECT_TRUE(window.visible(100, 1) && chunk.visible(100, 1));
  EXPECT_FALSE(window.visible(100, 2) || chunk.visible(100, 2));
  EXPECT_FALSE(window.visible(0, 1) || chunk.visible(0, 1));
  key_ranges const reach = window.reach({100, 101});
  ASSERT_EQ(reach.count, 2) << "what lies between is not visited";
  EXPECT_EQ(reach.items[0], (range{0, 2}));
  EXPECT_EQ(reach.items[1], (range{98, 101}));
}

}  // namespace
}  // namespace oriel
