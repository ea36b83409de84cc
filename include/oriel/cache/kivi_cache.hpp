// SPDX-License-Identifier: BSL-1.0
// KIVI: keys quantised per channel over groups of tokens, values per token.
#pragma once

#include <optional>
#include <span>

#include "oriel/cache/contiguous.hpp"
#include "oriel/cache/kivi_rows.hpp"
#include "oriel/cache/saved.hpp"
#include "oriel/view/workspace.hpp"

namespace oriel::inline v0 {

/// A rolling cache whose keys share a scale and a zero per channel within groups of `Group` tokens
/// (positions from a multiple of Group on), as outliers of keys sit in channels; values have them
/// per token and Group channels. The newest rows, of a group that is not complete, stay floats: so
/// here, unlike with a codec per row, how a prompt is cut may change what a query sees of the rows
/// that are new to it. joined shows fresh rows as they are.
///
/// What is held   as in rolling_cache, ring and sinks each rounded up to whole groups. Beside them
///            the last Group + margin - 1 rows are kept as floats: those that are read as floats,
///            and those of which a rollback makes such again. So truncate is exact back to
///            end - margin here too; further back a complete group can only be taken whole.
/// Bytes      required_bytes(shape): (sinks and window - 1 + margin, each rounded up) * kv_heads *
///            (key row + value row), and (Group + margin - 1) * kv_heads * (head_dim + v_dim) * 4.
/// Requires   as rolling_cache; head_dim and v_dim at most 4096.
/// Source     Liu et al. 2024 (KIVI), arXiv:2402.02750.
template <int Bits = 2, int Group = 32, class Parameter = f16>
class kivi_cache {
  using rows = detail::kivi_rows<Bits, Group, Parameter>;

 public:
  using is_cache = void;
  using key_groups = token_groups<Bits, Group, Parameter>;
  using v_codec = quantized<Bits, Group, true, Parameter>;
  struct codecs {};                      ///< that have no state
  static constexpr index group = Group;  ///< tokens that are stored, and given up, together

  /// ok, or why there is no cache of this shape.
  ORIEL_INLINE static constexpr status check(cache_shape const& shape) noexcept {
    if (status s = shape.check(); !s.ok()) return s;
    return check_codec<v_codec>(max_of(shape.head_dim, shape.value_dim()));
  }

  /// Bytes of a token's rows, of all heads, with its share of what a group has once.
  ORIEL_INLINE static constexpr index token_bytes(cache_shape const& shape) noexcept {
    return shape.check().ok() ? rows::token_bytes(shape) : 0;
  }
  /// Bytes that a cache of this shape needs; INT64_MAX when they can't be counted, 0 for a shape
  /// that is invalid.
  ORIEL_INLINE static constexpr index required_bytes(cache_shape const& shape) noexcept {
    return shape.check().ok() ? rows::required_bytes(shape) : 0;
  }

  ORIEL_INLINE kivi_cache(std::span<std::byte> bytes, cache_shape const& shape,
                          codecs const& = {}) noexcept
      : made_(made_from(bytes, shape)) {
    at_.shape = shape;
    if (made_.ok()) at_ = rows(bytes.data(), shape);
  }

  /// A cache that can't be used, as `why` says.
  ORIEL_INLINE explicit kivi_cache(status const& why) noexcept : made_(why) {}
  ORIEL_INLINE status check() const noexcept { return made_; }

  /// Keeps the rows of the next tokens; arguments, positions and errors as rolling_cache::append.
  /// Cost       each row copied, each group that becomes complete encoded; rows that would be
  ///            overwritten again are passed over.
  template <class Arch = default_arch>
  ORIEL_INLINE status append(stored_view const& k, stored_view const& v,
                             std::optional<index> first = std::nullopt) noexcept {
    if (!made_.ok()) return made_;
    index const from = first ? *first : at_.end;
    if (status s = check_append(shape(), at_.own(), at_.had(), from, k, v); !s.ok()) return s;
    if (k.tokens == 0) return {};
    if (at_.end == at_.origin) at_.begin_at(from);
    at_.template append<Arch>(k, v);
    return {};
  }

  /// Forgets every row; the next one may have any position from 0 on.
  ORIEL_INLINE void clear() noexcept { at_.begin_at(0); }

  /// Can the sequence go on at `position`, with all that a window shows there: would truncate be
  /// ok?
  ORIEL_INLINE bool can_resume(index position) const noexcept {
    return check_truncate(position).ok();
  }
  /// ok, or what truncate to a position would say.
  ORIEL_INLINE status check_truncate(index position) const noexcept {
    if (!made_.ok()) return made_;
    if (status s = at_.groups.check_truncate(at_.had(), position, at_.shape.window); !s.ok()) {
      return s;
    }
    if (!at_.can_cut(position)) {
      return {errc::evicted,
              "truncate: position must be a multiple of Group, or the rows of its group still be "
              "held as floats; a larger cache_shape.margin keeps them"};
    }
    return {};
  }
  /// Gives back the rows from `position` on, as rolling_cache::truncate: what follows has the bits
  /// of a cache that never had them. Rows of a group that is no longer complete are floats again.
  ///
  /// Requires   a position from the first one ever appended to the end (errc::position), whose
  ///            window is still held, and which is that first one, a multiple of Group, or in a
  ///            group whose rows are still kept as floats (errc::evicted): so for `margin` rows
  ///            back from the furthest end there was, and in fresh(). On error nothing changes.
  /// Cost       O(1).
  ORIEL_INLINE status truncate(index position) noexcept {
    if (status s = check_truncate(position); !s.ok()) return s;
    at_.truncate(position);
    return {};
  }

  /// Takes the rows of `erased` out (context shift): later ones move down by erased.size()
  /// positions. Where all rows after it, and those before it in its first group, are kept as
  /// floats, that is a truncate to erased.begin and an append of these floats. Else it must be
  /// whole groups: later groups keep their bits.
  ///
  /// Requires   as rolling_cache::erase (errc::position, errc::evicted); both ends multiples of
  ///            Group, or floats as above (errc::evicted). On error nothing changes.
  /// Cost       the held groups after it copied; none where no row of the ring lies before it;
  ///            of floats, these copied and their groups encoded.
  template <class Arch = default_arch>
  ORIEL_INLINE status erase(range erased) noexcept {
    if (status s = check_erase(erased); !s.ok()) return s;
    at_.template move_down<Arch>(erased, nullptr, {});
    return {};
  }
  /// ok, or what erase of a range would say.
  ORIEL_INLINE status check_erase(range erased) const noexcept {
    if (!made_.ok()) return made_;
    if (status s = at_.groups.check_erase(at_.had(), erased); !s.ok() || erased.empty()) return s;
    if (!at_.of_groups(erased) && !at_.of_floats(erased)) {
      return {errc::evicted,
              "erase: both ends must be multiples of Group, or the rows after and those before in "
              "the same group still be held as floats"};
    }
    return {};
  }
  /// The same for keys with rotary positions: each key that moves is rotated to its new position.
  /// One that is kept as floats is rotated as floats (one more rounding), and a group of them is
  /// encoded from these. Other groups are read, rotated and encoded once more: each time a key is
  /// off by up to half a step (0.51 scale, and with a zero of f16 2^-11 of that) per channel of its
  /// pair more than it was.
  ///
  /// Requires   besides, a rope that fits the keys (errc::shape), memory.bytes of
  ///            erase_bytes(head_dim, Group), aligned (errc::workspace, errc::memory,
  ///            errc::alignment), outside of the cache (errc::alias).
  /// Cost       besides, every held key after the range is read, rotated and written.
  template <class Arch = default_arch>
  status erase(range erased, rope const& by, workspace memory) noexcept {
    if (!made_.ok()) return made_;
    if (status s = detail::check_rotation(by, at_.shape.head_dim, memory, Group); !s.ok()) return s;
    if (footprint(memory.bytes).meets(at_.own())) {
      return {errc::alias, "workspace must not lie in the cache's own bytes"};
    }
    if (status s = check_erase(erased); !s.ok()) return s;
    carver carve(memory.bytes.data());
    auto const scratch = detail::rotation_scratch::carve(carve, at_.shape.head_dim, Group);
    by.template cos_sin<Arch>(-erased.size(), scratch.cos_sin);
    at_.template move_down<Arch>(erased, &by, scratch);
    return {};
  }

  /// Becomes a copy of another cache of the same shape (errc::shape). Cost: what is held copied.
  ORIEL_INLINE status copy(kivi_cache const& from) noexcept {
    if (!made_.ok()) return made_;
    if (!from.made_.ok()) return from.made_;
    if (from.shape() != shape() || from.at_.shape.window != at_.shape.window ||
        from.at_.shape.sinks != at_.shape.sinks || from.at_.shape.margin != at_.shape.margin) {
      return {errc::shape, "copy: the caches must have the same shape"};
    }
    if (&from == this) return {};
    if (at_.own().meets(from.at_.own())) {
      return {errc::alias, "copy: the caches must not overlap"};
    }
    at_.stand_as(from.at_);
    for (index head = 0; head < at_.shape.kv_heads; ++head) {
      at_.for_each_group([&](index g)
                             ORIEL_INLINE_LAMBDA { at_.move_group(head, g, from.at_, g); });
      for (index p = at_.floats.begin; p < at_.end; ++p) at_.move_floats(head, p, from.at_, p);
    }
    return {};
  }

  /// Bytes that `save` writes now: 14 words, the held groups, and the rows kept as floats.
  ORIEL_INLINE index saved_bytes() const noexcept {
    return made_.ok() ? frame + at_.held_bytes() : 0;
  }
  /// Writes what is held and where it stands, little-endian, with a version and a checksum.
  /// Requires `to` to hold saved_bytes() (errc::memory), outside of the cache (errc::alias).
  ORIEL_INLINE status save(std::span<std::byte> to) const noexcept {
    if (!made_.ok()) return made_;
    index const bytes = saved_bytes();
    if (status s = detail::check_save(to, bytes, at_.own()); !s.ok()) return s;
    detail::saved_out out = detail::begin_saved(to.data(), tag(), bytes);
    cache_shape const& of = at_.shape;
    for (index const number : {of.window, of.sinks, of.kv_heads, of.head_dim, of.value_dim(),
                               at_.origin, at_.groups.begin, at_.floats.begin, at_.end}) {
      out.number(number);
    }
    for (index head = 0; head < of.kv_heads; ++head) {
      at_.for_each_group([&](index g) ORIEL_INLINE_LAMBDA {
        out.rows(at_.key(head, g), Group * at_.key_bytes());
        out.rows(at_.value(head, g), Group * at_.value_bytes());
      });
      for (index p = at_.floats.begin; p < at_.end; ++p) {
        out.rows(reinterpret_cast<std::byte*>(at_.float_k(head, p)), at_.float_key_bytes());
        out.rows(reinterpret_cast<std::byte*>(at_.float_v(head, p)), at_.float_value_bytes());
      }
    }
    detail::end_saved(to.data(), bytes);
    return {};
  }
  /// Becomes what was saved: what follows has the same bits. `from` is exactly what `save` wrote,
  /// of a cache with the same Bits, Group, Parameter, window, sinks, heads and dims; of a larger
  /// margin the last groups and floats that fit are taken. Anything else is errc::saved, and
  /// nothing changes.
  ORIEL_INLINE status restore(std::span<std::byte const> from) noexcept {
    rows saved = at_;
    if (status s = read_saved(from, saved); !s.ok()) return s;
    detail::saved_in in{from.data() + (frame - detail::word_bytes)};
    at_.stand_as(saved);
    at_.make_room();
    for (index head = 0; head < at_.shape.kv_heads; ++head) {
      saved.for_each_group([&](index g) ORIEL_INLINE_LAMBDA {
        bool const kept = g < at_.groups.pinned || g + Group > at_.groups.begin;
        if (!kept) {
          in.at += Group * (at_.key_bytes() + at_.value_bytes());
          return;
        }
        in.rows(at_.key(head, g), Group * at_.key_bytes());
        in.rows(at_.value(head, g), Group * at_.value_bytes());
      });
      index const passed_over = at_.floats.begin - saved.floats.begin;
      in.at += passed_over * (at_.float_key_bytes() + at_.float_value_bytes());
      for (index p = at_.floats.begin; p < at_.end; ++p) {
        in.rows(reinterpret_cast<std::byte*>(at_.float_k(head, p)), at_.float_key_bytes());
        in.rows(reinterpret_cast<std::byte*>(at_.float_v(head, p)), at_.float_value_bytes());
      }
    }
    return {};
  }
  /// ok, or what restore of these bytes would say.
  ORIEL_INLINE status check_restore(std::span<std::byte const> from) const noexcept {
    rows saved = at_;
    return read_saved(from, saved);
  }

  /// Names such caches in saved bytes.
  ORIEL_INLINE static constexpr std::uint64_t tag() noexcept {
    return detail::saved_tag(3, detail::tag_of<v_codec>(), detail::tag_of<v_codec>());
  }

  ORIEL_INLINE constexpr kv_shape shape() const noexcept {
    return {at_.shape.kv_heads, at_.shape.head_dim, at_.shape.value_dim(), true};
  }
  /// Rows per head in whole groups, the sinks' too; 0 if the cache is unusable.
  ORIEL_INLINE constexpr index capacity() const noexcept { return at_.capacity(); }
  ORIEL_INLINE constexpr range positions() const noexcept {
    return at_.groups.positions(at_.had());
  }
  ORIEL_INLINE constexpr range lost() const noexcept { return at_.lost(); }
  /// Positions whose rows are read as floats.
  ORIEL_INLINE constexpr range fresh() const noexcept { return at_.fresh(); }
  /// Positions whose rows are kept as floats: the fresh ones, and those that a rollback may need.
  ORIEL_INLINE constexpr range floats() const noexcept { return {at_.floats.begin, at_.end}; }

  /// A row's bits depend on all rows of its group; fresh ones are to be read otherwise one day.
  ORIEL_INLINE constexpr index settled(index position) const noexcept {
    if (at_.end == at_.origin) return 0;  // what follows may have any position
    return round_down(min_of(position, at_.end), Group);
  }

  /// Where a held position's row lies in its group, and its floats while they are kept.
  ORIEL_INLINE constexpr index slot(index position) const noexcept {
    return at_.groups.slot(position);
  }
  ORIEL_INLINE constexpr index float_slot(index position) const noexcept {
    return at_.floats.slot(position);
  }
  template <class Arch = default_arch>
  ORIEL_INLINE kv_run run_at(index head, index position) const noexcept {
    index const k_dim = at_.shape.head_dim;
    index const v_dim = at_.shape.value_dim();
    if (fresh().contains(position)) {
      return {stored_rows::of(at_.float_k(head, position), k_dim, k_dim),
              stored_rows::of(at_.float_v(head, position), v_dim, v_dim), head, position,
              min_of(at_.end - position, at_.floats.slots_from(float_slot(position)))};
    }
    row_reader const of_keys{&key_groups::template table<Arch>, nullptr};
    return {{at_.key(head, position), at_.key_bytes(), at_.key_bytes(), of_keys},
            {at_.value(head, position), at_.value_bytes(), at_.value_bytes(),
             reader_of<Arch, v_codec>(nullptr)},
            head,
            position,
            min_of(at_.complete() - position, at_.groups.slots_from(slot(position)))};
  }
  ORIEL_INLINE bool overlaps(tensor_view<float> const& out) const noexcept {
    return footprint(out).meets(at_.own());
  }

 private:
  ORIEL_INLINE static status made_from(std::span<std::byte> bytes,
                                       cache_shape const& shape) noexcept {
    if (status s = check(shape); !s.ok()) return s;
    return check_storage(
        bytes, required_bytes(shape),
        {"cache bytes must not be null", "cache bytes must hold kivi_cache::required_bytes(shape)",
         "cache bytes must be aligned to 64"});
  }

  static constexpr index own_words = 9;  ///< in saved bytes
  static constexpr index frame = detail::saved_frame + own_words * detail::word_bytes;

  /// Where saved bytes stand becomes that of `saved`, a copy of the own.
  ORIEL_INLINE status read_saved(std::span<std::byte const> from, rows& saved) const noexcept {
    if (!made_.ok()) return made_;
    if (status s = detail::check_saved(from, tag(), own_words, at_.own()); !s.ok()) return s;
    detail::saved_in in{from.data() + (detail::saved_frame - detail::word_bytes)};
    cache_shape const& of = at_.shape;
    if (!in.numbers({of.window, of.sinks, of.kv_heads, of.head_dim, of.value_dim()})) {
      return {errc::saved, "saved bytes are of a cache of another shape"};
    }
    saved.origin = in.number(), saved.groups.begin = in.number();
    saved.floats.begin = in.number(), saved.end = in.number();
    saved.groups.shift = saved.floats.shift = 0;
    if (!saved.makes_sense()) {
      return {errc::saved, "saved bytes have positions that no cache has"};
    }
    if (saved.held_bytes() != static_cast<index>(from.size()) - frame) {
      return {errc::saved, "saved bytes have more or fewer rows than they say"};
    }
    return {};
  }

  rows at_;
  status made_;
};

}  // namespace oriel::inline v0
