// SPDX-License-Identifier: BSL-1.0
// A caller's tensor, where it lies.
#pragma once

#include <cstdint>
#include <type_traits>

#include "oriel/core/status.hpp"

namespace oriel::inline v0 {

/// Borrowed tensor [tokens, heads, dim]; the last axis is contiguous, the other strides are free
/// (negative ones too) and count elements. Element (t, h, d) lies at
/// data[t * token_stride + h * head_stride + d].
template <class T>
struct tensor_view {
  T* data = nullptr;
  index tokens = 0;
  index heads = 0;
  index dim = 0;
  index token_stride = 0;
  index head_stride = 0;

  tensor_view() = default;

  /// Packed [tokens, heads, dim].
  ORIEL_INLINE constexpr tensor_view(T* first, index token_count, index head_count,
                                     index row_size) noexcept
      : tensor_view(first, token_count, head_count, row_size, saturating_mul(head_count, row_size),
                    row_size) {}

  ORIEL_INLINE constexpr tensor_view(T* first, index token_count, index head_count, index row_size,
                                     index token_step, index head_step) noexcept
      : data(first),
        tokens(token_count),
        heads(head_count),
        dim(row_size),
        token_stride(token_step),
        head_stride(head_step) {}

  /// A view to read from a view to write.
  template <class U>
  requires(std::is_same_v<T, U const> && !std::is_const_v<U>)
      ORIEL_INLINE constexpr tensor_view(tensor_view<U> const& other) noexcept
      : tensor_view(other.data, other.tokens, other.heads, other.dim, other.token_stride,
                    other.head_stride) {}

  ORIEL_INLINE constexpr bool empty() const noexcept {
    return tokens == 0 || heads == 0 || dim == 0;
  }

  /// First element of a row [dim].
  ORIEL_INLINE constexpr T* row(index token, index head) const noexcept {
    return data + token * token_stride + head * head_stride;
  }

  /// The tokens [part.begin, part.end), 0 <= begin <= end <= tokens.
  ORIEL_INLINE constexpr tensor_view slice(range part) const noexcept {
    if (part.empty()) return {data, 0, heads, dim, token_stride, head_stride};
    return {row(part.begin, 0), part.size(), heads, dim, token_stride, head_stride};
  }
};

/// The same tensor, n elements further on.
template <class T>
ORIEL_INLINE constexpr tensor_view<T> further(tensor_view<T> view, index n) noexcept {
  if (view.data != nullptr) view.data += n;
  return view;
}
/// Bytes that a stride counts.
template <class T>
ORIEL_INLINE constexpr index stride_unit(tensor_view<T> const&) noexcept {
  return sizeof(T);
}

/// The sentences of `check` for one argument, so that a status names it.
struct view_rules {
  char const* sizes;
  char const* strides;
  char const* null;
  char const* aligned;
};

/// Rejects what no tensor can be: negative sizes, strides that leave the address space, a null
/// pointer to something, a pointer that is not aligned for its elements.
template <class T>
ORIEL_INLINE constexpr status check(tensor_view<T> const& view, view_rules const& rules) noexcept {
  if (view.tokens < 0 || view.heads < 0 || view.dim < 0) return {errc::shape, rules.sizes};
  if (view.empty()) return {};
  if (view.token_stride == INT64_MIN || view.head_stride == INT64_MIN) {
    return {errc::shape, rules.strides};
  }
  index const tokens_span = saturating_mul(view.tokens - 1, magnitude(view.token_stride));
  index const heads_span = saturating_mul(view.heads - 1, magnitude(view.head_stride));
  index const span = saturating_add(saturating_add(tokens_span, heads_span), view.dim);
  if (span > max_position / static_cast<index>(sizeof(T))) return {errc::shape, rules.strides};
  if (view.data == nullptr) return {errc::memory, rules.null};
  index const low =
      (view.token_stride < 0 ? -tokens_span : 0) + (view.head_stride < 0 ? -heads_span : 0);
  auto const base = reinterpret_cast<std::uintptr_t>(view.data);
  auto const before = static_cast<std::uintptr_t>(-low) * sizeof(T);
  auto const after = static_cast<std::uintptr_t>(span + low) * sizeof(T);
  if (base < before || base + after < base) return {errc::shape, rules.strides};
  if (reinterpret_cast<std::uintptr_t>(view.data) % alignof(T) != 0) {
    return {errc::alignment, rules.aligned};
  }
  return {};
}

/// Rejects what `count` views can't be, each `stride` further than the one before, as one view.
template <class View>
ORIEL_INLINE status check_series(View const& first, index count, index stride,
                                 view_rules const& rules) noexcept {
  if (status s = check(first, rules); !s.ok() || count <= 1) return s;
  index const unit = stride_unit(first);
  if (stride_span(count - 1, stride) > max_position / unit) return {errc::shape, rules.strides};
  auto const base = reinterpret_cast<std::uintptr_t>(first.data);
  auto const last = base + static_cast<std::uintptr_t>((count - 1) * stride * unit);
  if (base != 0 && (stride < 0 ? last > base : last < base)) return {errc::shape, rules.strides};
  // What is not aligned in the second may be so in the last.
  if (status s = check(further(first, stride), rules); !s.ok()) return s;
  return check(further(first, (count - 1) * stride), rules);
}

}  // namespace oriel::inline v0
