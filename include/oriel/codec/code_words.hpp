// SPDX-License-Identifier: BSL-1.0
// Codes as registers of 16-bit integers.
#pragma once

#include "oriel/codec/row_slice.hpp"
#include "oriel/simd/words.hpp"

namespace oriel::inline v0 {

/// How codes of 16 channels, which lie in 16 bytes, become registers of 16-bit integers.
template <class Arch, class Codec>
struct code_words {
  static constexpr index group = Codec::group;
  /// Consecutive registers: their first parts of 16 codes lie in a row, then the second ones.
  static constexpr int chunk = Codec::code_bits == 8 ? 32 / word_lanes<Arch> : 8 / Codec::code_bits;
  static constexpr index step = chunk * word_lanes<Arch>;
  static constexpr index parts = word_lanes<Arch> / 16;  ///< of a register
  /// Do the registers of a chunk have the same scales?
  static constexpr bool alike = group % (16 * chunk) == 0;
  /// Do all parts of a register have one scale, wherever it is?
  static constexpr bool one_scale = group % step == 0;

  /// The codes of register I of the chunk from channel d on.
  template <int I>
  ORIEL_INLINE static words<Arch> get(std::byte const* row, index d) noexcept {
    constexpr int bits = Codec::code_bits;
    constexpr index skip = Codec::code_byte(16 * I) - Codec::code_byte(0);
    constexpr index between = Codec::code_byte(16 * (chunk + I)) - Codec::code_byte(16 * I);
    words<Arch> const code = widen_codes<Arch, bits, Codec::code_is_signed>(
        row + Codec::code_byte(d) + skip, bits == 8 ? 0 : I * bits, between);
    if constexpr (Codec::code_offset == 0) return code;
    return subtract<Arch>(code, broadcast_word<Arch>(Codec::code_offset));
  }
  /// The channel of a chunk with which part `part` of its register I begins.
  ORIEL_INLINE static constexpr index part_at(index i, index part) noexcept {
    return (part * chunk + i) * 16;
  }
  /// f(i, d) for each part of a row: it is at i where registers lie in order, and has the channels
  /// from d on.
  template <class F>
  ORIEL_INLINE static void each_part(index dim, F&& f) noexcept {
    for (index d = 0; d < dim; d += step) {
      unroll<chunk* static_cast<int>(parts)>(
          [&](int n) ORIEL_INLINE_LAMBDA { f(d + n * 16, d + part_at(n / parts, n % parts)); });
    }
  }
  /// The groups of channels of the first and the last part of register I of the chunk from d on.
  struct scale_places {
    index first;
    index last;
  };
  template <int I>
  ORIEL_INLINE static constexpr scale_places places_of(index d) noexcept {
    auto const at = [&](index part) ORIEL_INLINE_LAMBDA {
      return static_cast<index>(static_cast<std::uint64_t>(d + part_at(I, part)) / group);
    };
    return {at(0), at(parts - 1)};
  }
  /// Prefetches a line ahead of the chunk of codes from channel d on, with its first register. A
  /// core drops most of many requests at once (Zen 4), so each chunk prefetches its own.
  template <int I>
  ORIEL_INLINE static void prefetch(row_slice const& rows, std::byte const* row, index d) noexcept {
    if (I == 0) rows.ahead.prefetch_to_l2(row + Codec::code_byte(d));
  }
};

}  // namespace oriel::inline v0
