// SPDX-License-Identifier: BSL-1.0
// Where the rows of a kivi_cache lie, and how they get there.
#pragma once

#include <cstring>

#include "oriel/cache/cache_shape.hpp"
#include "oriel/cache/rope.hpp"
#include "oriel/cache/row_ring.hpp"
#include "oriel/cache/stored_view.hpp"
#include "oriel/codec/token_groups.hpp"

namespace oriel::inline v0::detail {

/// The rows of a kivi_cache: complete groups in a ring, with the sinks' before it, and beside them
/// the newest rows as floats, in a ring of their own. Nothing is checked here.
template <int Bits, int Group, class Parameter>
struct kivi_rows {
  using keys = token_groups<Bits, Group, Parameter>;
  using values = quantized<Bits, Group, true, Parameter>;

  cache_shape shape = {};
  row_ring groups = {};           ///< rows in complete groups
  row_ring floats = {};           ///< rows kept as floats
  float* k_floats = nullptr;      ///< [kv_heads, floats.rows, head_dim]
  float* v_floats = nullptr;      ///< [kv_heads, floats.rows, v_dim]
  std::byte* k_groups = nullptr;  ///< [kv_heads, capacity, key row]
  std::byte* v_groups = nullptr;  ///< [kv_heads, capacity, value row]
  index origin = 0;               ///< position of the first row ever appended
  index end = 0;                  ///< position after the last one

  ORIEL_INLINE constexpr kivi_rows() noexcept {}
  ORIEL_INLINE kivi_rows(std::byte* memory, cache_shape const& of) noexcept
      : shape(of),
        groups{.rows = in_groups(of.ring()), .pinned = in_groups(of.sinks)},
        floats{.rows = float_rows(of)} {
    k_floats = reinterpret_cast<float*>(memory);
    v_floats = k_floats + floats.rows * of.kv_heads * of.head_dim;
    k_groups = reinterpret_cast<std::byte*>(v_floats + floats.rows * of.kv_heads * of.value_dim());
    v_groups = k_groups + capacity() * of.kv_heads * key_bytes();
  }

  /// Of a shape that makes sense; INT64_MAX when they can't be counted.
  ORIEL_INLINE static constexpr index required_bytes(cache_shape const& of) noexcept {
    index const dims = saturating_add(of.head_dim, of.value_dim());
    index const whole = saturating_mul(capacity(of), token_bytes(of));
    index const as_floats = saturating_mul(saturating_mul(float_rows(of), of.kv_heads), dims);
    return saturating_add(whole, saturating_mul(as_floats, sizeof(float)));
  }
  /// Rows per head in whole groups.
  ORIEL_INLINE static constexpr index capacity(cache_shape const& of) noexcept {
    return saturating_add(in_groups(of.sinks), in_groups(of.ring()));
  }
  /// Of a token in a group, of all heads.
  ORIEL_INLINE static constexpr index token_bytes(cache_shape const& of) noexcept {
    index const of_v = values::row_bytes(of.value_dim());
    return saturating_mul(of.kv_heads, saturating_add(keys::row_bytes(of.head_dim), of_v));
  }
  ORIEL_INLINE static constexpr index in_groups(index rows) noexcept {
    return rows > INT64_MAX - Group ? INT64_MAX : round_up(rows, Group);
  }
  /// So many that `margin` rows back from the end, a group's are there from its first on.
  ORIEL_INLINE static constexpr index float_rows(cache_shape const& of) noexcept {
    return saturating_add(Group, of.margin - 1);
  }

  ORIEL_INLINE constexpr index capacity() const noexcept { return groups.slots(); }
  /// The end of the last complete group.
  ORIEL_INLINE constexpr index complete() const noexcept { return round_down(end, Group); }
  /// From the first position ever appended to the end.
  ORIEL_INLINE constexpr range had() const noexcept { return {origin, end}; }
  ORIEL_INLINE constexpr range lost() const noexcept { return groups.lost(origin); }
  ORIEL_INLINE constexpr range fresh() const noexcept { return {max_of(origin, complete()), end}; }
  /// May the rows from `position` on be given back: is what is before it in its group kept as
  /// floats?
  ORIEL_INLINE constexpr bool can_cut(index position) const noexcept {
    return position == origin || position % Group == 0 ||
           floats.begin <= max_of(origin, round_down(position, Group));
  }
  ORIEL_INLINE static constexpr bool of_groups(range erased) noexcept {
    return erased.begin % Group == 0 && erased.end % Group == 0;
  }
  ORIEL_INLINE constexpr bool of_floats(range erased) const noexcept {
    return can_cut(erased.begin) && (erased.end == end || erased.end >= floats.begin);
  }

  ORIEL_INLINE void begin_at(index first) noexcept {
    origin = end = first;
    groups.begin_at(first), floats.begin_at(first);
  }
  template <class Arch>
  ORIEL_INLINE void append(stored_view const& k, stored_view const& v) noexcept {
    index const at = end;
    end = at + k.tokens;
    make_room();
    for (range const part : groups.held({at, end})) {
      for (index p = part.begin; p < part.end; ++p) {
        for (index head = 0; head < shape.kv_heads; ++head) {
          copy_row(k, p - at, head, float_k(head, p));
          copy_row(v, p - at, head, float_v(head, p));
        }
        if ((p + 1) % Group == 0) encode_group<Arch>(p + 1 - Group);
      }
    }
  }
  /// What the rings can't hold up to `end` is lost.
  ORIEL_INLINE void make_room() noexcept {
    groups.make_room(complete()), floats.make_room(end);
    if (!lost().empty()) floats.begin = max_of(floats.begin, lost().end);
  }
  ORIEL_INLINE void truncate(index position) noexcept {
    end = position;
    groups.truncate(origin, position), floats.truncate(origin, position);
  }

  /// Rows of the same positions as those of `from`, wherever those lie.
  ORIEL_INLINE void stand_as(kivi_rows const& from) noexcept {
    origin = from.origin, end = from.end, groups = from.groups, floats = from.floats;
  }
  /// Can origin, end and the rings be so?
  ORIEL_INLINE constexpr bool makes_sense() const noexcept {
    index const least = lost().empty() ? origin : lost().end;  // of the floats
    return groups.makes_sense(had()) &&
           (groups.begin == groups.first(origin) || groups.begin % Group == 0) &&
           floats.begin >= least && floats.begin <= max_of(origin, complete());
  }

  /// f(first position) for every complete group that is held.
  template <class F>
  ORIEL_INLINE void for_each_group(F&& f) const noexcept {
    for (range const part : groups.held({origin, complete()})) {
      for (index g = round_down(part.begin, Group); g < part.end; g += Group) f(g);
    }
  }
  /// Writes a complete group from its rows of floats.
  template <class Arch>
  ORIEL_INLINE void encode_group(index group) const noexcept {
    index const missing = max_of(0, origin - group);
    for (index head = 0; head < shape.kv_heads; ++head) {
      float const* rows[Group] = {};
      for (index t = missing; t < Group; ++t) rows[t] = float_k(head, group + t);
      keys::template encode<Arch>(rows, missing, shape.head_dim, key(head, group));
      std::memset(value(head, group), 0, static_cast<std::size_t>(missing * value_bytes()));
      for (index t = missing; t < Group; ++t) {
        values::template encode<Arch>(float_v(head, group + t), shape.value_dim(), head,
                                      value(head, group + t));
      }
    }
  }
  ORIEL_INLINE static void copy_row(stored_view const& from, index t, index head,
                                    float* to) noexcept {
    float const* const row = from.floats(t, head, to);
    if (row != to) std::memcpy(to, row, static_cast<std::size_t>(from.dim) * sizeof(float));
  }
  /// A group, or a row of floats, of `from` becomes that of position `to`.
  ORIEL_INLINE void move_group(index head, index to, kivi_rows const& from,
                               index group) const noexcept {
    if (key(head, to) == from.key(head, group)) return;
    std::memcpy(key(head, to), from.key(head, group),
                static_cast<std::size_t>(Group * key_bytes()));
    std::memcpy(value(head, to), from.value(head, group),
                static_cast<std::size_t>(Group * value_bytes()));
  }
  ORIEL_INLINE void move_floats(index head, index to, kivi_rows const& from,
                                index position) const noexcept {
    if (float_k(head, to) == from.float_k(head, position)) return;
    std::memcpy(float_k(head, to), from.float_k(head, position),
                static_cast<std::size_t>(float_key_bytes()));
    std::memcpy(float_v(head, to), from.float_v(head, position),
                static_cast<std::size_t>(float_value_bytes()));
  }

  /// Rows after `erased`, which may be erased, get their new positions; keys are rotated by `by`.
  template <class Arch>
  void move_down(range erased, rope const* by, rotation_scratch const& scratch) noexcept {
    index const n = erased.size();
    if (n == 0) return;
    kivi_rows next = *this;
    next.end -= n;
    next.floats.erase(origin, erased);
    for (index head = 0; head < shape.kv_heads; ++head) {
      for (index p = max_of(erased.end, floats.begin); p < end; ++p) {
        next.move_floats(head, p - n, *this, p);
        if (by) by->template rotate<Arch>(scratch.cos_sin, next.float_k(head, p - n));
      }
    }
    if (of_floats(erased)) {
      next.groups.truncate(origin, erased.begin);
      next.make_room();  // after a first row within a group there may be one group more
      index const first = round_down(erased.begin, Group);
      for (index g = first; g < next.complete(); g += Group) next.template encode_group<Arch>(g);
    } else {
      next.groups.erase(origin, erased);
      auto const has_floats = [&](index g) ORIEL_INLINE_LAMBDA {
        return next.floats.begin <= max_of(origin, g);
      };
      for (index head = 0; head < shape.kv_heads; ++head) {
        for_each_group([&](index g) ORIEL_INLINE_LAMBDA {
          if (g < erased.end) return;
          next.move_group(head, g - n, *this, g);
          if (by && !has_floats(g - n)) next.template rotate_group<Arch>(head, g - n, *by, scratch);
        });
      }
      if (by) {
        next.for_each_group([&](index g) ORIEL_INLINE_LAMBDA {
          if (g >= erased.begin && has_floats(g)) next.template encode_group<Arch>(g);
        });
      }
    }
    *this = next;
  }
  template <class Arch>
  void rotate_group(index head, index group, rope const& by,
                    rotation_scratch const& scratch) const noexcept {
    std::byte* const at = key(head, group);
    keys::template read<Arch>(nullptr, {at, key_bytes(), head, group, Group, shape.head_dim},
                              scratch.row);
    float const* rows[Group];
    for (index t = 0; t < Group; ++t) {
      by.template rotate<Arch>(scratch.cos_sin, scratch.row + t * shape.head_dim);
      rows[t] = scratch.row + t * shape.head_dim;
    }
    keys::template encode<Arch>(rows, 0, shape.head_dim, at);
  }

  /// Bytes of the groups and of the floats that are held.
  ORIEL_INLINE constexpr index held_bytes() const noexcept {
    index in_all = 0;
    for (range const part : groups.held({origin, complete()})) {
      in_all += range{round_down(part.begin, Group), part.end}.size();
    }
    index const rows = saturating_mul(in_all, key_bytes() + value_bytes());
    index const as_floats =
        saturating_mul(range{floats.begin, end}.size(), float_key_bytes() + float_value_bytes());
    return saturating_mul(saturating_add(rows, as_floats), shape.kv_heads);
  }
  ORIEL_INLINE address_range own() const noexcept {
    if (k_floats == nullptr) return {};
    auto const base = reinterpret_cast<std::uintptr_t>(k_floats);
    return {base, base + static_cast<std::uintptr_t>(required_bytes(shape))};
  }
  ORIEL_INLINE constexpr index key_bytes() const noexcept {
    return keys::row_bytes(shape.head_dim);
  }
  ORIEL_INLINE constexpr index value_bytes() const noexcept {
    return values::row_bytes(shape.value_dim());
  }
  ORIEL_INLINE constexpr index float_key_bytes() const noexcept {
    return saturating_mul(shape.head_dim, sizeof(float));
  }
  ORIEL_INLINE constexpr index float_value_bytes() const noexcept {
    return saturating_mul(shape.value_dim(), sizeof(float));
  }
  ORIEL_INLINE float* float_k(index head, index position) const noexcept {
    return k_floats + (head * floats.rows + floats.slot(position)) * shape.head_dim;
  }
  ORIEL_INLINE float* float_v(index head, index position) const noexcept {
    return v_floats + (head * floats.rows + floats.slot(position)) * shape.value_dim();
  }
  ORIEL_INLINE std::byte* key(index head, index position) const noexcept {
    return k_groups + (head * capacity() + groups.slot(position)) * key_bytes();
  }
  ORIEL_INLINE std::byte* value(index head, index position) const noexcept {
    return v_groups + (head * capacity() + groups.slot(position)) * value_bytes();
  }
};

}  // namespace oriel::inline v0::detail
