// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/merge.hpp"

#include <array>
#include <functional>
#include <memory>

#include "problem.hpp"

namespace oriel::test {
namespace {

index const tokens = 6, heads = 2, dim = 5;

struct piece {
  tensor out{tokens, heads, dim};
  tensor lse{tokens, heads, 1};
  piece() = default;
  explicit piece(std::uint64_t seed)
      : out(tensor(tokens, heads, dim).filled(seed)),
        lse(tensor(tokens, heads, 1).filled(seed + 1)) {}
  partial part() const { return {out.view, lse.view}; }
  /// Sees nothing; what it holds must not matter.
  piece&& empty() && {
    for_each_element(lse.view, [](float& x) { x = -infinity; });
    for_each_element(out.view, [](float& x) { x = std::bit_cast<float>(canary); });
    return std::move(*this);
  }
};

piece merged(std::initializer_list<partial> parts) {
  piece to;
  status const s = merge(std::span(parts.begin(), parts.size()), to.out.view, to.lse.view);
  EXPECT_TRUE(s.ok()) << s.what;
  EXPECT_TRUE(to.out.is_untouched() && to.lse.is_untouched());
  return to;
}

void expect_near(piece const& a, piece const& b) {
  for (index t = 0; t < tokens; ++t) {
    for (index h = 0; h < heads; ++h) {
      EXPECT_NEAR(*a.lse.view.row(t, h), *b.lse.view.row(t, h), 3e-7);
      for (index d = 0; d < dim; ++d) {
        EXPECT_NEAR(a.out.view.row(t, h)[d], b.out.view.row(t, h)[d], 4e-7);
      }
    }
  }
}

TEST(Merge, PartsOfTheKeysMakeTheWhole) {
  problem const p({.q_len = tokens, .kv_len = 300, .q_heads = heads, .head_dim = 16, .v_dim = dim});
  attention whole = p.call();
  whole.first_query = 294;
  exact_answer const want(whole);
  std::vector<answer> answers;
  std::vector<partial> parts;
  for (range const keys : {range{0, 100}, {100, 101}, {101, 297}, {297, 300}}) {
    attention call = whole;
    call.kv = contiguous(p.k.view.slice(keys), p.v.view.slice(keys), keys.begin);
    answers.push_back(attend_anew(call));
  }
  for (answer const& a : answers) parts.push_back({a.out.view, a.lse.view});
  piece const to;
  ASSERT_TRUE(merge(parts, to.out.view, to.lse.view).ok());
  EXPECT_LE(largest_error(to.out.view, want.out), error_bound(16));
  EXPECT_LE(largest_error(to.lse.view, want.lse), error_bound(16));
}

TEST(Merge, AnyOrderAndAnyGrouping) {
  piece const a(1), b(10), c(20), none = piece().empty();
  piece const abc = merged({a.part(), b.part(), c.part()});
  expect_near(abc, merged({c.part(), a.part(), b.part()}));
  expect_near(abc, merged({merged({a.part(), b.part()}).part(), c.part()}));
  expect_near(abc, merged({a.part(), merged({b.part(), c.part()}).part()}));
  EXPECT_EQ(bits_of(abc.out.view),
            bits_of(merged({none.part(), a.part(), b.part(), none.part(), c.part()}).out.view));
}

TEST(Merge, OnePartIsItself) {
  piece const a(1), none = piece().empty();
  for (piece const& same : {merged({a.part()}), merged({none.part(), a.part()})}) {
    EXPECT_EQ(bits_of(same.out.view), bits_of(a.out.view));
    EXPECT_EQ(bits_of(same.lse.view), bits_of(a.lse.view));
  }
}

TEST(Merge, NothingAndNothingIsNothing) {
  piece const none = piece().empty();
  piece const all = merged({none.part(), none.part()});
  for_each_element(all.out.view, [](float x) { EXPECT_EQ(std::bit_cast<std::uint32_t>(x), 0u); });
  for_each_element(all.lse.view, [](float x) { EXPECT_EQ(x, -infinity); });
}

TEST(Merge, WhatIsNotANumberIsSeen) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  piece const a(1), none = piece().empty();
  for (piece const* const other : {&a, &none}) {
    piece const odd(3);
    *odd.lse.view.row(2, 1) = nan;
    for (auto const& got :
         {merged({odd.part(), other->part()}), merged({other->part(), odd.part()})}) {
      for (index t = 0; t < tokens; ++t) {
        for (index h = 0; h < heads; ++h) {
          bool const is_odd = t == 2 && h == 1;
          EXPECT_EQ(std::isnan(*got.lse.view.row(t, h)), is_odd) << t << " " << h;
          EXPECT_EQ(std::isnan(got.out.view.row(t, h)[0]), is_odd) << t << " " << h;
        }
      }
    }
  }
}

TEST(Merge, AnInfiniteLogitTakesAllTheWeight) {
  piece const a(1);
  piece const sink(2);
  for_each_element(sink.lse.view, [](float& x) { x = infinity; });
  for_each_element(sink.out.view, [](float& x) { x = 0.0f; });
  piece const all = merged({a.part(), sink.part()});
  for_each_element(all.out.view, [](float x) { EXPECT_EQ(x, 0.0f); });
  for_each_element(all.lse.view, [](float x) { EXPECT_EQ(x, infinity); });
}

TEST(Merge, WhatHasNoWeightBesideTheOthersTakesNoPart) {
  piece const a(1);
  piece const far(2);
  for_each_element(far.lse.view, [](float& x) { x -= 1000.0f; });
  for_each_element(far.out.view, [](float& x) { x = infinity; });
  expect_near(merged({a.part(), far.part()}), a);
  expect_near(merged({far.part(), a.part()}), a);
}

TEST(Merge, LargeLogitsStayFinite) {
  piece const a(1), b(2);
  for_each_element(a.lse.view, [](float& x) { x = 3e38f; });
  for_each_element(b.lse.view, [](float& x) { x = -3e38f; });
  piece const both = merged({b.part(), a.part()});
  EXPECT_EQ(bits_of(both.out.view), bits_of(a.out.view));
  EXPECT_EQ(bits_of(both.lse.view), bits_of(a.lse.view));
}

TEST(Merge, InPlace) {
  piece const a(1), b(10);
  piece const apart = merged({a.part(), b.part()});
  std::array const parts{a.part(), b.part()};
  ASSERT_TRUE(merge(parts, a.out.view, a.lse.view).ok());
  EXPECT_EQ(bits_of(a.out.view), bits_of(apart.out.view));
  EXPECT_EQ(bits_of(a.lse.view), bits_of(apart.lse.view));
  EXPECT_TRUE(a.out.is_untouched() && a.lse.is_untouched());
}

TEST(Merge, WithoutLseAndWithoutRows) {
  piece const a(1), b(10), to;
  std::array const parts{a.part(), b.part()};
  ASSERT_TRUE(merge(parts, to.out.view).ok());
  EXPECT_EQ(bits_of(to.out.view), bits_of(merged({a.part(), b.part()}).out.view));
  EXPECT_TRUE(to.lse.is_untouched(true));
  partial const no_rows[] = {{{nullptr, 0, heads, dim}, {nullptr, 0, heads, 1}}};
  EXPECT_TRUE(merge(no_rows, {nullptr, 0, heads, dim}, {nullptr, 0, heads, 1}).ok());
}

// --- bad arguments -------------------------------------------------------------------------------
struct arguments {
  piece a{1}, b{10}, to;
  std::vector<partial> parts{a.part(), b.part()};
  tensor_view<float> out = to.out.view, lse = to.lse.view;
};
struct merge_breach {
  char const* name;
  std::function<void(arguments&)> commit;
  errc code;
  index where = 0;
};
merge_breach const merge_breaches[] = {
    {"no part", [](arguments& x) { x.parts.clear(); }, errc::shape},
    {"out null", [](arguments& x) { x.out.data = nullptr; }, errc::memory},
    {"out rows overlap", [](arguments& x) { x.out.token_stride = 3; }, errc::alias},
    {"lse null", [](arguments& x) { x.lse.data = nullptr; }, errc::memory},
    {"lse tokens", [](arguments& x) { x.lse.tokens = 5; }, errc::shape},
    {"lse heads", [](arguments& x) { x.lse.heads = 1; }, errc::heads},
    {"lse dim", [](arguments& x) { x.lse.dim = 2; }, errc::shape},
    {"lse rows overlap", [](arguments& x) { x.lse.head_stride = 0; }, errc::alias},
    {"lse in out", [](arguments& x) { x.lse.data = x.out.data; }, errc::alias},
    {"part tokens", [](arguments& x) { x.parts[1].out.tokens = 5; }, errc::shape, 1},
    {"part lse tokens", [](arguments& x) { x.parts[1].lse.tokens = 5; }, errc::shape, 1},
    {"part heads", [](arguments& x) { x.parts[1].out.heads = 1; }, errc::heads, 1},
    {"part lse heads", [](arguments& x) { x.parts[0].lse.heads = 1; }, errc::heads, 0},
    {"part dim", [](arguments& x) { x.parts[1].out.dim = 4; }, errc::shape, 1},
    {"part lse dim", [](arguments& x) { x.parts[1].lse.dim = 2; }, errc::shape, 1},
    {"part null", [](arguments& x) { x.parts[1].out.data = nullptr; }, errc::memory, 1},
    {"part lse null", [](arguments& x) { x.parts[1].lse.data = nullptr; }, errc::memory, 1},
    {"part negative", [](arguments& x) { x.parts[0].out.dim = -1; }, errc::shape, 0},
    {"in place of the second", [](arguments& x) { x.out = x.b.out.view; }, errc::alias, 1},
    {"lse in place of the second", [](arguments& x) { x.lse = x.b.lse.view; }, errc::alias, 1},
    {"out shifted within the first", [](arguments& x) { x.out = x.a.out.view, ++x.out.data; },
     errc::alias, 0},
    {"out in a part's lse", [](arguments& x) { x.out.data = x.a.lse.view.data; }, errc::alias, 0},
    {"lse in a part's out", [](arguments& x) { x.lse.data = x.b.out.view.data; }, errc::alias, 1},
    {"out in the first, lse in its out",
     [](arguments& x) { x.out = x.a.out.view, x.lse.data = x.a.out.view.data + 2; }, errc::alias},
};

TEST(Merge, NamesThePartAndWritesNothing) {
  for (merge_breach const& row : merge_breaches) {
    SCOPED_TRACE(row.name);
    arguments x;
    auto const all = [&] {
      return std::vector{bits_of(x.a.out.view), bits_of(x.a.lse.view), bits_of(x.b.out.view),
                         bits_of(x.b.lse.view)};
    };
    auto const before = all();
    row.commit(x);
    status const s = merge(x.parts, x.out, x.lse);
    EXPECT_EQ(s.code, row.code) << s.what;
    EXPECT_EQ(s.where, row.where) << s.what;
    EXPECT_TRUE(x.to.out.is_untouched(true) && x.to.lse.is_untouched(true));
    EXPECT_EQ(all(), before);
  }
}

// --- 16 bits -------------------------------------------------------------------------------------
template <class T>
class MergeNarrow : public testing::Test {};
using narrow_types = testing::Types<bf16, f16>;
TYPED_TEST_SUITE(MergeNarrow, narrow_types);

TYPED_TEST(MergeNarrow, IsTheMergeOfTheFloatsRoundedOnce) {
  for (index const wide : {1, 5, 64, 65, 130}) {
    std::vector<tensor> floats, lse;
    std::vector<std::unique_ptr<narrow_tensor<TypeParam>>> narrow;
    std::vector<partial> wide_parts, parts;
    for (std::uint64_t i = 0; i < 3; ++i) {
      narrow.push_back(
          std::make_unique<narrow_tensor<TypeParam>>(tensor(tokens, heads, wide).filled(i).view));
      floats.push_back(narrow.back()->floats());
      lse.push_back(tensor(tokens, heads, 1).filled(10 + i));
    }
    *lse[1].view.row(2, 1) = -infinity;
    narrow[1]->view.row(2, 1)[0] = TypeParam(NAN);
    for (std::size_t i = 0; i < 3; ++i) {
      wide_parts.push_back({floats[i].view, lse[i].view});
      parts.push_back({narrow[i]->view, lse[i].view});
    }
    parts[2].out = floats[2].view;  // types may differ
    tensor want(tokens, heads, wide), want_lse(tokens, heads, 1), got_lse(tokens, heads, 1);
    ASSERT_TRUE(merge(wide_parts, want.view, want_lse.view).ok());
    tensor as_floats(tokens, heads, wide);
    ASSERT_TRUE(merge(parts, as_floats.view, got_lse.view).ok());
    EXPECT_EQ(bits_of(as_floats.view), bits_of(want.view));
    EXPECT_EQ(bits_of(got_lse.view), bits_of(want_lse.view));
    narrow_tensor<TypeParam> const rounded(want.view);
    narrow_tensor<TypeParam> got(tokens, heads, wide);
    ASSERT_TRUE(merge(parts, got.view).ok());
    EXPECT_EQ(got.bits(), rounded.bits());
    // In place.
    ASSERT_TRUE(merge(parts, narrow[0]->view, lse[0].view).ok());
    EXPECT_EQ(narrow[0]->bits(), rounded.bits());
    EXPECT_EQ(bits_of(lse[0].view), bits_of(want_lse.view));
  }
}

TYPED_TEST(MergeNarrow, InPlaceOfTheSameTypeOnly) {
  piece const a(1), b(10);
  narrow_tensor<TypeParam> narrow(a.out.view);
  std::vector<std::uint16_t> const before = narrow.bits();
  std::array const parts{partial{narrow.view, a.lse.view}, b.part()};
  using other = std::conditional_t<std::is_same_v<TypeParam, bf16>, f16, bf16>;
  tensor_view<TypeParam> const at = narrow.view;
  auto const as = [&]<class T>(T*) {
    return tensor_view<T>(reinterpret_cast<T*>(at.data), tokens, heads, dim, at.token_stride,
                          at.head_stride);
  };
  EXPECT_EQ(merge(parts, as(static_cast<other*>(nullptr))).code, errc::alias);
  tensor_view<TypeParam> moved = at;
  ++moved.data;
  EXPECT_EQ(merge(parts, moved).code, errc::alias);
  std::array const wide{a.part(), b.part()};
  tensor_view<TypeParam> const over_floats(reinterpret_cast<TypeParam*>(a.out.view.data), tokens,
                                           heads, dim, a.out.view.token_stride,
                                           a.out.view.head_stride);
  EXPECT_EQ(merge(wide, over_floats).code, errc::alias);
  tensor_view<TypeParam> const over_lse(reinterpret_cast<TypeParam*>(b.lse.view.data), 1, 1, 1);
  partial const one[] = {{{a.out.view.data, 1, 1, 1}, {b.lse.view.data, 1, 1, 1}}};
  EXPECT_EQ(merge(one, over_lse).code, errc::alias);
  EXPECT_EQ(narrow.bits(), before);
}

}  // namespace
}  // namespace oriel::test
