// SPDX-License-Identifier: BSL-1.0
// The sizes that every kernel shares.
#pragma once

#include "oriel/simd/arch.hpp"

namespace oriel::inline v0 {

/// Keys scored before their softmax is taken. Tiles begin at absolute multiples of it.
inline constexpr index tile_keys = 128;
/// Keys after which a softmax state starts anew and is merged; leaves begin at absolute multiples.
inline constexpr index leaf_keys = 1024;
static_assert(leaf_keys % tile_keys == 0);

/// Register block of the row-lane kernel: `depth` x 3 accumulators, 3 loads and a broadcast fill
/// the register file: 28 of 32 registers, or all 16.
template <class Arch>
struct tile_shape {
  static constexpr int vectors = 3;
  static constexpr int depth = register_count<Arch> == 32 ? 8 : 4;
  static constexpr int rows = vectors * lanes<Arch>;
  static_assert(rows <= 64, "a word of visible rows has 64 bits");
};

/// Row tiles of a block: each key tile is used by all of them while it lies in L2. One alone asks
/// the L3 cache for 1 KB (dim 128) per 25 kflop, which a Sapphire Rapids core does not get in time.
inline constexpr int block_tiles = 4;

/// Rows (query tokens x group) up to which a call takes the decode kernel (lanes = head_dim).
inline constexpr index decode_rows = 8;

}  // namespace oriel::inline v0
