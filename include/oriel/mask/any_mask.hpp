// SPDX-License-Identifier: BSL-1.0
// Any mask, by value.
#pragma once

#include <cstddef>
#include <cstring>

#include "oriel/mask/full.hpp"
#include "oriel/mask/visible_rows.hpp"
#include "oriel/simd/arch.hpp"

namespace oriel::inline v0 {

/// Holds a copy of any mask and asks it through pointers, a few times per tile. So one copy of the
/// attention code serves every mask, and the calls of a batch may differ in theirs. A mask larger
/// than 128 bytes should point to its data.
class any_mask {
 public:
  static constexpr std::size_t capacity = 128;

  /// `Arch` only keeps the functions behind the pointers apart between translation units that are
  /// built for different instruction sets.
  template <mask M, class Arch = default_arch>
  requires(!std::is_same_v<M, any_mask>) ORIEL_INLINE any_mask(M const& m)
  noexcept : ask_(&answers<M, Arch>::table) {
    static_assert(sizeof(M) <= capacity,
                  "a mask holds at most 128 bytes: let it point to its data");
    static_assert(alignof(M) <= alignof(std::max_align_t));
    if constexpr (!std::is_empty_v<M>) std::memcpy(bytes_, &m, sizeof(M));
  }

  ORIEL_INLINE status check() const noexcept { return ask_->check(bytes_); }
  ORIEL_INLINE bool visible(index q, index k) const noexcept { return ask_->visible(bytes_, q, k); }
  ORIEL_INLINE coverage cover(range queries, range keys) const noexcept {
    return ask_->cover(bytes_, queries, keys);
  }
  ORIEL_INLINE key_ranges reach(range queries) const noexcept {
    return ask_->reach(bytes_, queries);
  }
  /// As the free function of that name.
  ORIEL_INLINE void visible_rows(row_tile const& rows, range keys,
                                 std::uint64_t* word) const noexcept {
    ask_->visible_rows(bytes_, rows, keys, word);
  }

 private:
  struct questions {
    status (*check)(void const*) noexcept;
    bool (*visible)(void const*, index, index) noexcept;
    coverage (*cover)(void const*, range, range) noexcept;
    key_ranges (*reach)(void const*, range) noexcept;
    void (*visible_rows)(void const*, row_tile const&, range, std::uint64_t*) noexcept;
  };

  template <class M, class Arch>
  struct answers {
    static M const& of(void const* bytes) noexcept { return *static_cast<M const*>(bytes); }
    static status check(void const* m) noexcept { return check_mask(of(m)); }
    static bool visible(void const* m, index q, index k) noexcept { return of(m).visible(q, k); }
    static coverage cover(void const* m, range q, range k) noexcept { return of(m).cover(q, k); }
    static key_ranges reach(void const* m, range q) noexcept { return of(m).reach(q); }
    static void visible_rows(void const* m, row_tile const& rows, range keys,
                             std::uint64_t* word) noexcept {
      v0::visible_rows(of(m), rows, keys, word);
    }
    static constexpr questions table{check, visible, cover, reach, visible_rows};
  };

  questions const* ask_;
  alignas(std::max_align_t) std::byte bytes_[capacity] = {};
};

/// A mask that refers to an any_mask, to be composed: `mask_ref(chosen) & key_padding{...}`. (An
/// any_mask itself would not fit into another.) What it refers to must outlive it.
class mask_ref {
 public:
  ORIEL_INLINE explicit mask_ref(any_mask const& of) noexcept : of_(&of) {}
  explicit mask_ref(any_mask const&&) = delete;  // referred to: it must be an lvalue

  ORIEL_INLINE status check() const noexcept { return of_->check(); }
  ORIEL_INLINE bool visible(index q, index k) const noexcept { return of_->visible(q, k); }
  ORIEL_INLINE coverage cover(range queries, range keys) const noexcept {
    return of_->cover(queries, keys);
  }
  ORIEL_INLINE key_ranges reach(range queries) const noexcept { return of_->reach(queries); }
  ORIEL_INLINE void visible_rows(row_tile const& rows, range keys,
                                 std::uint64_t* word) const noexcept {
    of_->visible_rows(rows, keys, word);
  }

 private:
  any_mask const* of_;
};

// An any_mask is not composed: say mask_ref(m), or compose first and assign then.
template <mask M>
void operator&(any_mask const&, M const&) = delete;
template <mask M>
void operator&(M const&, any_mask const&) = delete;
template <mask M>
void operator|(any_mask const&, M const&) = delete;
template <mask M>
void operator|(M const&, any_mask const&) = delete;

}  // namespace oriel::inline v0
