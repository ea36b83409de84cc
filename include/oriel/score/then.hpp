// SPDX-License-Identifier: BSL-1.0
// Composition of score functors.
#pragma once

#include "oriel/score/score.hpp"

namespace oriel::inline v0 {

/// First a, then b on its result: a >> b. `softcap{50.0f} >> alibi{slopes}` caps, then adds.
template <score A, score B>
struct then {
  [[no_unique_address]] A a;
  [[no_unique_address]] B b;

  ORIEL_INLINE status check(index q_heads, range queries, range keys) const noexcept {
    status const first = check_score(a, q_heads, queries, keys);
    return first.ok() ? check_score(b, q_heads, queries, keys) : first;
  }
  template <class V>
  ORIEL_INLINE auto for_rows(score_rows<V> const& rows) const noexcept {
    return [f = a.for_rows(rows), g = b.for_rows(rows)](V const& score, score_keys<V> const& keys)
               ORIEL_INLINE_LAMBDA { return g(f(score, keys), keys); };
  }
};

/// Found by itself where a or b is a functor of the library; for two of your own say
/// `using oriel::operator>>;`.
template <score A, score B>
ORIEL_INLINE constexpr then<A, B> operator>>(A a, B b) noexcept {
  return {a, b};
}

}  // namespace oriel::inline v0
