// SPDX-License-Identifier: BSL-1.0
#include "oriel/mask/key_padding.hpp"

#include <gtest/gtest.h>

#include "mask_laws.hpp"

template <>
struct mask_examples<oriel::key_padding> {
  static constexpr bool exact_cover = true;
  static std::vector<mask_example<oriel::key_padding>> all() {
    return {{{{0, 20}}, 10}, {{{5, 5}}, 0}, {{{-3, 40}}, 0}, {{{INT64_MIN, INT64_MAX}}, 0}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(KeyPadding, MaskLaws, oriel::key_padding);

namespace oriel {
namespace {

TEST(KeyPadding, EndsBehindItsBegin) {
  EXPECT_TRUE((key_padding{{3, 3}}.check().ok()));
  EXPECT_EQ((key_padding{{3, 2}}.check().code), errc::mask);
  EXPECT_FALSE((key_padding{{3, 5}}.visible(0, 2)));
  EXPECT_TRUE((key_padding{{3, 5}}.visible(0, 4)));
  EXPECT_FALSE((key_padding{{3, 5}}.visible(0, 5)));
}

}  // namespace
}  // namespace oriel
