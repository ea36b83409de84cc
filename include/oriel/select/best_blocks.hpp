// SPDX-License-Identifier: BSL-1.0
// The first blocks, the last ones, and of the others the most promising.
#pragma once

#include "oriel/select/block_gate.hpp"
#include "oriel/select/largest.hpp"
#include "oriel/select/selector.hpp"

namespace oriel::inline v0 {

/// How many blocks a row takes.
struct block_budget {
  index first = 0;  ///< of the sequence: sinks
  index last = 1;   ///< up to the row's own, which is the last one; at least 1
  index best = 0;   ///< of those between, by their gate

  ORIEL_INLINE constexpr index blocks() const noexcept {
    return saturating_add(saturating_add(first, last), best);
  }
  ORIEL_INLINE constexpr status check() const noexcept {
    if (last < 1) return {errc::select, "select: last must be at least 1, the row's own block"};
    if (first < 0) return {errc::select, "select: first must not be negative"};
    if (best < 0) return {errc::select, "select: best must not be negative"};
    if (blocks() > max_chosen) {
      return {errc::select, "select: first + last + best must be at most 1024"};
    }
    return {};
  }
};

/// Each row attends to its own block, to the `last` - 1 blocks before it, to the blocks numbered
/// below `first`, and to the `best` complete blocks between those whose gates (block_gate.hpp) are
/// largest; of equal ones the earlier. Query heads of a group choose for themselves. A row at a
/// position below block * (first + last + best) attends to everything. To be used with a causal
/// mask. Of a block that the sequence begins within there is what it has; keys at negative
/// positions are in no block. A block that a ring has begun to overwrite is out of reach, whichever
/// it is, and so is one whose summary is held no more; the row's own block never is. Where a ring
/// with pinned sinks has lost rows, blocks of sinks are taken as `first` ones only.
///
///   of       block_means or block_bounds of the keys of the sequence, which must have been taken
///            up to the last query's block; referred to
///
/// Cost      a gate per row and complete block before it, 20 KiB of stack.
template <class Kind>
class best_blocks {
 public:
  ORIEL_INLINE best_blocks(block_summary<Kind> const& of, block_budget const& budget) noexcept
      : of_(&of), budget_(budget) {}
  best_blocks(block_summary<Kind> const&& of, block_budget const& budget) = delete;  // referred to

  ORIEL_INLINE index block() const noexcept { return of_->shape().block; }
  ORIEL_INLINE index most() const noexcept { return budget_.blocks(); }
  ORIEL_INLINE index dense_before() const noexcept { return saturating_mul(block(), most()); }

  ORIEL_INLINE status check(choosing_call const& call) const noexcept {
    if (status s = of_->check(); !s.ok()) return s;
    if (status s = budget_.check(); !s.ok()) return s;
    if (of_->shape().kv_heads != call.kv.kv_heads) {
      return {errc::heads, "select: the block summary's kv_heads must equal kv.heads"};
    }
    if (of_->shape().head_dim != call.kv.head_dim) {
      return {errc::shape, "select: the block summary's head_dim must equal k.dim"};
    }
    if (!call.queries.empty() &&
        of_->positions().end < round_down(max_of(call.queries.end - 1, 0), block())) {
      return {errc::select,
              "select: the block summary must have taken the keys before the last query's block"};
    }
    return {};
  }

  template <class Arch = default_arch>
  ORIEL_INLINE index choose(choosing_row const& row, index* to) const noexcept {
    index count = 0;
    choose<Arch>(choosing_rows(&row, 1), to, &count);
    return count;
  }

  template <class Arch = default_arch>
  ORIEL_INLINE void choose(choosing_rows rows, index* to, index* counts) const noexcept {
    auto const count = static_cast<index>(rows.size());
    for (index done = 0; done < count;) {
      choosing_row const* const first = rows.data() + done;
      int some = 1;
      while (some < together && done + some < count && first[some].kv_head == first->kv_head) {
        ++some;
      }
      choose_some<Arch>(first, some, to + done * most(), counts + done);
      done += some;
    }
  }

 private:
  static constexpr int together = 4;  ///< rows that share a pass over the summaries

  /// The blocks that a row may choose from and those that it takes anyway: first ones before and
  /// after a gap, and last ones.
  struct parts {
    range pinned, first, between, last;
  };
  ORIEL_INLINE parts parts_of(choosing_row const& row) const noexcept {
    index const own = round_down(row.position, block()) / block();
    index const last = own - (budget_.last - 1);
    index const first = min_of(budget_.first, last);
    index const begin = max_of(row.keys.begin, 0);
    bool const has_lost = !row.lost.empty();  // an empty range may lie anywhere
    index const whole = ceil_div(has_lost ? max_of(begin, row.lost.end) : begin, block());
    index from = begin / block();  // the sequence may begin within that one
    range pinned = {};
    if (has_lost) {
      if (row.keys.begin < row.lost.begin) pinned = {from, min_of(first, row.lost.begin / block())};
      from = whole;
    }
    return {pinned,
            {from, first},
            intersect(of_->held(), {max_of(budget_.first, whole), last}),
            {min_of(own, max_of(last, from)), own + 1}};
  }

  /// Up to `together` rows of one kv head.
  template <class Arch>
  ORIEL_INLINE void choose_some(choosing_row const* rows, int count, index* to,
                                index* counts) const noexcept {
    largest<Arch> best[together];
    parts of[together];
    float const* q[together];
    index* lists[together];
    range all;
    for (int r = 0; r < count; ++r) {
      of[r] = parts_of(rows[r]);
      index* list = to + r * most();
      for (range const part : {of[r].pinned, of[r].first}) {
        for (index b = part.begin; b < part.end; ++b) *list++ = b;
      }
      index const wanted = min_of(budget_.best, of[r].between.size());
      best[r].begin(of[r].between.begin, wanted, list);
      if (wanted == 0) of[r].between = {};
      all = hull(all, of[r].between);
      lists[r] = list + wanted;
      q[r] = rows[r].q;
    }
    for_each_gate<Arch>(*of_, rows->kv_head, q, count, all,
                        [&](int r, index block, float gate) ORIEL_INLINE_LAMBDA {
                          if (of[r].between.contains(block)) best[r].offer(gate);
                        });
    for (int r = 0; r < count; ++r) {
      best[r].finish();
      for (index b = of[r].last.begin; b < of[r].last.end; ++b) *lists[r]++ = b;
      counts[r] = lists[r] - (to + r * most());
    }
  }

  block_summary<Kind> const* of_;
  block_budget budget_;
};

/// The own block and the top_k - 1 best before it: `moba` and `quest`.
template <class Kind>
class top_blocks : public best_blocks<Kind> {
 public:
  ORIEL_INLINE top_blocks(block_summary<Kind> const& of, index top_k) noexcept
      : best_blocks<Kind>(of, {.best = max_of(top_k, 0) - 1}) {}
  top_blocks(block_summary<Kind> const&& of, index top_k) = delete;  // referred to: an lvalue

  ORIEL_INLINE status check(choosing_call const& call) const noexcept {
    if (this->most() < 1 || this->most() > max_chosen) {
      return {errc::select, "select: top_k must be at least 1 and at most 1024"};
    }
    return best_blocks<Kind>::check(call);
  }
};

}  // namespace oriel::inline v0
