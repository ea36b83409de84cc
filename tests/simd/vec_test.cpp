// SPDX-License-Identifier: BSL-1.0
#include "oriel/simd/vec.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "dice.hpp"
#include "each_arch.hpp"
#include "guarded_page.hpp"
#include "oriel/simd/prefetch.hpp"

namespace oriel {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float inf = std::numeric_limits<float>::infinity();

template <class Arch>
using row = std::array<float, static_cast<std::size_t>(lanes<Arch>)>;

/// Lanes that no compiler can know.
template <class Arch>
vec<Arch> hidden(float x) {
  row<Arch> lane;
  for (float& l : lane) {
    float volatile unknown = x;
    l = unknown;
  }
  return load<Arch>(lane.data());
}

template <class Arch>
row<Arch> values(vec<Arch> x) {
  row<Arch> lane;
  store<Arch>(lane.data(), x);
  return lane;
}

template <class Arch>
row<Arch> random_row(dice& d) {
  row<Arch> lane;
  for (float& l : lane) l = 100 * d.real();
  return lane;
}

template <class Arch>
class Vec : public EachArch<Arch> {};
TYPED_TEST_SUITE(Vec, compiled_archs, arch_names);

TYPED_TEST(Vec, QuotientsAreRoundedOnce) {
  std::uint32_t seed = 1;
  auto const next = [&] {
    seed = seed * 1664525u + 1013904223u;
    return static_cast<float>(static_cast<std::int32_t>(seed)) * 0x1p-31f;
  };
  for (int turn = 0; turn < 20000; ++turn) {
    float a[lanes<TypeParam>], b[lanes<TypeParam>], got[lanes<TypeParam>];
    for (int i = 0; i < lanes<TypeParam>; ++i) a[i] = next(), b[i] = next();
    store<TypeParam>(got, divide<TypeParam>(load<TypeParam>(a), load<TypeParam>(b)));
    for (int i = 0; i < lanes<TypeParam>; ++i)
      ASSERT_EQ(got[i], a[i] / b[i]) << a[i] << " " << b[i];
  }
}
TYPED_TEST(Vec, FmaRoundsOnce) {
  auto const a = hidden<TypeParam>(1.0f + 0x1p-12f);
  auto const c = hidden<TypeParam>(-(1.0f + 0x1p-11f));
  for (float x : values<TypeParam>(fma<TypeParam>(a, a, c))) {
    // Without the instruction the product is rounded first; a compiler may still fuse what it can.
    EXPECT_TRUE(x == 0x1p-24f || (!has_fma<TypeParam> && x == 0.0f)) << x;
  }
}

TYPED_TEST(Vec, FmaMultipliesTheFirstTwo) {
  dice d(1);
  auto const a = random_row<TypeParam>(d), b = random_row<TypeParam>(d),
             c = random_row<TypeParam>(d);
  auto const got = values<TypeParam>(fma<TypeParam>(
      load<TypeParam>(a.data()), load<TypeParam>(b.data()), load<TypeParam>(c.data())));
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_NEAR(got[i], double{a[i]} * double{b[i]} + double{c[i]}, 1e-3);
  }
}

TYPED_TEST(Vec, MaxIsLaneWise) {
  dice d(2);
  auto a = random_row<TypeParam>(d);
  auto const b = random_row<TypeParam>(d);
  a[0] = -inf;
  auto const got =
      values<TypeParam>(max<TypeParam>(load<TypeParam>(a.data()), load<TypeParam>(b.data())));
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], std::max(a[i], b[i]));
  for (float x :
       values<TypeParam>(max<TypeParam>(hidden<TypeParam>(-inf), hidden<TypeParam>(-inf)))) {
    EXPECT_EQ(x, -inf);
  }
}

TYPED_TEST(Vec, FloorIsTheIntegerBelow) {
  for (float x : {0.0f, -0.25f, -1.0f, -1.5f, 0.75f, 3.0f, -126.5f, -127.0f, 1e9f, -1e9f,
                  std::nextafter(-3.0f, 0.0f), std::nextafter(-3.0f, -9.0f), -0x1.fffffep-127f}) {
    for (float got : values<TypeParam>(floor<TypeParam>(hidden<TypeParam>(x)))) {
      EXPECT_EQ(got, std::floor(x)) << x;
    }
  }
}

TYPED_TEST(Vec, CountsTheLanesThatAreAtLeast) {
  constexpr int n = lanes<TypeParam>;
  for (int above = 0; above <= n; ++above) {
    float x[n];
    for (int i = 0; i < n; ++i) {
      x[(5 * i + 3) % n] = i < above ? 1.0f + static_cast<float>(i) : -2.0f;
    }
    auto const count = [&](float level) {
      return count_at_least<TypeParam>(load<TypeParam>(x), broadcast<TypeParam>(level));
    };
    EXPECT_EQ(count(1.0f), above) << "equal is enough";
    EXPECT_EQ(count(2.0f), above > 0 ? above - 1 : 0);
    EXPECT_EQ(count(-infinity), n);
    EXPECT_EQ(count(infinity), 0);
  }
}

TYPED_TEST(Vec, AnyGreaterSeesEveryLane) {
  auto const zero = hidden<TypeParam>(0.0f);
  auto const none = hidden<TypeParam>(-inf);
  EXPECT_FALSE(any_greater<TypeParam>(zero, zero));
  EXPECT_FALSE(any_greater<TypeParam>(none, none));
  EXPECT_TRUE(any_greater<TypeParam>(zero, none));
  for (std::size_t i = 0; i < row<TypeParam>{}.size(); ++i) {
    row<TypeParam> one{};
    one[i] = std::numeric_limits<float>::min();
    EXPECT_TRUE(any_greater<TypeParam>(load<TypeParam>(one.data()), zero));
    EXPECT_FALSE(any_greater<TypeParam>(zero, load<TypeParam>(one.data())));
    one[i] = -1.0f;
    EXPECT_FALSE(any_greater<TypeParam>(load<TypeParam>(one.data()), zero));
  }
}

TYPED_TEST(Vec, HiddenLanesAreMinusInfinityWhateverTheyHeld) {
  dice d(3);
  constexpr int n = lanes<TypeParam>;
  for (int round = 0; round < 500; ++round) {
    auto x = random_row<TypeParam>(d);
    // Bits beyond the lanes belong to other registers of the tile.
    auto const bits = static_cast<unsigned>(d.between(index{0}, index{0xffff'ffff}));
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (d.coin()) x[i] = std::array{nan, -nan, inf, -inf}[static_cast<std::size_t>(round % 4)];
    }
    auto const got = values<TypeParam>(keep_or_hide<TypeParam>(load<TypeParam>(x.data()), bits));
    for (int i = 0; i < n; ++i) {
      auto const at = static_cast<std::size_t>(i);
      float const expected = bits >> i & 1u ? x[at] : -inf;
      EXPECT_EQ(std::bit_cast<std::uint32_t>(got[at]), std::bit_cast<std::uint32_t>(expected));
    }
  }
}

TYPED_TEST(Vec, PartialLoadsAndStoresStayInside) {
  guarded_page const page;
  auto const seven = hidden<TypeParam>(7.0f);
  for (int count = 0; count <= lanes<TypeParam>; ++count) {
    float* const end = page.last(count);
    for (int i = 0; i < count; ++i) end[i] = static_cast<float>(i + 1);
    auto const got = values<TypeParam>(load_partial<TypeParam>(end, count));
    for (int i = 0; i < lanes<TypeParam>; ++i) {
      auto const at = static_cast<std::size_t>(i);
      EXPECT_EQ(std::bit_cast<std::uint32_t>(got[at]),
                std::bit_cast<std::uint32_t>(i < count ? static_cast<float>(i + 1) : 0.0f));
    }
    store_partial<TypeParam>(end, seven, count);  // a store beyond would fault
    for (int i = 0; i < count; ++i) EXPECT_EQ(end[i], 7.0f);

    float* const begin = page.begin();
    for (auto const store : {store_partial<TypeParam>, store_some<TypeParam>}) {
      for (int i = 0; i <= lanes<TypeParam>; ++i) begin[i] = -1.0f;
      store(begin, seven, count);
      for (int i = 0; i <= lanes<TypeParam>; ++i) EXPECT_EQ(begin[i], i < count ? 7.0f : -1.0f);
    }
  }
}

TYPED_TEST(Vec, LoadsAndStoresNeedNoAlignment) {
  guarded_page const page;
  for (int shift = 0; shift < lanes<TypeParam>; ++shift) {
    float* const at = page.last(2 * lanes<TypeParam>) + shift;
    store<TypeParam>(at, broadcast<TypeParam>(static_cast<float>(shift)));
    for (float x : values<TypeParam>(load<TypeParam>(at))) EXPECT_EQ(x, static_cast<float>(shift));
  }
}

TEST(Prefetch, TakesAnyAddress) {
  prefetch_l2(0);
  prefetch_l2(~std::uintptr_t{0});
  guarded_page const page;
  prefetch_l2(reinterpret_cast<std::uintptr_t>(page.begin()) - 1);
}

}  // namespace
}  // namespace oriel
