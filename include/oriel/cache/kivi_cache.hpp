// SPDX-License-Identifier: BSL-1.0
// KIVI: keys quantised per channel over groups of tokens, values per token.
#pragma once

#include "oriel/cache/quantized.hpp"
#include "oriel/cache/rolling_cache.hpp"

namespace oriel::inline v0 {

/// Groups of `Tokens` keys with a scale and a zero per channel: x ~ scale * code + zero, over the
/// tokens of a group as quantized has it over channels. Not a codec: a group is written as a whole.
///
/// Bytes   of a group: the code rows of quantized, then a scale and a zero per channel; rounded up
///         to a multiple of Tokens, so that row_bytes is their share of a token.
template <int Bits, int Tokens, class Parameter>
struct channel_groups {
  using codes = code_rows<Bits>;

  ORIEL_INLINE static constexpr index row_bytes(index dim) noexcept {
    if (dim > max_coded_dim) return saturating_mul(dim, sizeof(float));  // refused by its check
    return codes::bytes(dim) + ceil_div(2 * dim * static_cast<index>(sizeof(Parameter)), Tokens);
  }

  /// Writes a group from the rows [first, Tokens) of floats [Tokens, dim]; tokens before `first`
  /// are not there.
  template <class Arch>
  static void encode(float const* rows, index first, index dim, std::byte* to) noexcept {
    for (index i = 0; i < Tokens * codes::bytes(dim); ++i) to[i] = std::byte{0};
    for (index d = 0; d < dim; ++d) {
      float channel[Tokens];
      float code[Tokens];
      for (index t = first; t < Tokens; ++t) channel[t] = rows[t * dim + d];
      auto const of = linear<Bits, Parameter>::template over<Arch>(channel + first, Tokens - first,
                                                                   code + first);
      put(to, dim, d, of.scale);
      put(to, dim, dim + d, of.zero);
      for (index t = first; t < Tokens; ++t) {
        codes::put(to + t * codes::bytes(dim), d, static_cast<unsigned>(code[t]));
      }
    }
  }

  /// Rows may begin within a group, as their position says, and go over several.
  template <class Arch>
  static void read(void const*, row_slice const& rows, float* to) noexcept {
    for (index i = 0; i < rows.count; ++i, to += rows.dim) {
      index const in_group = (rows.first + i) % Tokens;
      std::byte const* const group = rows.data + (i - in_group) * rows.stride;
      std::byte const* const row = group + in_group * codes::bytes(rows.dim);
      std::byte const* const scale = group + Tokens * codes::bytes(rows.dim);
      std::byte const* const zero = scale + rows.dim * static_cast<index>(sizeof(Parameter));
      codes::template for_each<Arch>(
          row, rows.dim, [&](vec<Arch> x, index d, int width) ORIEL_INLINE_LAMBDA {
            x = fma<Arch>(x, parameters<Arch>(scale, d, width), parameters<Arch>(zero, d, width));
            store_some<Arch>(to + d, x, width);
          });
    }
  }
  template <class Arch>
  static constexpr row_functions table{read<Arch>};

 private:
  ORIEL_INLINE static void put(std::byte* group, index dim, index i, float x) noexcept {
    auto const stored = Parameter(x);
    index const at = Tokens * codes::bytes(dim) + i * static_cast<index>(sizeof stored);
    std::memcpy(group + at, &stored, sizeof stored);
  }
  template <class Arch>
  ORIEL_INLINE static vec<Arch> parameters(std::byte const* from, index d, int width) noexcept {
    Parameter some[lanes<Arch>] = {};
    std::memcpy(some, from + d * static_cast<index>(sizeof(Parameter)),
                static_cast<std::size_t>(width) * sizeof(Parameter));
    return widen<Arch>(some);
  }
};

/// A rolling cache whose keys share a scale and a zero per channel within groups of `Group` tokens
/// (positions from a multiple of Group on), as outliers of keys sit in channels; values have them
/// per token and Group channels. The newest rows, of a group that is not complete, stay floats: so
/// here, unlike with a codec per row, how a prompt is cut may change what a query sees of the rows
/// that are new to it. joined shows fresh rows as they are.
///
/// Bytes      required_bytes(shape): shape.capacity() rounded up to whole groups, and a group of
///            floats: capacity * kv_heads * (key row + value row) + Group * kv_heads * (head_dim +
///            v_dim) * 4.
/// Requires   as rolling_cache; head_dim and v_dim at most 4096; no sinks (errc::shape).
/// Source     Liu et al. 2024 (KIVI), arXiv:2402.02750.
template <int Bits = 2, int Group = 32, class Parameter = f16>
class kivi_cache {
 public:
  using is_cache = void;
  using k_groups = channel_groups<Bits, Group, Parameter>;
  using v_codec = quantized<Bits, Group, true, Parameter>;

  /// Bytes that a cache of this shape needs; INT64_MAX when they can't be counted, 0 for a shape
  /// that makes no sense.
  ORIEL_INLINE static constexpr index required_bytes(cache_shape const& shape) noexcept {
    if (!shape.check().ok()) return 0;
    index const dims = saturating_add(shape.head_dim, shape.value_dim());
    index const fresh = saturating_mul(saturating_mul(Group * sizeof(float), shape.kv_heads), dims);
    index const row =
        saturating_add(k_groups::row_bytes(shape.head_dim), v_codec::row_bytes(shape.value_dim()));
    index const rows = saturating_mul(rounded_capacity(shape), shape.kv_heads);
    return saturating_add(saturating_mul(rows, row), fresh);
  }

  ORIEL_INLINE kivi_cache(std::span<std::byte> bytes, cache_shape const& shape) noexcept
      : shape_(shape), made_(made_from(bytes, shape)) {
    if (!made_.ok()) return;
    capacity_ = rounded_capacity(shape);
    fresh_k_ = reinterpret_cast<float*>(bytes.data());
    fresh_v_ = fresh_k_ + Group * shape.kv_heads * shape.head_dim;
    k_ = reinterpret_cast<std::byte*>(fresh_v_ + Group * shape.kv_heads * shape.value_dim());
    v_ = k_ + capacity_ * shape.kv_heads * k_groups::row_bytes(shape.head_dim);
  }

  ORIEL_INLINE status check() const noexcept { return made_; }

  /// Keeps the rows of the next tokens; arguments, positions and errors as rolling_cache::append.
  template <class Arch = default_arch>
  ORIEL_INLINE status append(stored_view const& k, stored_view const& v,
                             std::optional<index> first = std::nullopt) noexcept {
    if (!made_.ok()) return made_;
    index const at = first ? *first : end_;
    if (status s = check_append(shape(), own(), {origin_, end_}, at, k, v); !s.ok()) return s;
    if (k.tokens == 0) return {};
    if (!begun()) origin_ = at;
    index const last = at + k.tokens;
    // What would be overwritten again is not written.
    end_ = max_of(at, round_down(last, Group) - capacity_);
    for (; end_ < last; keep<Arch>()) {
      for (index head = 0; head < shape_.kv_heads; ++head) {
        copy(k, end_ - at, head, fresh_k(head, end_));
        copy(v, end_ - at, head, fresh_v(head, end_));
      }
    }
    return {};
  }

  /// Forgets every row; the next one may have any position.
  ORIEL_INLINE void clear() noexcept { origin_ = end_ = 0; }

  ORIEL_INLINE constexpr kv_shape shape() const noexcept {
    return {shape_.kv_heads, shape_.head_dim, shape_.value_dim(), true};
  }
  /// Rows per head in whole groups, 0 if the cache is unusable.
  ORIEL_INLINE constexpr index capacity() const noexcept { return capacity_; }
  ORIEL_INLINE constexpr range positions() const noexcept {
    return {max_of(origin_, round_down(end_, Group) - capacity_), end_};
  }
  ORIEL_INLINE constexpr range lost() const noexcept { return {origin_, positions().begin}; }
  /// Positions whose rows are still floats.
  ORIEL_INLINE constexpr range fresh() const noexcept {
    return {max_of(origin_, round_down(end_, Group)), end_};
  }

  template <class Arch = default_arch>
  ORIEL_INLINE kv_run run_at(index head, index position) const noexcept {
    if (fresh().contains(position)) {
      return {stored_rows::of(fresh_k(head, position), shape_.head_dim, shape_.head_dim),
              stored_rows::of(fresh_v(head, position), shape_.value_dim(), shape_.value_dim()),
              head, position, end_ - position};
    }
    index const at = position % capacity_;
    index const k_bytes = k_groups::row_bytes(shape_.head_dim);
    index const v_bytes = v_codec::row_bytes(shape_.value_dim());
    return {{key(head, at), k_bytes, k_bytes, {&k_groups::template table<Arch>, nullptr}},
            {value(head, at), v_bytes, v_bytes, reader_of<Arch, v_codec>(nullptr)},
            head,
            position,
            min_of(round_down(end_, Group) - position, capacity_ - at)};
  }
  ORIEL_INLINE bool overlaps(tensor_view<float> const& out) const noexcept {
    return footprint(out).meets(own());
  }

 private:
  ORIEL_INLINE static constexpr index rounded_capacity(cache_shape const& shape) noexcept {
    index const rows = shape.capacity();
    return rows > INT64_MAX - Group ? INT64_MAX : round_up(rows, Group);
  }
  ORIEL_INLINE static status made_from(std::span<std::byte> bytes,
                                       cache_shape const& shape) noexcept {
    if (status s = shape.check(); !s.ok()) return s;
    if (shape.sinks > 0) {
      return {errc::shape, "kivi_cache keeps no sinks: cache_shape.sinks must be 0"};
    }
    if (status s = check_codec<v_codec>(max_of(shape.head_dim, shape.value_dim())); !s.ok()) {
      return s;
    }
    return check_storage(
        bytes, required_bytes(shape),
        {"cache bytes must not be null", "cache bytes must hold kivi_cache::required_bytes(shape)",
         "cache bytes must be aligned to 64"});
  }

  /// The row at end_ is there: one more position, and perhaps a whole group.
  template <class Arch>
  ORIEL_INLINE void keep() noexcept {
    ++end_;
    if (end_ % Group != 0) return;
    index const begin = end_ - Group;
    index const missing = max_of(0, origin_ - begin);
    index const at = begin % capacity_;
    for (index head = 0; head < shape_.kv_heads; ++head) {
      k_groups::template encode<Arch>(fresh_k(head, begin), missing, shape_.head_dim,
                                      key(head, at));
      for (index t = missing; t < Group; ++t) {
        v_codec::template encode<Arch>(fresh_v(head, begin + t), shape_.value_dim(), head,
                                       value(head, at + t));
      }
    }
  }
  ORIEL_INLINE static void copy(stored_view const& from, index t, index head, float* to) noexcept {
    float const* const row = from.floats(t, head, to);
    if (row != to) std::memcpy(to, row, static_cast<std::size_t>(from.dim) * sizeof(float));
  }

  ORIEL_INLINE constexpr bool begun() const noexcept { return end_ != origin_; }
  ORIEL_INLINE address_range own() const noexcept {
    auto const base = reinterpret_cast<std::uintptr_t>(fresh_k_);
    return {base, base + static_cast<std::uintptr_t>(required_bytes(shape_))};
  }
  ORIEL_INLINE float* fresh_k(index head, index position) const noexcept {
    return fresh_k_ + (head * Group + position % Group) * shape_.head_dim;
  }
  ORIEL_INLINE float* fresh_v(index head, index position) const noexcept {
    return fresh_v_ + (head * Group + position % Group) * shape_.value_dim();
  }
  ORIEL_INLINE std::byte* key(index head, index at) const noexcept {
    return k_ + (head * capacity_ + at) * k_groups::row_bytes(shape_.head_dim);
  }
  ORIEL_INLINE std::byte* value(index head, index at) const noexcept {
    return v_ + (head * capacity_ + at) * v_codec::row_bytes(shape_.value_dim());
  }

  cache_shape shape_;
  status made_;
  index capacity_ = 0;
  float* fresh_k_ = nullptr;  ///< [kv_heads, Group, head_dim]
  float* fresh_v_ = nullptr;  ///< [kv_heads, Group, v_dim]
  std::byte* k_ = nullptr;
  std::byte* v_ = nullptr;
  index origin_ = 0;  ///< position of the first row ever appended
  index end_ = 0;     ///< position after the last one
};

}  // namespace oriel::inline v0
