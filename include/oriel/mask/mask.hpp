// SPDX-License-Identifier: BSL-1.0
// What a mask is: a small value that answers questions about positions, and never a byte per pair.
#pragma once

#include <concepts>
#include <type_traits>

#include "oriel/core/status.hpp"

namespace oriel::inline v0 {

/// How much of a rectangle of queries x keys a mask shows. Ordered, so that the smaller of two is
/// what their conjunction shows at most.
enum class coverage { none, some, all };

/// Where to look at all: up to four disjoint key ranges; more become their hull.
using key_ranges = range_set<4>;
/// What one query sees of the keys, where that is up to two ranges.
using row_ranges = range_set<2>;

/// A mask is a trivially copyable value with three questions about absolute positions:
///
///   visible(q, k)        does query q see key k?
///   cover(queries, keys) none | some | all of the rectangle; may be pessimistic (`some`)
///   reach(queries)       key ranges that hold every key any of these queries may see
///
/// Two more are answered where the mask can: `row(q)`, the ranges that query q sees, when those are
/// at most two (a partial tile is then masked without a call per element), and `check()`, a status
/// that rejects invalid parameters. Ranges given to it are never empty.
// clang-format off
template <class M>
concept mask = std::is_trivially_copyable_v<M> && requires(M const& m, index position, range span) {
  { m.visible(position, position) } noexcept -> std::same_as<bool>;
  { m.cover(span, span) } noexcept -> std::same_as<coverage>;
  { m.reach(span) } noexcept -> std::same_as<key_ranges>;
};
// clang-format on

/// A mask whose rows are intervals.
// clang-format off
template <class M>
concept interval_mask = mask<M> && requires(M const& m, index q) {
  { m.row(q) } noexcept -> std::same_as<row_ranges>;
};
// clang-format on

/// ok, or why the parameters of `m` are invalid.
template <mask M>
ORIEL_INLINE constexpr status check_mask(M const& m) noexcept {
  if constexpr (requires { m.check(); }) {
    return m.check();
  } else {
    return {};
  }
}

/// Positions before this one are dead: no query at `from` or later sees them, so their rows may go.
/// It is where reach() begins for all later queries: exact for the masks of the library but
/// dense_mask, which is never looked through for it.
template <mask M>
ORIEL_INLINE constexpr index dead_before(M const& m, index from) noexcept {
  key_ranges const alive = m.reach({from, everywhere.end});
  return alive.empty() ? everywhere.end : alive.hull().begin;
}

namespace detail {

/// ok, or what is wrong with the first of two masks that is.
template <mask A, mask B>
ORIEL_INLINE constexpr status check_masks(A const& a, B const& b) noexcept {
  status const first = check_mask(a);
  return first.ok() ? check_mask(b) : first;
}

/// What a mask covers whose rows are one interval each, with ends that never fall as q grows: the
/// intervals of the first and of the last query settle it.
ORIEL_INLINE constexpr coverage cover_between(range first, range last, range keys) noexcept {
  if (intersect(keys, {first.begin, last.end}).empty()) return coverage::none;
  bool const all = last.begin <= keys.begin && keys.end <= first.end;
  return all ? coverage::all : coverage::some;
}
template <class M>
ORIEL_INLINE constexpr coverage cover_by_rows(M const& m, range queries, range keys) noexcept {
  return cover_between(m.row(queries.begin).hull(), m.row(queries.end - 1).hull(), keys);
}

}  // namespace detail

}  // namespace oriel::inline v0
