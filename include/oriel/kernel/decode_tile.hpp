// SPDX-License-Identifier: BSL-1.0
// The decode kernel: a few rows against many keys. Bound by memory.
#pragma once

#include <utility>

#include "oriel/cache/row_products.hpp"
#include "oriel/cache/source.hpp"
#include "oriel/kernel/rounded_tile.hpp"
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

  /// Rows that are computed with at a time: as floats they stay in L1.
  static constexpr index chunk_keys = 16;

  /// What lives only within a key tile, and is the same for the tiles of a block.
  struct shared {
    bool coded = false;           ///< may rows be stored otherwise than as floats?
    float* scores = nullptr;      ///< [rows, tile_keys]
    float* chunk = nullptr;       ///< [chunk_keys, max(head_dim, v_dim)] if coded
    rounded_values<Arch> values;  ///< if coded
    ORIEL_INLINE shared() noexcept {}
  };
  static shared carve_shared(carver& memory, bool coded, index head_dim, index v_dim,
                             float* scores) noexcept {
    shared own;
    own.coded = coded;
    own.scores = scores;
    own.chunk = memory.take<float>(saturating_mul(coded ? chunk_keys : 0, max_of(head_dim, v_dim)));
    own.values = rounded_values<Arch>::carve(memory, coded ? rows : 0, v_dim);
    return own;
  }
  static decode_tile carve(carver& memory, index head_dim, index v_dim,
                           shared const& own) noexcept {
    decode_tile tile;
    tile.chunk_ = own.chunk;
    tile.values_ = own.values;
    tile.coded_ = own.coded;
    tile.head_dim_ = head_dim;
    tile.padded_dim_ = head_dim / lanes<Arch> * lanes<Arch> + lanes<Arch>;
    tile.q_ = memory.take<float>(saturating_mul(tile.padded_dim_, rows));
    tile.whole_q_ = rounded_queries<Arch>::carve(memory, own.coded ? rows : 0, tile.padded_dim_);
    tile.s_ = own.scores;
    tile.leaf_ = softmax_state<Arch>::carve(memory, rows, v_dim);
    tile.total_ = softmax_state<Arch>::carve(memory, rows, v_dim);
    return tile;
  }

  /// Q = scale * the rows q[0..count), each [head_dim], padded with 0. No key has been seen.
  /// `rounds`: products may be of whole numbers.
  void begin(float const* const* q, int count, float scale, bool rounds = false) noexcept {
    merged_ = false;
    rounds_ = rounds && coded_ && has_words<Arch>;
    coded_ahead_ = bytes_ahead<Arch>(line_work::more);
    ahead_ = count > 1 ? coded_ahead_ : bytes_ahead<Arch>(line_work::little);
    for (index i = count * padded_dim_; i < rows * padded_dim_; ++i) q_[i] = 0.0f;
    for (int r = 0; r < count; ++r) {
      for (index d = 0; d < padded_dim_; d += lanes<Arch>) {
        int const width = static_cast<int>(max_of(0, min_of(lanes<Arch>, head_dim_ - d)));
        vec<Arch> const x = load_partial<Arch>(q[r] + (width > 0 ? d : 0), width);
        store<Arch>(q_ + r * padded_dim_ + d, x * broadcast<Arch>(scale));
      }
    }
    if constexpr (has_words<Arch>) {
      if (rounds_) whole_q_.set(q_, rows);
    }
  }

  void begin_leaf(int /*count*/) noexcept { leaf_.reset(rows); }

  /// The keys that are scored next: they are asked for while values are accumulated.
  void expect(kv_run const& next) noexcept { next_k_ = fetch(next.k, next.rows); }

  /// Scores of the keys of `run`, whose values are asked for meanwhile.
  void score(kv_run const& run, index at, int count) noexcept {
    v_ = fetch(run.v, run.rows);
    if (auto const* const whole = rounding(run.k, head_dim_)) {
      rounded_rows const q = whole_q_.rows(*whole, head_dim_, rows);
      for_each_chunk(run, run.k, head_dim_, product_rows(),
                     [&](row_slice const& keys, index done) ORIEL_INLINE_LAMBDA {
                       v_.lines(v_.lines_in(keys.count));
                       whole->dot(keys, q, count, s_ + at + done, tile_keys);
                     });
      return;
    }
    if (run.k.reader.multiplies(head_dim_)) {
      for_each_chunk(run, run.k, head_dim_, product_rows(),
                     [&](row_slice const& keys, index done) ORIEL_INLINE_LAMBDA {
                       v_.lines(v_.lines_in(keys.count));
                       run.k.reader.functions->dot(keys, q_, padded_dim_, count, s_ + at + done,
                                                   tile_keys);
                     });
      return;
    }
    in_chunks(run, run.k, head_dim_, [&](stored const& k, index done) ORIEL_INLINE_LAMBDA {
      in_row_blocks<Arch>(count, [&]<int Rows>(std::integral_constant<int, Rows>, int r)
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

  /// acc += P V for the keys at `places`: each_run(f) calls f(run, its place) for them in order.
  template <class Runs>
  void accumulate(range places, int count, Runs&& each_run) noexcept {
    rounded_functions const* whole = nullptr;  // of all values that are multiplied as such
    if constexpr (has_words<Arch>) {
      if (rounds_) {
        each_run([&](kv_run const& run, index at) ORIEL_INLINE_LAMBDA {
          auto const* const own = rounding(run.v, leaf_.v_dim);
          if (whole == nullptr && own != nullptr) values_.begin(whole = own, places);
          if (own != nullptr && own == whole) values_.scales(run.slice(run.v, leaf_.v_dim), at);
        });
      }
      if (whole != nullptr) values_.weigh(s_, count);
    }
    each_run([&](kv_run const& run, index at) ORIEL_INLINE_LAMBDA {
      if (whole == nullptr || rounding(run.v, leaf_.v_dim) != whole) {
        return accumulate(run, at, count);
      }
      for_each_chunk(run, run.v, leaf_.v_dim, product_rows(),
                     [&](row_slice const& values, index done) ORIEL_INLINE_LAMBDA {
                       next_k_.lines(next_k_.lines_in(values.count));
                       values_.add(values, at + done, count);
                     });
    });
    if constexpr (has_words<Arch>) {
      if (whole != nullptr) values_.end(leaf_, count);
    }
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
  using stored = float_rows<Arch>;

  /// The products with whole numbers over such rows, or null.
  ORIEL_INLINE rounded_functions const* rounding(stored_rows const& of, index dim) const noexcept {
    return rounds_ ? of.reader.rounded(dim) : nullptr;
  }

  /// acc += P V for the keys of `run`.
  void accumulate(kv_run const& run, index at, int count) noexcept {
    if (run.v.reader.multiplies(leaf_.v_dim)) {
      for_each_chunk(run, run.v, leaf_.v_dim, product_rows(),
                     [&](row_slice const& values, index done) ORIEL_INLINE_LAMBDA {
                       next_k_.lines(next_k_.lines_in(values.count));
                       run.v.reader.functions->add(values, s_ + at + done, tile_keys, count,
                                                   leaf_.acc, leaf_.stride());
                     });
      return;
    }
    in_chunks(run, run.v, leaf_.v_dim, [&](stored const& v, index done) ORIEL_INLINE_LAMBDA {
      in_row_blocks<Arch>(count,
                          [&]<int Rows>(std::integral_constant<int, Rows>, int r)
                              ORIEL_INLINE_LAMBDA { accumulate_rows<Rows>(v, at + done, r); });
    });
  }

  ORIEL_INLINE row_fetch<Arch> fetch(stored_rows const& of, index count) const noexcept {
    return ahead_ > 0 ? row_fetch<Arch>() : row_fetch<Arch>(of, count);
  }
  /// Stored rows that are multiplied at a time: a tile's, or few where lines are asked for between.
  ORIEL_INLINE index product_rows() const noexcept { return ahead_ > 0 ? tile_keys : chunk_keys; }
  /// Asks for the lines so far behind those of some rows.
  static void ask_ahead(row_slice const& of, index bytes) noexcept {
    for (index i = 0; of.ahead > 0 && i < of.count; ++i) {
      auto const row = reinterpret_cast<std::uintptr_t>(of.data) +
                       static_cast<std::uintptr_t>(i * of.stride + of.ahead);
      for (index at = 0; at < bytes; at += 64) prefetch_l2(row + static_cast<std::uintptr_t>(at));
    }
  }

  /// Calls f(rows, n) for chunk after chunk of the rows of `of` as floats, behind the first n:
  /// where they lie, or as they are read.
  template <class F>
  ORIEL_INLINE void in_chunks(kv_run const& run, stored_rows const& of, index dim,
                              F&& f) const noexcept {
    bool const coded = static_cast<bool>(of.reader);
    for_each_chunk(run, of, dim, chunk_keys,
                   [&](row_slice const& chunk, index done) ORIEL_INLINE_LAMBDA {
                     if (!coded) {
                       auto const ahead = static_cast<std::uintptr_t>(ahead_);
                       f(stored(of.row(done), of.float_stride(), chunk.count, dim, ahead), done);
                       return;
                     }
                     ask_ahead(chunk, of.bytes);
                     of.reader(chunk, chunk_);
                     f(stored(chunk_, dim, chunk.count, dim), done);
                   });
  }
  /// Calls f(rows, n) for up to `most` stored rows at a time, behind the first n.
  template <class F>
  ORIEL_INLINE void for_each_chunk(kv_run const& run, stored_rows const& of, index dim, index most,
                                   F&& f) const noexcept {
    row_slice chunk = run.slice(of, dim);
    chunk.ahead = coded_ahead_;
    for (index done = 0; done < run.rows; done += chunk.count) {
      chunk.count = min_of(most, run.rows - done);
      chunk.data = of.data + done * of.stride;
      chunk.first = run.first + done;
      f(chunk, done);
    }
  }

  /// Scores of `keys` for Rows query rows from `row` on.
  template <int Rows>
  void score_rows(stored const& keys, index at, int row) noexcept {
    dot_rows<Arch, Rows>(keys, q_ + row * padded_dim_, padded_dim_, s_ + row * tile_keys + at,
                         tile_keys, [&](int n) ORIEL_INLINE_LAMBDA {
                           if (row == 0) v_.lines(v_.lines_in(n));
                         });
  }

  /// acc += P V for Rows rows.
  template <int Rows>
  void accumulate_rows(stored const& values, index at, int row) noexcept {
    constexpr int wide = value_registers<Arch, Rows>;
    auto const block = [&]<int Wide>(std::integral_constant<int, Wide>, index d,
                                     int width) ORIEL_INLINE_LAMBDA {
      add_rows<Arch, Rows, Wide>(values, s_ + row * tile_keys + at, tile_keys,
                                 leaf_.acc + row * leaf_.stride(), leaf_.stride(), d, width,
                                 [&](index i) ORIEL_INLINE_LAMBDA {
                                   if (row == 0 && i % 4 == 0) {
                                     next_k_.lines(4 * Wide * lanes<Arch> / 16);
                                   }
                                 });
    };
    index d = 0;
    for (; d + wide * lanes<Arch> <= leaf_.v_dim; d += wide * lanes<Arch>) {
      block(std::integral_constant<int, wide>{}, d, lanes<Arch>);
    }
    for (; d < leaf_.v_dim; d += lanes<Arch>) {
      int const width = static_cast<int>(min_of(lanes<Arch>, leaf_.v_dim - d));
      block(std::integral_constant<int, 1>{}, d, width);
    }
  }

  index head_dim_ = 0;
  index padded_dim_ = 0;
  float* q_ = nullptr;  ///< [rows, padded_dim]
  float* s_ = nullptr;  ///< scores, then weights [rows, tile_keys]
  float* chunk_ = nullptr;
  bool coded_ = false;             ///< may rows be stored otherwise than as floats?
  bool rounds_ = false;            ///< may products be of whole numbers?
  rounded_queries<Arch> whole_q_;  ///< Q, where products may be of whole numbers
  rounded_values<Arch> values_;    ///< shared as the scores are
  softmax_state<Arch> leaf_;
  softmax_state<Arch> total_;
  index ahead_ = 0;         ///< bytes_ahead of floats
  index coded_ahead_ = 0;   ///< and of rows that are read otherwise
  bool merged_ = false;     ///< has any leaf ended?
  row_fetch<Arch> v_;       ///< values of the keys that are being scored
  row_fetch<Arch> next_k_;  ///< keys that are scored next
};

}  // namespace oriel::inline v0
