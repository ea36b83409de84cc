// SPDX-License-Identifier: BSL-1.0
// Indices, half-open ranges, and the arithmetic on them that cannot overflow.
#pragma once

#include <cstdint>

#include "oriel/core/config.hpp"

namespace oriel::inline v0 {

/// Sizes, strides and token positions. Signed and 64-bit, so that differences are exact.
using index = std::int64_t;

/// Token positions lie in (-max_position, max_position), so that no difference of two overflows.
inline constexpr index max_position = index{1} << 60;

ORIEL_INLINE constexpr index min_of(index a, index b) noexcept { return a < b ? a : b; }
ORIEL_INLINE constexpr index max_of(index a, index b) noexcept { return a < b ? b : a; }
ORIEL_INLINE constexpr index magnitude(index a) noexcept { return a < 0 ? -a : a; }

/// Smallest multiple of `step` that is >= `a`; a >= 0, step > 0.
ORIEL_INLINE constexpr index round_up(index a, index step) noexcept {
  return (a + step - 1) / step * step;
}
ORIEL_INLINE constexpr index ceil_div(index a, index step) noexcept {
  return a / step + (a % step == 0 ? 0 : 1);
}

/// Largest multiple of `step` that is <= `a`, for negative `a` too.
ORIEL_INLINE constexpr index round_down(index a, index step) noexcept {
  index const rest = a % step;
  return a - (rest < 0 ? rest + step : rest);
}

/// a + b and a * b that stop at the largest index instead of overflowing; for sizes, a, b >= 0.
ORIEL_INLINE constexpr index saturating_add(index a, index b) noexcept {
  index sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}
ORIEL_INLINE constexpr index saturating_mul(index a, index b) noexcept {
  index product = 0;
  return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

/// Elements that `count` steps of a stride of either sign span, saturating; count >= 0.
ORIEL_INLINE constexpr index stride_span(index count, index stride) noexcept {
  return saturating_mul(count, magnitude(max_of(stride, -INT64_MAX)));
}

/// Half-open range of positions or indices [begin, end); empty when end <= begin.
struct range {
  index begin = 0;
  index end = 0;

  ORIEL_INLINE constexpr index size() const noexcept { return end > begin ? end - begin : 0; }
  ORIEL_INLINE constexpr bool empty() const noexcept { return end <= begin; }
  ORIEL_INLINE constexpr bool contains(index i) const noexcept { return begin <= i && i < end; }
  friend constexpr bool operator==(range, range) noexcept = default;
};

/// Every position there is.
inline constexpr range everywhere{-max_position, max_position};

ORIEL_INLINE constexpr range intersect(range a, range b) noexcept {
  return {max_of(a.begin, b.begin), min_of(a.end, b.end)};
}

/// Smallest range around both; an empty one adds nothing.
ORIEL_INLINE constexpr range hull(range a, range b) noexcept {
  if (a.empty()) return b;
  return b.empty() ? a : range{min_of(a.begin, b.begin), max_of(a.end, b.end)};
}

/// Up to `Capacity` disjoint, non-empty, ascending ranges. One that does not fit is merged into the
/// last, so the set never loses a position; it may then hold more than was put in.
template <int Capacity>
struct range_set {
  range items[Capacity] = {};
  int count = 0;

  ORIEL_INLINE constexpr range_set() noexcept {}  // not "= default": that is not always inlined
  ORIEL_INLINE constexpr range_set(range only) noexcept { add(only); }

  /// Ranges are added in ascending order and do not overlap.
  ORIEL_INLINE constexpr void add(range next) noexcept {
    if (next.empty()) return;
    if (count < Capacity) {
      items[count++] = next;
    } else {
      items[Capacity - 1].end = next.end;
    }
  }
  ORIEL_INLINE constexpr bool empty() const noexcept { return count == 0; }
  ORIEL_INLINE constexpr range const* begin() const noexcept { return items; }
  ORIEL_INLINE constexpr range const* end() const noexcept { return items + count; }

  /// Positions in all.
  ORIEL_INLINE constexpr index size() const noexcept {
    index sum = 0;
    for (range const r : *this) sum += r.size();
    return sum;
  }
  /// Position number `i` of the set, 0 <= i < size().
  ORIEL_INLINE constexpr index nth(index i) const noexcept {
    int at = 0;
    while (i >= items[at].size()) i -= items[at++].size();
    return items[at].begin + i;
  }

  /// Smallest range that holds the whole set.
  ORIEL_INLINE constexpr range hull() const noexcept {
    return count == 0 ? range{} : range{items[0].begin, items[count - 1].end};
  }
};

template <int Capacity>
ORIEL_INLINE constexpr range_set<Capacity> intersect(range_set<Capacity> const& a,
                                                     range_set<Capacity> const& b) noexcept {
  range_set<Capacity> both;
  for (int i = 0, j = 0; i < a.count && j < b.count;) {
    both.add(intersect(a.items[i], b.items[j]));
    a.items[i].end < b.items[j].end ? ++i : ++j;
  }
  return both;
}

/// Ranges that touch become one.
template <int Capacity>
ORIEL_INLINE constexpr range_set<Capacity> unite(range_set<Capacity> const& a,
                                                 range_set<Capacity> const& b) noexcept {
  range_set<Capacity> all;
  range open;
  for (int i = 0, j = 0; i < a.count || j < b.count;) {
    bool const from_a = j == b.count || (i < a.count && a.items[i].begin <= b.items[j].begin);
    range const next = from_a ? a.items[i++] : b.items[j++];
    if (!open.empty() && next.begin <= open.end) {
      open.end = max_of(open.end, next.end);
    } else {
      all.add(open);
      open = next;
    }
  }
  all.add(open);
  return all;
}

/// The first i in [0, count) with holds(i), or count; once true, holds(i) stays true.
template <class F>
ORIEL_INLINE constexpr index first_where(index count, F&& holds) noexcept {
  index low = 0;
  while (low < count) {
    index const middle = low + (count - low) / 2;
    if (holds(middle)) {
      count = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

}  // namespace oriel::inline v0
