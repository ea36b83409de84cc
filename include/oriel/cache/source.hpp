// SPDX-License-Identifier: BSL-1.0
// Where keys and values come from: the contract of a source, and any source by value.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstring>
#include <type_traits>

#include "oriel/cache/kv_run.hpp"
#include "oriel/simd/arch.hpp"
#include "oriel/view/overlap.hpp"

namespace oriel::inline v0 {

/// Sizes of the rows of a source, and whether any is stored otherwise than as floats.
struct kv_shape {
  index kv_heads = 0;
  index head_dim = 0;  ///< floats in a key
  index v_dim = 0;     ///< floats in a value
  bool coded = false;  ///< are any rows not floats?
  friend constexpr bool operator==(kv_shape const&, kv_shape const&) noexcept = default;
};

/// A source answers, about one sequence:
///
///   check()            ok, or why it can't be read
///   shape()            kv heads and row sizes
///   positions()        the smallest range around the positions it holds; of a ring that has lost
///                      all after its sinks, up to where its sequence ends
///   lost()             positions it held once and holds no more (a mask must not reach them), one
///                      range, before positions() or within, after the sinks. What lies in
///                      positions() and not in lost() is held.
///   run_at(head, p)    the longest run of kv head `head` that starts at the held position p; where
///                      it has readers, shape().coded is true. Later runs may be requested, to be
///                      prefetched, before this one is read: a run stays valid until the call
///                      ends. Several threads may ask at once
///   overlaps(out)      could writing `out` change what it holds?
///   readers()          optional: those of its rows, where a codec stores them; fresh rows after
///                      them (`joined`) are seen as that codec keeps them
///   settled(p)         optional: rows before it, which is at most p, have the same bits whatever
///                      rows follow from p on. Without it that is p: no row depends on another
// clang-format off
template <class S>
concept kv_source = requires(S const& s, index i, tensor_view<float> out) {
  { s.check() } noexcept -> std::same_as<status>;
  { s.shape() } noexcept -> std::same_as<kv_shape>;
  { s.positions() } noexcept -> std::same_as<range>;
  { s.lost() } noexcept -> std::same_as<range>;
  { s.run_at(i, i) } noexcept -> std::same_as<kv_run>;
  { s.overlaps(out) } noexcept -> std::same_as<bool>;
};
// clang-format on

/// Sources that own a state which grows: they are referred to, views are copied.
template <class S>
inline constexpr bool is_cache = requires {
  typename S::is_cache;
};

namespace detail {

/// run_at of a source, for the instruction set if it makes a difference to it.
template <class Arch, class S>
ORIEL_INLINE kv_run run_of(S const& source, index head, index position) noexcept {
  if constexpr (requires { source.template run_at<Arch>(head, position); }) {
    return source.template run_at<Arch>(head, position);
  } else {
    return source.run_at(head, position);
  }
}
/// The readers of a source, for the instruction set if it makes a difference to it; or none.
template <class Arch, class S>
ORIEL_INLINE row_readers readers_of(S const& source) noexcept {
  if constexpr (requires { source.template readers<Arch>(); }) {
    return source.template readers<Arch>();
  } else if constexpr (requires { source.readers(); }) {
    return source.readers();
  } else {
    return {};
  }
}

/// settled of a source.
template <class S>
ORIEL_INLINE index settled_of(S const& source, index position) noexcept {
  if constexpr (requires { source.settled(position); }) {
    return source.settled(position);
  } else {
    return position;
  }
}

}  // namespace detail

/// Any source, asked through pointers a few times per key tile. A view (contiguous, joined) is
/// copied; a cache is referred to, must outlive this value, and is seen as it is when it is asked.
class any_source {
 public:
  static constexpr std::size_t capacity = 256;

  template <kv_source S, class Arch = default_arch>
  requires(!std::is_same_v<S, any_source> && !is_cache<S>) ORIEL_INLINE any_source(S const& view)
  noexcept : ask_(&answers<S, Arch>::table) {
    static_assert(sizeof(S) <= capacity, "a source view holds at most 256 bytes");
    static_assert(std::is_trivially_copyable_v<S>, "a source view must be trivially copyable");
    std::memcpy(bytes_, &view, sizeof(S));
  }

  template <kv_source S, class Arch = default_arch>
  requires is_cache<S> ORIEL_INLINE any_source(S const& cache)
  noexcept : any_source(reference<S>{&cache}) {}
  template <kv_source S>
  requires is_cache<S> any_source(S const&&)
  = delete;  // a cache is referred to: it must be an lvalue

  ORIEL_INLINE status check() const noexcept { return ask_->check(bytes_); }
  ORIEL_INLINE kv_shape shape() const noexcept { return ask_->shape(bytes_); }
  ORIEL_INLINE range positions() const noexcept { return ask_->positions(bytes_); }
  ORIEL_INLINE range lost() const noexcept { return ask_->lost(bytes_); }
  /// Positions that it holds.
  ORIEL_INLINE index held() const noexcept {
    range const all = positions();
    return all.size() - intersect(all, lost()).size();
  }
  ORIEL_INLINE kv_run run_at(index head, index position) const noexcept {
    return ask_->run_at(bytes_, head, position);
  }
  ORIEL_INLINE bool overlaps(tensor_view<float> const& out) const noexcept {
    return ask_->overlaps(bytes_, out);
  }
  ORIEL_INLINE row_readers readers() const noexcept { return ask_->readers(bytes_); }
  ORIEL_INLINE index settled(index position) const noexcept {
    return ask_->settled(bytes_, position);
  }

 private:
  template <class S>
  struct reference {
    S const* source;
    ORIEL_INLINE status check() const noexcept { return source->check(); }
    ORIEL_INLINE kv_shape shape() const noexcept { return source->shape(); }
    ORIEL_INLINE range positions() const noexcept { return source->positions(); }
    ORIEL_INLINE range lost() const noexcept { return source->lost(); }
    template <class Arch = default_arch>
    ORIEL_INLINE kv_run run_at(index head, index p) const noexcept {
      return detail::run_of<Arch>(*source, head, p);
    }
    ORIEL_INLINE bool overlaps(tensor_view<float> const& out) const noexcept {
      return source->overlaps(out);
    }
    template <class Arch = default_arch>
    ORIEL_INLINE row_readers readers() const noexcept {
      return detail::readers_of<Arch>(*source);
    }
    ORIEL_INLINE index settled(index position) const noexcept {
      return detail::settled_of(*source, position);
    }
  };

  struct questions {
    status (*check)(void const*) noexcept;
    kv_shape (*shape)(void const*) noexcept;
    range (*positions)(void const*) noexcept;
    range (*lost)(void const*) noexcept;
    kv_run (*run_at)(void const*, index, index) noexcept;
    bool (*overlaps)(void const*, tensor_view<float> const&) noexcept;
    row_readers (*readers)(void const*) noexcept;
    index (*settled)(void const*, index) noexcept;
  };

  template <class S, class Arch>
  struct answers {
    static S const& of(void const* bytes) noexcept { return *static_cast<S const*>(bytes); }
    static status check(void const* s) noexcept { return of(s).check(); }
    static kv_shape shape(void const* s) noexcept { return of(s).shape(); }
    static range positions(void const* s) noexcept { return of(s).positions(); }
    static range lost(void const* s) noexcept { return of(s).lost(); }
    static kv_run run_at(void const* s, index head, index p) noexcept {
      return detail::run_of<Arch>(of(s), head, p);
    }
    static bool overlaps(void const* s, tensor_view<float> const& out) noexcept {
      return of(s).overlaps(out);
    }
    static row_readers readers(void const* s) noexcept { return detail::readers_of<Arch>(of(s)); }
    static index settled(void const* s, index p) noexcept { return detail::settled_of(of(s), p); }
    static constexpr questions table{check,  shape,    positions, lost,
                                     run_at, overlaps, readers,   settled};
  };

  questions const* ask_;
  alignas(std::max_align_t) std::byte bytes_[capacity] = {};
};

}  // namespace oriel::inline v0
