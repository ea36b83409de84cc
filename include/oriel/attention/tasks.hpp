// SPDX-License-Identifier: BSL-1.0
// A call as independent tasks, for an engine's own workers.
#pragma once

#include "oriel/attention/attend_item.hpp"

namespace oriel::inline v0 {

/// The two phases of a call, in order; between them every task of the first must have ended.
enum class phase { attend, merge };
inline constexpr phase phases[] = {phase::attend, phase::merge};

namespace detail {

/// Where the states of items that are cut into leaves lie in the workspace.
template <class Arch>
class leaf_states {
 public:
  ORIEL_INLINE leaf_states(attend_plan const& plan, attention_batch const& batch,
                           workspace memory) noexcept
      : base_(memory.bytes.data() + plan.workers * plan.worker_bytes),
        leaves_(leaves_within(plan.bounds.kv_len)),
        v_dim_(batch[0].kv.shape().v_dim) {
    for (attention const& call : batch) {
      rows_ = max_of(rows_, cut_rows<Arch>(call).tile_rows);
    }
  }

  ORIEL_INLINE softmax_state<Arch> at(index split, index leaf) const noexcept {
    carver memory(base_ + (split * leaves_ + leaf) * state_bytes<Arch>(rows_, v_dim_));
    return softmax_state<Arch>::carve(memory, rows_, v_dim_);
  }

 private:
  std::byte* base_;
  index leaves_;
  index v_dim_;
  index rows_ = 1;
};

/// Task `task` of phase::attend: what begins within its part of the total.
template <class Arch>
void attend_part(partition const& p, attention_batch const& batch, leaf_states<Arch> const& states,
                 worker_scratch<Arch>& scratch, index task) noexcept {
  auto const part = [&](index i) { return p.total / p.tasks * i + min_of(i, p.total % p.tasks); };
  range const own{part(task), part(task + 1)};
  for (item_walk<Arch> walk(batch, p.share); walk.next();) {
    work_item const& item = walk.at();
    if (item.begin >= own.end) return;
    if (item.split < 0) {
      if (own.contains(item.begin)) attend_item<Arch>(scratch, walk.call(), item, item.leaves);
      continue;
    }
    index const leaves = item.leaves.size();
    for (index i = 0; i < leaves; ++i) {
      if (!own.contains(item.begin + item.cost / leaves * i)) continue;
      softmax_state<Arch> const state = states.at(item.split, i);
      range const leaf{item.leaves.nth(i), item.leaves.nth(i) + 1};
      attend_item<Arch>(scratch, walk.call(), item, leaf, &state);
    }
  }
}

/// Task `task` of phase::merge: the item of that number among those that were cut into leaves.
template <class Arch>
void merge_split(partition const& p, attention_batch const& batch, leaf_states<Arch> const& states,
                 worker_scratch<Arch>& scratch, index task) noexcept {
  for (item_walk<Arch> walk(batch, p.share); walk.next();) {
    work_item const& item = walk.at();
    if (item.split != task) continue;
    row_tile const rows = item.rows(walk.call(), 0);
    scratch.state.reset(rows.count);
    for (index i = 0; i < item.leaves.size(); ++i) {
      scratch.state.merge(states.at(task, i), rows.count);
    }
    return write_rows(walk.call(), item.head(0), rows, scratch.state);
  }
}

}  // namespace detail

/// Tasks of a checked call in a phase; they are independent of one another.
/// Cost O(sequences + row tiles).
template <class Arch = default_arch>
index tasks(attend_plan const& plan, attention_batch const& batch, phase of) noexcept {
  detail::partition const p = detail::cut<Arch>(plan, batch);
  if (of == phase::attend) return p.tasks;
  index splits = 0;
  if (plan.workers == 1) return splits;
  for (detail::item_walk<Arch> walk(batch, p.share); walk.next();) {
    if (walk.at().split >= 0) ++splits;
  }
  return splits;
}

/// Runs task `task` of tasks(plan, batch, of) as worker `worker` < plan.workers.
///
/// Requires  check(plan, batch, memory) is ok; no two running tasks share a worker number; all
///           tasks of phase::attend have ended before the first of phase::merge begins.
/// Cost      tasks of phase::attend are about equal; O(sequences + row tiles) to find its part; no
///           allocation. The partition changes no bit of any output.
template <class Arch = default_arch>
void run_task(attend_plan const& plan, attention_batch const& batch, phase of, index task,
              index worker, workspace memory) noexcept {
  detail::partition const p = detail::cut<Arch>(plan, batch);
  if (p.tasks == 0) return;
  carver own(memory.bytes.data() + worker * plan.worker_bytes);
  kv_shape const shape = batch[0].kv.shape();
  auto scratch = detail::worker_scratch<Arch>::carve(own, plan.bounds, shape.head_dim, shape.v_dim);
  detail::leaf_states<Arch> const states(plan, batch, memory);
  if (of == phase::attend) {
    detail::attend_part(p, batch, states, scratch, task);
  } else {
    detail::merge_split(p, batch, states, scratch, task);
  }
}

}  // namespace oriel::inline v0
