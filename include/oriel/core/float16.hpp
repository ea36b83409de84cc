// SPDX-License-Identifier: BSL-1.0
// Floats of 16 bits, as they are stored. Nothing is computed in them. (std::bit_cast is not always
// inlined: an object for AVX would share it.)
#pragma once

#include <cstdint>

#include "oriel/core/config.hpp"

namespace oriel::inline v0 {

/// bfloat16: the upper half of a float (8 exponent bits, 7 of mantissa).
///
/// From float  round to nearest, ties to even: relative error <= 2^-8 for normal numbers; what
///             rounds beyond the largest becomes infinite; denormals round as any number;
///             infinities and the sign of 0 stay; a NaN stays one, made quiet, with its sign and
///             the upper bits of its payload.
/// To float    exact; a NaN keeps its bits.
struct bf16 {
  std::uint16_t bits = 0;

  ORIEL_INLINE constexpr bf16() noexcept {}
  ORIEL_INLINE constexpr explicit bf16(float x) noexcept {
    auto const u = __builtin_bit_cast(std::uint32_t, x);
    bool const nan = (u & 0x7fffffffu) > 0x7f800000u;
    std::uint32_t const rounded = u + 0x7fffu + (u >> 16 & 1u);
    bits = static_cast<std::uint16_t>((nan ? u | 0x00400000u : rounded) >> 16);
  }
  ORIEL_INLINE constexpr explicit operator float() const noexcept {
    return __builtin_bit_cast(float, std::uint32_t{bits} << 16);
  }
  friend constexpr bool operator==(bf16, bf16) noexcept = default;  ///< of the bits
};

/// IEEE binary16: 5 exponent bits, 10 of mantissa.
///
/// From float  round to nearest, ties to even: relative error <= 2^-11 where the result is normal
///             (2^-14 <= |x| < 65520), absolute error <= 2^-25 below; 65520 and beyond become
///             infinite; infinities and the sign of 0 stay; a NaN stays one, made quiet, with its
///             sign and the upper bits of its payload.
/// To float    exact, of denormals too, whatever the processor is told to do with denormal floats;
///             a NaN is made quiet.
struct f16 {
  std::uint16_t bits = 0;

  ORIEL_INLINE constexpr f16() noexcept {}
  ORIEL_INLINE constexpr explicit f16(float x) noexcept {
    auto const u = __builtin_bit_cast(std::uint32_t, x);
    std::uint32_t const sign = u >> 16 & 0x8000u;
    std::uint32_t const size = u & 0x7fffffffu;
    std::uint32_t half = 0;
    if (size > 0x7f800000u) {
      half = 0x7e00u | (size >> 13 & 0x3ffu);
    } else if (size >= 0x477ff000u) {  // 65520
      half = 0x7c00u;
    } else if (size >= 0x38800000u) {  // 2^-14: normal
      half = (size - 0x38000000u + 0xfffu + (size >> 13 & 1u)) >> 13;
    } else if (size > 0x33000000u) {  // above 2^-25, half of the smallest
      std::uint32_t const shift = 126u - (size >> 23);
      std::uint32_t const mantissa = (size & 0x7fffffu) | 0x800000u;
      std::uint32_t const rest = mantissa & ((1u << shift) - 1u);
      std::uint32_t const tie = 1u << (shift - 1u);
      half = mantissa >> shift;
      if (rest > tie || (rest == tie && (half & 1u) != 0)) ++half;
    }
    bits = static_cast<std::uint16_t>(sign | half);
  }
  ORIEL_INLINE constexpr explicit operator float() const noexcept {
    std::uint32_t const sign = (bits & 0x8000u) << 16;
    std::uint32_t const size = (bits & 0x7fffu) << 13;
    std::uint32_t u = size + 0x38000000u;  // the exponent's bias, 127 instead of 15
    if (size >= 0x0f800000u) {
      u = (size + 0x70000000u) | (size > 0x0f800000u ? 0x00400000u : 0u);
    } else if (size < 0x00800000u) {
      constexpr float smallest_normal = 0x1p-14f;
      u = __builtin_bit_cast(std::uint32_t,
                             __builtin_bit_cast(float, size + 0x38800000u) - smallest_normal);
    }
    return __builtin_bit_cast(float, u | sign);
  }
  friend constexpr bool operator==(f16, f16) noexcept = default;  ///< of the bits
};

}  // namespace oriel::inline v0
