// SPDX-License-Identifier: BSL-1.0
// A caller's rectangular batch, where it lies.
#pragma once

#include "oriel/view/tensor_view.hpp"

namespace oriel::inline v0 {

/// Borrowed tensor [size, tokens, heads, dim]: item b is `first`, b * stride elements further.
template <class T>
struct batch_view {
  tensor_view<T> first = {};
  index size = 0;
  index stride = 0;

  ORIEL_INLINE constexpr batch_view() noexcept {}
  ORIEL_INLINE constexpr batch_view(tensor_view<T> const& item, index count, index step) noexcept
      : first(item), size(count), stride(step) {}
  /// Packed [size, tokens, heads, dim].
  ORIEL_INLINE constexpr batch_view(T* data, index count, index tokens, index heads,
                                    index dim) noexcept
      : batch_view({data, tokens, heads, dim}, count,
                   saturating_mul(saturating_mul(tokens, heads), dim)) {}

  ORIEL_INLINE constexpr tensor_view<T> operator[](index b) const noexcept {
    tensor_view<T> item = first;
    if (item.data != nullptr) item.data += b * stride;
    return item;
  }
};

/// ok, or the rule that the first or the last item breaks.
template <class T>
ORIEL_INLINE constexpr status check(batch_view<T> const& batch, view_rules const& rules) noexcept {
  if (batch.size < 0) return {errc::shape, rules.sizes};
  if (batch.size == 0) return {};
  if (batch.stride == INT64_MIN || saturating_mul(batch.size - 1, magnitude(batch.stride)) >
                                       max_position / static_cast<index>(sizeof(T))) {
    return {errc::shape, rules.strides};
  }
  if (status s = v0::check(batch[0], rules); !s.ok()) return s;
  return v0::check(batch[batch.size - 1], rules);
}

}  // namespace oriel::inline v0
