// SPDX-License-Identifier: BSL-1.0
// One block of tiles over its keys: where masks and sources meet the kernels.
#pragma once

#include "oriel/attention/chosen_tile.hpp"
#include "oriel/attention/partition.hpp"
#include "oriel/attention/tile_runs.hpp"

namespace oriel::inline v0::detail {

/// Absorbs `keys`, those of the key tile beginning at `begin` that a row tile reaches; of rows that
/// choose, in the blocks of their choice. Hidden tiles are never loaded, fully visible ones never
/// masked. The kernel gets rows as they are stored, or through `wide`, if not null, as floats.
template <class Kernel>
void absorb_tile(Kernel& kernel, attention const& call, index head, row_tile const& rows,
                 chosen_tile* chosen, key_order const& order, range keys, index begin,
                 std::uint64_t* word, wide_tile* wide) noexcept {
  coverage seen = call.mask.cover(rows.queries(), keys);
  if (seen == coverage::none) return;
  if (seen == coverage::some) call.mask.visible_rows(rows, keys, word);
  if (chosen != nullptr) seen = chosen->hide_others(call, rows, keys, seen, word);
  if (seen == coverage::none) return;
  bool const partial = seen == coverage::some;
  std::uint64_t const* const visible = partial ? word : nullptr;
  range const places{keys.begin - begin, keys.end - begin};
  auto const each_run = [&](auto&& f)
                            ORIEL_INLINE_LAMBDA { for_each_run(call.kv, head, keys, visible, f); };
  auto const read_each = [&](stored_rows kv_run::*of, auto&& f) ORIEL_INLINE_LAMBDA {
    each_run([&](kv_run const& run) ORIEL_INLINE_LAMBDA {
      if constexpr (requires { kernel.wants(run.*of); }) {
        if (kernel.wants_streams()) {
          return in_streams<typename Kernel::fetch>(call.kv, order, run, of, f);
        }
        in_parts(call.kv, order, run, of, kernel.wants(run.*of), f);
      } else {
        f(run);
      }
    });
  };
  read_each(&kv_run::k, [&](kv_run const& run) {
    kernel.score(wide != nullptr ? wide->keys(run) : run, run.first - begin, rows.count);
  });
  if (call.score) {
    score_tile tile = kernel.scores(places.begin);
    tile.rows = rows;
    tile.first_head = call.heads().first_q_head(head);
    tile.keys = keys;
    call.score.apply(tile);
  }
  if (partial) kernel.hide(word, places, rows.count);
  kernel.absorb(places, rows.count);
  kernel.begin_values(places, rows.count, [&](auto&& f) ORIEL_INLINE_LAMBDA {
    each_run([&](kv_run const& run) ORIEL_INLINE_LAMBDA { f(run, run.first - begin); });
  });
  read_each(&kv_run::v, [&](kv_run const& run) {
    kernel.accumulate(wide != nullptr ? wide->values(run) : run, run.first - begin, rows.count);
  });
  kernel.end_values(rows.count);
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
    call.out.visit([&](auto const& out)
                       ORIEL_INLINE_LAMBDA { state.write_out(r, out.row(token, q_head)); });
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

/// Row tiles that take turns at each key tile.
struct tile_group {
  static constexpr int most = block_tiles > block_heads ? block_tiles : block_heads;

  bool decode = false;
  int count = 0;
  row_tile rows[most] = {};
  index head[most] = {};  ///< kv head
  key_ranges reach[most] = {};
  chosen_tile* chosen[most] = {};  ///< null for a tile whose rows do not choose
  key_ranges any = {};             ///< that any of the tiles reaches
  range next = {};                 ///< keys that are read after those, if that is known

  ORIEL_INLINE void add(row_tile const& tile, index kv_head, key_ranges const& keys,
                        chosen_tile* choice = nullptr) noexcept {
    rows[count] = tile;
    head[count] = kv_head;
    reach[count] = keys;
    chosen[count] = choice;
    any = unite(any, keys);
    ++count;
  }
};

/// `count` tokens' rows of a call's queries or results, the heads of a group side by side.
template <class Void>
ORIEL_INLINE stored_rows group_rows(element_view<Void> const& of, index token, index head,
                                    index group, index count) noexcept {
  return of.visit([&](auto const& view) ORIEL_INLINE_LAMBDA {
    auto const* const row = view.row(token, head);
    constexpr index size = sizeof(*row);
    // The stride of a single token may be any number.
    return stored_rows{reinterpret_cast<std::byte const*>(row),
                       count > 1 ? view.token_stride * size : 0, group * view.dim * size};
  });
}

/// What row tile `i` of a group may ask for while it absorbs its last keys: as keys, the queries of
/// the tile behind the group that takes its place next, and as values, where its results will go.
ORIEL_INLINE kv_run rows_ahead(attention const& call, tile_group const& g, int i) noexcept {
  row_tile const& own = g.rows[i];
  bool const side_by_side =
      call.q.head_stride == call.q.dim && call.out.head_stride == call.out.dim;
  if (own.list != nullptr || (own.group > 1 && !side_by_side)) return {};
  index const head = call.heads().first_q_head(g.head[i]);
  index const tokens = own.token(own.count - 1) + 1 - own.token(0);
  index const next = min_of(own.token(0) + g.count * tokens, call.q.tokens - tokens);
  return {group_rows(call.q, next, head, own.group, tokens),
          group_rows(call.out, own.token(0), head, own.group, tokens), g.head[i], 0, tokens};
}

/// What row tile `i` of a group may ask the memory for while it absorbs the key tile `keys`: its
/// part of the next key tile.
ORIEL_INLINE kv_run run_ahead(attention const& call, tile_group const& g, int i,
                              range keys) noexcept {
  index const tile = next_tile(g.any, keys.end);
  if (tile == INT64_MAX) return {};
  range const wanted = intersect(g.any, key_ranges({tile, tile + tile_keys})).hull();
  kv_run run = call.kv.run_at(g.head[i], wanted.begin);
  run.rows = min_of(run.rows, wanted.size());
  index const part = ceil_div(run.rows, g.count);
  index const skipped = min_of(i * part, run.rows);
  run = run.from(skipped);
  run.rows = min_of(run.rows, part);
  return run;
}

/// The states of a group over the leaves `leaves`, each merged into its tile's total from left to
/// right, which kernels[i] then holds.
template <class Arch, class Kernel>
void attend_tiles(Kernel* kernels, worker_scratch<Arch>& scratch, attention const& call,
                  tile_group const& g, key_ranges const& leaves) noexcept {
  // The row tiles share keys as floats; the decode kernel reads its own rows.
  wide_tile* const wide = !g.decode && call.kv.shape().coded ? &scratch.wide : nullptr;
  range const held = call.kv.positions();
  key_order const order{.held = held,
                        .lost = call.kv.lost(),
                        .end = g.next.empty() ? held.end : g.any.hull().end,
                        .next = g.next};
  // Scores in base 2: exp(scale * s) = 2^(scale * log2(e) * s). A functor takes natural units.
  double const base = call.score ? 1.0 : log2_e;
  auto const scale = static_cast<float>(static_cast<double>(call.used_scale()) * base);
  for (int i = 0; i < g.count; ++i) {
    for_each_row(call, g.head[i], g.rows[i], [&](index token, index q_head, int r) {
      scratch.q[r] = query_row<Arch>(call.q, token, q_head, scratch.wide_q + r * call.q.dim);
    });
    kernels[i].begin(scratch.q, g.rows[i].count, scale, call.compute == compute_choice::fast);
  }
  for (index leaf = 0; leaf < leaves.size(); ++leaf) {
    index const begin = leaves.nth(leaf) * leaf_keys;
    index const end = begin + leaf_keys;
    index at = next_tile(g.any, begin);
    if (at >= end) continue;
    for (int i = 0; i < g.count; ++i) kernels[i].begin_leaf(g.rows[i].count);
    for (; at < end; at = next_tile(g.any, at + tile_keys)) {
      if (wide != nullptr) wide->begin(at);
      for (int i = 0; i < g.count; ++i) {
        range const tile{at, at + tile_keys};
        range const keys = intersect(g.reach[i], key_ranges(tile)).hull();
        if (keys.empty()) continue;
        if constexpr (requires(kv_run const& next) { kernels[i].expect(next); }) {
          bool const last = next_tile(g.reach[i], tile.end) == INT64_MAX;
          kernels[i].expect(last ? rows_ahead(call, g, i) : run_ahead(call, g, i, tile));
        }
        absorb_tile(kernels[i], call, g.head[i], g.rows[i], g.chosen[i], order, keys, at,
                    scratch.word, wide);
      }
    }
    for (int i = 0; i < g.count; ++i) kernels[i].end_leaf(g.rows[i].count);
  }
}

/// The state of row tile `i` of a group from its kernel, which has attended to `leaves`, in `to`.
/// A value that a row doesn't see has the weight 0 there, which leaves NaN of one that is not
/// finite: such rows attend again, each alone, where nothing is read that it doesn't see. That
/// takes a register of rows for each; not for rows whose l is NaN, as no value enters it.
template <class Arch, class Kernel>
void end_tile(Kernel& kernel, worker_scratch<Arch>& scratch, attention const& call,
              tile_group const& g, int i, key_ranges const& leaves,
              softmax_state<Arch> const& to) noexcept {
  int const count = g.rows[i].count;
  kernel.end(to, count);
  if (count == 1 || to.is_finite(count)) return;
  for (int r = 0; r < count; ++r) {
    softmax_state<Arch> const own = to.from(r);
    if (own.l[0] != own.l[0] || own.is_finite(1)) continue;  // NaN of the row's own
    row_tile const row = g.rows[i].part(r, r + 1, 0);
    key_ranges const reach = intersect(reach_of(call, row), g.reach[i]);
    chosen_tile chosen;
    bool const chooses = g.chosen[i] != nullptr && r >= g.chosen[i]->dense;
    if (chooses) {
      chosen.own = g.chosen[i]->own.from(r);
      chosen.own.next[0] = 0;
    }
    tile_group alone{.decode = g.decode};
    alone.add(row, g.head[i], reach, chooses ? &chosen : nullptr);
    attend_tiles(&kernel, scratch, call, alone, leaves);
    kernel.end(own, 1);
  }
}

/// A block of tiles. The result goes to `split`, the state of a block's leaf, or is written where
/// there is none.
template <class Arch, class Kernel>
void attend_tiled(Kernel* kernels, worker_scratch<Arch>& scratch, attention const& call,
                  block const& b, key_ranges const& leaves,
                  softmax_state<Arch> const* split) noexcept {
  tile_group g{.decode = b.cut.decode};
  chosen_tile chosen[tile_group::most];
  choices left = scratch.chosen_by(call);
  for (int i = 0; i < b.count; ++i) {
    row_tile const rows = b.rows(call, i);
    int const dense = call.select ? rows.count_before(call.select.dense_before()) : rows.count;
    g.add(rows, b.head(i), reach_of(call, rows), dense < rows.count ? &chosen[i] : nullptr);
    if (dense == rows.count) continue;
    chosen[i].own = left;
    chosen[i].dense = dense;
    choose_blocks<Arch>(call, b.head(i), rows, dense, left, scratch.wide_q);
    left = left.from(rows.count);
  }
  attend_tiles(kernels, scratch, call, g, leaves);
  for (int i = 0; i < g.count; ++i) {
    softmax_state<Arch> const& state = split != nullptr ? *split : scratch.state;
    end_tile(kernels[i], scratch, call, g, i, leaves, state);
    if (split == nullptr) write_rows(call, g.head[i], g.rows[i], state);
  }
}

/// A segment of rows that choose their blocks: block after block, the rows that chose it are
/// gathered into tiles, whose states are merged into the rows' own.
template <class Arch, class Kernel>
void attend_gathered(Kernel* kernels, worker_scratch<Arch>& scratch, attention const& call,
                     block const& b) noexcept {
  segment_scratch<Arch> const& own = scratch.segment;
  choices const chosen = scratch.chosen_by(call);
  row_tile const rows = b.rows(call, 0);
  index const head = b.head(0);
  index const most_tiles = b.cut.decode ? 1 : block_tiles;
  choose_blocks<Arch>(call, head, rows, 0, chosen, scratch.wide_q);
  own.state.reset(rows.count);
  index now = INT64_MAX;  // the first block that is not done
  for (int r = 0; r < rows.count; ++r) now = min_of(now, chosen.at(r));
  while (now != INT64_MAX) {
    index takers = 0;
    index later = INT64_MAX;
    for (int r = 0; r < rows.count; ++r) {
      if (chosen.at(r) == now) {
        own.list[takers++] = r;
        ++chosen.next[r];
      }
      later = min_of(later, chosen.at(r));
    }
    auto const block_at = [&](index at) ORIEL_INLINE_LAMBDA {
      return range{at * call.select.block(), (at + 1) * call.select.block()};
    };
    key_ranges const keys(block_at(now));
    for (index done = 0; done < takers;) {
      tile_group g{.decode = b.cut.decode};
      index const first = done;
      for (; done < takers && g.count < most_tiles; done += b.cut.tile_rows) {
        row_tile const tile{rows.first, static_cast<int>(min_of(b.cut.tile_rows, takers - done)),
                            rows.group, rows.first_query, own.list + done};
        g.add(tile, head, intersect(reach_of(call, tile), keys));
      }
      if (g.any.empty()) continue;  // the mask hides the block
      if (done >= takers && later != INT64_MAX) g.next = held_part(call.kv, block_at(later));
      key_ranges const leaves = leaves_of(g.any);
      attend_tiles(kernels, scratch, call, g, leaves);
      for (int i = 0; i < g.count; ++i) {
        end_tile(kernels[i], scratch, call, g, i, leaves, scratch.state);
        for (int r = 0; r < g.rows[i].count; ++r) {
          own.state.from(own.list[first + i * b.cut.tile_rows + r]).merge(scratch.state.from(r), 1);
        }
      }
    }
    now = later;
  }
  write_rows(call, head, rows, own.state);
}

/// A block with the kernel that it takes, in tiles or gathered.
template <class Arch>
void attend_block(worker_scratch<Arch>& scratch, attention const& call, block const& b,
                  key_ranges const& leaves, softmax_state<Arch> const* split = nullptr) noexcept {
  auto const attend = [&](auto* kernels) {
    if (b.gathers()) {
      attend_gathered(kernels, scratch, call, b);
    } else {
      attend_tiled(kernels, scratch, call, b, leaves, split);
    }
  };
  if (b.cut.decode) {
    attend(scratch.decode);
  } else {
    attend(scratch.flash);
  }
}

}  // namespace oriel::inline v0::detail
