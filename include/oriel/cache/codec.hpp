// SPDX-License-Identifier: BSL-1.0
// How a key or value row is stored.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstring>

#include "oriel/core/status.hpp"

namespace oriel::inline v0 {

/// A codec says how many bytes a row of `dim` floats takes and how it is written.
// clang-format off
template <class C>
concept codec = requires(float const* row, std::byte* to, index dim) {
  { C::row_bytes(dim) } noexcept -> std::same_as<index>;
  { C::encode(row, dim, to) } noexcept;
};
// clang-format on

/// Rows as they are: 4 bytes per element, no error.
struct f32 {
  ORIEL_INLINE static constexpr index row_bytes(index dim) noexcept {
    return saturating_mul(dim, static_cast<index>(sizeof(float)));
  }
  ORIEL_INLINE static void encode(float const* row, index dim, std::byte* to) noexcept {
    std::memcpy(to, row, static_cast<std::size_t>(dim) * sizeof(float));
  }
};

}  // namespace oriel::inline v0
