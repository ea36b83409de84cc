// SPDX-License-Identifier: BSL-1.0
#include "oriel/simd/transpose.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "dice.hpp"
#include "each_arch.hpp"

namespace oriel {
namespace {

template <class Arch>
struct square {
  static constexpr auto n = static_cast<std::size_t>(lanes<Arch>);
  float cell[n][n];
  vec<Arch> row[n];

  void load_rows() {
    for (std::size_t i = 0; i < n; ++i) row[i] = load<Arch>(cell[i]);
  }
};

template <class Arch>
class Transpose : public EachArch<Arch> {};
TYPED_TEST_SUITE(Transpose, compiled_archs, arch_names);

TYPED_TEST(Transpose, SwapsRowsAndColumns) {
  square<TypeParam> a;
  for (std::size_t i = 0; i < a.n; ++i) {
    for (std::size_t j = 0; j < a.n; ++j) a.cell[i][j] = static_cast<float>(100 * i + j);
  }
  a.load_rows();
  transpose<TypeParam>(a.row);
  for (std::size_t i = 0; i < a.n; ++i) {
    float got[a.n];
    store<TypeParam>(got, a.row[i]);
    for (std::size_t j = 0; j < a.n; ++j) EXPECT_EQ(got[j], static_cast<float>(100 * j + i));
  }
}

TYPED_TEST(Transpose, EveryLaneCounts) {
  constexpr int n = lanes<TypeParam>;
  for (int i = 0; i < n; ++i) {
    float lane[n];
    for (int j = 0; j < n; ++j) lane[j] = -2.0f - static_cast<float>(j);
    lane[i] = 5.0f;
    float sum = 0.0f;
    for (float const x : lane) sum += x;  // of integers, exact
    EXPECT_EQ(max_lanes<TypeParam>(load<TypeParam>(lane)), 5.0f) << i;
    EXPECT_EQ(sum_lanes<TypeParam>(load<TypeParam>(lane)), sum) << i;
  }
}

TYPED_TEST(Transpose, SumsOfRowsLandInTheirLanes) {
  dice d(1);
  for (int round = 0; round < 50; ++round) {
    square<TypeParam> a;
    for (auto& r : a.cell) {
      for (float& c : r) c = d.real();
    }
    a.load_rows();
    float got[a.n];
    store<TypeParam>(got, sum_rows<TypeParam>(a.row));
    for (std::size_t i = 0; i < a.n; ++i) {
      double sum = 0;
      for (float c : a.cell[i]) sum += static_cast<double>(c);
      EXPECT_NEAR(got[i], sum, 1e-5);
    }
  }
}

TYPED_TEST(Transpose, ASumDependsOnItsOwnRowOnly) {
  // The same bits in every lane for the same row, whatever the other rows hold.
  dice d(2);
  square<TypeParam> a;
  float row[a.n];
  for (float& x : row) x = d.real();
  std::uint32_t bits = 0;
  for (std::size_t place = 0; place < a.n; ++place) {
    for (auto& r : a.cell) {
      for (float& c : r) c = std::numeric_limits<float>::quiet_NaN();
    }
    std::copy(std::begin(row), std::end(row), a.cell[place]);
    a.load_rows();
    float got[a.n];
    store<TypeParam>(got, sum_rows<TypeParam>(a.row));
    auto const now = std::bit_cast<std::uint32_t>(got[place]);
    EXPECT_TRUE(place == 0 || now == bits);
    bits = now;
    EXPECT_EQ(got[place], got[place]) << "NaN";
  }
}

}  // namespace
}  // namespace oriel
