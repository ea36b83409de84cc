// SPDX-License-Identifier: BSL-1.0
// What the blocks of keys beside a cache are like: their means, or their bounds.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "oriel/cache/contiguous.hpp"
#include "oriel/view/workspace.hpp"

namespace oriel::inline v0 {

/// Sizes of the summaries of blocks.
struct block_shape {
  index block = 0;     ///< keys per block, at least 1
  index blocks = 0;    ///< blocks whose summary is kept at a time, the latest; at least 1
  index kv_heads = 1;  ///< key/value heads
  index head_dim = 0;  ///< floats in a key

  ORIEL_INLINE constexpr status check() const noexcept {
    if (block < 1) return {errc::shape, "block_shape.block must be at least 1"};
    if (blocks < 1) return {errc::shape, "block_shape.blocks must be at least 1"};
    if (kv_heads < 1) return {errc::heads, "block_shape.kv_heads must be at least 1"};
    if (head_dim < 1) return {errc::shape, "block_shape.head_dim must be at least 1"};
    return {};
  }
};

/// The mean of a block's keys [head_dim]: their sum in fp32, in order of position, times 1 / block.
/// Source: Lu et al. 2025 (MoBA), arXiv:2502.13189, section 2.2.
struct mean_of_keys {
  static constexpr index rows = 1;  ///< of head_dim floats, in a summary

  ORIEL_INLINE static void begin(float* sum, float const* key, index dim) noexcept {
    for (index d = 0; d < dim; ++d) sum[d] = key[d];
  }
  ORIEL_INLINE static void add(float* sum, float const* key, index dim) noexcept {
    for (index d = 0; d < dim; ++d) sum[d] += key[d];
  }
  ORIEL_INLINE static void finish(float const* sum, float* to, index dim, index block) noexcept {
    float const share = 1.0f / static_cast<float>(block);
    for (index d = 0; d < dim; ++d) to[d] = sum[d] * share;
  }
};

/// The least and the largest of a block's keys, element by element: [2, head_dim].
/// Source: Tang et al. 2024 (Quest), arXiv:2406.10774, section 3.3.
struct bounds_of_keys {
  static constexpr index rows = 2;

  ORIEL_INLINE static void begin(float* sum, float const* key, index dim) noexcept {
    for (index d = 0; d < dim; ++d) sum[d] = sum[dim + d] = key[d];
  }
  ORIEL_INLINE static void add(float* sum, float const* key, index dim) noexcept {
    for (index d = 0; d < dim; ++d) {
      sum[d] = key[d] < sum[d] ? key[d] : sum[d];
      sum[dim + d] = key[d] > sum[dim + d] ? key[d] : sum[dim + d];
    }
  }
  ORIEL_INLINE static void finish(float const* sum, float* to, index dim,
                                  index /*block*/) noexcept {
    for (index d = 0; d < 2 * dim; ++d) to[d] = sum[d];
  }
};

/// Summaries of the keys of each complete block, in the caller's bytes, grown with the cache that
/// holds the keys. Block b is the positions [b * block, (b + 1) * block).
/// Keys are taken in order of position, so a summary is the same however they were cut into pieces.
///
/// Of a cache that rounds, take keys from the source that attention reads (the cache, or `joined`):
/// then summaries are of them as stored. A `kivi_cache` shows the newest keys as floats and others
/// as codes: those that were taken as floats are taken again when their group is complete.
///
/// Bytes      required_bytes(shape): (blocks + 1) * kv_heads * Kind::rows * head_dim floats.
/// Requires   as rolling_cache does of its bytes.
template <class Kind>
class block_summary {
 public:
  using kind = Kind;

  ORIEL_INLINE static constexpr index required_bytes(block_shape const& shape) noexcept {
    if (!shape.check().ok()) return 0;
    index const rows = saturating_mul(saturating_add(shape.blocks, 1), shape.kv_heads);
    index const row = saturating_mul(shape.head_dim, Kind::rows * index{sizeof(float)});
    return saturating_mul(rows, row);
  }

  ORIEL_INLINE block_summary(std::span<std::byte> bytes, block_shape const& shape) noexcept
      : shape_(shape), made_(made_from(bytes, shape)) {
    if (!made_.ok()) return;
    done_ = reinterpret_cast<float*>(bytes.data());
    sums_ = done_ + shape.blocks * shape.kv_heads * width();
  }

  ORIEL_INLINE status check() const noexcept { return made_; }
  ORIEL_INLINE constexpr block_shape const& shape() const noexcept { return shape_; }

  /// Takes the keys of the next tokens, as they are; k [n, kv_heads, head_dim] and `first` as for
  /// rolling_cache::append.
  /// Cost       one pass over k.
  ORIEL_INLINE status append(tensor_view<float const> k,
                             std::optional<index> first = std::nullopt) noexcept {
    if (!made_.ok()) return made_;
    if (status s = v0::check(k, k_rules); !s.ok()) return s;
    if (status s = check_rows(k.heads, k.dim); !s.ok()) return s;
    index const at = first ? *first : end_;
    if (end_ != origin_ && at != end_) {
      return {errc::position, "first must be the position after the last one that was taken"};
    }
    if (status s = check_positions(at, k.tokens); !s.ok()) return s;
    if (footprint(k).meets(own())) {
      return {errc::alias, "k must not lie in the block summary's own bytes"};
    }
    if (k.tokens == 0) return {};
    if (end_ == origin_) begin_at(at);
    bool const all_settled = settled_ == end_;
    for (index t = 0; t < k.tokens; ++t) {
      for (index head = 0; head < shape_.kv_heads; ++head) add(head, end_, k.row(t, head));
      step();
    }
    if (all_settled) settled_ = end_;
    return {};
  }

  /// Takes the keys that `kv` holds from the position after the last one taken on (if none was:
  /// from its first): those after a truncation, or all of a cache that was loaded. Keys that it
  /// has lost since are a gap: errc::position. Otherwise errors are those of truncate.
  /// Cost       one pass over these keys; where a kivi_cache's group is complete now, over those
  ///            from the beginning of its first block on.
  ORIEL_INLINE status append(any_source const& kv) noexcept {
    if (status s = check_source(kv); !s.ok()) return s;
    range held = kv.positions();
    if (!kv.lost().empty()) held.begin = max_of(held.begin, kv.lost().end);  // after pinned sinks
    bool const empty = end_ == origin_;
    if (held.empty() || (!empty && held.end < end_)) return {};
    if (held.begin < 0) return {errc::position, "kv: positions must not be negative"};
    if (!empty && held.begin > end_) {
      return {errc::position, "kv must hold the position after the last one that was taken"};
    }
    if (empty) begin_at(held.begin);
    bool const other = settled_ < min_of(end_, kv.settled(held.end));  // than when they were taken
    other ? take_again(settled_, held.end, kv) : take(kv, held.end);
    return {};
  }

  /// Forgets the keys from `position` on, which may be any from the first taken to the end. The
  /// block that is cut is summed again over its rows before `position`, as `kv` holds them: the
  /// cache before or after its own truncation (a kivi_cache that cuts a complete group: after it).
  /// If kv has lost some of these, the block is out of reach. A block's summary that has made room
  /// for a later one does not come back.
  ///
  /// Returns    errc::position for another position, or a kv whose rows before it are to change
  ///            yet, errc::heads or errc::shape for other rows, errc::alias for rows in the own
  ///            bytes; on error nothing has changed.
  /// Cost       less than `block` keys read; none where `position` is a multiple of `block`. Of a
  ///            kivi_cache: the keys from its group's first block on.
  ORIEL_INLINE status truncate(index position, any_source const& kv) noexcept {
    if (status s = check_source(kv); !s.ok()) return s;
    if (position < origin_ || position > end_) {
      return {errc::position, "position must lie between the first and the last that were taken"};
    }
    if (position == end_) return {};
    index const from = kv.settled(position);
    if (from < position && kv.settled(kv.positions().end) > from) {
      return {errc::position, "rows before position change with it: kv must have been truncated"};
    }
    take_again(min_of(settled_, from), position, kv);
    return {};
  }

  /// Follows an erase: the rows of `erased` are gone, and later ones have moved there, with
  /// keys that may have been rotated. `kv` is the cache after its own erase. Keys from erased.begin
  /// on (of a kivi_cache: of its group) are taken again; blocks with keys that kv has lost are out
  /// of reach.
  ///
  /// Returns    errc::position where `erased` is not of positions that were taken or kv does not
  ///            end where the rest does; otherwise as truncate; on error nothing has changed.
  /// Cost       one pass over the keys from erased.begin's block on.
  ORIEL_INLINE status erase(range erased, any_source const& kv) noexcept {
    if (status s = check_source(kv); !s.ok()) return s;
    if (erased.begin > erased.end || erased.begin < origin_ || erased.end > end_) {
      return {errc::position, "erased must lie within the positions that were taken"};
    }
    if (erased.empty()) return {};
    index const end = end_ - erased.size();
    if (end > origin_ && kv.positions().end != end) {
      return {errc::position, "kv must end where what was taken does without `erased`"};
    }
    take_again(min_of(settled_, kv.settled(erased.begin)), end, kv);
    return {};
  }

  /// Forgets everything; the next key may have any position from 0 on.
  ORIEL_INLINE void clear() noexcept { begin_at(0); }

  /// Positions that were taken.
  ORIEL_INLINE constexpr range positions() const noexcept { return {origin_, end_}; }
  /// Numbers of the blocks whose summary is held: complete ones, the latest.
  ORIEL_INLINE constexpr range held() const noexcept {
    return {first_, max_of(first_, end_ / shape_.block)};
  }
  /// Of a held block: [head_dim], or [2, head_dim] for bounds.
  ORIEL_INLINE float const* of(index head, index block) const noexcept {
    return row(head, block % shape_.blocks);
  }

 private:
  ORIEL_INLINE static status made_from(std::span<std::byte> bytes,
                                       block_shape const& shape) noexcept {
    if (status s = shape.check(); !s.ok()) return s;
    return check_storage(bytes, required_bytes(shape),
                         {"block summary: bytes must not be null",
                          "block summary: bytes must hold required_bytes(shape)",
                          "block summary: bytes must be aligned to 64"});
  }
  ORIEL_INLINE status check_rows(index heads, index dim) const noexcept {
    if (heads != shape_.kv_heads) {
      return {errc::heads, "k.heads must equal the block summary's kv_heads"};
    }
    if (dim != shape_.head_dim) {
      return {errc::shape, "k.dim must equal the block summary's head_dim"};
    }
    return {};
  }
  ORIEL_INLINE status check_source(any_source const& kv) const noexcept {
    if (!made_.ok()) return made_;
    if (status s = kv.check(); !s.ok()) return s;
    index const floats = required_bytes(shape_) / index{sizeof(float)};
    if (kv.overlaps({done_, 1, 1, floats})) {
      return {errc::alias, "kv must not lie in the block summary's own bytes"};
    }
    return check_rows(kv.shape().kv_heads, kv.shape().head_dim);
  }

  ORIEL_INLINE address_range own() const noexcept {
    auto const base = reinterpret_cast<std::uintptr_t>(done_);
    return {base, base + static_cast<std::uintptr_t>(required_bytes(shape_))};
  }
  /// Floats in a summary.
  ORIEL_INLINE constexpr index width() const noexcept { return Kind::rows * shape_.head_dim; }
  ORIEL_INLINE float* row(index head, index slot) const noexcept {
    return done_ + (head * shape_.blocks + slot) * width();
  }

  ORIEL_INLINE void begin_at(index position) noexcept {
    origin_ = end_ = settled_ = position;
    first_ = ceil_div(position, shape_.block);
  }
  /// The key of `position`, whose predecessors have been added.
  ORIEL_INLINE void add(index head, index position, float const* key) noexcept {
    float* const sum = sums_ + head * width();
    bool const starts = position % shape_.block == 0 || position == origin_;
    starts ? Kind::begin(sum, key, shape_.head_dim) : Kind::add(sum, key, shape_.head_dim);
    if (position % shape_.block != shape_.block - 1) return;
    Kind::finish(sum, row(head, position / shape_.block % shape_.blocks), shape_.head_dim,
                 shape_.block);
  }
  /// One more position has been added for every head.
  ORIEL_INLINE void step() noexcept {
    ++end_;
    if (end_ % shape_.block == 0) first_ = max_of(first_, end_ / shape_.block - shape_.blocks);
  }
  /// Takes the keys up to `end` anew, from the beginning of the block of `changed` on.
  ORIEL_INLINE void take_again(index changed, index end, any_source const& kv) noexcept {
    range const again{max_of(round_down(changed, shape_.block), origin_), end};
    range const held = kv.positions();
    range const lost = intersect(kv.lost(), again);
    end_ = max_of(again.begin, held.begin);
    if (!lost.empty()) end_ = lost.end;
    if (held.end < end || end_ > end) end_ = end;
    bool const gap = end_ > again.begin;
    if (gap || first_ > ceil_div(again.begin, shape_.block)) first_ = ceil_div(end_, shape_.block);
    take(kv, end);
  }
  /// Takes the keys from end_ to `end`, which kv holds.
  ORIEL_INLINE void take(any_source const& kv, index end) noexcept {
    float row[max_coded_dim];  // of keys that are not stored as floats
    for (index head = 0; head < shape_.kv_heads; ++head) {
      for (index at = end_; at < end;) {
        kv_run const run = kv.run_at(head, at);
        index const rows = min_of(run.rows, end - at);
        for (index i = 0; i < rows; ++i) {
          kv_run const one = run.from(i);
          add(head, at + i, one.floats(one.k, shape_.head_dim, row));
        }
        at += rows;
      }
    }
    while (end_ < end) step();
    settled_ = min_of(end_, kv.settled(end_));
  }

  block_shape shape_;
  status made_;
  float* done_ = nullptr;  ///< [kv_heads, blocks, rows * head_dim]
  float* sums_ = nullptr;  ///< of the block that is not complete, [kv_heads, rows * head_dim]
  index origin_ = 0;       ///< the first position taken
  index end_ = 0;          ///< one past the last one
  index settled_ = 0;      ///< keys from here on had not had their last bits yet
  index first_ = 0;        ///< number of the first block that is held, or could be
};

using block_means = block_summary<mean_of_keys>;
using block_bounds = block_summary<bounds_of_keys>;

}  // namespace oriel::inline v0
