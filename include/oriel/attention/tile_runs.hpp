// SPDX-License-Identifier: BSL-1.0
// The runs of a source that a tile reads, and what it prefetches meanwhile.
#pragma once

#include "oriel/cache/source.hpp"
#include "oriel/kernel/row_fetch.hpp"
#include "oriel/kernel/tile_shape.hpp"

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

/// The order in which keys are read: from position to position, but for those that are lost, up to
/// `end`, and then `next`.
struct key_order {
  range held;
  range lost;
  index end = 0;
  range next = {};

  /// What is read `count` keys after the one at `from`, and not beyond the last of `next`;
  /// INT64_MAX: nobody knows.
  ORIEL_INLINE index after(index from, index count) const noexcept {
    index at = from + min_of(count, next.empty() ? count : next.size());
    if (from < lost.begin && lost.begin <= at && lost.begin < end) at += lost.size();
    if (at >= end) at = next.empty() ? INT64_MAX : at - end + next.begin;
    bool const is_there = held.begin <= at && at < held.end && (at < lost.begin || at >= lost.end);
    return is_there ? at : INT64_MAX;
  }
};

/// What a source holds of `keys`, from the first of those on.
ORIEL_INLINE range held_part(any_source const& kv, range keys) noexcept {
  range part = intersect(kv.positions(), keys);
  range const lost = kv.lost();
  if (lost.begin <= part.begin && part.begin < lost.end) part.begin = min_of(lost.end, part.end);
  return part;
}

/// Fewer rows at a time cost more than requests that go astray.
inline constexpr index fewest_rows = 16;

/// Calls f(part) for the parts of a run, each with what to prefetch while its keys or values (`of`)
/// are read: `bytes` further on in the order of reading, wherever that lies. A part is so short
/// that one distance serves all of its rows, except where strides change or fewer than fewest_rows
/// are left.
template <class F>
ORIEL_INLINE void in_parts(any_source const& kv, key_order const& order, kv_run run,
                           stored_rows kv_run::*of, lines_ahead bytes, F&& f) noexcept {
  auto const rows_of = [&](std::uintptr_t count) ORIEL_INLINE_LAMBDA {
    return ceil_div(static_cast<index>(count), max_of(1, (run.*of).bytes));
  };
  auto const distance = [&](index rows) ORIEL_INLINE_LAMBDA {
    return static_cast<std::uintptr_t>(rows) * static_cast<std::uintptr_t>((run.*of).stride);
  };
  index ahead = rows_of(bytes.l2);
  if (ahead > 16) ahead = round_up(ahead, 16);  // most pages hold a multiple of 16 rows
  index const near = rows_of(bytes.l1);
  while (run.rows > 0) {
    kv_run part = run;
    lines_ahead& lines = (part.*of).ahead;
    lines.l2 = distance(ahead);
    index const at = ahead > 0 ? order.after(run.first, ahead) : INT64_MAX;
    if (at != INT64_MAX) {
      kv_run const later = kv.run_at(run.head, at);
      part.rows = min_of(run.rows, max_of(later.rows, fewest_rows));
      lines.l2 = reinterpret_cast<std::uintptr_t>((later.*of).data) -
                 reinterpret_cast<std::uintptr_t>((run.*of).data);
    }
    // In a short part the nearby line for L1 would mostly lie outside it.
    lines.l1 = part.rows < 64 ? 0 : distance(near);
    f(part);
    run = run.from(part.rows);
  }
}

/// Calls f(part) for a few rows of a run at a time, and before each prefetches as many of what is
/// read next, in several streams: of its values, or of the next tile's keys. A tile is `tile` keys.
template <class Fetch, class F>
ORIEL_INLINE void in_streams(any_source const& kv, key_order const& order, index tile,
                             kv_run const& run, stored_rows kv_run::*of, F&& f) noexcept {
  Fetch next;
  if (of == &kv_run::k) {
    next = Fetch(run.v, run.rows);
  } else if (index const at = order.after(run.first, tile); at != INT64_MAX) {
    kv_run const later = kv.run_at(run.head, at);
    next = Fetch(later.k, min_of(run.rows, later.rows));
  }
  for (index done = 0; done < run.rows; done += fewest_rows) {
    kv_run part = run.from(done);
    part.rows = min_of(fewest_rows, part.rows);
    next.turns(next.turns_for(part.rows));
    f(part);
  }
}

}  // namespace oriel::inline v0::detail
