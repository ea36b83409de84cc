// SPDX-License-Identifier: BSL-1.0
// The rolling buffer: a window of keys costs a window of memory.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "oriel/cache/cache_shape.hpp"
#include "oriel/cache/contiguous.hpp"
#include "oriel/cache/rope.hpp"
#include "oriel/cache/row_ring.hpp"
#include "oriel/cache/saved.hpp"
#include "oriel/codec/codec.hpp"
#include "oriel/view/workspace.hpp"

namespace oriel::inline v0 {

/// A rolling key/value buffer in the caller's bytes: a ring of window - 1 + margin rows and, beside
/// it, the rows of the positions [0, sinks), which the ring never overwrites. With the default
/// margin exactly `window` rows are kept, and position i lies in slot i mod window. Rows are laid
/// out [kv_heads, capacity, row], all keys and then all values: each head's rows are contiguous. No
/// row is ever moved to make room; one is copied once, into its slot.
///
/// What is held   the positions [0, sinks) and, after them, those of the ring: at least the last
///            window - 1 + margin ever written, less those that were given back. A row appended at
///            position p overwrites that of p - (window - 1 + margin) and no other; so after an
///            append up to `end`, truncate is exact back to end - margin.
/// Bytes      required_bytes(shape): capacity * kv_heads * (key row + value row), nothing besides.
/// Requires   bytes.size() >= required_bytes (errc::memory), aligned to storage_alignment
///            (errc::alignment), a shape that makes sense (its own errors). A cache built from
///            anything else is unusable: whatever is asked of it returns that status.
/// Threads    any number may read a cache, and copy from it, while no other changes it.
/// Source     Jiang et al. 2023 (Mistral 7B), arXiv:2310.06825, rolling buffer cache; sinks: Xiao
///            et al. 2023 (StreamingLLM), arXiv:2309.17453.
template <class K = f32, class V = K>
requires codec<codec_of<K>> && codec<codec_of<V>>
class rolling_cache {
 public:
  using is_cache = void;
  using k_codec = codec_of<K>;
  using v_codec = codec_of<V>;
  using codecs = codec_pair<k_codec, v_codec>;
  static constexpr index group = 1;  ///< tokens that are stored, and given up, together

  /// ok, or why there is no cache of this shape.
  ORIEL_INLINE static constexpr status check(cache_shape const& shape) noexcept {
    if (status s = shape.check(); !s.ok()) return s;
    if (status s = check_codec<k_codec>(shape.head_dim); !s.ok()) return s;
    return check_codec<v_codec>(shape.value_dim());
  }

  /// Bytes of a token's rows, of all heads.
  ORIEL_INLINE static constexpr index token_bytes(cache_shape const& shape) noexcept {
    index const of_v = v_codec::row_bytes(shape.value_dim());
    return saturating_mul(shape.kv_heads, saturating_add(k_codec::row_bytes(shape.head_dim), of_v));
  }
  /// Bytes that a cache of this shape needs; INT64_MAX when they can't be counted, 0 for a shape
  /// that is invalid.
  ORIEL_INLINE static constexpr index required_bytes(cache_shape const& shape) noexcept {
    if (!shape.check().ok()) return 0;
    index const rows = saturating_mul(shape.capacity(), shape.kv_heads);
    index const values = saturating_mul(rows, v_codec::row_bytes(shape.value_dim()));
    return saturating_add(all_keys(shape), values);
  }

  ORIEL_INLINE rolling_cache(std::span<std::byte> bytes, cache_shape const& shape,
                             codecs const& with = {}) noexcept
      : kept_{shape.kv_heads, shape.head_dim, shape.value_dim(), coded},
        window_(shape.window),
        bytes_(required_bytes(shape)),
        codecs_(with),
        made_(check(shape)) {
    if (made_.ok()) {
      made_ = check_storage(bytes, bytes_,
                            {"cache bytes must not be null",
                             "cache bytes must hold rolling_cache::required_bytes(shape)",
                             "cache bytes must be aligned to 64"});
    }
    if (!made_.ok()) return;
    ring_ = {.rows = shape.ring(), .pinned = shape.sinks};
    k_ = bytes.data(), v_ = k_ + all_keys(shape);
  }

  /// A cache that can't be used, as `why` says.
  ORIEL_INLINE explicit rolling_cache(status const& why) noexcept : made_(why) {}
  ORIEL_INLINE status check() const noexcept { return made_; }

  /// Keeps the rows of the next tokens; of those after the sinks only the last that fit the ring
  /// are written.
  ///
  ///   k : [n, kv_heads, head_dim], v : [n, kv_heads, v_dim]   of floats, bf16 or f16; any strides;
  ///                                                           n may be 0
  ///
  /// Positions  the first row gets `first` if given, else the position after the last one kept,
  ///            or 0. In a cache that holds or has lost rows `first` must be that position
  ///            (errc::position).
  /// Requires   shapes of the cache (errc::shape, errc::heads), k and v outside of its bytes
  ///            (errc::alias). On error nothing has been written.
  /// Cost       min(n, capacity) * kv_heads rows encoded.
  template <class Arch = default_arch>
  ORIEL_INLINE status append(stored_view const& k, stored_view const& v,
                             std::optional<index> first = std::nullopt) noexcept {
    if (!made_.ok()) return made_;
    index const at = first ? *first : end_;
    if (status s = check_append(shape(), own(), had(), at, k, v); !s.ok()) return s;
    if (k.tokens == 0) return {};
    if (had().empty()) begin_at(at);
    end_ = at + k.tokens;
    ring_.make_room(end_);
    for (range const part : ring_.held({at, end_})) {
      for (index head = 0; head < kept_.kv_heads; ++head) {
        for (index p = part.begin; p < part.end; ++p) {
          detail::encode_row<Arch>(codecs_.k, k, p - at, head, key(head, slot(p)));
          detail::encode_row<Arch>(codecs_.v, v, p - at, head, value(head, slot(p)));
        }
      }
    }
    return {};
  }

  /// Forgets every row; the next one may have any position from 0 on.
  ORIEL_INLINE void clear() noexcept { begin_at(0); }

  /// Would a query at `position` find all that a window shows it: has no row of the window - 1
  /// before it been lost?
  ORIEL_INLINE bool can_resume(index position) const noexcept {
    return made_.ok() && ring_.check_truncate(had(), position, window_).ok();
  }

  /// Gives back the rows from `position` on: speculative tokens that were not taken, an edited
  /// prompt. The next row is appended at `position`; what follows is as if the rows given back had
  /// never been, also across the wrap. Sinks at or after `position` are given back too.
  ///
  /// Requires   a position from the first one ever appended to the end (errc::position), whose
  ///            window is still held: can_resume(position) (errc::evicted). That is so for at
  ///            least `margin` rows back from the furthest end there was. On error nothing changes.
  /// Cost       O(1).
  ORIEL_INLINE status truncate(index position) noexcept {
    if (!made_.ok()) return made_;
    if (status s = ring_.check_truncate(had(), position, window_); !s.ok()) return s;
    ring_.truncate(origin_, position);
    end_ = position;
    return {};
  }

  /// Takes the rows of `erased` out (context shift): later ones move down by erased.size()
  /// positions. Values and keys keep their bits; the keys are those of their old positions.
  ///
  /// Requires   0 <= size, within the first position ever appended and the end (errc::position);
  ///            no lost position may become one of the sinks (errc::evicted). Rows of the new
  ///            window may be lost, as if they had been evicted: attention that reaches them is
  ///            refused, can_resume(positions().end) tells, margin >= the rows erased prevents it.
  /// Cost       the held rows after it copied; none where no row of the ring lies before it.
  ORIEL_INLINE status erase(range erased) noexcept {
    return erase_rows(erased, [](std::byte*, index, index) ORIEL_INLINE_LAMBDA {});
  }
  /// ok, or what erase of a range would say.
  ORIEL_INLINE status check_erase(range erased) const noexcept {
    return made_.ok() ? ring_.check_erase(had(), erased) : made_;
  }
  /// The same for keys with rotary positions: each key that moves is rotated to its new position
  /// and encoded once more (f32: one more rounding).
  ///
  /// Requires   besides, a rope that fits the keys (errc::shape), memory.bytes of
  ///            erase_bytes(head_dim), aligned (errc::workspace, errc::memory, errc::alignment).
  /// Cost       besides, every held key after the range is read, rotated and written.
  template <class Arch = default_arch>
  status erase(range erased, rope const& by, workspace memory) noexcept {
    if (!made_.ok()) return made_;
    if (status s = detail::check_rotation(by, kept_.head_dim, memory); !s.ok()) return s;
    if (footprint(memory.bytes).meets(own())) {
      return {errc::alias, "workspace must not lie in the cache's own bytes"};
    }
    if (status s = check_erase(erased); !s.ok()) return s;
    carver carve(memory.bytes.data());
    auto const scratch = detail::rotation_scratch::carve(carve, kept_.head_dim);
    by.template cos_sin<Arch>(-erased.size(), scratch.cos_sin);
    return erase_rows(erased, [&](std::byte* at, index head, index p) {
      codecs_.k.template read<Arch>({at, key_bytes(), head, p, 1, kept_.head_dim}, scratch.row);
      by.template rotate<Arch>(scratch.cos_sin, scratch.row);
      codecs_.k.template encode<Arch>(scratch.row, kept_.head_dim, head, at);
    });
  }

  /// Becomes a copy of another cache of the same shape (errc::shape). Cost: the held rows copied.
  ORIEL_INLINE status copy(rolling_cache const& from) noexcept {
    if (!made_.ok()) return made_;
    if (!from.made_.ok()) return from.made_;
    if (from.kept_ != kept_ || from.window_ != window_ || from.ring_.pinned != ring_.pinned ||
        from.ring_.rows != ring_.rows) {
      return {errc::shape, "copy: the caches must have the same shape"};
    }
    if (&from == this) return {};
    if (own().meets(from.own())) return {errc::alias, "copy: the caches must not overlap"};
    ring_ = from.ring_, origin_ = from.origin_, end_ = from.end_;
    for_each_held([&](index head, index p)
                      ORIEL_INLINE_LAMBDA { move_row(head, slot(p), from, slot(p)); });
    return {};
  }

  /// Bytes that `save` writes now: 13 words, and the held rows.
  ORIEL_INLINE index saved_bytes() const noexcept {
    return made_.ok() ? frame + ring_.held(had()).size() * own_token_bytes() : 0;
  }
  /// Writes the held rows and where they stand, little-endian, with a version and a checksum.
  /// Requires `to` to hold saved_bytes() (errc::memory), outside of the cache (errc::alias).
  ORIEL_INLINE status save(std::span<std::byte> to) const noexcept {
    if (!made_.ok()) return made_;
    index const bytes = saved_bytes();
    if (status s = detail::check_save(to, bytes, own()); !s.ok()) return s;
    detail::saved_out out = detail::begin_saved(to.data(), tag(), bytes);
    for (index const number : {window_, ring_.pinned, kept_.kv_heads, kept_.head_dim, kept_.v_dim,
                               origin_, ring_.begin, end_}) {
      out.number(number);
    }
    for_each_held([&](index head, index p) ORIEL_INLINE_LAMBDA {
      out.rows(key(head, slot(p)), key_bytes());
      out.rows(value(head, slot(p)), value_bytes());
    });
    detail::end_saved(to.data(), bytes);
    return {};
  }
  /// Becomes what was saved: what follows has the same bits. `from` is exactly what `save` wrote,
  /// of a cache with the same codecs (scales of the caller's are not saved), window, sinks, heads
  /// and dims; of a larger margin the last rows that fit are taken. Anything else is errc::saved,
  /// and nothing changes.
  ORIEL_INLINE status restore(std::span<std::byte const> from) noexcept {
    rolling_cache saved = *this;
    if (status s = read_saved(from, saved); !s.ok()) return s;
    rolling_cache next = saved;
    next.ring_.make_room(next.end_);
    detail::saved_in in{from.data() + (frame - detail::word_bytes)};
    saved.for_each_held([&](index head, index p) ORIEL_INLINE_LAMBDA {
      bool const kept = p < next.ring_.pinned || p >= next.ring_.begin;
      if (!kept) in.at += key_bytes() + value_bytes();
      if (kept) in.rows(key(head, next.slot(p)), key_bytes());
      if (kept) in.rows(value(head, next.slot(p)), value_bytes());
    });
    *this = next;
    return {};
  }
  /// ok, or what restore of these bytes would say.
  ORIEL_INLINE status check_restore(std::span<std::byte const> from) const noexcept {
    rolling_cache saved = *this;
    return read_saved(from, saved);
  }

  /// Names caches of these codecs in saved bytes.
  ORIEL_INLINE static constexpr std::uint64_t tag() noexcept {
    return detail::saved_tag(1, detail::tag_of<k_codec>(), detail::tag_of<v_codec>());
  }
  ORIEL_INLINE constexpr kv_shape shape() const noexcept { return kept_; }
  /// Rows per head, the sinks' too; 0 if the cache is unusable.
  ORIEL_INLINE constexpr index capacity() const noexcept { return ring_.slots(); }
  ORIEL_INLINE constexpr range positions() const noexcept { return ring_.positions(had()); }
  ORIEL_INLINE constexpr range lost() const noexcept { return ring_.lost(origin_); }

  /// Slot of a position: where its row lies while it is held.
  ORIEL_INLINE constexpr index slot(index position) const noexcept { return ring_.slot(position); }
  template <class Arch = default_arch>
  ORIEL_INLINE kv_run run_at(index head, index position) const noexcept {
    index const at = slot(position);
    return {{key(head, at), key_bytes(), key_bytes(), reader_of<Arch>(&codecs_.k)},
            {value(head, at), value_bytes(), value_bytes(), reader_of<Arch>(&codecs_.v)},
            head,
            position,
            min_of(end_ - position, ring_.slots_from(at))};
  }
  template <class Arch = default_arch>
  ORIEL_INLINE row_readers readers() const noexcept {
    return {reader_of<Arch>(&codecs_.k), reader_of<Arch>(&codecs_.v)};
  }
  ORIEL_INLINE bool overlaps(tensor_view<float> const& out) const noexcept {
    return footprint(out).meets(own());
  }

 private:
  /// Bytes of all keys, up to where values may begin.
  ORIEL_INLINE static constexpr index all_keys(cache_shape const& shape) noexcept {
    constexpr index step = detail::alignment_of<v_codec>();
    index const rows = saturating_mul(shape.capacity(), shape.kv_heads);
    index const bytes = saturating_mul(rows, k_codec::row_bytes(shape.head_dim));
    return bytes > INT64_MAX - step ? INT64_MAX : round_up(bytes, step);
  }
  static constexpr index own_words = 8;  ///< in saved bytes
  static constexpr index frame = detail::saved_frame + own_words * detail::word_bytes;

  /// From the first position ever appended to the end.
  ORIEL_INLINE constexpr range had() const noexcept { return {origin_, end_}; }
  ORIEL_INLINE void begin_at(index first) noexcept {
    origin_ = end_ = first;
    ring_.begin_at(first);
  }
  ORIEL_INLINE void move_row(index head, index to, rolling_cache const& from,
                             index slot) const noexcept {
    std::memcpy(key(head, to), from.key(head, slot), static_cast<std::size_t>(key_bytes()));
    std::memcpy(value(head, to), from.value(head, slot), static_cast<std::size_t>(value_bytes()));
  }
  /// Where the rows of saved bytes stand becomes that of `saved`, a copy of this.
  ORIEL_INLINE status read_saved(std::span<std::byte const> from,
                                 rolling_cache& saved) const noexcept {
    if (!made_.ok()) return made_;
    if (status s = detail::check_saved(from, tag(), own_words, own()); !s.ok()) return s;
    detail::saved_in in{from.data() + (detail::saved_frame - detail::word_bytes)};
    if (!in.numbers({window_, ring_.pinned, kept_.kv_heads, kept_.head_dim, kept_.v_dim})) {
      return {errc::saved, "saved bytes are of a cache of another shape"};
    }
    saved.origin_ = in.number(), saved.ring_.begin = in.number(), saved.end_ = in.number();
    saved.ring_.shift = 0;
    if (!saved.ring_.makes_sense(saved.had())) {
      return {errc::saved, "saved bytes have positions that no cache has"};
    }
    index const rows = saved.ring_.held(saved.had()).size();
    if (saturating_mul(rows, own_token_bytes()) != static_cast<index>(from.size()) - frame) {
      return {errc::saved, "saved bytes have more or fewer rows than they say"};
    }
    return {};
  }
  /// f(head, position) for every held row.
  template <class F>
  ORIEL_INLINE void for_each_held(F&& f) const noexcept {
    for (index head = 0; head < kept_.kv_heads; ++head) {
      for (range const part : ring_.held(had())) {
        for (index p = part.begin; p < part.end; ++p) f(head, p);
      }
    }
  }

  /// Rows after `erased` get their new positions; rotate(key, head, position) re-rotates one.
  template <class Rotate>
  ORIEL_INLINE status erase_rows(range erased, Rotate&& rotate) noexcept {
    if (status s = check_erase(erased); !s.ok()) return s;
    index const n = erased.size();
    if (n == 0) return {};
    rolling_cache next = *this;
    next.end_ -= n;
    next.ring_.erase(origin_, erased);
    for (range const part : ring_.held({erased.end, end_})) {
      for (index p = part.begin; p < part.end; ++p) {
        index const from = slot(p);
        index const to = next.slot(p - n);
        for (index head = 0; head < kept_.kv_heads; ++head) {
          if (from != to) move_row(head, to, *this, from);
          rotate(key(head, to), head, p - n);
        }
      }
    }
    *this = next;
    return {};
  }

  ORIEL_INLINE address_range own() const noexcept {
    auto const base = reinterpret_cast<std::uintptr_t>(k_);
    return {base, base + static_cast<std::uintptr_t>(bytes_)};
  }
  ORIEL_INLINE index key_bytes() const noexcept { return k_codec::row_bytes(kept_.head_dim); }
  ORIEL_INLINE index value_bytes() const noexcept { return v_codec::row_bytes(kept_.v_dim); }
  ORIEL_INLINE index own_token_bytes() const noexcept {
    return kept_.kv_heads * (key_bytes() + value_bytes());
  }
  ORIEL_INLINE std::byte* key(index head, index at) const noexcept {
    return k_ + (head * capacity() + at) * key_bytes();
  }
  ORIEL_INLINE std::byte* value(index head, index at) const noexcept {
    return v_ + (head * capacity() + at) * value_bytes();
  }

  static constexpr bool coded = !detail::is_plain<k_codec> || !detail::is_plain<v_codec>;

  kv_shape kept_ = {.kv_heads = 1, .coded = coded};
  index window_ = 0;
  index bytes_ = 0;  ///< required_bytes of the shape
  codecs codecs_;
  status made_;
  row_ring ring_ = {};
  std::byte* k_ = nullptr;
  std::byte* v_ = nullptr;
  index origin_ = 0;  ///< position of the first row ever appended
  index end_ = 0;     ///< position after the last one
};

}  // namespace oriel::inline v0
