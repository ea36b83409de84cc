// SPDX-License-Identifier: BSL-1.0
// Composition of masks.
#pragma once

#include "oriel/mask/mask.hpp"

namespace oriel::inline v0 {

/// What both masks show: a & b.
template <mask A, mask B>
struct both {
  [[no_unique_address]] A a;
  [[no_unique_address]] B b;

  ORIEL_INLINE constexpr status check() const noexcept {
    status const first = check_mask(a);
    return first.ok() ? check_mask(b) : first;
  }
  ORIEL_INLINE constexpr bool visible(index q, index k) const noexcept {
    return a.visible(q, k) && b.visible(q, k);
  }
  ORIEL_INLINE constexpr coverage cover(range queries, range keys) const noexcept {
    coverage const in_a = a.cover(queries, keys);
    if (in_a == coverage::none) return in_a;
    coverage const in_b = b.cover(queries, keys);
    return in_a < in_b ? in_a : in_b;
  }
  ORIEL_INLINE constexpr key_ranges reach(range queries) const noexcept {
    return intersect(a.reach(queries), b.reach(queries));
  }
  ORIEL_INLINE constexpr row_ranges row(index q) const noexcept requires interval_mask<A> &&
      interval_mask<B> {
    return intersect(a.row(q), b.row(q));
  }
};

template <mask A, mask B>
ORIEL_INLINE constexpr both<A, B> operator&(A a, B b) noexcept {
  return {a, b};
}

}  // namespace oriel::inline v0
