// SPDX-License-Identifier: BSL-1.0
#include "oriel/codec/ggml.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "coded.hpp"
#include "dice.hpp"
#include "each_arch.hpp"

namespace oriel::test {
namespace {

static_assert(register_codec<q8_0> && register_codec<q4_0>);
static_assert(integer_codec<q8_0> && integer_codec<q4_0>);

TYPED_TEST_SUITE(EachArch, kernel_archs, arch_names);

static_assert(codec<q8_0> && codec<q4_0>);
static_assert(q8_0::row_bytes(128) == 136 && q4_0::row_bytes(128) == 72 && q4_0::row_bytes(0) == 0);

/// The blocks by the definition, element by element.
std::vector<std::byte> plain_q8_0(std::vector<float> const& row) {
  std::vector<std::byte> to;
  for (std::size_t at = 0; at < row.size(); at += 32) {
    float most = 0.0f;
    for (std::size_t i = 0; i < 32; ++i) most = std::max(most, std::abs(row[at + i]));
    float volatile const d = most / 127.0f;
    float volatile const id = d != 0.0f ? 1.0f / d : 0.0f;
    f16 const stored_d(d);
    to.push_back(std::byte(static_cast<unsigned char>(stored_d.bits & 0xff)));
    to.push_back(std::byte(static_cast<unsigned char>(stored_d.bits >> 8)));
    for (std::size_t i = 0; i < 32; ++i) {
      float volatile const x = row[at + i] * id;
      to.push_back(std::byte(static_cast<unsigned char>(static_cast<int>(std::round(x)))));
    }
  }
  return to;
}
std::vector<std::byte> plain_q4_0(std::vector<float> const& row) {
  std::vector<std::byte> to;
  for (std::size_t at = 0; at < row.size(); at += 32) {
    float size = 0.0f, most = 0.0f;
    for (std::size_t i = 0; i < 32; ++i) {
      if (size < std::abs(row[at + i])) size = std::abs(row[at + i]), most = row[at + i];
    }
    float volatile const d = most / -8.0f;
    float volatile const id = d != 0.0f ? 1.0f / d : 0.0f;
    f16 const stored_d(d);
    to.push_back(std::byte(static_cast<unsigned char>(stored_d.bits & 0xff)));
    to.push_back(std::byte(static_cast<unsigned char>(stored_d.bits >> 8)));
    auto const code = [&](std::size_t i) {
      float volatile const x = row[at + i] * id;
      float volatile const shifted = x + 8.5f;
      return std::min(15, static_cast<int>(shifted));
    };
    for (std::size_t i = 0; i < 16; ++i) {
      to.push_back(std::byte(static_cast<unsigned char>(code(i) | code(i + 16) << 4)));
    }
  }
  return to;
}

TYPED_TEST(EachArch, BlocksAreThoseOfTheDefinition) {
  dice d(9);
  for (int round = 0; round < 2000; ++round) {
    std::vector<float> row(64);
    float const size = std::ldexp(1.0f, d.between(-30, 17));
    bool const ties = d.coin();  // multiples of half a step
    for (float& x : row) {
      x = ties ? static_cast<float>(d.between(-254, 254)) * 0.5f : size * d.real();
    }
    if (ties) row[7] = d.coin() ? 127.0f : -127.0f, row[9] = -row[7];
    if (d.between(0, 9) == 0) std::fill(row.begin(), row.begin() + 32, 0.0f);
    std::vector<std::byte> const eight = stored<TypeParam>(q8_0{}, row);
    ASSERT_EQ(eight, plain_q8_0(row)) << round;
    std::vector<std::byte> const four = stored<TypeParam>(q4_0{}, row);
    ASSERT_EQ(four, plain_q4_0(row)) << round;
    std::vector<float> const from_8 = loaded<TypeParam>(q8_0{}, eight, 64);
    std::vector<float> const from_4 = loaded<TypeParam>(q4_0{}, four, 64);
    for (std::size_t i = 0; i < 64; ++i) {
      f16 scale;
      std::memcpy(&scale, eight.data() + i / 32 * 34, 2);
      auto const code = static_cast<std::int8_t>(eight[i / 32 * 34 + 2 + i % 32]);
      ASSERT_EQ(from_8[i], static_cast<float>(scale) * code);
      std::memcpy(&scale, four.data() + i / 32 * 18, 2);
      int const both = std::to_integer<int>(four[i / 32 * 18 + 2 + i % 16]);
      int const nibble = i % 32 < 16 ? both & 15 : both >> 4;
      ASSERT_EQ(from_4[i], static_cast<float>(scale) * static_cast<float>(nibble - 8));
    }
  }
}

TEST(Ggml, WhatCanNotBeHeldIsNaNAndStaysInItsBlock) {
  for (float const bad : {HUGE_VALF, -HUGE_VALF, std::nanf("")}) {
    std::vector<float> row(96, 0.5f);
    row[40] = bad;
    for (auto const& got : {there_and_back(q8_0{}, row), there_and_back(q4_0{}, row)}) {
      EXPECT_NEAR(got[31], 0.5f, 0.01f);
      EXPECT_TRUE(std::isnan(got[32]));
      EXPECT_NEAR(got[64], 0.5f, 0.01f);
    }
  }
}

TEST(Ggml, RowsAreWholeBlocks) {
  EXPECT_TRUE(check_codec<q8_0>(64).ok());
  EXPECT_EQ(check_codec<q8_0>(80).code, errc::shape);
  EXPECT_EQ(check_codec<q4_0>(1).code, errc::shape);
}

}  // namespace
}  // namespace oriel::test
