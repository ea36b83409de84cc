// SPDX-License-Identifier: BSL-1.0
// Which blocks of keys a row attends to: the contract of a selector, and any selector by value.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstring>
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
};

/// A selector is a trivially copyable value that says which blocks of keys a row attends to; what
/// the mask hides within them stays hidden. Block b is the positions [b * block, (b + 1) * block).
///
///   block()           keys per block
///   most()            blocks that a row chooses at most
///   dense_before()    rows at positions below it are not asked: they attend as without a selector
///   choose(row, to)   writes the numbers of the row's blocks, ascending, and returns how many
///   check(shape, queries)  ok, or why it can't serve such keys and queries
// clang-format off
template <class S>
concept selector = std::is_trivially_copyable_v<S> &&
                   requires(S const& s, choosing_row const& row, index* to, kv_shape shape,
                            range queries) {
  { s.block() } noexcept -> std::same_as<index>;
  { s.most() } noexcept -> std::same_as<index>;
  { s.dense_before() } noexcept -> std::same_as<index>;
  { s.choose(row, to) } noexcept -> std::same_as<index>;
  { s.check(shape, queries) } noexcept -> std::same_as<status>;
};
// clang-format on

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
    return ask_->choose(bytes_, row, to);
  }
  ORIEL_INLINE status check(kv_shape const& shape, range queries) const noexcept {
    return ask_ == nullptr ? status{} : ask_->check(bytes_, shape, queries);
  }

 private:
  struct questions {
    index (*block)(void const*) noexcept;
    index (*most)(void const*) noexcept;
    index (*dense_before)(void const*) noexcept;
    index (*choose)(void const*, choosing_row const&, index*) noexcept;
    status (*check)(void const*, kv_shape const&, range) noexcept;
  };

  template <class S, class Arch>
  struct answers {
    static S const& of(void const* bytes) noexcept { return *static_cast<S const*>(bytes); }
    static index block(void const* s) noexcept { return of(s).block(); }
    static index most(void const* s) noexcept { return of(s).most(); }
    static index dense_before(void const* s) noexcept { return of(s).dense_before(); }
    static index choose(void const* s, choosing_row const& row, index* to) noexcept {
      return of(s).choose(row, to);
    }
    static status check(void const* s, kv_shape const& shape, range queries) noexcept {
      return of(s).check(shape, queries);
    }
    static constexpr questions table{block, most, dense_before, choose, check};
  };

  questions const* ask_ = nullptr;
  alignas(std::max_align_t) std::byte bytes_[capacity] = {};
};

}  // namespace oriel::inline v0
