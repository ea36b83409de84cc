// SPDX-License-Identifier: BSL-1.0
// A caller's rows, whatever they are stored as.
#pragma once

#include "oriel/cache/kv_run.hpp"
#include "oriel/codec/codec.hpp"
#include "oriel/view/overlap.hpp"

namespace oriel::inline v0 {

/// Borrowed rows of a codec, [tokens, heads], of `dim` floats each: row (t, h) begins at
/// data + t * token_stride + h * head_stride, in bytes. A codec that has a state is referred to.
template <codec Codec, class Byte = std::byte const>
struct coded_view {
  Byte* data = nullptr;
  index tokens = 0;
  index heads = 0;
  index dim = 0;
  index token_stride = 0;
  index head_stride = 0;
  Codec const* codec = nullptr;  ///< null where it has no state

  ORIEL_INLINE constexpr coded_view() noexcept {}
  /// Any strides, in bytes.
  ORIEL_INLINE constexpr coded_view(Byte* first, index token_count, index head_count,
                                    index row_size, index token_step,
                                    index head_step) noexcept requires std::is_empty_v<Codec>
      : data(first),
        tokens(token_count),
        heads(head_count),
        dim(row_size),
        token_stride(token_step),
        head_stride(head_step) {}
  ORIEL_INLINE constexpr coded_view(Byte* first, index token_count, index head_count,
                                    index row_size, index token_step, index head_step,
                                    Codec const& of) noexcept
      : data(first),
        tokens(token_count),
        heads(head_count),
        dim(row_size),
        token_stride(token_step),
        head_stride(head_step),
        codec(&of) {}
  coded_view(Byte* first, index token_count, index head_count, index row_size, index token_step,
             index head_step, Codec const&& of) = delete;  // referred to: it must be an lvalue

  ORIEL_INLINE constexpr Byte* row(index token, index head) const noexcept {
    return data + token * token_stride + head * head_stride;
  }
};

/// A view of floats, bf16, f16 or a codec's rows, [tokens, heads, dim]; what they are stored as is
/// behind a pointer. Void is void to write too, void const to read: `storage_view`, `stored_view`.
template <class Void>
class row_view {
  template <class T>
  using as_const_as_this = std::conditional_t<std::is_const_v<Void>, T const, T>;
  template <class T>
  static constexpr bool takes = std::is_convertible_v<T*, Void*>;

 public:
  using byte = as_const_as_this<std::byte>;

  ORIEL_INLINE constexpr row_view() noexcept {}
  /// Floats; arguments as those of tensor_view.
  ORIEL_INLINE constexpr row_view(as_const_as_this<float>* first, index token_count,
                                  index head_count, index row_size) noexcept
      : row_view(tensor_view<as_const_as_this<float>>(first, token_count, head_count, row_size)) {}
  ORIEL_INLINE constexpr row_view(as_const_as_this<float>* first, index token_count,
                                  index head_count, index row_size, index token_step,
                                  index head_step) noexcept
      : row_view(tensor_view<as_const_as_this<float>>(first, token_count, head_count, row_size,
                                                      token_step, head_step)) {}
  /// Elements: float, bf16 or f16.
  template <class T, class Arch = default_arch>
  requires(takes<T>&& codec<elements<std::remove_const_t<T>>>)
      ORIEL_INLINE constexpr row_view(tensor_view<T> const& view) noexcept
      : data(view.data),
        tokens(view.tokens),
        heads(view.heads),
        dim(view.dim),
        token_stride(in_bytes(view.token_stride, view.tokens, sizeof(T))),
        head_stride(in_bytes(view.head_stride, view.heads, sizeof(T))),
        row_bytes(in_bytes(view.dim, 2, sizeof(T))),
        alignment(alignof(T)),
        stride_unit(sizeof(T)),
        reader(reader_of<Arch, elements<std::remove_const_t<T>>>(nullptr)),
        fits(check_codec<elements<std::remove_const_t<T>>>(view.dim)) {}
  /// Rows of a codec.
  template <codec Codec, class Byte, class Arch = default_arch>
  requires takes<Byte> ORIEL_INLINE constexpr row_view(coded_view<Codec, Byte> const& view) noexcept
      : data(view.data),
        tokens(view.tokens),
        heads(view.heads),
        dim(view.dim),
        token_stride(view.token_stride),
        head_stride(view.head_stride),
        row_bytes(view.dim < 0 ? view.dim : Codec::row_bytes(view.dim)),
        alignment(static_cast<std::int32_t>(detail::alignment_of<Codec>())),
        reader(reader_of<Arch>(view.codec)),
        fits(check_codec<Codec>(view.dim)) {
    if (!std::is_empty_v<Codec> && view.codec == nullptr) {
      fits = {errc::memory, "coded_view: a codec with members must not be null"};
    }
  }
  /// A view to read from a view to write.
  template <class Other>
  requires(std::is_const_v<Void> && !std::is_const_v<Other>)
      ORIEL_INLINE constexpr row_view(row_view<Other> const& other) noexcept
      : data(other.data),
        tokens(other.tokens),
        heads(other.heads),
        dim(other.dim),
        token_stride(other.token_stride),
        head_stride(other.head_stride),
        row_bytes(other.row_bytes),
        alignment(other.alignment),
        stride_unit(other.stride_unit),
        reader(other.reader),
        fits(other.fits) {}

  /// The rows as bytes, [tokens, heads, row_bytes].
  ORIEL_INLINE constexpr tensor_view<byte> bytes() const noexcept {
    return {static_cast<byte*>(data), tokens, heads, row_bytes, token_stride, head_stride};
  }
  /// The tensor that it was made of, which must have had this type.
  template <class T>
  ORIEL_INLINE constexpr tensor_view<as_const_as_this<T>> as() const noexcept {
    constexpr index size = sizeof(T);
    return {static_cast<as_const_as_this<T>*>(data),
            tokens,
            heads,
            dim,
            token_stride / size,
            head_stride / size};
  }
  /// Row (t, h) and those of the next tokens.
  ORIEL_INLINE stored_rows rows(index token, index head) const noexcept {
    return {bytes().row(token, head), token_stride, row_bytes, reader};
  }
  /// Row (t, h) as floats: where it lies, or written to `to` [dim].
  ORIEL_INLINE float const* floats(index token, index head, float* to) const noexcept {
    kv_run const one{.k = rows(token, head), .head = head, .rows = 1};
    return one.floats(one.k, dim, to);
  }
  /// The tokens [part.begin, part.end), 0 <= begin <= end <= tokens.
  ORIEL_INLINE constexpr row_view slice(range part) const noexcept {
    row_view some = *this;
    some.tokens = part.size();
    if (!part.empty()) some.data = bytes().row(part.begin, 0);
    return some;
  }

  Void* data = nullptr;
  index tokens = 0;
  index heads = 0;
  index dim = 0;           ///< floats in a row
  index token_stride = 0;  ///< bytes
  index head_stride = 0;   ///< bytes
  index row_bytes = 0;
  std::int32_t alignment = 1;    ///< of the elements, bytes
  std::int32_t stride_unit = 1;  ///< bytes that the strides of what it was made of count
  row_reader reader = {};
  status fits = {};  ///< can the codec store rows of `dim`?

 private:
  /// A stride of elements in bytes; one that leaves the address space becomes INT64_MIN, which no
  /// check lets pass, or 0 where nothing is stepped over.
  ORIEL_INLINE static constexpr index in_bytes(index stride, index count,
                                               std::size_t size) noexcept {
    index bytes = 0;
    if (!__builtin_mul_overflow(stride, static_cast<index>(size), &bytes)) return bytes;
    return count > 1 ? INT64_MIN : 0;
  }
};

/// A caller's rows to read, and those to write too.
using stored_view = row_view<void const>;
using storage_view = row_view<void>;

/// ok, or the rule that a view breaks, as for tensor_view.
template <class Void>
ORIEL_INLINE status check(row_view<Void> const& view, view_rules const& rules) noexcept {
  if (view.tokens < 0 || view.heads < 0 || view.dim < 0) return {errc::shape, rules.sizes};
  if (view.dim == 0) return {};
  if (!view.fits.ok()) return view.fits;  // of no rows too: fresh ones may be read as they are
  if (view.tokens == 0 || view.heads == 0) return {};
  if (view.row_bytes < 0) return {errc::shape, rules.strides};
  if (status s = check(view.bytes(), rules); !s.ok()) return s;
  auto const base = reinterpret_cast<std::uintptr_t>(view.data);
  if (base % static_cast<std::uintptr_t>(view.alignment) != 0 ||
      view.token_stride % view.alignment != 0 || view.head_stride % view.alignment != 0) {
    return {errc::alignment, rules.aligned};
  }
  return {};
}

/// ok, or why keys and values can't be written: they are no codec's, which alone says how
/// (errc::shape), or share bytes (errc::alias).
ORIEL_INLINE status check_written(storage_view const& k, storage_view const& v) noexcept {
  for (storage_view const* const of : {&k, &v}) {
    if (of->reader && of->reader.functions->encode == nullptr) {
      return {errc::shape, "k and v: rows to write must be floats or a codec's"};
    }
  }
  if (!rows_are_disjoint(k.bytes()) || !rows_are_disjoint(v.bytes()) ||
      overlaps(k.bytes(), v.bytes())) {
    return {errc::alias, "k and v: rows must not overlap one another"};
  }
  return {};
}

template <class Void>
ORIEL_INLINE constexpr index stride_unit(row_view<Void> const& view) noexcept {
  return view.stride_unit;
}
/// The same rows, n strides' units (elements, or bytes of a codec's rows) further on.
template <class Void>
ORIEL_INLINE constexpr row_view<Void> further(row_view<Void> view, index n) noexcept {
  view.data = further(view.bytes(), n * view.stride_unit).data;
  return view;
}
template <class Void>
ORIEL_INLINE address_range footprint(row_view<Void> const& view) noexcept {
  return footprint(view.bytes());
}
template <class Void>
ORIEL_INLINE constexpr bool rows_are_disjoint(row_view<Void> const& view) noexcept {
  return rows_are_disjoint(view.bytes());
}

namespace detail {

/// Writes row (t, h) of `from` as `of` stores it.
template <class Arch, codec Codec>
ORIEL_INLINE void encode_row(Codec const& of, stored_view const& from, index t, index h,
                             std::byte* to) noexcept {
  if (!from.reader) {
    of.template encode<Arch>(from.rows(t, h).row(0), from.dim, h, to);
  } else {
    float row[max_coded_dim];
    of.template encode<Arch>(from.floats(t, h, row), from.dim, h, to);
  }
}

}  // namespace detail

/// Could writing floats to `out` change rows of `view`? As overlaps of tensors where both are
/// floats, else pessimistic: true when their address ranges meet.
template <class Void>
ORIEL_INLINE bool overlaps(tensor_view<float> const& out, row_view<Void> const& view) noexcept {
  if (view.reader) return footprint(out).meets(footprint(view));
  return overlaps(out, view.template as<float>());
}
/// Do rows to write share a byte with other rows? Exact as for tensors.
template <class Void>
ORIEL_INLINE bool overlaps(storage_view const& to, row_view<Void> const& other) noexcept {
  return overlaps(to.bytes(), other.bytes());
}

}  // namespace oriel::inline v0
