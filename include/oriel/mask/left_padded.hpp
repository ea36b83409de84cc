// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "oriel/mask/visible_rows.hpp"

namespace oriel::inline v0 {

/// `of` for a sequence after `slots` slots of padding: positions of the call are slots, those of
/// the inner mask start at the first real token, p = slot - slots, so that chunks are counted from
/// there. Padding sees nothing and is not seen. (Without padding in the tensors there is no need of
/// it: see padded_batch.)
template <mask M>
struct left_padded {
  index slots = 0;  ///< of padding, at least 0
  [[no_unique_address]] M of = {};

  ORIEL_INLINE constexpr status check() const noexcept {
    if (slots < 0 || slots >= max_position) {
      return {errc::mask, "mask: left_padded.slots must be at least 0 and below 2^60"};
    }
    return check_mask(of);
  }
  ORIEL_INLINE constexpr bool visible(index q, index k) const noexcept {
    return q >= slots && k >= slots && of.visible(q - slots, k - slots);
  }
  ORIEL_INLINE constexpr coverage cover(range queries, range keys) const noexcept {
    range const real_queries = real(queries);
    range const real_keys = real(keys);
    if (real_queries.empty() || real_keys.empty()) return coverage::none;
    coverage const inner = of.cover(real_queries, real_keys);
    bool const whole = queries.begin >= slots && keys.begin >= slots;
    return inner == coverage::all && !whole ? coverage::some : inner;
  }
  ORIEL_INLINE constexpr key_ranges reach(range queries) const noexcept {
    key_ranges seen;
    if (real(queries).empty()) return seen;
    for (range const part : of.reach(real(queries))) {
      seen.add(intersect({part.begin + slots, part.end + slots}, {slots, everywhere.end}));
    }
    return seen;
  }
  /// As the free function of that name.
  ORIEL_INLINE void visible_rows(row_tile const& rows, range keys,
                                 std::uint64_t* word) const noexcept {
    index const hidden_keys = min_of(max_of(slots - keys.begin, 0), keys.size());
    for (index i = 0; i < hidden_keys; ++i) word[i] = 0;
    int hidden = 0;  // rows of padding
    while (hidden < rows.count && rows.position(hidden) < slots) ++hidden;
    range const left = real(keys);
    if (left.empty()) return;
    word += hidden_keys;
    for (index i = 0; i < left.size(); ++i) word[i] = 0;
    if (hidden == rows.count) return;
    v0::visible_rows(of, rows.part(hidden, rows.count, -slots), left, word);
    for (index i = 0; i < left.size(); ++i) word[i] <<= hidden;
  }

 private:
  /// What of a range lies after the padding, in positions of the inner mask.
  ORIEL_INLINE constexpr range real(range r) const noexcept {
    return {max_of(r.begin - slots, 0), r.end - slots};
  }
};
template <mask M>
left_padded(index, M) -> left_padded<M>;

}  // namespace oriel::inline v0
