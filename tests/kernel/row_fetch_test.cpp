// SPDX-License-Identifier: BSL-1.0
#include "oriel/kernel/row_fetch.hpp"

#include <gtest/gtest.h>

namespace oriel::test {
namespace {

using fetch = row_fetch<default_arch>;

TEST(RowFetch, AsksForEveryLineOnceAndThenNoMore) {
  for (index const count : {1, 7, 8, 9, 128}) {
    for (index const dim : {1, 16, 17, 128}) {
      // Asking for any address is harmless.
      fetch rows(stored_rows::of(nullptr, 1000, dim), count);
      EXPECT_EQ(rows.lines_in(count), count * ((dim + 15) / 16));
      EXPECT_GE(rows.left(), rows.lines_in(count));
      EXPECT_LE(rows.left(), rows.lines_in(count + 7)) << "rounded up to eight rows";
      index const all = rows.left();
      rows.line();
      rows.lines(all / 2);
      EXPECT_EQ(rows.left(), all - all / 2 - 1);
      rows.lines(all);
      EXPECT_EQ(rows.left(), 0);
      rows.line();
      EXPECT_EQ(rows.left(), 0);
    }
  }
}

TEST(RowFetch, OfNothingAsksForNothing) {
  for (fetch nothing : {fetch(), fetch(stored_rows::of(nullptr, 0, 16), 0)}) {
    EXPECT_EQ(nothing.left(), 0);
    nothing.lines(1 << 20);
    nothing.lines(-1);
    EXPECT_EQ(nothing.left(), 0);
  }
}

}  // namespace
}  // namespace oriel::test
