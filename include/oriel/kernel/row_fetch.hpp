// SPDX-License-Identifier: BSL-1.0
// Rows on their way into L2.
#pragma once

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
      : stride_(stride), lines_(ceil_div(dim, line_floats)), rows_left_(ceil_div(count, parts)) {
    for (int i = 0; i < parts && count > 0; ++i) {
      part_[i] = rows + min_of(i * rows_left_, count - 1) * stride;
    }
  }

  /// Floats that have not been asked for.
  ORIEL_INLINE index left() const noexcept {
    return (rows_left_ * lines_ - line_) * line_floats * parts;
  }

  /// Asks for about `count` more floats, if there are any.
  [[gnu::noinline]] void floats(index count) noexcept {
    due_ += count;
    for (; due_ > 0 && rows_left_ > 0; due_ -= parts * line_floats) {
      for (float const* part : part_) prefetch_l2(part + row_ + line_floats * line_);
      if (++line_ == lines_) line_ = 0, row_ += stride_, --rows_left_;
    }
  }

 private:
  static constexpr int parts = 8;
  static constexpr index line_floats = 16;

  float const* part_[parts] = {};
  index stride_ = 0;
  index lines_ = 0;      ///< cache lines in a row
  index rows_left_ = 0;  ///< rows that each part has still to ask for
  index row_ = 0;        ///< floats from a part's first row to the current one
  index line_ = 0;       ///< lines of the current row that were asked for
  index due_ = 0;        ///< floats that should have been asked for, but were not
};

}  // namespace oriel::inline v0
