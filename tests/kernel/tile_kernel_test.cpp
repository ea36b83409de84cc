// SPDX-License-Identifier: BSL-1.0
#include "oriel/kernel/tile_kernel.hpp"

#include <gtest/gtest.h>

#include "oriel/kernel/decode_tile.hpp"
#include "oriel/kernel/flash_tile.hpp"

namespace oriel::test {
namespace {

static_assert(tile_kernel<flash_tile<default_arch>, default_arch>);
static_assert(tile_kernel<decode_tile<default_arch>, default_arch>);

/// A kernel that forgot a step.
struct without_merging : private decode_tile<default_arch> {
  using base = decode_tile<default_arch>;
  using base::absorb, base::accumulate, base::begin, base::begin_leaf, base::begin_values,
      base::end, base::end_values, base::hide, base::keys, base::rows, base::score, base::scores;
};
static_assert(!tile_kernel<without_merging, default_arch>);
struct with_it : without_merging {
  void end_leaf(int) {}
};
static_assert(tile_kernel<with_it, default_arch>);

TEST(TileKernel, HoldsAtCompileTime) { SUCCEED(); }

}  // namespace
}  // namespace oriel::test
