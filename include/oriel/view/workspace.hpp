// SPDX-License-Identifier: BSL-1.0
// Scratch memory that the caller owns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "oriel/core/status.hpp"

namespace oriel::inline v0 {

/// Alignment of workspaces, caches and every array inside them: a cache line, and the widest
/// vector.
inline constexpr index storage_alignment = 64;

/// The caller's scratch bytes, aligned to storage_alignment. Contents before and after mean
/// nothing.
struct workspace {
  std::span<std::byte> bytes;
};

/// The sentences of `check_storage` for one owner of bytes.
struct storage_rules {
  char const* null;
  char const* size;
  char const* aligned;
};

/// ok where `required` bytes may be kept in `bytes` (errc::memory, errc::alignment).
ORIEL_INLINE status check_storage(std::span<std::byte> bytes, index required,
                                  storage_rules const& rules) noexcept {
  if (bytes.data() == nullptr) return {errc::memory, rules.null};
  if (required == INT64_MAX || bytes.size() < static_cast<std::size_t>(required)) {
    return {errc::memory, rules.size};
  }
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % storage_alignment != 0) {
    return {errc::alignment, rules.aligned};
  }
  return {};
}

/// One walk over scratch arrays that either measures them (no base) or carves them out of memory;
/// so what is asked for and what is used are the same lines of code.
class carver {
 public:
  ORIEL_INLINE constexpr explicit carver(std::byte* base = nullptr) noexcept : base_(base) {}

  /// An array of `count` elements at the next aligned byte; null while measuring.
  template <class T>
  ORIEL_INLINE T* take(index count) noexcept {
    index const start = used_;
    index const bytes = saturating_mul(count, static_cast<index>(sizeof(T)));
    used_ = saturating_add(start, saturating_add(bytes, storage_alignment - 1));
    used_ = used_ == INT64_MAX ? used_ : round_down(used_, storage_alignment);
    return base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + start);
  }

  /// Goes on after what `other`, a copy that walked the same bytes for another use, has taken.
  ORIEL_INLINE constexpr void skip(carver const& other) noexcept {
    used_ = max_of(used_, other.used_);
  }

  /// Bytes walked over so far, a multiple of storage_alignment; INT64_MAX when they overflow.
  ORIEL_INLINE constexpr index used() const noexcept { return used_; }

 private:
  std::byte* base_;
  index used_ = 0;
};

}  // namespace oriel::inline v0
