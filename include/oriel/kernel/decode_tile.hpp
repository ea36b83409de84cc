// SPDX-License-Identifier: BSL-1.0
// The decode kernel: a few rows against many keys. Bound by memory.
#pragma once

#include <utility>

#include "oriel/cache/source.hpp"
#include "oriel/codec/row_products.hpp"
#include "oriel/kernel/rounded_operands.hpp"
#include "oriel/kernel/row_fetch.hpp"
#include "oriel/kernel/softmax_state.hpp"
#include "oriel/kernel/tile_shape.hpp"
#include "oriel/score/any_score.hpp"
#include "oriel/simd/transpose.hpp"

namespace oriel::inline v0 {

/// Flash attention of up to `decode_rows` query rows with lanes = head_dim: one pass over K and V
/// serves every row. Lines further on are prefetched meanwhile (`stored_rows::ahead`): the jumps
/// between K and V defeat the hardware prefetcher.
/// Source: Dao et al. 2023 (Flash-Decoding),
/// https://crfm.stanford.edu/2023/10/12/flashdecoding.html
template <class Arch>
class decode_tile {
 public:
  static constexpr int rows = decode_rows;
  static constexpr index keys = decode_keys<Arch>;

  /// Rows that are computed with at a time: as floats they stay in L1.
  static constexpr index chunk_keys = 16;

  /// What lives only within a key tile, and is the same for the tiles of a work item.
  struct shared {
    bool coded = false;       ///< may rows be stored otherwise than as floats?
    float* scores = nullptr;  ///< [rows, keys]
    float* chunk = nullptr;   ///< [chunk_keys, max(head_dim, v_dim)] if coded
    rounded_pv<Arch> pv;      ///< if coded
    ORIEL_INLINE shared() noexcept {}
  };
  static shared carve_shared(carver& memory, bool coded, index head_dim, index v_dim,
                             float* scores) noexcept {
    shared own;
    own.coded = coded;
    own.scores = scores;
    own.chunk = memory.take<float>(saturating_mul(coded ? chunk_keys : 0, max_of(head_dim, v_dim)));
    own.pv = rounded_pv<Arch>::carve(memory, coded ? rows : 0, v_dim);
    return own;
  }
  static decode_tile carve(carver& memory, index head_dim, index v_dim,
                           shared const& own) noexcept {
    decode_tile tile;
    tile.chunk_ = own.chunk;
    tile.pv_ = own.pv;
    tile.coded_ = own.coded;
    tile.head_dim_ = head_dim;
    tile.padded_dim_ = head_dim / lanes<Arch> * lanes<Arch> + lanes<Arch>;
    tile.q_ = memory.take<float>(saturating_mul(tile.padded_dim_, rows));
    tile.integer_q_ = rounded_queries<Arch>::carve(memory, own.coded ? rows : 0, tile.padded_dim_);
    tile.s_ = own.scores;
    tile.leaf_ = softmax_state<Arch>::carve(memory, rows, v_dim);
    tile.total_ = softmax_state<Arch>::carve(memory, rows, v_dim);
    return tile;
  }

  /// Q = scale * the rows q[0..count), each [head_dim], padded with 0. No key has been seen.
  /// `rounds`: products may be of integers.
  void begin(float const* const* q, int count, float scale, bool rounds = false) noexcept {
    merged_ = false;
    rounds_ = rounds && coded_ && has_words<Arch>;
    count_ = count;
    wants_streams_ = oriel::wants_streams();
    for (line_work const work : {line_work::least, line_work::little, line_work::more}) {
      ahead_[static_cast<int>(work)] = bytes_ahead(work);
    }
    for (index i = count * padded_dim_; i < rows * padded_dim_; ++i) q_[i] = 0.0f;
    for (int r = 0; r < count; ++r) {
      for (index d = 0; d < padded_dim_; d += lanes<Arch>) {
        int const width = static_cast<int>(max_of(0, min_of(lanes<Arch>, head_dim_ - d)));
        vec<Arch> const x = load_partial<Arch>(q[r] + (width > 0 ? d : 0), width);
        store<Arch>(q_ + r * padded_dim_ + d, x * broadcast<Arch>(scale));
      }
    }
    if constexpr (has_words<Arch>) {
      if (rounds_) integer_q_.set(q_, rows);
    }
  }

  void begin_leaf(int /*count*/) noexcept { leaf_.reset(rows); }

  /// Should the driver prefetch what is read next by `fetch`, in several streams?
  using fetch = row_fetch<Arch>;
  ORIEL_INLINE bool wants_streams() const noexcept { return wants_streams_; }
  /// Else: how many bytes further on, in the order of reading, lines are prefetched.
  lines_ahead wants(stored_rows const& of) const noexcept {
    auto const at = [&](line_work work) { return ahead_[static_cast<int>(work)]; };
    bool const is_light = !of.reader || of.reader.functions->is_light;
    if constexpr (has_short_registers<Arch>) {
      if (!is_light) return at(line_work::more);
      return at(count_ > 1 || of.reader ? line_work::little : line_work::least);
    }
    if (count_ > 1 || !is_light) return at(line_work::more);
    return at(of.reader ? line_work::least : line_work::little);
  }

  /// Scores of the keys of `run`.
  void score(kv_run const& run, index at, int count) noexcept {
    row_slice const all = run.slice(run.k, head_dim_);
    if (auto const* const integer = rounding(run.k, head_dim_)) {
      return integer->dot(all, integer_q_.rows(*integer, head_dim_, count), count, s_ + at, keys);
    }
    if (run.k.reader.multiplies(head_dim_)) {
      return run.k.reader.functions->dot(all, q_, padded_dim_, count, s_ + at, keys);
    }
    in_chunks(all, run.k, count, [&](auto const& k, index done) ORIEL_INLINE_LAMBDA {
      in_query_blocks<Arch>(k, count,
                            [&]<int Rows>(std::integral_constant<int, Rows>, auto const& some,
                                          int r) ORIEL_INLINE_LAMBDA {
                              if constexpr (Rows == 1) {  // in L1 or not, the same code
                                score_rows<Rows>(stored(some), at + done, r);
                              } else {
                                score_rows<Rows>(some, at + done, r);
                              }
                            });
    });
  }

  score_tile scores(index at) const noexcept {
    return {.scores = s_ + at, .key_step = 1, .row_step = keys};
  }

  void hide(std::uint64_t const* word, range places, int count) noexcept {
    float* const s = s_ + places.begin;
    for (index i = 0; i < places.size(); ++i) {
      for (std::uint64_t hidden = ~word[i] & ~(~std::uint64_t{0} << count); hidden != 0;
           hidden &= hidden - 1) {
        s[__builtin_ctzll(hidden) * keys + i] = -infinity;
      }
    }
  }

  /// The online softmax. A key's lane is its place in the absolute tile, so that a row is summed in
  /// the same order whatever keys the other rows see.
  void absorb(range places, int count) noexcept {
    index const begin = round_down(places.begin, lanes<Arch>);
    index const end = round_up(places.end, lanes<Arch>);
    for (int r = 0; r < count; ++r) {
      float* const s = s_ + r * keys;
      for (index i = begin; i < places.begin; ++i) s[i] = -infinity;
      for (index i = places.end; i < end; ++i) s[i] = -infinity;
      vec<Arch> most = broadcast<Arch>(leaf_.m[r]);
      for (index i = begin; i < end; i += lanes<Arch>) most = max<Arch>(most, load<Arch>(s + i));
      float const top = max_lanes<Arch>(most);
      vec<Arch> const base = broadcast<Arch>(at_least_lowest(top));
      vec<Arch> sum = broadcast<Arch>(0.0f);
      for (index i = begin; i < end; i += lanes<Arch>) {
        vec<Arch> const p = exp2<Arch>(load<Arch>(s + i) - base);
        sum = sum + p;
        store<Arch>(s + i, p);
      }
      vec<Arch> const shrink = exp2<Arch>(broadcast<Arch>(leaf_.m[r]) - base);
      vec<Arch> const grown = broadcast<Arch>(sum_lanes<Arch>(sum));
      store_partial<Arch>(leaf_.l + r, fma<Arch>(broadcast<Arch>(leaf_.l[r]), shrink, grown), 1);
      if (top == leaf_.m[r]) continue;  // the factor is 1
      leaf_.m[r] = top;
      float* const acc = leaf_.acc + r * leaf_.stride();
      for (index d = 0; d < leaf_.stride(); d += lanes<Arch>) {
        store<Arch>(acc + d, load<Arch>(acc + d) * shrink);
      }
    }
  }

  /// Before the values of the keys at `places`; each_run(f) calls f(run, its place). Where values
  /// are multiplied as integers all their scales are read first: the weights' unit depends on them.
  template <class Runs>
  void begin_values([[maybe_unused]] range places, [[maybe_unused]] int count,
                    [[maybe_unused]] Runs&& each_run) noexcept {
    pv_.clear();
    if constexpr (has_words<Arch>) {
      if (!rounds_) return;
      each_run([&](kv_run const& run, index at) ORIEL_INLINE_LAMBDA {
        auto const* const own = rounding(run.v, leaf_.v_dim);
        if (own == nullptr) return;
        if (pv_.of() == nullptr) pv_.begin(own, places);
        if (pv_.of() == own) pv_.scales(run.slice(run.v, leaf_.v_dim), at);
      });
      if (pv_.of() != nullptr) pv_.weigh(s_, keys, count);
    }
  }
  /// acc += P V for the keys of `run`. Runs come in order.
  void accumulate(kv_run const& run, index at, int count) noexcept {
    row_slice const values = run.slice(run.v, leaf_.v_dim);
    if (pv_.of() != nullptr && pv_.of() == rounding(run.v, leaf_.v_dim)) {
      return pv_.add(values, at, count);
    }
    if (run.v.reader.multiplies(leaf_.v_dim)) {
      return run.v.reader.functions->add(values, s_ + at, keys, count, leaf_.acc, leaf_.stride());
    }
    in_chunks(values, run.v, count, [&](auto const& v, index done) ORIEL_INLINE_LAMBDA {
      in_query_blocks<Arch>(
          v, count,
          [&]<int Rows>(std::integral_constant<int, Rows>, auto const& some, int r)
              ORIEL_INLINE_LAMBDA { accumulate_rows<Rows>(some, at + done, r); });
    });
  }
  void end_values([[maybe_unused]] int count) noexcept {
    if constexpr (has_words<Arch>) {
      if (pv_.of() != nullptr) pv_.end(leaf_, count);
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

  /// The products with integers over such rows, or null.
  ORIEL_INLINE rounded_functions const* rounding(stored_rows const& of, index dim) const noexcept {
    return rounds_ ? of.reader.rounded(dim) : nullptr;
  }

  /// Calls f(rows, n) for chunk after chunk of the rows `all`, which lie as `of` says, as floats,
  /// after the first n: where they lie, or as they are read. f multiplies them with `count` rows.
  template <class F>
  ORIEL_INLINE void in_chunks(row_slice const& all, stored_rows const& of, int count,
                              F&& f) const noexcept {
    index most = chunk_keys;
    if (has_short_registers<Arch> && !of.reader) {
      most = rows_at_a_time<Arch, stored>(of.bytes, count);
    }
    row_slice chunk = all;
    for (index done = 0; done < all.count; done += chunk.count) {
      chunk.count = min_of(most, all.count - done);
      chunk.data = all.data + done * all.stride;
      chunk.first = all.first + done;
      if (of.reader) {
        chunk.prefetch(of.bytes);
        of.reader(chunk, chunk_);
        f(stored(chunk_, all.dim, chunk.count, all.dim).near(), done);
      } else {
        f(stored(of.row(done), of.float_stride(), chunk.count, all.dim, all.ahead), done);
      }
    }
  }

  /// Scores of the rows `k` for Rows query rows from `row` on.
  template <int Rows, class Stored>
  void score_rows(Stored const& k, index at, int row) noexcept {
    dot_rows<Arch, Rows>(k, q_ + row * padded_dim_, padded_dim_, s_ + row * keys + at, keys);
  }

  /// acc += P V for Rows rows.
  template <int Rows, class Stored>
  void accumulate_rows(Stored const& values, index at, int row) noexcept {
    add_rows<Arch, Rows, 1>(values, s_ + row * keys + at, keys, leaf_.acc + row * leaf_.stride(),
                            leaf_.stride());
  }

  index head_dim_ = 0;
  index padded_dim_ = 0;
  float* q_ = nullptr;  ///< [rows, padded_dim]
  float* s_ = nullptr;  ///< scores, then weights [rows, keys]
  float* chunk_ = nullptr;
  bool coded_ = false;               ///< may rows be stored otherwise than as floats?
  bool rounds_ = false;              ///< may products be of integers?
  rounded_queries<Arch> integer_q_;  ///< Q, where products may be of integers
  rounded_pv<Arch> pv_;              ///< shared as the scores are
  softmax_state<Arch> leaf_;
  softmax_state<Arch> total_;
  bool wants_streams_ = false;
  int count_ = 0;         ///< of rows
  lines_ahead ahead_[3];  ///< by line_work
  bool merged_ = false;   ///< has any leaf ended?
};

}  // namespace oriel::inline v0
