// SPDX-License-Identifier: BSL-1.0
#include "oriel/codec/scaled.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "coded.hpp"
#include "dice.hpp"
#include "each_arch.hpp"

namespace oriel::test {
namespace {

TYPED_TEST_SUITE(EachArch, kernel_archs, arch_names);

static_assert(codec<scaled_int8> && codec<scaled_int4>);
static_assert(scaled_int8::row_bytes(33) == 33 && scaled_int4::row_bytes(33) == 17);

template <int Bits, class Arch>
void expect_scaled() {
  dice d(4);
  constexpr int half = 1 << (Bits - 1);
  for (index const dim : {1, 7, 16, 17, 33, 64}) {
    for (bool const per_channel : {false, true}) {
      std::vector<float> scales(static_cast<std::size_t>(3 * dim));
      for (float& s : scales) s = std::ldexp(1.5f + d.real(), -5);
      scaled<Bits> const of{scales.data(), per_channel};
      std::vector<float> row(static_cast<std::size_t>(dim));
      index const head = 2;
      for (std::size_t i = 0; i < row.size(); ++i) {
        float const s = per_channel ? scales[static_cast<std::size_t>(head * dim) + i] : scales[0];
        row[i] =
            s * static_cast<float>(d.between(-half * 4, half * 4)) * 0.5f;  // ties, and too far
      }
      std::vector<std::byte> const bytes = stored<Arch>(of, row, head);
      std::vector<float> const got = loaded<Arch>(of, bytes, dim, head);
      for (std::size_t i = 0; i < row.size(); ++i) {
        float const s = per_channel ? scales[static_cast<std::size_t>(head * dim) + i] : scales[0];
        float volatile const quotient = row[i] / s;
        float const whole = std::clamp(std::nearbyint(quotient), -static_cast<float>(half),
                                       static_cast<float>(half - 1));
        int const byte = std::to_integer<int>(bytes[Bits == 8 ? i : i / 2]);
        int const code =
            Bits == 8 ? static_cast<std::int8_t>(byte) : (i % 2 == 0 ? byte & 15 : byte >> 4) - 8;
        ASSERT_EQ(static_cast<float>(code), whole) << i;
        ASSERT_EQ(got[i], whole * s);
      }
      if (Bits == 4 && dim % 2 == 1) {
        EXPECT_EQ(std::to_integer<int>(bytes.back()) >> 4, 0);
      }
    }
  }
}

TYPED_TEST(EachArch, CodesAreRoundedToEvenAndCut) {
  expect_scaled<8, TypeParam>();
  expect_scaled<4, TypeParam>();
}

TEST(Scaled, NaNAndInfinities) {
  float const one = 1.0f;
  std::vector<float> const row{std::nanf(""), HUGE_VALF, -HUGE_VALF, -0.0f};
  EXPECT_EQ(loaded(scaled_int8{&one}, stored(scaled_int8{&one}, row), 4),
            (std::vector{-128.0f, 127.0f, -128.0f, 0.0f}));
  EXPECT_EQ(loaded(scaled_int4{&one}, stored(scaled_int4{&one}, row), 4),
            (std::vector{-8.0f, 7.0f, -8.0f, 0.0f}));
}

}  // namespace
}  // namespace oriel::test
