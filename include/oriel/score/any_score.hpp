// SPDX-License-Identifier: BSL-1.0
// Any score functor, by value, or none.
#pragma once

#include <cstddef>
#include <cstring>

#include "oriel/score/score.hpp"
#include "oriel/simd/exp2.hpp"

namespace oriel::inline v0 {

/// Scores of a tile as a kernel holds them: row r's score of key keys.begin + i lies at
/// scores[i * key_step + r * row_step]; the smaller step is 1.
struct score_tile {
  float* scores = nullptr;
  index key_step = 1;
  index row_step = 1;
  int row_lanes = 0;  ///< rows there is memory for, at least rows.count
  row_tile rows = {};
  index first_head = 0;  ///< query head of the group's first
  range keys = {};
};

namespace detail {

/// One pass of a functor over a tile. In and out are natural units; what is stored is in base 2.
template <class Arch, class S>
class score_pass {
  using V = vec<Arch>;
  static constexpr int n = lanes<Arch>;

 public:
  static void run(S const& functor, score_tile const& tile) noexcept {
    if (tile.row_step == 1) {
      rows_in_lanes(functor, tile);
    } else {
      keys_in_lanes(functor, tile);
    }
  }

 private:
  /// query - key of every lane. Float arithmetic on integers below 2^24 is exact; beyond, each
  /// distance is formed in 64 bits.
  ORIEL_INLINE static V distance(score_rows<V> const& rows, index first, index step,
                                 V const& offset) noexcept {
    index const whole = rows.query[0] - first;
    if (magnitude(whole) < (1 << 24) - 256) {
      return V(static_cast<float>(whole)) + offset;
    }
    float exact[n];
    for (int i = 0; i < n; ++i) {
      exact[i] = static_cast<float>(rows.query[i] - (first + i * step));
    }
    return load<Arch>(exact);
  }

  ORIEL_INLINE static void apply(auto const& f, float* at, int width,
                                 score_keys<V> const& keys) noexcept {
    V const to_base_2(static_cast<float>(log2_e));
    if (width == n) {
      store<Arch>(at, f(load<Arch>(at), keys) * to_base_2);
    } else {
      store_partial<Arch>(at, f(load_partial<Arch>(at, width), keys) * to_base_2, width);
    }
  }

  static void rows_in_lanes(S const& functor, score_tile const& tile) noexcept {
    for (int r = 0; r < tile.rows.count; r += n) {
      score_rows<V> rows;
      float ahead[n];
      for (int i = 0; i < n; ++i) {  // after the last row: that row again
        int const row = r + i < tile.rows.count ? r + i : tile.rows.count - 1;
        rows.query[i] = tile.rows.position(row);
        rows.head[i] = tile.first_head + tile.rows.head(row);
        ahead[i] = static_cast<float>(rows.query[i] - rows.query[0]);
      }
      int const width = tile.row_lanes - r < n ? tile.row_lanes - r : n;
      V const offset = load<Arch>(ahead);
      auto const f = functor.for_rows(rows);
      float* at = tile.scores + r;
      for (index key = tile.keys.begin; key < tile.keys.end; ++key, at += tile.key_step) {
        apply(f, at, width, {distance(rows, key, 0, offset), key, 0, key, &rows});
      }
    }
  }

  static void keys_in_lanes(S const& functor, score_tile const& tile) noexcept {
    float down[n];
    for (int i = 0; i < n; ++i) down[i] = static_cast<float>(-i);
    V const offset = load<Arch>(down);
    for (int r = 0; r < tile.rows.count; ++r) {
      score_rows<V> rows;
      for (int i = 0; i < n; ++i) {
        rows.query[i] = tile.rows.position(r);
        rows.head[i] = tile.first_head + tile.rows.head(r);
      }
      auto const f = functor.for_rows(rows);
      float* at = tile.scores + r * tile.row_step;
      for (index key = tile.keys.begin; key < tile.keys.end; key += n, at += n) {
        int const width = static_cast<int>(min_of(n, tile.keys.end - key));
        apply(f, at, width, {distance(rows, key, 1, offset), key, 1, tile.keys.end - 1, &rows});
      }
    }
  }
};

}  // namespace detail

/// Holds a copy of any score functor, or none (then a score is scale * q.k), and asks it through a
/// pointer once per tile. A functor larger than 128 bytes should point to its data. It is compiled
/// for the instruction set of the translation unit that makes the any_score.
class any_score {
 public:
  static constexpr std::size_t capacity = 128;

  ORIEL_INLINE constexpr any_score() noexcept {}  // not "= default": that is not always inlined
  template <score S, class Arch = default_arch>
  requires(!std::is_same_v<S, any_score>) ORIEL_INLINE any_score(S const& s)
  noexcept : ask_(&answers<S, Arch>::table) {
    static_assert(sizeof(S) <= capacity,
                  "a score holds at most 128 bytes: let it point to its data");
    static_assert(alignof(S) <= alignof(std::max_align_t));
    if constexpr (!std::is_empty_v<S>) std::memcpy(bytes_, &s, sizeof(S));
  }

  /// Is there a functor?
  ORIEL_INLINE explicit operator bool() const noexcept { return ask_ != nullptr; }
  ORIEL_INLINE status check(index q_heads, range queries, range keys) const noexcept {
    return ask_ == nullptr ? status{} : ask_->check(bytes_, q_heads, queries, keys);
  }
  /// The scores of a tile: in as scale * q.k, out as the functor's result times log2(e).
  ORIEL_INLINE void apply(score_tile const& tile) const noexcept { ask_->apply(bytes_, tile); }
  /// One score by the definition.
  ORIEL_INLINE double exact(double score, index query, index head, index key) const noexcept {
    return ask_ == nullptr ? score : ask_->exact(bytes_, score, query, head, key);
  }

 private:
  struct questions {
    status (*check)(void const*, index, range, range) noexcept;
    void (*apply)(void const*, score_tile const&) noexcept;
    double (*exact)(void const*, double, index, index, index) noexcept;
  };

  template <class S, class Arch>
  struct answers {
    static S const& of(void const* bytes) noexcept { return *static_cast<S const*>(bytes); }
    static status check(void const* s, index heads, range queries, range keys) noexcept {
      return check_score(of(s), heads, queries, keys);
    }
    static void apply(void const* s, score_tile const& tile) noexcept {
      detail::score_pass<Arch, S>::run(of(s), tile);
    }
    static double exact(void const* s, double score, index query, index head, index key) noexcept {
      score_rows<double> const rows{{query}, {head}};
      score_keys<double> const keys{static_cast<double>(query - key), key, 0, key, &rows};
      return of(s).for_rows(rows)(score, keys);
    }
    static constexpr questions table{check, apply, exact};
  };

  questions const* ask_ = nullptr;
  alignas(std::max_align_t) std::byte bytes_[capacity] = {};
};

}  // namespace oriel::inline v0
