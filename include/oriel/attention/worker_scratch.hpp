// SPDX-License-Identifier: BSL-1.0
// The memory that one worker computes in.
#pragma once

#include "oriel/attention/bounds.hpp"
#include "oriel/kernel/decode_tile.hpp"
#include "oriel/kernel/flash_tile.hpp"
#include "oriel/kernel/wide_tile.hpp"

namespace oriel::inline v0::detail {

/// Rows of a segment: those that are gathered block by block, together.
inline constexpr index segment_rows = 4096;

/// What rows have chosen, and how much of it is done.
struct choices {
  index* chosen = nullptr;  ///< [rows, most], each row ascending
  index* count = nullptr;   ///< [rows]
  index* next = nullptr;    ///< [rows]: the first of a row's blocks that is not done
  index most = 0;           ///< blocks per row at most

  static choices carve(carver& memory, index rows, index most) noexcept {
    choices all;
    all.chosen = memory.take<index>(saturating_mul(rows, most));
    all.count = memory.take<index>(rows);
    all.next = memory.take<index>(rows);
    all.most = most;
    return all;
  }
  /// Those of the rows from `row` on.
  ORIEL_INLINE choices from(index row) const noexcept {
    return {chosen + row * most, count + row, next + row, most};
  }
  /// The first of a row's blocks that is not done, or INT64_MAX.
  ORIEL_INLINE index at(index row) const noexcept {
    return next[row] < count[row] ? chosen[row * most + next[row]] : INT64_MAX;
  }
};

/// What a segment of gathered rows is computed in.
template <class Arch>
struct segment_scratch {
  softmax_state<Arch> state;  ///< [rows]
  std::int32_t* list;         ///< [rows]: those that chose a block

  static segment_scratch carve(carver& memory, index rows, index v_dim) noexcept {
    segment_scratch own;
    own.state = softmax_state<Arch>::carve(memory, rows, v_dim);
    own.list = memory.take<std::int32_t>(rows);
    return own;
  }
};

/// What one worker computes in.
template <class Arch>
struct worker_scratch {
  flash_tile<Arch> flash[item_tiles];
  decode_tile<Arch> decode[item_heads];
  wide_tile wide;             ///< for rows that are not stored as floats
  softmax_state<Arch> state;  ///< [tile rows]
  std::uint64_t* word;        ///< [decode_keys<Arch>]
  float const** q;            ///< [tile rows]
  float* wide_q;              ///< [asking_rows, head_dim]: bf16 or f16 queries as floats
  choices chosen;             ///< by the rows of a segment, or of a block of tiles
  segment_scratch<Arch> segment;

  /// `chosen` for a call's selector, whose rows may choose fewer blocks than the bounds say.
  ORIEL_INLINE choices chosen_by(attention const& call) const noexcept {
    choices own = chosen;
    own.most = call.select.most();
    return own;
  }

  static constexpr int tile_rows = tile_shape<Arch>::rows > decode_rows
                                       ? tile_shape<Arch>::rows
                                       : static_cast<int>(decode_rows);
  /// Rows that ask for their blocks, or are packed into a tile, at a time.
  static constexpr int asking_rows = tile_rows > 64 ? tile_rows : 64;
  /// Of a work item.
  static constexpr index block_rows =
      max_of(tile_shape<Arch>::rows * item_tiles, decode_rows* item_heads);

  /// For a call within `bounds` whose rows have these sizes.
  static worker_scratch carve(carver& memory, attend_bounds const& bounds, index head_dim,
                              index v_dim) noexcept {
    worker_scratch own;
    auto* const scores = memory.take<float>(max_of(flash_tile<Arch>::keys * flash_tile<Arch>::rows,
                                                   decode_tile<Arch>::keys * decode_rows));
    carver again = memory;  // a worker uses one kernel at a time: both lie in the same bytes
    for (auto& t : own.flash) t = flash_tile<Arch>::carve(memory, head_dim, v_dim, scores);
    own.wide = wide_tile::carve(memory, bounds.coded ? tile_keys : 0, head_dim, v_dim);
    auto const shared =
        decode_tile<Arch>::carve_shared(again, bounds.coded, head_dim, v_dim, scores);
    for (auto& t : own.decode) t = decode_tile<Arch>::carve(again, head_dim, v_dim, shared);
    memory.skip(again);
    own.state = softmax_state<Arch>::carve(memory, tile_rows, v_dim);
    own.word = memory.take<std::uint64_t>(decode_tile<Arch>::keys);
    own.q = memory.take<float const*>(tile_rows);
    own.wide_q = memory.take<float>(saturating_mul(bounds.narrow_q ? asking_rows : 0, head_dim));
    if (bounds.chosen_blocks > 0) {
      index const rows = saturating_mul(bounds.q_len, bounds.q_heads / bounds.kv_heads);
      index const segment = min_of(rows, segment_rows);
      index const tiles = min_of(saturating_mul(bounds.q_len, bounds.q_heads), block_rows);
      own.chosen = choices::carve(memory, max_of(segment, tiles), bounds.chosen_blocks);
      own.segment = segment_scratch<Arch>::carve(memory, segment, v_dim);
    }
    return own;
  }
};

}  // namespace oriel::inline v0::detail
