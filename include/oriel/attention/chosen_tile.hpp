// SPDX-License-Identifier: BSL-1.0
// Rows that choose blocks of keys, and what of a tile of keys each of them sees.
#pragma once

#include "oriel/attention/worker_scratch.hpp"

namespace oriel::inline v0::detail {

/// The rows of kv head `head` from place `dense` on choose their blocks. `wide` [together,
/// head_dim] is for queries that are not floats.
template <class Arch>
void choose_blocks(attention const& call, index head, row_tile const& rows, int dense,
                   choices const& own, float* wide) noexcept {
  constexpr int together = 64;
  static_assert(together <= worker_scratch<Arch>::asking_rows);
  choosing_row asking[together];
  range const held = call.kv.positions();
  range const lost = call.kv.lost();
  for (int first = dense; first < rows.count; first += together) {
    int const end = static_cast<int>(min_of(first + together, rows.count));
    for (int r = first; r < end; ++r) {
      index const q_head = call.heads().first_q_head(head) + rows.head(r);
      asking[r - first] = {
          wide_row<Arch>(call.q, rows.token(r), q_head, wide + (r - first) * call.q.dim),
          rows.position(r),
          q_head,
          head,
          held,
          lost};
      own.next[r] = 0;
    }
    call.select.choose({asking, static_cast<std::size_t>(end - first)},
                       own.chosen + first * own.most, own.count + first);
  }
}

/// A row tile whose rows from place `dense` on chose their blocks.
struct chosen_tile {
  choices own;
  int dense = 0;
  index block = INT64_MIN;   ///< that takers_of was last asked for; none yet: INT64_MIN
  std::uint64_t takers = 0;  ///< rows that see it

  /// The rows that see block `now`; blocks are asked for in ascending order.
  ORIEL_INLINE std::uint64_t takers_of(row_tile const& rows, index now) noexcept {
    if (now == block) return takers;
    block = now;
    takers = dense == 0 ? 0 : ~std::uint64_t{0} >> (64 - dense);
    for (int r = dense; r < rows.count; ++r) {
      while (own.at(r) < now) ++own.next[r];  // blocks that were not asked for
      bool const takes = own.at(r) == now;
      own.next[r] += takes ? 1 : 0;
      takers |= std::uint64_t{takes} << r;
    }
    return takers;
  }

  /// Clears the bits of the rows that did not choose a key's block. What the mask shows, `seen`, is
  /// in `word` where it is coverage::some.
  ORIEL_INLINE coverage hide_others(attention const& call, row_tile const& rows, range keys,
                                    coverage seen, std::uint64_t* word) noexcept {
    index const size = call.select.block();
    std::uint64_t const every = ~std::uint64_t{0} >> (64 - rows.count);
    coverage shown = coverage::none;
    for (range part{keys.begin, 0}; part.begin < keys.end; part.begin = part.end) {
      index const now = round_down(part.begin, size) / size;
      part.end = min_of(keys.end, saturating_add(now * size, size));
      std::uint64_t const see = takers_of(rows, now);
      if (seen == coverage::all && part == keys && see == every) return coverage::all;
      if (see != 0) shown = coverage::some;
      for (index i = part.begin - keys.begin; i < part.end - keys.begin; ++i) {
        word[i] = seen == coverage::all ? see : word[i] & see;
      }
    }
    return shown;
  }
};

}  // namespace oriel::inline v0::detail
