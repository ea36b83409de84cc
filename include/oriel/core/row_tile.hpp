// SPDX-License-Identifier: BSL-1.0
// The rows that a kernel computes together.
#pragma once

#include "oriel/core/range.hpp"

namespace oriel::inline v0 {

/// Rows of one query tile. Grouped queries are packed: row r of a kv head is the pair (token
/// r / group, head r % group of the group), so that a key tile serves the whole group. It holds
/// `count` rows from `first` on, or those of them that `list` names, in ascending order; token t of
/// the call has position first_query + t. What a kernel computes has at most 64 rows (a bit each in
/// a word of visible rows); rows that choose blocks are first taken in segments of up to 4096.
struct row_tile {
  index first = 0;
  int count = 0;
  index group = 1;
  index first_query = 0;
  std::int32_t const* list = nullptr;  ///< row r is first + list[r]; null: first + r

  /// Number of a row among all of its kv head.
  ORIEL_INLINE constexpr index packed(int row) const noexcept {
    return first + (list == nullptr ? row : list[row]);
  }
  ORIEL_INLINE constexpr index token(int row) const noexcept { return packed(row) / group; }
  ORIEL_INLINE constexpr index position(int row) const noexcept { return first_query + token(row); }
  /// Place of a row's head in its group.
  ORIEL_INLINE constexpr index head(int row) const noexcept { return packed(row) % group; }
  /// The rows [begin, end), as tokens whose positions start `by` later.
  ORIEL_INLINE constexpr row_tile part(int begin, int end, index by) const noexcept {
    if (list != nullptr) return {first, end - begin, group, first_query + by, list + begin};
    return {first + begin, end - begin, group, first_query + by};
  }
  /// Rows at positions below `limit`: the first so many.
  ORIEL_INLINE constexpr int count_before(index limit) const noexcept {
    int rows = 0;
    while (rows < count && position(rows) < limit) ++rows;
    return rows;
  }
  /// Positions of the tile's queries.
  ORIEL_INLINE constexpr range queries() const noexcept {
    return {position(0), position(count - 1) + 1};
  }
};

/// Calls f(position, rows) for every token of a tile; the rows of a token are the bits of a word.
template <class F>
ORIEL_INLINE constexpr void for_each_token(row_tile const& rows, F&& f) noexcept {
  for (int row = 0; row < rows.count;) {
    int end = row + 1;
    if (rows.list == nullptr) {
      end = static_cast<int>(min_of(rows.count, row + rows.group - rows.head(row)));
    } else {
      while (end < rows.count && rows.token(end) == rows.token(row)) ++end;
    }
    f(rows.position(row), (~std::uint64_t{0} >> (64 - (end - row))) << row);
    row = end;
  }
}

}  // namespace oriel::inline v0
