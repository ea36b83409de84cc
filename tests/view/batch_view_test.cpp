// SPDX-License-Identifier: BSL-1.0
#include "oriel/view/batch_view.hpp"

#include <gtest/gtest.h>

#include "oriel/view/element_view.hpp"

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

TEST(BatchOf, ViewsWhoseTypeIsKnownLater) {
  f16 data[2 * 6] = {};
  batch_of<output_view> const b = batch_view<f16>(data, 2, 3, 1, 2);
  EXPECT_TRUE(check(b, rules).ok());
  EXPECT_EQ(b[1].as<f16>().data, data + 6);
  EXPECT_EQ(b[1].type, element_type::f16);
  batch_of<input_view> const read = batch_view<f16 const>(data, 2, 3, 1, 2);
  EXPECT_EQ(read[1].data, data + 6);
  static_assert(!std::is_convertible_v<batch_view<f16 const>, batch_of<output_view>>);
  EXPECT_EQ(batch_of<output_view>()[0].data, nullptr);
  batch_of<output_view> far = b;
  far.stride = INT64_MIN;
  EXPECT_EQ(check(far, rules).code, errc::shape);
  far.stride = max_position / 2 + 1;
  EXPECT_EQ(check(far, rules).code, errc::shape) << "bytes count";
}

}  // namespace
}  // namespace oriel
