// SPDX-License-Identifier: BSL-1.0
// The row-lane kernel: many rows against tiles of keys. Bound by arithmetic.
#pragma once

#include "oriel/cache/source.hpp"
#include "oriel/kernel/softmax_state.hpp"
#include "oriel/kernel/tile_gemm.hpp"
#include "oriel/simd/transpose.hpp"

namespace oriel::inline v0 {

/// Flash attention of one tile of query rows with lanes = rows: scores and outputs are computed
/// transposed, so that K and V are read element by element where they lie, no operation crosses
/// lanes, and the softmax keeps a maximum and a sum per lane.
/// Source: Dao et al. 2022 (FlashAttention), arXiv:2205.14135; Dao 2023, arXiv:2307.08691.
template <class Arch>
class flash_tile {
 public:
  static constexpr int rows = tile_shape<Arch>::rows;
  static constexpr int vectors = tile_shape<Arch>::vectors;

  /// Scores live only within a key tile: the tiles of a block share `scores` [tile_keys, rows].
  ORIEL_INLINE static flash_tile carve(carver& memory, index head_dim, index v_dim,
                                       float* scores) noexcept {
    flash_tile tile;
    tile.head_dim_ = head_dim;
    tile.v_dim_ = v_dim;
    tile.q_ = memory.take<float>(saturating_mul(head_dim, rows));
    tile.s_ = scores;
    tile.o_ = memory.take<float>(saturating_mul(v_dim, rows));
    tile.m_ = memory.take<float>(rows);
    tile.l_ = memory.take<float>(rows);
    return tile;
  }

  /// Q^T = scale * the rows q[0..count), each [head_dim]; lanes from `count` on are 0.
  void load_queries(float const* const* q, int count, float scale) noexcept {
    constexpr int n = lanes<Arch>;
    for (int r = 0; r < rows; r += n) {
      for (index d = 0; d < head_dim_; d += n) {
        int const width = static_cast<int>(min_of(n, head_dim_ - d));
        vec<Arch> block[n];
        for (int i = 0; i < n; ++i) {
          block[i] = r + i < count
                         ? load_partial<Arch>(q[r + i] + d, width) * broadcast<Arch>(scale)
                         : broadcast<Arch>(0.0f);
        }
        transpose<Arch>(block);
        for (int i = 0; i < width; ++i) store<Arch>(q_ + (d + i) * rows + r, block[i]);
      }
    }
  }

  /// Forget all keys: the identity.
  void begin_leaf(int /*count*/) noexcept {
    for (int r = 0; r < rows; ++r) m_[r] = -infinity, l_[r] = 0.0f;
    for (index i = 0; i < v_dim_ * rows; ++i) o_[i] = 0.0f;
  }

  /// Scores of the keys of `run` into places at, at + 1, ... of the tile; a place counts from the
  /// tile's absolute begin.
  void score(kv_run const& run, index at, int /*count*/) noexcept {
    tile_gemm<Arch, false>(run.k, run.k_stride, 1, run.rows, head_dim_, q_, s_ + at * rows);
  }

  /// Hides the score at (places.begin + i, row r) where bit r of word[i] is 0, whatever it holds.
  void hide(std::uint64_t const* word, range places, int /*count*/) noexcept {
    for (index i = 0; i < places.size(); ++i) {
      unroll<vectors>([&](auto j) ORIEL_INLINE_LAMBDA {
        float* const at = s_ + (places.begin + i) * rows + j * lanes<Arch>;
        auto const bits = static_cast<unsigned>(word[i] >> (j * lanes<Arch>));
        store<Arch>(at, keep_or_hide<Arch>(load<Arch>(at), bits));
      });
    }
  }

  /// The online softmax: m' = max(m, scores), P = 2^(S - m'), l and O rescaled by 2^(m - m').
  void absorb(range places, int /*count*/) noexcept {
    vec<Arch> old[vectors];
    vec<Arch> top[vectors];
    unroll<vectors>(
        [&](auto j) ORIEL_INLINE_LAMBDA { old[j] = top[j] = load<Arch>(m_ + j * lanes<Arch>); });
    for (index i = places.begin; i < places.end; ++i) {
      unroll<vectors>([&](auto j) ORIEL_INLINE_LAMBDA {
        top[j] = max<Arch>(top[j], load<Arch>(s_ + i * rows + j * lanes<Arch>));
      });
    }
    bool risen = false;
    vec<Arch> base[vectors];
    vec<Arch> shrink[vectors];
    vec<Arch> sum[vectors];
    unroll<vectors>([&](auto j) ORIEL_INLINE_LAMBDA {
      risen |= any_greater<Arch>(top[j], old[j]);
      base[j] = max<Arch>(top[j], broadcast<Arch>(lowest));  // a row without keys: -inf - lowest
      shrink[j] = exp2<Arch>(old[j] - base[j]);
      sum[j] = load<Arch>(l_ + j * lanes<Arch>) * shrink[j];
      store<Arch>(m_ + j * lanes<Arch>, top[j]);
    });
    for (index i = places.begin; i < places.end; ++i) {
      unroll<vectors>([&](auto j) ORIEL_INLINE_LAMBDA {
        float* const at = s_ + i * rows + j * lanes<Arch>;
        vec<Arch> const p = exp2<Arch>(load<Arch>(at) - base[j]);
        sum[j] = sum[j] + p;
        store<Arch>(at, p);
      });
    }
    unroll<vectors>([&](auto j) ORIEL_INLINE_LAMBDA { store<Arch>(l_ + j * lanes<Arch>, sum[j]); });
    if (!risen) return;  // every factor is 1
    for (index d = 0; d < v_dim_; ++d) {
      unroll<vectors>([&](auto j) ORIEL_INLINE_LAMBDA {
        float* const at = o_ + d * rows + j * lanes<Arch>;
        store<Arch>(at, load<Arch>(at) * shrink[j]);
      });
    }
  }

  /// Where the next keys lie: of no use here, a block of row tiles hides the loads.
  void expect(kv_run const& /*next*/) noexcept {}

  /// O^T += V^T P^T for the keys of `run`, whose weights are at places at, at + 1, ...
  void accumulate(kv_run const& run, index at, int /*count*/) noexcept {
    tile_gemm<Arch, true>(run.v, 1, run.v_stride, v_dim_, run.rows, s_ + at * rows, o_);
  }

  /// Writes the leaf's state, row by row.
  void end_leaf(softmax_state<Arch> const& leaf, int count) const noexcept {
    constexpr int n = lanes<Arch>;
    for (int r = 0; r < count; ++r) leaf.m[r] = m_[r], leaf.l[r] = l_[r];
    for (int r = 0; r < count; r += n) {
      for (index d = 0; d < v_dim_; d += n) {
        int const width = static_cast<int>(min_of(n, v_dim_ - d));
        vec<Arch> block[n];
        for (int i = 0; i < n; ++i) {
          block[i] = i < width ? load<Arch>(o_ + (d + i) * rows + r) : broadcast<Arch>(0.0f);
        }
        transpose<Arch>(block);
        for (int i = 0; i < n && r + i < count; ++i) {
          store<Arch>(leaf.acc + (r + i) * leaf.stride() + d, block[i]);
        }
      }
    }
  }

 private:
  static constexpr float lowest = std::numeric_limits<float>::lowest();

  index head_dim_ = 0;
  index v_dim_ = 0;
  float* q_ = nullptr;  ///< Q^T [head_dim, rows]
  float* s_ = nullptr;  ///< S^T, then P^T [tile_keys, rows]
  float* o_ = nullptr;  ///< O^T [v_dim, rows]
  float* m_ = nullptr;  ///< [rows]
  float* l_ = nullptr;  ///< [rows]
};

}  // namespace oriel::inline v0
