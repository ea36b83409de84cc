// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/store_rows.hpp"

#include <gtest/gtest.h>

#include "coded.hpp"
#include "oriel/codec/ggml.hpp"
#include "oriel/codec/quantized.hpp"
#include "oriel/codec/rotated.hpp"
#include "tensors.hpp"

namespace oriel::test {
namespace {

class StoreRowsAs : public testing::TestWithParam<stored_as> {};
INSTANTIATE_TEST_SUITE_P(
    Codecs, StoreRowsAs,
    testing::Values(stored_as::of<f32, true>("f32"), stored_as::of<bf16, true>("bf16"),
                    stored_as::of<f16, true>("f16"), stored_as::of<int8, true>("int8"),
                    stored_as::of<int4, true>("int4"), stored_as::of<int2, true>("int2"),
                    stored_as::of<q8_0, true>("q8_0"), stored_as::of<q4_0, true>("q4_0"),
                    stored_as::of<scaled_int8, true>("scaled_int8"),
                    stored_as::of<scaled_int4, true>("scaled_int4"),
                    stored_as::of<rotated<int4>, true>("rotated_int4")),
    [](auto const& each) { return std::string(each.param.name); });

/// Each row is what the codec makes of it, in its place; nothing else is written.
TEST_P(StoreRowsAs, WritesWhatTheCodecDoes) {
  constexpr index room = 9, n = 4, at = 3, heads = 2, dim = 32;
  tensor const k = tensor(n, heads, dim, layout::backwards).filled(1);
  index const row = GetParam().row_bytes(dim), step = row + 4;
  std::vector<std::byte> bytes(static_cast<std::size_t>(room * heads * step + 4), std::byte{0x5a});
  tensor v(room, heads, 1);
  tensor const fresh_v = tensor(n, heads, 1).filled(2);
  storage_view const to = GetParam().view(bytes.data() + 4, room, heads, dim, step, room * step);
  status const s = store_rows(to, v.view, at, k.view, fresh_v.view);
  ASSERT_TRUE(s.ok()) << s.what;
  for (index t = 0; t < room; ++t) {
    for (index h = 0; h < heads; ++h) {
      std::byte const* const got = bytes.data() + 4 + t * step + h * room * step;
      bool const written = t >= at && t < at + n;
      std::vector<std::byte> want(static_cast<std::size_t>(step), std::byte{0x5a});
      if (written) {
        float const* const from = k.view.row(t - at, h);
        std::ranges::copy(GetParam().stored(std::vector<float>(from, from + dim), h), want.begin());
        EXPECT_EQ(*v.view.row(t, h), *fresh_v.view.row(t - at, h));
      } else {
        EXPECT_EQ(std::bit_cast<std::uint32_t>(*v.view.row(t, h)), canary);
      }
      EXPECT_TRUE(std::equal(want.begin(), want.end() - 4, got)) << t << " " << h;
      if (t + 1 < room) {
        EXPECT_TRUE(std::equal(want.end() - 4, want.end(), got + row));
      }
    }
  }
}

TEST(StoreRows, TakesRowsOfAnyKind) {
  tensor const k = tensor(3, 2, 8).filled(1);
  narrow_tensor<f16> const half(k.view);
  tensor const wide = half.floats();
  auto const row = static_cast<std::size_t>(int8::row_bytes(8));
  std::vector<std::byte> one(6 * row), other(6 * row), again(6 * row);
  auto const codes = [&](std::vector<std::byte>& to) {
    return coded_view<int8, std::byte>(to.data(), 3, 2, 8, 2 * static_cast<index>(row),
                                       static_cast<index>(row));
  };
  tensor floats(3, 2, 8);
  ASSERT_TRUE(store_rows(codes(one), floats.view, 0, half.view, half.view).ok());
  ASSERT_TRUE(store_rows(codes(other), floats.view, 0, wide.view, wide.view).ok());
  EXPECT_EQ(one, other);
  EXPECT_EQ(bits_of(floats.view), bits_of(wide.view));
  ASSERT_TRUE(store_rows(floats.view, codes(again), 0, codes(one), codes(one)).ok());
  for (index t = 0; t < 3; ++t) {
    for (index h = 0; h < 2; ++h) {
      float want[8];
      stored_view(codes(one)).floats(t, h, want);
      EXPECT_TRUE(std::equal(want, want + 8, floats.view.row(t, h)));
    }
  }
}

TEST(StoreRows, TakesNoRowsThatCanOnlyBeRead) {
  static constexpr row_functions reads{[](void const*, row_slice const&, float*) noexcept {}};
  float k[2] = {1.0f, 2.0f}, v[2] = {3.0f, 4.0f};
  storage_view to_k(k, 2, 1, 1);
  storage_view const to_v(v, 2, 1, 1);
  to_k.reader = {&reads, nullptr};
  float const fresh = 9.0f;
  EXPECT_EQ(store_rows(to_k, to_v, 0, {&fresh, 1, 1, 1}, {&fresh, 1, 1, 1}).code, errc::shape);
  EXPECT_EQ(erase_rows(to_k, to_v, {0, 1}).code, errc::shape);
  EXPECT_EQ(k[0] + k[1] + v[0] + v[1], 10.0f);
}

TEST(StoreRows, SaysWhatIsWrongAndWritesNothing) {
  tensor const k = tensor(2, 2, 4).filled(1), v = tensor(2, 2, 3).filled(2);
  tensor to_k(6, 2, 4), to_v(6, 2, 3);
  auto const code = [&](index at) {
    return store_rows(to_k.view, to_v.view, at, k.view, v.view).code;
  };
  EXPECT_EQ(code(-1), errc::position);
  EXPECT_EQ(code(5), errc::position);
  EXPECT_EQ(code(INT64_MAX), errc::position);
  EXPECT_EQ(code(INT64_MIN), errc::position);
  EXPECT_EQ(store_rows(to_k.view, to_v.view, 0, v.view, k.view).code, errc::shape);
  EXPECT_EQ(store_rows(to_k.view, to_v.view, 0, k.view.slice({0, 1}), v.view).code, errc::shape);
  EXPECT_EQ(
      store_rows(to_k.view, to_v.view, 0, {k.view.data, 2, 1, 4}, {v.view.data, 2, 1, 3}).code,
      errc::heads);
  EXPECT_EQ(store_rows(to_k.view, {to_k.view.data, 6, 2, 3}, 0, k.view, v.view).code, errc::alias);
  EXPECT_EQ(store_rows({to_k.view.data, 6, 2, 4, 4, 4}, to_v.view, 0, k.view, v.view).code,
            errc::alias);
  EXPECT_EQ(store_rows(to_k.view, to_v.view, 0, to_k.view.slice({1, 3}), v.view).code, errc::alias);
  EXPECT_EQ(store_rows(to_k.view, to_v.view, 0, k.view, to_v.view.slice({1, 3})).code, errc::alias);
  EXPECT_EQ(store_rows({nullptr, 6, 2, 4}, to_v.view, 0, k.view, v.view).code, errc::memory);
  EXPECT_TRUE(store_rows(to_k.view, to_v.view, 6, k.view.slice({0, 0}), v.view.slice({0, 0})).ok());

  page_pool const pool{to_k.view.slice({0, 3}), to_v.view.slice({0, 3}), 2, 24, 18};
  std::vector<index> const table{1, 9, 0};
  auto const paged_code = [&](index at) {
    return store_rows(pool, table, at, k.view, v.view).code;
  };
  EXPECT_EQ(paged_code(2), errc::shape) << "page 9";
  EXPECT_EQ(paged_code(8), errc::shape) << "the table is too short";
  EXPECT_EQ(paged_code(-1), errc::position);
  EXPECT_EQ(paged_code(INT64_MAX), errc::position);
  EXPECT_EQ(paged_code(max_position - 2), errc::position);
  EXPECT_EQ(store_rows(pool, table, 6, to_k.view.slice({1, 3}), v.view).code, errc::alias);
  page_pool const same{to_k.view.slice({0, 3}), {to_k.view.data, 3, 2, 3}, 2, 24, 24};
  EXPECT_EQ(store_rows(same, table, 6, k.view, v.view).code, errc::alias);
  EXPECT_TRUE(to_k.is_untouched(true) && to_v.is_untouched(true));
  EXPECT_TRUE(store_rows(pool, table, 6, k.view, v.view).ok()) << "page 9 is not looked at";
  // Rows that lie in a page of another sequence may be read.
  EXPECT_TRUE(store_rows(pool, table, 1, to_k.view.slice({0, 2}), to_v.view.slice({0, 2})).ok());
}

}  // namespace
}  // namespace oriel::test
