// SPDX-License-Identifier: BSL-1.0
#include "oriel/kernel/row_fetch.hpp"

#include <gtest/gtest.h>

namespace oriel::test {
namespace {

using fetch = row_fetch<default_arch>;

TEST(RowFetch, AsksForEveryLineInTurnsOfEightAndThenNoMore) {
  for (index const count : {1, 7, 8, 9, 128}) {
    for (index const dim : {1, 16, 17, 128}) {
      // Asking for any address is harmless.
      fetch rows(stored_rows::of(nullptr, 1000, dim), count);
      index const lines = (dim + 15) / 16;
      index const all = rows.left();
      EXPECT_EQ(all, (count + 7) / 8 * lines) << "a line of each of eight parts";
      EXPECT_EQ(rows.turns_for(count), (count * lines + 7) / 8);
      rows.turns(1);
      rows.turns(all / 2);
      EXPECT_EQ(rows.left(), max_of(0, all - all / 2 - 1));
      rows.turns(all);
      EXPECT_EQ(rows.left(), 0);
      rows.turns(1);
      EXPECT_EQ(rows.left(), 0);
    }
  }
}

TEST(RowFetch, OfNothingAsksForNothing) {
  for (fetch nothing : {fetch(), fetch(stored_rows::of(nullptr, 0, 16), 0)}) {
    EXPECT_EQ(nothing.left(), 0);
    nothing.turns(1 << 20);
    nothing.turns(-1);
    EXPECT_EQ(nothing.left(), 0);
  }
}

}  // namespace
}  // namespace oriel::test
