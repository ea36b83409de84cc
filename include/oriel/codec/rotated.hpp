// SPDX-License-Identifier: BSL-1.0
// A codec whose rows are rotated (orthonormal Hadamard transform) before they are encoded.
#pragma once

#include "oriel/codec/codec.hpp"

namespace oriel::inline v0 {

/// Rows that are multiplied by a Hadamard matrix before `Codec` stores them, and again when they
/// are read: outliers of single channels are spread over all, so that few bits lose less.
///
/// The matrix is Sylvester's, of the largest power of 2 that divides the row size, times the
/// inverse square root of that; it is its own inverse. Each block of so many channels is multiplied
/// by it.
///
/// Bytes   as Codec's.
/// Error   of a row in the Euclidean norm: Codec's, of the multiplied row, and fp32 rounding.
/// Cost    log2(block) additions per float, encoded or read.
/// Source  Ashkboos et al. 2024 (QuaRot), arXiv:2404.00456.
template <class Codec>
requires codec<codec_of<Codec>>
struct rotated {
  using inner = codec_of<Codec>;
  static constexpr bool is_rotated = true;
  static_assert(
      !requires { inner::is_rotated; },
      "rotated<rotated<C>>: the second rotation undoes the first; write rotated<C>");
  /// That of the inner codec, marked; 0 where it has none.
  static constexpr int tag = [] {
    if constexpr (requires { inner::tag; }) return inner::tag | 0x80;
    return 0;
  }();
  [[no_unique_address]] inner of = {};

  ORIEL_INLINE static constexpr index row_bytes(index dim) noexcept {
    return inner::row_bytes(dim);
  }
  ORIEL_INLINE static constexpr status check(index dim) noexcept { return check_codec<inner>(dim); }
  static constexpr index alignment = detail::alignment_of<inner>();

  template <class Arch>
  void encode(float const* row, index dim, index head, std::byte* to) const noexcept {
    float mixed[max_coded_dim];
    std::memcpy(mixed, row, static_cast<std::size_t>(dim) * sizeof(float));
    hadamard<Arch>(mixed, dim);
    of.template encode<Arch>(mixed, dim, head, to);
  }
  template <class Arch>
  void read(row_slice const& rows, float* to) const noexcept {
    of.template read<Arch>(rows, to);
    for (index i = 0; i < rows.count; ++i) hadamard<Arch>(to + i * rows.dim, rows.dim);
  }

 private:
  template <class Arch>
  static void hadamard(float* row, index dim) noexcept {
    index const block = dim & -dim;
    float const scale = 1.0f / __builtin_sqrtf(static_cast<float>(block));
    for (float* x = row; x < row + dim; x += block) {
      for (index half = 1; half < block; half *= 2) {
        for (index i = 0; i < block; i += 2 * half) {
          index j = i;
          for (; j + lanes<Arch> <= i + half; j += lanes<Arch>) {
            vec<Arch> const a = load<Arch>(x + j);
            vec<Arch> const b = load<Arch>(x + j + half);
            store<Arch>(x + j, a + b);
            store<Arch>(x + j + half, a - b);
          }
          for (; j < i + half; ++j) {
            float const a = x[j];
            float const b = x[j + half];
            x[j] = a + b;
            x[j + half] = a - b;
          }
        }
      }
      for (index i = 0; i < block; ++i) x[i] *= scale;
    }
  }
};

}  // namespace oriel::inline v0
