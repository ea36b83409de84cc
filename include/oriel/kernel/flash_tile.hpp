// SPDX-License-Identifier: BSL-1.0
// The row-lane kernel: many rows against tiles of keys. Bound by arithmetic.
#pragma once

#include <utility>

#include "oriel/cache/source.hpp"
#include "oriel/kernel/softmax_state.hpp"
#include "oriel/kernel/tile_gemm.hpp"
#include "oriel/score/any_score.hpp"
#include "oriel/simd/transpose.hpp"

namespace oriel::inline v0 {

/// Flash attention of one tile of query rows with lanes = rows: scores and outputs are computed
/// transposed, so that K and V are read element by element where they lie, no operation crosses
/// lanes, and the softmax keeps a maximum and a sum per lane. A tile of few rows is computed with
/// as many registers as they need; a row's bits do not depend on it.
/// Source: Dao et al. 2022 (FlashAttention), arXiv:2205.14135; Dao 2023, arXiv:2307.08691.
template <class Arch>
class flash_tile {
 public:
  static constexpr int rows = tile_shape<Arch>::rows;
  static constexpr index keys = tile_keys;

  /// Scores live only within a key tile: the tiles of a work item share `scores` [tile_keys, rows].
  static flash_tile carve(carver& memory, index head_dim, index v_dim, float* scores) noexcept {
    flash_tile tile;
    tile.head_dim_ = head_dim;
    tile.v_dim_ = v_dim;
    tile.q_ = memory.take<float>(saturating_mul(head_dim, rows));
    tile.s_ = scores;
    for (lane_state* state : {&tile.leaf_, &tile.total_}) {
      state->m = memory.take<float>(rows);
      state->l = memory.take<float>(rows);
      state->o = memory.take<float>(saturating_mul(v_dim, rows));
    }
    return tile;
  }

  /// Q^T = scale * the rows q[0..count), each [head_dim]; lanes from `count` on are 0. No key has
  /// been seen.
  void begin(float const* const* q, int count, float scale, bool /*rounds*/ = false) noexcept {
    constexpr int n = lanes<Arch>;
    vectors_ = static_cast<int>(ceil_div(count, n));
    merged_ = false;
    for (int r = 0; r < vectors_ * n; r += n) {
      for (index d = 0; d < head_dim_; d += n) {
        int const width = static_cast<int>(min_of(n, head_dim_ - d));
        vec<Arch> block[n];
        if (r + n <= count && width == n) {
          unroll<n>([&](int i) ORIEL_INLINE_LAMBDA {
            block[i] = load<Arch>(q[r + i] + d) * broadcast<Arch>(scale);
          });
        } else {
          unroll<n>([&](int i) ORIEL_INLINE_LAMBDA {
            block[i] = r + i < count
                           ? load_partial<Arch>(q[r + i] + d, width) * broadcast<Arch>(scale)
                           : broadcast<Arch>(0.0f);
          });
        }
        transpose<Arch>(block);
        unroll<n>([&](int i) ORIEL_INLINE_LAMBDA {
          if (i < width) store<Arch>(q_ + (d + i) * rows + r, block[i]);
        });
      }
    }
  }

  void begin_leaf(int /*count*/) noexcept {
    reset(leaf_);
    fresh_ = true;
  }

  /// Rows that this tile may prefetch while it computes: k with the scores, v with the values.
  void expect(kv_run const& next) noexcept {
    next_k_ = row_fetch<Arch>(next.k, next.rows);
    next_v_ = row_fetch<Arch>(next.v, next.rows);
  }

  /// Scores of the keys of `run`, floats, into places at, at + 1, ... of the tile; a place counts
  /// from the tile's absolute begin.
  void score(kv_run const& run, index at, int /*count*/) noexcept {
    gemm(run.k.row(0), run.k.float_stride(), 1, run.rows, head_dim_, q_, s_ + at * rows, false,
         next_k_);
  }

  /// Scores of the places from `at` on, for a functor to change.
  score_tile scores(index at) const noexcept {
    return {.scores = s_ + at * rows, .key_step = rows, .row_step = 1, .row_lanes = rows};
  }

  /// Hides the score at (places.begin + i, row r) where bit r of word[i] is 0, whatever it holds.
  void hide(std::uint64_t const* word, range places, int /*count*/) noexcept {
    for (index i = 0; i < places.size(); ++i) {
      for (int j = 0; j < vectors_; ++j) {
        float* const at = s_ + (places.begin + i) * rows + j * lanes<Arch>;
        auto const bits = static_cast<unsigned>(word[i] >> (j * lanes<Arch>));
        store<Arch>(at, keep_or_hide<Arch>(load<Arch>(at), bits));
      }
    }
  }

  /// The online softmax: m' = max(m, scores), P = 2^(S - m'), l and O rescaled by 2^(m - m').
  void absorb(range places, int /*count*/) noexcept {
    for (int j = 0; j < vectors_ * lanes<Arch>; j += lanes<Arch>) {
      float* const s = s_ + j;
      vec<Arch> const old = load<Arch>(leaf_.m + j);
      vec<Arch> most[4] = {old, old, old, old};  // four chains: a maximum has no order
      index i = places.begin;
      for (; i + 4 <= places.end; i += 4) {
        unroll<4>([&](int c) ORIEL_INLINE_LAMBDA {
          most[c] = max<Arch>(most[c], load<Arch>(s + (i + c) * rows));
        });
      }
      for (; i < places.end; ++i) most[0] = max<Arch>(most[0], load<Arch>(s + i * rows));
      vec<Arch> const top = max<Arch>(max<Arch>(most[0], most[1]), max<Arch>(most[2], most[3]));
      vec<Arch> const base = at_least_lowest<Arch>(top);
      vec<Arch> const shrink = exp2<Arch>(old - base);
      vec<Arch> sum = load<Arch>(leaf_.l + j) * shrink;
      for (i = places.begin; i < places.end; ++i) {
        vec<Arch> const p = exp2<Arch>(load<Arch>(s + i * rows) - base);
        sum = sum + p;
        store<Arch>(s + i * rows, p);
      }
      store<Arch>(leaf_.m + j, top);
      store<Arch>(leaf_.l + j, sum);
      if (fresh_ || !any_greater<Arch>(top, old)) continue;  // no values, or every factor is 1
      for (index d = 0; d < v_dim_; ++d) {
        float* const at = leaf_.o + d * rows + j;
        store<Arch>(at, load<Arch>(at) * shrink);
      }
    }
  }

  /// The decode kernel's; here there is nothing to do.
  template <class Runs>
  ORIEL_INLINE void begin_values(range /*places*/, int /*count*/, Runs&& /*each_run*/) noexcept {}
  /// O^T += V^T P^T for the values of `run`, floats. Runs come in order.
  void accumulate(kv_run const& run, index at, int /*count*/) noexcept {
    gemm(run.v.row(0), 1, run.v.float_stride(), v_dim_, run.rows, s_ + at * rows, leaf_.o, !fresh_,
         next_v_);
    fresh_ = false;
  }
  ORIEL_INLINE void end_values(int /*count*/) noexcept {}

  /// The leaf becomes part of the total: softmax_state::merge with lanes = rows.
  void end_leaf(int /*count*/) noexcept {
    if (fresh_) clear_values(leaf_);
    if (!merged_) {  // the identity merged with a leaf is that leaf
      std::swap(leaf_, total_);
      merged_ = true;
      return;
    }
    for (int j = 0; j < vectors_ * lanes<Arch>; j += lanes<Arch>) {
      vec<Arch> const own = load<Arch>(total_.m + j);
      vec<Arch> const next = load<Arch>(leaf_.m + j);
      vec<Arch> const top = max<Arch>(own, next);
      vec<Arch> const base = at_least_lowest<Arch>(top);
      vec<Arch> const a = exp2<Arch>(own - base);
      vec<Arch> const b = exp2<Arch>(next - base);
      auto const merge = [&](float* to, float const* from) ORIEL_INLINE_LAMBDA {
        store<Arch>(to, fma<Arch>(load<Arch>(from), b, load<Arch>(to) * a));
      };
      store<Arch>(total_.m + j, top);
      merge(total_.l + j, leaf_.l + j);
      for (index d = 0; d < v_dim_; ++d) merge(total_.o + d * rows + j, leaf_.o + d * rows + j);
    }
  }

  /// Writes the total over all leaves, row by row.
  void end(softmax_state<Arch> const& to, int count) noexcept {
    constexpr int n = lanes<Arch>;
    if (!merged_) {
      reset(total_);
      clear_values(total_);
    }
    for (int r = 0; r < count; ++r) to.m[r] = total_.m[r], to.l[r] = total_.l[r];
    for (int r = 0; r < count; r += n) {
      for (index d = 0; d < v_dim_; d += n) {
        int const width = static_cast<int>(min_of(n, v_dim_ - d));
        vec<Arch> block[n];
        unroll<n>([&](int i) ORIEL_INLINE_LAMBDA {
          block[i] = i < width ? load<Arch>(total_.o + (d + i) * rows + r) : broadcast<Arch>(0.0f);
        });
        transpose<Arch>(block);
        unroll<n>([&](int i) ORIEL_INLINE_LAMBDA {
          if (r + i < count) store<Arch>(to.acc + (r + i) * to.stride() + d, block[i]);
        });
      }
    }
  }

 private:
  /// A softmax_state with lanes = rows.
  struct lane_state {
    float* m = nullptr;  ///< [rows]
    float* l = nullptr;  ///< [rows]
    float* o = nullptr;  ///< O^T [v_dim, rows]
  };

  void reset(lane_state const& state) const noexcept {
    for (int r = 0; r < rows; ++r) state.m[r] = -infinity, state.l[r] = 0.0f;
  }
  void clear_values(lane_state const& state) const noexcept {
    for (index i = 0; i < v_dim_ * rows; ++i) state.o[i] = 0.0f;
  }

  void gemm(float const* a, index a_row, index a_step, index count, index steps, float const* b,
            float* c, bool add, row_fetch<Arch>& fetch) const noexcept {
    if (vectors_ == 3) {
      tile_gemm<Arch, 3>(a, a_row, a_step, count, steps, b, c, add, fetch);
    } else if (vectors_ == 2) {
      tile_gemm<Arch, 2>(a, a_row, a_step, count, steps, b, c, add, fetch);
    } else {
      tile_gemm<Arch, 1>(a, a_row, a_step, count, steps, b, c, add, fetch);
    }
  }

  index head_dim_ = 0;
  index v_dim_ = 0;
  int vectors_ = 0;      ///< registers that hold the rows
  bool fresh_ = true;    ///< has the leaf no values yet? Its O^T holds anything
  bool merged_ = false;  ///< has any leaf ended?
  float* q_ = nullptr;   ///< Q^T [head_dim, rows]
  float* s_ = nullptr;   ///< S^T, then P^T [tile_keys, rows]
  lane_state leaf_;
  lane_state total_;
  row_fetch<Arch> next_k_;
  row_fetch<Arch> next_v_;
};

}  // namespace oriel::inline v0
