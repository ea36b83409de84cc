// SPDX-License-Identifier: BSL-1.0
// One work item: its row tiles, or rows gathered by the blocks of keys that they choose.
#pragma once

#include "oriel/attention/attend_tiles.hpp"

namespace oriel::inline v0::detail {

/// Row tiles. The result goes to `leaf_state`, that of one leaf of the item, or is written where
/// there is none.
template <class Arch, tile_kernel<Arch> Kernel>
void attend_tiled(Kernel* kernels, worker_scratch<Arch>& scratch, attention const& call,
                  work_item const& item, key_ranges const& leaves,
                  softmax_state<Arch> const* leaf_state) noexcept {
  tile_group g{.decode = item.cut.decode};
  chosen_tile chosen[tile_group::most];
  choices left = scratch.chosen_by(call);
  for (int i = 0; i < item.count; ++i) {
    row_tile const rows = item.rows(call, i);
    int const dense = call.select ? rows.count_before(call.select.dense_before()) : rows.count;
    g.add(rows, item.head(i), reach_of(call, rows), dense < rows.count ? &chosen[i] : nullptr);
    if (dense == rows.count) continue;
    chosen[i].own = left;
    chosen[i].dense = dense;
    choose_blocks<Arch>(call, item.head(i), rows, dense, left, scratch.wide_q);
    left = left.from(rows.count);
  }
  attend_tiles(kernels, scratch, call, g, leaves);
  for (int i = 0; i < g.count; ++i) {
    softmax_state<Arch> const& state = leaf_state != nullptr ? *leaf_state : scratch.state;
    end_tile(kernels[i], scratch, call, g, i, leaves, state);
    if (leaf_state == nullptr) write_rows(call, g.head[i], g.rows[i], state);
  }
}

/// A segment of rows that choose their blocks: block after block, the rows that chose it are
/// gathered into tiles, whose states are merged into the rows' own.
template <class Arch, tile_kernel<Arch> Kernel>
void attend_gathered(Kernel* kernels, worker_scratch<Arch>& scratch, attention const& call,
                     work_item const& item) noexcept {
  segment_scratch<Arch> const& own = scratch.segment;
  choices const chosen = scratch.chosen_by(call);
  row_tile const rows = item.rows(call, 0);
  index const head = item.head(0);
  index const most_tiles = item.cut.decode ? 1 : item_tiles;
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
      tile_group g{.decode = item.cut.decode};
      index const first = done;
      for (; done < takers && g.count < most_tiles; done += item.cut.tile_rows) {
        row_tile const tile{rows.first, static_cast<int>(min_of(item.cut.tile_rows, takers - done)),
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
          own.state.from(own.list[first + i * item.cut.tile_rows + r])
              .merge(scratch.state.from(r), 1);
        }
      }
    }
    now = later;
  }
  write_rows(call, head, rows, own.state);
}

/// An item with the kernel that it takes, in tiles or gathered.
template <class Arch>
void attend_item(worker_scratch<Arch>& scratch, attention const& call, work_item const& item,
                 key_ranges const& leaves,
                 softmax_state<Arch> const* leaf_state = nullptr) noexcept {
  auto const attend = [&](auto* kernels) {
    if (item.gathers()) {
      attend_gathered(kernels, scratch, call, item);
    } else {
      attend_tiled(kernels, scratch, call, item, leaves, leaf_state);
    }
  };
  if (item.cut.decode) {
    attend(scratch.decode);
  } else {
    attend(scratch.flash);
  }
}

}  // namespace oriel::inline v0::detail
