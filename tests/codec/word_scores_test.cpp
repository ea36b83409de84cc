// SPDX-License-Identifier: BSL-1.0
#include "oriel/codec/word_scores.hpp"

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

/// Scores of one, two and four rows of q.
template <class Arch, class Codec>
void expect_scores() {
  if constexpr (has_words<Arch>) {
    index const dim = 2 * std::lcm(Codec::group, code_words<Arch, Codec>::step);
    index const groups = dim / Codec::group;
    constexpr index count = 19;
    rows_of<Arch, Codec> const rows(count, dim);
    std::vector<std::int16_t> q(static_cast<std::size_t>(4 * dim)), ordered = q;
    std::vector<float> sums(static_cast<std::size_t>(4 * groups));
    dice d(11);
    for (std::size_t i = 0; i < q.size(); ++i) {
      q[i] = static_cast<std::int16_t>(d.between(-32639, 32639));
      sums[i / static_cast<std::size_t>(Codec::group)] += static_cast<float>(q[i]);
    }
    word_scores<Arch, Codec>::order(q.data(), dim, dim, 4, ordered.data());
    float const unit[] = {1.0f, 0.5f, 2.0f, 1.0f};
    rounded_rows const of{ordered.data(), dim, sums.data(), groups, unit};
    std::vector<float> one(count), two(2 * count), four(4 * count);
    word_scores<Arch, Codec>::template dot<1, 0>(rows.slice, of, one.data(), count);
    word_scores<Arch, Codec>::template dot<2, 0>(rows.slice, of, two.data(), count);
    word_scores<Arch, Codec>::template dot<4, 0>(rows.slice, of, four.data(), count);
    for (std::size_t i = 0; i < four.size(); ++i) {
      double want = 0.0, size = 0.0;
      for (index c = 0; c < dim; ++c) {
        auto const x = static_cast<double>(
            q[i / count * static_cast<std::size_t>(dim) + static_cast<std::size_t>(c)]);
        want += x * static_cast<double>(rows.floats[i % count * static_cast<std::size_t>(dim) +
                                                    static_cast<std::size_t>(c)]);
        size += std::fabs(x);
      }
      ASSERT_NEAR(four[i], want * static_cast<double>(unit[i / count]), 1e-5 * size);
      if (i < two.size()) {
        ASSERT_EQ(two[i], four[i]);
      }
      if (i < one.size()) {
        ASSERT_EQ(one[i], four[i]);
      }
    }
  } else {
    GTEST_SKIP() << "no registers of 16-bit integers";
  }
}

TYPED_TEST(EachArch, ScoresHaveTheBitsOfOneRow) {
  expect_scores<TypeParam, int8>();
  expect_scores<TypeParam, int4>();
  expect_scores<TypeParam, q4_0>();
}

}  // namespace
}  // namespace oriel::test
