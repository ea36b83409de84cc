// SPDX-License-Identifier: BSL-1.0
// The decode kernel: a few rows against many keys. Bound by memory.
#pragma once

#include <utility>

#include "oriel/cache/source.hpp"
#include "oriel/kernel/row_fetch.hpp"
#include "oriel/kernel/softmax_state.hpp"
#include "oriel/kernel/tile_shape.hpp"
#include "oriel/score/any_score.hpp"
#include "oriel/simd/transpose.hpp"

namespace oriel::inline v0 {

/// Flash attention of up to `decode_rows` query rows with lanes = head_dim: one pass over K and V
/// serves every row. Rows are asked for long before they are read: the jumps between K and V defeat
/// the hardware prefetcher. Either each line asks for one further on (`bytes_ahead`), or a tile's
/// values are fetched while its keys are scored, and the next keys while values are accumulated.
/// Source: Dao et al. 2023 (Flash-Decoding),
/// https://crfm.stanford.edu/2023/10/12/flashdecoding.html
template <class Arch>
class decode_tile {
 public:
  static constexpr int rows = decode_rows;

  /// Rows that are read at a time where they are not stored as floats: they stay in L1.
  static constexpr index chunk_keys = 16;

  /// Scores and chunks of rows live only within a key tile: the tiles of a block share `scores`
  /// [rows, tile_keys] and `chunk` [chunk_keys, max(head_dim, v_dim)], which may be null where all
  /// rows are floats.
  static decode_tile carve(carver& memory, index head_dim, index v_dim, float* scores,
                           float* chunk = nullptr) noexcept {
    decode_tile tile;
    tile.chunk_ = chunk;
    tile.head_dim_ = head_dim;
    tile.padded_dim_ = head_dim / lanes<Arch> * lanes<Arch> + lanes<Arch>;
    tile.q_ = memory.take<float>(saturating_mul(tile.padded_dim_, rows));
    tile.s_ = scores;
    tile.leaf_ = softmax_state<Arch>::carve(memory, rows, v_dim);
    tile.total_ = softmax_state<Arch>::carve(memory, rows, v_dim);
    return tile;
  }

  /// Q = scale * the rows q[0..count), each [head_dim], padded with 0. No key has been seen.
  void begin(float const* const* q, int count, float scale) noexcept {
    merged_ = false;
    ahead_ = bytes_ahead<Arch>(count);
    for (index i = count * padded_dim_; i < rows * padded_dim_; ++i) q_[i] = 0.0f;
    for (int r = 0; r < count; ++r) {
      for (index d = 0; d < padded_dim_; d += lanes<Arch>) {
        int const width = static_cast<int>(max_of(0, min_of(lanes<Arch>, head_dim_ - d)));
        vec<Arch> const x = load_partial<Arch>(q[r] + (width > 0 ? d : 0), width);
        store<Arch>(q_ + r * padded_dim_ + d, x * broadcast<Arch>(scale));
      }
    }
  }

  void begin_leaf(int /*count*/) noexcept { leaf_.reset(rows); }

  /// The keys that are scored next: they are asked for while values are accumulated.
  void expect(kv_run const& next) noexcept { next_k_ = fetch(next.k, next.rows); }

  /// Scores of the keys of `run`, whose values are asked for meanwhile.
  void score(kv_run const& run, index at, int count) noexcept {
    v_ = fetch(run.v, run.rows);
    in_chunks(run, run.k, head_dim_, [&](float_rows const& k, index done) ORIEL_INLINE_LAMBDA {
      in_row_blocks(count, [&]<int Rows>(std::integral_constant<int, Rows>, int r)
                               ORIEL_INLINE_LAMBDA { score_rows<Rows>(k, at + done, r); });
    });
  }

  score_tile scores(index at) const noexcept {
    return {.scores = s_ + at, .key_step = 1, .row_step = tile_keys};
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
      vec<Arch> most = broadcast<Arch>(leaf_.m[r]);
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
      vec<Arch> const shrink = exp2<Arch>(broadcast<Arch>(leaf_.m[r] - top));
      vec<Arch> const grown = broadcast<Arch>(part[0]);
      store_partial<Arch>(leaf_.l + r, fma<Arch>(broadcast<Arch>(leaf_.l[r]), shrink, grown), 1);
      if (top == leaf_.m[r]) continue;  // the factor is 1
      leaf_.m[r] = top;
      float* const acc = leaf_.acc + r * leaf_.stride();
      for (index d = 0; d < leaf_.stride(); d += lanes<Arch>) {
        store<Arch>(acc + d, load<Arch>(acc + d) * shrink);
      }
    }
  }

  /// acc += P V for the keys of `run`.
  void accumulate(kv_run const& run, index at, int count) noexcept {
    in_chunks(run, run.v, leaf_.v_dim, [&](float_rows const& v, index done) ORIEL_INLINE_LAMBDA {
      in_row_blocks(count, [&]<int Rows>(std::integral_constant<int, Rows>, int r)
                               ORIEL_INLINE_LAMBDA { accumulate_rows<Rows>(v, at + done, r); });
    });
  }

  /// The leaf becomes part of the total.
  void end_leaf(int count) noexcept {
    if (merged_) {
      total_.merge(leaf_, count);
    } else {  // the identity merged with a leaf is that leaf
      std::swap(leaf_, total_);
      merged_ = true;
    }
  }

  /// Writes the total over all leaves.
  void end(softmax_state<Arch> const& to, int count) const noexcept {
    if (!merged_) return to.reset(count);
    for (int r = 0; r < count; ++r) to.m[r] = total_.m[r], to.l[r] = total_.l[r];
    for (index i = 0; i < count * total_.stride(); i += lanes<Arch>) {
      store<Arch>(to.acc + i, load<Arch>(total_.acc + i));
    }
  }

 private:
  /// A chunk of keys or values as floats.
  struct float_rows {
    float const* data;
    index stride;          ///< floats
    index count;           ///< at most chunk_keys
    std::uintptr_t ahead;  ///< bytes from a line to the one to ask for
  };

  ORIEL_INLINE row_fetch<Arch> fetch(stored_rows const& rows, index count) const noexcept {
    return ahead_ > 0 ? row_fetch<Arch>() : row_fetch<Arch>(rows, count);
  }

  /// Calls f(rows, n) for chunk after chunk of rows as floats, behind the first n: where they lie,
  /// or as they are read.
  template <class F>
  ORIEL_INLINE void in_chunks(kv_run const& run, stored_rows const& of, index dim,
                              F&& f) const noexcept {
    bool const coded = static_cast<bool>(of.reader);
    row_slice chunk = run.slice(of, dim);
    for (index done = 0; done < run.rows; done += chunk_keys) {
      chunk.count = min_of(chunk_keys, run.rows - done);
      chunk.data = of.data + done * of.stride;
      chunk.first = run.first + done;
      if (!coded) {
        auto const ahead = static_cast<std::uintptr_t>(ahead_);
        f(float_rows{of.row(done), of.float_stride(), chunk.count, ahead}, done);
        continue;
      }
      if (ahead_ > 0) ask_ahead(chunk, of.bytes);
      of.reader(chunk, chunk_);
      f(float_rows{chunk_, dim, chunk.count, 0}, done);
    }
  }

  /// Asks for the lines `ahead_` bytes behind those of some rows.
  void ask_ahead(row_slice const& rows, index bytes) const noexcept {
    for (index i = 0; i < rows.count; ++i) {
      auto const row = reinterpret_cast<std::uintptr_t>(rows.data) +
                       static_cast<std::uintptr_t>(i * rows.stride + ahead_);
      for (index at = 0; at < bytes; at += 64) prefetch_l2(row + static_cast<std::uintptr_t>(at));
    }
  }
  ORIEL_INLINE static void ask(float const* line, std::uintptr_t ahead) noexcept {
    prefetch_l2(reinterpret_cast<std::uintptr_t>(line) + ahead);
  }

  /// Rows in blocks of 8, 4 or 1, of as many as a register has lanes at most. The last block may
  /// compute up to 3 rows too many: the memory is what takes the time, and nobody reads them.
  template <class F>
  ORIEL_INLINE static void in_row_blocks(int count, F&& f) noexcept {
    constexpr int most = lanes<Arch> < 8 ? 4 : 8;
    if (count == 1) return f(std::integral_constant<int, 1>{}, 0);
    for (int r = 0; r < count; r += most) {
      if (most > 4 && count - r <= 4) return f(std::integral_constant<int, 4>{}, r);
      f(std::integral_constant<int, most>{}, r);
    }
  }

  /// The products of the first row with a key, lane by lane.
  ORIEL_INLINE vec<Arch> product(float const* k, std::uintptr_t ahead) const noexcept {
    vec<Arch> sum = broadcast<Arch>(0.0f);
    index d = 0;
    for (; d + lanes<Arch> <= head_dim_; d += lanes<Arch>) {
      ask(k + d, ahead);
      sum = fma<Arch>(load<Arch>(q_ + d), load<Arch>(k + d), sum);
    }
    if (d == head_dim_) return sum;
    ask(k + d, ahead);
    return fma<Arch>(load<Arch>(q_ + d), load_partial<Arch>(k + d, static_cast<int>(head_dim_ - d)),
                     sum);
  }

  /// Scores of `lanes / Rows` keys x Rows rows at a time: as many sums as a register has lanes, so
  /// that one transpose-and-add reduces them all.
  template <int Rows>
  void score_rows(float_rows const& run, index at, int row) noexcept {
    constexpr int keys = lanes<Arch> / Rows > 0 ? lanes<Arch> / Rows : 1;
    index const whole = head_dim_ / lanes<Arch> * lanes<Arch>;
    int const rest = static_cast<int>(head_dim_ - whole);
    for (index i = 0; i < run.count; i += keys) {
      if (row == 0) v_.lines(v_.lines_in(keys));
      float const* k[keys];
      for (int j = 0; j < keys; ++j) {  // past the end: the last key again
        index const key = min_of(i + j, run.count - 1);
        k[j] = run.data + key * run.stride;
      }
      vec<Arch> sum[lanes<Arch>];
      unroll<lanes<Arch>>([&](int n) ORIEL_INLINE_LAMBDA { sum[n] = broadcast<Arch>(0.0f); });
      auto const add = [&](index d, auto&& key_part) ORIEL_INLINE_LAMBDA {
        vec<Arch> q[Rows];
        unroll<Rows>([&](int r) ORIEL_INLINE_LAMBDA {
          q[r] = load<Arch>(q_ + (row + r) * padded_dim_ + d);
        });
        unroll<keys>([&](int j) ORIEL_INLINE_LAMBDA {
          vec<Arch> const x = key_part(k[j] + d);
          ask(k[j] + d, run.ahead);
          unroll<Rows>([&](int r) ORIEL_INLINE_LAMBDA {
            sum[r * keys + j] = fma<Arch>(q[r], x, sum[r * keys + j]);
          });
        });
      };
      if constexpr (Rows == 1) {  // one key after the other, so that memory is read in order
        unroll<keys>([&](int j) ORIEL_INLINE_LAMBDA { sum[j] = product(k[j], run.ahead); });
      } else {
        for (index d = 0; d < whole; d += lanes<Arch>) {
          add(d, [](float const* from) ORIEL_INLINE_LAMBDA { return load<Arch>(from); });
        }
        if (rest > 0) {
          add(whole, [rest](float const* from)
                         ORIEL_INLINE_LAMBDA { return load_partial<Arch>(from, rest); });
        }
      }
      float total[lanes<Arch>];
      store<Arch>(total, sum_rows<Arch>(sum));
      float* const to = s_ + row * tile_keys + at + i;
      if (i + keys <= run.count) {
        unroll<Rows * keys>(
            [&](int n) ORIEL_INLINE_LAMBDA { to[n / keys * tile_keys + n % keys] = total[n]; });
      } else {
        for (int r = 0; r < Rows; ++r) {
          for (index j = 0; i + j < run.count; ++j) to[r * tile_keys + j] = total[r * keys + j];
        }
      }
    }
  }

  /// acc += P V for Rows rows, as many registers of each as fill half the register file.
  template <int Rows>
  void accumulate_rows(float_rows const& run, index at, int row) noexcept {
    constexpr int half = register_count<Arch> / 2;
    constexpr int wide = half / Rows > 8 ? 8 : half / Rows;
    index d = 0;
    for (; d + wide * lanes<Arch> <= leaf_.v_dim; d += wide * lanes<Arch>) {
      accumulate_block<Rows, wide>(run, at, row, d, lanes<Arch>);
    }
    for (; d < leaf_.v_dim; d += lanes<Arch>) {
      int const width = static_cast<int>(min_of(lanes<Arch>, leaf_.v_dim - d));
      accumulate_block<Rows, 1>(run, at, row, d, width);
    }
  }

  template <int Rows, int Wide>
  ORIEL_INLINE void accumulate_block(float_rows const& run, index at, int row, index d,
                                     int width) noexcept {
    vec<Arch> sum[Rows][Wide];
    float* const acc = leaf_.acc + row * leaf_.stride() + d;
    unroll<Rows>([&](int r) ORIEL_INLINE_LAMBDA {
      unroll<Wide>([&](int j) ORIEL_INLINE_LAMBDA {
        sum[r][j] = load<Arch>(acc + r * leaf_.stride() + j * lanes<Arch>);
      });
    });
    float const* const weight = s_ + row * tile_keys + at;
    float const* v = run.data + d;
    for (index i = 0; i < run.count; ++i, v += run.stride) {
      if (row == 0 && i % 4 == 0) next_k_.lines(4 * Wide * lanes<Arch> / 16);
      unroll<Wide>([&](int j) ORIEL_INLINE_LAMBDA {
        ask(v + j * lanes<Arch>, run.ahead);
        vec<Arch> const x = Wide == 1 && width < lanes<Arch> ? load_partial<Arch>(v, width)
                                                             : load<Arch>(v + j * lanes<Arch>);
        unroll<Rows>([&](int r) ORIEL_INLINE_LAMBDA {
          sum[r][j] = fma<Arch>(broadcast<Arch>(weight[r * tile_keys + i]), x, sum[r][j]);
        });
      });
    }
    unroll<Rows>([&](int r) ORIEL_INLINE_LAMBDA {
      unroll<Wide>([&](int j) ORIEL_INLINE_LAMBDA {
        store<Arch>(acc + r * leaf_.stride() + j * lanes<Arch>, sum[r][j]);
      });
    });
  }

  index head_dim_ = 0;
  index padded_dim_ = 0;
  float* q_ = nullptr;  ///< [rows, padded_dim]
  float* s_ = nullptr;  ///< scores, then weights [rows, tile_keys]
  float* chunk_ = nullptr;
  softmax_state<Arch> leaf_;
  softmax_state<Arch> total_;
  index ahead_ = 0;         ///< bytes_ahead
  bool merged_ = false;     ///< has any leaf ended?
  row_fetch<Arch> v_;       ///< values of the keys that are being scored
  row_fetch<Arch> next_k_;  ///< keys that are scored next
};

}  // namespace oriel::inline v0
