// SPDX-License-Identifier: BSL-1.0
// Scores of a tile as either kernel holds them, before and after a functor.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "oriel/score/any_score.hpp"

namespace oriel::test {

/// A user's own functor: a bonus for every second key and for one head, with arithmetic on V's and
/// a table.
struct zebra {
  float bonus;

  template <class V>
  auto for_rows(score_rows<V> const& rows) const noexcept {
    V const own = rows.each([this](index, index head) { return head == 1 ? bonus : 0.0f; });
    return [own, bonus = bonus](V const& score, score_keys<V> const& keys) {
      V const stripe =
          keys.each([=](index, index, index key) { return key % 2 == 0 ? bonus : 0.0f; });
      return score * V(0.5f) + stripe - own;
    };
  }
};

/// A tile of made-up scores in both layouts, after `f` has passed over it, against the same in
/// double. Returns the largest |got - want| / max(1, |want|).
inline double score_error(any_score const& f, row_tile rows, range keys, index first_head = 0) {
  double worst = 0.0;
  auto const raw = [](int r, index i) {
    return std::sin(static_cast<float>(7 * r + 3 * i)) * 8.0f;
  };
  auto const want = [&](int r, index i) {
    return f.exact(raw(r, i), rows.position(r), first_head + rows.head(r), keys.begin + i) * log2_e;
  };
  constexpr float untouched = 1234.5f;
  for (bool const rows_in_lanes : {true, false}) {
    index const stride = rows_in_lanes ? round_up(rows.count, 48) : keys.size() + 3;
    index const lines = rows_in_lanes ? keys.size() : rows.count;
    std::vector<float> s(static_cast<std::size_t>(stride * lines), untouched);
    score_tile const tile{.scores = s.data(),
                          .key_step = rows_in_lanes ? stride : 1,
                          .row_step = rows_in_lanes ? 1 : stride,
                          .row_lanes = rows_in_lanes ? static_cast<int>(stride) : 0,
                          .rows = rows,
                          .first_head = first_head,
                          .keys = keys};
    auto const at = [&](int r, index i) -> float& {
      return s[static_cast<std::size_t>(i * tile.key_step + r * tile.row_step)];
    };
    for (int r = 0; r < rows.count; ++r) {
      for (index i = 0; i < keys.size(); ++i) at(r, i) = raw(r, i);
    }
    f.apply(tile);
    for (int r = 0; r < rows.count; ++r) {
      for (index i = 0; i < keys.size(); ++i) {
        double const exact = want(r, i);
        if (std::isinf(exact) && at(r, i) == exact) continue;
        worst = std::max(worst, std::abs(at(r, i) - exact) / std::max(1.0, std::abs(exact)));
      }
      if (!rows_in_lanes) {
        EXPECT_EQ(at(r, keys.size()), untouched) << "written behind the keys";
      }
    }
  }
  return worst;
}

/// Tiles of whole and broken groups, near and far.
inline std::vector<row_tile> score_tiles() {
  return {{0, 1, 1, 0}, {0, 48, 1, 100}, {3, 17, 4, 7}, {1, 8, 3, (index{1} << 40) + 1}};
}

/// The largest score_error over every tile and keys before, around and behind its queries.
inline double largest_score_error(any_score const& f, index first_head = 0) {
  double worst = 0.0;
  for (row_tile const& rows : score_tiles()) {
    index const q = rows.first_query;
    for (range const keys : {range{q - 40, q - 7}, {q - 3, q + 125}, {q, q + 1}}) {
      worst = std::max(worst, score_error(f, rows, keys, first_head));
    }
  }
  return worst;
}

}  // namespace oriel::test
