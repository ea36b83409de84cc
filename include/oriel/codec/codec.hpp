// SPDX-License-Identifier: BSL-1.0
// How a key or value row is stored.
#pragma once

#include <concepts>
#include <cstring>

#include "oriel/codec/coded_products.hpp"
#include "oriel/codec/rounded_products.hpp"
#include "oriel/codec/row_reader.hpp"
#include "oriel/simd/widen.hpp"
#include "oriel/view/workspace.hpp"

namespace oriel::inline v0 {

/// A codec says how a row of `dim` floats is stored.
///
///   row_bytes(dim)               bytes of a stored row, constexpr; one of max_coded_dim floats is
///                                put on the stack
///   encode(row, dim, head, to)   writes one row of kv head `head`
///   read(rows, to)               writes the floats of stored rows, [count, dim]; row by row, each
///                                the same whatever is read with it
///
/// and may have
///
///   is_plain    rows are floats as they are, they need no reading
///   alignment   of stored rows and of what lies between them, bytes; 1 unless given
///   check(dim)  ok, or why rows of `dim` floats can't be stored
///   tag         names the codec in saved bytes, below 2^24; one of your own ends in a byte from 64
///               to 127. Without one a cache can't be saved
///
/// encode and read are templates on the instruction set. A codec is a small value; most are empty.
/// One that the decode kernel should multiply faster is also a register_codec, and one of integers
/// an integer_codec.
// clang-format off
template <class C>
concept codec = std::is_trivially_copyable_v<C> &&
    requires(C const& c, float const* row, index i, std::byte* to, row_slice const& rows,
             float* floats) {
  { C::row_bytes(i) } noexcept -> std::same_as<index>;
  { c.template encode<default_arch>(row, i, i, to) } noexcept;
  { c.template read<default_arch>(rows, floats) } noexcept;
};

/// A codec whose rows the decode kernel multiplies where they lie, register by register
/// (`coded_products`), instead of as floats that were written first.
///
///   chunk<Arch>                  registers of floats that lie in a row and are read together
///   get<Arch, I>(row, dim, d)    register I of those from channel d on, of a `coded_row`
///   begins(d)                    the byte of a row in which channel d's code lies
///
/// and may have
///
///   is_light                     get is an instruction or two
///   block                        channels of which rows are a multiple
///   parameters(dim), widen_parameters<Arch>(row, dim, to)   floats of a row that `get` finds in
///                                coded_row::parameters (scales), and what writes them; at most
///                                1024 for rows of 4096
template <class C, class Arch = default_arch>
concept register_codec = codec<C> && requires(coded_row const& row, index i) {
  { C::template chunk<Arch> } -> std::convertible_to<int>;
  { C::template get<Arch, 0>(row, i, i) } noexcept -> std::same_as<vec<Arch>>;
  { C::begins(i) } noexcept -> std::same_as<index>;
};

/// A codec of integers with a scale per group of channels, whose products may be integers, too
/// (compute_choice::fast). What its members say stands at `rounded_products`.
template <class C, class Arch = default_arch>
concept integer_codec = codec<C> && requires(std::byte const* row, index i, float* to) {
  { C::group } -> std::convertible_to<index>;
  { C::has_zero } -> std::convertible_to<bool>;
  { C::code_bits } -> std::convertible_to<int>;
  { C::code_is_signed } -> std::convertible_to<bool>;
  { C::code_offset } -> std::convertible_to<int>;
  { C::code_byte(i) } noexcept -> std::same_as<index>;
  { C::template widen_parameters<Arch>(row, i, to) } noexcept;
};
// clang-format on

/// Rows of elements: float, bf16 or f16; their errors stand with the types.
template <class T>
struct elements {
  static constexpr bool is_plain = std::is_same_v<T, float>;
  static constexpr index alignment = alignof(T);
  static constexpr int tag = is_plain ? 1 : std::is_same_v<T, bf16> ? 2 : 3;

  ORIEL_INLINE static constexpr index row_bytes(index dim) noexcept {
    return saturating_mul(dim, static_cast<index>(sizeof(T)));
  }
  template <class Arch>
  ORIEL_INLINE static void encode(float const* row, index dim, index /*head*/,
                                  std::byte* to) noexcept {
    if constexpr (is_plain) {
      std::memcpy(to, row, static_cast<std::size_t>(dim) * sizeof(T));
    } else {
      narrow_row<Arch>(row, dim, reinterpret_cast<T*>(to));
    }
  }
  static constexpr bool is_light = true;
  template <class Arch>
  static constexpr int chunk = register_count<Arch> == 32 ? 2 : 1;
  ORIEL_INLINE static constexpr index begins(index d) noexcept {
    return d * static_cast<index>(sizeof(T));
  }
  template <class Arch, int I>
  ORIEL_INLINE static vec<Arch> get(coded_row const& row, index /*dim*/, index d) noexcept {
    auto const* const from = reinterpret_cast<T const*>(row.data) + d;
    if constexpr (chunk<Arch> == 1) return widen<Arch>(from);
    return widen_part<Arch, I>(from);
  }
  template <class Arch>
  ORIEL_INLINE static void read(row_slice const& rows, float* to) noexcept {
    for (index i = 0; i < rows.count; ++i) {
      auto const* const row = reinterpret_cast<T const*>(rows.data + i * rows.stride);
      widen_row<Arch>(row, rows.dim, to + i * rows.dim);
    }
  }
};

/// Rows as they are: 4 bytes per element, no error.
using f32 = elements<float>;

namespace detail {

template <class T>
struct codec_of {
  using type = T;
};
template <>
struct codec_of<float> {
  using type = elements<float>;
};
template <>
struct codec_of<bf16> {
  using type = elements<bf16>;
};
template <>
struct codec_of<f16> {
  using type = elements<f16>;
};

template <class Codec>
inline constexpr bool is_plain = requires {
  requires Codec::is_plain;
};

template <class Codec>
ORIEL_INLINE constexpr index alignment_of() noexcept {
  if constexpr (requires { Codec::alignment; }) {
    return Codec::alignment;
  } else {
    return 1;
  }
}

template <class Codec>
ORIEL_INLINE constexpr std::uint64_t tag_of() noexcept {
  static_assert(
      requires { Codec::tag; }, "a codec needs a tag for its rows to be saved");
  static_assert(Codec::tag > 0 && Codec::tag < 1 << 24);
  return Codec::tag;
}

template <class Codec, class Arch>
struct codec_functions {
  /// f(the codec).
  template <class F>
  ORIEL_INLINE static void with(void const* codec, F&& f) noexcept {
    if constexpr (std::is_empty_v<Codec>) {
      f(Codec{});
    } else {
      f(*static_cast<Codec const*>(codec));
    }
  }
  static void read(void const* codec, row_slice const& rows, float* to) noexcept {
    with(codec, [&](Codec const& of) ORIEL_INLINE_LAMBDA { of.template read<Arch>(rows, to); });
  }
  static void encode(void const* codec, float const* row, index dim, index head,
                     std::byte* to) noexcept {
    with(codec, [&](Codec const& of)
                    ORIEL_INLINE_LAMBDA { of.template encode<Arch>(row, dim, head, to); });
  }
  static void round_trip(void const* codec, float const* row, index dim, index head, index position,
                         float* to) noexcept {
    alignas(storage_alignment) std::byte stored[Codec::row_bytes(max_coded_dim)];
    encode(codec, row, dim, head, stored);
    read(codec, {stored, 0, head, position, 1, dim}, to);
  }
  static constexpr row_functions table = [] {
    row_functions all{read};
    all.encode = encode;
    all.round_trip = round_trip;
    all.is_light = requires { requires Codec::is_light; };
    static_assert(
        register_codec<Codec, Arch> || !requires { Codec::template chunk<Arch>; },
        "a codec with a chunk lacks another member of a register_codec");
    static_assert(
        integer_codec<Codec, Arch> || !requires { Codec::code_bits; },
        "a codec with code_bits lacks another member of an integer_codec");
    if constexpr (register_codec<Codec, Arch>) {
      using products = coded_products<Arch, Codec>;
      if constexpr (products::dims > 0) {
        all.dims = products::dims, all.dot = products::dot, all.add = products::add;
      }
    }
    if constexpr (has_words<Arch> && integer_codec<Codec, Arch>) {
      using products = rounded_products<Arch, Codec>;
      all.rounded = &products::table;
    }
    return all;
  }();
};

}  // namespace detail

/// The codec that a name stands for: bf16 and f16, which are elements, mean rows of them.
template <class T>
using codec_of = typename detail::codec_of<T>::type;

/// The reader of rows that `of` has written, which is referred to if it has a state; none where
/// rows are floats.
template <class Arch, codec Codec>
ORIEL_INLINE constexpr row_reader reader_of(Codec const* of) noexcept {
  if constexpr (detail::is_plain<Codec>) {
    return {};
  } else {
    return {&detail::codec_functions<Codec, Arch>::table, of};
  }
}

/// The codecs of keys and of values.
template <codec K, codec V>
struct codec_pair {
  K k = {};
  V v = {};
  ORIEL_INLINE constexpr codec_pair() noexcept {}
  ORIEL_INLINE constexpr codec_pair(K const& of_k, V const& of_v) noexcept : k(of_k), v(of_v) {}
};

/// ok, or why a codec can't store rows of `dim` floats (errc::shape).
template <codec Codec>
ORIEL_INLINE constexpr status check_codec(index dim) noexcept {
  if constexpr (!detail::is_plain<Codec>) {
    if (dim > max_coded_dim) {
      return {errc::shape, "rows that are not stored as floats must not exceed 4096 of them"};
    }
  }
  if constexpr (requires { Codec::check(dim); }) {
    return Codec::check(dim);
  } else {
    return {};
  }
}

}  // namespace oriel::inline v0
