// SPDX-License-Identifier: BSL-1.0
// Rows on their way into L2.
#pragma once

#include <cstdint>

#include "oriel/simd/vec.hpp"

namespace oriel::inline v0 {

/// Asks for rows to be brought into L2 while others are computed with. Lines are taken in turn from
/// eight parts of the rows: eight ascending streams let the hardware's own prefetcher join in. In
/// one stream the core's few line buffers are the limit: 65 % of the rate (Sapphire Rapids).
template <class Arch>
class row_fetch {
 public:
  row_fetch() = default;
  /// `count` rows of `dim` floats, `stride` floats apart.
  ORIEL_INLINE row_fetch(float const* rows, index stride, index dim, index count) noexcept
      : stride_(stride), lines_(ceil_div(dim, line_floats)), row_end_(lines_ * line_floats) {
    index const part_rows = ceil_div(count, parts);
    left_ = parts * part_rows * lines_;
    for (int i = 0; i < parts && count > 0; ++i) {
      part_[i] = reinterpret_cast<std::uintptr_t>(rows) +
                 bytes_of(min_of(i * part_rows, count - 1) * stride);
    }
  }

  /// Lines that have not been asked for.
  ORIEL_INLINE index left() const noexcept { return left_; }

  /// Asks for one more line, if there is one.
  ORIEL_INLINE void line() noexcept {
    if (left_ == 0) return;
    --left_;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): nothing is read through it
    prefetch_l2(reinterpret_cast<void const*>(part_[next_] + bytes_of(at_)));
    if (++next_ < parts) return;
    next_ = 0;
    at_ += line_floats;
    if (at_ < row_end_) return;
    row_end_ += stride_;
    at_ += stride_ - lines_ * line_floats;
  }
  void lines(index count) noexcept {
    for (index i = min_of(count, left_); i > 0; --i) line();
  }
  /// Lines in `count` rows.
  ORIEL_INLINE index lines_in(index count) const noexcept { return count * lines_; }

 private:
  static constexpr int parts = 8;
  static constexpr index line_floats = 16;

  /// Addresses are numbers here: they may lie behind the last row, where no pointer may point.
  ORIEL_INLINE static std::uintptr_t bytes_of(index floats) noexcept {
    return static_cast<std::uintptr_t>(floats) * sizeof(float);
  }

  std::uintptr_t part_[parts] = {};  ///< first row of each part
  index stride_ = 0;
  index lines_ = 0;    ///< in a row
  index left_ = 0;     ///< lines to ask for
  index next_ = 0;     ///< part whose turn it is
  index at_ = 0;       ///< floats from a part's first row to the line
  index row_end_ = 0;  ///< and to the end of the row's lines
};

}  // namespace oriel::inline v0
