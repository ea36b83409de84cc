// SPDX-License-Identifier: BSL-1.0
#include "oriel/simd/widen.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "dice.hpp"
#include "each_arch.hpp"

namespace oriel {
namespace {

TYPED_TEST_SUITE(EachArch, compiled_archs, arch_names);

template <class Arch, class T>
void expect_widened() {
  std::vector<T> all(0x10000 + 7);
  for (std::size_t i = 0; i < all.size(); ++i) all[i].bits = static_cast<std::uint16_t>(i);
  std::vector<float> got(all.size() + 1, -7.0f);
  widen_row<Arch>(all.data(), static_cast<index>(all.size()), got.data());
  for (std::size_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i]),
              std::bit_cast<std::uint32_t>(static_cast<float>(all[i])))
        << i;
  }
  EXPECT_EQ(got.back(), -7.0f);
}

template <class Arch, class T>
void expect_narrowed() {
  dice d(5);
  std::vector<float> all;
  for (std::uint32_t u = 0; u < 0x10000u; ++u) {  // every exponent, and bits near the rounding's
    for (std::uint32_t const low : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu, 0x1000u, 0xfffu}) {
      all.push_back(std::bit_cast<float>(u << 16 | low));
    }
    auto const any = static_cast<std::uint32_t>(d.between(index{0}, index{0xffffffff}));
    all.push_back(std::bit_cast<float>(any));
  }
  all.push_back(65520.0f);
  std::vector<T> got(all.size() + 1);
  got.back().bits = 0xa5a5;
  narrow_row<Arch>(all.data(), static_cast<index>(all.size()), got.data());
  for (std::size_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(got[i].bits, T(all[i]).bits) << std::bit_cast<std::uint32_t>(all[i]);
  }
  EXPECT_EQ(got.back().bits, 0xa5a5);
}

/// Elements in twos of registers, and few of them at any address.
template <class Arch, class T>
void expect_parts_and_few() {
  constexpr index two = 2 * lanes<Arch>;
  std::vector<T> all(0x10000);
  for (std::size_t i = 0; i < all.size(); ++i) all[i].bits = static_cast<std::uint16_t>(i);
  auto const same = [](float a, T b) {
    return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(static_cast<float>(b));
  };
  for (index at = 0; at + two <= std::ssize(all); at += two) {
    T const* const from = all.data() + at;
    float got[two];
    store<Arch>(got, widen_part<Arch, 0>(from));
    store<Arch>(got + lanes<Arch>, widen_part<Arch, 1>(from));
    for (index i = 0; i < two; ++i) ASSERT_TRUE(same(got[i], from[i])) << at + i;
  }
  for (index const count : {0, 1, 3, 4, 7, 8, 13, 37, 0x10000}) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(count) * sizeof(T) + 1);
    if (count > 0) std::memcpy(bytes.data() + 1, all.data(), bytes.size() - 1);
    std::vector<float> got(static_cast<std::size_t>(count) + 1, -7.0f);
    widen_few<Arch, T>(bytes.data() + 1, count, got.data());
    for (index i = 0; i < count; ++i) {
      ASSERT_TRUE(same(got[static_cast<std::size_t>(i)], all[static_cast<std::size_t>(i)])) << i;
    }
    EXPECT_EQ(got.back(), -7.0f);
  }
}

TYPED_TEST(EachArch, WidensAsElementByElement) {
  expect_widened<TypeParam, bf16>();
  expect_widened<TypeParam, f16>();
}
TYPED_TEST(EachArch, WidensPartsAndFew) {
  expect_parts_and_few<TypeParam, bf16>();
  expect_parts_and_few<TypeParam, f16>();
}
TYPED_TEST(EachArch, NarrowsAsElementByElement) {
  expect_narrowed<TypeParam, bf16>();
  expect_narrowed<TypeParam, f16>();
}
template <class Arch, int Bits, bool Signed>
void expect_mapped() {
  std::vector<std::byte> bytes(256 + 16);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = std::byte(static_cast<unsigned char>(i * 37));
  }
  auto const f = [](vec<Arch> code) {
    return fma<Arch>(code, broadcast<Arch>(0.3f), broadcast<Arch>(-1.7f));
  };
  for (int shift = 0; shift + Bits <= 8; shift += Bits) {
    for (std::size_t i = 0; i < 256; ++i) {
      float want[lanes<Arch>], got[lanes<Arch>];
      store<Arch>(want, f(widen_bits<Arch, Bits, Signed>(bytes.data() + i, shift)));
      store<Arch>(got, map_bits<Arch, Bits, Signed>(bytes.data() + i, shift, f));
      ASSERT_EQ(std::memcmp(want, got, sizeof want), 0) << Bits << " bits from " << shift;
    }
  }
}
TYPED_TEST(EachArch, MapsCodesAsOneByOne) {
  expect_mapped<TypeParam, 8, true>();
  expect_mapped<TypeParam, 8, false>();
  expect_mapped<TypeParam, 4, false>();
  expect_mapped<TypeParam, 2, false>();
}
TYPED_TEST(EachArch, FloatsStayAsTheyAre) {
  std::vector<float> const from{1.0f, -0.0f, 3.0f, 4.0f, 5.0f, 6.0f, 7.0f, 8.0f, 9.0f,
                                10.f, 11.f,  12.f, 13.f, 14.f, 15.f, 16.f, 17.f};
  std::vector<float> to(17), back(17);
  widen_row<TypeParam>(from.data(), 17, to.data());
  narrow_row<TypeParam>(to.data(), 17, back.data());
  EXPECT_EQ(std::memcmp(from.data(), back.data(), 17 * sizeof(float)), 0);
}

}  // namespace
}  // namespace oriel
