// SPDX-License-Identifier: BSL-1.0
// The numbers of a rolling buffer: which slot a position has, what is held, and what is lost.
#pragma once

#include <cstdint>

#include "oriel/core/status.hpp"

namespace oriel::inline v0 {

/// Where the rows of a sequence lie in a rolling buffer. It knows no memory, only positions (of
/// tokens) and slots (of a row each): positions [0, pinned) have slots of their own, which nothing
/// overwrites; after these come the slots of the ring, in which a row written at position p
/// overwrites that of p - rows and no other.
///
/// Sequence   `had` is what it has had and not given back: from `origin`, the first position ever
///            appended, to its end. Its owner keeps it: more than one ring may hold rows of it.
/// Held       of `had`, the pinned positions and those from `begin` on; what is between is lost.
/// Invariant  0 <= shift < rows; first(origin) <= begin <= max(had.end, first(origin)), and
///            begin >= end - rows for the largest end that make_room was told since. Only giving
///            back every row of the ring and erasing lower `begin`: after a truncate it is known
///            which slots are overwritten.
/// Requires   positions in [0, max_position), unless a function says "any". All are O(1).
struct row_ring {
  index rows = 0;        ///< slots of the ring; 0 where there is none, then it holds nothing
  index pinned = 0;      ///< slots before it
  index begin = pinned;  ///< the ring holds rows from this position on
  index shift = 0;       ///< slots by which erasing has shifted it

  /// Held positions: pinned ones, and those of the ring.
  struct parts {
    range of[2];

    ORIEL_INLINE constexpr range const* begin() const noexcept { return of; }
    ORIEL_INLINE constexpr range const* end() const noexcept { return of + 2; }
    ORIEL_INLINE constexpr index size() const noexcept { return of[0].size() + of[1].size(); }
  };

  ORIEL_INLINE constexpr index slots() const noexcept { return pinned + rows; }
  /// Where the row of a position lies while it is held.
  ORIEL_INLINE constexpr index slot(index position) const noexcept {
    auto const at = static_cast<std::uint64_t>(position);  // not negative
    if (rows == 0 || at < static_cast<std::uint64_t>(pinned)) return rows > 0 ? position : 0;
    auto const in = static_cast<std::uint64_t>(position - pinned + shift);
    return pinned + static_cast<index>(in % static_cast<std::uint64_t>(rows));
  }
  /// Slots from `at` on up to the last pinned one, or up to the ring's end: rows of positions that
  /// follow each other lie there in their order.
  ORIEL_INLINE constexpr index slots_from(index at) const noexcept {
    return (at < pinned ? pinned : slots()) - at;
  }

  /// The first position that the ring may hold.
  ORIEL_INLINE constexpr index first(index origin) const noexcept { return max_of(origin, pinned); }
  /// Those of `of`, a part of `had`, that are held.
  ORIEL_INLINE constexpr parts held(range of) const noexcept {
    return {{{of.begin, min_of(pinned, of.end)}, {max_of(of.begin, begin), of.end}}};
  }
  ORIEL_INLINE constexpr range lost(index origin) const noexcept { return {first(origin), begin}; }
  /// The smallest range around what is held.
  ORIEL_INLINE constexpr range positions(range had) const noexcept {
    bool const any_pinned = had.begin < min_of(pinned, had.end);
    return {any_pinned ? had.begin : min_of(begin, had.end), had.end};
  }

  /// Holds nothing: what is appended next begins a sequence at position `at`.
  ORIEL_INLINE constexpr void begin_at(index at) noexcept { begin = max_of(at, pinned), shift = 0; }
  /// A sequence was appended to, up to `end`: what the ring can't hold besides is lost.
  ORIEL_INLINE constexpr void make_room(index end) noexcept { begin = max_of(begin, end - rows); }

  /// ok, or why a sequence can't go on at `position`, any number, with all that a window of so many
  /// keys shows there: no row of the window - 1 before it may be lost.
  ORIEL_INLINE constexpr status check_truncate(range had, index position,
                                               index window) const noexcept {
    if (position < had.begin || position > had.end) {
      return {errc::position, "truncate: position must be one the cache has held, or its end"};
    }
    range const needed{max_of(had.begin, position - window + 1), position};
    if (!intersect(needed, lost(had.begin)).empty()) {
      return {errc::evicted,
              "truncate: rows of the window before position are overwritten; a larger "
              "cache_shape.margin keeps them"};
    }
    return {};
  }
  /// The rows from `position` on are given back, as check_truncate allows.
  ORIEL_INLINE constexpr void truncate(index origin, index position) noexcept {
    begin = min_of(begin, max_of(position, first(origin)));
  }

  /// ok, or why `erased`, any range, can't be taken out: it must lie within `had`, and no lost
  /// position may become a pinned one.
  ORIEL_INLINE constexpr status check_erase(range had, range erased) const noexcept {
    if (erased.begin > erased.end || erased.begin < had.begin || erased.end > had.end) {
      return {errc::position, "erase: the range must lie within what the cache has held"};
    }
    range const gone = lost(had.begin);
    bool const all_lost_go = intersect(gone, erased).size() == gone.size();
    if (erased.begin < first(had.begin) && !all_lost_go && !erased.empty()) {
      return {errc::evicted, "erase: rows that would become sinks are overwritten"};
    }
    return {};
  }
  /// Positions after `erased`, which may be erased, are smaller by its size. Where no row of the
  /// ring lies before it the ring is shifted: rows that stay in it keep their slots. Others are to
  /// be moved.
  ORIEL_INLINE constexpr void erase(index origin, range erased) noexcept {
    if (erased.begin > begin) return;
    shift = (shift + erased.size() % rows) % rows;
    begin = max_of(first(origin), max_of(erased.end, begin) - erased.size());
  }

  /// Are these positions, any numbers, ones that a sequence can have? (Whether `rows` suffice is
  /// not asked.)
  ORIEL_INLINE constexpr bool makes_sense(range had) const noexcept {
    return had.begin >= 0 && had.end >= had.begin && had.end < max_position &&
           begin >= first(had.begin) && begin <= max_of(had.end, first(had.begin));
  }
};

}  // namespace oriel::inline v0
