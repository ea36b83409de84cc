// SPDX-License-Identifier: BSL-1.0
// The word of visible rows per key that a mask turns into.
#pragma once

#include "oriel/core/row_tile.hpp"
#include "oriel/mask/mask.hpp"

namespace oriel::inline v0 {

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
  // One token after the other: its rows see the same keys.
  for_each_token(rows, [&](index q, std::uint64_t token) ORIEL_INLINE_LAMBDA {
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
  });
  if constexpr (interval_mask<M>) {
    for (index i = 1; i < size; ++i) word[i] ^= word[i - 1];
  }
}

namespace detail {

/// The words of two masks, each pair made one by combine(a, b), in blocks.
template <mask A, mask B, class Combine>
ORIEL_INLINE void combine_rows(A const& a, B const& b, row_tile const& rows, range keys,
                               std::uint64_t* word, Combine&& combine) noexcept {
  constexpr index block = 64;
  for (; !keys.empty(); keys.begin += block, word += block) {
    range const part{keys.begin, min_of(keys.begin + block, keys.end)};
    std::uint64_t in_b[block];
    v0::visible_rows(a, rows, part, word);
    v0::visible_rows(b, rows, part, in_b);
    for (index i = 0; i < part.size(); ++i) word[i] = combine(word[i], in_b[i]);
  }
}

}  // namespace detail

}  // namespace oriel::inline v0
