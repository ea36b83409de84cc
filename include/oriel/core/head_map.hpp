// SPDX-License-Identifier: BSL-1.0
// Grouped-query attention: which query heads share a key/value head.
#pragma once

#include "oriel/core/status.hpp"

namespace oriel::inline v0 {

/// Consecutive query heads share a key/value head: query head h reads kv head h / group().
/// Source: Ainslie et al. 2023 (GQA), arXiv:2305.13245; multi-query is kv_heads = 1.
struct head_map {
  index q_heads = 1;
  index kv_heads = 1;

  ORIEL_INLINE constexpr status check() const noexcept {
    if (kv_heads < 1) return {errc::heads, "kv.heads must be at least 1"};
    if (q_heads < 1) return {errc::heads, "q.heads must be at least 1"};
    if (q_heads % kv_heads != 0) return {errc::heads, "q.heads must be a multiple of kv.heads"};
    return {};
  }

  /// Query heads per kv head.
  ORIEL_INLINE constexpr index group() const noexcept { return q_heads / kv_heads; }
  ORIEL_INLINE constexpr index kv_head(index q_head) const noexcept { return q_head / group(); }
  ORIEL_INLINE constexpr index first_q_head(index kv_head) const noexcept {
    return kv_head * group();
  }
};

}  // namespace oriel::inline v0
