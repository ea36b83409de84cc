// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/erase_rows.hpp"

#include <gtest/gtest.h>

#include "coded.hpp"
#include "compiled_once.hpp"
#include "oriel/cache/rolling_cache.hpp"
#include "oriel/cache/store_rows.hpp"
#include "oriel/codec/ggml.hpp"
#include "oriel/codec/quantized.hpp"
#include "oriel/codec/rotated.hpp"
#include "tensors.hpp"

namespace oriel::test {
namespace {

// What they do is driven by cache_model_test; here is what they refuse.
TEST(EraseRows, SaysWhatIsWrong) {
  tensor k = tensor(6, 2, 4).filled(1);
  tensor v = tensor(6, 2, 3).filled(2);
  auto const before = bits_of(k.view);
  aligned_memory scratch(erase_bytes(4));
  rope const by{.dim = 4}, wide{.dim = 6};
  EXPECT_EQ(erase_rows(k.view, v.view, {3, 7}).code, errc::position);
  EXPECT_EQ(erase_rows(k.view, v.view, {-1, 2}).code, errc::position);
  EXPECT_EQ(erase_rows(k.view, v.view, {4, 2}).code, errc::position);
  EXPECT_EQ(erase_rows(k.view, v.view, {INT64_MIN, INT64_MAX}).code, errc::position);
  EXPECT_EQ(erase_rows(k.view, v.view, {1, 2}, &wide, scratch).code, errc::shape);
  EXPECT_EQ(erase_rows(k.view, v.view, {1, 2}, &by).code, errc::memory);
  EXPECT_EQ(erase_rows(k.view, v.view, {1, 2}, &by, {scratch.span().first(127)}).code,
            errc::workspace);
  EXPECT_EQ(erase_rows(k.view, k.view, {1, 2}).code, errc::alias);
  EXPECT_EQ(erase_rows({k.view.data, 6, 2, 4, 0, 4}, v.view, {1, 2}).code, errc::alias);
  std::span<std::byte> const inside(scratch.span());
  auto* const floats = reinterpret_cast<float*>(inside.data());
  EXPECT_EQ(erase_rows({floats, 6, 1, 4}, {v.view.data, 6, 1, 3}, {1, 2}, &by, scratch).code,
            errc::alias);
  EXPECT_EQ(bits_of(k.view), before);

  std::vector<std::int32_t> const table{1, 0, 9};
  page_pool const pool{k.view.slice({0, 3}), v.view.slice({0, 3}), 2, 24, 18};
  EXPECT_EQ(erase_rows(pool, table, 7, {0, 1}).code, errc::shape) << "page 9";
  EXPECT_EQ(erase_rows(pool, table, 5, {0, 6}).code, errc::position);
  EXPECT_EQ(erase_rows(pool, table, 5, {0, 1}, &by, {inside.first(1)}).code, errc::workspace);
  EXPECT_EQ(bits_of(k.view), before);
  EXPECT_TRUE(erase_rows(pool, table, 6, {0, 6}).ok());
  EXPECT_EQ(bits_of(k.view), before) << "nothing lies behind";
}

TEST(EraseRows, MovesTheRowsBehind) {
  tensor k = tensor(6, 2, 4, layout::backwards).filled(1);
  tensor v = tensor(6, 2, 3, layout::padded).filled(2);
  tensor const k0 = tensor(6, 2, 4).filled(1), v0 = tensor(6, 2, 3).filled(2);
  ASSERT_TRUE(erase_rows(k.view, v.view, {1, 3}).ok());
  for (index t = 0; t < 4; ++t) {
    index const was = t < 1 ? t : t + 2;
    EXPECT_EQ(bits_of(k.view.slice({t, t + 1})), bits_of(k0.view.slice({was, was + 1})));
    EXPECT_EQ(bits_of(v.view.slice({t, t + 1})), bits_of(v0.view.slice({was, was + 1})));
  }
  EXPECT_TRUE(k.is_untouched());
  EXPECT_TRUE(v.is_untouched());
}

template <class Pair>
class EraseCoded : public testing::Test {};
using erased_codecs =
    testing::Types<std::pair<f32, f32>, std::pair<bf16, f16>, std::pair<int8, int4>,
                   std::pair<q8_0, q4_0>, std::pair<scaled_int8, scaled_int4>,
                   std::pair<rotated<int4>, bf16>>;
TYPED_TEST_SUITE(EraseCoded, erased_codecs);

/// In tensors and in pages as in a ring that holds all, bit for bit.
TYPED_TEST(EraseCoded, HasTheBytesOfARing) {
  using K = codec_of<typename TypeParam::first_type>;
  using V = codec_of<typename TypeParam::second_type>;
  constexpr index n = 23, heads = 2, dim = 32;
  K const& of_k = sample<K, true>::codec();
  V const& of_v = sample<V, false>::codec();
  tensor const k = tensor(n, heads, dim).filled(1);
  tensor const v = tensor(n, heads, dim).filled(2);
  index const k_row = K::row_bytes(dim), v_row = V::row_bytes(dim);
  rope const by{.dim = 24, .pairs = rope_pairs::neighbours};
  aligned_memory scratch(erase_bytes(dim));
  for (bool const turned : {false, true}) {
    for (range const erased : {range{0, 5}, {3, 4}, {7, 19}, {20, 23}, {9, 9}}) {
      cache_shape const shape{.window = n, .kv_heads = heads, .head_dim = dim};
      aligned_memory bytes(rolling_cache<K, V>::required_bytes(shape));
      rolling_cache<K, V> ring(bytes, shape, {of_k, of_v});
      ASSERT_TRUE(ring.append(k.view, v.view).ok());
      ASSERT_TRUE((turned ? ring.erase(erased, by, scratch) : ring.erase(erased)).ok());

      aligned_memory k_rows(n * heads * k_row), v_rows(n * heads * v_row);
      storage_view const to_k =
          coded_view<K, std::byte>(k_rows.span().data(), n, heads, dim, k_row, n * k_row, of_k);
      storage_view const to_v =
          coded_view<V, std::byte>(v_rows.span().data(), n, heads, dim, heads * v_row, v_row, of_v);
      ASSERT_TRUE(store_rows(to_k, to_v, 0, k.view, v.view).ok());
      status const s = erase_rows(to_k, to_v, erased, turned ? &by : nullptr, scratch);
      ASSERT_TRUE(s.ok()) << s.what;

      index const size = 4, pages = 6;
      aligned_memory k_bytes(pages * size * heads * k_row), v_bytes(pages * size * heads * v_row);
      page_pool const pool{coded_view<K, std::byte>(k_bytes.span().data(), size, heads, dim,
                                                    heads * k_row, k_row, of_k),
                           coded_view<V, std::byte>(v_bytes.span().data(), size, heads, dim, v_row,
                                                    size * v_row, of_v),
                           pages, size * heads * k_row, size * heads * v_row};
      std::vector<std::int32_t> table{4, 1, 5, 0, 2, 3};
      ASSERT_TRUE(store_rows(pool, table, 0, k.view, v.view).ok());
      for (index i = 0; i < erased.begin / size; ++i) table[static_cast<std::size_t>(i)] = -1;
      status const paged_says = erase_rows(pool, table, n, erased, turned ? &by : nullptr, scratch);
      ASSERT_TRUE(paged_says.ok()) << paged_says.what;

      index const left = n - erased.size();
      contiguous const tensors(to_k.slice({0, left}), to_v.slice({0, left}));
      paged const in_pages(pool, table, left, 0, {0, erased.begin / size * size});
      auto const same = [](stored_rows const& a, stored_rows const& b) {
        return a.bytes == b.bytes && std::equal(a.data, a.data + a.bytes, b.data);
      };
      for (index p = 0; p < left; ++p) {
        for (index h = 0; h < heads; ++h) {
          kv_run const want = ring.run_at(h, p), got = tensors.run_at(h, p);
          EXPECT_TRUE(same(want.k, got.k) && same(want.v, got.v)) << p;
          if (p < erased.begin / size * size) continue;
          kv_run const paged_run = in_pages.run_at(h, p);
          EXPECT_TRUE(same(want.k, paged_run.k) && same(want.v, paged_run.v)) << p;
        }
      }
      EXPECT_TRUE(k_rows.is_untouched_behind() && k_bytes.is_untouched_behind());
      EXPECT_TRUE(v_rows.is_untouched_behind() && v_bytes.is_untouched_behind());
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(EraseCodedChecks, NameTheRule) {
  alignas(64) static std::byte room[4096];
  using rows = coded_view<int8, std::byte>;
  index const row = int8::row_bytes(8);
  rows const k(room, 5, 2, 8, 2 * row, row), v(room + 1001, 5, 2, 8, 2 * row, row);
  rope const by{.dim = 8};
  aligned_memory scratch(erase_bytes(8));
  EXPECT_TRUE(erase_rows(k, v, {1, 2}, &by, scratch).ok());
  EXPECT_EQ(erase_rows(k, v, {1, 2}, &by).code, errc::memory);
  EXPECT_EQ(erase_rows(k, k, {1, 2}).code, errc::alias);
  EXPECT_EQ(erase_rows(rows(room, 5, 2, 8, 2 * row - 1, row), v, {1, 2}).code, errc::alias);
  EXPECT_EQ(erase_rows(rows(room, 5, 2, INT64_MAX, 2 * row, row), v, {1, 2}).code, errc::shape);
  workspace const inside{std::span(room).subspan(0, static_cast<std::size_t>(erase_bytes(8)))};
  EXPECT_EQ(erase_rows(k, v, {1, 2}, &by, inside).code, errc::alias);
  std::vector<index> const table{0, 1};
  page_pool const same{k, k, 2, 10 * row, 10 * row};
  EXPECT_EQ(erase_rows(same, table, 9, {1, 2}).code, errc::alias);
}

}  // namespace
}  // namespace oriel::test
