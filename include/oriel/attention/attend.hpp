// SPDX-License-Identifier: BSL-1.0
// The entry point.
#pragma once

#include <concepts>

#include "oriel/attention/tasks.hpp"

namespace oriel::inline v0 {

/// Runs tasks: `run(n, f)` calls f(task, worker) once for every task < n, from at most workers()
/// threads with different worker numbers below workers(), and returns when all have ended. It must
/// not throw, as attend is noexcept. Where the caller of run() only waits for other threads, attend
/// must not be called from one of those: it would wait for itself.
// clang-format off
template <class E>
concept executor = requires(E& e, index n, void (*f)(index, index)) {
  { e.workers() } noexcept -> std::convertible_to<index>;
  e.run(n, f);
};
// clang-format on

/// The calling thread.
struct serial {
  ORIEL_INLINE constexpr index workers() const noexcept { return 1; }
  template <class F>
  ORIEL_INLINE void run(index tasks, F&& f) const noexcept {
    for (index i = 0; i < tasks; ++i) f(i, index{0});
  }
};

/// Computes a call, of one sequence or a batch, under a plan that was made before.
///
/// Requires   what check(plan, batch, memory) lists, and on.workers() <= plan.workers (errc::plan).
///            On error nothing has been written.
/// No key     a row that sees no key gets out = 0 and lse = -inf.
/// Accuracy   fp32 throughout, sums restarted every 1024 keys: on unit-normal data of 4096 keys the
///            error against double is about 1e-6 of the largest output.
/// Same bits  for any executor, any other sequence in the batch and any place of the keys
///            (contiguous, ring at any phase, joined). 8 rows or fewer (q_len * group) take the
///            decode kernel, more the row-lane kernel; within each, a query's result does not
///            depend on the others. So any cut of a prompt into pieces of at least cut_tokens (9)
///            gives the same bits, and any cut at all with kernel_choice::row_lanes. Not so with a
///            selector over a ring that has overwritten rows: which blocks there are to choose from
///            depends on what it holds when a piece is attended.
/// Cost       2 * (head_dim + v_dim) flops per visible (query head, key) pair; each visible K and V
///            row is read once per tile of query rows; writes out, lse and the workspace only.
/// Source     Dao 2023 (FlashAttention-2), arXiv:2307.08691; sums: Milakov & Gimelshein 2018,
///            arXiv:1805.02867.
template <class Arch = default_arch, executor Executor = serial const>
status attend(attend_plan const& plan, attention_batch const& batch, workspace memory,
              Executor&& on = Executor{}) noexcept {
  if (status s = check<Arch>(plan, batch, memory); !s.ok()) return s;
  if (on.workers() > plan.workers) {
    return {errc::plan, "plan: made for fewer workers than the executor has"};
  }
  for (phase const part : phases) {
    index const count = tasks<Arch>(plan, batch, part);
    if (count == 0) continue;
    on.run(count, [&](index task, index worker) noexcept {
      run_task<Arch>(plan, batch, part, task, worker, memory);
    });
  }
  return {};
}

template <class Arch = default_arch, executor Executor = serial const>
status attend(attend_plan const& plan, attention const& call, workspace memory,
              Executor&& on = Executor{}) noexcept {
  return attend<Arch>(plan, attention_batch(call), memory, on);
}

/// The same with a plan for this one call: needs workspace_bytes(batch, on.workers()) bytes. The
/// checks run twice (over pages: O(pages)), so a loop over tokens should keep a plan.
template <class Arch = default_arch, executor Executor = serial const>
status attend(attention_batch const& batch, workspace memory, Executor&& on = Executor{}) noexcept {
  if (status s = check<Arch>(batch); !s.ok()) return s;
  return attend<Arch>(plan_attend<Arch>(bounds_of(batch), on.workers()), batch, memory, on);
}
template <class Arch = default_arch, executor Executor = serial const>
status attend(attention const& call, workspace memory, Executor&& on = Executor{}) noexcept {
  return attend<Arch>(attention_batch(call), memory, on);
}

}  // namespace oriel::inline v0
