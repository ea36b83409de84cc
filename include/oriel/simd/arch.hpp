// SPDX-License-Identifier: BSL-1.0
// The instruction set as a template argument, and what it offers.
#pragma once

#include <type_traits>
#include <utility>
#include <xsimd/xsimd.hpp>

#include "oriel/core/range.hpp"

#if ORIEL_X86
#include <immintrin.h>
#endif

namespace oriel::inline v0 {

/// The instruction set this translation unit is compiled for. Entry points take another as their
/// first template argument.
using default_arch = xsimd::default_arch;

/// A register of floats.
template <class Arch>
using vec = xsimd::batch<float, Arch>;

/// Floats in a register.
template <class Arch>
inline constexpr int lanes = static_cast<int>(vec<Arch>::size);

/// Are registers shorter than a cache line?
template <class Arch>
inline constexpr bool has_short_registers = lanes<Arch> < 16;

/// Numbers that a V holds: a register of floats, or one double.
template <class V>
inline constexpr int lanes_of = 1;
template <class Arch>
inline constexpr int lanes_of<xsimd::batch<float, Arch>> = lanes<Arch>;

namespace detail {
template <class Arch>
inline constexpr bool is_fma3 = false;
#if ORIEL_X86
template <class Base>
inline constexpr bool is_fma3<xsimd::fma3<Base>> = true;
#endif
}  // namespace detail

/// Registers of this many bytes, on x86 (so that intrinsics may be used), else 0.
template <class Arch>
inline constexpr int x86_bytes = ORIEL_X86 ? 4 * lanes<Arch> : 0;

/// Does the instruction set round a * b + c once? (Newer xsimd names sets above AVX2, such as
/// AVX-VNNI, without fma3; every processor that has them has FMA.)
template <class Arch>
inline constexpr bool has_fma =
#if ORIEL_X86
    x86_bytes<Arch> == 64 || detail::is_fma3<Arch> || std::is_same_v<Arch, xsimd::fma4> ||
    (x86_bytes<Arch> == 32 && !std::is_same_v<Arch, xsimd::avx> &&
     !std::is_same_v<Arch, xsimd::avx2>);
#else
    true;
#endif

/// Registers a kernel may fill: the whole file.
template <class Arch>
inline constexpr int register_count = (ORIEL_X86) && x86_bytes<Arch> != 64 ? 16 : 32;

/// Calls f(0), ..., f(N - 1) in order, each call inlined with its constant: a loop that is unrolled
/// at every optimisation level, so that arrays of registers stay in registers.
template <int N, class F>
ORIEL_INLINE constexpr void unroll(F&& f) noexcept {
  [&]<int... I>(std::integer_sequence<int, I...>) ORIEL_INLINE_LAMBDA { (f(I), ...); }
  (std::make_integer_sequence<int, N>{});
}

}  // namespace oriel::inline v0
