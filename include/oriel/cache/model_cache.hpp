// SPDX-License-Identifier: BSL-1.0
// The caches of all layers of a model, for several sequences, in one block of bytes.
#pragma once

#include <type_traits>

#include "oriel/cache/model_layout.hpp"
#include "oriel/cache/rolling_cache.hpp"

namespace oriel::inline v0 {

namespace detail {

/// The cache of rows that are stored as K and V, which K may be itself.
template <class K, class V>
struct cache_of_rows : std::type_identity<rolling_cache<K, V>> {};
template <class K>
requires is_cache<K>
struct cache_of_rows<K, K> : std::type_identity<K> {
};

}  // namespace detail

/// A cache per sequence and layer that keeps rows, in the caller's bytes, and the state of all of
/// them too: this value is a handle, a copy of it is another to the same sequences. Layers that
/// share rows cost nothing, windows and chunks cost a ring, others `context` rows.
///
/// Caches     model_cache<K, V>: rolling_cache<K, V>; model_cache<kivi_cache<..>>: that one, whose
///            margin of floats a layer that keeps all has, too.
/// Sequences  are numbered [0, sequences), by the caller. All are there from the beginning, empty;
///            an empty one, also one whose every token was given back, may begin anywhere.
/// What is asked of a whole sequence happens in all of its layers or, where any of them can't, in
///            none: then nothing changes, and status::where is the layer.
/// Layers     one by one, in a forward pass: attend through joined{at(s, l), k, v}, then append. If
///            the pass fails halfway, truncate(s, end(s)) leaves the tokens that all layers have;
///            margin >= the tokens of a pass, and of an erase before it, makes sure that it can.
/// Bytes      required_bytes(config), to the byte: an entry per layer, a state per cache, their
///            rows, each of them rounded up to storage_alignment.
/// Requires   bytes of that size (errc::memory), aligned to storage_alignment (errc::alignment), a
///            config that makes sense (its own errors), no codec, one, or one per layer
///            (errc::shape). A cache built from anything else is unusable: whatever is asked of it
///            returns that status.
/// Threads    sequences are independent of each other: one may change while others, or the same
///            in others' hands, are read; one sequence must not change while it is read.
template <class K = f32, class V = K>
class model_cache {
 public:
  using layer_cache = typename detail::cache_of_rows<K, V>::type;
  using codecs_of_layer = typename layer_cache::codecs;
  static constexpr index group = layer_cache::group;

  /// ok, or why there is no cache of these sizes; status::where is the layer.
  ORIEL_INLINE static status check(model_config const& config) noexcept {
    if (status s = config.check(); !s.ok()) return s;
    for (index i = 0; i < config.layer_count(); ++i) {
      if (config.owner(i) != i) continue;
      status const s = layer_cache::check(config.shape_of(i, group));
      if (!s.ok()) return of_layer(s, i);
    }
    return {};
  }

  /// Bytes that a cache of these sizes needs; INT64_MAX when they can't be counted, 0 for sizes
  /// that are invalid. Cost O(layers).
  ORIEL_INLINE static index required_bytes(model_config const& config) noexcept {
    return check(config).ok() ? layout::of(config).all : 0;
  }

  /// The largest context whose cache fits `bytes`, whatever config.context is: required_bytes of it
  /// is at most `bytes`, of one more is not. 0 where none fits or the other sizes are invalid;
  /// max_position where bytes don't grow with the context, as those of windows, and fit.
  /// Cost O(60 * layers).
  ORIEL_INLINE static index tokens_that_fit(model_config config, index bytes) noexcept {
    config.context = 1;
    if (!check(config).ok()) return 0;
    return first_where(max_position, [&](index i) ORIEL_INLINE_LAMBDA {
      config.context = i + 1;
      index const needed = layout::of(config).all;
      return needed == INT64_MAX || needed > bytes;
    });
  }

  ORIEL_INLINE model_cache(std::span<std::byte> bytes, model_config const& config,
                           std::span<codecs_of_layer const> codecs = {}) noexcept
      : made_(made_from(bytes, config, codecs)), none_(made_) {
    if (!made_.ok()) return;
    bytes_ = bytes.data();
    at_ = layout::of(config);
    layers_ = config.layer_count();
    sequences_ = config.sequences;
    index cache = 0;
    for (index i = 0; i < layers_; ++i) {
      index const owner = config.owner(i);
      bool const own = owner == i;
      entry const e{own ? cache++ : entry_of(owner).cache, own,
                    config.keeps_all(owner) ? config.context : max_position};
      std::memcpy(bytes_ + i * index{sizeof(entry)}, &e, sizeof e);
    }
    for (index s = 0; s < sequences_; ++s) {
      std::byte* rows = bytes_ + at_.rows + s * at_.sequence;
      for (index i = 0; i < layers_; ++i) {
        if (!entry_of(i).own) continue;
        cache_shape const shape = config.shape_of(i, group);
        index const size = layer_cache::required_bytes(shape);
        codecs_of_layer const& with = codecs.empty()       ? codecs_of_layer{}
                                      : codecs.size() == 1 ? codecs.data()[0]
                                                           : codecs.data()[i];
        layer_cache const made({rows, static_cast<std::size_t>(size)}, shape, with);
        std::memcpy(static_cast<void*>(&cache_of(s, entry_of(i).cache)), &made, sizeof made);
        rows += round_up(size, storage_alignment);
      }
    }
  }

  ORIEL_INLINE status check() const noexcept { return made_; }
  ORIEL_INLINE index sequences() const noexcept { return sequences_; }  ///< 0 if it is unusable
  ORIEL_INLINE index layers() const noexcept { return layers_; }        ///< 0 if it is unusable

  /// The cache that a layer of a sequence reads, a source; it stays where it is. One whose check()
  /// says why (errc::shape) where there is no such sequence or layer.
  ORIEL_INLINE layer_cache const& at(index sequence, index layer) const noexcept {
    if (check_layer(sequence, layer).ok()) return cache_of(sequence, entry_of(layer).cache);
    return made_.ok() ? missing_ : none_;
  }
  /// Does a layer keep rows, so that they are to be appended?
  ORIEL_INLINE bool keeps_rows(index layer) const noexcept {
    return layer >= 0 && layer < layers_ && entry_of(layer).own;
  }

  /// Keeps the rows of the next tokens of one layer; arguments, positions and errors as
  /// layer_cache::append. Besides, the layer must keep rows (errc::shape), and where it keeps
  /// all of them there must be room for these: at most config.context are held (errc::full).
  template <class Arch = default_arch>
  ORIEL_INLINE status append(index sequence, index layer, stored_view const& k,
                             stored_view const& v,
                             std::optional<index> first = std::nullopt) noexcept {
    if (status s = check_layer(sequence, layer); !s.ok()) return s;
    entry const& e = entry_of(layer);
    if (!e.own) {
      return {errc::shape, "append: the layer shares the rows of another, which has them", layer};
    }
    layer_cache& cache = cache_of(sequence, e.cache);
    if (e.limit < max_position && k.tokens > e.limit - cache.positions().size()) {
      return {errc::full, "append: a layer that keeps all tokens holds config.context", layer};
    }
    return of_layer(cache.template append<Arch>(k, v, first), layer);
  }

  /// The position after the last token that all layers have; 0 of an empty sequence.
  ORIEL_INLINE index end(index sequence) const noexcept {
    index end = INT64_MAX;
    index origin = INT64_MAX;
    bool all_begun = true;
    (void)for_each_layer(sequence, [&](layer_cache const& cache, index) ORIEL_INLINE_LAMBDA {
      all_begun = all_begun && begun(cache);
      if (begun(cache)) {
        end = min_of(end, cache.positions().end);
        origin = min_of(origin, hull(cache.lost(), cache.positions()).begin);
      }
      return status{};
    });
    if (end == INT64_MAX) return 0;
    return all_begun ? end : origin;
  }
  /// Tokens that may still be appended to every layer; max_position where only rings are kept.
  ORIEL_INLINE index room(index sequence) const noexcept {
    index room = made_.ok() && sequence >= 0 && sequence < sequences_ ? max_position : 0;
    for (index i = 0; room > 0 && i < layers_; ++i) {
      index const limit = entry_of(i).limit;
      if (limit < max_position) room = min_of(room, limit - at(sequence, i).positions().size());
    }
    return room;
  }
  ORIEL_INLINE bool empty(index sequence) const noexcept {
    bool any = false;
    (void)for_each_layer(sequence, [&](layer_cache const& cache, index) ORIEL_INLINE_LAMBDA {
      any = any || begun(cache);
      return status{};
    });
    return !any;
  }
  /// The first sequence that is empty, or -1.
  ORIEL_INLINE index find_empty() const noexcept {
    for (index s = 0; s < sequences_; ++s) {
      if (empty(s)) return s;
    }
    return -1;
  }

  /// Would a query at `position` find, in every layer, all that its window shows it?
  ORIEL_INLINE bool can_resume(index sequence, index position) const noexcept {
    return check_truncate(sequence, position).ok();
  }
  /// Gives back the rows from `position` on in every layer that has any: drafts that were not
  /// taken, a pass that failed halfway. Errors as layer_cache::truncate, of any layer.
  /// Cost O(layers).
  ORIEL_INLINE status truncate(index sequence, index position) noexcept {
    if (status s = check_truncate(sequence, position); !s.ok()) return s;
    status const s = for_each_layer(sequence, [&](layer_cache& cache, index) ORIEL_INLINE_LAMBDA {
      return begun(cache) ? cache.truncate(position) : status{};
    });
    return empty(sequence) ? drop(sequence) : s;
  }

  /// Takes the tokens of a range out of every layer (context shift); errors and cost as
  /// layer_cache::erase, of any layer. A chunked layer's tokens move against its chunks unless
  /// the range is a multiple of them.
  ORIEL_INLINE status erase(index sequence, range erased) noexcept {
    if (status s = check_erase(sequence, erased); !s.ok()) return s;
    status const s = for_each_layer(sequence, [&](layer_cache& cache, index) ORIEL_INLINE_LAMBDA {
      return begun(cache) ? cache.erase(erased) : status{};
    });
    return empty(sequence) ? drop(sequence) : s;
  }
  /// The same with keys rotated to their new positions: `by` is one rope for all layers or one per
  /// layer (errc::shape); one with dim 0 leaves its layer's keys as they are (no positions).
  /// Requires memory.bytes of erase_bytes(the largest head_dim, group), outside of the
  /// cache's own bytes, aligned (errc::workspace, errc::memory, errc::alignment, errc::alias).
  template <class Arch = default_arch>
  status erase(index sequence, range erased, std::span<rope const> by, workspace memory) noexcept {
    if (by.size() != 1 && by.size() != static_cast<std::size_t>(layers_)) {
      return made_.ok() ? status{errc::shape, "erase: there must be one rope, or one per layer"}
                        : made_;
    }
    if (status s = check_erase(sequence, erased); !s.ok()) return s;
    if (footprint(memory.bytes).meets(own())) {
      return {errc::alias, "workspace must not lie in the cache's own bytes"};
    }
    auto const rope_of = [&](index layer) -> rope const& {
      return by.data()[by.size() == 1 ? 0 : layer];
    };
    status const fits = for_each_layer(sequence, [&](layer_cache& cache, index layer) {
      if (rope_of(layer).dim == 0) return status{};
      return detail::check_rotation(rope_of(layer), cache.shape().head_dim, memory, group);
    });
    if (!fits.ok()) return fits;
    status const s = for_each_layer(sequence, [&](layer_cache& cache, index layer) {
      if (!begun(cache)) return status{};
      if (rope_of(layer).dim == 0) return cache.erase(erased);
      return cache.template erase<Arch>(erased, rope_of(layer), memory);
    });
    return empty(sequence) ? drop(sequence) : s;
  }

  /// Sequence `to` becomes a copy of `from`. Cost: the held rows of all layers copied.
  ORIEL_INLINE status fork(index from, index to) noexcept {
    if (status s = check_sequence(from); !s.ok()) return s;
    return for_each_layer(to, [&](layer_cache& cache, index layer)
                                  ORIEL_INLINE_LAMBDA { return cache.copy(at(from, layer)); });
  }
  /// Forgets a sequence: it is empty.
  ORIEL_INLINE status drop(index sequence) noexcept {
    return for_each_layer(sequence, [&](layer_cache& cache, index) ORIEL_INLINE_LAMBDA {
      cache.clear();
      return status{};
    });
  }

  /// Bytes that `save` writes now, 0 where there is no such sequence: 6 words, and what its caches
  /// save.
  ORIEL_INLINE index saved_bytes(index sequence) const noexcept {
    index bytes = frame;
    (void)for_each_layer(sequence, [&](layer_cache const& cache, index) ORIEL_INLINE_LAMBDA {
      bytes += cache.saved_bytes();
      return status{};
    });
    return check_sequence(sequence).ok() ? bytes : 0;
  }
  /// Writes a sequence, as layer_cache::save does a cache. Requires `to` to hold
  /// saved_bytes(sequence) (errc::memory), outside of the cache (errc::alias).
  ORIEL_INLINE status save(index sequence, std::span<std::byte> to) const noexcept {
    if (status s = check_sequence(sequence); !s.ok()) return s;
    index const bytes = saved_bytes(sequence);
    if (status s = detail::check_save(to, bytes, own()); !s.ok()) return s;
    detail::saved_out out = detail::begin_saved(to.data(), tag(), bytes);
    out.number(at_.caches);
    status const s =
        for_each_layer(sequence, [&](layer_cache const& cache, index) ORIEL_INLINE_LAMBDA {
          index const size = cache.saved_bytes();
          std::byte* const part = out.at;
          out.at += size;
          return cache.save({part, static_cast<std::size_t>(size)});
        });
    detail::end_saved(to.data(), bytes);
    return s;
  }
  /// A sequence becomes what was saved, of a cache whose layers keep the same rows; errors as
  /// layer_cache::restore.
  ORIEL_INLINE status restore(index sequence, std::span<std::byte const> from) noexcept {
    if (status s = check_sequence(sequence); !s.ok()) return s;
    if (status s = detail::check_saved(from, tag(), 1, own()); !s.ok()) return s;
    detail::saved_in in{from.data() + (detail::saved_frame - detail::word_bytes)};
    if (in.number() != at_.caches) {
      return {errc::saved, "saved bytes are of a model with other layers"};
    }
    auto const end = from.data() + from.size() - detail::word_bytes;
    for (bool const write : {false, true}) {
      std::byte const* part = in.at;
      status s = for_each_layer(sequence, [&](layer_cache& cache, index) ORIEL_INLINE_LAMBDA {
        std::span<std::byte const> const own_part{part, detail::saved_size(part, end)};
        part += own_part.size();
        return write ? cache.restore(own_part) : cache.check_restore(own_part);
      });
      if (s.ok() && part != end) s = {errc::saved, "saved bytes are of a model with other layers"};
      if (!s.ok()) return s;
    }
    return {};
  }

 private:
  using layout = detail::model_layout<layer_cache>;
  using entry = detail::layer_entry;
  static_assert(std::is_trivially_copyable_v<layer_cache>);
  static constexpr index frame = detail::saved_frame + detail::word_bytes;
  static constexpr std::uint64_t tag() noexcept { return layer_cache::tag() + 0x10000; }

  ORIEL_INLINE static status made_from(std::span<std::byte> bytes, model_config const& config,
                                       std::span<codecs_of_layer const> codecs) noexcept {
    if (status s = check(config); !s.ok()) return s;
    if (codecs.size() > 1 && codecs.size() != config.layers.size()) {
      return {errc::shape, "model_cache: there must be no codec, one, or one per layer"};
    }
    return check_storage(bytes, layout::of(config).all,
                         {"cache bytes must not be null",
                          "cache bytes must hold model_cache::required_bytes(config)",
                          "cache bytes must be aligned to 64"});
  }
  ORIEL_INLINE status check_sequence(index sequence) const noexcept {
    if (!made_.ok()) return made_;
    if (sequence >= 0 && sequence < sequences_) return {};
    return {errc::shape, "model_cache: the sequence is not one of config.sequences"};
  }
  ORIEL_INLINE status check_layer(index sequence, index layer) const noexcept {
    if (status s = check_sequence(sequence); !s.ok()) return s;
    if (layer >= 0 && layer < layers_) return {};
    return {errc::shape, "model_cache: the layer is not one of config.layers"};
  }
  ORIEL_INLINE status check_truncate(index sequence, index position) const noexcept {
    bool const none = empty(sequence);
    return for_each_layer(sequence, [&](layer_cache const& cache, index) ORIEL_INLINE_LAMBDA {
      layer_cache tried = cache;  // the state alone
      return none || begun(cache) ? tried.truncate(position) : status{};
    });
  }
  ORIEL_INLINE status check_erase(index sequence, range erased) const noexcept {
    bool const none = empty(sequence);
    return for_each_layer(sequence, [&](layer_cache const& cache, index) ORIEL_INLINE_LAMBDA {
      return none || begun(cache) ? cache.check_erase(erased) : status{};
    });
  }

  ORIEL_INLINE static status of_layer(status s, index layer) noexcept {
    return {s.code, s.what, s.ok() ? 0 : layer};
  }
  /// f(cache, layer) -> status for the caches of a sequence, up to the first that is not ok.
  template <class F>
  ORIEL_INLINE status for_each_layer(index sequence, F&& f) const noexcept {
    if (status s = check_sequence(sequence); !s.ok()) return s;
    for (index i = 0; i < layers_; ++i) {
      if (!entry_of(i).own) continue;
      status const s = f(cache_of(sequence, entry_of(i).cache), i);
      if (!s.ok()) return of_layer(s, i);
    }
    return {};
  }
  ORIEL_INLINE static bool begun(layer_cache const& cache) noexcept {
    return !cache.positions().empty() || !cache.lost().empty();
  }
  ORIEL_INLINE entry const& entry_of(index layer) const noexcept {
    return reinterpret_cast<entry const*>(bytes_)[layer];
  }
  ORIEL_INLINE layer_cache& cache_of(index sequence, index cache) const noexcept {
    return reinterpret_cast<layer_cache*>(bytes_ + at_.states)[sequence * at_.caches + cache];
  }
  ORIEL_INLINE address_range own() const noexcept {
    auto const base = reinterpret_cast<std::uintptr_t>(bytes_);
    return {base, base + static_cast<std::uintptr_t>(at_.all)};
  }

  status made_;
  layer_cache none_;  ///< what there is of an unusable one
  layer_cache missing_{status{errc::shape, "model_cache: there is no such sequence or layer"}};
  std::byte* bytes_ = nullptr;
  layout at_;
  index layers_ = 0;
  index sequences_ = 0;
};

}  // namespace oriel::inline v0
