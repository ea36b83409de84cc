// SPDX-License-Identifier: BSL-1.0
#include "oriel/core/float16.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace oriel {
namespace {

static_assert(sizeof(bf16) == 2 && sizeof(f16) == 2);
static_assert(static_cast<float>(f16(1.0f)) == 1.0f && static_cast<float>(bf16(-2.5f)) == -2.5f);
static_assert(std::is_trivially_copyable_v<bf16> && std::is_trivially_copyable_v<f16>);

/// The number that bits stand for, by the definition of the format.
template <class T>
double value_of(std::uint16_t bits) {
  constexpr int mantissa_bits = std::is_same_v<T, bf16> ? 7 : 10;
  constexpr int bias = std::is_same_v<T, bf16> ? 127 : 15;
  int const exponent = (bits & 0x7fff) >> mantissa_bits;
  int const mantissa = bits & ((1 << mantissa_bits) - 1);
  double const size =
      exponent == 0 ? std::ldexp(mantissa, 1 - bias - mantissa_bits)
                    : std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
  return (bits & 0x8000) != 0 ? -size : size;
}

template <class T>
T of_bits(std::uint16_t bits) {
  T x;
  x.bits = bits;
  return x;
}

template <class T>
void expect_format(std::uint16_t infinity) {
  for (std::uint32_t u = 0; u < 0x10000u; ++u) {
    auto const bits = static_cast<std::uint16_t>(u);
    auto const x = static_cast<float>(of_bits<T>(bits));
    if ((bits & 0x7fff) > infinity) {
      EXPECT_TRUE(std::isnan(x));
      EXPECT_EQ(std::signbit(x), (bits & 0x8000) != 0);
      T const again(x);
      EXPECT_TRUE(std::isnan(static_cast<float>(again)));
      EXPECT_EQ(again.bits | 0x8000, bits | 0x8000 | (infinity == 0x7c00 ? 0x200 : 0x40));
      continue;
    }
    EXPECT_EQ(T(x).bits, bits) << "there and back";
    if ((bits & 0x7fff) == infinity) {
      EXPECT_TRUE(std::isinf(x));
      continue;
    }
    ASSERT_EQ(static_cast<double>(x), value_of<T>(bits)) << bits;
    ASSERT_EQ(std::signbit(x), (bits & 0x8000) != 0);
    // Halfway to the next number, whose value stands for infinity's bits too.
    double const next = value_of<T>(static_cast<std::uint16_t>(bits + 1));
    double const middle = value_of<T>(bits) / 2 + next / 2;
    auto const half = static_cast<float>(middle);
    if (static_cast<double>(half) != middle || std::isinf(half)) continue;  // no float lies there
    std::uint16_t const even = (bits & 1) != 0 ? static_cast<std::uint16_t>(bits + 1) : bits;
    float const away = (bits & 0x8000) != 0 ? -HUGE_VALF : HUGE_VALF;
    EXPECT_EQ(T(half).bits, even) << bits;
    EXPECT_EQ(T(std::nextafter(half, 0.0f)).bits, bits) << bits;
    EXPECT_EQ(T(std::nextafter(half, away)).bits, bits + 1) << bits;
  }
}

TEST(Bf16, EveryNumberAndEveryTie) { expect_format<bf16>(0x7f80); }
TEST(F16, EveryNumberAndEveryTie) { expect_format<f16>(0x7c00); }

TEST(Float16, Edges) {
  float const huge = std::numeric_limits<float>::max();
  float const tiny = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(bf16(huge).bits, 0x7f80);
  EXPECT_EQ(bf16(-huge).bits, 0xff80);
  EXPECT_EQ(bf16(tiny).bits, 0);
  EXPECT_EQ(bf16(-tiny).bits, 0x8000);
  EXPECT_EQ(f16(65519.996f).bits, 0x7bff);
  EXPECT_EQ(f16(65520.0f).bits, 0x7c00);
  EXPECT_EQ(f16(huge).bits, 0x7c00);
  EXPECT_EQ(f16(-HUGE_VALF).bits, 0xfc00);
  EXPECT_EQ(f16(tiny).bits, 0);
  EXPECT_EQ(f16(0x1p-25f).bits, 0) << "a tie, to even";
  EXPECT_EQ(f16(-0x1.000002p-25f).bits, 0x8001);
  float const signalling = std::bit_cast<float>(0xff80'0001u);
  EXPECT_EQ(bf16(signalling).bits, 0xffc0);
  EXPECT_EQ(f16(signalling).bits, 0xfe00);
}

}  // namespace
}  // namespace oriel
