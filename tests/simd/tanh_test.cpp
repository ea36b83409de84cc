// SPDX-License-Identifier: BSL-1.0
#include "oriel/simd/tanh.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "each_arch.hpp"

namespace oriel {
namespace {

template <class Arch>
class Tanh : public EachArch<Arch> {};
TYPED_TEST_SUITE(Tanh, compiled_archs, arch_names);

template <class Arch>
float tanh_of(float x) {
  float lane[lanes<Arch>];
  store<Arch>(lane, v0::tanh(broadcast<Arch>(x)));
  for (float const y : lane)
    EXPECT_EQ(std::bit_cast<std::uint32_t>(y), std::bit_cast<std::uint32_t>(lane[0]));
  return lane[0];
}

TYPED_TEST(Tanh, IsWithinSixUlpsFromTheSmallestToTheLargest) {
  double worst = 0.0;
  for (std::uint32_t bits = 0x0080'0000; bits < 0x7f80'0000; bits += 49'999) {
    auto const x = std::bit_cast<float>(bits);
    double const exact = std::tanh(static_cast<double>(x));
    double const ulp = std::exp2(std::floor(std::log2(exact)) - 23.0);
    double const error = std::abs(static_cast<double>(tanh_of<TypeParam>(x)) - exact) / ulp;
    worst = std::max(worst, error);
    EXPECT_EQ(tanh_of<TypeParam>(-x), -tanh_of<TypeParam>(x)) << x;
  }
  EXPECT_LE(worst, 6.0);
  this->RecordProperty("ulps", std::to_string(worst));
}

TYPED_TEST(Tanh, EndsAndNothing) {
  EXPECT_EQ(tanh_of<TypeParam>(0.0f), 0.0f);
  EXPECT_EQ(tanh_of<TypeParam>(infinity), 1.0f);
  EXPECT_EQ(tanh_of<TypeParam>(-infinity), -1.0f);
  EXPECT_TRUE(std::isnan(tanh_of<TypeParam>(NAN)));
}

TYPED_TEST(Tanh, AbsDropsTheSign) {
  float lane[lanes<TypeParam>];
  store<TypeParam>(lane, v0::abs(broadcast<TypeParam>(-2.5f)));
  EXPECT_EQ(lane[0], 2.5f);
  EXPECT_EQ(v0::abs(-0.5), 0.5);
}

}  // namespace
}  // namespace oriel
