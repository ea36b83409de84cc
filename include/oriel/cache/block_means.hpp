// SPDX-License-Identifier: BSL-1.0
// What a block of keys is like, kept beside a cache: the mean of its keys.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "oriel/cache/contiguous.hpp"
#include "oriel/view/workspace.hpp"

namespace oriel::inline v0 {

/// Sizes of the means of blocks.
struct block_shape {
  index block = 0;     ///< keys per block, at least 1
  index blocks = 0;    ///< blocks whose mean is kept at a time, the latest; at least 1
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

/// Means of the keys of each complete block, in the caller's bytes, grown with the cache that
/// holds the keys, contiguous or rolling. Block b is the positions [b * block, (b + 1) * block). A
/// mean is the sum of its rows in fp32, in order of position, times 1 / block: the same however the
/// keys were cut into pieces.
///
/// Bytes      required_bytes(shape): (blocks + 1) * kv_heads * head_dim floats.
/// Requires   as rolling_cache does of its bytes.
/// Source     Lu et al. 2025 (MoBA), arXiv:2502.13189, section 2.2.
class block_means {
 public:
  using is_cache = void;

  ORIEL_INLINE static constexpr index required_bytes(block_shape const& shape) noexcept {
    if (!shape.check().ok()) return 0;
    index const rows = saturating_mul(saturating_add(shape.blocks, 1), shape.kv_heads);
    return saturating_mul(saturating_mul(rows, shape.head_dim), sizeof(float));
  }

  ORIEL_INLINE block_means(std::span<std::byte> bytes, block_shape const& shape) noexcept
      : shape_(shape), made_(made_from(bytes, shape)) {
    if (!made_.ok()) return;
    means_ = reinterpret_cast<float*>(bytes.data());
    sums_ = means_ + shape.blocks * shape.kv_heads * shape.head_dim;
  }

  ORIEL_INLINE status check() const noexcept { return made_; }
  ORIEL_INLINE constexpr block_shape const& shape() const noexcept { return shape_; }

  /// Takes the keys of the next tokens; k and `first` as for rolling_cache::append.
  /// Cost       one pass over k.
  ORIEL_INLINE status append(tensor_view<float const> k,
                             std::optional<index> first = std::nullopt) noexcept {
    if (!made_.ok()) return made_;
    if (status s = v0::check(k, k_rules); !s.ok()) return s;
    if (k.heads != shape_.kv_heads) return {errc::heads, "k.heads must equal the means' kv_heads"};
    if (k.dim != shape_.head_dim) return {errc::shape, "k.dim must equal the means' head_dim"};
    index const at = first ? *first : end_;
    if (end_ != origin_ && at != end_) {
      return {errc::position, "first must be the position after the last one that was taken"};
    }
    if (at < 0 || k.tokens >= max_position || at >= max_position - k.tokens) {
      return {errc::position, "first must be at least 0 and the last position below 2^60"};
    }
    if (footprint(k).meets(own())) return {errc::alias, "k must not lie in the means' own bytes"};
    if (k.tokens == 0) return {};
    if (end_ == origin_) origin_ = at;
    end_ = at;
    for (index t = 0; t < k.tokens; ++t) add(k, t);
    return {};
  }

  /// Forgets everything; the next key may have any position.
  ORIEL_INLINE void clear() noexcept { origin_ = end_ = 0; }

  /// Positions that were taken.
  ORIEL_INLINE constexpr range positions() const noexcept { return {origin_, end_}; }
  /// Numbers of the blocks whose mean is held: complete ones, the latest.
  ORIEL_INLINE constexpr range held() const noexcept {
    index const done = end_ / shape_.block;
    index const begun = ceil_div(origin_, shape_.block);
    return {max_of(begun, done - shape_.blocks), max_of(begun, done)};
  }
  /// [head_dim], of a held block.
  ORIEL_INLINE float const* mean(index head, index block) const noexcept {
    return row(head, block % shape_.blocks);
  }

 private:
  ORIEL_INLINE static status made_from(std::span<std::byte> bytes,
                                       block_shape const& shape) noexcept {
    if (status s = shape.check(); !s.ok()) return s;
    return check_storage(
        bytes, required_bytes(shape),
        {"block_means bytes must not be null", "bytes must hold block_means::required_bytes(shape)",
         "block_means bytes must be aligned to 64"});
  }

  ORIEL_INLINE address_range own() const noexcept {
    auto const base = reinterpret_cast<std::uintptr_t>(means_);
    return {base, base + static_cast<std::uintptr_t>(required_bytes(shape_))};
  }
  ORIEL_INLINE float* row(index head, index slot) const noexcept {
    return means_ + (head * shape_.blocks + slot) * shape_.head_dim;
  }
  ORIEL_INLINE void add(tensor_view<float const> const& k, index t) noexcept {
    index const dim = shape_.head_dim;
    bool const starts = end_ % shape_.block == 0 || end_ == origin_;
    bool const ends = (end_ + 1) % shape_.block == 0;
    float const share = 1.0f / static_cast<float>(shape_.block);
    for (index head = 0; head < shape_.kv_heads; ++head) {
      float const* const from = k.row(t, head);
      float* const sum = sums_ + head * dim;
      if (starts) {
        for (index d = 0; d < dim; ++d) sum[d] = from[d];
      } else {
        for (index d = 0; d < dim; ++d) sum[d] += from[d];
      }
      if (!ends) continue;
      float* const mean = row(head, end_ / shape_.block % shape_.blocks);
      for (index d = 0; d < dim; ++d) mean[d] = sum[d] * share;
    }
    ++end_;
  }

  block_shape shape_;
  status made_;
  float* means_ = nullptr;  ///< [kv_heads, blocks, head_dim]
  float* sums_ = nullptr;   ///< of the block that is not complete, [kv_heads, head_dim]
  index origin_ = 0;
  index end_ = 0;
};

}  // namespace oriel::inline v0
