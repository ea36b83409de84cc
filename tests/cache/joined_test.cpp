// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/joined.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "cache_oracle.hpp"
#include "coded.hpp"
#include "compiled_once.hpp"
#include "dice.hpp"
#include "oriel/cache/kivi_cache.hpp"
#include "oriel/cache/paged.hpp"
#include "oriel/codec/ggml.hpp"
#include "oriel/codec/quantized.hpp"
#include "oriel/codec/rotated.hpp"

namespace oriel {
namespace {

using cache = rolling_cache<>;
using view = tensor_view<float const>;

static_assert(kv_source<joined<cache>> && kv_source<joined<contiguous>>);
static_assert(std::is_constructible_v<joined<cache>, cache&, view, view>);
static_assert(std::is_constructible_v<joined<cache>, cache const&, view, view, index>);
static_assert(!std::is_constructible_v<joined<cache>, cache, view, view>, "past is referred to");
static_assert(!std::is_constructible_v<joined<cache>, cache const, view, view>);
static_assert(std::is_trivially_copyable_v<joined<cache>>);

TEST(Joined, IsTheCacheAndThenTheFreshRows) {
  dice d(1);
  for (int round = 0; round < 200 && !testing::Test::HasFailure(); ++round) {
    cache_shape const shape{.window = d.between(index{1}, index{9}),
                            .kv_heads = d.between(index{1}, index{2}),
                            .head_dim = d.between(index{1}, index{5}),
                            .v_dim = d.between(index{1}, index{5}),
                            .margin = d.between(index{1}, index{3})};
    guarded_bytes memory(cache::required_bytes(shape));
    cache past(memory.bytes(), shape);
    row_list expected(shape);
    auto const start = d.pick(std::vector<std::optional<index>>{std::nullopt, 0, 7, index{1} << 31,
                                                                (index{1} << 53) - 1});
    for (index n : {d.between(index{0}, index{20}), d.between(index{0}, index{20})}) {
      random_rows const k(d, n, shape.kv_heads, shape.head_dim);
      random_rows const v(d, n, shape.kv_heads, *shape.v_dim);
      auto const first = expected.empty() ? start : std::nullopt;
      joined const all{past, k.view(), v.view(), first};
      ASSERT_TRUE(all.check().ok()) << all.check().what;
      EXPECT_EQ(all.shape(), past.shape());
      EXPECT_EQ(all.lost(), past.lost());
      range const kept = expected.held();
      index const fresh = expected.empty() ? first.value_or(0) : kept.end;
      EXPECT_EQ(all.positions(), (range{expected.empty() ? fresh : kept.begin, fresh + n}));
      for (index head = 0; head < shape.kv_heads; ++head) {
        for (index p = all.positions().begin; p < all.positions().end; ++p) {
          kv_run const run = all.run_at(head, p);
          ASSERT_EQ(run.first, p);
          ASSERT_GE(run.rows, 1);
          ASSERT_LE(p + run.rows, p < fresh ? fresh : fresh + n);
          if (p >= fresh) {
            EXPECT_EQ(run.k.row(0), k.view().row(p - fresh, head)) << "read where it lies";
            EXPECT_EQ(run.v.row(0), v.view().row(p - fresh, head));
          } else {
            EXPECT_TRUE(same_bits(run.k.row(0), expected.k(head, p)));
            EXPECT_TRUE(same_bits(run.v.row(0), expected.v(head, p)));
          }
        }
      }
      if (n == 0) continue;
      ASSERT_TRUE(past.append(k.view(), v.view(), first).ok());
      expected.append(k.view(), v.view(), first);
      EXPECT_EQ(all.check().code, errc::position) << "the rows are now in the cache";
    }
  }
}

TEST(Joined, ChecksNameTheRule) {
  std::vector<float> const rows(64);
  cache_shape const shape{.window = 3, .kv_heads = 2, .head_dim = 3, .v_dim = 2};
  guarded_bytes memory(cache::required_bytes(shape));
  view const k(rows.data(), 2, 2, 3), v(rows.data(), 2, 2, 2);
  cache empty(memory.bytes(), shape);
  cache full = empty;
  ASSERT_TRUE(full.append(k, v, 40).ok());
  cache const unusable(memory.bytes().first(8), shape);
  cache const nonsense(memory.bytes(), {});
  struct test_case {
    joined<cache> kv;
    errc code;
    char const* what;
  };
  char const* const after = "first must be the position after the last one the cache holds";
  char const* const between = "kv: positions must lie between -2^60 and 2^60";
  for (auto const& [kv, code, what] : {
           test_case{{full, k, v}, errc::ok, "ok"},
           {{full, k, v, 42}, errc::ok, "ok"},
           {{empty, k, v, 9}, errc::ok, "ok"},
           {{full, k, v, 41}, errc::position, after},
           {{full, k, v, 43}, errc::position, after},
           {{full, k, v, INT64_MIN}, errc::position, between},
           {{full, k, v, INT64_MAX}, errc::position, between},
           {{empty, k, v, max_position - 2}, errc::position, between},
           {{full, {rows.data(), 2, 1, 3}, {rows.data(), 2, 1, 2}},
            errc::heads,
            "k.heads must equal the cache's kv_heads"},
           {{full, {rows.data(), 2, 2, 4}, v},
            errc::shape,
            "k.dim must equal the cache's head_dim"},
           {{full, k, {rows.data(), 2, 2, 3}}, errc::shape, "v.dim must equal the cache's v_dim"},
           {{full, k, {rows.data(), 1, 2, 2}}, errc::shape, "k.tokens must equal v.tokens"},
           {{full, {nullptr, 2, 2, 3}, v}, errc::memory, "k.data must not be null"},
           {{unusable, k, v},
            errc::memory,
            "cache bytes must hold rolling_cache::required_bytes(shape)"},
           {{nonsense, k, v}, errc::shape, "cache_shape.window must be at least 1"},
       }) {
    status const s = kv.check();
    EXPECT_EQ(s.code, code) << what;
    EXPECT_STREQ(s.what, what);
  }
}

TEST(Joined, OverlapsItsPartsOnly) {
  std::vector<float> rows(32);
  cache_shape const shape{.window = 3, .head_dim = 2};
  guarded_bytes memory(cache::required_bytes(shape));
  cache const past(memory.bytes(), shape);
  joined const all{past, view(rows.data(), 4, 1, 2), view(rows.data() + 16, 4, 1, 2)};
  auto* const own = reinterpret_cast<float*>(memory.bytes().data());
  EXPECT_TRUE(all.overlaps({own + 11, 1, 1, 1}));
  EXPECT_FALSE(all.overlaps({own + 12, 1, 1, 1}));
  EXPECT_TRUE(all.overlaps({rows.data() + 7, 1, 1, 1}));
  EXPECT_FALSE(all.overlaps({rows.data() + 8, 1, 1, 8}));
  EXPECT_TRUE(all.overlaps({rows.data() + 23, 1, 1, 1}));
}

TEST(Joined, OfAContiguousPast) {
  std::vector<float> const rows(64);
  contiguous const past(view(rows.data(), 3, 1, 2), view(rows.data() + 8, 3, 1, 2), -5);
  joined const all{past, view(rows.data() + 16, 2, 1, 2), view(rows.data() + 24, 2, 1, 2)};
  ASSERT_TRUE(all.check().ok());
  EXPECT_EQ(all.positions(), (range{-5, 0}));
  EXPECT_EQ(all.run_at(0, -4).k.row(0), rows.data() + 2);
  EXPECT_EQ(all.run_at(0, -4).rows, 2);
  EXPECT_EQ(all.run_at(0, -2).k.row(0), rows.data() + 16);
  EXPECT_EQ(all.run_at(0, -1).v.row(0), rows.data() + 26);
}

template <class Pair>
class JoinedOf : public testing::Test {};
using joined_codecs =
    testing::Types<std::pair<f32, f32>, std::pair<bf16, bf16>, std::pair<f16, f16>,
                   std::pair<int8, int8>, std::pair<int4, int4>, std::pair<int4_symmetric, int2>,
                   std::pair<q8_0, q4_0>, std::pair<scaled_int8, scaled_int4>,
                   std::pair<rotated<int4>, rotated<bf16>>, std::pair<f32, int8>,
                   std::pair<int4, f32>>;
TYPED_TEST_SUITE(JoinedOf, joined_codecs);

/// Fresh rows of a source, from `first` to its end, are these floats, [tokens, heads, dim]; `coded`:
/// a reader makes them.
void expect_fresh(any_source const& all, index first, std::vector<float> const& k_want,
                  bool k_coded, std::vector<float> const& v_want, bool v_coded) {
  ASSERT_TRUE(all.check().ok()) << all.check().what;
  kv_shape const shape = all.shape();
  index const dim = shape.head_dim, v_dim = shape.v_dim;
  EXPECT_EQ(all.positions().begin, 0);
  EXPECT_EQ(std::ssize(k_want), (all.positions().end - first) * shape.kv_heads * dim);
  for (index p = first; p < all.positions().end; ++p) {
    for (index h = 0; h < shape.kv_heads; ++h) {
      kv_run const run = all.run_at(h, p);
      EXPECT_EQ(static_cast<bool>(run.k.reader), k_coded) << "else where it lies";
      EXPECT_EQ(static_cast<bool>(run.v.reader), v_coded);
      std::vector<float> k_room(static_cast<std::size_t>(dim)),
          v_room(static_cast<std::size_t>(v_dim));
      float const* const got_k = run.floats(run.k, dim, k_room.data());
      float const* const got_v = run.floats(run.v, v_dim, v_room.data());
      index const row = (p - first) * shape.kv_heads + h;
      EXPECT_EQ(std::memcmp(got_k, k_want.data() + row * dim, k_room.size() * sizeof(float)), 0)
          << p;
      EXPECT_EQ(std::memcmp(got_v, v_want.data() + row * v_dim, v_room.size() * sizeof(float)), 0)
          << p;
    }
  }
}

/// Whatever stands between the cache and what is asked, fresh rows are what the cache keeps of them.
TYPED_TEST(JoinedOf, ShowsFreshRowsAsTheyWillBeKept) {
  using ring = rolling_cache<typename TypeParam::first_type, typename TypeParam::second_type>;
  using K = typename ring::k_codec;
  using V = typename ring::v_codec;
  constexpr index n = 5, heads = 2, dim = 32, v_dim = 64;
  cache_shape const shape{.window = 20, .kv_heads = heads, .head_dim = dim, .v_dim = v_dim};
  guarded_bytes memory(ring::required_bytes(shape));
  ring past(memory.bytes(), shape,
            {test::sample<K, true>::codec(), test::sample<V, false>::codec()});
  dice d(3);
  random_rows const k(d, n, heads, dim), v(d, n, heads, v_dim);
  ASSERT_TRUE(past.append(k.view().slice({0, 2}), v.view().slice({0, 2})).ok());
  view const fresh_k = k.view().slice({2, n}), fresh_v = v.view().slice({2, n});
  std::vector<float> const k_want = test::kept_floats(test::sample<K, true>::codec(), fresh_k);
  std::vector<float> const v_want = test::kept_floats(test::sample<V, false>::codec(), fresh_v);

  any_source const any = past;
  any_source const any_of_any =
      any_source(joined(any, fresh_k.slice({0, 0}), fresh_v.slice({0, 0})));
  joined const direct{past, fresh_k, fresh_v};
  joined const through_any{any, fresh_k, fresh_v};
  joined const through_two{any_of_any, fresh_k, fresh_v};
  std::vector<std::byte> bytes(static_cast<std::size_t>(4 * heads * (dim + v_dim) * 4),
                               std::byte{});
  auto const k_row = K::row_bytes(dim), v_row = V::row_bytes(v_dim);
  coded_view<K, std::byte> const k_rows(bytes.data(), 2, heads, dim, heads * k_row, k_row,
                                        test::sample<K, true>::codec());
  coded_view<V, std::byte> const v_rows(bytes.data() + 4 * heads * dim * 4, 2, heads, v_dim,
                                        heads * v_row, v_row, test::sample<V, false>::codec());
  contiguous const tensors(k_rows, v_rows);
  page_pool const pool{k_rows, v_rows, 1};
  std::vector<index> const table{0};
  paged const pages(pool, table, 2);
  joined const over_tensors{tensors, fresh_k, fresh_v};
  joined const over_pages{pages, fresh_k, fresh_v};
  for (any_source const& all :
       {any_source(direct), any_source(through_any), any_source(through_two),
        any_source(over_tensors), any_source(over_pages)}) {
    EXPECT_EQ(all.positions(), (range{0, n}));
    expect_fresh(all, 2, k_want, !detail::is_plain<K>, v_want, !detail::is_plain<V>);
  }
}

// A sequence that has not begun is one of its codec too.
TEST(Joined, OfAnEmptyPastThatItsCodecCanNotHold) {
  std::vector<float> const rows(33, 0.3f);
  coded_view<q8_0> const none(nullptr, 0, 1, 33, 0, 0);
  contiguous const past(none, none);
  joined const all{past, view(rows.data(), 1, 1, 33), view(rows.data(), 1, 1, 33)};
  EXPECT_EQ(all.check().code, errc::shape);
}
TEST(Joined, ShowsRowsAsTheyAreWhereNoCodecSaysOtherwise) {
  static constexpr row_functions halves{[](void const*, row_slice const& rows, float* to) noexcept {
    *to = 0.5f * float(rows.count);
  }};
  float const one = 3.0f;
  stored_view kept(view(&one, 1, 1, 1));
  kept.reader = {&halves, nullptr};
  contiguous const past(kept, kept);
  joined const all{past, view(&one, 1, 1, 1), view(&one, 1, 1, 1)};
  ASSERT_TRUE(all.check().ok());
  float room = 0.0f;
  EXPECT_EQ(*all.run_at(0, 1).floats(all.run_at(0, 1).k, 1, &room), 3.0f);
  EXPECT_EQ(*all.run_at(0, 0).floats(all.run_at(0, 0).k, 1, &room), 0.5f);
}

TEST(JoinedOfKivi, ShowsFreshRowsAsTheyAre) {
  using kivi = kivi_cache<2, 32>;
  cache_shape const shape{.window = 64, .head_dim = 32};
  guarded_bytes memory(kivi::required_bytes(shape));
  kivi const past(memory.bytes(), shape);
  ASSERT_TRUE(past.check().ok()) << past.check().what;
  std::vector<float> const rows(32, 0.3f);
  any_source const any = past;
  joined const all{any, view(rows.data(), 1, 1, 32), view(rows.data(), 1, 1, 32)};
  EXPECT_EQ(all.run_at(0, 0).k.row(0), rows.data());
  EXPECT_FALSE(all.run_at(0, 0).k.reader);
}

}  // namespace
}  // namespace oriel
