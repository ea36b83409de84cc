// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "oriel/mask/mask.hpp"

namespace oriel::inline v0 {

/// Query q sees the keys of its own chunk: floor(q / keys) == floor(k / keys). Chunks are counted
/// in positions, so from a sequence's first token wherever it lies in a padded batch.
/// `causal{} & chunked{8192}` is Llama 4's local attention. A sequence shorter than a chunk has
/// one chunk; a model without a chunk size has no such term. When a chunk ends all its rows are
/// dead, so a rolling cache of `keys` rows serves any context.
/// Source: Meta's Llama 4 (attention_chunk_size), transformers' masking_utils.
struct chunked {
  index keys = 0;  ///< of a chunk; at least 1

  ORIEL_INLINE constexpr status check() const noexcept {
    if (keys < 1) return {errc::mask, "mask: chunked.keys must be at least 1"};
    return {};
  }
  ORIEL_INLINE constexpr bool visible(index q, index k) const noexcept {
    return begin_of(q) == begin_of(k);
  }
  ORIEL_INLINE constexpr coverage cover(range queries, range span) const noexcept {
    return detail::cover_between(chunk_of(queries.begin), chunk_of(queries.end - 1), span);
  }
  ORIEL_INLINE constexpr key_ranges reach(range queries) const noexcept {
    return range{chunk_of(queries.begin).begin, chunk_of(queries.end - 1).end};
  }
  ORIEL_INLINE constexpr row_ranges row(index q) const noexcept { return chunk_of(q); }

 private:
  ORIEL_INLINE constexpr index begin_of(index p) const noexcept {
    return round_down(p, max_of(keys, 1));
  }
  ORIEL_INLINE constexpr range chunk_of(index p) const noexcept {
    index const begin = begin_of(p);
    return intersect({begin, begin + max_of(keys, 1)}, everywhere);
  }
};

}  // namespace oriel::inline v0
