// SPDX-License-Identifier: BSL-1.0
// The sizes that every kernel shares.
#pragma once

#include "oriel/simd/arch.hpp"

namespace oriel::inline v0 {

/// Keys that the row-lane kernel scores before it takes their softmax. Key tiles begin at absolute
/// multiples of it.
inline constexpr index tile_keys = 128;
/// The same of the decode kernel. Where registers are short, its memory waits whenever keys and
/// values take turns (Zen 3).
template <class Arch>
inline constexpr index decode_keys = has_short_registers<Arch> ? 4 * tile_keys : tile_keys;
/// Keys after which a softmax state starts anew and is merged; leaves begin at absolute multiples.
inline constexpr index leaf_keys = 1024;
static_assert(leaf_keys % (4 * tile_keys) == 0);

/// A row tile of the row-lane kernel is up to 3 registers wide. `depth` x `vectors` accumulators,
/// that many loads and a broadcast fill the register file: 28 of 32 registers, or all 16.
template <class Arch>
struct tile_shape {
  static constexpr int vectors = 3;
  static constexpr int rows = vectors * lanes<Arch>;
  static_assert(rows <= 64, "a word of visible rows has 64 bits");

  /// Rows of the left matrix per register block, for a tile of `width` registers.
  static constexpr int depth(int width) noexcept {
    constexpr int sums = register_count<Arch> == 32 ? 24 : 12;
    return width == 1 ? sums * 2 / 3 : sums / width;  // 8 chains fill two FMA pipes
  }
};

/// Row tiles of a work item: each key tile is used by all of them while it lies in L2. One alone
/// takes 1 KB (dim 128) per 25 kflop from the L3 cache, which a Sapphire Rapids core does not get
/// in time.
inline constexpr int item_tiles = 4;

/// Rows (query tokens x group) up to which a call takes the decode kernel (lanes = head_dim).
inline constexpr index decode_rows = 8;
/// Heads of a work item of the decode kernel whose rows lie side by side: each is read while the
/// memory is at hand.
inline constexpr int item_heads = 8;

/// Queries from which on a call always takes the row-lane kernel: any cut of a prompt into pieces
/// of at least so many tokens gives the same bits.
inline constexpr index cut_tokens = decode_rows + 1;

}  // namespace oriel::inline v0
