// SPDX-License-Identifier: BSL-1.0
// Attention over rows that are not stored as floats: the bits of attention over the floats that they
// stand for.
#include <gtest/gtest.h>

#include <memory>

#include "coded.hpp"
#include "oriel/attention/attend.hpp"
#include "oriel/cache/block_summary.hpp"
#include "oriel/cache/joined.hpp"
#include "oriel/cache/kivi_cache.hpp"
#include "oriel/cache/rolling_cache.hpp"
#include "oriel/codec/ggml.hpp"
#include "oriel/codec/quantized.hpp"
#include "oriel/mask/both.hpp"
#include "oriel/mask/causal.hpp"
#include "oriel/mask/sliding_window.hpp"
#include "oriel/select/moba.hpp"
#include "oriel/select/quest.hpp"
#include "problem.hpp"

namespace oriel::test {
namespace {

/// Rows of a tensor as a codec stores them, with a gap behind each, and the floats they stand for.
class coded_rows {
 public:
  coded_rows(stored_as const& codec, tensor_view<float const> const& from)
      : codec_(codec),
        stride_(codec.row_bytes(from.dim) + gap),
        bytes_(static_cast<std::size_t>(from.tokens * from.heads * stride_), std::byte{0xff}),
        floats(from.tokens, from.heads, from.dim) {
    std::vector<float> const all = codec.kept(from);
    auto kept = all.begin();
    for_each_element(floats.view, [&](float& x) { x = *kept++; });
    for (index t = 0; t < from.tokens; ++t) {
      for (index h = 0; h < from.heads; ++h) {
        float const* const at = from.row(t, h);
        std::ranges::copy(codec.stored(std::vector<float>(at, at + from.dim), h), row(t, h));
      }
    }
  }
  stored_view view() {
    return codec_.view(bytes_.data(), floats.view.tokens, floats.view.heads, floats.view.dim,
                       stride_ * floats.view.heads, stride_);
  }
  /// 0xff in every byte of a token.
  void poison(index token) {
    std::fill_n(row(token, 0), stride_ * floats.view.heads, std::byte{0xff});
  }

 private:
  static constexpr index gap = 4;
  std::byte* row(index t, index h) { return bytes_.data() + (t * floats.view.heads + h) * stride_; }
  stored_as codec_;
  index stride_;
  std::vector<std::byte> bytes_;

 public:
  tensor floats;
};

/// A ring in memory of its own, whatever its codecs.
class ring {
 public:
  virtual ~ring() = default;
  virtual status append(stored_view const& k, stored_view const& v) = 0;
  virtual status truncate(index position) = 0;
  virtual any_source source() const = 0;
  virtual any_source joined_with(stored_view const& k, stored_view const& v) const = 0;
  aligned_memory bytes;

 protected:
  explicit ring(index size) : bytes(size) {}
};
template <class K, class V>
class ring_of final : public ring {
 public:
  using cache = rolling_cache<K, V>;
  explicit ring_of(cache_shape const& shape)
      : ring(cache::required_bytes(shape)), cache_(bytes, shape) {
    EXPECT_TRUE(cache_.check().ok());
  }
  status append(stored_view const& k, stored_view const& v) override { return cache_.append(k, v); }
  status truncate(index position) override { return cache_.truncate(position); }
  any_source source() const override { return cache_; }
  any_source joined_with(stored_view const& k, stored_view const& v) const override {
    return joined(cache_, k, v);
  }

 private:
  cache cache_;
};

struct codecs {
  stored_pair of;
  std::size_t first_case;  // of every fifth
  std::unique_ptr<ring> (*make_ring)(cache_shape const& shape);

  template <class K, class V>
  static codecs named(std::size_t first_case, char const* k, char const* v) {
    return {stored_pair::of<K, V>(k, v), first_case,
            [](cache_shape const& shape) -> std::unique_ptr<ring> {
              return std::make_unique<ring_of<K, V>>(shape);
            }};
  }
  friend void PrintTo(codecs const& all, std::ostream* to) { PrintTo(all.of, to); }
};

class Compact : public testing::TestWithParam<codecs> {
 protected:
  static coded_rows k_rows(tensor_view<float const> const& k) { return {GetParam().of.k, k}; }
  static coded_rows v_rows(tensor_view<float const> const& v) { return {GetParam().of.v, v}; }
};
INSTANTIATE_TEST_SUITE_P(Codecs, Compact,
                         testing::Values(codecs::named<bf16, bf16>(0, "bf16", "bf16"),
                                         codecs::named<f32, bf16>(1, "f32", "bf16"),
                                         codecs::named<f16, f32>(2, "f16", "f32"),
                                         codecs::named<int8, int4>(3, "int8", "int4"),
                                         codecs::named<int4_symmetric, int2>(4, "int4_symmetric",
                                                                             "int2"),
                                         codecs::named<q8_0, q4_0>(5, "q8_0", "q4_0")),
                         [](auto const& each) {
                           return std::string(each.param.of.k.name) + "_" + each.param.of.v.name;
                         });

/// Some of the calls that every kernel is tested with; others for each codec.
std::vector<attention_case> some_cases(std::size_t first) {
  std::vector<attention_case> some;
  std::vector<attention_case> const all = attention_cases();
  for (std::size_t i = first; i < all.size(); i += 5) {
    attention_case c = all[i];
    c.head_dim = round_up(c.head_dim, 32);
    if (c.v_dim) c.v_dim = round_up(*c.v_dim, 32);
    some.push_back(c);
  }
  return some;
}

TEST_P(Compact, HasTheBitsOfItsFloats) {
  for (attention_case const& c : some_cases(GetParam().first_case)) {
    SCOPED_TRACE(c.name());
    problem const p(c);
    coded_rows k = k_rows(p.k.view);
    coded_rows v = v_rows(p.v.view);
    attention floats = p.call();
    floats.kv = contiguous(k.floats.view, v.floats.view);
    attention coded = p.call();
    coded.kv = contiguous(k.view(), v.view());
    answer const want = attend_anew(floats);
    any_mask const mask = c.mask();
    range const queries = coded.queries();
    for (index key = 0; key < c.kv_len; ++key) {  // what nobody sees is not read
      bool seen = false;
      for (index at = queries.begin; at < queries.end; ++at) seen = seen || mask.visible(at, key);
      if (!seen) k.poison(key), v.poison(key);
    }
    EXPECT_EQ(attend_anew(coded).bits(), want.bits());
    coded.kernel = floats.kernel = kernel_choice::row_lanes;
    EXPECT_EQ(attend_anew(coded).bits(), attend_anew(floats).bits());
    expect_exact(coded, attend_anew(coded));  // `reference` reads them too
    if (testing::Test::HasFailure()) return;
  }
}

TEST_P(Compact, APromptInAnyPiecesThroughARingHasTheSameBits) {
  attention_case const c{.q_len = 260,
                         .kv_len = 260,
                         .q_heads = 4,
                         .kv_heads = 2,
                         .head_dim = 64,
                         .v_dim = 32,
                         .kind = mask_kind::causal_window,
                         .window = 70};
  problem const p(c);
  coded_rows k = k_rows(p.k.view);
  coded_rows v = v_rows(p.v.view);
  attention whole = p.call();
  whole.kv = contiguous(k.floats.view, v.floats.view);
  whole.kernel = kernel_choice::row_lanes;
  answer const want = attend_anew(whole);
  for (index const piece : {260, 100, 64, 9, 1}) {
    SCOPED_TRACE(piece);
    auto const own =
        GetParam().make_ring({.window = 70, .kv_heads = 2, .head_dim = 64, .v_dim = 32});
    for (index at = 0; at < c.q_len; at += piece) {
      range const part{at, min_of(at + piece, c.q_len)};
      attention call = whole;
      call.q = p.q.view.slice(part);
      call.kv = own->joined_with(p.k.view.slice(part), p.v.view.slice(part));
      call.first_query = at;
      EXPECT_EQ(attend_anew(call).bits(), want.bits(part)) << at;
      ASSERT_TRUE(own->append(p.k.view.slice(part), p.v.view.slice(part)).ok());
      if (testing::Test::HasFailure()) return;
    }
    EXPECT_TRUE(own->bytes.is_untouched_behind());
  }
}

/// A summary of 16-key blocks in memory of its own.
template <class Summary>
struct summary_of {
  block_shape shape{.block = 16, .blocks = 20, .kv_heads = 2, .head_dim = 64};
  aligned_memory bytes{Summary::required_bytes(shape)};
  Summary of{bytes, shape};
};

/// Summaries are of keys as the cache keeps them; so what is chosen, and all that follows, is what
/// the floats that it stands for give. Also behind the wrap of a ring, and after rows were given
/// back and others taken.
TEST_P(Compact, BlocksAreChosenAsOverItsFloats) {
  attention_case const c{
      .q_len = 260, .kv_len = 260, .q_heads = 4, .kv_heads = 2, .head_dim = 64, .v_dim = 32};
  problem const p(c), other(c, 9);
  coded_rows k = k_rows(p.k.view);
  coded_rows v = v_rows(p.v.view);
  cache_shape const shape{.window = 200, .kv_heads = 2, .head_dim = 64, .v_dim = 32, .margin = 31};
  auto const own = GetParam().make_ring(shape);
  summary_of<block_means> means, float_means;
  summary_of<block_bounds> bounds, float_bounds;
  auto const take = [&](problem const& from, range part) {
    ASSERT_TRUE(own->append(from.k.view.slice(part), from.v.view.slice(part)).ok());
    ASSERT_TRUE(means.of.append(own->source()).ok());
    ASSERT_TRUE(bounds.of.append(own->source()).ok());
  };
  take(p, {0, 75});
  take(p, {75, 210});
  take(other, {210, 235});
  ASSERT_TRUE(own->truncate(210).ok());
  ASSERT_TRUE(means.of.truncate(210, own->source()).ok());
  ASSERT_TRUE(bounds.of.truncate(210, own->source()).ok());
  take(p, {210, 260});
  // The same rows are lost there.
  aligned_memory float_bytes(rolling_cache<f32>::required_bytes(shape));
  rolling_cache<f32> float_ring(float_bytes, shape);
  ASSERT_TRUE(float_ring.append(k.floats.view, v.floats.view).ok());
  ASSERT_TRUE(float_means.of.append(k.floats.view).ok());
  ASSERT_TRUE(float_bounds.of.append(k.floats.view).ok());
  for (index const rows : {index{1}, index{2}, index{17}, index{60}}) {
    SCOPED_TRACE(rows);
    range const part{260 - rows, 260};
    attention coded = p.call(), floats = p.call();
    coded.q = floats.q = p.q.view.slice(part);
    coded.mask = floats.mask = causal{} & sliding_window{171};
    coded.kv = own->source();
    floats.kv = float_ring;
    coded.select = moba(means.of, 3), floats.select = moba(float_means.of, 3);
    EXPECT_EQ(attend_anew(coded).bits(), attend_anew(floats).bits()) << "moba";
    expect_exact(coded, attend_anew(coded));
    coded.select = quest(bounds.of, 3), floats.select = quest(float_bounds.of, 3);
    EXPECT_EQ(attend_anew(coded).bits(), attend_anew(floats).bits()) << "quest";
    expect_exact(coded, attend_anew(coded));
  }
}

/// Rows of a source from `first` on, as they are read.
struct floats_of {
  index first;
  tensor k, v;

  floats_of(any_source const& of, index from)
      : first(from),
        k(of.positions().end - from, of.shape().kv_heads, of.shape().head_dim),
        v(of.positions().end - from, of.shape().kv_heads, of.shape().v_dim) {
    for (index t = 0; t < k.view.tokens; ++t) {
      for (index h = 0; h < k.view.heads; ++h) {
        kv_run const run = of.run_at(h, from + t);
        float row[max_coded_dim];
        std::copy_n(run.floats(run.k, k.view.dim, row), k.view.dim, k.view.row(t, h));
        std::copy_n(run.floats(run.v, v.view.dim, row), v.view.dim, v.view.row(t, h));
      }
    }
  }
  contiguous view() const { return {k.view, v.view, first}; }
};

/// The same of a kivi_cache, whose rows are floats first and codes later, in a text that goes on: a
/// prompt in pieces, tokens one by one, drafts that are given back, a context shift, in a ring too.
TEST(CompactGroups, BlocksAreChosenAsOverItsFloats) {
  problem const p(
      {.q_len = 300, .kv_len = 300, .q_heads = 4, .kv_heads = 2, .head_dim = 64, .v_dim = 32});
  problem const other(
      {.q_len = 300, .kv_len = 300, .q_heads = 4, .kv_heads = 2, .head_dim = 64, .v_dim = 32}, 9);
  for (index const window : {index{300}, index{150}}) {
    using cache = kivi_cache<2, 32>;
    cache_shape const shape{
        .window = window, .kv_heads = 2, .head_dim = 64, .v_dim = 32, .margin = 8};
    aligned_memory bytes(cache::required_bytes(shape));
    cache groups(bytes, shape);
    summary_of<block_means> means;
    summary_of<block_bounds> bounds;
    auto const attend_then_keep = [&](problem const& from, index first, index count) {
      SCOPED_TRACE(testing::Message() << first << ' ' << count << " window " << window);
      range const part{first, first + count};
      joined const both(groups, from.k.view.slice(part), from.v.view.slice(part));
      ASSERT_TRUE(means.of.append(both).ok());
      ASSERT_TRUE(bounds.of.append(both).ok());
      floats_of const floats(both, max_of(groups.lost().end, groups.positions().begin));
      summary_of<block_means> float_means;
      summary_of<block_bounds> float_bounds;
      ASSERT_TRUE(float_means.of.append(floats.k.view, floats.first).ok());
      ASSERT_TRUE(float_bounds.of.append(floats.k.view, floats.first).ok());
      attention coded = p.call(), plain = p.call();
      coded.q = plain.q = from.q.view.slice(part);
      coded.mask = plain.mask = causal{} & sliding_window{min_of(window, index{120})};
      coded.kv = both, plain.kv = floats.view();
      coded.select = moba(means.of, 3), plain.select = moba(float_means.of, 3);
      EXPECT_EQ(attend_anew(coded).bits(), attend_anew(plain).bits()) << "moba";
      expect_exact(plain, attend_anew(coded));
      coded.select = quest(bounds.of, 3), plain.select = quest(float_bounds.of, 3);
      EXPECT_EQ(attend_anew(coded).bits(), attend_anew(plain).bits()) << "quest";
      expect_exact(plain, attend_anew(coded));
      ASSERT_TRUE(groups.append(from.k.view.slice(part), from.v.view.slice(part)).ok());
    };
    auto const follow = [&](auto&& change) {
      ASSERT_TRUE(change(means.of).ok());
      ASSERT_TRUE(change(bounds.of).ok());
    };
    attend_then_keep(p, 0, 70);
    attend_then_keep(p, 70, 60);
    for (index t = 130; t < 170; ++t) attend_then_keep(p, t, 1);
    for (index t = 170; t < 200; t += 3) {
      attend_then_keep(other, t, 7);
      ASSERT_TRUE(groups.truncate(t + 3).ok());
      follow([&](auto& of) { return of.truncate(t + 3, groups); });
    }
    ASSERT_TRUE(groups.erase({96, 128}).ok());
    follow([&](auto& of) { return of.erase({96, 128}, groups); });
    attend_then_keep(p, 168, 20);
    for (index t = 188; t < 230; ++t) attend_then_keep(p, t, 1);
  }
}

/// Fresh rows of K and V, [tokens, heads, dim] in any layout, behind some that a cache holds: the bits
/// of the floats that they are, whatever lies between rows and in those that no query sees.
template <class K, class V>
void expect_narrow_rows(codecs const& as, layout lies) {
  attention_case const c{.q_len = 15,
                         .kv_len = 40,
                         .q_heads = 4,
                         .kv_heads = 2,
                         .head_dim = 32,
                         .v_dim = 64,
                         .kind = mask_kind::causal_window,
                         .window = 20};
  problem const p(c);
  narrow_tensor<K> const k(p.k.view, lies);
  narrow_tensor<V> const v(p.v.view, lies);
  tensor const wide_k = k.floats(), wide_v = v.floats();
  cache_shape const shape{.window = 40, .kv_heads = 2, .head_dim = 32, .v_dim = 64};
  auto const narrow = as.make_ring(shape), wide = as.make_ring(shape);
  range const past{0, 13}, fresh{13, 40};
  ASSERT_TRUE(narrow->append(k.view.slice(past), v.view.slice(past)).ok());
  ASSERT_TRUE(wide->append(wide_k.view.slice(past), wide_v.view.slice(past)).ok());
  EXPECT_TRUE(std::ranges::equal(narrow->bytes.span(), wide->bytes.span())) << "appended";
  for (index const queries : {15, 2}) {  // the first of 2 sees no key before 19
    narrow_tensor<K> shown_k(p.k.view, lies);
    narrow_tensor<V> shown_v(p.v.view, lies);
    for (index key = fresh.begin; key < 40 - queries + 1 - c.window; ++key) {
      for_each_element(shown_k.view.slice({key, key + 1}), [](K& x) { x = K(std::nanf("")); });
      for_each_element(shown_v.view.slice({key, key + 1}), [](V& x) { x = V(std::nanf("")); });
    }
    attention call = p.call();
    call.q = p.q.view.slice({15 - queries, 15});
    for (kernel_choice const kernel : {kernel_choice::by_length, kernel_choice::row_lanes}) {
      call.kernel = kernel;
      call.kv = wide->joined_with(wide_k.view.slice(fresh), wide_v.view.slice(fresh));
      answer const want = attend_anew(call);
      call.kv = narrow->joined_with(shown_k.view.slice(fresh), shown_v.view.slice(fresh));
      EXPECT_EQ(attend_anew(call).bits(), want.bits()) << queries << " queries";
      expect_exact(call, want);
    }
  }
  attention call = p.call();
  call.kv = narrow->joined_with(k.view.slice(fresh), v.view.slice(fresh));
  answer const got = attend_anew(call);
  ASSERT_TRUE(narrow->append(k.view.slice(fresh), v.view.slice(fresh)).ok());
  call.kv = narrow->source();
  EXPECT_EQ(attend_anew(call).bits(), got.bits()) << "kept as they were shown";
}

TEST_P(Compact, FreshRowsMayBeNarrow) {
  for (layout const lies :
       {layout::packed, layout::padded, layout::head_major, layout::backwards}) {
    SCOPED_TRACE(static_cast<int>(lies));
    expect_narrow_rows<bf16, f16>(GetParam(), lies);
    expect_narrow_rows<f16, bf16>(GetParam(), lies);
  }
}

TEST_P(Compact, APlanCountsTheFloatsOfATile) {
  problem const p({.q_len = 20, .kv_len = 20, .q_heads = 2, .kv_heads = 2, .head_dim = 32});
  coded_rows k = k_rows(p.k.view);
  coded_rows v = v_rows(p.v.view);
  attention call = p.call();
  tensor out(20, 2, 32);
  call.out = out.view;
  attend_plan const plain = plan_attend(bounds_of(call));
  call.kv = contiguous(k.view(), v.view());
  attend_plan const coded = plan_attend(bounds_of(call));
  // The two kernels lie in the same bytes: what the larger one leaves over counts too.
  EXPECT_GT(coded.workspace_bytes(), plain.workspace_bytes());
  EXPECT_LE(coded.workspace_bytes() - plain.workspace_bytes(), tile_keys * 64 * 4);
  aligned_memory scratch(coded.workspace_bytes());
  status const s = attend(plain, call, scratch);
  EXPECT_EQ(s.code, errc::plan);
  EXPECT_TRUE(out.is_untouched(true));
}

TEST(CompactChecks, NameTheRule) {
  alignas(64) static std::byte room[1 << 16];
  using view = coded_view<elements<bf16>>;
  view const ok(room, 4, 2, 8, 32, 16);
  tensor_view<f16 const> const odd(reinterpret_cast<f16 const*>(room + 1), 4, 2, 8);
  EXPECT_TRUE(contiguous(ok, ok).check().ok());
  EXPECT_TRUE(contiguous(ok, odd).check().code == errc::alignment);
  EXPECT_EQ(contiguous(view(room, 4, 2, 4097, 32, 16), ok).check().code, errc::shape);
  EXPECT_EQ(contiguous(view(room, -4, 2, 8, 32, 16), ok).check().code, errc::shape);
  EXPECT_EQ(contiguous(view(room, 4, 2, -8, 32, 16), ok).check().code, errc::shape);
  EXPECT_EQ(contiguous(view(room, 4, 2, 8, INT64_MIN, 16), ok).check().code, errc::shape);
  EXPECT_EQ(contiguous(view(room, 4, 2, 8, INT64_MAX, 16), ok).check().code, errc::shape);
  EXPECT_EQ(contiguous(view(nullptr, 4, 2, 8, 32, 16), ok).check().code, errc::memory);
  EXPECT_EQ(contiguous(view(room, 4, 2, 8, 33, 16), ok).check().code, errc::alignment);
  using floats = coded_view<f32>;
  EXPECT_EQ(contiguous(floats(room, 4, 2, 4, 34, 16), ok).check().code, errc::alignment);
  cache_shape const mixed{.window = 3, .head_dim = 3, .v_dim = 1};
  EXPECT_EQ((rolling_cache<bf16, f32>::required_bytes(mixed)), 3 * 6 + 2 + 3 * 4);
  EXPECT_EQ((rolling_cache<f32, bf16>::required_bytes(mixed)), 3 * 12 + 3 * 2);
  cache_shape const shape{.window = 2, .head_dim = 4097};
  EXPECT_EQ(rolling_cache<bf16>(room, shape).check().code, errc::shape);
}

}  // namespace
}  // namespace oriel::test
