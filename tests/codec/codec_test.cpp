// SPDX-License-Identifier: BSL-1.0
#include "oriel/codec/codec.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace oriel {
namespace {

struct reads_nothing {
  template <class Arch>
  static void read(row_slice const&, float*) noexcept {}
};
struct no_size : reads_nothing {
  template <class Arch>
  static void encode(float const*, index, index, std::byte*) noexcept {}
};
struct may_throw : reads_nothing {
  static index row_bytes(index dim) noexcept { return dim; }
  template <class Arch>
  static void encode(float const*, index, index, std::byte*) {}
};
/// A codec of one's own: 2 bytes per float, in pairs.
struct pairs : reads_nothing {
  static index row_bytes(index dim) noexcept { return 2 * dim; }
  template <class Arch>
  static void encode(float const*, index, index, std::byte*) noexcept {}
  static constexpr status check(index dim) noexcept {
    return dim % 2 == 0 ? status{} : status{errc::shape, "pairs"};
  }
};
static_assert(codec<f32> && codec<pairs> && !codec<no_size> && !codec<may_throw> && !codec<float>);
static_assert(codec<elements<bf16>> && codec<elements<f16>> && !codec<bf16>);
static_assert(std::is_same_v<codec_of<bf16>, elements<bf16>> && std::is_same_v<codec_of<f32>, f32>);
static_assert(register_codec<elements<bf16>> && register_codec<elements<f16>>);
static_assert(!register_codec<pairs> && !integer_codec<pairs> && !integer_codec<elements<bf16>>);
static_assert(f32::row_bytes(128) == 512 && f32::row_bytes(0) == 0);
static_assert(elements<bf16>::row_bytes(33) == 66 && elements<f16>::row_bytes(33) == 66);
static_assert(f32::row_bytes(INT64_MAX / 2) == INT64_MAX, "saturates");

TEST(CheckCodec, NamesTheRule) {
  EXPECT_TRUE(check_codec<f32>(1 << 20).ok());
  EXPECT_TRUE(check_codec<elements<bf16>>(4096).ok());
  EXPECT_EQ(check_codec<elements<bf16>>(4097).code, errc::shape);
  EXPECT_TRUE(check_codec<pairs>(2).ok());
  EXPECT_STREQ(check_codec<pairs>(3).what, "pairs");
}

TEST(F32, KeepsEveryBit) {
  float const nan = std::bit_cast<float>(0x7fa1'2345u);  // a signalling NaN with a payload
  std::vector<float> const row{1.5f, -0.0f, nan, std::numeric_limits<float>::infinity(),
                               std::numeric_limits<float>::denorm_min()};
  for (index dim = 0; dim <= 5; ++dim) {
    std::vector<std::byte> bytes(5 * sizeof(float), std::byte{0xa5});
    f32::encode<default_arch>(row.data(), dim, 0, bytes.data());
    auto const written = static_cast<std::size_t>(f32::row_bytes(dim));
    EXPECT_EQ(std::memcmp(bytes.data(), row.data(), written), 0);
    for (std::size_t i = written; i < bytes.size(); ++i) EXPECT_EQ(bytes[i], std::byte{0xa5});
  }
}

template <class T>
void expect_rows_of() {
  using kept = elements<T>;
  for (index const dim : {1, 2, 15, 16, 17, 33, 128}) {
    std::vector<float> row(static_cast<std::size_t>(dim));
    for (std::size_t i = 0; i < row.size(); ++i) row[i] = std::sin(static_cast<float>(i)) * 3.0f;
    index const bytes = kept::row_bytes(dim);
    std::vector<std::byte> stored(static_cast<std::size_t>(2 * bytes + 6), std::byte{0xa5});
    kept::template encode<default_arch>(row.data(), dim, 0, stored.data());
    kept::template encode<default_arch>(row.data(), dim, 0, stored.data() + bytes + 2);
    EXPECT_EQ(stored[static_cast<std::size_t>(bytes)], std::byte{0xa5});
    EXPECT_EQ(stored[static_cast<std::size_t>(2 * bytes + 2)], std::byte{0xa5});
    std::vector<float> got(2 * row.size() + 1, -7.0f);
    row_reader const reader = reader_of<default_arch, kept>(nullptr);
    reader({stored.data(), bytes + 2, 0, 0, 2, dim}, got.data());
    for (std::size_t i = 0; i < 2 * row.size(); ++i) {
      EXPECT_EQ(got[i], static_cast<float>(T(row[i % row.size()]))) << i;
    }
    EXPECT_EQ(got.back(), -7.0f);
  }
}

TEST(Elements, AreRoundedOneByOne) {
  expect_rows_of<bf16>();
  expect_rows_of<f16>();
  EXPECT_FALSE((reader_of<default_arch, f32>(nullptr))) << "floats are read where they lie";
}

}  // namespace
}  // namespace oriel
