// SPDX-License-Identifier: BSL-1.0
#include "oriel/kernel/rounded_operands.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "dice.hpp"
#include "oriel/codec/quantized.hpp"
#include "tensors.hpp"

namespace oriel::test {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
using arch = default_arch;

TEST(RoundedTile, TakesNothingForNoRows) {
  carver none;
  rounded_queries<arch>::carve(none, 0, 1024);
  rounded_pv<arch>::carve(none, 0, 1024);
  EXPECT_EQ(none.used(), 0);
}

TEST(RoundedTile, TheLargestNumberIsAllUnits) {
  auto const of = integer_scale::up_to<arch>(broadcast<arch>(2.0f));
  EXPECT_EQ(of.factor, largest_code / 2.0f);
  EXPECT_EQ(of.unit, 2.0f / largest_code);
  auto const none = integer_scale::up_to<arch>(broadcast<arch>(0.0f));
  EXPECT_LE(none.unit, 1e-38f);
  EXPECT_TRUE(std::isfinite(none.factor));
  EXPECT_TRUE(std::isfinite(integer_scale::up_to<arch>(broadcast<arch>(1e-44f)).factor));
  EXPECT_TRUE(std::isnan(integer_scale::up_to<arch>(broadcast<arch>(infinity)).unit));
}

/// What channel d of row r is among eight rows in the order of int8: that of byte_scores, elsewhere
/// that of channels.
int code_of(rounded_rows const& of, int r, index d) {
  if constexpr (!has_byte_products<arch>) return of.codes[r * of.step + d];
  auto const* const bytes = reinterpret_cast<std::int8_t const*>(of.from(r / 4 * 4).codes) +
                            d / 16 * 128 + r % 4 * 16 + d % 16;
  return 256 * bytes[0] + bytes[64];
}

/// Rows of queries and, one by one, what they become.
TEST(RoundedTile, QueriesAreWithinHalfAUnit) {
  if constexpr (has_words<arch>) {
    constexpr index dim = 128;
    constexpr int rows = 8;
    carver sizes;
    rounded_queries<arch>::carve(sizes, rows, dim);
    aligned_memory memory(sizes.used());
    carver real(memory.span().data());
    auto queries = rounded_queries<arch>::carve(real, rows, dim);
    std::vector<float> q(rows * dim);
    dice d(5);
    for (float& x : q) x = 100.0f * d.real();
    q[1 * dim + 3] = nan, q[2 * dim + 127] = infinity, q[3 * dim] = -infinity;
    for (index i = 0; i < dim; ++i) q[4 * dim + i] = 0.0f;
    queries.set(q.data(), rows);
    rounded_functions const& of = *reader_of<arch, int8>(nullptr).rounded(dim);
    queries.rows(of, dim, 1);  // as many as are multiplied next is what counts
    rounded_rows const got = queries.rows(of, dim, rows);
    for (int r = 0; r < rows; ++r) {
      if (r >= 1 && r <= 3) {
        EXPECT_TRUE(std::isnan(got.unit[r]));
        continue;
      }
      float top = 0.0f;
      for (index i = 0; i < dim; ++i) top = std::max(top, std::fabs(q[r * dim + i]));
      EXPECT_FLOAT_EQ(got.unit[r], std::max(top, 1e-34f) / largest_code);
      for (index i = 0; i < dim; ++i) {
        EXPECT_NEAR(static_cast<float>(code_of(got, r, i)) * got.unit[r], q[r * dim + i],
                    0.504f * got.unit[r]);
      }
    }
  } else {
    GTEST_SKIP() << "no registers of 16-bit integers";
  }
}

/// The sums over keys of which 20, ..., 69 and 90, ..., 119 have values, in several parts; they lie
/// in their key tile from place `first` on. The weights are p [count, tile_keys].
template <class Codec>
std::vector<float> sums(std::vector<std::byte> const& bytes, index dim, std::vector<float> const& p,
                        int count, std::vector<range> const& parts) {
  index const stride = Codec::row_bytes(dim);
  carver sizes;
  rounded_pv<arch>::carve(sizes, 8, dim);
  softmax_state<arch>::carve(sizes, 8, dim);
  aligned_memory memory(sizes.used());
  carver real(memory.span().data());
  auto values = rounded_pv<arch>::carve(real, 8, dim);
  auto const state = softmax_state<arch>::carve(real, 8, dim);
  for (index i = 0; i < 8 * state.stride(); ++i) state.acc[i] = 0.25f;
  constexpr index first = tile_keys;
  constexpr index step = 2 * tile_keys;
  std::vector<float> tile(static_cast<std::size_t>(count * step), nan);
  for (int r = 0; r < count; ++r) {
    std::copy_n(p.data() + r * tile_keys, tile_keys, tile.data() + r * step + first);
  }
  values.begin(reader_of<arch, Codec>(nullptr).rounded(dim), {first + 20, first + 120});
  auto const slice = [&](range part) {
    return row_slice{bytes.data() + part.begin * stride, stride, 0, part.begin, part.size(), dim};
  };
  for (range const part : parts) values.scales(slice(part), first + part.begin);
  values.weigh(tile.data(), step, count);
  for (range const part : parts) values.add(slice(part), first + part.begin, count);
  values.end(state, count);
  std::vector<float> all(static_cast<std::size_t>(count * dim));
  for (int r = 0; r < count; ++r) {
    std::copy_n(state.acc + r * state.stride(), dim, all.data() + r * dim);
  }
  return all;
}

template <class Codec>
void expect_sums() {
  if constexpr (has_words<arch>) {
    constexpr index dim = 128;
    index const stride = Codec::row_bytes(dim);
    std::vector<std::byte> bytes(static_cast<std::size_t>(tile_keys * stride), std::byte{0xff});
    std::vector<float> floats(tile_keys * dim), p(8 * tile_keys);
    dice d(6);
    auto const has_value = [](index i) { return (i >= 20 && i < 70) || (i >= 90 && i < 120); };
    for (index i = 0; i < tile_keys; ++i) {
      if (!has_value(i)) continue;  // nobody may read it
      float row[dim];
      for (float& x : row) x = d.real();
      Codec{}.template encode<arch>(row, dim, 0, bytes.data() + i * stride);
      Codec{}.template read<arch>({bytes.data() + i * stride, stride, 0, i, 1, dim},
                                  floats.data() + i * dim);
      for (index r = 0; r < 8; ++r) {
        p[static_cast<std::size_t>(r * tile_keys + i)] =
            std::ldexp(1.0f + d.real(), d.between(-20, 0));
      }
    }
    for (int const count : {1, 2, 4, 8}) {
      auto const whole = sums<Codec>(bytes, dim, p, count, {{20, 70}, {90, 120}});
      auto const parts =
          sums<Codec>(bytes, dim, p, count, {{20, 21}, {21, 50}, {50, 70}, {90, 91}, {91, 120}});
      EXPECT_EQ(whole, parts) << "the same bits however the keys are cut";
      EXPECT_EQ(sums<Codec>(bytes, dim, p, 1, {{20, 70}, {90, 120}}),
                std::vector(whole.begin(), whole.begin() + dim))
          << "and whatever other rows there are";
      for (int r = 0; r < count; ++r) {
        double most = 0.0;  // p * the span of a group's values, above every p * scale * code
        for (index i = 0; i < tile_keys; ++i) {
          most = std::max<double>(most, 2.1 * p[static_cast<std::size_t>(r * tile_keys + i)]);
        }
        for (index c = 0; c < dim; ++c) {
          double want = 0.25;
          for (index i = 0; i < tile_keys; ++i) {
            if (!has_value(i)) continue;
            want += static_cast<double>(p[static_cast<std::size_t>(r * tile_keys + i)]) *
                    floats[static_cast<std::size_t>(i * dim + c)];
          }
          EXPECT_NEAR(whole[static_cast<std::size_t>(r * dim + c)], want, 80 * most / 64000 + 1e-5);
        }
      }
    }
  } else {
    GTEST_SKIP() << "no registers of 16-bit integers";
  }
}

TEST(RoundedTile, SumsOfSymmetricCodes) { expect_sums<int8>(); }
TEST(RoundedTile, SumsOfCodesWithAZero) { expect_sums<int4>(); }
TEST(RoundedTile, SumsOfSmallGroups) {
  expect_sums<quantized<4, 16, true, f16>>();
  expect_sums<quantized<8, 16, false, float>>();
}

TEST(RoundedTile, WhatIsNotANumberStaysWithinItsGroup) {
  if constexpr (has_words<arch>) {
    constexpr index dim = 128;
    index const stride = int8::row_bytes(dim);
    std::vector<std::byte> bytes(static_cast<std::size_t>(tile_keys * stride));
    std::vector<float> p(8 * tile_keys, 1.0f);
    for (index i = 0; i < tile_keys; ++i) {
      float row[dim];
      for (float& x : row) x = 1.0f;
      if (i == 40) row[33] = nan;
      int8::encode<arch>(row, dim, 0, bytes.data() + i * stride);
    }
    auto const got = sums<int8>(bytes, dim, p, 2, {{20, 120}});
    for (std::size_t c = 0; c < dim; ++c) EXPECT_EQ(std::isnan(got[c]), c / 32 == 1) << c;
    p[tile_keys + 50] = nan;
    auto const all = sums<int8>(bytes, dim, p, 2, {{20, 120}});
    for (std::size_t c = 0; c < dim; ++c) EXPECT_TRUE(std::isnan(all[dim + c]));
  } else {
    GTEST_SKIP() << "no registers of 16-bit integers";
  }
}

}  // namespace
}  // namespace oriel::test
