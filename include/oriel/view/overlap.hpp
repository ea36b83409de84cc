// SPDX-License-Identifier: BSL-1.0
// Whether two strided tensors share a byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "oriel/view/tensor_view.hpp"

namespace oriel::inline v0 {

/// Addresses [begin, end) that a view can touch. An empty range may lie anywhere, and meets none.
struct address_range {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;

  ORIEL_INLINE constexpr bool empty() const noexcept { return begin == end; }
  ORIEL_INLINE constexpr bool meets(address_range other) const noexcept {
    return !empty() && !other.empty() && begin < other.end && other.begin < end;
  }
};

/// Smallest range around both; an empty one adds nothing.
ORIEL_INLINE constexpr address_range hull(address_range a, address_range b) noexcept {
  if (a.empty()) return b;
  if (b.empty()) return a;
  return {a.begin < b.begin ? a.begin : b.begin, a.end < b.end ? b.end : a.end};
}

/// Smallest address range around a checked view; empty for an empty view.
template <class T>
ORIEL_INLINE address_range footprint(tensor_view<T> const& view) noexcept {
  if (view.empty()) return {};
  index const t = (view.tokens - 1) * view.token_stride;
  index const h = (view.heads - 1) * view.head_stride;
  index const low = min_of(t, 0) + min_of(h, 0);
  index const high = max_of(t, 0) + max_of(h, 0) + view.dim;
  auto const base = reinterpret_cast<std::uintptr_t>(view.data);
  return {base + static_cast<std::uintptr_t>(low) * sizeof(T),
          base + static_cast<std::uintptr_t>(high) * sizeof(T)};
}

/// Addresses of some bytes.
ORIEL_INLINE address_range footprint(std::span<std::byte const> bytes) noexcept {
  auto const base = reinterpret_cast<std::uintptr_t>(bytes.data());
  return {base, base + bytes.size()};
}

namespace detail {

/// Does a multiple n * step, n in `steps`, lie in [low, high]?
ORIEL_INLINE constexpr bool holds_multiple(index low, index high, index step,
                                           range steps) noexcept {
  if (step < 0) {
    step = -step;
    steps = {1 - steps.end, 1 - steps.begin};
  }
  if (step == 0) return !steps.empty() && low <= 0 && 0 <= high;
  index const first = max_of(-round_down(-low, step) / step, steps.begin);
  return first < steps.end && first * step <= high;
}

}  // namespace detail

/// Do two checked views of the same element type share an element? Exact when their token strides
/// are equal or one has a single token (so that q, k, v and out may be slices of one fused
/// [tokens, 3, heads, dim] buffer); otherwise pessimistic: true when their address ranges meet.
/// Cost O(1) where heads are packed, else O(a.heads * b.heads).
template <class T, class U>
ORIEL_INLINE bool overlaps(tensor_view<T> const& a, tensor_view<U> const& b) noexcept {
  static_assert(sizeof(T) == sizeof(U));
  if (!footprint(a).meets(footprint(b))) return false;
  index const step = a.tokens == 1 ? b.token_stride : a.token_stride;
  if (b.tokens != 1 && b.token_stride != step) return true;
  auto const bytes = static_cast<index>(reinterpret_cast<std::uintptr_t>(b.data) -
                                        reinterpret_cast<std::uintptr_t>(a.data));
  auto const size = static_cast<index>(sizeof(T));
  if (bytes % size != 0) return true;
  index const apart = bytes / size;

  // Row (ta, ha) of a starts at ta * step + ha * a.head_stride, row (tb, hb) of b at
  // apart + tb * step + hb * b.head_stride: they meet where (ta - tb) * step lies in an interval.
  range const steps{-(b.tokens - 1), a.tokens};
  bool const packed_a = a.head_stride == a.dim;
  bool const packed_b = b.head_stride == b.dim;
  index const a_width = packed_a ? a.heads * a.dim : a.dim;
  index const b_width = packed_b ? b.heads * b.dim : b.dim;
  for (index ha = 0; ha < (packed_a ? 1 : a.heads); ++ha) {
    for (index hb = 0; hb < (packed_b ? 1 : b.heads); ++hb) {
      index const gap = apart + hb * b.head_stride - ha * a.head_stride;
      if (detail::holds_multiple(gap - a_width + 1, gap + b_width - 1, step, steps)) return true;
    }
  }
  return false;
}

/// Do the rows of `count` checked views, each `step` elements after the last, stay clear of one
/// another, as those of an output must? Nested strides only: the smallest steps over a row, each
/// larger one over all that it encloses.
template <class T>
ORIEL_INLINE constexpr bool rows_are_disjoint(tensor_view<T> const& view, index count = 1,
                                              index step = 0) noexcept {
  struct axis {
    index step;
    index count;
  };
  axis axes[] = {{magnitude(view.head_stride), view.heads},
                 {magnitude(view.token_stride), view.tokens},
                 {magnitude(step), count}};
  auto const sort = [](axis& a, axis& b) ORIEL_INLINE_LAMBDA {
    if (b.step < a.step) {
      axis const larger = a;
      a = b, b = larger;
    }
  };
  sort(axes[0], axes[1]), sort(axes[1], axes[2]), sort(axes[0], axes[1]);
  index enclosed = view.dim;
  if (view.empty()) return true;
  for (axis const& a : axes) {
    if (a.count <= 1) continue;
    if (a.step < enclosed) return false;
    enclosed += (a.count - 1) * a.step;
  }
  return true;
}

}  // namespace oriel::inline v0
