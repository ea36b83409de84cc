// SPDX-License-Identifier: BSL-1.0
#include "oriel/codec/row_products.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "dice.hpp"
#include "each_arch.hpp"

namespace oriel::test {
namespace {

TYPED_TEST_SUITE(EachArch, kernel_archs, arch_names);

TYPED_TEST(EachArch, QueryBlocksCoverEachRow) {
  for (int count = 1; count <= 8; ++count) {
    int next = 0, blocks = 0;
    in_query_blocks<TypeParam>(count, [&]<int Rows>(std::integral_constant<int, Rows>, int first) {
      EXPECT_EQ(first, next);
      EXPECT_LE(Rows, most_queries<TypeParam>);
      next = first + Rows;
      ++blocks;
    });
    EXPECT_GE(next, count);
    EXPECT_LE(next, count + 3);
    EXPECT_EQ(query_blocks<TypeParam>(count), blocks);
  }
}

std::vector<float> some(dice& d, index count) {
  std::vector<float> x(static_cast<std::size_t>(count));
  for (float& y : x) y = d.real();
  return x;
}

template <class Arch, int Rows>
[[gnu::noinline]] void dot(float_rows<Arch> rows, float const* q, index step, float* to) {
  dot_rows<Arch, Rows>(rows, q, step, to, 40);
}
template <class Arch, int Rows>
[[gnu::noinline]] void add(float_rows<Arch> rows, float const* weight, float* acc, index step) {
  constexpr int wide = value_registers<Arch, Rows>;
  index d = 0;
  for (; d + wide * lanes<Arch> <= rows.dim; d += wide * lanes<Arch>) {
    add_rows<Arch, Rows, wide>(rows, weight, 40, acc, step, d, lanes<Arch>);
  }
  for (; d < rows.dim; d += lanes<Arch>) {
    int const width = static_cast<int>(min_of(lanes<Arch>, rows.dim - d));
    add_rows<Arch, Rows, 1>(rows, weight, 40, acc, step, d, width);
  }
}

/// Against sums in double; NaN lies behind each row and is not read.
template <class Arch, int Rows>
void expect_sums(index dim, index count) {
  dice d(3);
  index const step = round_up(dim, lanes<Arch>);
  std::vector<float> keys = some(d, count * (dim + 1));
  for (index i = 0; i < count; ++i) keys[std::size_t(i * (dim + 1) + dim)] = NAN;
  std::vector<float> q(std::size_t(Rows * step));
  for (index i = 0; i < Rows * step; ++i) q[std::size_t(i)] = i % step < dim ? d.real() : 0.0f;
  float_rows<Arch> const rows(keys.data(), dim + 1, count, dim);
  std::vector<float> to(Rows * 40, -7.0f);
  dot<Arch, Rows>(rows, q.data(), step, to.data());
  std::vector<float> const weight = some(d, Rows * 40);
  std::vector<float> acc(std::size_t(Rows * step), 0.5f);
  add<Arch, Rows>(rows, weight.data(), acc.data(), step);
  auto const key = [&](index i, index c) { return double{keys[std::size_t(i * (dim + 1) + c)]}; };
  for (int r = 0; r < Rows; ++r) {
    for (index i = 0; i < 40; ++i) {
      double sum = i < count ? 0.0 : -7.0;
      for (index c = 0; i < count && c < dim; ++c) sum += q[std::size_t(r * step + c)] * key(i, c);
      ASSERT_NEAR(to[std::size_t(r * 40 + i)], sum, 1e-4) << "row " << r << ", key " << i;
    }
    for (index c = 0; c < dim; ++c) {
      double sum = 0.5;
      for (index i = 0; i < count; ++i) sum += weight[std::size_t(r * 40 + i)] * key(i, c);
      ASSERT_NEAR(acc[std::size_t(r * step + c)], sum, 1e-4) << "row " << r << ", channel " << c;
    }
  }
}

TYPED_TEST(EachArch, ProductsAreSums) {
  for (index const dim : {1, 3, 16, 33, 64, 130}) {
    for (index const count : {1, 4, 17, 39}) {
      expect_sums<TypeParam, 1>(dim, count);
      expect_sums<TypeParam, 4>(dim, count);
    }
  }
}

TYPED_TEST(EachArch, OneRowInRegistersHasTheSameBits) {
  if (!has_fma<TypeParam>) GTEST_SKIP() << "products and sums are joined here or there";
  constexpr int registers = 4;
  constexpr index dim = registers * lanes<TypeParam>;
  dice d(4);
  std::vector<float> const keys = some(d, 39 * dim);
  std::vector<float> const q = some(d, dim);
  for (index const count : {1, 16, 39}) {
    float_rows<TypeParam> const rows(keys.data(), dim, count, dim);
    std::vector<float> got(40, -7.0f), want = got;
    dot_row<TypeParam, registers>(rows, q.data(), got.data());
    dot<TypeParam, 1>(rows, q.data(), dim, want.data());
    EXPECT_EQ(got, want);
  }
}

}  // namespace
}  // namespace oriel::test
