// SPDX-License-Identifier: BSL-1.0
#include "oriel/codec/rounded_products.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "coded_rows.hpp"
#include "dice.hpp"
#include "each_arch.hpp"
#include "oriel/codec/ggml.hpp"
#include "oriel/codec/quantized.hpp"

namespace oriel::test {
namespace {

TYPED_TEST_SUITE(EachArch, kernel_archs, arch_names);

template <class Arch, class Codec>
void expect_rounded() {
  if constexpr (has_words<Arch>) {
    row_reader const reader = reader_of<Arch, Codec>(nullptr);
    rounded_functions const& of = *reader.rounded(0);
    ASSERT_EQ(reader.rounded(of.dims + 1), nullptr);
    constexpr index room = 140;  // between rows of scores
    dice d(9);
    for (index const dim : {of.dims, 3 * of.dims, round_up(128, of.dims)}) {
      for (index const count : {1, 2, 5, 17, 131}) {
        rows_of<Arch, Codec> const rows(count, dim);
        index const step = dim + 16;
        index const groups = dim / of.group;
        std::vector<std::int16_t> q(static_cast<std::size_t>(8 * step)), ordered = q;
        for (auto& x : q) x = static_cast<std::int16_t>(d.between(-32639, 32639));
        std::vector<float> const unit{1.0f, 0.5f, 2.0f, 1.0f, 1.0f, 0.25f, 1.0f, 4.0f};

        std::vector<std::int16_t> weight(static_cast<std::size_t>(8 * groups * room));
        for (auto& x : weight) x = static_cast<std::int16_t>(d.between(-32767, 32767));
        rounded_weights const weights{weight.data(), groups * room, room};
        for (int const n : {1, 2, 3, 8}) {
          std::vector<float> sums(static_cast<std::size_t>(8 * groups) + 1, -7.0f);
          of.order(q.data(), step, dim, n, ordered.data(), sums.data(), groups);
          EXPECT_EQ(sums[static_cast<std::size_t>(n * groups)], -7.0f);
          rounded_rows const as_rows{ordered.data(), step, sums.data(), groups, unit.data()};
          std::vector<float> got(8 * room, -7.0f);
          of.dot(rows.slice, as_rows, n, got.data(), room);
          std::vector<std::int32_t> acc(static_cast<std::size_t>(8 * dim), 3);
          of.add(rows.slice, weights, n, acc.data(), dim);
          for (int r = 0; r < n; ++r) {
            for (index i = 0; i < count; ++i) {
              double want = 0.0, size = 0.0;
              for (index c = 0; c < dim; ++c) {
                double const x = q[static_cast<std::size_t>(r * step + c)];
                want += x * rows.floats[static_cast<std::size_t>(i * dim + c)];
                size += std::fabs(x);
              }
              ASSERT_NEAR(got[static_cast<std::size_t>(r * room + i)],
                          want * unit[static_cast<std::size_t>(r)], 2e-6 * size * 4.0)
                  << n << " rows, row " << r << ", key " << i << " of " << count;
            }
            EXPECT_EQ(got[static_cast<std::size_t>(r * room + count)], -7.0f) << "behind the last";
            std::vector<std::int32_t> in_order(static_cast<std::size_t>(dim));
            of.restore(acc.data() + r * dim, dim, in_order.data());
            for (index c = 0; c < dim; ++c) {
              std::int64_t want = 3;
              for (index i = 0; i < count; ++i) {
                auto const at = static_cast<std::size_t>((r * groups + c / of.group) * room + i);
                want += rows.code[static_cast<std::size_t>(i * dim + c)] * weight[at];
              }
              ASSERT_EQ(in_order[static_cast<std::size_t>(c)], want)
                  << n << " rows, row " << r << ", channel " << c << " of " << dim;
            }
          }
        }
      }
    }
  } else {
    EXPECT_EQ((reader_of<Arch, Codec>(nullptr).rounded(0)), nullptr);
  }
}

TYPED_TEST(EachArch, OfEightBits) {
  expect_rounded<TypeParam, int8>();
  expect_rounded<TypeParam, quantized<8, 64, true, float>>();
  expect_rounded<TypeParam, q8_0>();
}
TYPED_TEST(EachArch, OfFourBits) {
  expect_rounded<TypeParam, int4>();
  expect_rounded<TypeParam, int4_symmetric>();
  expect_rounded<TypeParam, quantized<4, 16, true, f16>>();
  expect_rounded<TypeParam, q4_0>();
}
TYPED_TEST(EachArch, OfTwoBits) { expect_rounded<TypeParam, int2>(); }

}  // namespace
}  // namespace oriel::test
