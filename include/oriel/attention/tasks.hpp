// SPDX-License-Identifier: BSL-1.0
// A call as independent tasks, for an engine's own workers.
#pragma once

#include "oriel/attention/plan.hpp"

namespace oriel::inline v0 {

namespace detail {

/// Calls f(run) for every run of the keys in `keys` that some row of the tile sees. `word` is null
/// where every row sees every key.
template <class F>
ORIEL_INLINE void for_each_run(any_source const& kv, index head, range keys,
                               std::uint64_t const* word, F&& f) noexcept {
  index at = keys.begin;
  while (at < keys.end) {
    index end = keys.end;
    if (word != nullptr) {
      while (at < keys.end && word[at - keys.begin] == 0) ++at;
      end = at;
      while (end < keys.end && word[end - keys.begin] != 0) ++end;
    }
    while (at < end) {
      kv_run run = kv.run_at(head, at);
      run.rows = min_of(run.rows, end - at);
      f(run);
      at += run.rows;
    }
  }
}

/// Absorbs the keys of one leaf that a row tile reaches, tile by tile of absolute position. Hidden
/// tiles are never loaded, fully visible ones never masked.
template <class Kernel>
void absorb_leaf(Kernel& kernel, attention const& call, index head, row_tile const& rows,
                 key_ranges const& reach, range leaf, std::uint64_t* word) noexcept {
  range const span = intersect(reach.hull(), leaf);
  for (index begin = round_down(span.begin, tile_keys); begin < span.end; begin += tile_keys) {
    range const keys = intersect(reach, key_ranges(range{begin, begin + tile_keys})).hull();
    if (keys.empty()) continue;
    coverage const seen = call.mask.cover(rows.queries(), keys);
    if (seen == coverage::none) continue;
    bool const partial = seen == coverage::some;
    if (partial) call.mask.visible_rows(rows, keys, word);
    std::uint64_t const* const visible = partial ? word : nullptr;
    range const places{keys.begin - begin, keys.end - begin};
    for_each_run(call.kv, head, keys, visible,
                 [&](kv_run const& run) { kernel.score(run, run.first - begin, rows.count); });
    if (partial) kernel.hide(word, places, rows.count);
    kernel.absorb(places, rows.count);
    // Where the next tile begins, for those who wait for memory.
    index const ahead = begin + tile_keys;
    kernel.expect(ahead < span.end ? call.kv.run_at(head, ahead) : kv_run{});
    for_each_run(call.kv, head, keys, visible,
                 [&](kv_run const& run) { kernel.accumulate(run, run.first - begin, rows.count); });
  }
}

/// Rows of tile `tile` of a call.
ORIEL_INLINE row_tile rows_of(attention const& call, partition const& p, index tile) noexcept {
  index const group = call.heads().group();
  index const first = tile * p.tile_rows;
  index const count = min_of(p.tile_rows, call.q.tokens * group - first);
  return {first, static_cast<int>(count), group, call.queries().begin};
}

/// Calls f(token, q_head, row) for each row of a tile of kv head `head`.
template <class F>
ORIEL_INLINE void for_each_row(attention const& call, index head, row_tile const& rows,
                               F&& f) noexcept {
  index const first_head = call.heads().first_q_head(head);
  for (int r = 0; r < rows.count; ++r) {
    index const packed = rows.first + r;
    f(packed / rows.group, first_head + packed % rows.group, r);
  }
}

template <class Arch>
void write_rows(attention const& call, index head, row_tile const& rows,
                softmax_state<Arch> const& state) noexcept {
  for_each_row(call, head, rows, [&](index token, index q_head, int r) {
    state.write_out(r, call.out.row(token, q_head));
    if (call.lse.data != nullptr) *call.lse.row(token, q_head) = state.lse(r);
  });
}

/// One row tile over the leaves [leaves.begin, leaves.end): their states, merged from left to
/// right.
template <class Arch, class Kernel>
void attend_tile(Kernel& kernel, worker_scratch<Arch> const& scratch, attention const& call,
                 index head, row_tile const& rows, range leaves,
                 softmax_state<Arch> const& total) noexcept {
  for_each_row(call, head, rows,
               [&](index token, index q_head, int r) { scratch.q[r] = call.q.row(token, q_head); });
  // Scores in base 2: exp(scale * s) = 2^(scale * log2(e) * s).
  auto const scale = static_cast<float>(static_cast<double>(call.used_scale()) * log2_e);
  kernel.load_queries(scratch.q, rows.count, scale);
  key_ranges const reach =
      intersect(call.mask.reach(rows.queries()), key_ranges(call.kv.positions()));
  total.reset(rows.count);
  for (index leaf = leaves.begin; leaf < leaves.end; ++leaf) {
    range const keys{leaf * leaf_keys, (leaf + 1) * leaf_keys};
    if (intersect(reach, key_ranges(keys)).empty()) continue;
    kernel.begin_leaf(rows.count);
    absorb_leaf(kernel, call, head, rows, reach, keys, scratch.word);
    kernel.end_leaf(scratch.leaf, rows.count);
    total.merge(scratch.leaf, rows.count);
  }
}

}  // namespace detail

/// Tasks of a checked call in a phase; they are independent of one another and of any size.
template <class Arch = default_arch>
index tasks(attend_plan const& plan, attention const& call, phase of) noexcept {
  detail::partition const p = detail::cut<Arch>(plan, call);
  index const tiles = p.row_tiles * call.heads().kv_heads;
  if (of == phase::merge) return p.split ? tiles : 0;
  return p.split ? tiles * p.leaves : tiles;
}

/// Runs task `task` of tasks(plan, call, of) as worker `worker` < plan.workers.
///
/// Requires  check(plan, call, memory) is ok; no two running tasks share a worker number; all tasks
///           of phase::attend have ended before the first of phase::merge begins.
/// Cost      O(1) to find its part; no allocation. The partition changes no bit of any output.
template <class Arch = default_arch>
void run_task(attend_plan const& plan, attention const& call, phase of, index task, index worker,
              workspace memory) noexcept {
  detail::partition const p = detail::cut<Arch>(plan, call);
  std::byte* const base = memory.bytes.data();
  carver own(base + worker * plan.worker_bytes);
  attend_bounds const shape = bounds_of(call);
  auto scratch = worker_scratch<Arch>::carve(own, shape.head_dim, shape.value_dim());
  auto const leaf_state = [&](index tile, index leaf) {
    index const place = tile * p.leaves + leaf;
    carver at(base + plan.workers * plan.worker_bytes + place * plan.state_bytes);
    return softmax_state<Arch>::carve(at, worker_scratch<Arch>::rows, shape.value_dim());
  };

  bool const by_leaf = p.split && of == phase::attend;
  index const leaf = by_leaf ? task % p.leaves : 0;
  index const tile = by_leaf ? task / p.leaves : task;  // over all kv heads
  index const head = tile / p.row_tiles;
  // Late rows see the most keys under a causal mask: they go first, so that no worker ends late.
  row_tile const rows = detail::rows_of(call, p, p.row_tiles - 1 - tile % p.row_tiles);

  if (of == phase::merge) {
    scratch.total.reset(rows.count);
    for (index i = 0; i < p.leaves; ++i) scratch.total.merge(leaf_state(tile, i), rows.count);
    detail::write_rows(call, head, rows, scratch.total);
    return;
  }
  range const leaves = by_leaf ? range{p.first_leaf + leaf, p.first_leaf + leaf + 1}
                               : range{p.first_leaf, p.first_leaf + p.leaves};
  auto const total = by_leaf ? leaf_state(tile, leaf) : scratch.total;
  if (p.decode) {
    detail::attend_tile(scratch.decode, scratch, call, head, rows, leaves, total);
  } else {
    detail::attend_tile(scratch.flash, scratch, call, head, rows, leaves, total);
  }
  if (!by_leaf) detail::write_rows(call, head, rows, total);
}

}  // namespace oriel::inline v0
