// SPDX-License-Identifier: BSL-1.0
// Bytes before they are allocated, and how a call is cut into tasks.
#pragma once

#include "oriel/attention/batch.hpp"
#include "oriel/kernel/decode_tile.hpp"
#include "oriel/kernel/flash_tile.hpp"
#include "oriel/kernel/wide_tile.hpp"

namespace oriel::inline v0 {

/// Upper bounds of the calls that a plan is made for; the heads are those of every call.
struct attend_bounds {
  index sequences = 1;  ///< in a batch
  index q_len = 1;      ///< queries, all sequences together
  index kv_len =
      0;  ///< keys in the longest source (a ring's window and sinks, and a piece of prompt)
  index q_heads = 1;
  index kv_heads = 1;
  index head_dim = 0;
  index chosen_blocks = 0;  ///< that a row of a selector chooses at most; 0: no selector
  std::optional<index> v_dim = std::nullopt;  ///< head_dim unless given
  bool coded = false;     ///< are keys or values stored otherwise than as floats?
  bool narrow_q = false;  ///< are queries bf16 or f16?

  ORIEL_INLINE constexpr index value_dim() const noexcept { return v_dim ? *v_dim : head_dim; }
};

/// The bounds of one call. Of an empty batch: no sequence, one head, one float.
ORIEL_INLINE attend_bounds bounds_of(attention_batch const& batch) noexcept {
  attend_bounds all{.sequences = batch.size(), .q_len = 0, .head_dim = 1};
  for (attention const& call : batch) {
    kv_shape const kv = call.kv.shape();
    all.q_len = saturating_add(all.q_len, call.q.tokens);
    all.kv_len = max_of(all.kv_len, call.kv.held());
    all.chosen_blocks = max_of(all.chosen_blocks, call.select.most());
    all.q_heads = call.q.heads;
    all.kv_heads = kv.kv_heads;
    all.head_dim = kv.head_dim;
    all.v_dim = kv.v_dim;
    all.coded = all.coded || kv.coded;
    all.narrow_q = all.narrow_q || call.q.type != element_type::f32;
  }
  return all;
}

/// The two phases of a call, in order; between them every task of the first must have ended.
enum class phase { attend, merge };
inline constexpr phase phases[] = {phase::attend, phase::merge};

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
  flash_tile<Arch> flash[block_tiles];
  decode_tile<Arch> decode[block_heads];
  wide_tile wide;             ///< for rows that are not stored as floats
  softmax_state<Arch> state;  ///< [tile rows]
  std::uint64_t* word;        ///< [tile_keys]
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
  /// Of a block of tiles.
  static constexpr index block_rows =
      max_of(tile_shape<Arch>::rows * block_tiles, decode_rows* block_heads);

  /// For a call within `bounds` whose rows have these sizes.
  static worker_scratch carve(carver& memory, attend_bounds const& bounds, index head_dim,
                              index v_dim) noexcept {
    worker_scratch own;
    auto* const scores = memory.take<float>(tile_keys * tile_rows);
    carver again = memory;  // a worker uses one kernel at a time: both lie in the same bytes
    for (auto& t : own.flash) t = flash_tile<Arch>::carve(memory, head_dim, v_dim, scores);
    own.wide = wide_tile::carve(memory, bounds.coded ? tile_keys : 0, head_dim, v_dim);
    auto const shared =
        decode_tile<Arch>::carve_shared(again, bounds.coded, head_dim, v_dim, scores);
    for (auto& t : own.decode) t = decode_tile<Arch>::carve(again, head_dim, v_dim, shared);
    memory.skip(again);
    own.state = softmax_state<Arch>::carve(memory, tile_rows, v_dim);
    own.word = memory.take<std::uint64_t>(tile_keys);
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

/// Parts per worker that no row tile should exceed: a larger one is cut into its leaves.
inline constexpr index parts_per_worker = 4;

/// Bytes of one leaf's state of `rows` rows.
template <class Arch>
index state_bytes(index rows, index v_dim) noexcept {
  carver state;
  softmax_state<Arch>::carve(state, rows, v_dim);
  return state.used();
}

/// Leaves that `keys` keys touch at most, in two stretches (sinks and a window).
ORIEL_INLINE constexpr index leaves_within(index keys) noexcept { return keys / leaf_keys + 4; }

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
  if (bounds.chosen_blocks < 0 || bounds.chosen_blocks > max_chosen) {
    return refuse({errc::shape, "bounds: chosen_blocks must be at least 0 and at most 1024"});
  }
  if (bounds.sequences < 0 || bounds.q_len < 0 || bounds.kv_len < 0) {
    return refuse({errc::shape, "bounds: sequences, q_len and kv_len must not be negative"});
  }
  constexpr index most = index{1} << 40;
  if (max_of(max_of(bounds.head_dim, bounds.value_dim()), bounds.q_heads) > most ||
      max_of(bounds.q_len, bounds.kv_len) >= max_position) {
    return refuse({errc::shape, "bounds: heads and dims must not exceed 2^40, lengths 2^60"});
  }
  carver worker;
  worker_scratch<Arch>::carve(worker, bounds, bounds.head_dim, bounds.value_dim());
  plan.worker_bytes = worker.used();
  if (workers > 1) {
    // Only tiles above a fair share of the work are cut into leaves: fewer than there are shares.
    index const most_split = detail::parts_per_worker * workers - 1;
    index const rows = saturating_mul(bounds.q_len, heads.group());
    index const sequences = min_of(bounds.sequences, rows);
    auto const bytes = [&](index tile_rows) {
      index const tiles = (rows - sequences) / tile_rows + sequences;
      index const split = min_of(saturating_mul(tiles, heads.kv_heads), most_split);
      return saturating_mul(saturating_mul(split, detail::leaves_within(bounds.kv_len)),
                            detail::state_bytes<Arch>(tile_rows, bounds.value_dim()));
    };
    plan.leaf_bytes = bytes(decode_rows);
    if (rows > 0) plan.leaf_bytes = max_of(plan.leaf_bytes, bytes(plan.tile_rows));
  }
  if (plan.workspace_bytes() == INT64_MAX) {
    return refuse({errc::shape, "bounds: the workspace would exceed the address space"});
  }
  return plan;
}

/// ok, or why `batch` can't be run under `plan` in `memory` (errc::plan, errc::workspace,
/// errc::memory, errc::alignment, errc::alias), or what check(batch) says.
template <class Arch = default_arch>
status check(attend_plan const& plan, attention_batch const& batch, workspace memory) noexcept {
  if (status s = plan.check(); !s.ok()) return s;
  if (status s = check<Arch>(batch); !s.ok()) return s;
  if (plan.tile_rows != tile_shape<Arch>::rows) {
    return {errc::plan, "plan: made for another instruction set"};
  }
  attend_bounds const need = bounds_of(batch);
  if (need.sequences > plan.bounds.sequences) {
    return {errc::plan, "plan: more sequences than bounds.sequences"};
  }
  if (need.q_len > plan.bounds.q_len) return {errc::plan, "plan: q.tokens exceed bounds.q_len"};
  if (need.kv_len > plan.bounds.kv_len) return {errc::plan, "plan: keys exceed bounds.kv_len"};
  if (batch.size() > 0 &&
      (need.q_heads != plan.bounds.q_heads || need.kv_heads != plan.bounds.kv_heads)) {
    return {errc::plan, "plan: heads differ from those of its bounds"};
  }
  if (need.chosen_blocks > plan.bounds.chosen_blocks) {
    return {errc::plan, "plan: a selector chooses more blocks than bounds.chosen_blocks"};
  }
  if (need.coded && !plan.bounds.coded) {
    return {errc::plan, "plan: keys or values are not floats, but bounds.coded is not set"};
  }
  if (need.narrow_q && !plan.bounds.narrow_q) {
    return {errc::plan, "plan: queries are not floats, but bounds.narrow_q is not set"};
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
  for (index i = 0; i < batch.size(); ++i) {
    bool meets = detail::reads(batch[i], scratch);
    for (output_view const& output : detail::outputs(batch[i])) {
      meets = meets || scratch.meets(footprint(output));
    }
    if (meets) return {errc::alias, "workspace must not overlap inputs or outputs", i};
  }
  return {};
}

}  // namespace oriel::inline v0
