// SPDX-License-Identifier: BSL-1.0
// Rows on their way into L2.
#pragma once

#include <cstdint>

#include "oriel/cache/row_reader.hpp"
#include "oriel/simd/prefetch.hpp"
#include "oriel/simd/vec.hpp"

namespace oriel::inline v0 {

/// Asks for rows to be brought into L2 while others are computed with. Lines are taken in turn from
/// eight parts of the rows: eight ascending streams let the hardware's own prefetcher join in. In
/// one stream the core's few line buffers are the limit: 65 % of the rate (Sapphire Rapids).
template <class Arch>
class row_fetch {
 public:
  row_fetch() = default;
  ORIEL_INLINE row_fetch(stored_rows const& rows, index count) noexcept
      : stride_(rows.stride),
        lines_(ceil_div(rows.bytes, line_bytes)),
        row_end_(lines_ * line_bytes) {
    index const part_rows = ceil_div(count, parts);
    left_ = parts * part_rows * lines_;
    for (int i = 0; i < parts && count > 0; ++i) {
      part_[i] = reinterpret_cast<std::uintptr_t>(rows.data) +
                 static_cast<std::uintptr_t>(min_of(i * part_rows, count - 1) * stride_);
    }
  }

  /// Lines that have not been asked for.
  ORIEL_INLINE index left() const noexcept { return left_; }

  /// Asks for one more line, if there is one.
  ORIEL_INLINE void line() noexcept {
    if (left_ == 0) return;
    --left_;
    prefetch_l2(part_[next_] + static_cast<std::uintptr_t>(at_));
    if (++next_ < parts) return;
    next_ = 0;
    step(at_, row_end_);
  }
  void lines(index count) noexcept {
    if (left_ == 0) return;
    count = max_of(0, min_of(count, left_));
    for (; count > 0 && next_ != 0; --count) line();
    // Whole turns, with nothing in memory that the next one waits for.
    index at = at_;
    index row_end = row_end_;
    left_ -= round_down(count, parts);
    for (; count >= parts; count -= parts) {
      unroll<parts>([&](int i) ORIEL_INLINE_LAMBDA {
        prefetch_l2(part_[i] + static_cast<std::uintptr_t>(at));
      });
      step(at, row_end);
    }
    at_ = at;
    row_end_ = row_end;
    for (; count > 0; --count) line();
  }
  /// Lines in `count` rows.
  ORIEL_INLINE index lines_in(index count) const noexcept { return count * lines_; }

 private:
  static constexpr int parts = 8;
  static constexpr index line_bytes = 64;

  /// From a line of each part to the next.
  ORIEL_INLINE void step(index& at, index& row_end) const noexcept {
    at += line_bytes;
    if (at < row_end) return;
    row_end += stride_;
    at += stride_ - lines_ * line_bytes;
  }

  /// First row of each part. Addresses are numbers here: they may lie behind the last row, where no
  /// pointer may point.
  std::uintptr_t part_[parts] = {};
  index stride_ = 0;   ///< bytes
  index lines_ = 0;    ///< in a row
  index left_ = 0;     ///< lines to ask for
  index next_ = 0;     ///< part whose turn it is
  index at_ = 0;       ///< bytes from a part's first row to the line
  index row_end_ = 0;  ///< and to the end of the row's lines
};

}  // namespace oriel::inline v0
