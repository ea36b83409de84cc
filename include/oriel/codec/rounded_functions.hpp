// SPDX-License-Identifier: BSL-1.0
// Products with stored rows as integers: what a codec offers for calls that may round.
#pragma once

#include <cstdint>

#include "oriel/codec/row_slice.hpp"

namespace oriel::inline v0 {

/// Rows of queries as integers, in blocks as rounded_functions::order writes them: row r is
/// unit[r] times 16-bit integers. A row that is not finite has a unit that is NaN.
struct rounded_rows {
  std::int16_t const* codes = nullptr;  ///< the block that begins with row r is at r * step
  index step = 0;
  float const* sums = nullptr;  ///< of a row's groups of channels; rows `sums_step` apart
  index sums_step = 0;
  float const* unit = nullptr;

  /// Row r, which begins a block, and the later ones.
  ORIEL_INLINE constexpr rounded_rows from(int r) const noexcept {
    return {codes + r * step, step, sums + r * sums_step, sums_step, unit + r};
  }
};

/// Weights as integers: that of stored row i and group g of channels for row r of queries is
/// the i-th from codes + r * row_step + g * group_step on.
struct rounded_weights {
  std::int16_t const* codes = nullptr;
  index row_step = 0;
  index group_step = 0;

  ORIEL_INLINE constexpr rounded_weights from(int r) const noexcept {
    return {codes + r * row_step, row_step, group_step};
  }
  ORIEL_INLINE constexpr std::int16_t const* at(int r, index g) const noexcept {
    return codes + r * row_step + g * group_step;
  }
};

/// Products with queries and weights that are rounded to integers, for `compute_choice::fast`.
///   group, dims   channels that share a scale; rows must be a multiple of `dims`
///   has_zero      do groups have a zero: row i is scale * code + zero
///   order    writes `count` queries [dim], of magnitudes up to 32639 and `q_step` apart, as `dot`
///            takes as many, and the sums of their groups of channels: one, two, or in blocks of
///            four. Queries and what is written have room for whole blocks of four rows
///   dot      to[r * to_step + i] = q[r] . row i, for r < count
///   scales   writes the scales of the rows' groups of channels to scale[g * between + i], and
///            their zeros, if they have some
///   add      sum[r] += sum over i of weight[r][i][group of d] * code of row i [d], exactly; `sum`
///            is in an order of its own
///   restore  writes the sums of one row [dim] in the order of channels
struct rounded_functions {
  index group = 0;
  index dims = 0;
  bool has_zero = false;
  void (*order)(std::int16_t const* q, index q_step, index dim, int count, std::int16_t* to,
                float* sums, index sums_step) noexcept = nullptr;
  void (*dot)(row_slice const& rows, rounded_rows const& q, int count, float* to,
              index to_step) noexcept = nullptr;
  void (*scales)(row_slice const& rows, float* scale, float* zero,
                 index between) noexcept = nullptr;
  void (*add)(row_slice const& rows, rounded_weights const& weights, int count, std::int32_t* sum,
              index sum_step) noexcept = nullptr;
  void (*restore)(std::int32_t const* sum, index dim, std::int32_t* to) noexcept = nullptr;
};

}  // namespace oriel::inline v0
