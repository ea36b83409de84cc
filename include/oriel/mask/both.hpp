// SPDX-License-Identifier: BSL-1.0
// What two masks show together: a & b.
#pragma once

#include "oriel/mask/visible_rows.hpp"

namespace oriel::inline v0 {

/// What both masks show: a & b.
template <mask A, mask B>
struct both {
  [[no_unique_address]] A a;
  [[no_unique_address]] B b;

  ORIEL_INLINE constexpr status check() const noexcept { return detail::check_masks(a, b); }
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
  /// As the free function of that name. (Two rows of two ranges
  /// can meet in three, so there is no row().)
  ORIEL_INLINE void visible_rows(row_tile const& rows, range keys,
                                 std::uint64_t* word) const noexcept {
    detail::combine_rows(a, b, rows, keys, word,
                         [](auto x, auto y) ORIEL_INLINE_LAMBDA { return x & y; });
  }
};

/// Found by itself where a or b is a mask of the library; for two masks of your own say
/// `using oriel::operator&;`.
template <mask A, mask B>
ORIEL_INLINE constexpr both<A, B> operator&(A a, B b) noexcept {
  return {a, b};
}

}  // namespace oriel::inline v0
