// SPDX-License-Identifier: BSL-1.0
// A caller's list of integers.
#pragma once

#include <concepts>
#include <cstdint>
#include <iterator>
#include <span>

#include "oriel/core/range.hpp"

namespace oriel::inline v0 {

/// Borrowed integers of 64 or 32 bits, whichever the caller has: lengths, bounds, pads. From any
/// contiguous range, which must outlive the call.
class integers {
 public:
  ORIEL_INLINE constexpr integers() noexcept {}
  template <std::convertible_to<std::span<index const>> Range>
  ORIEL_INLINE constexpr integers(Range const& values) noexcept
      : wide_(std::data(values)), size_(static_cast<index>(std::size(values))), is_wide_(true) {}
  template <std::convertible_to<std::span<std::int32_t const>> Range>
  ORIEL_INLINE constexpr integers(Range const& values) noexcept
      : narrow_(std::data(values)), size_(static_cast<index>(std::size(values))) {}

  ORIEL_INLINE constexpr index size() const noexcept { return size_; }
  ORIEL_INLINE constexpr bool empty() const noexcept { return size_ == 0; }
  ORIEL_INLINE constexpr index operator[](index i) const noexcept {
    return is_wide_ ? wide_[i] : index{narrow_[i]};
  }

 private:
  index const* wide_ = nullptr;
  std::int32_t const* narrow_ = nullptr;
  index size_ = 0;
  bool is_wide_ = false;
};

}  // namespace oriel::inline v0
