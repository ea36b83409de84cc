// SPDX-License-Identifier: BSL-1.0
// The rolling buffer: a window of keys costs a window of memory.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "oriel/cache/codec.hpp"
#include "oriel/cache/contiguous.hpp"
#include "oriel/view/workspace.hpp"

namespace oriel::inline v0 {

/// Sizes of a rolling cache.
struct cache_shape {
  index window = 0;                           ///< keys a query sees, its own included; at least 1
  index kv_heads = 1;                         ///< key/value heads
  index head_dim = 0;                         ///< floats in a key
  std::optional<index> v_dim = std::nullopt;  ///< floats in a value; head_dim unless given
  index margin = 1;  ///< max(1, rows written before they are attended + rows a rollback gives back)

  ORIEL_INLINE constexpr index value_dim() const noexcept { return v_dim ? *v_dim : head_dim; }
  /// Rows per head; 0 for a shape that makes no sense.
  ORIEL_INLINE constexpr index capacity() const noexcept {
    return check().ok() ? saturating_add(window, margin) - 1 : 0;
  }

  ORIEL_INLINE constexpr status check() const noexcept {
    if (window < 1) return {errc::shape, "cache_shape.window must be at least 1"};
    if (margin < 1) return {errc::shape, "cache_shape.margin must be at least 1"};
    if (kv_heads < 1) return {errc::heads, "cache_shape.kv_heads must be at least 1"};
    if (head_dim < 1) return {errc::shape, "cache_shape.head_dim must be at least 1"};
    if (value_dim() < 1) return {errc::shape, "cache_shape.v_dim must be at least 1"};
    return {};
  }
};

/// A rolling key/value buffer of capacity = window - 1 + margin rows in the caller's bytes:
/// position i lies in slot i mod capacity, so with the default margin exactly `window` rows are
/// kept. Rows are laid out [kv_heads, capacity, row], all keys and then all values: each head's
/// rows are contiguous. Nothing is ever moved; a row is written once, into its slot.
///
///   K, V   codecs of keys and values: f32, bf16, f16, ...
///
/// Bytes      required_bytes(shape): capacity * kv_heads * (K::row_bytes(head_dim) +
///            V::row_bytes(v_dim)), nothing besides but, where K is f16 or bf16 and V f32, 2 bytes
///            if their number is odd.
/// Requires   bytes.size() >= required_bytes (errc::memory), aligned to storage_alignment
///            (errc::alignment), a shape that makes sense (its own errors). A cache built from
///            anything else is unusable: check(), append() and attend() return that status.
/// Source     Jiang et al. 2023 (Mistral 7B), arXiv:2310.06825, rolling buffer cache.
template <class K = f32, class V = K>
requires codec<codec_of<K>> && codec<codec_of<V>>
class rolling_cache {
 public:
  using is_cache = void;
  using k_codec = codec_of<K>;
  using v_codec = codec_of<V>;

  /// Bytes that a cache of this shape needs; INT64_MAX when they can't be counted, 0 for a shape
  /// that makes no sense.
  ORIEL_INLINE static constexpr index required_bytes(cache_shape const& shape) noexcept {
    if (!shape.check().ok()) return 0;
    index const rows = saturating_mul(shape.capacity(), shape.kv_heads);
    index const values = saturating_mul(rows, v_codec::row_bytes(shape.value_dim()));
    return saturating_add(key_bytes(shape), values);
  }

  ORIEL_INLINE rolling_cache(std::span<std::byte> bytes, cache_shape const& shape,
                             codec_pair<k_codec, v_codec> const& codecs = {}) noexcept
      : shape_(shape), codecs_(codecs), made_(made_from(bytes, shape)) {
    if (!made_.ok()) return;
    capacity_ = shape.capacity();
    k_ = bytes.data();
    v_ = k_ + key_bytes(shape);
  }

  ORIEL_INLINE status check() const noexcept { return made_; }

  /// Keeps the rows of the next tokens; of more than `capacity` only the last are written.
  ///
  ///   k : [n, kv_heads, head_dim], v : [n, kv_heads, v_dim]   of floats, bf16 or f16; any strides;
  ///                                                           n may be 0
  ///
  /// Positions  the first row gets `first` if given, else the position after the last one kept,
  ///            or 0. In a cache that holds rows `first` must be that position
  ///            (errc::position).
  /// Requires   shapes of the cache (errc::shape, errc::heads), k and v outside of its bytes
  ///            (errc::alias). On error nothing has been written.
  /// Cost       min(n, capacity) * kv_heads rows encoded.
  template <class Arch = default_arch>
  ORIEL_INLINE status append(stored_view const& k, stored_view const& v,
                             std::optional<index> first = std::nullopt) noexcept {
    if (!made_.ok()) return made_;
    if (status s = check_rows(k, v); !s.ok()) return s;
    if (k.heads != shape_.kv_heads) return {errc::heads, "k.heads must equal the cache's kv_heads"};
    if (k.dim != shape_.head_dim) return {errc::shape, "k.dim must equal the cache's head_dim"};
    if (v.dim != shape_.value_dim()) return {errc::shape, "v.dim must equal the cache's v_dim"};
    index const at = first ? *first : end_;
    if (begun() && at != end_) {
      return {errc::position, "first must be the position after the last one the cache holds"};
    }
    if (at < 0 || k.tokens >= max_position || at >= max_position - k.tokens) {
      return {errc::position, "first must be at least 0 and the last position below 2^60"};
    }
    if (footprint(k).meets(own()) || footprint(v).meets(own())) {
      return {errc::alias, "k and v must not lie in the cache's own bytes"};
    }
    if (k.tokens == 0) return {};
    if (!begun()) origin_ = at;
    end_ = at + k.tokens;
    range const kept{max_of(at, end_ - capacity_), end_};
    for (index head = 0; head < shape_.kv_heads; ++head) {
      for (index p = kept.begin; p < kept.end; ++p) {
        detail::encode_row<Arch>(codecs_.k, k, p - at, head, key(head, slot(p)));
        detail::encode_row<Arch>(codecs_.v, v, p - at, head, value(head, slot(p)));
      }
    }
    return {};
  }

  /// Forgets every row; the next one may have any position.
  ORIEL_INLINE void clear() noexcept { origin_ = end_ = 0; }

  ORIEL_INLINE constexpr kv_shape shape() const noexcept {
    constexpr bool coded = !detail::is_plain<k_codec> || !detail::is_plain<v_codec>;
    return {shape_.kv_heads, shape_.head_dim, shape_.value_dim(), coded};
  }
  /// Rows per head, 0 if the cache is unusable.
  ORIEL_INLINE constexpr index capacity() const noexcept { return capacity_; }
  ORIEL_INLINE constexpr range positions() const noexcept {
    return {max_of(origin_, end_ - capacity_), end_};
  }
  ORIEL_INLINE constexpr range lost() const noexcept { return {origin_, positions().begin}; }

  /// Slot of a position: where its row lies while it is held.
  ORIEL_INLINE constexpr index slot(index position) const noexcept {
    return capacity_ > 0 ? position % capacity_ : 0;
  }
  template <class Arch = default_arch>
  ORIEL_INLINE kv_run run_at(index head, index position) const noexcept {
    index const at = slot(position);
    index const k_bytes = k_codec::row_bytes(shape_.head_dim);
    index const v_bytes = v_codec::row_bytes(shape_.value_dim());
    return {{key(head, at), k_bytes, k_bytes, reader_of<Arch>(&codecs_.k)},
            {value(head, at), v_bytes, v_bytes, reader_of<Arch>(&codecs_.v)},
            head,
            position,
            min_of(end_ - position, capacity_ - at)};
  }
  ORIEL_INLINE codec_pair<k_codec, v_codec> const& codecs() const noexcept { return codecs_; }
  ORIEL_INLINE bool overlaps(tensor_view<float> const& out) const noexcept {
    return footprint(out).meets(own());
  }

 private:
  /// Bytes of all keys, up to where values may begin.
  ORIEL_INLINE static constexpr index key_bytes(cache_shape const& shape) noexcept {
    constexpr index step = detail::alignment_of<v_codec>();
    index const rows = saturating_mul(shape.capacity(), shape.kv_heads);
    index const bytes = saturating_mul(rows, k_codec::row_bytes(shape.head_dim));
    return bytes > INT64_MAX - step ? INT64_MAX : round_up(bytes, step);
  }
  ORIEL_INLINE static status made_from(std::span<std::byte> bytes,
                                       cache_shape const& shape) noexcept {
    if (status s = shape.check(); !s.ok()) return s;
    if (status s = check_codec<k_codec>(shape.head_dim); !s.ok()) return s;
    if (status s = check_codec<v_codec>(shape.value_dim()); !s.ok()) return s;
    if (bytes.data() == nullptr) return {errc::memory, "cache bytes must not be null"};
    index const required = required_bytes(shape);
    if (required == INT64_MAX || bytes.size() < static_cast<std::size_t>(required)) {
      return {errc::memory, "cache bytes must hold rolling_cache::required_bytes(shape)"};
    }
    if (reinterpret_cast<std::uintptr_t>(bytes.data()) % storage_alignment != 0) {
      return {errc::alignment, "cache bytes must be aligned to 64"};
    }
    return {};
  }

  ORIEL_INLINE constexpr bool begun() const noexcept { return end_ != origin_; }
  ORIEL_INLINE address_range own() const noexcept {
    auto const base = reinterpret_cast<std::uintptr_t>(k_);
    return {base, base + static_cast<std::uintptr_t>(required_bytes(shape_))};
  }
  ORIEL_INLINE std::byte* key(index head, index at) const noexcept {
    return k_ + (head * capacity_ + at) * k_codec::row_bytes(shape_.head_dim);
  }
  ORIEL_INLINE std::byte* value(index head, index at) const noexcept {
    return v_ + (head * capacity_ + at) * v_codec::row_bytes(shape_.value_dim());
  }

  cache_shape shape_;
  codec_pair<k_codec, v_codec> codecs_;
  status made_;
  index capacity_ = 0;
  std::byte* k_ = nullptr;
  std::byte* v_ = nullptr;
  index origin_ = 0;  ///< position of the first row ever appended
  index end_ = 0;     ///< position after the last one
};

}  // namespace oriel::inline v0
