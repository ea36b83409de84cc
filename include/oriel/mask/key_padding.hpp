// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "oriel/mask/mask.hpp"

namespace oriel::inline v0 {

/// Keys outside of `real` are padding that no query sees: {0, n} for a sequence of n tokens that is
/// padded on the right, {n, kv_len} for n slots of padding on the left (but see left_padded: a
/// sequence whose positions start after its padding). For holes anywhere, see dense_mask.
struct key_padding {
  range real;

  ORIEL_INLINE constexpr status check() const noexcept {
    if (real.end < real.begin)
      return {errc::mask, "mask: key_padding.real must not end before it begins"};
    return {};
  }
  ORIEL_INLINE constexpr bool visible(index, index k) const noexcept { return real.contains(k); }
  ORIEL_INLINE constexpr coverage cover(range, range keys) const noexcept {
    return detail::cover_between(real, real, keys);
  }
  ORIEL_INLINE constexpr key_ranges reach(range) const noexcept {
    return intersect(real, everywhere);
  }
  ORIEL_INLINE constexpr row_ranges row(index) const noexcept {
    return intersect(real, everywhere);
  }
};

}  // namespace oriel::inline v0
