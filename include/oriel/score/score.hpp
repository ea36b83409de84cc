// SPDX-License-Identifier: BSL-1.0
// What may happen to a logit besides the scale: the contract of a score functor.
#pragma once

#include <concepts>
#include <type_traits>

#include "oriel/core/row_tile.hpp"
#include "oriel/core/status.hpp"
#include "oriel/simd/vec.hpp"

namespace oriel::inline v0 {

/// The rows (query, head) of the scores that are computed together: each lane's own in the row-lane
/// kernel, the same in every lane of the decode kernel. V is what is computed at once: a register
/// of floats in a kernel, one double in the reference, so that one formula is both the fast code
/// and its own definition.
template <class V>
struct score_rows {
  index query[lanes_of<V>];  ///< positions
  index head[lanes_of<V>];   ///< query heads, [0, q_heads)

  /// f(query, head) of each lane, as one V.
  template <class F>
  ORIEL_INLINE V each(F&& f) const noexcept {
    if constexpr (std::is_same_v<V, double>) {
      return static_cast<double>(f(query[0], head[0]));
    } else {
      float value[lanes_of<V>];
      for (int i = 0; i < lanes_of<V>; ++i) value[i] = f(query[i], head[i]);
      return V::load_unaligned(value);
    }
  }
};

/// And their keys: one for all lanes in the row-lane kernel, consecutive ones in the decode kernel.
template <class V>
struct score_keys {
  V distance;       ///< query - key, formed in 64 bits, then rounded once
  index first = 0;  ///< position of the key in lane 0
  index step = 0;   ///< to the next lane: 0 or 1
  index last = 0;   ///< lanes that have no key repeat this one
  score_rows<V> const* rows;

  /// Position of a lane's key.
  ORIEL_INLINE index key(int lane) const noexcept { return min_of(first + lane * step, last); }
  /// f(query, head, key) of each lane, as one V. For tables; arithmetic takes V's.
  template <class F>
  ORIEL_INLINE V each(F&& f) const noexcept {
    if constexpr (std::is_same_v<V, double>) {
      return static_cast<double>(f(rows->query[0], rows->head[0], first));
    } else {
      float value[lanes_of<V>];
      for (int i = 0; i < lanes_of<V>; ++i) {
        value[i] = f(rows->query[i], rows->head[i], key(i));
      }
      return V::load_unaligned(value);
    }
  }
};

/// A score functor is a trivially copyable value with one member,
///
///   auto for_rows(score_rows<V> const& rows) const noexcept
///
/// which returns a function of (V score, score_keys<V> const& keys) to V. It is asked for the
/// function once per register of rows, so what belongs to a query or a head is looked up there, and
/// calls it once per register of scores. Scores are in natural units, scale * q.k; a result of
/// -inf hides the pair, other results must be finite where the mask shows the pair. Where it hides
/// it the score may be anything and the result is not used.
///
/// A functor may also have check(q_heads, queries, keys): a status for what it can't serve.
template <class S>
concept score = std::is_trivially_copyable_v<S> &&
    requires(S const& s, score_rows<double> const& rows, score_keys<double> const& keys) {
  { s.for_rows(rows)(1.0, keys) } -> std::convertible_to<double>;
};

/// ok, or why the functor can't serve these heads, queries and keys.
template <score S>
ORIEL_INLINE status check_score(S const& s, index q_heads, range queries, range keys) noexcept {
  if constexpr (requires { s.check(q_heads, queries, keys); }) {
    return s.check(q_heads, queries, keys);
  } else {
    return {};
  }
}

}  // namespace oriel::inline v0
