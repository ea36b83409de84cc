// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "oriel/mask/mask.hpp"

namespace oriel::inline v0 {

/// Every query sees the positions before `keys`, also those after its own. `causal{} | prefix{P}`
/// is the prefix-LM mask: the prompt's P tokens see one another, the answer is causal.
/// Source: Raffel et al. 2020 (T5), arXiv:1910.10683, section 3.2.1.
struct prefix {
  index keys = 0;  ///< positions of the prefix, [0, keys); 0 is no prefix

  ORIEL_INLINE constexpr status check() const noexcept {
    if (keys < 0) return {errc::mask, "mask: prefix.keys must not be negative"};
    return {};
  }
  ORIEL_INLINE constexpr bool visible(index, index k) const noexcept { return 0 <= k && k < keys; }
  ORIEL_INLINE constexpr coverage cover(range, range span) const noexcept {
    return detail::cover_between({0, keys}, {0, keys}, span);
  }
  ORIEL_INLINE constexpr key_ranges reach(range) const noexcept { return seen(); }
  ORIEL_INLINE constexpr row_ranges row(index) const noexcept { return seen(); }

 private:
  ORIEL_INLINE constexpr range seen() const noexcept { return intersect({0, keys}, everywhere); }
};

/// Attention sinks: the first tokens stay visible whatever a window or a chunk hides,
/// `causal{} & (sliding_window{W} | sinks{4})`. A window of W counts the query's own key, the sinks
/// come on top. Source: Xiao et al. 2023 (StreamingLLM), arXiv:2309.17453.
using sinks = prefix;

}  // namespace oriel::inline v0
