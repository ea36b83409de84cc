// SPDX-License-Identifier: BSL-1.0
// Keys and values in a caller's tensors.
#pragma once

#include "oriel/cache/source.hpp"
#include "oriel/cache/stored_view.hpp"

namespace oriel::inline v0 {

inline constexpr view_rules k_rules{"k: tokens, heads and dim must not be negative",
                                    "k: strides leave the address space", "k.data must not be null",
                                    "k.data must be aligned to its element type"};
inline constexpr view_rules v_rules{"v: tokens, heads and dim must not be negative",
                                    "v: strides leave the address space", "v.data must not be null",
                                    "v.data must be aligned to its element type"};

/// Rejects keys and values that can't belong to the same tokens.
ORIEL_INLINE status check_rows(stored_view const& k, stored_view const& v) noexcept {
  if (status s = check(k, k_rules); !s.ok()) return s;
  if (status s = check(v, v_rules); !s.ok()) return s;
  if (k.tokens != v.tokens) return {errc::shape, "k.tokens must equal v.tokens"};
  if (k.heads != v.heads) return {errc::heads, "k.heads must equal v.heads"};
  if (k.heads < 1) return {errc::heads, "kv.heads must be at least 1"};
  if (k.dim < 1) return {errc::shape, "k.dim must be at least 1"};
  if (v.dim < 1) return {errc::shape, "v.dim must be at least 1"};
  return {};
}

/// The same, for rows that follow those of a cache of this shape.
ORIEL_INLINE status check_rows_of(kv_shape const& kept, stored_view const& k,
                                  stored_view const& v) noexcept {
  if (status s = check_rows(k, v); !s.ok()) return s;
  if (k.heads != kept.kv_heads) return {errc::heads, "k.heads must equal the cache's kv_heads"};
  if (k.dim != kept.head_dim) return {errc::shape, "k.dim must equal the cache's head_dim"};
  if (v.dim != kept.v_dim) return {errc::shape, "v.dim must equal the cache's v_dim"};
  return {};
}

/// ok, or why `tokens` rows can't have the positions from `at` on (errc::position).
ORIEL_INLINE constexpr status check_positions(index at, index tokens) noexcept {
  if (at < 0 || tokens >= max_position || at >= max_position - tokens) {
    return {errc::position, "first must be at least 0 and the position after the last below 2^60"};
  }
  return {};
}

/// ok, or why a cache of this shape, in the bytes `own`, that has had rows at `had`, can't append
/// k and v from position `at` on.
ORIEL_INLINE status check_append(kv_shape const& kept, address_range own, range had, index at,
                                 stored_view const& k, stored_view const& v) noexcept {
  if (status s = check_rows_of(kept, k, v); !s.ok()) return s;
  if (!had.empty() && at != had.end) {
    return {errc::position, "first must be the position after the last one the cache holds"};
  }
  if (status s = check_positions(at, k.tokens); !s.ok()) return s;
  if (footprint(k).meets(own) || footprint(v).meets(own)) {
    return {errc::alias, "k and v must not lie in the cache's own bytes"};
  }
  return {};
}

/// A caller's keys and values, read where they lie.
///
///   k : [kv_len, kv_heads, head_dim]   any token and head strides; last axis contiguous
///   v : [kv_len, kv_heads, v_dim]      likewise
///
/// of floats, bf16 or f16 (tensor_view), or rows of a codec (coded_view); k and v may differ. Token
/// i has position first + i. An engine's own cache in any layout is read through the strides.
class contiguous {
 public:
  ORIEL_INLINE constexpr contiguous(stored_view const& k, stored_view const& v,
                                    index first = 0) noexcept
      : k_(k), v_(v), first_(first) {}

  ORIEL_INLINE status check() const noexcept {
    if (status s = check_rows(k_, v_); !s.ok()) return s;
    if (first_ <= -max_position || first_ >= max_position - k_.tokens) {
      return {errc::position, "kv: positions must lie between -2^60 and 2^60"};
    }
    return {};
  }
  ORIEL_INLINE constexpr kv_shape shape() const noexcept {
    return {k_.heads, k_.dim, v_.dim, k_.reader || v_.reader};
  }
  ORIEL_INLINE constexpr range positions() const noexcept { return {first_, first_ + k_.tokens}; }
  ORIEL_INLINE constexpr range lost() const noexcept { return {}; }
  ORIEL_INLINE kv_run run_at(index head, index position) const noexcept {
    index const t = position - first_;
    return {k_.rows(t, head), v_.rows(t, head), head, position, k_.tokens - t};
  }
  ORIEL_INLINE bool overlaps(tensor_view<float> const& out) const noexcept {
    return oriel::overlaps(out, k_) || oriel::overlaps(out, v_);
  }
  ORIEL_INLINE constexpr row_readers readers() const noexcept { return {k_.reader, v_.reader}; }

 private:
  stored_view k_;
  stored_view v_;
  index first_;
};

}  // namespace oriel::inline v0
