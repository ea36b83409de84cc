// SPDX-License-Identifier: BSL-1.0
#include "oriel/codec/group_scales.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "coded_rows.hpp"
#include "each_arch.hpp"
#include "oriel/codec/ggml.hpp"
#include "oriel/codec/quantized.hpp"

namespace oriel::test {
namespace {

TYPED_TEST_SUITE(EachArch, kernel_archs, arch_names);

template <class Arch, class Codec, index Channels>
void expect_scales(index dim) {
  constexpr index room = 12;
  index const groups = dim / Codec::group;
  EXPECT_EQ(group_parameters<Codec>(dim), groups * (Codec::has_zero ? 2 : 1));
  for (index const count : {1, 3, 4, 9}) {
    rows_of<Arch, Codec> const rows(count, dim);
    std::vector<float> scale(static_cast<std::size_t>(groups * room), -7.0f), zero = scale;
    group_scales<Arch, Codec, Channels>(rows.slice, scale.data(), zero.data(), room);
    for (index g = 0; g < groups; ++g) {
      for (index i = 0; i < room; ++i) {
        auto const at = static_cast<std::size_t>(g * room + i);
        auto const from = static_cast<std::size_t>(i * groups + g);
        ASSERT_EQ(scale[at], i < count ? rows.scale[from] : -7.0f)
            << "group " << g << ", row " << i;
        ASSERT_EQ(zero[at], i < count && Codec::has_zero ? rows.zero[from] : -7.0f);
      }
    }
  }
}

TYPED_TEST(EachArch, ScalesComeGroupAfterGroup) {
  expect_scales<TypeParam, int8, 0>(32);
  expect_scales<TypeParam, int8, 128>(128);
  expect_scales<TypeParam, q8_0, 0>(96);
  expect_scales<TypeParam, int4, 128>(128);
  expect_scales<TypeParam, q4_0, 0>(256);
  expect_scales<TypeParam, quantized<8, 64, true, float>, 0>(320);
}

}  // namespace
}  // namespace oriel::test
