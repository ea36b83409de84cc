// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "oriel/score/score.hpp"
#include "oriel/simd/tanh.hpp"

namespace oriel::inline v0 {

/// cap * tanh(score / cap): scores stay within (-cap, cap). Gemma 2's order: scale, cap, then mask.
/// Source: Gemma Team 2024 (Gemma 2), arXiv:2408.00118, section 2.
struct softcap {
  float cap = 0.0f;  ///< finite, above 0

  ORIEL_INLINE status check(index /*q_heads*/, range /*queries*/, range /*keys*/) const noexcept {
    if (!(cap > 0.0f) || cap == infinity || 1.0f / cap == infinity) {
      return {errc::score, "score: softcap.cap must be finite and above 0"};
    }
    return {};
  }
  template <class V>
  ORIEL_INLINE auto for_rows(score_rows<V> const&) const noexcept {
    V const limit(cap);
    V const shrink = V(1.0f) / limit;
    return [=](V const& score, score_keys<V> const&)
               ORIEL_INLINE_LAMBDA { return limit * v0::tanh(score * shrink); };
  }
};

}  // namespace oriel::inline v0
