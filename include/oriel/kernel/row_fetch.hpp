// SPDX-License-Identifier: BSL-1.0
// Rows on their way into L2.
#pragma once

#include <cstdint>

#include "oriel/cache/kv_run.hpp"
#include "oriel/simd/prefetch.hpp"
#include "oriel/simd/vec.hpp"

namespace oriel::inline v0 {

/// Prefetches rows into L2 while others are computed with. Each turn prefetches a line of
/// each of eight parts of the rows: eight ascending streams let the hardware's own prefetcher join
/// in. In one stream the core's few line buffers are the limit: 65 % of the rate (Sapphire Rapids).
template <class Arch>
class row_fetch {
 public:
  static constexpr int parts = 8;

  row_fetch() = default;
  ORIEL_INLINE row_fetch(stored_rows const& rows, index count) noexcept
      : stride_(rows.stride),
        lines_(ceil_div(rows.bytes, line_bytes)),
        row_end_(lines_ * line_bytes) {
    index const part_rows = ceil_div(count, parts);
    left_ = part_rows * lines_;
    for (int i = 0; i < parts && count > 0; ++i) {
      part_[i] = reinterpret_cast<std::uintptr_t>(rows.data) +
                 static_cast<std::uintptr_t>(min_of(i * part_rows, count - 1) * stride_);
    }
  }

  /// Turns that are left, and about as many as bring `rows` of the rows.
  ORIEL_INLINE index left() const noexcept { return left_; }
  ORIEL_INLINE index turns_for(index rows) const noexcept { return ceil_div(rows * lines_, parts); }

  /// Asks for the lines of `count` turns, or of as many as are left.
  ORIEL_INLINE void turns(index count) noexcept {
    for (count = min_of(count, left_); count > 0; --count) {
      unroll<parts>([&](int i) ORIEL_INLINE_LAMBDA {
        prefetch_l2(part_[i] + static_cast<std::uintptr_t>(at_));
      });
      --left_;
      at_ += line_bytes;
      if (at_ < row_end_) continue;
      row_end_ += stride_;
      at_ += stride_ - lines_ * line_bytes;
    }
  }

 private:
  static constexpr index line_bytes = 64;

  /// First row of each part. Addresses are numbers here: they may lie past the last row, where no
  /// pointer may point.
  std::uintptr_t part_[parts] = {};
  index stride_ = 0;   ///< bytes
  index lines_ = 0;    ///< in a row
  index left_ = 0;     ///< turns
  index at_ = 0;       ///< bytes from a part's first row to the line
  index row_end_ = 0;  ///< and to the end of the row's lines
};

}  // namespace oriel::inline v0
