// SPDX-License-Identifier: BSL-1.0
#include "oriel/mask/full.hpp"

#include <gtest/gtest.h>

#include "mask_laws.hpp"

template <>
struct mask_examples<oriel::full> {
  static constexpr bool exact_cover = true;
  static std::vector<mask_example<oriel::full>> all() { return {{{}}}; }
};
INSTANTIATE_TYPED_TEST_SUITE_P(Full, MaskLaws, oriel::full);

namespace oriel {
namespace {

static_assert(std::is_empty_v<full>, "a mask never occupies memory");
static_assert(full{}.visible(0, max_position - 1) && full{}.visible(max_position - 1, 0));

}  // namespace
}  // namespace oriel
