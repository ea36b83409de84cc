// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "oriel/mask/mask.hpp"

namespace oriel::inline v0 {

/// Query q sees no key older than the `keys` most recent positions, its own included: q - k < keys.
/// It says nothing of later keys; `causal{} & sliding_window{W}` is Mistral's mask, W keys in all.
/// Source: Jiang et al. 2023 (Mistral 7B), arXiv:2310.06825; Beltagy et al. 2020, arXiv:2004.05150.
struct sliding_window {
  index keys = 0;  ///< window in keys, own included; at least 1

  ORIEL_INLINE constexpr status check() const noexcept {
    if (keys < 1) return {errc::mask, "mask: sliding_window.keys must be at least 1"};
    return {};
  }
  ORIEL_INLINE constexpr bool visible(index q, index k) const noexcept { return q - k < keys; }
  ORIEL_INLINE constexpr coverage cover(range queries, range span) const noexcept {
    return detail::cover_by_rows(*this, queries, span);
  }
  ORIEL_INLINE constexpr key_ranges reach(range queries) const noexcept {
    return range{oldest(queries.begin), everywhere.end};
  }
  ORIEL_INLINE constexpr row_ranges row(index q) const noexcept {
    return range{oldest(q), everywhere.end};
  }

 private:
  ORIEL_INLINE constexpr index oldest(index q) const noexcept {
    return q - min_of(max_of(keys, 0), q - everywhere.begin) + 1;
  }
};

}  // namespace oriel::inline v0
