// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>
#include <span>

#include "oriel/score/score.hpp"
#include "oriel/simd/tanh.hpp"

namespace oriel::inline v0 {

/// score - slopes[head] * |query - key|: a penalty for distance instead of position embeddings. The
/// distance is exact up to 2^24, then rounded to float; lse contains the penalty.
/// Source: Press et al. 2022 (ALiBi), arXiv:2108.12409.
struct alibi {
  std::span<float const> slopes;  ///< [q_heads]; referred to

  ORIEL_INLINE status check(index q_heads, range /*queries*/, range /*keys*/) const noexcept {
    if (static_cast<index>(slopes.size()) != q_heads) {
      return {errc::heads, "score: alibi.slopes must hold one per query head"};
    }
    return {};
  }
  template <class V>
  ORIEL_INLINE auto for_rows(score_rows<V> const& rows) const noexcept {
    V const slope = rows.each([this](index, index head) ORIEL_INLINE_LAMBDA {
      return slopes[static_cast<std::size_t>(head)];
    });
    return [slope](V const& score, score_keys<V> const& keys)
               ORIEL_INLINE_LAMBDA { return score - slope * v0::abs(keys.distance); };
  }
};

/// The published slope of query head `head` of `q_heads`: 2^(-8 (h + 1) / n) for the first n = 2^k
/// heads, then those of 2n heads, every other one.
ORIEL_INLINE float alibi_slope(index head, index q_heads) noexcept {
  index n = 1;
  while (2 * n <= q_heads) n *= 2;
  auto const exponent =
      head < n ? -8.0 * static_cast<double>(head + 1) / static_cast<double>(n)
               : -4.0 * static_cast<double>(2 * (head - n) + 1) / static_cast<double>(n);
  return static_cast<float>(std::exp2(exponent));
}

}  // namespace oriel::inline v0
