// SPDX-License-Identifier: BSL-1.0
#include "oriel/simd/words.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "dice.hpp"
#include "each_arch.hpp"

namespace oriel::test {
namespace {

TYPED_TEST_SUITE(EachArch, kernel_archs, arch_names);

template <class Arch, class T>
std::vector<T> numbers(words<Arch> const& a) {
  std::vector<T> all(sizeof(a) / sizeof(T));
  store_words<Arch>(all.data(), a);
  return all;
}

/// The codes of Bits bits at `shift` of bytes, two runs of 16 that lie `between` bytes apart.
template <class Arch, int Bits, bool Signed>
void expect_codes() {
  std::array<std::byte, 64> bytes;
  dice d(3);
  for (std::byte& b : bytes) b = std::byte(static_cast<unsigned char>(d.between(0, 255)));
  for (index const between : {16, 18}) {
    for (int shift = 0; shift < 8; shift += Bits) {
      auto const got = numbers<Arch, std::int16_t>(
          widen_codes<Arch, Bits, Signed>(bytes.data(), shift, between));
      for (index i = 0; i < word_lanes<Arch>; ++i) {
        int const byte =
            std::to_integer<int>(bytes[static_cast<std::size_t>(i < 16 ? i : between + i - 16)]);
        int const code = Signed ? (byte ^ 0x80) - 0x80 : byte >> shift & ((1 << Bits) - 1);
        ASSERT_EQ(got[static_cast<std::size_t>(i)], code) << "code " << i << " at " << shift;
      }
    }
  }
}

TYPED_TEST(EachArch, CodesBecomeNumbers) {
  if constexpr (has_words<TypeParam>) {
    expect_codes<TypeParam, 8, true>();
    expect_codes<TypeParam, 8, false>();
    expect_codes<TypeParam, 4, false>();
    expect_codes<TypeParam, 2, false>();
  } else {
    GTEST_SKIP() << "no registers of 16-bit integers";
  }
}

TYPED_TEST(EachArch, ProductsAreSummedInPairs) {
  if constexpr (has_words<TypeParam>) {
    using arch = TypeParam;
    constexpr std::size_t count = word_lanes<arch>;
    std::vector<std::int16_t> a(count), b(count);
    std::vector<std::int32_t> c(count / 2);
    dice d(4);
    for (std::size_t i = 0; i < count; ++i) {
      a[i] = static_cast<std::int16_t>(d.between(-32768, 32767));
      b[i] = static_cast<std::int16_t>(d.between(-128, 127));
      c[i / 2] = static_cast<std::int32_t>(d.between(0, 999));
    }
    auto const x = load_words<arch>(a.data());
    auto const y = load_words<arch>(b.data());
    auto const sums = numbers<arch, std::int32_t>(pair_products<arch>(x, y));
    auto const more =
        numbers<arch, std::int32_t>(add_pair_products<arch>(load_words<arch>(c.data()), x, y));
    std::vector<float> floats(count / 2);
    store<arch>(floats.data(), to_floats<arch>(pair_products<arch>(x, y)));
    std::int16_t const three_five[] = {3, 5};
    auto const less =
        numbers<arch, std::int16_t>(subtract<arch>(y, broadcast_pair<arch>(three_five)));
    auto const sevens = numbers<arch, std::int16_t>(broadcast_word<arch>(7));
    auto const low = numbers<arch, std::int16_t>(interleave_low<arch>(x, y));
    auto const high = numbers<arch, std::int16_t>(interleave_high<arch>(x, y));
    for (std::size_t i = 0; i < count; i += 2) {
      int const sum = a[i] * b[i] + a[i + 1] * b[i + 1];
      EXPECT_EQ(sums[i / 2], sum);
      EXPECT_EQ(more[i / 2], c[i / 2] + sum);
      EXPECT_EQ(floats[i / 2], static_cast<float>(sum));
      EXPECT_EQ(sevens[i], 7);
      EXPECT_EQ(sevens[i + 1], 7);
      EXPECT_EQ(less[i], b[i] - 3);
      EXPECT_EQ(less[i + 1], b[i + 1] - 5);
      std::size_t const from = i / 8 * 8 + i % 8 / 2;  // within each 8 numbers
      EXPECT_EQ(low[i], a[from]);
      EXPECT_EQ(low[i + 1], b[from]);
      EXPECT_EQ(high[i], a[from + 4]);
      EXPECT_EQ(high[i + 1], b[from + 4]);
    }
  } else {
    GTEST_SKIP() << "no registers of 16-bit integers";
  }
}

/// Of each quarter of a register, 16 bytes of one of `Places` places.
template <class Arch, int Places>
void expect_quarters() {
  std::array<std::byte, 128> bytes;
  dice d(6);
  for (std::byte& b : bytes) b = std::byte(static_cast<unsigned char>(d.between(0, 255)));
  std::byte const* at[Places];
  for (int i = 0; i < Places; ++i) at[i] = bytes.data() + 29 * i;
  auto const got = numbers<Arch, std::uint8_t>(load_quarters<Arch>(at));
  for (std::size_t i = 0; i < 64; ++i) {
    ASSERT_EQ(got[i], std::to_integer<int>(at[i / 16 % Places][i % 16])) << "byte " << i;
  }
}

TYPED_TEST(EachArch, ProductsOfBytesAreSummedInFours) {
  if constexpr (has_byte_products<TypeParam>) {
    using arch = TypeParam;
    expect_quarters<arch, 1>();
    expect_quarters<arch, 2>();
    expect_quarters<arch, 4>();
    dice d(7);
    std::vector<std::uint8_t> a(64);
    std::vector<std::int8_t> b(64);
    std::vector<std::int32_t> parts(64);
    for (std::size_t i = 0; i < 64; ++i) {
      a[i] = static_cast<std::uint8_t>(d.between(0, 255));
      b[i] = static_cast<std::int8_t>(d.between(-128, 127));
      parts[i] = static_cast<std::int32_t>(d.between(-999'999, 999'999));
    }
    auto const x = load_words<arch>(a.data());
    auto const part = [&](int n) { return load_words<arch>(parts.data() + 16 * n); };
    auto const sums = numbers<arch, std::int32_t>(
        add_byte_products<arch>(words<arch>{}, x, load_words<arch>(b.data())));
    auto const more = numbers<arch, std::int32_t>(
        add_byte_products<arch>(part(0), x, load_words<arch>(b.data())));
    auto const sum = numbers<arch, std::int32_t>(add_wide<arch>(part(1), part(2)));
    auto const difference = numbers<arch, std::int32_t>(subtract_wide<arch>(part(1), part(2)));
    auto const large = numbers<arch, std::int32_t>(times_256<arch>(part(3)));
    auto const back = numbers<arch, std::int32_t>(to_integers<arch>(to_floats<arch>(part(3))));
    auto const quarters =
        numbers<arch, std::int32_t>(sum_quarters<arch>({part(0), part(1), part(2), part(3)}));
    for (std::size_t i = 0; i < 16; ++i) {
      int want = 0, of_quarter = 0;
      for (std::size_t j = 0; j < 4; ++j) {
        want += a[4 * i + j] * b[4 * i + j];
        of_quarter += parts[i % 4 * 16 + i / 4 * 4 + j];
      }
      EXPECT_EQ(sums[i], want);
      EXPECT_EQ(more[i], parts[i] + want);
      EXPECT_EQ(sum[i], parts[16 + i] + parts[32 + i]);
      EXPECT_EQ(difference[i], parts[16 + i] - parts[32 + i]);
      EXPECT_EQ(large[i], 256 * parts[48 + i]);
      EXPECT_EQ(back[i], parts[48 + i]);
      EXPECT_EQ(quarters[i], of_quarter);
    }
    auto const flipped = numbers<arch, std::uint8_t>(unsigned_codes<arch, 8, true>(x, 0));
    auto const same = numbers<arch, std::uint8_t>(unsigned_codes<arch, 8, false>(x, 0));
    auto const upper = numbers<arch, std::uint8_t>(unsigned_codes<arch, 4, false>(x, 4));
    auto const third = numbers<arch, std::uint8_t>(unsigned_codes<arch, 2, false>(x, 4));
    for (std::size_t i = 0; i < 64; ++i) {
      EXPECT_EQ(flipped[i], static_cast<std::int8_t>(a[i]) + 128);
      EXPECT_EQ(same[i], a[i]);
      EXPECT_EQ(upper[i], a[i] >> 4);
      EXPECT_EQ(third[i], a[i] >> 4 & 3);
    }
    std::vector<float> floats(16), repeated(16);
    for (std::size_t i = 0; i < 16; ++i) floats[i] = static_cast<float>(i);
    store<arch>(repeated.data(), load_repeated<arch, 4>(floats.data() + 1));
    for (std::size_t i = 0; i < 16; ++i) EXPECT_EQ(repeated[i], floats[1 + i % 4]);
    store<arch>(repeated.data(), load_repeated<arch, 8>(floats.data()));
    for (std::size_t i = 0; i < 16; ++i) EXPECT_EQ(repeated[i], floats[i % 8]);
  } else {
    GTEST_SKIP() << "no products of bytes";
  }
}

TYPED_TEST(EachArch, HalvesHaveTheirOwn) {
  if constexpr (has_words<TypeParam>) {
    using arch = TypeParam;
    std::int16_t const seven[] = {7, -1}, nine[] = {9, 2};
    auto const pairs = numbers<arch, std::uint32_t>(broadcast_pairs<arch>(seven, nine));
    float const two[] = {2.5f, 4.5f};
    std::vector<float> floats(static_cast<std::size_t>(lanes<arch>));
    store<arch>(floats.data(), broadcast_halves<arch>(two, two + 1));
    for (std::size_t i = 0; i < floats.size(); ++i) {
      EXPECT_EQ(pairs[i], i < 8 ? 0xffff0007u : 0x20009u);
      EXPECT_EQ(floats[i], i < 8 ? 2.5f : 4.5f);
    }
  } else {
    GTEST_SKIP() << "no registers of 16-bit integers";
  }
}

TYPED_TEST(EachArch, FloatsAreRoundedToEven) {
  if constexpr (has_words<TypeParam>) {
    using arch = TypeParam;
    std::vector<float> const some{0.5f,    1.5f,      -2.5f, -0.5f, 32767.0f, 32767.4f,
                                  1e9f,    -32768.0f, -4e4f, 0.0f,  2.4999f,  2.5001f,
                                  -1e-40f, 1e10f,     -3e9f, 12.0f};
    std::vector<std::int16_t> const want{0,      2, -2, 0, 32767, 32767, 32767,  -32768,
                                         -32768, 0, 2,  3, 0,     0,     -32768, 12};
    for (std::size_t from = 0; from < some.size(); from += lanes<arch>) {
      std::vector<std::int16_t> got(static_cast<std::size_t>(lanes<arch>) + 1, 99);
      store_rounded<arch>(got.data(), load<arch>(some.data() + from));
      for (std::size_t i = 0; i < static_cast<std::size_t>(lanes<arch>); ++i) {
        if (some[from + i] >= 1e10f) continue;  // beyond 2^31 it may be any
        EXPECT_EQ(got[i], want[from + i]) << some[from + i];
      }
      EXPECT_EQ(got.back(), 99) << "writes a register's and no more";
    }
  } else {
    GTEST_SKIP() << "no registers of 16-bit integers";
  }
}

}  // namespace
}  // namespace oriel::test
