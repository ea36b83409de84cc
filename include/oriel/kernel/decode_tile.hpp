// SPDX-License-Identifier: BSL-1.0
// The decode kernel: a few rows against many keys. Bound by memory.
#pragma once

#include "oriel/cache/source.hpp"
#include "oriel/kernel/softmax_state.hpp"
#include "oriel/kernel/tile_shape.hpp"
#include "oriel/simd/transpose.hpp"

namespace oriel::inline v0 {

/// Flash attention of up to `decode_rows` query rows with lanes = head_dim: one pass over K and V
/// serves every row. While a tile of keys is scored its values are fetched into L2, and the next
/// keys while the values are accumulated: the jumps between K and V defeat the hardware prefetcher.
/// Source: Dao et al. 2023 (Flash-Decoding),
/// https://crfm.stanford.edu/2023/10/12/flashdecoding.html
template <class Arch>
class decode_tile {
 public:
  static constexpr int rows = decode_rows;

  ORIEL_INLINE static decode_tile carve(carver& memory, index head_dim, index v_dim) noexcept {
    decode_tile tile;
    tile.head_dim_ = head_dim;
    tile.padded_dim_ = head_dim / lanes<Arch> * lanes<Arch> + lanes<Arch>;
    tile.q_ = memory.take<float>(saturating_mul(tile.padded_dim_, rows));
    tile.s_ = memory.take<float>(tile_keys * rows);
    tile.state_ = softmax_state<Arch>::carve(memory, rows, v_dim);
    return tile;
  }

  /// Q = scale * the rows q[0..count), each [head_dim], padded with 0.
  void load_queries(float const* const* q, int count, float scale) noexcept {
    for (int r = 0; r < count; ++r) {
      for (index d = 0; d < padded_dim_; d += lanes<Arch>) {
        int const width = static_cast<int>(max_of(0, min_of(lanes<Arch>, head_dim_ - d)));
        vec<Arch> const x = load_partial<Arch>(q[r] + (width > 0 ? d : 0), width);
        store<Arch>(q_ + r * padded_dim_ + d, x * broadcast<Arch>(scale));
      }
    }
  }

  void begin_leaf(int count) noexcept { state_.reset(count); }

  void score(kv_run const& run, index at, int count) noexcept {
    in_row_blocks(count, [&]<int Rows>(std::integral_constant<int, Rows>, int r)
                             ORIEL_INLINE_LAMBDA { score_rows<Rows>(run, at, r); });
  }

  void hide(std::uint64_t const* word, range places, int count) noexcept {
    for (int r = 0; r < count; ++r) {
      float* const s = s_ + r * tile_keys + places.begin;
      for (index i = 0; i < places.size(); ++i) {
        if ((word[i] >> r & 1u) == 0) s[i] = -infinity;
      }
    }
  }

  /// The online softmax. A key's lane is its place in the absolute tile, so that a row is summed in
  /// the same order whatever keys the other rows see.
  void absorb(range places, int count) noexcept {
    index const begin = round_down(places.begin, lanes<Arch>);
    index const end = round_up(places.end, lanes<Arch>);
    for (int r = 0; r < count; ++r) {
      float* const s = s_ + r * tile_keys;
      for (index i = begin; i < places.begin; ++i) s[i] = -infinity;
      for (index i = places.end; i < end; ++i) s[i] = -infinity;
      vec<Arch> most = broadcast<Arch>(state_.m[r]);
      for (index i = begin; i < end; i += lanes<Arch>) most = max<Arch>(most, load<Arch>(s + i));
      float part[lanes<Arch>];
      store<Arch>(part, most);
      float top = part[0];
      for (int i = 1; i < lanes<Arch>; ++i) top = part[i] > top ? part[i] : top;
      if (top == -infinity) {
        for (index i = begin; i < end; ++i) s[i] = 0.0f;
        continue;
      }
      vec<Arch> const base = broadcast<Arch>(top);
      vec<Arch> sum = broadcast<Arch>(0.0f);
      for (index i = begin; i < end; i += lanes<Arch>) {
        vec<Arch> const p = exp2<Arch>(load<Arch>(s + i) - base);
        sum = sum + p;
        store<Arch>(s + i, p);
      }
      store<Arch>(part, sum);
      for (int i = 1; i < lanes<Arch>; ++i) part[0] += part[i];
      if (top > state_.m[r]) {
        vec<Arch> const shrink = exp2<Arch>(broadcast<Arch>(state_.m[r] - top));
        store<Arch>(part + 0,
                    fma<Arch>(broadcast<Arch>(state_.l[r]), shrink, broadcast<Arch>(part[0])));
        state_.l[r] = part[0];
        state_.m[r] = top;
        float* const acc = state_.acc + r * state_.stride();
        for (index d = 0; d < state_.stride(); d += lanes<Arch>) {
          store<Arch>(acc + d, load<Arch>(acc + d) * shrink);
        }
      } else {
        state_.l[r] += part[0];
      }
    }
  }

  /// The keys that will be scored next: they are fetched while the values are accumulated.
  void expect(kv_run const& next) noexcept { next_ = next; }

  void accumulate(kv_run const& run, index at, int count) noexcept {
    in_row_blocks(count, [&]<int Rows>(std::integral_constant<int, Rows>, int r)
                             ORIEL_INLINE_LAMBDA { accumulate_rows<Rows>(run, at, r); });
  }

  void end_leaf(softmax_state<Arch> const& leaf, int count) const noexcept {
    for (int r = 0; r < count; ++r) leaf.m[r] = state_.m[r], leaf.l[r] = state_.l[r];
    for (index i = 0; i < count * state_.stride(); i += lanes<Arch>) {
      store<Arch>(leaf.acc + i, load<Arch>(state_.acc + i));
    }
  }

 private:
  /// Rows in blocks of 4, 2 and 1.
  template <class F>
  ORIEL_INLINE static void in_row_blocks(int count, F&& f) noexcept {
    int r = 0;
    for (; r + 4 <= count; r += 4) f(std::integral_constant<int, 4>{}, r);
    if (r + 2 <= count) f(std::integral_constant<int, 2>{}, r), r += 2;
    if (r < count) f(std::integral_constant<int, 1>{}, r);
  }

  /// Scores of `lanes / Rows` keys x Rows rows at a time: as many sums as a register has lanes, so
  /// that one transpose-and-add reduces them all.
  template <int Rows>
  void score_rows(kv_run const& run, index at, int row) noexcept {
    constexpr int keys = lanes<Arch> / Rows > 0 ? lanes<Arch> / Rows : 1;
    index const whole = head_dim_ / lanes<Arch> * lanes<Arch>;
    int const rest = static_cast<int>(head_dim_ - whole);
    for (index i = 0; i < run.rows; i += keys) {
      float const* k[keys];
      for (int j = 0; j < keys; ++j) {  // past the end: the last key again
        index const key = min_of(i + j, run.rows - 1);
        k[j] = run.k + key * run.k_stride;
        float const* const v = run.v + key * run.v_stride;
        for (index d = 0; d < state_.v_dim; d += 16) prefetch_l2(v + d);
      }
      vec<Arch> sum[lanes<Arch>];
      for (auto& s : sum) s = broadcast<Arch>(0.0f);
      auto const add = [&](index d, auto&& key_part) ORIEL_INLINE_LAMBDA {
        vec<Arch> q[Rows];
        unroll<Rows>([&](auto r) ORIEL_INLINE_LAMBDA {
          q[r] = load<Arch>(q_ + (row + r) * padded_dim_ + d);
        });
        unroll<keys>([&](auto j) ORIEL_INLINE_LAMBDA {
          vec<Arch> const x = key_part(k[j] + d);
          unroll<Rows>([&](auto r) ORIEL_INLINE_LAMBDA {
            sum[r * keys + j] = fma<Arch>(q[r], x, sum[r * keys + j]);
          });
        });
      };
      for (index d = 0; d < whole; d += lanes<Arch>) {
        add(d, [](float const* from) ORIEL_INLINE_LAMBDA { return load<Arch>(from); });
      }
      if (rest > 0) {
        add(whole, [rest](float const* from)
                       ORIEL_INLINE_LAMBDA { return load_partial<Arch>(from, rest); });
      }
      float total[lanes<Arch>];
      store<Arch>(total, sum_rows<Arch>(sum));
      float* const to = s_ + row * tile_keys + at + i;
      if (i + keys <= run.rows) {
        unroll<Rows * keys>(
            [&](auto n) ORIEL_INLINE_LAMBDA { to[n / keys * tile_keys + n % keys] = total[n]; });
      } else {
        for (int r = 0; r < Rows; ++r) {
          for (index j = 0; i + j < run.rows; ++j) to[r * tile_keys + j] = total[r * keys + j];
        }
      }
    }
  }

  /// acc += P V, a block of Rows x 4 registers at a time.
  template <int Rows>
  void accumulate_rows(kv_run const& run, index at, int row) noexcept {
    constexpr int wide = register_count<Arch> == 32 ? 4 : 2;
    index d = 0;
    for (; d + wide * lanes<Arch> <= state_.v_dim; d += wide * lanes<Arch>) {
      accumulate_block<Rows, wide>(run, at, row, d, lanes<Arch>);
    }
    for (; d < state_.v_dim; d += lanes<Arch>) {
      int const width = static_cast<int>(min_of(lanes<Arch>, state_.v_dim - d));
      accumulate_block<Rows, 1>(run, at, row, d, width);
    }
  }

  template <int Rows, int Wide>
  ORIEL_INLINE void accumulate_block(kv_run const& run, index at, int row, index d,
                                     int width) noexcept {
    vec<Arch> sum[Rows][Wide];
    float* const acc = state_.acc + row * state_.stride() + d;
    unroll<Rows>([&](auto r) ORIEL_INLINE_LAMBDA {
      unroll<Wide>([&](auto j) ORIEL_INLINE_LAMBDA {
        sum[r][j] = load<Arch>(acc + r * state_.stride() + j * lanes<Arch>);
      });
    });
    float const* const weight = s_ + row * tile_keys + at;
    float const* v = run.v + d;
    for (index i = 0; i < run.rows; ++i, v += run.v_stride) {
      if (i < next_.rows) {
        unroll<Wide>([&](auto j) ORIEL_INLINE_LAMBDA {
          prefetch_l2(next_.k + i * next_.k_stride + d + j * lanes<Arch>);
        });
      }
      unroll<Wide>([&](auto j) ORIEL_INLINE_LAMBDA {
        vec<Arch> const x = Wide == 1 && width < lanes<Arch> ? load_partial<Arch>(v, width)
                                                             : load<Arch>(v + j * lanes<Arch>);
        unroll<Rows>([&](auto r) ORIEL_INLINE_LAMBDA {
          sum[r][j] = fma<Arch>(broadcast<Arch>(weight[r * tile_keys + i]), x, sum[r][j]);
        });
      });
    }
    unroll<Rows>([&](auto r) ORIEL_INLINE_LAMBDA {
      unroll<Wide>([&](auto j) ORIEL_INLINE_LAMBDA {
        store<Arch>(acc + r * state_.stride() + j * lanes<Arch>, sum[r][j]);
      });
    });
  }

  index head_dim_ = 0;
  index padded_dim_ = 0;
  float* q_ = nullptr;  ///< [rows, padded_dim]
  float* s_ = nullptr;  ///< scores, then weights [rows, tile_keys]
  softmax_state<Arch> state_;
  kv_run next_;  ///< what is scored next, to be fetched
};

}  // namespace oriel::inline v0
