// SPDX-License-Identifier: BSL-1.0
// Where the rows of a run lie: consecutive keys and values of one kv head.
#pragma once

#include "oriel/codec/row_reader.hpp"

namespace oriel::inline v0 {

/// Rows of keys or of values of a run, where they lie: row i begins at data + i * stride bytes and
/// has `bytes` bytes, of `dim` floats.
struct stored_rows {
  std::byte const* data = nullptr;
  index stride = 0;  ///< bytes
  index bytes = 0;
  row_reader reader = {};
  lines_ahead ahead = {};

  /// Rows of floats, `float_stride` floats apart.
  ORIEL_INLINE static stored_rows of(float const* rows, index float_stride, index dim) noexcept {
    constexpr index size = sizeof(float);
    return {reinterpret_cast<std::byte const*>(rows), float_stride * size, dim * size, {}};
  }
  ORIEL_INLINE constexpr stored_rows from(index n) const noexcept {
    return {data + n * stride, stride, bytes, reader, ahead};
  }
  /// Row i, which must be floats.
  ORIEL_INLINE float const* row(index i) const noexcept {
    return reinterpret_cast<float const*>(data + i * stride);
  }
  ORIEL_INLINE constexpr index float_stride() const noexcept {
    return stride / static_cast<index>(sizeof(float));
  }
};

/// Consecutive rows of one kv head where they lie: key and value i have position first + i.
struct kv_run {
  stored_rows k = {};
  stored_rows v = {};
  index head = 0;
  index first = 0;
  index rows = 0;

  /// The run without its first `n` rows.
  ORIEL_INLINE constexpr kv_run from(index n) const noexcept {
    return {k.from(n), v.from(n), head, first + n, rows - n};
  }
  /// `of`, the keys or the values of this run, for a reader.
  ORIEL_INLINE constexpr row_slice slice(stored_rows const& of, index dim) const noexcept {
    return {of.data, of.stride, head, first, rows, dim, of.ahead};
  }
  /// The first row of `of` as floats: where it lies, or written to `to` [dim].
  ORIEL_INLINE float const* floats(stored_rows const& of, index dim, float* to) const noexcept {
    if (!of.reader) return of.row(0);
    row_slice one = slice(of, dim);
    one.count = 1;
    of.reader(one, to);
    return to;
  }
};

}  // namespace oriel::inline v0
