// SPDX-License-Identifier: BSL-1.0
// Rows of ggml's blocks, bit for bit.
#pragma once

#include "oriel/codec/codec.hpp"
#include "oriel/codec/rounding.hpp"

namespace oriel::inline v0 {

namespace detail {

/// Blocks of 32 channels: an f16 scale, then the codes.
template <int Bits>
struct ggml_blocks {
  static constexpr int tag = Bits == 8 ? 5 : 6;
  static constexpr index block = 32;
  static constexpr index block_bytes = 2 + block * Bits / 8;

  ORIEL_INLINE static constexpr status check(index dim) noexcept {
    if (dim % block == 0) return {};
    return {errc::shape, "rows of q8_0 and q4_0 hold a multiple of 32 floats"};
  }
  ORIEL_INLINE static constexpr index row_bytes(index dim) noexcept {
    return saturating_mul(ceil_div(min_of(dim, INT64_MAX - block), block), block_bytes);
  }

  template <class Arch>
  static void encode(float const* row, index dim, index /*head*/, std::byte* to) noexcept {
    for (index at = 0; at < dim; at += block, to += block_bytes) {
      extent const x = extent_of<Arch>(row + at, block);
      float const scale =
          x.finite ? scale_of(row + at, x) : std::numeric_limits<float>::quiet_NaN();
      f16 const stored(scale);
      std::memcpy(to, &stored, sizeof stored);
      float code[block];
      float const factor = scale == 0.0f || !x.finite ? 0.0f : 1.0f / scale;
      if constexpr (Bits == 8) {
        round_to_integers<Arch, ties::away>(
            row + at, block, -127.0f, 127.0f, code,
            [&](vec<Arch> from) ORIEL_INLINE_LAMBDA { return from * broadcast<Arch>(factor); });
        for (index i = 0; i < block; ++i) {
          to[2 + i] = std::byte(static_cast<unsigned char>(static_cast<int>(code[i])));
        }
      } else {
        for (index i = 0; i < block; i += lanes<Arch>) {
          vec<Arch> const t = load<Arch>(row + at + i) * broadcast<Arch>(factor);
          // max keeps the compiler from joining the product with the sum: they are rounded apart.
          vec<Arch> const shifted = max<Arch>(t, broadcast<Arch>(-9.0f)) + broadcast<Arch>(8.5f);
          store<Arch>(code + i, shifted);
        }
        auto const whole = [&](index i) ORIEL_INLINE_LAMBDA {
          return code[i] >= 15.0f ? 15 : code[i] > 0.0f ? static_cast<int>(code[i]) : 0;
        };
        for (index i = 0; i < block / 2; ++i) {
          to[2 + i] = std::byte(static_cast<unsigned char>(whole(i) | whole(i + block / 2) << 4));
        }
      }
    }
  }

  /// Consecutive registers: of a block, or of 8 bits two.
  template <class Arch>
  static constexpr int chunk = Bits == 8 ? 2 : block / lanes<Arch>;
  ORIEL_INLINE static constexpr index begins(index d) noexcept {
    return static_cast<index>(static_cast<std::uint64_t>(d) / block) * block_bytes;
  }
  template <class Arch, int I>
  ORIEL_INLINE static vec<Arch> get(coded_row const& row, index /*dim*/, index d) noexcept {
    constexpr int at = I * lanes<Arch>;
    std::byte const* const from = row.data + begins(d);
    f16 stored;
    std::memcpy(&stored, from, sizeof stored);
    vec<Arch> const scale = broadcast_widened<Arch>(stored);
    if constexpr (Bits == 8) {
      index const first = chunk<Arch> * lanes<Arch> < block ? d % block : 0;
      return widen_bits<Arch, 8, true>(from + 2 + first + at) * scale;
    } else {
      return map_bits<Arch, 4, false>(from + 2 + at % 16, at / 16 * 4,
                                      [&](vec<Arch> code) ORIEL_INLINE_LAMBDA {
                                        return (code - broadcast<Arch>(8.0f)) * scale;
                                      });
    }
  }
  /// For rounded_products.
  static constexpr index group = block;
  static constexpr bool has_zero = false;
  static constexpr int code_bits = Bits;
  static constexpr bool code_is_signed = Bits == 8;
  static constexpr int code_offset = Bits == 8 ? 0 : 8;
  ORIEL_INLINE static constexpr index code_byte(index d) noexcept {
    return begins(d) + 2 + (Bits == 8 ? d % block : 0);
  }
  template <class Arch>
  ORIEL_INLINE static void widen_parameters(std::byte const* row, index dim, float* to) noexcept {
    widen_apart<Arch, f16>(row, block_bytes, dim / block, to);
  }
  template <class Arch>
  static void read(row_slice const& rows, float* to) noexcept {
    index const dim = rows.dim;  // a copy: to the compiler a store of a register might change it
    for (index i = 0; i < rows.count; ++i, to += dim) {
      read_chunks<Arch, ggml_blocks>({rows.data + i * rows.stride}, dim, dim, to);
    }
  }

 private:
  /// 8 bits: the largest magnitude becomes 127. 4 bits: it becomes -8, whatever its sign; of two
  /// the first counts.
  ORIEL_INLINE static float scale_of(float const* row, extent const& x) noexcept {
    float const most = x.high == -x.low  ? __builtin_fabsf(x.low)
                       : x.high > -x.low ? x.high
                                         : -x.low;
    if constexpr (Bits == 8) return most / 127.0f;
    if (most == 0.0f) return 0.0f / -8.0f;
    if (x.high == -x.low) {
      index i = 0;
      while (row[i] != x.high && row[i] != x.low) ++i;
      return row[i] / -8.0f;
    }
    return (most == x.high ? x.high : x.low) / -8.0f;
  }
};

}  // namespace detail

/// ggml's Q8_0: per 32 channels an f16 scale d and 32 signed bytes, 34 bytes: x ~ d * code.
///
/// As ggml's reference (quantize_row_q8_0_ref): d = max |x| / 127 in fp32, code = x / d rounded to
/// the nearest, ties away from 0; d is rounded to f16 afterwards. ggml's SIMD code rounds ties to
/// even.
/// Error   |x - read| <= d / 2 + 2^-11 |x|.
/// Other   a block that holds an infinity or a NaN, reads as NaN; a d beyond f16, as infinities.
/// Requires  rows of a multiple of 32 floats (errc::shape).
struct q8_0 : detail::ggml_blocks<8> {};

/// ggml's Q4_0: per 32 channels an f16 scale d and 16 bytes, 18 bytes: x ~ d * (code - 8); byte j
/// holds the codes of channels j (low bits) and j + 16.
///
/// As ggml's reference (quantize_row_q4_0_ref): d = m / -8, m the x of the largest magnitude;
/// code = min(15, floor(x / d + 8.5)).
/// Error   |x - read| <= |d| / 2 + 2^-11 |x|, and |d| where x = -m.
/// Other, Requires   as q8_0.
struct q4_0 : detail::ggml_blocks<4> {};

}  // namespace oriel::inline v0
