// SPDX-License-Identifier: BSL-1.0
#include "oriel/view/tensor_view.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <vector>

namespace oriel {
namespace {

using view = tensor_view<float>;

static_assert(std::is_convertible_v<view, tensor_view<float const>>);
static_assert(!std::is_convertible_v<tensor_view<float const>, view>, "const is never dropped");
static_assert(!std::is_convertible_v<tensor_view<double>, tensor_view<float const>>);
static_assert(std::is_trivially_copyable_v<view>);
static_assert(view().empty() && view().data == nullptr);

constexpr view_rules rules{"sizes", "strides", "null", "aligned"};
alignas(64) float room[8];

TEST(TensorView, ChecksNameTheRule) {
  constexpr index big = INT64_MAX;
  constexpr index least = INT64_MIN;
  constexpr index bytes = max_position / 4;  // floats that fill the positions' address space
  auto* const odd = reinterpret_cast<float*>(reinterpret_cast<char*>(room) + 2);
  struct test_case {
    view v;
    errc code;
    char const* what;
  };
  test_case const cases[] = {
      {{room, 2, 2, 2}, errc::ok, "ok"},
      {{room, 2, 2, 2, 2, 4}, errc::ok, "ok"},
      {{room + 6, 2, 2, 2, -4, -2}, errc::ok, "ok"},
      {{room, 5, 5, 2, 0, 0}, errc::ok, "ok"},
      // sizes
      {{room, -1, 2, 2}, errc::shape, "sizes"},
      {{room, 2, -1, 2}, errc::shape, "sizes"},
      {{room, 2, 2, -1}, errc::shape, "sizes"},
      {{room, least, least, least, 0, 0}, errc::shape, "sizes"},
      {{nullptr, -1, 0, 0, 0, 0}, errc::shape, "sizes"},
      // empty: nothing else matters
      {{nullptr, 0, 2, 2}, errc::ok, "ok"},
      {{nullptr, 2, 0, 2, least, big}, errc::ok, "ok"},
      {{odd, 2, 2, 0}, errc::ok, "ok"},
      // strides
      {{room, 2, 1, 1, least, 0}, errc::shape, "strides"},
      {{room, 1, 2, 1, 0, least}, errc::shape, "strides"},
      {{room, 2, 1, 1, big, 0}, errc::shape, "strides"},
      {{room, 2, 1, 1, least + 1, 0}, errc::shape, "strides"},
      {{room, 1, 2, 1, 0, -big}, errc::shape, "strides"},
      {{room, big, 1, 1, 2, 0}, errc::shape, "strides"},
      {{room, 1, big, 1, 0, big}, errc::shape, "strides"},
      {{room, big, big, big}, errc::shape, "strides"},
      {{room, 1, 1, big, 0, 0}, errc::shape, "strides"},
      {{room, 2, 2, 2, bytes / 2, bytes / 2}, errc::shape, "strides"},
      {{room, 2, 1, 2, bytes - 1, 0}, errc::shape, "strides"},
      {{room, 1, 1, 1, big, big}, errc::ok, "ok"},  // a stride nobody takes
      // memory
      {{nullptr, 2, 2, 2}, errc::memory, "null"},
      {{odd, 2, 2, 2}, errc::alignment, "aligned"},
  };
  for (auto const& [v, code, what] : cases) {
    status const s = check(v, rules);
    EXPECT_EQ(s.code, code) << &v - &cases[0].v;
    EXPECT_STREQ(s.what, what) << "case " << v.tokens << ' ' << v.heads << ' ' << v.dim << ' '
                               << v.token_stride << ' ' << v.head_stride;
  }
}

TEST(TensorView, RefusesStridesThatWrapAroundTheAddressSpace) {
  // Below address 0: no tensor lies there, and its footprint would turn around.
  view const v(room, 2, 1, 1, -(max_position / 8), 1);
  EXPECT_EQ(check(v, rules).code, errc::shape);
}

TEST(TensorView, ElementsLieWhereTheStridesSay) {
  std::vector<int> data(3 * 4 * 5);
  std::iota(data.begin(), data.end(), 0);
  // [tokens 3, heads 4, dim 5] packed, then the same data as head-major [4, 3, 5].
  tensor_view<int> const packed(data.data(), 3, 4, 5);
  tensor_view<int const> const by_head(data.data(), 3, 4, 5, 5, 15);
  EXPECT_EQ(packed.row(2, 3)[4], 59);
  EXPECT_EQ(packed.row(1, 2)[3], 1 * 20 + 2 * 5 + 3);
  EXPECT_EQ(by_head.row(1, 2)[3], 2 * 15 + 1 * 5 + 3);
  tensor_view<int const> const backwards(data.data() + 40, 3, 4, 5, -20, 5);
  EXPECT_EQ(backwards.row(2, 1)[0], 5);
}

TEST(TensorView, ASliceIsTheTokensOfItsRange) {
  std::vector<int> data(3 * 4 * 5);
  for (index stride : {20, -20}) {
    tensor_view<int> const all(data.data() + (stride < 0 ? 40 : 0), 3, 4, 5, stride, 5);
    for (index begin = 0; begin <= 3; ++begin) {
      for (index end = begin; end <= 3; ++end) {
        tensor_view<int> const part = all.slice({begin, end});
        ASSERT_EQ(part.tokens, end - begin);
        EXPECT_TRUE(check(part, rules).ok());
        EXPECT_EQ(part.heads * part.dim, 20);
        for (index t = 0; t < part.tokens; ++t) EXPECT_EQ(part.row(t, 2), all.row(begin + t, 2));
      }
    }
  }
  EXPECT_EQ(view().slice({0, 0}).tokens, 0);
}

}  // namespace
}  // namespace oriel
