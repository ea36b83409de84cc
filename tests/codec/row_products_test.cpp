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

std::vector<float> some(dice& d, index count) {
  std::vector<float> x(static_cast<std::size_t>(count));
  for (float& y : x) y = d.real();
  return x;
}

template <class Arch, int Rows, class Stored>
[[gnu::noinline]] void dot(Stored const& rows, float const* q, index step, float* to) {
  dot_rows<Arch, Rows>(rows, q, step, to, 40);
}
template <class Arch, int Rows, class Stored>
[[gnu::noinline]] void add(Stored const& rows, float const* weight, float* acc, index step) {
  add_rows<Arch, Rows, 1>(rows, weight, 40, acc, step);
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
  float_rows<Arch> const rows(keys.data(), dim + 1, count, dim, {256, 128});
  std::vector<float> to(Rows * 40, -7.0f);
  dot<Arch, Rows>(rows, q.data(), step, to.data());
  std::vector<float> const weight = some(d, Rows * 40);
  std::vector<float> acc(std::size_t(Rows * step), 0.5f);
  add<Arch, Rows>(rows, weight.data(), acc.data(), step);
  std::vector<float> again(to.size(), -7.0f), acc_again(acc.size(), 0.5f);
  dot<Arch, Rows>(rows.near(), q.data(), step, again.data());
  add<Arch, Rows>(rows.near(), weight.data(), acc_again.data(), step);
  if (has_fma<Arch>) {  // else products and sums are joined here or there
    EXPECT_EQ(again, to);
    EXPECT_EQ(acc_again, acc);
  }
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
