// SPDX-License-Identifier: BSL-1.0
// How rows of keys or values, as they are stored, become floats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "oriel/core/status.hpp"
#include "oriel/simd/prefetch.hpp"

namespace oriel::inline v0 {

/// Elements of a row that is stored otherwise than as floats, at most: there are rows on the stack.
inline constexpr index max_coded_dim = 4096;

/// Consecutive stored rows of one kv head: row i begins at data + i * stride bytes and has position
/// first + i.
struct row_slice {
  std::byte const* data = nullptr;
  index stride = 0;  ///< bytes
  index head = 0;
  index first = 0;
  index count = 0;
  index dim = 0;           ///< floats in a row
  lines_ahead ahead = {};  ///< what products ask for with each line they read
};

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

/// What can be done with stored rows, for one way of storing them and one instruction set.
struct row_functions {
  /// Writes the rows as floats, [count, dim]. It reads nothing but those rows and may rotate, scale
  /// or round them as it likes, by what `context`, their head and their positions say; but a row's
  /// floats must not depend on which other rows are asked for.
  void (*read)(void const* context, row_slice const& rows, float* to) noexcept = nullptr;

  /// Optional, for the decode kernel: products that read rows as they go, for rows of a multiple of
  /// `dims` floats; 0: none. They give the bits of the same products over what `read` writes.
  ///   dot   to[r * to_step + i] = q[r * q_step ...] . row i, for r < count
  ///   add   acc[r * acc_step + d] += sum over i of weight[r * weight_step + i] * row i [d]
  index dims = 0;
  void (*dot)(row_slice const& rows, float const* q, index q_step, int count, float* to,
              index to_step) noexcept = nullptr;
  void (*add)(row_slice const& rows, float const* weight, index weight_step, int count, float* acc,
              index acc_step) noexcept = nullptr;

  /// Is a product with a row's floats hardly more than reading them?
  bool is_light = false;

  /// Optional, for the decode kernel where it may round.
  rounded_functions const* rounded = nullptr;

  /// Where rows are a codec's, what it makes of a row [dim] of a kv head:
  ///   encode       writes it to `to`, as it is stored
  ///   round_trip   writes the floats that `read` gives of it, at a position, to `to` [dim], which
  ///                may be row
  void (*encode)(void const* context, float const* row, index dim, index head,
                 std::byte* to) noexcept = nullptr;
  void (*round_trip)(void const* context, float const* row, index dim, index head, index position,
                     float* to) noexcept = nullptr;
};

/// What stands between stored rows and their floats; none: the rows are floats, and are read where
/// they lie. `context` is given to the functions and must live as long as the rows are read.
struct row_reader {
  row_functions const* functions = nullptr;
  void const* context = nullptr;

  ORIEL_INLINE constexpr explicit operator bool() const noexcept { return functions != nullptr; }
  /// Are there products over rows of `dim` floats?
  ORIEL_INLINE constexpr bool multiplies(index dim) const noexcept {
    return functions != nullptr && functions->dims > 0 && dim % functions->dims == 0;
  }
  /// The products with integers over rows of `dim` floats, or null.
  ORIEL_INLINE constexpr rounded_functions const* rounded(index dim) const noexcept {
    rounded_functions const* const all = functions != nullptr ? functions->rounded : nullptr;
    return all != nullptr && dim % all->dims == 0 ? all : nullptr;
  }
  ORIEL_INLINE void operator()(row_slice const& rows, float* to) const noexcept {
    functions->read(context, rows, to);
  }
};

/// What reads the keys and the values of a source.
struct row_readers {
  row_reader k = {};
  row_reader v = {};
};

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
