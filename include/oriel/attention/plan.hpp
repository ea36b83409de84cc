// SPDX-License-Identifier: BSL-1.0
// Bytes before they are allocated.
#pragma once

#include "oriel/attention/worker_scratch.hpp"

namespace oriel::inline v0 {

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

/// Shares per worker, which no row tile should exceed: a larger one is cut into its leaves.
inline constexpr index shares_per_worker = 4;

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
/// are invalid, or need more than the address space (errc::heads, errc::shape), and of workers
/// outside of [1, 65536] (errc::plan).
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
  detail::worker_scratch<Arch>::carve(worker, bounds, bounds.head_dim, bounds.value_dim());
  plan.worker_bytes = worker.used();
  if (workers > 1) {
    // Only tiles above a fair share of the work are cut into leaves: fewer than there are shares.
    index const most_split = detail::shares_per_worker * workers - 1;
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

/// Bytes of workspace that attend(batch, memory, on) needs on up to `workers` workers: those of a
/// plan for this batch alone; 0 for sizes that no plan takes, INT64_MAX where they overflow.
template <class Arch = default_arch>
index workspace_bytes(attention_batch const& batch, index workers = 1) noexcept {
  return plan_attend<Arch>(bounds_of(batch), workers).workspace_bytes();
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
