// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "oriel/mask/mask.hpp"

namespace oriel::inline v0 {

/// Query q sees the `left` positions before it, its own, and the `right` positions after it:
/// q - k <= left and k - q <= right, left + right + 1 keys. FlashAttention's window_size; with
/// left = right the symmetric window of encoders.
/// Source: Beltagy et al. 2020 (Longformer), arXiv:2004.05150.
struct local_window {
  index left = 0;
  index right = 0;

  ORIEL_INLINE constexpr status check() const noexcept {
    if (left < 0) return {errc::mask, "mask: local_window.left must not be negative"};
    if (right < 0) return {errc::mask, "mask: local_window.right must not be negative"};
    return {};
  }
  ORIEL_INLINE constexpr bool visible(index q, index k) const noexcept {
    return q - k <= left && k - q <= right;
  }
  ORIEL_INLINE constexpr coverage cover(range queries, range keys) const noexcept {
    return detail::cover_between(seen(queries.begin), seen(queries.end - 1), keys);
  }
  ORIEL_INLINE constexpr key_ranges reach(range queries) const noexcept {
    return range{seen(queries.begin).begin, seen(queries.end - 1).end};
  }
  ORIEL_INLINE constexpr row_ranges row(index q) const noexcept { return seen(q); }

 private:
  /// Also of parameters that check() rejects: a row is then empty.
  ORIEL_INLINE constexpr range seen(index q) const noexcept {
    index const back = max_of(min_of(left, q - everywhere.begin), -1);
    index const ahead = max_of(min_of(right, everywhere.end - 1 - q), -1);
    if (back + ahead < 0) return {q, q};
    return {q - back, q + ahead + 1};
  }
};

}  // namespace oriel::inline v0
