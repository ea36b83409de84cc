// SPDX-License-Identifier: BSL-1.0
#include "oriel/codec/rotated.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "coded.hpp"
#include "dice.hpp"
#include "each_arch.hpp"
#include "oriel/codec/ggml.hpp"
#include "oriel/codec/quantized.hpp"

namespace oriel::test {
namespace {

TYPED_TEST_SUITE(EachArch, kernel_archs, arch_names);

static_assert(codec<rotated<int4>> && codec<rotated<bf16>> && codec<rotated<f32>>);
static_assert(rotated<int4>::row_bytes(128) == int4::row_bytes(128));
static_assert(!detail::is_plain<rotated<f32>> && detail::alignment_of<rotated<f32>>() == 4);

std::vector<float> random_row(dice& d, index dim) {
  std::vector<float> row(static_cast<std::size_t>(dim));
  for (float& x : row) x = d.real();
  return row;
}

TYPED_TEST(EachArch, StoresHadamardTransformsAndReadsThemBack) {
  dice d(6);
  for (index const dim : {1, 2, 3, 8, 33, 64, 80, 96, 128, 256}) {
    std::vector<float> const row = random_row(d, dim);
    std::vector<std::byte> const bytes = stored<TypeParam>(rotated<f32>{}, row);
    std::vector<float> const turned = loaded(f32{}, bytes, dim);
    index const block = dim & -dim;
    for (index i = 0; i < dim; ++i) {
      double sum = 0.0;  // by the definition: signs are the parity of the common bits
      for (index j = 0; j < block; ++j) {
        int const bits = std::popcount(static_cast<std::uint64_t>(i % block & j));
        sum += (bits % 2 == 0 ? 1.0 : -1.0) * row[static_cast<std::size_t>(i / block * block + j)];
      }
      EXPECT_NEAR(turned[static_cast<std::size_t>(i)], sum / std::sqrt(static_cast<double>(block)),
                  1e-6);
    }
    std::vector<float> const back = loaded<TypeParam>(rotated<f32>{}, bytes, dim);
    for (std::size_t i = 0; i < row.size(); ++i) EXPECT_NEAR(back[i], row[i], 1e-6f);
    EXPECT_EQ(stored(rotated<f32>{}, row), bytes) << "the same on every instruction set";
  }
}

TEST(Rotated, AnOutlierCostsTheOthersLess) {
  dice d(7);
  std::vector<float> row = random_row(d, 128);
  row[5] = 40.0f;
  auto const error = [&](auto codec) {
    std::vector<float> const got = there_and_back(codec, row);
    double sum = 0.0;
    for (std::size_t i = 0; i < 32; ++i) sum += i == 5 ? 0.0 : std::pow(got[i] - row[i], 2.0);
    return std::sqrt(sum);
  };
  EXPECT_LT(error(rotated<int4_symmetric>{}), 0.6 * error(int4_symmetric{}));
}

TEST(Rotated, AsksItsCodec) { EXPECT_EQ(check_codec<rotated<q8_0>>(33).code, errc::shape); }

}  // namespace
}  // namespace oriel::test
