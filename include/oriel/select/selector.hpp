// SPDX-License-Identifier: BSL-1.0
// Which blocks of keys a row attends to: the contract of a selector, and any selector by value.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>

#include "oriel/cache/source.hpp"

namespace oriel::inline v0 {

/// Blocks that a row may choose at most.
inline constexpr index max_chosen = 1024;

/// A row that chooses.
struct choosing_row {
  float const* q = nullptr;  ///< [head_dim], not scaled
  index position = 0;
  index q_head = 0;
  index kv_head = 0;
  range keys = {};  ///< positions that the source holds
  range lost = {};  ///< but these; an empty range may lie anywhere
};

/// The call whose rows choose.
struct choosing_call {
  kv_shape kv = {};
  index q_heads = 0;
  range queries = {};  ///< positions
};

/// A selector is a trivially copyable value that says which blocks of keys a row attends to; what
/// the mask hides within them stays hidden. Block b is the positions [b * block, (b + 1) * block).
///
///   block()           keys per block
///   most()            blocks that a row chooses at most
///   dense_before()    rows at positions below it are not asked: they attend as without a selector
///   choose(row, to)   writes the numbers of the row's blocks, ascending, and returns how many
///   check(call)       ok, or why it can't serve such a call
///
/// One that is faster for many rows at a time may also have
///
///   choose(rows, to, counts)   the same for each row: row i's numbers from to + i * most() on
// clang-format off
template <class S>
concept selector = std::is_trivially_copyable_v<S> &&
                   requires(S const& s, choosing_row const& row, index* to,
                            choosing_call const& call) {
  { s.block() } noexcept -> std::same_as<index>;
  { s.most() } noexcept -> std::same_as<index>;
  { s.dense_before() } noexcept -> std::same_as<index>;
  { s.choose(row, to) } noexcept -> std::same_as<index>;
  { s.check(call) } noexcept -> std::same_as<status>;
};
// clang-format on

using choosing_rows = std::span<choosing_row const>;

/// Holds a copy of any selector, or none: then every row attends to all that the mask shows.
class any_selector {
 public:
  static constexpr std::size_t capacity = 64;

  ORIEL_INLINE constexpr any_selector() noexcept {}  // not "= default": that is not always inlined
  template <selector S, class Arch = default_arch>
  requires(!std::is_same_v<S, any_selector>) ORIEL_INLINE any_selector(S const& s)
  noexcept : ask_(&answers<S, Arch>::table) {
    static_assert(sizeof(S) <= capacity, "a selector holds at most 64 bytes");
    std::memcpy(bytes_, &s, sizeof(S));
  }

  ORIEL_INLINE explicit operator bool() const noexcept { return ask_ != nullptr; }
  ORIEL_INLINE index block() const noexcept { return ask_->block(bytes_); }
  ORIEL_INLINE index most() const noexcept { return ask_ == nullptr ? 0 : ask_->most(bytes_); }
  ORIEL_INLINE index dense_before() const noexcept { return ask_->dense_before(bytes_); }
  ORIEL_INLINE index choose(choosing_row const& row, index* to) const noexcept {
    index count = 0;
    choose({&row, 1}, to, &count);
    return count;
  }
  ORIEL_INLINE void choose(choosing_rows rows, index* to, index* counts) const noexcept {
    ask_->choose(bytes_, rows, to, counts);
  }
  ORIEL_INLINE status check(choosing_call const& call) const noexcept {
    return ask_ == nullptr ? status{} : ask_->check(bytes_, call);
  }

 private:
  struct questions {
    index (*block)(void const*) noexcept;
    index (*most)(void const*) noexcept;
    index (*dense_before)(void const*) noexcept;
    void (*choose)(void const*, choosing_rows, index*, index*) noexcept;
    status (*check)(void const*, choosing_call const&) noexcept;
  };

  template <class S, class Arch>
  struct answers {
    static S const& of(void const* bytes) noexcept { return *static_cast<S const*>(bytes); }
    static index block(void const* s) noexcept { return of(s).block(); }
    static index most(void const* s) noexcept { return of(s).most(); }
    static index dense_before(void const* s) noexcept { return of(s).dense_before(); }
    static void choose(void const* s, choosing_rows rows, index* to, index* counts) noexcept {
      if constexpr (requires { of(s).choose(rows, to, counts); }) {
        of(s).choose(rows, to, counts);
      } else {
        for (choosing_row const& row : rows) {
          *counts++ = of(s).choose(row, to);
          to += of(s).most();
        }
      }
    }
    static status check(void const* s, choosing_call const& call) noexcept {
      return of(s).check(call);
    }
    static constexpr questions table{block, most, dense_before, choose, check};
  };

  questions const* ask_ = nullptr;
  alignas(std::max_align_t) std::byte bytes_[capacity] = {};
};

}  // namespace oriel::inline v0
