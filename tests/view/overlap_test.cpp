// SPDX-License-Identifier: BSL-1.0
#include "oriel/view/overlap.hpp"

#include <gtest/gtest.h>

#include <bitset>
#include <limits>
#include <vector>

#include "dice.hpp"

namespace oriel {
namespace {

using view = tensor_view<float>;
constexpr index middle = 256;
float room[2 * middle];

struct touched {
  std::bitset<2 * middle> cells;
  bool twice = false;  ///< some cell belongs to two rows
};

touched cells_of(view const& v) {
  touched all;
  for (index t = 0; t < v.tokens; ++t) {
    for (index h = 0; h < v.heads; ++h) {
      for (index d = 0; d < v.dim; ++d) {
        auto const cell = static_cast<std::size_t>(v.row(t, h) + d - room);
        all.twice |= all.cells.test(cell);
        all.cells.set(cell);
      }
    }
  }
  return all;
}

view random_view(dice& d) {
  index const dim = d.between(0, 4);
  index const heads = d.between(0, 4);
  index const head_stride = d.coin() ? dim : d.between(-9, 9);
  index const token_stride = d.coin() ? dim * heads : d.between(-20, 20);
  return {
      room + middle + d.between(-40, 40), d.between(0, 4), heads, dim, token_stride, head_stride};
}

std::string describe(view const& v) {
  std::string text = "{at " + std::to_string(v.data - room);
  for (index i : {v.tokens, v.heads, v.dim, v.token_stride, v.head_stride}) {
    text += ", " + std::to_string(i);
  }
  return text + "}";
}

TEST(Overlap, EqualsTheSetOfAddresses) {
  dice d(1);
  index exact = 0, meeting = 0;
  for (int round = 0; round < 200'000; ++round) {
    view const a = random_view(d);
    view b = random_view(d);
    if (d.coin()) b.token_stride = a.token_stride;
    bool const truth = (cells_of(a).cells & cells_of(b).cells).any();
    bool const said = overlaps(a, b);
    ASSERT_EQ(said, overlaps(b, a)) << describe(a) << describe(b);
    ASSERT_TRUE(said || !truth) << describe(a) << describe(b);
    if (a.token_stride == b.token_stride || a.tokens == 1 || b.tokens == 1) {
      ASSERT_EQ(said, truth) << describe(a) << describe(b);
      ++exact;
      meeting += truth;
    }
  }
  EXPECT_GT(exact, 50'000);  // the cases are not all trivial
  EXPECT_GT(meeting, 10'000);
  EXPECT_GT(exact - meeting, 10'000);
}

TEST(Overlap, SlicesOfOneFusedBufferAreApart) {
  // [tokens 3, q k v, heads 2, dim 4]: slices of different thirds share no element, though their
  // address ranges mesh.
  constexpr index tokens = 3, heads = 2, dim = 4, stride = 3 * heads * dim;
  auto const third = [&](index i) {
    return view(room + i * heads * dim, tokens, heads, dim, stride, dim);
  };
  for (index i = 0; i < 3; ++i) {
    for (index j = 0; j < 3; ++j) EXPECT_EQ(overlaps(third(i), third(j)), i == j);
  }
  view const shifted(room + 1, tokens, heads, dim, stride, dim);
  EXPECT_TRUE(overlaps(shifted, third(1)));
}

TEST(Overlap, OfConstAndOtherTypesOfTheSameSize) {
  view const v(room, 2, 2, 2);
  tensor_view<float const> const c = v;
  tensor_view<std::int32_t const> const i(reinterpret_cast<std::int32_t const*>(room + 7), 1, 1, 1);
  EXPECT_TRUE(overlaps(v, c));
  EXPECT_TRUE(overlaps(v, i));
  EXPECT_FALSE(overlaps(view(room, 1, 1, 7), i));
}

TEST(Overlap, SurvivesStridesThatNobodyTakes) {
  constexpr index most = std::numeric_limits<index>::max();
  for (index stride : {most, -most}) {
    view const a(room, 1, 1, 4, stride, stride);
    EXPECT_TRUE(overlaps(a, view(room + 3, 1, 1, 4, -stride, stride)));
    EXPECT_FALSE(overlaps(a, view(room + 4, 1, 1, 4, stride, -stride)));
    EXPECT_TRUE(overlaps(a, view(room + 3, 2, 1, 2, 5, stride)));
    EXPECT_FALSE(overlaps(view(room + 5, 1, 1, 3, stride, 1), view(room + 3, 2, 1, 2, 5, 1)));
    EXPECT_TRUE(rows_are_disjoint(a));
    EXPECT_TRUE(rows_are_disjoint(view(room, 3, 1, 4, 4, stride)));
    EXPECT_TRUE(rows_are_disjoint(view(room, 1, 3, 4, stride, -4)));
    EXPECT_FALSE(rows_are_disjoint(view(room, 1, 3, 4, stride, 3)));
  }
}

TEST(Footprint, IsTheSmallestRangeAroundTheCells) {
  dice d(2);
  for (int round = 0; round < 20'000; ++round) {
    view const v = random_view(d);
    auto const cells = cells_of(v).cells;
    address_range const all = footprint(v);
    if (cells.none()) {
      ASSERT_EQ(all.begin, all.end) << describe(v);
      continue;
    }
    std::size_t last = 0;
    for (std::size_t i = 0; i < cells.size(); ++i) last = cells.test(i) ? i : last;
    ASSERT_EQ(all.begin, reinterpret_cast<std::uintptr_t>(room + cells._Find_first()));
    ASSERT_EQ(all.end, reinterpret_cast<std::uintptr_t>(room + last + 1));
  }
}

TEST(Hull, IsAroundBothAndIgnoresWhatIsEmpty) {
  auto const is = [](address_range r, std::uintptr_t begin, std::uintptr_t end) {
    return r.begin == begin && r.end == end;
  };
  EXPECT_TRUE(is(hull(address_range{10, 20}, {40, 50}), 10, 50));
  EXPECT_TRUE(is(hull(address_range{40, 50}, {10, 45}), 10, 50));
  EXPECT_TRUE(is(hull(address_range{}, {10, 20}), 10, 20));
  EXPECT_TRUE(is(hull(address_range{10, 20}, {7, 7}), 10, 20));
}

TEST(AddressRange, AnEmptyOneMeetsNone) {
  constexpr address_range some{10, 20};
  EXPECT_TRUE(some.meets({19, 30}) && some.meets({5, 11}) && some.meets({12, 13}));
  EXPECT_FALSE(some.meets({20, 30}) || some.meets({5, 10}));
  EXPECT_FALSE(some.meets({15, 15}) || address_range({15, 15}).meets(some));
}

TEST(RowsAreDisjoint, NeverTrueWhereRowsOverlap) {
  dice d(3);
  index disjoint = 0;
  for (int round = 0; round < 200'000; ++round) {
    view const v = random_view(d);
    if (v.empty()) continue;
    bool const said = rows_are_disjoint(v);
    ASSERT_FALSE(said && cells_of(v).twice) << describe(v);
    disjoint += said;
  }
  EXPECT_GT(disjoint, 20'000);
}

TEST(RowsAreDisjoint, OfASeriesOfViews) {
  float const* const at = nullptr;
  tensor_view<float const> const page(at, 4, 2, 8);  // 64 floats
  EXPECT_TRUE(rows_are_disjoint(page, 9, 64) && rows_are_disjoint(page, 9, -64));
  EXPECT_TRUE(rows_are_disjoint(page, 1, 0) && rows_are_disjoint(page, 0, 3));
  EXPECT_FALSE(rows_are_disjoint(page, 2, 0));
  EXPECT_FALSE(rows_are_disjoint(page, 2, 63));
  EXPECT_FALSE(rows_are_disjoint(page, 3, 4)) << "tokens for floats";
  tensor_view<float const> const between(at, 4, 2, 8, 48, 8);  // three pages, token by token
  EXPECT_TRUE(rows_are_disjoint(between, 3, 16));
  EXPECT_FALSE(rows_are_disjoint(between, 4, 16));
}

TEST(RowsAreDisjoint, HoldsForEveryNestedLayout) {
  // [tokens, heads] in either order, either way round, with and without gaps.
  for (index inner_gap : {0, 3}) {
    for (index outer_gap : {0, 5}) {
      for (index sign : {1, -1}) {
        constexpr index tokens = 3, heads = 4, dim = 5;
        index const inner = dim + inner_gap;
        index const by_token = (heads - 1) * inner + dim + outer_gap;
        index const by_head = (tokens - 1) * inner + dim + outer_gap;
        for (view const& v : {view(room + middle, tokens, heads, dim, by_token, sign * inner),
                              view(room + middle, tokens, heads, dim, -inner, sign * by_head)}) {
          EXPECT_FALSE(cells_of(v).twice);
          EXPECT_TRUE(rows_are_disjoint(v)) << describe(v);
        }
      }
    }
  }
  EXPECT_FALSE(rows_are_disjoint(view(room, 2, 1, 4, 0, 4)));
  EXPECT_FALSE(rows_are_disjoint(view(room, 2, 2, 2, 4, 4)));
}

}  // namespace
}  // namespace oriel
