// SPDX-License-Identifier: BSL-1.0
// Bytes before they are allocated, and how a call is cut into tasks.
#pragma once

#include "oriel/attention/attention.hpp"
#include "oriel/kernel/decode_tile.hpp"
#include "oriel/kernel/flash_tile.hpp"

namespace oriel::inline v0 {

/// Upper bounds of the calls that a plan is made for.
struct attend_bounds {
  index q_len = 1;
  index kv_len = 0;  ///< keys in the source: a window and a piece, however long the context
  index q_heads = 1;
  index kv_heads = 1;
  index head_dim = 0;
  std::optional<index> v_dim = std::nullopt;  ///< head_dim unless given

  ORIEL_INLINE constexpr index value_dim() const noexcept { return v_dim ? *v_dim : head_dim; }
};

/// The bounds of one call.
ORIEL_INLINE attend_bounds bounds_of(attention const& call) noexcept {
  kv_shape const kv = call.kv.shape();
  return {.q_len = call.q.tokens,
          .kv_len = call.kv.positions().size(),
          .q_heads = call.q.heads,
          .kv_heads = kv.kv_heads,
          .head_dim = kv.head_dim,
          .v_dim = kv.v_dim};
}

/// The two phases of a call, in order; between them every task of the first must have ended.
enum class phase { attend, merge };
inline constexpr phase phases[] = {phase::attend, phase::merge};

/// What one worker computes in.
template <class Arch>
struct worker_scratch {
  flash_tile<Arch> flash[block_tiles];
  decode_tile<Arch> decode[1];
  softmax_state<Arch> leaf;   ///< [tile rows]
  softmax_state<Arch> total;  ///< [block rows]
  std::uint64_t* word;        ///< [tile_keys]
  float const** q;            ///< [tile rows]

  static constexpr int tile_rows = tile_shape<Arch>::rows > decode_rows
                                       ? tile_shape<Arch>::rows
                                       : static_cast<int>(decode_rows);

  ORIEL_INLINE static worker_scratch carve(carver& memory, index head_dim, index v_dim) noexcept {
    worker_scratch own;
    auto* const scores = memory.take<float>(tile_keys * tile_shape<Arch>::rows);
    for (auto& tile : own.flash) {
      tile = flash_tile<Arch>::carve(memory, head_dim, v_dim, scores);
    }
    own.decode[0] = decode_tile<Arch>::carve(memory, head_dim, v_dim);
    own.leaf = softmax_state<Arch>::carve(memory, tile_rows, v_dim);
    own.total = softmax_state<Arch>::carve(memory, block_tiles * tile_rows, v_dim);
    own.word = memory.take<std::uint64_t>(tile_keys);
    own.q = memory.take<float const*>(tile_rows);
    return own;
  }
};

/// Made once from upper bounds, serves every call within them.
struct attend_plan {
  attend_bounds bounds;
  index workers = 1;
  index tile_rows = 0;     ///< of the instruction set it was made for
  index worker_bytes = 0;  ///< scratch of one worker
  index leaf_bytes = 0;    ///< leaf states of split calls, all
  status made = {};

  ORIEL_INLINE constexpr status check() const noexcept { return made; }
  /// Bytes of the workspace: threads x tile scratch, and the leaf states of calls with too few row
  /// tiles to occupy the workers. No term grows with q_len * kv_len. INT64_MAX if they overflow.
  ORIEL_INLINE constexpr index workspace_bytes() const noexcept {
    return saturating_add(saturating_mul(worker_bytes, workers), leaf_bytes);
  }
};

namespace detail {

/// How one call is cut.
struct partition {
  bool decode = false;   ///< the decode kernel, else the row-lane kernel
  bool split = false;    ///< one task per leaf, merged afterwards; else one per row block
  index tile_rows = 1;   ///< rows per tile
  index block_rows = 1;  ///< rows per block, a multiple of tile_rows
  index blocks = 0;      ///< per kv head
  index leaves = 0;      ///< leaves that any row of the call reaches
  index first_leaf = 0;  ///< number of the first
};

/// Tasks per worker below which a call is cut finer: smaller blocks, then leaves.
inline constexpr index tasks_per_worker = 4;

/// Bytes of one leaf's state of `rows` rows.
template <class Arch>
index state_bytes(index rows, index v_dim) noexcept {
  carver state;
  softmax_state<Arch>::carve(state, rows, v_dim);
  return state.used();
}

template <class Arch>
partition cut(attend_plan const& plan, attention const& call) noexcept {
  partition p;
  head_map const heads = call.heads();
  index const rows = call.q.tokens * heads.group();
  if (rows == 0) return p;
  p.decode = rows <= decode_rows;
  p.tile_rows = p.decode ? decode_rows : tile_shape<Arch>::rows;
  index const tiles = ceil_div(rows, p.tile_rows);
  index const wanted = plan.workers > 1 ? tasks_per_worker * plan.workers : 1;
  index const shared = min_of(tiles * heads.kv_heads / wanted, p.decode ? 1 : block_tiles);
  p.block_rows = p.tile_rows * max_of(shared, 1);
  p.blocks = ceil_div(rows, p.block_rows);
  key_ranges const reach =
      intersect(call.mask.reach(call.queries()), key_ranges(call.kv.positions()));
  if (!reach.empty()) {
    p.first_leaf = round_down(reach.hull().begin, leaf_keys) / leaf_keys;
    p.leaves = round_down(reach.hull().end - 1, leaf_keys) / leaf_keys + 1 - p.first_leaf;
  }
  p.split = plan.workers > 1 && p.leaves > 1 && p.blocks * heads.kv_heads < wanted;
  return p;
}

}  // namespace detail

/// A plan for calls up to `bounds` on up to `workers` workers. Its check() tells of bounds that
/// make no sense (errc::heads, errc::shape) and of workers < 1 (errc::plan).
template <class Arch = default_arch>
attend_plan plan_attend(attend_bounds const& bounds, index workers = 1) noexcept {
  attend_plan plan{.bounds = bounds, .workers = workers, .tile_rows = tile_shape<Arch>::rows};
  auto const refuse = [&](status s) {
    plan.made = s;
    return plan;
  };
  if (workers < 1 || workers > 1 << 16) {
    return refuse({errc::plan, "workers must be between 1 and 65536"});
  }
  head_map const heads{bounds.q_heads, bounds.kv_heads};
  if (status s = heads.check(); !s.ok()) return refuse(s);
  if (bounds.head_dim < 1 || bounds.value_dim() < 1) {
    return refuse({errc::shape, "bounds: head_dim and v_dim must be at least 1"});
  }
  if (bounds.q_len < 0 || bounds.kv_len < 0) {
    return refuse({errc::shape, "bounds: q_len and kv_len must not be negative"});
  }
  constexpr index most = index{1} << 40;
  if (max_of(max_of(bounds.head_dim, bounds.value_dim()), bounds.q_heads) > most ||
      max_of(bounds.q_len, bounds.kv_len) >= max_position) {
    return refuse({errc::shape, "bounds: heads and dims must not exceed 2^40, lengths 2^60"});
  }
  carver worker;
  worker_scratch<Arch>::carve(worker, bounds.head_dim, bounds.value_dim());
  plan.worker_bytes = worker.used();
  if (workers > 1) {
    // The most that a split call within the bounds can have: fewer blocks than make it whole, each
    // of a single tile, and a state for each of its leaves.
    index const most_blocks = detail::tasks_per_worker * workers - 1;
    index const rows = saturating_mul(bounds.q_len, heads.group());
    index const leaves = bounds.kv_len / leaf_keys + 2;
    auto const bytes = [&](index tile_rows) {
      index const tiles = rows == 0 ? 0 : (rows - 1) / tile_rows + 1;
      index const blocks = min_of(saturating_mul(tiles, heads.kv_heads), most_blocks);
      return saturating_mul(saturating_mul(blocks, leaves),
                            detail::state_bytes<Arch>(tile_rows, bounds.value_dim()));
    };
    plan.leaf_bytes = bytes(decode_rows);
    if (rows > decode_rows) plan.leaf_bytes = max_of(plan.leaf_bytes, bytes(plan.tile_rows));
  }
  if (plan.workspace_bytes() == INT64_MAX) {
    return refuse({errc::shape, "bounds: the workspace would exceed the address space"});
  }
  return plan;
}

/// ok, or why `call` can't be run under `plan` in `memory` (errc::plan, errc::workspace,
/// errc::memory, errc::alignment), or what check(call) says.
template <class Arch = default_arch>
status check(attend_plan const& plan, attention const& call, workspace memory) noexcept {
  if (status s = plan.check(); !s.ok()) return s;
  if (status s = check<Arch>(call); !s.ok()) return s;
  if (plan.tile_rows != tile_shape<Arch>::rows) {
    return {errc::plan, "plan: made for another instruction set"};
  }
  attend_bounds const need = bounds_of(call);
  if (need.q_len > plan.bounds.q_len) return {errc::plan, "plan: q.tokens exceed bounds.q_len"};
  if (need.kv_len > plan.bounds.kv_len) return {errc::plan, "plan: keys exceed bounds.kv_len"};
  if (need.q_heads != plan.bounds.q_heads || need.kv_heads != plan.bounds.kv_heads) {
    return {errc::plan, "plan: heads differ from those of its bounds"};
  }
  if (need.head_dim > plan.bounds.head_dim || need.value_dim() > plan.bounds.value_dim()) {
    return {errc::plan, "plan: head_dim or v_dim exceed its bounds"};
  }
  if (static_cast<index>(memory.bytes.size()) < plan.workspace_bytes()) {
    return {errc::workspace, "workspace must hold plan.workspace_bytes()"};
  }
  if (memory.bytes.data() == nullptr) return {errc::memory, "workspace must not be null"};
  auto const base = reinterpret_cast<std::uintptr_t>(memory.bytes.data());
  if (base % storage_alignment != 0) {
    return {errc::alignment, "workspace must be aligned to 64"};
  }
  address_range const scratch{base, base + static_cast<std::uintptr_t>(plan.workspace_bytes())};
  tensor_view<float> const bytes(reinterpret_cast<float*>(memory.bytes.data()), 1, 1,
                                 plan.workspace_bytes() / static_cast<index>(sizeof(float)));
  if (scratch.meets(footprint(call.q)) || scratch.meets(footprint(call.out)) ||
      scratch.meets(footprint(call.lse)) || call.kv.overlaps(bytes)) {
    return {errc::alias, "workspace must not overlap q, k, v, out or lse"};
  }
  return {};
}

}  // namespace oriel::inline v0
