// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "oriel/score/score.hpp"

namespace oriel::inline v0 {

/// score + data[head, query, key]: for engines that have an additive mask or relative-position
/// biases as a tensor. -inf hides a pair, and so does what is not above -2.3e38 (the lowest float
/// that frameworks write for "hidden"): rows that see nothing give 0, not a mean of all values. A
/// mask term that hides whole tiles as well saves computing them. Loads lane by lane.
///
///   data          [q_heads, queries, keys]; strides count floats, head_stride 0 shares one plane
///   queries, keys positions of the rows and columns; they must hold those of the call
struct bias {
  float const* data = nullptr;
  range queries;
  range keys;
  index head_stride = 0;
  index query_stride = 0;
  index key_stride = 1;

  ORIEL_INLINE status check(index q_heads, range asked, range held) const noexcept {
    if (asked.empty() || held.empty()) return {};
    if (data == nullptr) return {errc::memory, "score: bias.data must not be null"};
    if (intersect(asked, queries) != asked) {
      return {errc::shape, "score: bias.queries must hold the call's queries"};
    }
    if (intersect(held, keys) != held) {
      return {errc::shape, "score: bias.keys must hold the positions of k"};
    }
    if (intersect(queries, everywhere) != queries || intersect(keys, everywhere) != keys) {
      return {errc::position, "score: bias's positions must lie between -2^60 and 2^60"};
    }
    index const reach = saturating_add(saturating_add(stride_span(q_heads, head_stride),
                                                      stride_span(queries.size(), query_stride)),
                                       stride_span(keys.size(), key_stride));
    if (reach > max_position) {
      return {errc::shape, "score: bias's strides leave the address space"};
    }
    return {};
  }
  template <class V>
  ORIEL_INLINE auto for_rows(score_rows<V> const& rows) const noexcept {
    struct row_pointers {
      float const* row[lanes_of<V>];
    };
    row_pointers of;
    for (int i = 0; i < lanes_of<V>; ++i) {
      of.row[i] =
          data + rows.head[i] * head_stride + (rows.query[i] - queries.begin) * query_stride;
    }
    return [*this, of](V const& score, score_keys<V> const& at) ORIEL_INLINE_LAMBDA {
      if constexpr (std::is_same_v<V, double>) {
        double const added = of.row[0][(at.first - keys.begin) * key_stride];
        return added <= hides ? -static_cast<double>(infinity) : score + added;
      } else {
        float value[lanes_of<V>];
        for (int i = 0; i < lanes_of<V>; ++i) {
          float const added = of.row[i][(at.key(i) - keys.begin) * key_stride];
          value[i] = added <= hides ? -infinity : added;
        }
        V const added = V::load_unaligned(value);
        V const hidden(-infinity);
        return select(added == hidden, hidden, score + added);  // whatever the score is
      }
    };
  }

 private:
  static constexpr float hides = -2.3e38f;
};

}  // namespace oriel::inline v0
