// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/saved.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "oriel/cache/rolling_cache.hpp"
#include "oriel/codec/ggml.hpp"
#include "oriel/codec/quantized.hpp"
#include "oriel/codec/rotated.hpp"
#include "oriel/codec/scaled.hpp"
#include "tensors.hpp"

namespace oriel::test {
namespace {

using cache = rolling_cache<>;
using bytes_of_cache = std::vector<std::byte>;

cache_shape const small{.window = 3, .kv_heads = 2, .head_dim = 3, .v_dim = 2, .sinks = 2};

struct kept {
  explicit kept(cache_shape const& s) : bytes(cache::required_bytes(s)), of(bytes, s) {}
  aligned_memory bytes;
  cache of;
};

/// After `n` rows, and one given back where there is one.
bytes_of_cache saved_after(index n, cache_shape const& of = small) {
  kept own(of);
  tensor const k = tensor(n, of.kv_heads, of.head_dim).filled(1);
  tensor const v = tensor(n, of.kv_heads, of.value_dim()).filled(2);
  EXPECT_TRUE(own.of.append(k.view, v.view).ok());
  bytes_of_cache to(static_cast<std::size_t>(own.of.saved_bytes()));
  EXPECT_TRUE(own.of.save(to).ok());
  return to;
}

std::vector<std::byte> contents(kept& own) {
  return {own.bytes.span().begin(), own.bytes.span().end()};
}

TEST(Saved, TheFormatIsWhatItIs) {
  bytes_of_cache const blob = saved_after(1, {.window = 2, .head_dim = 1});
  ASSERT_EQ(blob.size(), 13 * 8 + 8);
  auto const word = [&](std::size_t i) {
    std::uint64_t value = 0;
    for (std::size_t b = 8; b-- > 0;) {
      value = value << 8 | std::to_integer<std::uint64_t>(blob[8 * i + b]);
    }
    return value;
  };
  EXPECT_EQ(std::memcmp(blob.data(), "orielkv\n", 8), 0);
  std::uint64_t const words[] = {1, 0x10101, 112, 2, 0, 1, 1, 1, 0, 0, 1};
  for (std::size_t i = 0; i < std::size(words); ++i) EXPECT_EQ(word(i + 1), words[i]) << i;
  EXPECT_EQ(word(13), detail::checksum(blob.data(), 104));
}

TEST(Saved, EveryFlippedBitAndEveryLengthIsRefused) {
  for (index const n : {index{0}, index{1}, index{2}, index{4}, index{9}}) {
    bytes_of_cache const blob = saved_after(n);
    kept own(small);
    tensor const k = tensor(4, 2, 3).filled(3);
    tensor const v = tensor(4, 2, 2).filled(4);
    ASSERT_TRUE(own.of.append(k.view, v.view, 7).ok());
    auto const before = contents(own);
    auto const refused = [&](std::span<std::byte const> bytes) {
      status const s = own.of.restore(bytes);
      EXPECT_EQ(s.code, errc::saved) << s.what;
      EXPECT_EQ(own.of.positions(), (range{8, 11}));
      EXPECT_EQ(contents(own), before);
    };
    for (std::size_t i = 0; i < blob.size(); ++i) {
      for (int bit = 0; bit < 8; ++bit) {
        bytes_of_cache damaged = blob;
        damaged[i] ^= static_cast<std::byte>(1 << bit);
        refused(damaged);
      }
      refused(std::span(blob).first(i));
    }
    bytes_of_cache longer = blob;
    longer.resize(blob.size() + 8);
    refused(longer);
    refused({});
    ASSERT_TRUE(own.of.restore(blob).ok());
    EXPECT_EQ(own.of.positions().end, n);
  }
}

TEST(Saved, AValidChecksumOverNonsenseIsRefused) {
  // Words 4 .. 11: window, sinks, kv_heads, head_dim, v_dim, origin, begin, end.
  bytes_of_cache const blob = saved_after(9);
  struct test_case {
    std::size_t word;
    index value;
  };
  for (auto const& [word, value] : {test_case{1, 2}, {2, 0x10102},    {4, 4},
                                    {4, -1},         {5, 3},          {6, 1},
                                    {7, 4},          {8, 3},          {9, 1},
                                    {9, -1},         {10, 5},         {10, 1},
                                    {11, 8},         {11, 10},        {9, 9},
                                    {11, -1},        {11, INT64_MAX}, {11, max_position},
                                    {10, INT64_MIN}, {9, INT64_MIN},  {10, INT64_MAX}}) {
    bytes_of_cache forged = blob;
    detail::saved_out{forged.data() + 8 * word}.number(value);
    detail::end_saved(forged.data(), std::ssize(forged));
    kept own(small);
    status const s = own.of.restore(forged);
    EXPECT_EQ(s.code, errc::saved) << word << " " << value << " " << s.what;
    EXPECT_TRUE(own.of.positions().empty());
  }
}

TEST(Saved, WhatIsForeignIsNamed) {
  struct test_case {
    cache_shape of;
    char const* what;
  };
  char const* const other = "saved bytes are of a cache of another shape";
  for (auto const& [of, what] : {
           test_case{{.window = 4, .kv_heads = 2, .head_dim = 3, .v_dim = 2, .sinks = 2}, other},
           {{.window = 3, .kv_heads = 1, .head_dim = 3, .v_dim = 2, .sinks = 2}, other},
           {{.window = 3, .kv_heads = 2, .head_dim = 2, .v_dim = 3, .sinks = 2}, other},
           {{.window = 3, .kv_heads = 2, .head_dim = 3, .v_dim = 2}, other},
           {{.window = 3, .kv_heads = 2, .head_dim = 3, .v_dim = 2, .margin = 5, .sinks = 2}, "ok"},
       }) {
    kept own(small);
    status const s = own.of.restore(saved_after(20, of));
    EXPECT_STREQ(s.what, what);
    if (s.ok()) {
      EXPECT_EQ(own.of.positions(), (range{0, 20}));
      EXPECT_EQ(own.of.lost(), (range{2, 17})) << "the last rows that fit";
    }
  }
  bytes_of_cache const blob = saved_after(4);
  bytes_of_cache page(4096, std::byte{0x42});
  kept own(small);
  EXPECT_STREQ(own.of.restore(page).what, "not bytes that a cache of oriel saved");
  cache unusable({}, small);
  EXPECT_EQ(unusable.restore(blob).code, errc::memory);
  EXPECT_EQ(unusable.save(page).code, errc::memory);
  EXPECT_EQ(unusable.saved_bytes(), 0);
}

TEST(Saved, RoomAndAliasAreChecked) {
  kept own(small);
  tensor const k = tensor(4, 2, 3).filled(3);
  tensor const v = tensor(4, 2, 2).filled(4);
  ASSERT_TRUE(own.of.append(k.view, v.view).ok());
  bytes_of_cache to(static_cast<std::size_t>(own.of.saved_bytes()) - 1, std::byte{7});
  EXPECT_EQ(own.of.save(to).code, errc::memory);
  EXPECT_EQ(own.of.save({}).code, errc::memory);
  EXPECT_TRUE(std::all_of(to.begin(), to.end(), [](std::byte b) { return b == std::byte{7}; }));
  aligned_memory large(4096);
  kept const two(small);
  cache in_large(large.span(), small);
  EXPECT_EQ(in_large.save(large.span()).code, errc::alias);
}

/// Calls f(a cache of each kind of codec).
template <class F>
void for_each_kind(F&& f) {
  auto const each = [&]<class... Kinds>(std::type_identity<Kinds>... kind) { (f(kind), ...); };
  each(std::type_identity<rolling_cache<f32>>{}, std::type_identity<rolling_cache<bf16>>{},
       std::type_identity<rolling_cache<f16>>{}, std::type_identity<rolling_cache<int8>>{},
       std::type_identity<rolling_cache<int4>>{},
       std::type_identity<rolling_cache<int4_symmetric>>{},
       std::type_identity<rolling_cache<int2>>{}, std::type_identity<rolling_cache<q8_0>>{},
       std::type_identity<rolling_cache<q4_0>>{},
       std::type_identity<rolling_cache<rotated<int4>>>{},
       std::type_identity<rolling_cache<rotated<q4_0>>>{},
       std::type_identity<rolling_cache<rotated<f32>>>{},
       std::type_identity<rolling_cache<int4, int8>>{},
       std::type_identity<rolling_cache<int8, int4>>{},
       std::type_identity<rolling_cache<quantized<4, 64, true, f16>>>{},
       std::type_identity<rolling_cache<quantized<4, 32, true, float>>>{});
}

/// A cache with rows of `dim` floats and 2 sinks, and what it saves.
template <class Cache>
struct saved_kind {
  cache_shape shape;
  aligned_memory memory;
  Cache own;
  explicit saved_kind(index dim)
      : shape{.window = 5, .kv_heads = 2, .head_dim = dim, .sinks = 1},
        memory(Cache::required_bytes(shape)),
        own(memory, shape) {}
  bytes_of_cache blob() const {
    bytes_of_cache to(static_cast<std::size_t>(own.saved_bytes()));
    EXPECT_TRUE(own.save(to).ok());
    return to;
  }
};

class EveryCodec : public testing::TestWithParam<index> {};

TEST_P(EveryCodec, IsToldApartAndComesBack) {
  index const dim = GetParam();
  tensor const k = tensor(12, 2, dim).filled(3);
  tensor const v = tensor(12, 2, dim).filled(4);
  std::vector<bytes_of_cache> blobs;
  for_each_kind([&]<class Cache>(std::type_identity<Cache>) {
    saved_kind<Cache> kept(dim);
    ASSERT_TRUE(kept.own.append(k.view, v.view).ok());
    blobs.push_back(kept.blob());
  });
  std::size_t number = 0;
  for_each_kind([&]<class Cache>(std::type_identity<Cache>) {
    saved_kind<Cache> kept(dim);
    for (std::size_t i = 0; i < blobs.size(); ++i) {
      EXPECT_EQ(kept.own.restore(blobs[i]).code, i == number ? errc::ok : errc::saved)
          << number << " takes " << i;
    }
    EXPECT_EQ(kept.blob(), blobs[number]);
    ++number;
  });
}
INSTANTIATE_TEST_SUITE_P(Saved, EveryCodec, testing::Values(32, 96));

TEST(Saved, ACallersScalesAreNotSaved) {
  cache_shape const of{.window = 5, .kv_heads = 2, .head_dim = 3};
  float const scales[6] = {0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f};
  using kind = rolling_cache<scaled_int8>;
  codec_pair<scaled_int8, scaled_int8> const codecs({scales, true}, {scales, false});
  aligned_memory memory(kind::required_bytes(of)), more(kind::required_bytes(of));
  kind own(memory, of, codecs), other(more, of, codecs);
  tensor const k = tensor(9, 2, 3).filled(3);
  ASSERT_TRUE(own.append(k.view, k.view).ok());
  bytes_of_cache blob(static_cast<std::size_t>(own.saved_bytes()));
  EXPECT_EQ(std::ssize(blob), 13 * 8 + 5 * 2 * 6);
  ASSERT_TRUE(own.save(blob).ok());
  ASSERT_TRUE(other.restore(blob).ok());
  for (index p = 4; p < 9; ++p) {
    float a[3], b[3];
    kv_run const run = own.run_at(1, p), again = other.run_at(1, p);
    run.floats(run.k, 3, a), again.floats(again.k, 3, b);
    EXPECT_TRUE(std::equal(a, a + 3, b));
  }
}

TEST(Saved, OnlyLiveRowsAreWritten) {
  kept own(small);
  EXPECT_EQ(own.of.saved_bytes(), 104);
  tensor const k = tensor(50, 2, 3).filled(3);
  tensor const v = tensor(50, 2, 2).filled(4);
  ASSERT_TRUE(own.of.append(k.view, v.view).ok());
  EXPECT_EQ(own.of.saved_bytes(), 104 + (2 + 3) * 2 * 20);
  ASSERT_TRUE(own.of.truncate(49).ok());
  EXPECT_EQ(own.of.saved_bytes(), 104 + (2 + 2) * 2 * 20);
}

}  // namespace
}  // namespace oriel::test
