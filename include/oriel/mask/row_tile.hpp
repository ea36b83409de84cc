// SPDX-License-Identifier: BSL-1.0
// The rows of a query tile, and the word of visible rows per key that a mask turns into.
#pragma once

#include "oriel/mask/mask.hpp"

namespace oriel::inline v0 {

/// Rows of one query tile. Grouped queries are packed: row r of a kv head is the pair (token
/// r / group, head r % group of the group), so that a key tile serves the whole group. A tile holds
/// `count` <= 64 rows from `first` on; token t of the call has position first_query + t.
struct row_tile {
  index first = 0;
  int count = 0;
  index group = 1;
  index first_query = 0;

  ORIEL_INLINE constexpr index position(int row) const noexcept {
    return first_query + (first + row) / group;
  }
  /// Positions of the tile's queries.
  ORIEL_INLINE constexpr range queries() const noexcept {
    return {position(0), position(count - 1) + 1};
  }
};

/// Bit r of word[i]: does row r of the tile see key keys.begin + i? Bits from `count` on are 0.
/// Cost O(tokens + keys) where the mask's rows are intervals, else a call per token and key.
template <mask M>
ORIEL_INLINE void visible_rows(M const& m, row_tile const& rows, range keys,
                               std::uint64_t* word) noexcept {
  if constexpr (requires { m.visible_rows(rows, keys, word); }) {
    m.visible_rows(rows, keys, word);
    return;
  }
  index const size = keys.size();
  for (index i = 0; i < size; ++i) word[i] = 0;
  int row = 0;
  while (row < rows.count) {  // one token after the other: its rows see the same keys
    index const q = rows.position(row);
    index const left = rows.group - (rows.first + row) % rows.group;
    int const end = static_cast<int>(min_of(rows.count, row + left));
    std::uint64_t const token = (~std::uint64_t{0} >> (64 - (end - row))) << row;
    if constexpr (interval_mask<M>) {
      for (range seen : m.row(q)) {  // a bit toggles where a range begins and where it ends
        seen = intersect(seen, keys);
        if (seen.empty()) continue;
        word[seen.begin - keys.begin] ^= token;
        if (seen.end < keys.end) word[seen.end - keys.begin] ^= token;
      }
    } else {
      for (index i = 0; i < size; ++i) {
        if (m.visible(q, keys.begin + i)) word[i] |= token;
      }
    }
    row = end;
  }
  if constexpr (interval_mask<M>) {
    for (index i = 1; i < size; ++i) word[i] ^= word[i - 1];
  }
}

}  // namespace oriel::inline v0
