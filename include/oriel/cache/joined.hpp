// SPDX-License-Identifier: BSL-1.0
// What a cache holds, then these fresh rows.
#pragma once

#include <optional>

#include "oriel/cache/contiguous.hpp"

namespace oriel::inline v0 {

/// A piece of prompt, of any length, is attended through this and appended afterwards: the fresh
/// rows are read where they lie, so a ring needs no room for them and nothing is copied twice.
///
///   past : a cache; referred to, so it must stay where it is (a vector of caches must not grow)
///   k, v : [n, kv_heads, head_dim], [n, kv_heads, v_dim]   any strides; they follow past's
///
/// Requires   the cache's shapes (errc::heads, errc::shape); `first`, where given, must be the
///            position after the last one of `past`, unless that is empty (errc::position).
template <kv_source Past>
class joined {
 public:
  ORIEL_INLINE joined(Past const& past, tensor_view<float const> k, tensor_view<float const> v,
                      std::optional<index> first = std::nullopt) noexcept
      : past_(&past), k_(k), v_(v), first_(first ? *first : past.positions().end) {}
  joined(Past const&& past, tensor_view<float const> k, tensor_view<float const> v,
         std::optional<index> first = std::nullopt) = delete;  // `past` must be an lvalue

  ORIEL_INLINE status check() const noexcept {
    if (status s = past_->check(); !s.ok()) return s;
    if (status s = contiguous(k_, v_, first_).check(); !s.ok()) return s;
    kv_shape const kept = past_->shape();
    if (k_.heads != kept.kv_heads) return {errc::heads, "k.heads must equal the cache's kv_heads"};
    if (k_.dim != kept.head_dim) return {errc::shape, "k.dim must equal the cache's head_dim"};
    if (v_.dim != kept.v_dim) return {errc::shape, "v.dim must equal the cache's v_dim"};
    if (!past_->positions().empty() && first_ != past_->positions().end) {
      return {errc::position, "first must be the position after the last one the cache holds"};
    }
    return {};
  }
  ORIEL_INLINE kv_shape shape() const noexcept { return past_->shape(); }
  ORIEL_INLINE range positions() const noexcept {
    range const kept = past_->positions();
    return {kept.empty() ? first_ : kept.begin, first_ + k_.tokens};
  }
  ORIEL_INLINE range lost() const noexcept { return past_->lost(); }
  ORIEL_INLINE kv_run run_at(index head, index position) const noexcept {
    if (position < first_) return past_->run_at(head, position);
    return contiguous(k_, v_, first_).run_at(head, position);
  }
  ORIEL_INLINE bool overlaps(tensor_view<float> const& out) const noexcept {
    return past_->overlaps(out) || contiguous(k_, v_, first_).overlaps(out);
  }

 private:
  Past const* past_;
  tensor_view<float const> k_;
  tensor_view<float const> v_;
  index first_;
};

}  // namespace oriel::inline v0
