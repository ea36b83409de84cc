// SPDX-License-Identifier: BSL-1.0
// One block of tiles over its keys: where masks and sources meet the kernels.
#pragma once

#include "oriel/attention/partition.hpp"

namespace oriel::inline v0::detail {

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
  if (call.score) {
    score_tile tile = kernel.scores(places.begin);
    tile.rows = rows;
    tile.first_head = call.heads().first_q_head(head);
    tile.keys = keys;
    call.score.apply(tile);
  }
  if (partial) kernel.hide(word, places, rows.count);
  kernel.absorb(places, rows.count);
  for_each_run(call.kv, head, keys, visible,
               [&](kv_run const& run) { kernel.accumulate(run, run.first - begin, rows.count); });
}

/// Calls f(token, q_head, row) for each row of a tile of kv head `head`.
template <class F>
ORIEL_INLINE void for_each_row(attention const& call, index head, row_tile const& rows,
                               F&& f) noexcept {
  index const first_head = call.heads().first_q_head(head);
  for (int r = 0; r < rows.count; ++r) {
    f(rows.token(r), first_head + rows.head(r), r);
  }
}

template <class Arch>
void write_rows(attention const& call, index head, row_tile const& rows,
                softmax_state<Arch> const& state) noexcept {
  for_each_row(call, head, rows, [&](index token, index q_head, int r) {
    if (call.lse.data != nullptr) *call.lse.row(token, q_head) = state.lse(r);
    if (!call.sink_logits.empty()) {
      state.add_sink(r, call.sink_logits[static_cast<std::size_t>(q_head)]);
    }
    state.write_out(r, call.out.row(token, q_head));
    if (call.lse_sink.data != nullptr) *call.lse_sink.row(token, q_head) = state.lse(r);
  });
}

/// The first key tile at `from`, a multiple of tile_keys, or behind it that holds any of `keys`, or
/// INT64_MAX.
ORIEL_INLINE index next_tile(key_ranges const& keys, index from) noexcept {
  for (range const part : keys) {
    if (part.end > from) return max_of(from, round_down(part.begin, tile_keys));
  }
  return INT64_MAX;
}

/// What tile `i` of a block may ask the memory for while it absorbs the key tile `keys`: the decode
/// kernel the keys that are scored next, a row tile its part of the next key tile.
ORIEL_INLINE kv_run run_ahead(attention const& call, block const& b, int i, range keys,
                              key_ranges const& reach) noexcept {
  bool const next_head = b.cut.decode && i + 1 < b.count;
  index const tile = next_head ? keys.begin : next_tile(reach, keys.end);
  if (tile == INT64_MAX) return {};
  range const wanted = intersect(reach, key_ranges({tile, tile + tile_keys})).hull();
  kv_run run = call.kv.run_at(b.head(next_head ? i + 1 : b.cut.decode ? 0 : i), wanted.begin);
  run.rows = min_of(run.rows, wanted.size());
  if (b.cut.decode) return run;
  index const part = ceil_div(run.rows, b.count);
  index const skipped = min_of(i * part, run.rows);
  run = run.from(skipped);
  run.rows = min_of(run.rows, part);
  return run;
}

/// A block over the leaves `leaves`, each merged into its tile's total from left to right. The
/// result goes to `split`, the state of a block's leaf, or is written where there is none.
template <class Arch, class Kernel>
void attend_tiles(Kernel* kernels, worker_scratch<Arch> const& scratch, attention const& call,
                  block const& b, key_ranges const& leaves,
                  softmax_state<Arch> const* split) noexcept {
  constexpr int most = block_tiles > block_heads ? block_tiles : block_heads;
  row_tile rows[most];
  key_ranges reach[most];
  key_ranges any;  // that any of the tiles reaches
  // Scores in base 2: exp(scale * s) = 2^(scale * log2(e) * s). A functor takes natural units.
  double const base = call.score ? 1.0 : log2_e;
  auto const scale = static_cast<float>(static_cast<double>(call.used_scale()) * base);
  for (int i = 0; i < b.count; ++i) {
    rows[i] = b.rows(call, i);
    reach[i] = reach_of(call, rows[i]);
    any = unite(any, reach[i]);
    for_each_row(call, b.head(i), rows[i], [&](index token, index q_head, int r) {
      scratch.q[r] = call.q.row(token, q_head);
    });
    kernels[i].begin(scratch.q, rows[i].count, scale);
  }
  for (index leaf = 0; leaf < leaves.size(); ++leaf) {
    index const begin = leaves.nth(leaf) * leaf_keys;
    index const end = begin + leaf_keys;
    index at = next_tile(any, begin);
    if (at >= end) continue;
    for (int i = 0; i < b.count; ++i) kernels[i].begin_leaf(rows[i].count);
    for (; at < end; at = next_tile(any, at + tile_keys)) {
      for (int i = 0; i < b.count; ++i) {
        range const tile{at, at + tile_keys};
        range const keys = intersect(reach[i], key_ranges(tile)).hull();
        if (keys.empty()) continue;
        kernels[i].expect(run_ahead(call, b, i, tile, any));
        absorb_tile(kernels[i], call, b.head(i), rows[i], keys, at, scratch.word);
      }
    }
    for (int i = 0; i < b.count; ++i) kernels[i].end_leaf(rows[i].count);
  }
  for (int i = 0; i < b.count; ++i) {
    softmax_state<Arch> const& state = split != nullptr ? *split : scratch.state;
    kernels[i].end(state, rows[i].count);
    if (split == nullptr) write_rows(call, b.head(i), rows[i], state);
  }
}

/// The same with the kernel that the block takes.
template <class Arch>
void attend_block(worker_scratch<Arch>& scratch, attention const& call, block const& b,
                  key_ranges const& leaves, softmax_state<Arch> const* split = nullptr) noexcept {
  if (b.cut.decode) {
    attend_tiles(scratch.decode, scratch, call, b, leaves, split);
  } else {
    attend_tiles(scratch.flash, scratch, call, b, leaves, split);
  }
}

}  // namespace oriel::inline v0::detail
