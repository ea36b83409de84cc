// SPDX-License-Identifier: BSL-1.0
// Rows of onnxruntime's quantised key/value caches, bit for bit.
#pragma once

#include "oriel/codec/codec.hpp"
#include "oriel/codec/rounding.hpp"

namespace oriel::inline v0 {

/// Codes with scales that the caller gives, as onnxruntime's GroupQueryAttention stores them:
/// x ~ scale * code, code = x / scale rounded to the nearest, ties to even, then cut to
/// [-2^(Bits-1), 2^(Bits-1) - 1].
///
///   scales   per tensor: one; per channel: [kv_heads, dim]. Referred to
///
/// Bytes   8 bits: a signed byte per channel. 4 bits: code + 8, the even channel in the low bits;
///         (dim + 1) / 2 bytes, the last half of an odd row is 0.
/// Error   scale / 2 where the code is not cut.
/// Other   a NaN is stored as the lowest code, infinities as the lowest and the highest. Scales
///         should be above 0; with others nothing worse happens than wrong numbers.
template <int Bits>
struct scaled {
  static_assert(Bits == 8 || Bits == 4);
  static constexpr int tag = Bits == 8 ? 7 : 8;  ///< saved rows come without their scales
  float const* scales = nullptr;
  bool per_channel = false;

  ORIEL_INLINE static constexpr index row_bytes(index dim) noexcept {
    return Bits == 8 ? dim : dim / 2 + dim % 2;
  }

  template <class Arch>
  void encode(float const* row, index dim, index head, std::byte* to) const noexcept {
    for (index at = 0; at < dim; at += 16) {
      index const count = min_of(16, dim - at);
      float code[16] = {};
      for (index i = 0; i < count; ++i) code[i] = row[at + i] / scale(dim, head, at + i);
      round_to_integers<Arch>(code, count, -half, half - 1.0f, code,
                              [](vec<Arch> x) ORIEL_INLINE_LAMBDA { return x; });
      for (index i = 0; i < count; ++i) {
        auto const whole = static_cast<int>(code[i]);
        if constexpr (Bits == 8) {
          to[at + i] = std::byte(static_cast<unsigned char>(whole));
        } else {
          auto const nibble = static_cast<unsigned>(whole + 8);
          std::byte& byte = to[(at + i) / 2];
          byte = i % 2 == 0 ? std::byte(static_cast<unsigned char>(nibble))
                            : byte | std::byte(static_cast<unsigned char>(nibble << 4));
        }
      }
    }
  }

  template <class Arch>
  void read(row_slice const& rows, float* to) const noexcept {
    for (index i = 0; i < rows.count; ++i, to += rows.dim) {
      std::byte const* const row = rows.data + i * rows.stride;
      for (index d = 0; d < rows.dim; d += lanes<Arch>) {
        int const width = static_cast<int>(min_of(lanes<Arch>, rows.dim - d));
        vec<Arch> x;
        if (Bits == 8 && width == lanes<Arch>) {
          x = widen_bits<Arch, 8, true>(row + d);
        } else {
          float code[lanes<Arch>] = {};
          for (int j = 0; j < width; ++j) code[j] = code_of(row, d + j);
          x = load<Arch>(code);
        }
        vec<Arch> const by = per_channel
                                 ? load_partial<Arch>(scales + rows.head * rows.dim + d, width)
                                 : broadcast<Arch>(scales[0]);
        store_some<Arch>(to + d, x * by, width);
      }
    }
  }

 private:
  static constexpr float half = static_cast<float>(1 << (Bits - 1));

  ORIEL_INLINE float scale(index dim, index head, index d) const noexcept {
    return per_channel ? scales[head * dim + d] : scales[0];
  }
  ORIEL_INLINE static float code_of(std::byte const* row, index d) noexcept {
    if constexpr (Bits == 8) {
      return static_cast<float>(static_cast<std::int8_t>(row[d]));
    } else {
      int const both = std::to_integer<int>(row[d / 2]);
      return static_cast<float>((d % 2 == 0 ? both & 15 : both >> 4) - 8);
    }
  }
};

using scaled_int8 = scaled<8>;
using scaled_int4 = scaled<4>;

}  // namespace oriel::inline v0
