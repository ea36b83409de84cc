// SPDX-License-Identifier: BSL-1.0
// The rows of q in blocks, as products take them.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "oriel/simd/vec.hpp"

namespace oriel::inline v0 {

/// Rows of q that products take at a time, at most: dot_rows needs a lane for each, and more sums
/// don't stay in 16 registers.
template <class Arch>
inline constexpr int most_queries = has_short_registers<Arch> ? 4 : 8;

/// How often products read a row, for `count` rows of q.
template <class Arch>
ORIEL_INLINE constexpr int query_blocks(int count) noexcept {
  return (count + most_queries<Arch> - 1) / most_queries<Arch>;
}

/// Calls f(Queries, first) for `count` rows of q in blocks of 8, 4 or 1. The last block may hold up
/// to 3 rows too many: the memory is what takes the time, and nobody reads them.
template <class Arch, class F>
ORIEL_INLINE void in_query_blocks(int count, F&& f) noexcept {
  constexpr int most = most_queries<Arch>;
  if (count == 1) return f(std::integral_constant<int, 1>{}, 0);
  for (int r = 0; r < count; r += most) {
    if (most > 4 && count - r <= 4) return f(std::integral_constant<int, 4>{}, r);
    f(std::integral_constant<int, most>{}, r);
  }
}

/// The same in blocks of one, of two, or of four, of which the last may be too many: integers,
/// whose sums don't stay in registers for more.
template <class F>
ORIEL_INLINE void in_ones_twos_fours(int count, F&& f) noexcept {
  if (count == 1) return f(std::integral_constant<int, 1>{}, 0);
  if (count == 2) return f(std::integral_constant<int, 2>{}, 0);
  for (int r = 0; r < count; r += 4) f(std::integral_constant<int, 4>{}, r);
}

/// Do products of `count` rows of q prefetch what lies ahead of the stored rows? Where registers
/// are short, several blocks of queries, which read rows after one another, share the requests.
template <class Arch>
ORIEL_INLINE constexpr bool request_ahead(int count) noexcept {
  return !has_short_registers<Arch> || query_blocks<Arch>(count) == 1;
}

/// Rows of `bytes` bytes that are multiplied at a time: all, or where registers are short as many
/// as stay in L1 until all columns of a few lines are read, and for several blocks of queries few
/// enough to be asked for at once: a core has room for some 24 requests (Zen 3).
template <class Arch, class Stored>
ORIEL_INLINE constexpr index rows_at_a_time(index bytes, int count) noexcept {
  if (!has_short_registers<Arch>) return INT64_MAX;
  if (!Stored::is_streamed) return 16;
  if (request_ahead<Arch>(count)) return INT64_MAX;
  auto const few = static_cast<std::uint64_t>(2048 / max_of(bytes, 1));
  return max_of(static_cast<index>(std::bit_ceil(few)), 4);
}

/// Calls f(Queries, rows, first) for `count` rows of q in blocks (two rows are one of their own if
/// Stored::takes_two), and sees to it that what lies ahead of the stored rows is prefetched.
template <class Arch, class Stored, class F>
ORIEL_INLINE void in_query_blocks(Stored const& stored, int count, F&& f) noexcept {
  auto const block = [&](auto queries, int r) ORIEL_INLINE_LAMBDA {
    if (request_ahead<Arch>(count)) return f(queries, stored, r);
    index const blocks = query_blocks<Arch>(count);
    index const n = r / most_queries<Arch>;
    index const end = stored.count * (n + 1) / blocks;
    for (index i = stored.count * n / blocks; i < end; ++i) stored.prefetch_row(stored.row(i));
    f(queries, stored.near(), r);
  };
  if constexpr (Stored::takes_two) {
    if (count == 2) return block(std::integral_constant<int, 2>{}, 0);
  }
  in_query_blocks<Arch>(count, block);
}

}  // namespace oriel::inline v0
