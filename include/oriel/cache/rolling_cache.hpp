// SPDX-License-Identifier: BSL-1.0
// The rolling buffer: a window of keys costs a window of memory.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "oriel/cache/cache_shape.hpp"
#include "oriel/cache/codec.hpp"
#include "oriel/cache/contiguous.hpp"
#include "oriel/cache/rope.hpp"
#include "oriel/cache/saved.hpp"
#include "oriel/view/workspace.hpp"

namespace oriel::inline v0 {

/// A rolling key/value buffer in the caller's bytes: a ring of window - 1 + margin rows and, beside
/// it, the rows of the positions [0, sinks), which the ring never overwrites. With the default
/// margin exactly `window` rows are kept, and position i lies in slot i mod window. Rows are laid
/// out [kv_heads, capacity, row], all keys and then all values: each head's rows are contiguous. No
/// row is ever moved to make room; one is copied once, into its slot.
///
/// What is held   the positions [0, sinks) and, behind them, those of the ring: at least the last
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
  /// that makes no sense.
  ORIEL_INLINE static constexpr index required_bytes(cache_shape const& shape) noexcept {
    if (!shape.check().ok()) return 0;
    index const rows = saturating_mul(shape.capacity(), shape.kv_heads);
    index const values = saturating_mul(rows, v_codec::row_bytes(shape.value_dim()));
    return saturating_add(all_keys(shape), values);
  }

  ORIEL_INLINE rolling_cache(std::span<std::byte> bytes, cache_shape const& shape,
                             codecs const& with = {}) noexcept
      : shape_(shape), codecs_(with), made_(check(shape)) {
    if (made_.ok()) {
      made_ = check_storage(bytes, required_bytes(shape),
                            {"cache bytes must not be null",
                             "cache bytes must hold rolling_cache::required_bytes(shape)",
                             "cache bytes must be aligned to 64"});
    }
    if (!made_.ok()) return;
    ring_ = shape.ring(), begin_ = shape.sinks;
    k_ = bytes.data(), v_ = k_ + all_keys(shape);
  }

  /// A cache that can't be used, as `why` says.
  ORIEL_INLINE explicit rolling_cache(status const& why) noexcept : made_(why) {}
  ORIEL_INLINE status check() const noexcept { return made_; }

  /// Keeps the rows of the next tokens; of those behind the sinks only the last that fit the ring
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
    if (status s = check_append(shape(), own(), {origin_, end_}, at, k, v); !s.ok()) return s;
    if (k.tokens == 0) return {};
    if (end_ == origin_) {
      origin_ = at, turn_ = 0;
      begin_ = max_of(at, shape_.sinks);
    }
    end_ = at + k.tokens;
    begin_ = max_of(begin_, end_ - ring_);
    index const sinks = max_of(0, min_of(shape_.sinks - at, k.tokens));  // of the tokens
    for (range const part : {range{0, sinks}, {max_of(sinks, k.tokens - ring_), k.tokens}}) {
      for (index head = 0; head < shape_.kv_heads; ++head) {
        for (index t = part.begin; t < part.end; ++t) {
          detail::encode_row<Arch>(codecs_.k, k, t, head, key(head, slot(at + t)));
          detail::encode_row<Arch>(codecs_.v, v, t, head, value(head, slot(at + t)));
        }
      }
    }
    return {};
  }

  /// Forgets every row; the next one may have any position.
  ORIEL_INLINE void clear() noexcept { origin_ = end_ = turn_ = 0, begin_ = shape_.sinks; }

  /// Would a query at `position` find all that a window shows it: has no row of the window - 1
  /// before it been lost?
  ORIEL_INLINE bool can_resume(index position) const noexcept {
    if (!made_.ok() || position < origin_ || position > end_) return false;
    range const needed{max_of(origin_, position - shape_.window + 1), position};
    return intersect(needed, lost()).empty();
  }

  /// Gives back the rows from `position` on: speculative tokens that were not taken, an edited
  /// prompt. The next row is appended at `position`; what follows is as if the rows given back had
  /// never been, also across the wrap. Sinks at or behind `position` are given back too.
  ///
  /// Requires   a position from the first one ever appended to the end (errc::position), whose
  ///            window is still held: can_resume(position) (errc::evicted). That is so for at
  ///            least `margin` rows back from the furthest end there was. On error nothing changes.
  /// Cost       O(1).
  ORIEL_INLINE status truncate(index position) noexcept {
    if (!made_.ok()) return made_;
    if (position < origin_ || position > end_) {
      return {errc::position, "truncate: position must be one the cache has held, or its end"};
    }
    if (!can_resume(position)) {
      return {errc::evicted,
              "truncate: rows of the window before position are overwritten; a larger "
              "cache_shape.margin keeps them"};
    }
    end_ = position;
    begin_ = min_of(begin_, max_of(position, first_of_ring()));
    return {};
  }

  /// Takes the rows of `erased` out (context shift): those behind move down by erased.size()
  /// positions. Values and keys keep their bits; the keys are those of their old positions.
  ///
  /// Requires   0 <= size, within the first position ever appended and the end (errc::position);
  ///            no lost position may become one of the sinks (errc::evicted). Rows of the new
  ///            window may be lost, as if they had been evicted: attention that reaches them is
  ///            refused, can_resume(positions().end) tells, margin >= the rows erased prevents it.
  /// Cost       the held rows behind it copied; none where no row of the ring lies before it.
  ORIEL_INLINE status erase(range erased) noexcept {
    return erase_rows(erased, [](std::byte*, index, index) ORIEL_INLINE_LAMBDA {});
  }
  /// ok, or what erase of a range would say.
  ORIEL_INLINE status check_erase(range erased) const noexcept {
    if (!made_.ok()) return made_;
    if (erased.begin > erased.end || erased.begin < origin_ || erased.end > end_) {
      return {errc::position, "erase: the range must lie within what the cache has held"};
    }
    bool const all_lost_go = intersect(lost(), erased).size() == lost().size();
    if (erased.begin < first_of_ring() && !all_lost_go && !erased.empty()) {
      return {errc::evicted, "erase: rows that would become sinks are overwritten"};
    }
    return {};
  }
  /// The same for keys with rotary positions: each key that moves is turned to its new position
  /// and encoded once more (f32: one more rounding).
  ///
  /// Requires   besides, a rope that fits the keys (errc::shape), memory.bytes of
  ///            erase_bytes(head_dim), aligned (errc::workspace, errc::memory, errc::alignment).
  /// Cost       besides, every held key behind the range is read, turned and written.
  template <class Arch = default_arch>
  status erase(range erased, rope const& by, workspace memory) noexcept {
    if (!made_.ok()) return made_;
    if (status s = detail::check_turn(by, shape_.head_dim, memory); !s.ok()) return s;
    if (footprint(memory.bytes).meets(own())) {
      return {errc::alias, "workspace must not lie in the cache's own bytes"};
    }
    if (status s = check_erase(erased); !s.ok()) return s;
    carver carve(memory.bytes.data());
    auto const scratch = detail::turn_scratch::carve(carve, shape_.head_dim);
    by.template angles<Arch>(-erased.size(), scratch.angles);
    return erase_rows(erased, [&](std::byte* at, index head, index p) {
      codecs_.k.template read<Arch>({at, key_bytes(), head, p, 1, shape_.head_dim}, scratch.row);
      by.template turn<Arch>(scratch.angles, scratch.row);
      codecs_.k.template encode<Arch>(scratch.row, shape_.head_dim, head, at);
    });
  }

  /// Becomes a copy of another cache of the same shape (errc::shape). Cost: the held rows copied.
  ORIEL_INLINE status copy(rolling_cache const& from) noexcept {
    if (!made_.ok()) return made_;
    if (!from.made_.ok()) return from.made_;
    if (from.shape() != shape() || from.shape_.window != shape_.window ||
        from.shape_.sinks != shape_.sinks || from.ring_ != ring_) {
      return {errc::shape, "copy: the caches must have the same shape"};
    }
    if (&from == this) return {};
    if (own().meets(from.own())) return {errc::alias, "copy: the caches must not overlap"};
    origin_ = from.origin_, begin_ = from.begin_, end_ = from.end_, turn_ = from.turn_;
    for_each_held([&](index head, index p)
                      ORIEL_INLINE_LAMBDA { move_row(head, slot(p), from, slot(p)); });
    return {};
  }

  /// Bytes that `save` writes now: 13 words, and the held rows.
  ORIEL_INLINE index saved_bytes() const noexcept {
    if (!made_.ok()) return 0;
    return frame + (pinned().size() + range{begin_, end_}.size()) * token_bytes(shape_);
  }
  /// Writes the held rows and where they stand, little-endian, with a version and a checksum.
  /// Requires `to` to hold saved_bytes() (errc::memory), outside of the cache (errc::alias).
  ORIEL_INLINE status save(std::span<std::byte> to) const noexcept {
    if (!made_.ok()) return made_;
    index const bytes = saved_bytes();
    if (status s = detail::check_save(to, bytes, own()); !s.ok()) return s;
    detail::saved_out out = detail::begin_saved(to.data(), tag(), bytes);
    for (index const number : {shape_.window, shape_.sinks, shape_.kv_heads, shape_.head_dim,
                               shape_.value_dim(), origin_, begin_, end_}) {
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
    rolling_cache next = *this;
    if (status s = read_saved(from, next); !s.ok()) return s;
    detail::saved_in in{from.data() + (frame - detail::word_bytes)};
    index const skipped = max_of(next.begin_, next.end_ - ring_);
    next.for_each_held([&](index head, index p) ORIEL_INLINE_LAMBDA {
      bool const kept = p < shape_.sinks || p >= skipped;
      if (!kept) in.at += key_bytes() + value_bytes();
      if (kept) in.rows(key(head, next.slot(p)), key_bytes());
      if (kept) in.rows(value(head, next.slot(p)), value_bytes());
    });
    next.begin_ = skipped;
    *this = next;
    return {};
  }
  /// ok, or what restore of these bytes would say.
  ORIEL_INLINE status check_restore(std::span<std::byte const> from) const noexcept {
    rolling_cache next = *this;
    return read_saved(from, next);
  }

  /// Names caches of these codecs in saved bytes.
  ORIEL_INLINE static constexpr std::uint64_t tag() noexcept {
    return detail::saved_tag(1, detail::tag_of<k_codec>(), detail::tag_of<v_codec>());
  }
  ORIEL_INLINE constexpr kv_shape shape() const noexcept {
    constexpr bool coded = !detail::is_plain<k_codec> || !detail::is_plain<v_codec>;
    return {shape_.kv_heads, shape_.head_dim, shape_.value_dim(), coded};
  }
  /// Rows per head, the sinks' too; 0 if the cache is unusable.
  ORIEL_INLINE constexpr index capacity() const noexcept {
    return made_.ok() ? shape_.sinks + ring_ : 0;
  }
  ORIEL_INLINE constexpr range positions() const noexcept {
    return {pinned().empty() ? min_of(begin_, end_) : origin_, end_};
  }
  ORIEL_INLINE constexpr range lost() const noexcept {
    return {first_of_ring(), max_of(begin_, first_of_ring())};
  }

  /// Slot of a position: where its row lies while it is held.
  ORIEL_INLINE constexpr index slot(index position) const noexcept {
    auto const at = static_cast<std::uint64_t>(position);  // not negative
    if (ring_ == 0 || at < static_cast<std::uint64_t>(shape_.sinks))
      return ring_ > 0 ? position : 0;
    auto const in = static_cast<std::uint64_t>(position - shape_.sinks + turn_);
    return shape_.sinks + static_cast<index>(in % static_cast<std::uint64_t>(ring_));
  }
  template <class Arch = default_arch>
  ORIEL_INLINE kv_run run_at(index head, index position) const noexcept {
    index const at = slot(position);
    return {{key(head, at), key_bytes(), key_bytes(), reader_of<Arch>(&codecs_.k)},
            {value(head, at), value_bytes(), value_bytes(), reader_of<Arch>(&codecs_.v)},
            head,
            position,
            min_of(end_ - position, (position < shape_.sinks ? shape_.sinks : capacity()) - at)};
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

  /// The first position that the ring may hold.
  ORIEL_INLINE constexpr index first_of_ring() const noexcept {
    return max_of(origin_, shape_.sinks);
  }
  ORIEL_INLINE constexpr range pinned() const noexcept {
    return {origin_, min_of(shape_.sinks, end_)};
  }
  ORIEL_INLINE void move_row(index head, index to, rolling_cache const& from,
                             index slot) const noexcept {
    std::memcpy(key(head, to), from.key(head, slot), static_cast<std::size_t>(key_bytes()));
    std::memcpy(value(head, to), from.value(head, slot), static_cast<std::size_t>(value_bytes()));
  }
  /// Where the rows of saved bytes stand becomes that of `next`, a copy of this.
  ORIEL_INLINE status read_saved(std::span<std::byte const> from,
                                 rolling_cache& next) const noexcept {
    if (!made_.ok()) return made_;
    if (status s = detail::check_saved(from, tag(), own_words, own()); !s.ok()) return s;
    detail::saved_in in{from.data() + (detail::saved_frame - detail::word_bytes)};
    if (!in.numbers(
            {shape_.window, shape_.sinks, shape_.kv_heads, shape_.head_dim, shape_.value_dim()})) {
      return {errc::saved, "saved bytes are of a cache of another shape"};
    }
    next.origin_ = in.number(), next.begin_ = in.number(), next.end_ = in.number();
    next.turn_ = 0;
    if (next.origin_ < 0 || next.end_ < next.origin_ || next.end_ >= max_position ||
        next.begin_ < next.first_of_ring() ||
        next.begin_ > max_of(next.end_, next.first_of_ring())) {
      return {errc::saved, "saved bytes have positions that no cache has"};
    }
    index const rows = saturating_add(next.pinned().size(), range{next.begin_, next.end_}.size());
    index const bytes = saturating_mul(rows, token_bytes(shape_));
    if (bytes != static_cast<index>(from.size()) - frame) {
      return {errc::saved, "saved bytes have more or fewer rows than they say"};
    }
    return {};
  }
  /// f(head, position) for every held row.
  template <class F>
  ORIEL_INLINE void for_each_held(F&& f) const noexcept {
    for (index head = 0; head < shape_.kv_heads; ++head) {
      for (range const part : {pinned(), range{begin_, end_}}) {
        for (index p = part.begin; p < part.end; ++p) f(head, p);
      }
    }
  }

  /// Rows behind `erased` get their new positions; turn(key, head, position) re-turns one. Where no
  /// row of the ring lies before them they stay in their slots, and the slots' numbers are turned.
  template <class Turn>
  ORIEL_INLINE status erase_rows(range erased, Turn&& turn) noexcept {
    if (status s = check_erase(erased); !s.ok()) return s;
    index const n = erased.size();
    if (n == 0) return {};
    rolling_cache next = *this;
    next.end_ -= n;
    if (erased.begin <= begin_) {
      next.turn_ = (turn_ + n % ring_) % ring_;
      next.begin_ = max_of(first_of_ring(), max_of(erased.end, begin_) - n);
    }
    for (range const held : {pinned(), range{begin_, end_}}) {
      for (index p = max_of(erased.end, held.begin); p < held.end; ++p) {
        index const from = slot(p);
        index const to = next.slot(p - n);
        for (index head = 0; head < shape_.kv_heads; ++head) {
          if (from != to) move_row(head, to, *this, from);
          turn(key(head, to), head, p - n);
        }
      }
    }
    *this = next;
    return {};
  }

  ORIEL_INLINE address_range own() const noexcept {
    auto const base = reinterpret_cast<std::uintptr_t>(k_);
    return {base, base + static_cast<std::uintptr_t>(required_bytes(shape_))};
  }
  ORIEL_INLINE index key_bytes() const noexcept { return k_codec::row_bytes(shape_.head_dim); }
  ORIEL_INLINE index value_bytes() const noexcept { return v_codec::row_bytes(shape_.value_dim()); }
  ORIEL_INLINE std::byte* key(index head, index at) const noexcept {
    return k_ + (head * capacity() + at) * key_bytes();
  }
  ORIEL_INLINE std::byte* value(index head, index at) const noexcept {
    return v_ + (head * capacity() + at) * value_bytes();
  }

  cache_shape shape_;
  codecs codecs_;
  status made_;
  index ring_ = 0;  ///< rows of the ring
  std::byte* k_ = nullptr;
  std::byte* v_ = nullptr;
  index origin_ = 0;  ///< position of the first row ever appended
  index begin_ = 0;   ///< the ring holds [begin_, end_)
  index end_ = 0;     ///< position after the last one
  index turn_ = 0;    ///< slots by which erasing has turned the ring
};

}  // namespace oriel::inline v0
