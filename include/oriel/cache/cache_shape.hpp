// SPDX-License-Identifier: BSL-1.0
// How many rows of which size a rolling cache keeps.
#pragma once

#include <optional>

#include "oriel/core/status.hpp"

namespace oriel::inline v0 {

/// Sizes of a rolling cache.
struct cache_shape {
  index window = 0;                           ///< keys a query sees, its own included; at least 1
  index kv_heads = 1;                         ///< key/value heads
  index head_dim = 0;                         ///< floats in a key
  std::optional<index> v_dim = std::nullopt;  ///< floats in a value; head_dim unless given
  index margin = 1;  ///< max(1, rows written before they are attended + rows a rollback gives back)
  index sinks = 0;   ///< positions [0, sinks) stay for good, in slots beside the ring

  ORIEL_INLINE constexpr index value_dim() const noexcept { return v_dim ? *v_dim : head_dim; }
  /// Rows of the ring, per head; 0 for an invalid shape.
  ORIEL_INLINE constexpr index ring() const noexcept {
    return check().ok() ? saturating_add(window, margin) - 1 : 0;
  }
  /// Rows per head, the sinks' too.
  ORIEL_INLINE constexpr index capacity() const noexcept {
    return check().ok() ? saturating_add(sinks, ring()) : 0;
  }

  ORIEL_INLINE constexpr status check() const noexcept {
    if (window < 1) return {errc::shape, "cache_shape.window must be at least 1"};
    if (margin < 1) return {errc::shape, "cache_shape.margin must be at least 1"};
    if (sinks < 0) return {errc::shape, "cache_shape.sinks must not be negative"};
    if (kv_heads < 1) return {errc::heads, "cache_shape.kv_heads must be at least 1"};
    if (head_dim < 1) return {errc::shape, "cache_shape.head_dim must be at least 1"};
    if (value_dim() < 1) return {errc::shape, "cache_shape.v_dim must be at least 1"};
    return {};
  }
};

}  // namespace oriel::inline v0
