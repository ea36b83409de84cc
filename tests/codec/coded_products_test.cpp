// SPDX-License-Identifier: BSL-1.0
#include "oriel/codec/coded_products.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <vector>

#include "coded.hpp"
#include "dice.hpp"
#include "each_arch.hpp"
#include "oriel/codec/ggml.hpp"
#include "oriel/codec/quantized.hpp"

namespace oriel::test {
namespace {

TYPED_TEST_SUITE(EachArch, kernel_archs, arch_names);

constexpr index room = 140;  ///< between rows of scores

/// The products with rows of floats, [count, dim], as every codec's are compared with.
template <class Arch>
[[gnu::noinline]] void plain_dot(float const* floats, index count, index dim, float const* q,
                                 index step, int rows, float* to) {
  float_rows<Arch> plain{floats, dim, count, dim};
  in_query_blocks<Arch>(rows, [&]<int Rows>(std::integral_constant<int, Rows>, int r) {
    dot_rows<Arch, Rows>(plain, q + r * step, step, to + r * room, room);
  });
}

/// The products over stored rows have the bits of those over the floats that are read from them.
template <class Arch, class Codec>
void expect_products() {
  row_reader const reader = reader_of<Arch, Codec>(nullptr);
  index const dims = reader.functions->dims;
  if (dims == 0) return;  // the registers are too few: rows are read first
  EXPECT_TRUE(reader.multiplies(2 * dims));
  EXPECT_FALSE(reader.multiplies(dims + 1));
  dice d(8);
  for (index const dim : {dims, 3 * dims, round_up(128, dims), round_up(8 * lanes<Arch>, dims)}) {
    for (index const count : {1, 5, 16, 17, 131}) {
      index const stride = Codec::row_bytes(dim) + 4;
      std::vector<std::byte> bytes(static_cast<std::size_t>(count * stride));
      std::vector<float> floats(static_cast<std::size_t>(count * dim));
      std::vector<float> row(static_cast<std::size_t>(dim));
      for (index i = 0; i < count; ++i) {
        for (float& x : row) x = d.real();
        Codec{}.template encode<Arch>(row.data(), dim, 0, bytes.data() + i * stride);
      }
      row_slice const slice{bytes.data(), stride, 0, 0, count, dim};
      reader(slice, floats.data());
      index const step = dim + lanes<Arch>;
      std::vector<float> q(static_cast<std::size_t>(8 * step));
      for (float& x : q) x = d.real();
      for (int rows = 1; rows <= 8; ++rows) {
        std::vector<float> got(8 * room, -7.0f), want = got;
        reader.functions->dot(slice, q.data(), step, rows, got.data(), room);
        plain_dot<Arch>(floats.data(), count, dim, q.data(), step, rows, want.data());
        // Without FMA a compiler may join products and sums, here and there in another way.
        for (std::size_t i = 0; i < static_cast<std::size_t>(rows * room); ++i) {
          ASSERT_NEAR(got[i], want[i], has_fma<Arch> ? 0.0f : 1e-4f);
        }
        for (int r = 0; r < rows; ++r) {
          double sum = 0.0;
          for (index i = 0; i < dim; ++i) {
            sum += static_cast<double>(q[static_cast<std::size_t>(r * step + i)]) *
                   floats[static_cast<std::size_t>((count - 1) * dim + i)];
          }
          EXPECT_NEAR(got[static_cast<std::size_t>(r * room + count - 1)], sum, 1e-4);
          EXPECT_EQ(got[static_cast<std::size_t>(r * room + count)], -7.0f) << "behind the last";
        }
        std::vector<float> acc(static_cast<std::size_t>(8 * step), 0.5f), sums = acc;
        reader.functions->add(slice, want.data(), room, rows, acc.data(), step);
        for (int r = 0; r < rows; ++r) {
          for (index i = 0; i < count; ++i) {
            for (index c = 0; c < dim; ++c) {
              float& sum = sums[static_cast<std::size_t>(r * step + c)];
              float const weight = want[static_cast<std::size_t>(r * room + i)];
              float const x = floats[static_cast<std::size_t>(i * dim + c)];
              sum = has_fma<Arch> ? std::fma(weight, x, sum) : sum + weight * x;
            }
          }
          for (index c = 0; c < dim; ++c) {
            auto const at = static_cast<std::size_t>(r * step + c);
            if (has_fma<Arch>) {
              ASSERT_EQ(acc[at], sums[at]) << rows << " rows, channel " << c;
            } else {
              ASSERT_NEAR(acc[at], sums[at], 1e-4f);
            }
          }
        }
      }
    }
  }
}

TYPED_TEST(EachArch, ProductsHaveTheBitsOfReadRows) {
  expect_products<TypeParam, elements<bf16>>();
  expect_products<TypeParam, elements<f16>>();
  expect_products<TypeParam, int8>();
  expect_products<TypeParam, int4>();
  expect_products<TypeParam, int4_symmetric>();
  expect_products<TypeParam, int2>();
  expect_products<TypeParam, q8_0>();
  expect_products<TypeParam, q4_0>();
}

}  // namespace
}  // namespace oriel::test
