// SPDX-License-Identifier: BSL-1.0
#include "oriel/kernel/tile_shape.hpp"

#include <gtest/gtest.h>

namespace oriel::test {
namespace {

using shape = tile_shape<default_arch>;

// A row of the tile is a bit of a word, and the register block must fit the register file:
// accumulators, one vector of each column, one broadcast.
static_assert(shape::rows == shape::vectors * lanes<default_arch> && shape::rows <= 64);
constexpr bool fits(int width) {
  return shape::depth(width) * width + width + 1 <= register_count<default_arch>;
}
static_assert(fits(1) && fits(2) && fits(3));
static_assert(leaf_keys % decode_keys<default_arch> == 0);
static_assert(decode_keys<default_arch> % tile_keys == 0);
static_assert(tile_keys % lanes<default_arch> == 0);
static_assert(decode_rows >= 1 && decode_rows <= 16);

TEST(TileShape, HoldsAtCompileTime) { SUCCEED(); }

}  // namespace
}  // namespace oriel::test
