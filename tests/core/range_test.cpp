// SPDX-License-Identifier: BSL-1.0
#include "oriel/core/range.hpp"

#include <gtest/gtest.h>

#include <bitset>
#include <vector>

#include "dice.hpp"

namespace oriel {
namespace {

static_assert(round_down(7, 4) == 4 && round_down(8, 4) == 8 && round_down(0, 4) == 0);
static_assert(round_down(-1, 4) == -4 && round_down(-4, 4) == -4 && round_down(-5, 4) == -8);
static_assert(round_down(INT64_MAX, 64) == INT64_MAX - 63);
static_assert(round_down(INT64_MIN + 1, 1) == INT64_MIN + 1);
static_assert(round_down(-max_position + 1, 1024) == -max_position);
static_assert(round_up(0, 64) == 0 && round_up(1, 64) == 64 && round_up(64, 64) == 64);
static_assert(ceil_div(0, 3) == 0 && ceil_div(1, 3) == 1 && ceil_div(6, 3) == 2);
static_assert(saturating_add(1, 2) == 3 && saturating_add(INT64_MAX, 0) == INT64_MAX);
static_assert(saturating_add(INT64_MAX - 1, 2) == INT64_MAX);
static_assert(saturating_add(INT64_MAX, INT64_MAX) == INT64_MAX);
static_assert(saturating_mul(index{1} << 31, index{1} << 31) == index{1} << 62);
static_assert(saturating_mul(index{1} << 32, index{1} << 31) == INT64_MAX);
static_assert(saturating_mul(INT64_MAX, 0) == 0 && saturating_mul(INT64_MAX, 1) == INT64_MAX);
static_assert(magnitude(-3) == 3 && magnitude(3) == 3 && magnitude(INT64_MIN + 1) == INT64_MAX);
static_assert(everywhere.size() == 2 * max_position && everywhere.contains(0));
static_assert(range{3, 3}.empty() && range{5, 3}.empty() && range{5, 3}.size() == 0);
static_assert(range{3, 5}.contains(3) && !range{3, 5}.contains(5) && range{3, 5}.size() == 2);
static_assert(intersect(range{0, 5}, range{3, 9}) == range{3, 5});
static_assert(intersect(range{0, 3}, range{5, 9}).empty());
static_assert(range_set<2>(range{4, 4}).empty() && range_set<2>().hull() == range{});

TEST(Range, RoundDownIsTheNextMultipleBelow) {
  for (index step = 1; step <= 9; ++step) {
    for (index a = -40; a <= 40; ++a) {
      index const r = round_down(a, step);
      EXPECT_EQ(r % step, 0) << a << " by " << step;
      EXPECT_TRUE(r <= a && a < r + step) << a << " by " << step;
    }
  }
}

using bits = std::bitset<64>;

template <int N>
bits members(range_set<N> const& set) {
  bits b;
  for (range r : set) {
    for (index i = r.begin; i < r.end; ++i) b.set(static_cast<std::size_t>(i));
  }
  return b;
}

/// Ascending, non-empty, disjoint.
template <int N>
bool well_formed(range_set<N> const& set) {
  for (int i = 0; i < set.count; ++i) {
    if (set.items[i].empty()) return false;
    if (i > 0 && set.items[i].begin < set.items[i - 1].end) return false;
  }
  return 0 <= set.count && set.count <= N;
}

template <int N>
range_set<N> random_set(dice& d) {
  range_set<N> set;
  index at = d.between(0, 8);
  for (int left = d.between(0, N); left > 0 && at < 56; --left) {
    range const next{at, at + d.between(0, 9)};  // empty ones must vanish
    set.add(next);
    at = next.end + d.between(0, 3);  // 0: adjacent ranges stay two
  }
  return set;
}

TEST(RangeSet, IntersectionIsTheSetOfCommonMembers) {
  dice d(1);
  for (int round = 0; round < 20'000; ++round) {
    auto const a = random_set<3>(d);
    auto const b = random_set<3>(d);
    auto const both = intersect(a, b);
    ASSERT_TRUE(well_formed(both));

    std::vector<range> pieces;
    for (range x : a) {
      for (range y : b) {
        if (range const z = intersect(x, y); !z.empty()) pieces.push_back(z);
      }
    }
    bits expected = members(a) & members(b);
    if (pieces.size() > 3) {  // what does not fit is hulled into the last
      for (index i = pieces[2].begin; i < pieces.back().end; ++i) {
        expected.set(static_cast<std::size_t>(i));
      }
    }
    ASSERT_EQ(members(both), expected);
  }
}

TEST(RangeSet, WhatDoesNotFitIsMergedIntoTheLast) {
  range_set<2> set;
  for (range r : {range{0, 2}, range{4, 5}, range{7, 7}, range{9, 12}, range{20, 21}}) set.add(r);
  EXPECT_EQ(set.count, 2);
  EXPECT_EQ(set.items[0], (range{0, 2}));
  EXPECT_EQ(set.items[1], (range{4, 21}));
  EXPECT_EQ(set.hull(), (range{0, 21}));
}

TEST(RangeSet, HullIsTheSmallestRangeAround) {
  dice d(2);
  for (int round = 0; round < 2'000; ++round) {
    auto const set = random_set<4>(d);
    bits const b = members(set);
    range const hull = set.hull();
    ASSERT_EQ(set.empty(), b.none());
    if (b.none()) continue;
    ASSERT_EQ(hull.begin, static_cast<index>(b._Find_first()));
    for (index i = 0; i < 64; ++i) {
      ASSERT_TRUE(hull.contains(i) || !b.test(static_cast<std::size_t>(i)));
    }
    ASSERT_TRUE(b.test(static_cast<std::size_t>(hull.end - 1)));
  }
}

using set = range_set<3>;
set set_of(std::initializer_list<range> all) {
  set made;
  for (range const r : all) made.add(r);
  return made;
}
void expect_set(set const& got, std::initializer_list<range> want) {
  ASSERT_EQ(got.count, static_cast<int>(want.size()));
  EXPECT_TRUE(std::equal(got.begin(), got.end(), want.begin()));
}

TEST(RangeSet, Unite) {
  expect_set(unite(set_of({}), set_of({})), {});
  expect_set(unite(set_of({{0, 3}}), set_of({})), {{0, 3}});
  expect_set(unite(set_of({{0, 3}, {8, 9}}), set_of({{3, 5}})), {{0, 5}, {8, 9}});
  expect_set(unite(set_of({{0, 9}}), set_of({{1, 2}, {4, 5}})), {{0, 9}});
  expect_set(unite(set_of({{0, 1}, {4, 5}}), set_of({{2, 3}, {6, 7}})), {{0, 1}, {2, 3}, {4, 7}});
}

TEST(RangeSet, CountsItsPositions) {
  set const s = set_of({{-2, 1}, {5, 6}, {10, 12}});
  EXPECT_EQ(s.size(), 6);
  index const all[] = {-2, -1, 0, 5, 10, 11};
  for (index i = 0; i < 6; ++i) EXPECT_EQ(s.nth(i), all[i]);
  EXPECT_EQ(set{}.size(), 0);
}

TEST(FirstWhere, FindsTheEdge) {
  for (index edge = 0; edge <= 9; ++edge) {
    EXPECT_EQ(first_where(9, [&](index i) { return i >= edge; }), edge);
  }
  EXPECT_EQ(first_where(0, [](index) { return true; }), 0);
}

}  // namespace
}  // namespace oriel
