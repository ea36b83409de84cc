// SPDX-License-Identifier: BSL-1.0
#include "oriel/kernel/row_fetch.hpp"

#include <gtest/gtest.h>

namespace oriel::test {
namespace {

using fetch = row_fetch<default_arch>;

TEST(RowFetch, AsksForEveryRowAndThenNoMore) {
  for (index const count : {1, 7, 8, 9, 128}) {
    for (index const dim : {1, 16, 17, 128}) {
      fetch rows(nullptr, 1000, dim, count);  // asking for any address is harmless
      EXPECT_GE(rows.left(), count * dim);
      EXPECT_LE(rows.left(), (count + 7) * (dim + 15))
          << "rounded up to eight rows and whole lines";
      index const all = rows.left();
      rows.floats(all / 2);
      EXPECT_LE(rows.left(), all - all / 2);
      rows.floats(all);
      EXPECT_EQ(rows.left(), 0);
      rows.floats(1);
      EXPECT_EQ(rows.left(), 0);
    }
  }
}

TEST(RowFetch, OfNothingAsksForNothing) {
  for (fetch nothing : {fetch(), fetch(nullptr, 0, 16, 0)}) {
    EXPECT_EQ(nothing.left(), 0);
    nothing.floats(1 << 20);
    EXPECT_EQ(nothing.left(), 0);
  }
}

}  // namespace
}  // namespace oriel::test
