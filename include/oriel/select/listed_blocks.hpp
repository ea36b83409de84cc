// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdint>

#include "oriel/select/selector.hpp"

namespace oriel::inline v0 {

/// A caller's own choice: each row (query, head) attends to the blocks that its list names, and to
/// nothing else, not even its own block.
///
///   keys     positions per block, at least 1
///   lists    [q_len, q_heads, n] of int32, n from 1 to 1024, any token and head strides; one of
///            0 shares a list. Numbers of blocks in any order; one that is there twice counts once,
///            and negative ones and those that hold no key of the source count for nothing, so that
///            shorter lists can be filled up with -1
///   first_query   position of the first query, that of the call
///
/// A row without a block gets out = 0 and lse = -inf.
/// Refers to the lists. Cost n^2 comparisons per row at most.
struct listed_blocks {
  index keys = 0;
  tensor_view<std::int32_t const> lists = {};
  index first_query = 0;

  ORIEL_INLINE index block() const noexcept { return keys; }
  ORIEL_INLINE index most() const noexcept { return lists.dim; }
  ORIEL_INLINE index dense_before() const noexcept { return everywhere.begin; }

  ORIEL_INLINE status check(choosing_call const& call) const noexcept {
    constexpr view_rules rules{"select: lists: sizes must not be negative",
                               "select: lists: strides leave the address space",
                               "select: lists.data must not be null",
                               "select: lists.data must be aligned to its element type"};
    if (keys < 1) return {errc::select, "select: listed_blocks.keys must be at least 1"};
    if (lists.dim < 1 || lists.dim > max_chosen) {
      return {errc::select, "select: lists.dim must be at least 1 and at most 1024"};
    }
    if (status s = v0::check(lists, rules); !s.ok()) return s;
    if (lists.heads != call.q_heads) return {errc::heads, "select: lists.heads must equal q.heads"};
    if (lists.tokens != call.queries.size()) {
      return {errc::shape, "select: lists.tokens must equal q.tokens"};
    }
    if (lists.tokens > 0 && first_query != call.queries.begin) {
      return {errc::position, "select: first_query must be the position of the first query"};
    }
    return {};
  }

  ORIEL_INLINE index choose(choosing_row const& row, index* to) const noexcept {
    std::int32_t const* const list = lists.row(row.position - first_query, row.q_head);
    range const held{round_down(row.keys.begin, keys) / keys,
                     round_down(row.keys.end - 1, keys) / keys + 1};
    index count = 0;
    for (index i = 0; i < lists.dim; ++i) {
      index const b = list[i];
      if (row.keys.empty() || b < 0 || !held.contains(b)) continue;
      index at = count;  // sorted, each once
      while (at > 0 && to[at - 1] > b) --at;
      if (at > 0 && to[at - 1] == b) continue;
      for (index j = count++; j > at; --j) to[j] = to[j - 1];
      to[at] = b;
    }
    return count;
  }
};

}  // namespace oriel::inline v0
