// SPDX-License-Identifier: BSL-1.0
#include "oriel/mask/causal.hpp"

#include <gtest/gtest.h>

#include "mask_laws.hpp"

template <>
struct mask_examples<oriel::causal> {
  static constexpr bool exact_cover = true;
  static std::vector<mask_example<oriel::causal>> all() { return {{{}}}; }
};
INSTANTIATE_TYPED_TEST_SUITE_P(Causal, MaskLaws, oriel::causal);

namespace oriel {
namespace {

static_assert(std::is_empty_v<causal>, "a mask never occupies memory");
static_assert(causal{}.visible(5, 5) && causal{}.visible(5, 4) && !causal{}.visible(5, 6));
static_assert(!causal{}.visible((index{1} << 53) - 1, index{1} << 53), "doubles would say yes");

TEST(Causal, ReachEndsAtTheLastQuery) {
  key_ranges const reach = causal{}.reach({10, 20});
  EXPECT_EQ(reach.hull().end, 20);
  EXPECT_FALSE(causal{}.reach({1 - max_position, 2 - max_position}).empty()) << "sees itself";
}

}  // namespace
}  // namespace oriel
