// SPDX-License-Identifier: BSL-1.0
// How rows of keys or values, as they are stored, become floats.
#pragma once

#include <cstddef>

#include "oriel/codec/rounded_functions.hpp"

namespace oriel::inline v0 {

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

}  // namespace oriel::inline v0
