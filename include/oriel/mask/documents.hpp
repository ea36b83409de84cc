// SPDX-License-Identifier: BSL-1.0
// Many documents packed into one sequence.
#pragma once

#include <concepts>

#include "oriel/mask/left_padded.hpp"
#include "oriel/view/integers.hpp"

namespace oriel::inline v0 {

/// Where packed documents lie: n + 1 ascending positions, document i is [bounds[i], bounds[i + 1]);
/// equal neighbours are an empty document. The cu_seqlens of FlashAttention, in 32 or 64 bits;
/// referred to.
class document_bounds {
 public:
  ORIEL_INLINE constexpr document_bounds() noexcept {}
  template <std::convertible_to<integers> Bounds>
  ORIEL_INLINE constexpr document_bounds(Bounds const& cu_seqlens) noexcept : at_(cu_seqlens) {}

  /// Cost O(documents).
  ORIEL_INLINE constexpr status check() const noexcept {
    if (at_.empty()) return {errc::mask, "mask: documents need at least one bound"};
    for (index i = 0; i < at_.size(); ++i) {
      if (i > 0 && at_[i] < at_[i - 1]) return {errc::mask, "mask: document bounds must ascend"};
      if (at_[i] <= everywhere.begin || at_[i] >= everywhere.end) {
        return {errc::position, "mask: document bounds must lie between -2^60 and 2^60"};
      }
    }
    return {};
  }
  /// The document of a position; outside of all of them an empty range. Cost O(log documents).
  ORIEL_INLINE constexpr range around(index position) const noexcept {
    index const next =
        first_where(at_.size(), [&](index i) ORIEL_INLINE_LAMBDA { return at_[i] > position; });
    if (at_.empty()) return {};
    if (next == 0) return {at_[0], at_[0]};
    if (next == at_.size()) return {at_[at_.size() - 1], at_[at_.size() - 1]};
    return {at_[next - 1], at_[next]};
  }
  /// From the first bound to the last.
  ORIEL_INLINE constexpr range extent() const noexcept {
    return at_.empty() ? range{} : range{at_[0], at_[at_.size() - 1]};
  }

 private:
  integers at_;
};

/// Query q sees the keys of its own document: `causal{} & documents{cu_seqlens}` is packed varlen
/// attention. Tiles of other documents are never visited.
struct documents {
  document_bounds bounds;

  ORIEL_INLINE constexpr status check() const noexcept { return bounds.check(); }
  ORIEL_INLINE constexpr bool visible(index q, index k) const noexcept {
    return bounds.around(q).contains(k);
  }
  ORIEL_INLINE constexpr coverage cover(range queries, range keys) const noexcept {
    return detail::cover_between(bounds.around(queries.begin), bounds.around(queries.end - 1),
                                 keys);
  }
  ORIEL_INLINE constexpr key_ranges reach(range queries) const noexcept {
    return range{bounds.around(queries.begin).begin, bounds.around(queries.end - 1).end};
  }
  ORIEL_INLINE constexpr row_ranges row(index q) const noexcept { return bounds.around(q); }
};

/// The same with a mask within each document, in positions that start at 0 there: chunks restart
/// with every document in `each_document{bounds, causal{} & chunked{C}}`.
template <mask M>
struct each_document {
  document_bounds bounds;
  [[no_unique_address]] M of = {};

  ORIEL_INLINE constexpr status check() const noexcept {
    if (status s = bounds.check(); !s.ok()) return s;
    if (bounds.extent().size() > max_position) {
      return {errc::position, "mask: each_document's bounds must lie within 2^60 of one another"};
    }
    return check_mask(of);
  }
  ORIEL_INLINE constexpr bool visible(index q, index k) const noexcept {
    range const own = bounds.around(q);
    return own.contains(q) && own.contains(k) && of.visible(q - own.begin, k - own.begin);
  }
  ORIEL_INLINE constexpr coverage cover(range queries, range keys) const noexcept {
    range const own = bounds.around(queries.begin);
    range const last = bounds.around(queries.end - 1);
    if (intersect(keys, {own.begin, last.end}).empty()) return coverage::none;
    range const inside = intersect(keys, own);
    if (own != last || !own.contains(queries.begin)) return coverage::some;
    coverage const inner = of.cover(shift(queries, own), shift(inside, own));
    return inner == coverage::all && inside != keys ? coverage::some : inner;
  }
  ORIEL_INLINE constexpr key_ranges reach(range queries) const noexcept {
    range const own = bounds.around(queries.begin);
    range const last = bounds.around(queries.end - 1);
    range const inside = intersect(queries, own);
    key_ranges seen;
    if (!inside.empty()) {
      for (range const part : of.reach(shift(inside, own))) {
        seen.add(intersect({part.begin + own.begin, part.end + own.begin}, own));
      }
    }
    return unite(seen, key_ranges({own.end, last.end}));
  }
  /// As the free function of that name: document after document.
  ORIEL_INLINE void visible_rows(row_tile const& rows, range keys,
                                 std::uint64_t* word) const noexcept {
    for (index i = 0; i < keys.size(); ++i) word[i] = 0;
    for (int row = 0; row < rows.count;) {
      range const own = bounds.around(rows.position(row));
      int end = row + 1;
      while (end < rows.count && own.contains(rows.position(end))) ++end;
      range const inside = intersect(keys, own);
      if (own.contains(rows.position(row)) && !inside.empty()) {
        row_tile const inner = rows.part(row, end, -own.begin);
        constexpr index block = 64;
        for (range part = inside; !part.empty(); part.begin += block) {
          range const now{part.begin, min_of(part.begin + block, part.end)};
          std::uint64_t seen[block];
          v0::visible_rows(of, inner, shift(now, own), seen);
          for (index i = 0; i < now.size(); ++i) word[now.begin - keys.begin + i] |= seen[i] << row;
        }
      }
      row = end;
    }
  }

 private:
  ORIEL_INLINE static constexpr range shift(range r, range own) noexcept {
    return {r.begin - own.begin, r.end - own.begin};
  }
};
template <mask M>
each_document(document_bounds, M) -> each_document<M>;

}  // namespace oriel::inline v0
