// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <span>

#include "oriel/mask/visible_rows.hpp"

namespace oriel::inline v0 {

/// Speculative decoding over a tree of drafts. Draft i lies at position first + i; it sees itself,
/// its ancestors and every position before `first`. Positions before `first` are causal; a query
/// after the tree sees what lies before the tree, not even itself. One append of all the drafts
/// verifies them all. (These are places in the cache: RoPE takes a draft's depth, and ALiBi's
/// distances are of places.)
/// Source: Miao et al. 2023 (SpecInfer), arXiv:2305.09781, section 4.
struct tree {
  index first = 0;                        ///< position of draft 0
  std::span<std::int32_t const> parents;  ///< of each draft: one before it, or -1; referred to

  /// Cost O(drafts).
  ORIEL_INLINE constexpr status check() const noexcept {
    for (std::size_t i = 0; i < parents.size(); ++i) {
      if (parents[i] < -1 || parents[i] >= static_cast<index>(i)) {
        return {errc::mask, "mask: tree.parents[i] must be -1 or an earlier draft"};
      }
    }
    if (magnitude(max_of(first, -max_position)) >= max_position - size()) {
      return {errc::position, "mask: tree positions must lie between -2^60 and 2^60"};
    }
    return {};
  }
  ORIEL_INLINE constexpr bool visible(index q, index k) const noexcept {
    if (k < min_of(first, q + 1)) return true;
    index draft = q - first;
    if (draft < 0 || draft >= size() || k > q) return false;
    while (draft > k - first) draft = parent(draft);
    return draft == k - first;
  }
  ORIEL_INLINE constexpr coverage cover(range queries, range keys) const noexcept {
    if (keys.end <= min_of(first, queries.begin + 1)) return coverage::all;
    return keys.begin < last_seen(queries) ? coverage::some : coverage::none;
  }
  ORIEL_INLINE constexpr key_ranges reach(range queries) const noexcept {
    return range{everywhere.begin, last_seen(queries)};
  }
  /// As the free function of that name: a walk up the tree per token.
  ORIEL_INLINE void visible_rows(row_tile const& rows, range keys,
                                 std::uint64_t* word) const noexcept {
    for (index i = 0; i < keys.size(); ++i) word[i] = 0;
    for_each_token(rows, [&](index q, std::uint64_t token) ORIEL_INLINE_LAMBDA {
      index const before = min_of(min_of(first, q + 1), keys.end);
      for (index k = keys.begin; k < before; ++k) word[k - keys.begin] |= token;
      if (q - first < 0 || q - first >= size()) return;
      for (index draft = q - first; draft >= 0; draft = parent(draft)) {
        if (keys.contains(first + draft)) word[first + draft - keys.begin] |= token;
      }
    });
  }

 private:
  ORIEL_INLINE constexpr index size() const noexcept { return static_cast<index>(parents.size()); }
  /// Always goes up, also in a tree that check() rejects.
  ORIEL_INLINE constexpr index parent(index draft) const noexcept {
    return max_of(-1, min_of(parents[static_cast<std::size_t>(draft)], draft - 1));
  }
  ORIEL_INLINE constexpr index last_seen(range queries) const noexcept {
    return max_of(min_of(queries.end, first + size()), min_of(first, queries.end));
  }
};

}  // namespace oriel::inline v0
