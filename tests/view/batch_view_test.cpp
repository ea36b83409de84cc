// SPDX-License-Identifier: BSL-1.0
#include "oriel/view/batch_view.hpp"

#include <gtest/gtest.h>

namespace oriel {
namespace {

constexpr view_rules rules{"sizes", "strides", "null", "aligned"};

TEST(BatchView, PackedItemsFollowOneAnother) {
  float data[2 * 3 * 4 * 5] = {};
  batch_view<float> const b(data, 2, 3, 4, 5);
  EXPECT_TRUE(check(b, rules).ok());
  EXPECT_EQ(b[0].data, data);
  EXPECT_EQ(b[1].data, data + 60);
  EXPECT_EQ(b[1].row(2, 3), data + 60 + 55);
}

TEST(BatchView, HeadsMayLieOutermost) {
  float data[2 * 3 * 4 * 5] = {};  // [batch, heads, tokens, dim]
  batch_view<float> const b({data, 3, 4, 5, 5, 15}, 2, 60);
  EXPECT_TRUE(check(b, rules).ok());
  EXPECT_EQ(b[1].row(1, 2), data + 60 + 30 + 5);
}

TEST(BatchView, RejectsWhatCanNotBe) {
  float data[4] = {};
  EXPECT_TRUE(check(batch_view<float>(), rules).ok());
  EXPECT_EQ(check(batch_view<float>(data, -1, 1, 1, 1), rules).code, errc::shape);
  EXPECT_EQ(check(batch_view<float>(data, 2, -1, 1, 1), rules).code, errc::shape);
  EXPECT_EQ(check(batch_view<float>(nullptr, 2, 1, 1, 1), rules).code, errc::memory);
  EXPECT_EQ(check(batch_view<float>({data, 1, 1, 1}, 2, INT64_MIN), rules).code, errc::shape);
  EXPECT_EQ(check(batch_view<float>({data, 1, 1, 1}, 3, INT64_MAX / 2), rules).code, errc::shape);
  EXPECT_EQ(batch_view<float>({nullptr, 0, 1, 1}, 3, 7)[2].data, nullptr);
}

}  // namespace
}  // namespace oriel
