// SPDX-License-Identifier: BSL-1.0
// How a call is cut: row tiles, work items of them, and shares of the work.
#pragma once

#include "oriel/attention/plan.hpp"

namespace oriel::inline v0::detail {

/// How the rows of one sequence are cut. Its row tiles are numbered head by head.
struct row_cut {
  bool decode = false;   ///< the decode kernel, else the row-lane kernel
  index rows = 0;        ///< per kv head: query tokens x group
  index tiled_rows = 0;  ///< the first of them: those that walk over all keys they reach
  index tile_rows = 1;   ///< rows of a tile
  index tiles = 0;       ///< of the tiled rows of a kv head
  index head_tiles = 0;  ///< of a kv head: the tiles of the tiled rows, then segments
  index item_tiles = 1;  ///< most tiles of a work item
};

/// What it costs, in keys, to gather a row into a tile for one of its blocks and to merge the
/// result.
inline constexpr index gather_keys = 24;

/// Rows that choose their blocks walk over all keys like dense ones, the others hidden, up to the
/// position from which on it is faster to gather them block by block. It depends on nothing but the
/// selector, so that a row is computed in one way however a sequence is cut.
ORIEL_INLINE index gathered_from(any_selector const& select) noexcept {
  index const keys = saturating_add(select.block(), gather_keys);
  return min_of(max_of(saturating_mul(select.most(), keys), select.dense_before()), max_position);
}

/// Do the rows of neighbouring kv heads lie side by side, as in [tokens, heads, dim]?
ORIEL_INLINE bool heads_lie_together(any_source const& kv) noexcept {
  if (kv.shape().kv_heads < 2 || kv.positions().empty()) return false;
  kv_run const first = kv.run_at(0, kv.positions().begin);
  kv_run const second = kv.run_at(1, kv.positions().begin);
  auto const apart = static_cast<index>(reinterpret_cast<std::uintptr_t>(second.k.data) -
                                        reinterpret_cast<std::uintptr_t>(first.k.data));
  return magnitude(apart) < magnitude(first.k.stride);
}

template <class Arch>
row_cut cut_rows(attention const& call) noexcept {
  row_cut cut;
  cut.rows = call.q.tokens * call.heads().group();
  cut.tiled_rows = cut.rows;
  if (call.select) {
    index const tokens = gathered_from(call.select) - call.queries().begin;
    cut.tiled_rows = max_of(0, min_of(tokens, call.q.tokens)) * call.heads().group();
  }
  cut.decode = cut.rows <= decode_rows && call.kernel == kernel_choice::by_length;
  cut.tile_rows = cut.decode ? decode_rows : tile_shape<Arch>::rows;
  cut.tiles = ceil_div(cut.tiled_rows, cut.tile_rows);
  cut.head_tiles = cut.tiles + ceil_div(cut.rows - cut.tiled_rows, segment_rows);
  cut.item_tiles = !cut.decode ? item_tiles : heads_lie_together(call.kv) ? item_heads : 1;
  return cut;
}

/// Tile `tile` of a kv head, or a segment: all tokens and heads of its group packed.
ORIEL_INLINE row_tile rows_of(attention const& call, row_cut const& cut, index tile) noexcept {
  bool const gathered = tile >= cut.tiles;
  index const first =
      gathered ? cut.tiled_rows + (tile - cut.tiles) * segment_rows : tile * cut.tile_rows;
  index const count = gathered ? min_of(segment_rows, cut.rows - first)
                               : min_of(cut.tile_rows, cut.tiled_rows - first);
  return {first, static_cast<int>(count), call.heads().group(), call.queries().begin};
}

/// The keys that the rows of a tile reach in the source.
ORIEL_INLINE key_ranges reach_of(attention const& call, row_tile const& rows) noexcept {
  return intersect(call.mask.reach(rows.queries()), key_ranges(call.kv.positions()));
}

/// Numbers of the leaves that keys touch.
ORIEL_INLINE key_ranges leaves_of(key_ranges const& keys) noexcept {
  key_ranges all;
  for (range const part : keys) {
    range const touched{round_down(part.begin, leaf_keys) / leaf_keys,
                        round_down(part.end - 1, leaf_keys) / leaf_keys + 1};
    all = unite(all, key_ranges(touched));
  }
  return all;
}

/// What a tile costs, in passes of a decode tile over tile_keys keys. Rows that choose at most
/// `chosen` keys cost no more.
template <class Arch>
ORIEL_INLINE index cost_of(row_cut const& cut, row_tile const& rows, key_ranges const& reach,
                           index chosen) noexcept {
  index const passes = min_of(reach.size(), chosen) / tile_keys + 1;
  return passes * (cut.decode ? 1 : 2 * ceil_div(rows.count, lanes<Arch>));
}

/// Tiles [first, first + count) of a sequence, done together by one worker: those of the row-lane
/// kernel take turns at each key tile of their head, those of the decode kernel are heads.
struct work_item {
  index sequence = -1;
  row_cut cut;
  index first = 0;
  int count = 0;
  key_ranges leaves;  ///< that any of its rows reach
  index begin = 0;    ///< cost of all items before it
  index cost = 0;
  index split = -1;  ///< its number among those that are cut into leaves, or -1

  ORIEL_INLINE constexpr work_item() noexcept {}
  ORIEL_INLINE index head(int i) const noexcept { return (first + i) / cut.head_tiles; }
  ORIEL_INLINE row_tile rows(attention const& call, int i) const noexcept {
    return rows_of(call, cut, (first + i) % cut.head_tiles);
  }
  /// Is it a segment of rows that are gathered? That is an item of its own.
  ORIEL_INLINE bool gathers() const noexcept { return first % cut.head_tiles >= cut.tiles; }
};

/// How a call is cut into shares.
struct partition {
  index total = 0;          ///< cost of everything
  index share = INT64_MAX;  ///< the most that an item of several tiles may cost
  index tasks = 0;          ///< of phase::attend: equal parts of the total
};

/// Parts of the total that are tasks, per worker: fine enough that none waits long for the last.
inline constexpr index tasks_per_worker = 16;

/// Walks over the work items of a call in order, each of at most `share` cost, or a single tile,
/// which is then cut into its leaves if the plan has room for their states.
/// Cost O(sequences + row tiles).
template <class Arch>
class item_walk {
 public:
  ORIEL_INLINE item_walk(attention_batch const& batch, index share) noexcept
      : batch_(&batch), share_(share) {}

  ORIEL_INLINE work_item const& at() const noexcept { return at_; }
  ORIEL_INLINE attention const& call() const noexcept { return (*batch_)[at_.sequence]; }

  /// Steps to the next item, if there is one.
  bool next() noexcept {
    at_.begin = saturating_add(at_.begin, at_.cost);
    at_.first += at_.count;
    at_.cost = at_.count = 0;
    while (at_.first == tiles_) {
      if (++at_.sequence >= batch_->size()) return false;
      at_.first = 0;
      at_.cut = cut_rows<Arch>(call());
      tiles_ = saturating_mul(at_.cut.head_tiles, call().heads().kv_heads);
    }
    at_.leaves = {};
    bool const alone = at_.gathers();
    index const chosen =
        alone ? saturating_mul(call().select.most(), call().select.block()) : INT64_MAX;
    index const most = alone ? 1 : min_of(at_.cut.item_tiles, tiles_left());
    while (at_.count < most && (at_.cut.decode || at_.head(at_.count) == at_.head(0))) {
      row_tile const rows = at_.rows(call(), at_.count);
      key_ranges const reach = reach_of(call(), rows);
      index const cost = saturating_add(at_.cost, cost_of<Arch>(at_.cut, rows, reach, chosen));
      if (at_.count > 0 && cost > share_) break;
      at_.leaves = unite(at_.leaves, leaves_of(reach));
      at_.cost = cost;
      ++at_.count;
    }
    // A reach that is cut to few ranges may hold lost keys, whose leaves no plan has room for.
    bool const splits = !alone && at_.cost > share_ && at_.leaves.size() > 1 &&
                        at_.leaves.size() <= leaves_within(call().kv.held());
    at_.split = splits ? splits_++ : -1;
    return true;
  }

 private:
  /// Tiles from here on: of this head, or where there is no segment of them all.
  ORIEL_INLINE index tiles_left() const noexcept {
    if (at_.cut.tiles == at_.cut.head_tiles) return tiles_ - at_.first;
    return at_.cut.tiles - at_.first % at_.cut.head_tiles;
  }

  attention_batch const* batch_;
  index share_;
  index tiles_ = 0;   ///< of the current sequence
  index splits_ = 0;  ///< items so far that are cut into leaves
  work_item at_;
};

/// How a call is cut into shares. One worker does everything in one task.
template <class Arch>
partition cut(attend_plan const& plan, attention_batch const& batch) noexcept {
  partition p;
  item_walk<Arch> walk(batch, p.share);
  if (plan.workers == 1) {
    if (walk.next()) p = {.total = INT64_MAX, .tasks = 1};
    return p;
  }
  while (walk.next()) p.total = saturating_add(p.total, walk.at().cost);
  p.share = max_of(p.total / (shares_per_worker * plan.workers), 1);
  p.tasks = min_of(p.total, tasks_per_worker * plan.workers);
  return p;
}

}  // namespace oriel::inline v0::detail
