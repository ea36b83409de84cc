// SPDX-License-Identifier: BSL-1.0
#include "oriel/codec/quantized.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "coded.hpp"
#include "dice.hpp"
#include "each_arch.hpp"

namespace oriel::test {
namespace {

static_assert(register_codec<int8> && register_codec<int4> && register_codec<int2>);
static_assert(integer_codec<int8> && integer_codec<int4> && integer_codec<int2>);

TYPED_TEST_SUITE(EachArch, kernel_archs, arch_names);

static_assert(codec<int8> && codec<int4> && codec<int4_symmetric> && codec<int2>);
static_assert(int8::row_bytes(128) == 136 && int4::row_bytes(128) == 80);
static_assert(int4_symmetric::row_bytes(128) == 72 && int2::row_bytes(128) == 48);
static_assert(int8::row_bytes(1) == 18 && int4::row_bytes(33) == 32 + 8 &&
              int2::row_bytes(64) == 24);

/// `codec`, with the bound of its comment: 0.51 of the group's scale, and its zero's rounding.
template <class Arch, class Codec>
void expect_codec(Codec const& codec, index group, double levels, bool has_zero, double unit) {
  dice d(3);
  for (index const dim : {1, 2, 15, 16, 17, 31, 32, 33, 64, 65, 80, 128, 200}) {
    for (int round = 0; round < 20; ++round) {
      std::vector<float> row(static_cast<std::size_t>(dim));
      float const size = std::ldexp(1.0f, d.between(-8, 8));
      float const shift = d.coin() ? 0.0f : 3.0f * size * d.real();
      for (float& x : row) x = d.between(0, 9) == 0 ? shift : size * d.real() + shift;
      std::vector<std::byte> const bytes = stored<Arch>(codec, row);
      EXPECT_EQ(bytes, stored(codec, row)) << "the same bytes on every instruction set";
      std::vector<float> const got = loaded<Arch>(codec, bytes, dim);
      EXPECT_EQ(got, loaded(codec, bytes, dim)) << "the same bits on every instruction set";
      for (index at = 0; at < dim; at += group) {
        auto const begin = row.begin() + at;
        auto const end = row.begin() + min_of(at + group, dim);
        auto const [low, high] = std::minmax_element(begin, end);
        double const reach = has_zero ? static_cast<double>(*high) - *low
                                      : std::max(std::abs(*high), std::abs(*low));
        double const zero = has_zero ? std::abs(static_cast<double>(*low)) : 0.0;
        // The scale itself is rounded, by `unit`, and begins at a rounded zero.
        double const scale = (reach + unit * zero) / levels * (1.0 + unit) + 0x1p-25;
        double const bound =
            0.51 * scale + unit * zero + levels * 0x1p-25 * (unit > 0x1p-12 ? 1 : 0);
        for (auto x = begin; x != end; ++x) {
          float const y = got[static_cast<std::size_t>(x - row.begin())];
          ASSERT_LE(std::abs(static_cast<double>(*x) - y), bound) << dim << " at " << *x;
        }
      }
    }
  }
}

TYPED_TEST(EachArch, ErrorsAreWithinTheirBounds) {
  expect_codec<TypeParam>(int8{}, 32, 127, false, 0x1p-11);
  expect_codec<TypeParam>(quantized<8, 64, false, float>{}, 64, 127, false, 0x1p-24);
  expect_codec<TypeParam>(int4{}, 32, 15, true, 0x1p-11);
  expect_codec<TypeParam>(int4_symmetric{}, 32, 7, false, 0x1p-11);
  expect_codec<TypeParam>(int2{}, 32, 3, true, 0x1p-11);
  expect_codec<TypeParam>(quantized<2, 16, false, f16>{}, 16, 1, false, 0x1p-11);
  expect_codec<TypeParam>(quantized<8, 32, true, f16>{}, 32, 255, true, 0x1p-11);
}

TEST(Quantized, WhatCanNotBeHeldIsNaNAndStaysInItsGroup) {
  auto const expect = [](auto codec, std::size_t group) {
    for (float const bad : {HUGE_VALF, -HUGE_VALF, std::nanf("")}) {
      std::vector<float> row(3 * group, 0.5f);
      row[group + 3] = bad;
      std::vector<float> const got = there_and_back(codec, row);
      for (std::size_t i = 0; i < got.size(); ++i) {
        bool const spoilt = i / group == 1;
        EXPECT_EQ(std::isnan(got[i]), spoilt) << i;
        if (!spoilt) {
          EXPECT_NEAR(got[i], 0.5f, 0.01f);
        }
      }
    }
  };
  expect(int8{}, 32);
  expect(int4{}, 32);
  expect(int4_symmetric{}, 32);
  expect(int2{}, 32);
  std::vector<float> const far(32, 1e6f);
  EXPECT_TRUE(std::isnan(there_and_back(int4{}, far)[0])) << "beyond f16";
  EXPECT_NEAR(there_and_back(int8{}, far)[0], 1e6f, 1e6f / 1024);
}

TEST(Quantized, ZerosAndTinyNumbers) {
  for (float const x : {0.0f, -0.0f, 0x1p-149f, -0x1p-130f}) {
    std::vector<float> const row(64, x);
    EXPECT_NEAR(there_and_back(int8{}, row)[5], 0.0f, 0x1p-126f);
    EXPECT_EQ(there_and_back(int4{}, row)[5], 0.0f);
    EXPECT_EQ(there_and_back(int4_symmetric{}, row)[5], 0.0f);
    EXPECT_EQ(there_and_back(int2{}, row)[5], 0.0f);
  }
  std::vector<float> const same(64, 1.5f);  // f16 holds it: no error at all
  EXPECT_EQ(there_and_back(int4{}, same), same);
  EXPECT_EQ(there_and_back(int2{}, same), same);
}

TEST(Quantized, CodesLieWhereTheCommentSays) {
  std::vector<float> row(64);
  for (std::size_t i = 0; i < 64; ++i) row[i] = static_cast<float>(i % 4);  // zero 0, scale 1
  std::vector<std::byte> const two = stored(int2{}, row);
  for (index i = 0; i < 64; ++i) {
    int const code = std::to_integer<int>(two[static_cast<std::size_t>(i % 16)]) >> i / 16 * 2 & 3;
    EXPECT_EQ(code, i % 4);
  }
  std::vector<float> ramp(16);
  for (std::size_t i = 0; i < 16; ++i) ramp[i] = static_cast<float>(i);
  std::vector<std::byte> const four = stored(int4{}, ramp);
  for (std::size_t i = 0; i < 16; ++i)
    EXPECT_EQ(std::to_integer<int>(four[i]), static_cast<int>(i));
  std::vector<float> const signs{127.0f, -127.0f, -1.0f};
  std::vector<std::byte> const eight = stored(int8{}, signs);
  EXPECT_EQ(std::to_integer<int>(eight[1]), 0x81);
  EXPECT_EQ(std::to_integer<int>(eight[2]), 0xff);
}

}  // namespace
}  // namespace oriel::test
