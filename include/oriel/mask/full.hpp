// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "oriel/mask/mask.hpp"

namespace oriel::inline v0 {

/// Every query sees every key.
struct full {
  ORIEL_INLINE constexpr bool visible(index, index) const noexcept { return true; }
  ORIEL_INLINE constexpr coverage cover(range, range) const noexcept { return coverage::all; }
  ORIEL_INLINE constexpr key_ranges reach(range) const noexcept { return everywhere; }
  ORIEL_INLINE constexpr row_ranges row(index) const noexcept { return everywhere; }
};

}  // namespace oriel::inline v0
