// SPDX-License-Identifier: BSL-1.0
// Keys quantised per channel over groups of tokens.
#pragma once

#include "oriel/codec/quantized.hpp"

namespace oriel::inline v0 {

/// Groups of `Tokens` keys with a scale and a zero per channel: x ~ scale * code + zero, over the
/// tokens of a group as quantized has it over channels. Not a codec: a group is written as a whole.
///
/// Bytes   of a group: the code rows of quantized, then a scale and a zero per channel; rounded up
///         to a multiple of Tokens, so that row_bytes is their share of a token.
template <int Bits, int Tokens, class Parameter>
struct token_groups {
  using codes = code_rows<Bits>;

  ORIEL_INLINE static constexpr index row_bytes(index dim) noexcept {
    if (dim > max_coded_dim) return saturating_mul(dim, sizeof(float));  // refused by its check
    return codes::bytes(dim) + ceil_div(2 * dim * static_cast<index>(sizeof(Parameter)), Tokens);
  }

  /// Writes a group from its tokens' rows of `dim` floats; tokens before `first` are not there.
  template <class Arch>
  static void encode(float const* const* rows, index first, index dim, std::byte* to) noexcept {
    for (index i = 0; i < Tokens * row_bytes(dim); ++i) to[i] = std::byte{0};
    for (index d = 0; d < dim; ++d) {
      float channel[Tokens];
      float code[Tokens];
      for (index t = first; t < Tokens; ++t) channel[t] = rows[t][d];
      auto const of = asymmetric<Bits, Parameter>::template over<Arch>(
          channel + first, Tokens - first, code + first);
      put(to, dim, d, of.scale);
      put(to, dim, dim + d, of.zero);
      for (index t = first; t < Tokens; ++t) {
        codes::put(to + t * codes::bytes(dim), d, static_cast<unsigned>(code[t]));
      }
    }
  }

  /// Rows may begin within a group, as their position says, and go over several.
  template <class Arch>
  static void read(void const*, row_slice const& rows, float* to) noexcept {
    for (index i = 0; i < rows.count; ++i, to += rows.dim) {
      index const in_group = (rows.first + i) % Tokens;
      std::byte const* const group = rows.data + (i - in_group) * rows.stride;
      std::byte const* const row = group + in_group * codes::bytes(rows.dim);
      std::byte const* const scale = group + Tokens * codes::bytes(rows.dim);
      std::byte const* const zero = scale + rows.dim * static_cast<index>(sizeof(Parameter));
      codes::template for_each<Arch>(
          row, rows.dim, [&](vec<Arch> x, index d, int width) ORIEL_INLINE_LAMBDA {
            x = fma<Arch>(x, parameters<Arch>(scale, d, width), parameters<Arch>(zero, d, width));
            store_some<Arch>(to + d, x, width);
          });
    }
  }
  template <class Arch>
  static constexpr row_functions table{read<Arch>};

 private:
  ORIEL_INLINE static void put(std::byte* group, index dim, index i, float x) noexcept {
    auto const stored = Parameter(x);
    index const at = Tokens * codes::bytes(dim) + i * static_cast<index>(sizeof stored);
    std::memcpy(group + at, &stored, sizeof stored);
  }
  template <class Arch>
  ORIEL_INLINE static vec<Arch> parameters(std::byte const* from, index d, int width) noexcept {
    Parameter some[lanes<Arch>] = {};
    std::memcpy(some, from + d * static_cast<index>(sizeof(Parameter)),
                static_cast<std::size_t>(width) * sizeof(Parameter));
    return widen<Arch>(some);
  }
};

}  // namespace oriel::inline v0
