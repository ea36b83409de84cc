// SPDX-License-Identifier: BSL-1.0
#include "oriel/codec/code_words.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "coded_rows.hpp"
#include "each_arch.hpp"
#include "oriel/codec/ggml.hpp"
#include "oriel/codec/quantized.hpp"

namespace oriel::test {
namespace {

TYPED_TEST_SUITE(EachArch, kernel_archs, arch_names);

/// Each register has the codes of the channels that each_part says, and their groups.
template <class Arch, class Codec>
void expect_codes() {
  if constexpr (has_words<Arch>) {
    using code = code_words<Arch, Codec>;
    index const dim = 3 * std::lcm(Codec::group, code::step);
    rows_of<Arch, Codec> const rows(1, dim);
    std::vector<std::int16_t> got(static_cast<std::size_t>(dim));
    for (index d = 0; d < dim; d += code::step) {
      [&]<int... I>(std::integer_sequence<int, I...>) {
        (store_words<Arch>(got.data() + d + I * word_lanes<Arch>,
                           code::template get<I>(rows.bytes.data(), d)),
         ...);
        auto const expect_places = [&](auto at, index i) {
          EXPECT_EQ(at.first, (d + code::part_at(i, 0)) / Codec::group);
          EXPECT_EQ(at.last, (d + code::part_at(i, code::parts - 1)) / Codec::group);
        };
        (expect_places(code::template places_of<I>(d), I), ...);
      }
      (std::make_integer_sequence<int, code::chunk>{});
    }
    index seen = 0;
    code::each_part(dim, [&](index i, index d) {
      EXPECT_EQ(i, seen);
      for (index n = 0; n < 16; ++n) {
        ASSERT_EQ(got[static_cast<std::size_t>(i + n)], rows.code[static_cast<std::size_t>(d + n)])
            << "channel " << d + n << " of " << dim;
      }
      seen += 16;
    });
    EXPECT_EQ(seen, dim);
  } else {
    GTEST_SKIP() << "no registers of 16-bit integers";
  }
}

TYPED_TEST(EachArch, RegistersHaveTheCodesOfTheirParts) {
  expect_codes<TypeParam, int8>();
  expect_codes<TypeParam, quantized<8, 16, true, f16>>();
  expect_codes<TypeParam, q8_0>();
  expect_codes<TypeParam, int4>();
  expect_codes<TypeParam, int4_symmetric>();
  expect_codes<TypeParam, quantized<4, 128, true, f16>>();
  expect_codes<TypeParam, q4_0>();
  expect_codes<TypeParam, int2>();
}

}  // namespace
}  // namespace oriel::test
