// SPDX-License-Identifier: BSL-1.0
#include "oriel/codec/byte_scores.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "coded_rows.hpp"
#include "each_arch.hpp"
#include "oriel/codec/ggml.hpp"
#include "oriel/codec/quantized.hpp"

namespace oriel::test {
namespace {

TYPED_TEST_SUITE(EachArch, kernel_archs, arch_names);

/// Sums of groups are exact and are added in order, so that every score is known to the bit.
template <class Arch, class Codec, index Channels>
void expect_scores(index dim) {
  if constexpr (has_byte_products<Arch>) {
    using scores = byte_scores<Arch, Codec>;
    index const groups = dim / Codec::group;
    dice d(12);
    std::vector<std::int16_t> q(static_cast<std::size_t>(8 * dim));
    for (std::size_t i = 0; i < q.size(); ++i) {
      index const r = static_cast<index>(i) / dim;  // rows 0 and 5 are extreme, 1 alternates
      q[i] = static_cast<std::int16_t>(r == 0                        ? 32639
                                       : r == 5 || (r == 1 && i % 2) ? -32639
                                                                     : d.between(-32639, 32639));
    }
    std::vector<std::int16_t> ordered(q.size() + 1, 77);
    std::vector<float> sums(static_cast<std::size_t>(8 * groups));
    for (std::size_t i = 0; i < q.size(); ++i) {
      sums[i / static_cast<std::size_t>(Codec::group)] += static_cast<float>(q[i]);
    }
    std::vector<float> const unit{1.0f, 0.5f, 2.0f, 1e-3f, 1.0f, 3.0f, 1.0f, 1.0f};
    for (index const count : {1, 4, 7, 16, 35}) {
      rows_of<Arch, Codec> const rows(count, dim);
      index const room = count + 1;
      for (int const n : {1, 2, 3, 4, 7}) {
        scores::order(q.data(), dim, dim, n, ordered.data());
        rounded_rows const of{ordered.data(), dim, sums.data(), groups, unit.data()};
        EXPECT_EQ(ordered.back(), 77);
        std::vector<float> got(static_cast<std::size_t>(8 * room), -7.0f);
        if (n == 1) scores::template dot<1, Channels>(rows.slice, of, got.data(), room);
        if (n == 2) scores::template dot<2, Channels>(rows.slice, of, got.data(), room);
        for (int r = 0; n > 2 && r < n; r += 4) {
          scores::template dot<4, Channels>(rows.slice, of.from(r), got.data() + r * room, room);
        }
        for (int r = 0; r < n; ++r) {
          for (index i = 0; i < count; ++i) {
            float want = 0.0f;
            for (index g = 0; g < groups; ++g) {
              std::int64_t exact = 0;
              for (index c = g * Codec::group; c < (g + 1) * Codec::group; ++c) {
                exact += rows.code[static_cast<std::size_t>(i * dim + c)] *
                         q[static_cast<std::size_t>(r * dim + c)];
              }
              auto const at = static_cast<std::size_t>(i * groups + g);
              want = std::fma(static_cast<float>(exact), rows.scale[at], want);
              if constexpr (Codec::has_zero) {
                want =
                    std::fma(sums[static_cast<std::size_t>(r * groups + g)], rows.zero[at], want);
              }
            }
            ASSERT_EQ(got[static_cast<std::size_t>(r * room + i)],
                      want * unit[static_cast<std::size_t>(r)])
                << n << " rows, row " << r << ", key " << i << " of " << count;
          }
          EXPECT_EQ(got[static_cast<std::size_t>(r * room + count)], -7.0f) << "behind the last";
        }
      }
    }
  } else {
    GTEST_SKIP() << "no products of bytes";
  }
}

TYPED_TEST(EachArch, ScoresOfBytesAreKnownToTheBit) {
  expect_scores<TypeParam, int8, 0>(32);
  expect_scores<TypeParam, int8, 128>(128);
  expect_scores<TypeParam, quantized<8, 256, true, float>, 0>(512);
  expect_scores<TypeParam, quantized<8, 16, true, f16>, 0>(48);
  expect_scores<TypeParam, quantized<8, 48, true, f16>, 0>(96);
  expect_scores<TypeParam, quantized<4, 48, false, f16>, 0>(192);
  expect_scores<TypeParam, q8_0, 0>(96);
  expect_scores<TypeParam, int4, 0>(64);
  expect_scores<TypeParam, int4, 128>(128);
  expect_scores<TypeParam, int4_symmetric, 0>(192);
  expect_scores<TypeParam, q4_0, 128>(128);
  expect_scores<TypeParam, int2, 0>(128);
}

}  // namespace
}  // namespace oriel::test
