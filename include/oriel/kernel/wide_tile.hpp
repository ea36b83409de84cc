// SPDX-License-Identifier: BSL-1.0
// Stored rows as floats, for the row-lane kernel.
#pragma once

#include "oriel/cache/kv_run.hpp"
#include "oriel/kernel/tile_shape.hpp"
#include "oriel/view/workspace.hpp"

namespace oriel::inline v0 {

/// The keys and values of one head in one tile of keys, as floats, for row tiles that take turns at
/// it. Rows that are stored otherwise are read when they are first asked for, once, and no others.
class wide_tile {
 public:
  ORIEL_INLINE wide_tile() noexcept {}
  /// `keys` is tile_keys, or 0 where every row is floats.
  ORIEL_INLINE static wide_tile carve(carver& memory, index keys, index head_dim,
                                      index v_dim) noexcept {
    wide_tile tile;
    tile.k_.floats = memory.take<float>(saturating_mul(keys, head_dim));
    tile.v_.floats = memory.take<float>(saturating_mul(keys, v_dim));
    tile.k_.dim = head_dim, tile.v_.dim = v_dim;
    return tile;
  }
  /// Another tile of keys, or another head: nothing has been read.
  ORIEL_INLINE void begin(index first) noexcept {
    first_ = first;
    for (bool& read : k_.read) read = false;
    for (bool& read : v_.read) read = false;
  }
  /// The keys (values) of a run within the tile as floats.
  ORIEL_INLINE kv_run keys(kv_run run) noexcept {
    if (run.k.reader) run.k = read(run, run.k, k_);
    return run;
  }
  ORIEL_INLINE kv_run values(kv_run run) noexcept {
    if (run.v.reader) run.v = read(run, run.v, v_);
    return run;
  }

 private:
  struct side {
    ORIEL_INLINE side() noexcept {}  // not "= default": that is not always inlined

    float* floats = nullptr;  ///< [tile_keys, dim]
    index dim = 0;
    bool read[tile_keys] = {};
  };
  ORIEL_INLINE stored_rows read(kv_run const& run, stored_rows const& of, side& to) noexcept {
    bool* const done = to.read + (run.first - first_);
    float* const floats = to.floats + (run.first - first_) * to.dim;
    for (index i = 0; i < run.rows;) {
      index end = i;
      while (end < run.rows && !done[end]) done[end++] = true;
      if (end > i) {
        row_slice const rows{of.data + i * of.stride, of.stride, run.head,
                             run.first + i,           end - i,   to.dim};
        of.reader(rows, floats + i * to.dim);
      }
      i = end + 1;
    }
    return stored_rows::of(floats, to.dim, to.dim);
  }

  index first_ = 0;
  side k_;
  side v_;
};

}  // namespace oriel::inline v0
