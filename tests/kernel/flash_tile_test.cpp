// SPDX-License-Identifier: BSL-1.0
#include "oriel/kernel/flash_tile.hpp"

#include "kernel_law.hpp"

namespace oriel::test {
namespace {

using kernel = flash_tile<arch>;

TEST(FlashTile, EqualsPlainLoops) {
  constexpr int n = lanes<arch>;
  expect_kernel<kernel>({1, 2, n - 1, n, n + 1, kernel::rows - 1, kernel::rows});
}

TEST(FlashTile, ARowDoesNotDependOnTheOthers) {
  tile_case c{.head_dim = 20, .v_dim = 9, .tiles = {128, 50}};
  c.count = kernel::rows;
  auto const all = tile_run<kernel>(c).bits();
  c.count = 1;  // the first row alone
  auto const one = tile_run<kernel>(c).bits();
  EXPECT_EQ(one, (std::vector(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(one.size()))));
}

}  // namespace
}  // namespace oriel::test
