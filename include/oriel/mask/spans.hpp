// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <span>

#include "oriel/mask/mask.hpp"

namespace oriel::inline v0 {

/// The tokens of a span see one another in both directions, as those of an image do:
/// `(causal{} | spans{list}) & sliding_window{W}` clamps them to the window,
/// `(causal{} & sliding_window{W}) | spans{list}` does not. Outside of its spans it shows nothing.
struct spans {
  std::span<range const> list;  ///< positions, ascending, disjoint, not empty; referred to

  /// Cost O(spans).
  ORIEL_INLINE constexpr status check() const noexcept {
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (list[i].empty()) return {errc::mask, "mask: spans must not be empty"};
      if (i > 0 && list[i].begin < list[i - 1].end) {
        return {errc::mask, "mask: spans must ascend and not overlap"};
      }
    }
    if (!list.empty() && intersect({list.front().begin, list.back().end}, everywhere) !=
                             range{list.front().begin, list.back().end}) {
      return {errc::position, "mask: spans must lie between -2^60 and 2^60"};
    }
    return {};
  }
  ORIEL_INLINE constexpr bool visible(index q, index k) const noexcept {
    return around(q).contains(k);
  }
  ORIEL_INLINE constexpr coverage cover(range queries, range keys) const noexcept {
    range const first = around(queries.begin);
    if (!first.empty() && first.contains(queries.end - 1)) {
      return detail::cover_between(first, first, keys);
    }
    return intersect(keys, touched(queries)).empty() ? coverage::none : coverage::some;
  }
  ORIEL_INLINE constexpr key_ranges reach(range queries) const noexcept { return touched(queries); }
  ORIEL_INLINE constexpr row_ranges row(index q) const noexcept { return around(q); }

 private:
  /// The first span that ends after a position.
  ORIEL_INLINE constexpr index next(index position) const noexcept {
    return first_where(static_cast<index>(list.size()), [&](index i) ORIEL_INLINE_LAMBDA {
      return list[static_cast<std::size_t>(i)].end > position;
    });
  }
  /// The span of a position, or nothing.
  ORIEL_INLINE constexpr range around(index position) const noexcept {
    auto const i = static_cast<std::size_t>(next(position));
    return i < list.size() && list[i].contains(position) ? list[i] : range{};
  }
  /// From the first to the last span that these queries touch.
  ORIEL_INLINE constexpr range touched(range queries) const noexcept {
    auto const first = static_cast<std::size_t>(next(queries.begin));
    if (first == list.size() || list[first].begin >= queries.end) return {};
    auto last = static_cast<std::size_t>(next(queries.end - 1));
    if (last == list.size() || list[last].begin >= queries.end) --last;
    return {list[first].begin, list[last].end};
  }
};

}  // namespace oriel::inline v0
