// SPDX-License-Identifier: BSL-1.0
#include "oriel/codec/token_groups.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "dice.hpp"

namespace oriel {
namespace {

static_assert(token_groups<2, 32, f16>::row_bytes(128) == 32 + 16);
static_assert(token_groups<2, 16, f16>::row_bytes(33) == 16 + 9, "132 bytes, shared by 16");
static_assert(token_groups<4, 16, float>::row_bytes(1) == 16 + 1);

/// A group as it is read, of rows [tokens, dim]; tokens before `first` are not there.
template <int Bits, int Tokens>
std::vector<float> read_back(std::vector<float> const& rows, index first, index dim) {
  using groups = token_groups<Bits, Tokens, f16>;
  auto const bytes = static_cast<std::size_t>(Tokens * groups::row_bytes(dim));
  std::vector<std::byte> stored(bytes + 1, std::byte{0xa5});
  float const* from[Tokens] = {};
  for (index t = first; t < Tokens; ++t) from[t] = rows.data() + t * dim;
  groups::template encode<default_arch>(from, first, dim, stored.data());
  EXPECT_EQ(stored[bytes], std::byte{0xa5});
  std::vector<float> to(rows.size() + 1, -7.0f);
  groups::template read<default_arch>(
      nullptr, {stored.data(), groups::row_bytes(dim), 0, 5 * Tokens, Tokens, dim}, to.data());
  EXPECT_EQ(to.back(), -7.0f);
  to.pop_back();
  return to;
}

TEST(ChannelGroups, AChannelHasAScaleOfItsOwn) {
  dice d(3);
  for (index const dim : {1, 2, 33, 128}) {
    for (index const first : {0, 1, 15}) {
      std::vector<float> rows(static_cast<std::size_t>(16 * dim));
      for (index i = 0; i < 16 * dim; ++i) {  // every third channel is a thousand times larger
        rows[static_cast<std::size_t>(i)] = d.real() * (i % dim % 3 == 0 ? 1000.0f : 1.0f);
      }
      std::vector<float> const got = read_back<4, 16>(rows, first, dim);
      for (index c = 0; c < dim; ++c) {
        auto const at = [&](index t) { return static_cast<std::size_t>(t * dim + c); };
        float low = rows[at(first)], high = low;
        for (index t = first; t < 16; ++t) {
          low = std::min(low, rows[at(t)]);
          high = std::max(high, rows[at(t)]);
        }
        float const most = 0.51f * (high - low) / 15.0f + 0x1p-10f * std::abs(low) + 1e-6f;
        for (index t = first; t < 16; ++t) ASSERT_NEAR(got[at(t)], rows[at(t)], most);
      }
    }
  }
}

TEST(ChannelGroups, WhatHasNoScaleReadsAsNaNInItsChannelOnly) {
  for (float const bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(), 1e30f}) {
    std::vector<float> rows(16 * 3, 0.0f);
    rows[4 * 3 + 1] = bad;
    std::vector<float> const got = read_back<2, 16>(rows, 0, 3);
    for (std::size_t t = 0; t < 16; ++t) {
      EXPECT_EQ(got[t * 3], 0.0f);
      EXPECT_TRUE(std::isnan(got[t * 3 + 1]));
      EXPECT_EQ(got[t * 3 + 2], 0.0f);
    }
  }
}

}  // namespace
}  // namespace oriel
