// SPDX-License-Identifier: BSL-1.0
#include "oriel/codec/rounding.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "dice.hpp"
#include "each_arch.hpp"

namespace oriel {
namespace {

TYPED_TEST_SUITE(EachArch, kernel_archs, arch_names);

TYPED_TEST(EachArch, ExtentOfAnyCount) {
  dice d(1);
  for (index count = 1; count <= 64; ++count) {
    std::vector<float> x(static_cast<std::size_t>(count));
    for (float& one : x) one = d.real() * 10.0f - 3.0f;
    extent const got = extent_of<TypeParam>(x.data(), count);
    EXPECT_EQ(got.low, *std::min_element(x.begin(), x.end()));
    EXPECT_EQ(got.high, *std::max_element(x.begin(), x.end()));
    EXPECT_TRUE(got.finite);
    for (float const bad : {HUGE_VALF, -HUGE_VALF, std::nanf("")}) {
      std::vector<float> spoilt = x;
      spoilt[static_cast<std::size_t>(d.between(index{0}, count - 1))] = bad;
      EXPECT_FALSE(extent_of<TypeParam>(spoilt.data(), count).finite);
    }
  }
}

TYPED_TEST(EachArch, RoundsAndCuts) {
  using arch = TypeParam;
  std::vector<float> const x{0.5f,  1.5f, 2.5f,      -0.5f,  -1.5f,      -2.5f,         0.49999997f,
                             -0.2f, 6.9f, HUGE_VALF, -99.0f, -HUGE_VALF, std::nanf(""), 7.5f};
  std::vector<float> const even{0, 2, 2, 0, -2, -2, 0, 0, 7, 7, -8, -8, -8, 7};
  std::vector<float> const away{1, 2, 3, -1, -2, -3, 0, 0, 7, 7, -8, -8, -8, 7};
  auto const same = [](vec<arch> t) { return t; };
  std::vector<float> got(x.size());
  round_to_integers<arch>(x.data(), std::ssize(x), -8.0f, 7.0f, got.data(), same);
  EXPECT_EQ(got, even);
  round_to_integers<arch, ties::away>(x.data(), std::ssize(x), -8.0f, 7.0f, got.data(), same);
  EXPECT_EQ(got, away);
}

}  // namespace
}  // namespace oriel
