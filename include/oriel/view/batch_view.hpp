// SPDX-License-Identifier: BSL-1.0
// A caller's rectangular batch, where it lies.
#pragma once

#include <concepts>

#include "oriel/view/tensor_view.hpp"

namespace oriel::inline v0 {

/// Borrowed tensors of one shape: item b is `first`, b * stride further; a stride counts what those
/// of a view count. View is a tensor_view, or a view whose element type is known when the program
/// runs.
template <class View>
struct batch_of {
  View first = {};
  index size = 0;
  index stride = 0;

  ORIEL_INLINE constexpr batch_of() noexcept {}
  ORIEL_INLINE constexpr batch_of(View const& item, index count, index step) noexcept
      : first(item), size(count), stride(step) {}
  /// Of a view that this one can be made of.
  template <class Other>
  requires(!std::same_as<Other, View> && std::convertible_to<Other const&, View>)
      ORIEL_INLINE constexpr batch_of(batch_of<Other> const& other) noexcept
      : first(other.first), size(other.size), stride(other.stride) {}

  ORIEL_INLINE constexpr View operator[](index b) const noexcept {
    return further(first, b * stride);
  }
};

/// Borrowed tensor [size, tokens, heads, dim]; strides count elements.
template <class T>
struct batch_view : batch_of<tensor_view<T>> {
  ORIEL_INLINE constexpr batch_view() noexcept {}
  ORIEL_INLINE constexpr batch_view(tensor_view<T> const& item, index count, index step) noexcept
      : batch_of<tensor_view<T>>(item, count, step) {}
  /// Packed [size, tokens, heads, dim].
  ORIEL_INLINE constexpr batch_view(T* data, index count, index tokens, index heads,
                                    index dim) noexcept
      : batch_view({data, tokens, heads, dim}, count,
                   saturating_mul(saturating_mul(tokens, heads), dim)) {}
};

/// ok, or the rule that an item breaks.
template <class View>
ORIEL_INLINE status check(batch_of<View> const& batch, view_rules const& rules) noexcept {
  if (batch.size < 0) return {errc::shape, rules.sizes};
  return batch.size == 0 ? status{} : check_series(batch.first, batch.size, batch.stride, rules);
}

}  // namespace oriel::inline v0
