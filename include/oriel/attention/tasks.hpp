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

/// Absorbs `keys`, those of the key tile beginning at `begin` that a row tile reaches. Hidden tiles
/// are never loaded, fully visible ones never masked.
template <class Kernel>
void absorb_tile(Kernel& kernel, attention const& call, index head, row_tile const& rows,
                 range keys, index begin, std::uint64_t* word) noexcept {
  coverage const seen = call.mask.cover(rows.queries(), keys);
  if (seen == coverage::none) return;
  bool const partial = seen == coverage::some;
  if (partial) call.mask.visible_rows(rows, keys, word);
  std::uint64_t const* const visible = partial ? word : nullptr;
  range const places{keys.begin - begin, keys.end - begin};
  for_each_run(call.kv, head, keys, visible,
               [&](kv_run const& run) { kernel.score(run, run.first - begin, rows.count); });
  if (partial) kernel.hide(word, places, rows.count);
  kernel.absorb(places, rows.count);
  for_each_run(call.kv, head, keys, visible,
               [&](kv_run const& run) { kernel.accumulate(run, run.first - begin, rows.count); });
}

/// Rows [first, first + count) of a kv head, all tokens and heads of its group packed.
ORIEL_INLINE row_tile rows_of(attention const& call, index first, index count) noexcept {
  index const group = call.heads().group();
  index const left = call.q.tokens * group - first;
  return {first, static_cast<int>(min_of(count, left)), group, call.queries().begin};
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

/// The keys that the rows of a tile reach in the source.
ORIEL_INLINE key_ranges reach_of(attention const& call, row_tile const& rows) noexcept {
  return intersect(call.mask.reach(rows.queries()), key_ranges(call.kv.positions()));
}

template <class Arch>
void write_rows(attention const& call, index head, row_tile const& rows,
                softmax_state<Arch> const& state) noexcept {
  for_each_row(call, head, rows, [&](index token, index q_head, int r) {
    state.write_out(r, call.out.row(token, q_head));
    if (call.lse.data != nullptr) *call.lse.row(token, q_head) = state.lse(r);
  });
}

/// One block of row tiles over the leaves [leaves.begin, leaves.end): their states, merged from
/// left to right into `total` [block rows]. The tiles take turns at each key tile.
template <class Arch, class Kernel, std::size_t Tiles>
void attend_block(Kernel (&kernels)[Tiles], worker_scratch<Arch> const& scratch,
                  attention const& call, partition const& p, index head, index first_row,
                  range leaves, softmax_state<Arch> const& total) noexcept {
  index const all = rows_of(call, first_row, p.block_rows).count;
  int const tiles = static_cast<int>(ceil_div(all, p.tile_rows));
  row_tile rows[Tiles];
  key_ranges reach[Tiles];
  // Scores in base 2: exp(scale * s) = 2^(scale * log2(e) * s).
  auto const scale = static_cast<float>(static_cast<double>(call.used_scale()) * log2_e);
  for (int i = 0; i < tiles; ++i) {
    rows[i] = rows_of(call, first_row + i * p.tile_rows, p.tile_rows);
    reach[i] = reach_of(call, rows[i]);
    for_each_row(call, head, rows[i], [&](index token, index q_head, int r) {
      scratch.q[r] = call.q.row(token, q_head);
    });
    kernels[i].load_queries(scratch.q, rows[i].count, scale);
  }
  total.reset(all);
  key_ranges const any = reach_of(call, rows_of(call, first_row, p.block_rows));
  for (index leaf = leaves.begin; leaf < leaves.end; ++leaf) {
    range const span = intersect(any.hull(), {leaf * leaf_keys, (leaf + 1) * leaf_keys});
    if (span.empty()) continue;
    for (int i = 0; i < tiles; ++i) kernels[i].begin_leaf(rows[i].count);
    for (index at = round_down(span.begin, tile_keys); at < span.end; at += tile_keys) {
      for (int i = 0; i < tiles; ++i) {
        range const keys = intersect(reach[i], key_ranges(range{at, at + tile_keys})).hull();
        if (keys.empty()) continue;
        // Where the next tile begins, for those who wait for memory.
        index const ahead = at + tile_keys;
        kernels[i].expect(ahead < span.end ? call.kv.run_at(head, ahead) : kv_run{});
        absorb_tile(kernels[i], call, head, rows[i], keys, at, scratch.word);
      }
    }
    for (int i = 0; i < tiles; ++i) {
      kernels[i].end_leaf(scratch.leaf, rows[i].count);
      total.from(i * p.tile_rows).merge(scratch.leaf, rows[i].count);
    }
  }
}

}  // namespace detail

/// Tasks of a checked call in a phase; they are independent of one another and of any size.
template <class Arch = default_arch>
index tasks(attend_plan const& plan, attention const& call, phase of) noexcept {
  detail::partition const p = detail::cut<Arch>(plan, call);
  index const blocks = p.blocks * call.heads().kv_heads;
  if (of == phase::merge) return p.split ? blocks : 0;
  return p.split ? blocks * p.leaves : blocks;
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
  auto const leaf_state = [&](index block, index leaf) {
    index const size = detail::state_bytes<Arch>(p.block_rows, shape.value_dim());
    carver at(base + plan.workers * plan.worker_bytes + (block * p.leaves + leaf) * size);
    return softmax_state<Arch>::carve(at, p.block_rows, shape.value_dim());
  };

  bool const by_leaf = p.split && of == phase::attend;
  index const leaf = by_leaf ? task % p.leaves : 0;
  index const block = by_leaf ? task / p.leaves : task;  // over all kv heads
  index const head = block / p.blocks;
  // Late rows see the most keys under a causal mask: they go first, so that no worker ends late.
  index const first_row = (p.blocks - 1 - block % p.blocks) * p.block_rows;
  row_tile const rows = detail::rows_of(call, first_row, p.block_rows);

  if (of == phase::merge) {
    scratch.total.reset(rows.count);
    for (index i = 0; i < p.leaves; ++i) scratch.total.merge(leaf_state(block, i), rows.count);
    detail::write_rows(call, head, rows, scratch.total);
    return;
  }
  range const leaves = by_leaf ? range{p.first_leaf + leaf, p.first_leaf + leaf + 1}
                               : range{p.first_leaf, p.first_leaf + p.leaves};
  auto const total = by_leaf ? leaf_state(block, leaf) : scratch.total;
  if (p.decode) {
    detail::attend_block(scratch.decode, scratch, call, p, head, first_row, leaves, total);
  } else {
    detail::attend_block(scratch.flash, scratch, call, p, head, first_row, leaves, total);
  }
  if (!by_leaf) detail::write_rows(call, head, rows, total);
}

}  // namespace oriel::inline v0
