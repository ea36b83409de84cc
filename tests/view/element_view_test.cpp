// SPDX-License-Identifier: BSL-1.0
#include "oriel/view/element_view.hpp"

#include <gtest/gtest.h>

namespace oriel {
namespace {

static_assert(std::is_convertible_v<tensor_view<float>, output_view>);
static_assert(std::is_convertible_v<tensor_view<bf16 const>, input_view>);
static_assert(std::is_convertible_v<tensor_view<f16>, input_view>);
static_assert(std::is_convertible_v<tensor_view<float>, input_view>);
static_assert(!std::is_convertible_v<tensor_view<bf16 const>, output_view>, "const stays");
static_assert(!std::is_convertible_v<tensor_view<double>, input_view>);
static_assert(!std::is_convertible_v<tensor_view<std::uint16_t>, input_view>);
static_assert(std::is_trivially_copyable_v<output_view>);
static_assert(input_view().empty() && input_view().data == nullptr);

constexpr view_rules rules{"sizes", "strides", "null", "aligned"};
alignas(64) bf16 room[64];

TEST(ElementView, KeepsWhatItIsMadeOf) {
  output_view const view(room, 2, 3, 4, 20, -5);
  EXPECT_EQ(view.type, element_type::bf16);
  EXPECT_EQ(view.as<bf16>().row(1, 2), room + 20 - 10);
  EXPECT_EQ(output_view(tensor_view<f16>()).type, element_type::f16);
  EXPECT_EQ(output_view().type, element_type::f32);
  EXPECT_EQ(input_view(nullptr, 0, 3, 4).heads, 3);
  output_view const part = view.slice({1, 2});
  EXPECT_EQ(part.data, room + 20);
  EXPECT_EQ(part.tokens, 1);
  EXPECT_EQ(part.type, element_type::bf16);
  EXPECT_TRUE(view.slice({1, 1}).empty());
}

TEST(ElementView, IsCheckedAsItsElements) {
  auto const code = [](output_view const& view) { return check(view, rules).code; };
  EXPECT_EQ(code({room, 2, 3, 4}), errc::ok);
  EXPECT_EQ(code({room + 1, 2, 3, 4}), errc::ok) << "2 bytes are enough";
  auto* const odd = reinterpret_cast<bf16*>(reinterpret_cast<char*>(room) + 1);
  EXPECT_EQ(code({odd, 2, 3, 4}), errc::alignment);
  EXPECT_EQ(code({reinterpret_cast<float*>(room + 1), 2, 3, 4}), errc::alignment);
  EXPECT_EQ(code({static_cast<f16*>(nullptr), 2, 3, 4}), errc::memory);
  EXPECT_EQ(code({room, 2, -3, 4}), errc::shape);
  EXPECT_EQ(code({room, 2, 3, INT64_MAX}), errc::shape);
}

TEST(ElementView, OverlapsByBytes) {
  output_view const out(room, 2, 2, 4);  // bytes [0, 32)
  EXPECT_EQ(footprint(out).end - footprint(out).begin, 32u);
  EXPECT_TRUE(overlaps(out, input_view(room + 15, 1, 1, 1)));
  EXPECT_FALSE(overlaps(out, input_view(room + 16, 1, 1, 1)));
  auto* const floats = reinterpret_cast<float*>(room);
  EXPECT_TRUE(overlaps(out, input_view(floats + 7, 1, 1, 1)));
  EXPECT_FALSE(overlaps(out, input_view(floats + 8, 1, 1, 1)));
  auto* const halves = reinterpret_cast<f16*>(room);
  // Slices of one fused buffer [2, 2 x 2 x 4] share no element.
  EXPECT_FALSE(overlaps(output_view(room, 2, 2, 4, 16, 4), input_view(halves + 8, 2, 2, 4, 16, 4)));
  EXPECT_TRUE(overlaps(output_view(room, 2, 2, 4, 16, 4), input_view(halves + 7, 2, 2, 4, 16, 4)));
  EXPECT_TRUE(rows_are_disjoint(out));
  EXPECT_FALSE(rows_are_disjoint(output_view(room, 2, 2, 4, 8, 3)));
}

}  // namespace
}  // namespace oriel
