// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "oriel/mask/mask.hpp"

namespace oriel::inline v0 {

/// Query q sees the keys k <= q. Positions are absolute, so a call whose last query sits at the
/// last key is aligned at the bottom right, whatever its q_len and kv_len.
struct causal {
  ORIEL_INLINE constexpr bool visible(index q, index k) const noexcept { return k <= q; }
  ORIEL_INLINE constexpr coverage cover(range queries, range keys) const noexcept {
    return detail::cover_by_rows(*this, queries, keys);
  }
  ORIEL_INLINE constexpr key_ranges reach(range queries) const noexcept {
    return range{everywhere.begin, queries.end};
  }
  ORIEL_INLINE constexpr row_ranges row(index q) const noexcept {
    return range{everywhere.begin, q + 1};
  }
};

}  // namespace oriel::inline v0
