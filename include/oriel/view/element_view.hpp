// SPDX-License-Identifier: BSL-1.0
// A caller's tensor of float, bf16 or f16; which of them is known when the program runs.
#pragma once

#include <concepts>
#include <cstddef>

#include "oriel/core/float16.hpp"
#include "oriel/view/overlap.hpp"

namespace oriel::inline v0 {

template <class T>
concept element = std::same_as<T, float> || std::same_as<T, bf16> || std::same_as<T, f16>;

enum class element_type : std::uint8_t { f32, bf16, f16 };

template <element T>
inline constexpr element_type type_of = std::is_same_v<T, float>  ? element_type::f32
                                        : std::is_same_v<T, bf16> ? element_type::bf16
                                                                  : element_type::f16;

/// Borrowed tensor [tokens, heads, dim] as tensor_view has it, strides in elements too; made of a
/// tensor_view, or of its arguments. Void is void to write, void const to read.
template <class Void>
struct element_view {
  /// May be seen as elements of T?
  template <class T>
  static constexpr bool takes = element<std::remove_const_t<T>>&& std::is_convertible_v<T*, Void*>;
  template <class T>
  using as_const_as_this = std::conditional_t<std::is_const_v<Void>, T const, T>;

  Void* data = nullptr;
  index tokens = 0;
  index heads = 0;
  index dim = 0;
  index token_stride = 0;
  index head_stride = 0;
  element_type type = element_type::f32;

  ORIEL_INLINE constexpr element_view() noexcept {}
  template <class T>
  requires takes<T> ORIEL_INLINE constexpr element_view(tensor_view<T> const& view) noexcept
      : data(view.data),
        tokens(view.tokens),
        heads(view.heads),
        dim(view.dim),
        token_stride(view.token_stride),
        head_stride(view.head_stride),
        type(type_of<std::remove_const_t<T>>) {}
  template <class T>
  requires takes<T> ORIEL_INLINE constexpr element_view(T* first, index token_count,
                                                        index head_count, index row_size) noexcept
      : element_view(tensor_view<T>(first, token_count, head_count, row_size)) {}
  template <class T>
  requires takes<T> ORIEL_INLINE constexpr element_view(T* first, index token_count,
                                                        index head_count, index row_size,
                                                        index token_step, index head_step) noexcept
      : element_view(
            tensor_view<T>(first, token_count, head_count, row_size, token_step, head_step)) {}
  /// No memory; floats.
  ORIEL_INLINE constexpr element_view(std::nullptr_t, index token_count, index head_count,
                                      index row_size) noexcept
      : element_view(
            tensor_view<as_const_as_this<float>>(nullptr, token_count, head_count, row_size)) {}

  ORIEL_INLINE constexpr bool empty() const noexcept {
    return tokens == 0 || heads == 0 || dim == 0;
  }
  /// The view for its type T, or, without a look at it, for another of that size.
  template <element T>
  ORIEL_INLINE constexpr tensor_view<as_const_as_this<T>> as() const noexcept {
    return {static_cast<as_const_as_this<T>*>(data), tokens, heads, dim, token_stride, head_stride};
  }
  /// f(tensor_view of T) for its type T.
  template <class F>
  ORIEL_INLINE constexpr decltype(auto) visit(F&& f) const noexcept {
    switch (type) {
      case element_type::bf16: return f(as<bf16>());
      case element_type::f16: return f(as<f16>());
      case element_type::f32: break;
    }
    return f(as<float>());
  }
  /// The tokens [part.begin, part.end), 0 <= begin <= end <= tokens.
  ORIEL_INLINE constexpr element_view slice(range part) const noexcept {
    return visit([&](auto const& view)
                     ORIEL_INLINE_LAMBDA { return element_view(view.slice(part)); });
  }
};

template <class Void>
ORIEL_INLINE constexpr index stride_unit(element_view<Void> const& view) noexcept {
  return view.type == element_type::f32 ? sizeof(float) : sizeof(bf16);
}
template <class Void>
ORIEL_INLINE constexpr element_view<Void> further(element_view<Void> view, index n) noexcept {
  view.visit([&](auto const& of) ORIEL_INLINE_LAMBDA { view.data = further(of, n).data; });
  return view;
}

/// A tensor to read, and one to write.
using input_view = element_view<void const>;
using output_view = element_view<void>;

template <class Void>
ORIEL_INLINE constexpr status check(element_view<Void> const& view,
                                    view_rules const& rules) noexcept {
  return view.visit([&](auto const& of) ORIEL_INLINE_LAMBDA { return check(of, rules); });
}
template <class Void>
ORIEL_INLINE address_range footprint(element_view<Void> const& view) noexcept {
  return view.visit([](auto const& of) ORIEL_INLINE_LAMBDA { return footprint(of); });
}
template <class Void>
ORIEL_INLINE constexpr bool rows_are_disjoint(element_view<Void> const& view) noexcept {
  return rows_are_disjoint(view.template as<float>());
}
/// As for tensors; where elements are not of one size, pessimistic: do the address ranges meet?
template <class Void>
ORIEL_INLINE bool overlaps(output_view const& out, element_view<Void> const& other) noexcept {
  bool const wide = out.type == element_type::f32;
  if (wide != (other.type == element_type::f32)) return footprint(out).meets(footprint(other));
  return wide ? overlaps(out.as<float>(), other.template as<float>())
              : overlaps(out.as<bf16>(), other.template as<bf16>());
}

}  // namespace oriel::inline v0
