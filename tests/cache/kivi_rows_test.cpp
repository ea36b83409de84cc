// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/kivi_rows.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace oriel {
namespace {

using detail::row_ring;
using rows = detail::kivi_rows<2, 16, f16>;

static_assert(rows::in_groups(0) == 0 && rows::in_groups(1) == 16 && rows::in_groups(16) == 16);
static_assert(rows::in_groups(INT64_MAX - 15) == INT64_MAX);
static_assert(rows::float_rows({.window = 1, .head_dim = 1}) == 16);
static_assert(rows::float_rows({.window = 1, .head_dim = 1, .margin = 5}) == 20);
static_assert(rows::float_rows({.window = 1, .head_dim = 1, .margin = INT64_MAX}) == INT64_MAX);
static_assert(rows::required_bytes({.window = 1, .head_dim = 1, .margin = INT64_MAX}) == INT64_MAX);

TEST(KiviRows, ARingGivesRowsThatFollowSlotsThatFollow) {
  row_ring ring{.rows = 48, .pinned = 16};
  index const far = max_position - 100;
  for (index const at : {index{16}, index{1} << 31, far}) {
    std::vector<index> slots;
    for (index p = at; p < at + 48; ++p) slots.push_back(ring.slot(p));
    std::sort(slots.begin(), slots.end());
    for (index i = 0; i < 48; ++i) EXPECT_EQ(slots[static_cast<std::size_t>(i)], 16 + i);
    EXPECT_EQ(ring.slot(at + 48), ring.slot(at));
  }
  EXPECT_EQ(ring.slot(15), 15) << "pinned";
  EXPECT_EQ(row_ring{}.slot(far), 0) << "of a cache that can't be used";
}

TEST(KiviRows, AnEraseOfAllThatIsBeforeTurnsARing) {
  row_ring ring{.rows = 48, .begin = 32};
  row_ring const old = ring;
  ring.erase({16, 48}, 0);
  EXPECT_EQ(ring.begin, 16);
  for (index p = 48; p < 80; ++p) EXPECT_EQ(ring.slot(p - 32), old.slot(p)) << "it stays there";
  row_ring behind = old;
  behind.erase({48, 64}, 0);
  EXPECT_EQ(behind.begin, 32);
  EXPECT_EQ(behind.turn, 0) << "rows before it stay, those behind are to be moved";
  row_ring sinks = old;
  sinks.erase({0, 32}, 16);
  EXPECT_EQ(sinks.begin, 16);
}

TEST(KiviRows, MarginRowsBackFromAnyEndAGroupIsThereAsFloats) {
  for (index const margin : {1, 2, 5, 16, 17, 40}) {
    for (index const origin : {0, 3, 16}) {
      rows all;
      all.shape = {.window = 1, .head_dim = 1, .margin = margin};
      all.groups.rows = rows::in_groups(all.shape.ring());
      all.floats.rows = rows::float_rows(all.shape);
      all.begin_at(origin);
      for (all.end = origin; all.end < origin + 200; ++all.end) {
        all.make_room();
        ASSERT_TRUE(all.makes_sense());
        for (index back = 0; back <= margin; ++back) {
          if (all.end - back >= origin) {
            ASSERT_TRUE(all.can_cut(all.end - back));
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace oriel
