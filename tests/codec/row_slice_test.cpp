// SPDX-License-Identifier: BSL-1.0
#include "oriel/codec/row_slice.hpp"

#include <gtest/gtest.h>

#include <type_traits>

namespace oriel::test {
namespace {

static_assert(std::is_trivially_copyable_v<row_slice>);
static_assert(row_slice{}.count == 0 && row_slice{}.ahead.l2 == 0);

TEST(RowSlice, PrefetchesRowsOfAnyStrideAndLength) {
  std::byte const rows[256] = {};
  row_slice{}.prefetch(64);
  row_slice{.ahead = {1 << 12, 0}}.prefetch(64);
  row_slice{.data = rows, .stride = 128, .count = 2, .dim = 1, .ahead = {1 << 12, 0}}.prefetch(100);
  row_slice{.data = rows + 255, .stride = -100, .count = 3, .dim = 1, .ahead = {1, 0}}.prefetch(1);
  row_slice{.data = rows, .stride = INT64_MAX, .count = 1, .dim = 1, .ahead = {~0ull, 0}}.prefetch(
      9);
}

}  // namespace
}  // namespace oriel::test
