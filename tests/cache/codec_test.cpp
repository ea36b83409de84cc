// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/codec.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <limits>
#include <vector>

namespace oriel {
namespace {

struct no_size {
  static void encode(float const*, index, std::byte*) noexcept {}
};
struct may_throw {
  static index row_bytes(index dim) noexcept { return dim; }
  static void encode(float const*, index, std::byte*) {}
};
struct halves {
  static index row_bytes(index dim) noexcept { return 2 * dim; }
  static void encode(float const*, index, std::byte*) noexcept {}
};
static_assert(codec<f32> && codec<halves> && !codec<no_size> && !codec<may_throw> && !codec<float>);
static_assert(f32::row_bytes(128) == 512 && f32::row_bytes(0) == 0);
static_assert(f32::row_bytes(INT64_MAX / 2) == INT64_MAX, "saturates");

TEST(F32, KeepsEveryBit) {
  float const nan = std::bit_cast<float>(0x7fa1'2345u);  // a signalling NaN with a payload
  std::vector<float> const row{1.5f, -0.0f, nan, std::numeric_limits<float>::infinity(),
                               std::numeric_limits<float>::denorm_min()};
  for (index dim = 0; dim <= 5; ++dim) {
    std::vector<std::byte> bytes(5 * sizeof(float), std::byte{0xa5});
    f32::encode(row.data(), dim, bytes.data());
    auto const written = static_cast<std::size_t>(f32::row_bytes(dim));
    EXPECT_EQ(std::memcmp(bytes.data(), row.data(), written), 0);
    for (std::size_t i = written; i < bytes.size(); ++i) EXPECT_EQ(bytes[i], std::byte{0xa5});
  }
}

}  // namespace
}  // namespace oriel
