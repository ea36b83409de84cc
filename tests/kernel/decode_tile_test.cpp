// SPDX-License-Identifier: BSL-1.0
#include "oriel/kernel/decode_tile.hpp"

#include "kernel_law.hpp"

namespace oriel::test {
namespace {

using kernel = decode_tile<arch>;

TEST(DecodeTile, EqualsPlainLoops) { expect_kernel<kernel>({1, 2, 3, 4, 5, 6, 7, 8}); }

TEST(DecodeTile, ARowDoesNotDependOnTheOthers) {
  tile_case c{.head_dim = 20, .v_dim = 9, .tiles = {128, 50}};
  c.count = kernel::rows;
  auto const all = tile_run<kernel>(c).bits();
  c.count = 1;  // the first row alone
  auto const one = tile_run<kernel>(c).bits();
  EXPECT_EQ(one, (std::vector(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(one.size()))));
}

}  // namespace
}  // namespace oriel::test
