// SPDX-License-Identifier: BSL-1.0
// Lane-wise operations the kernels are written in. xsimd where it has them; intrinsics where the
// oldest xsimd we support (8.1) lacks them or is slow.
#pragma once

#include <cstdint>
#include <limits>

#include "oriel/simd/arch.hpp"

namespace oriel::inline v0 {

inline constexpr float infinity = std::numeric_limits<float>::infinity();

#if ORIEL_X86
/// The zero-masking forms of some AVX-512 intrinsics, with every lane kept, compile to the plain
/// instruction; the plain forms make g++ 12 warn of an uninitialised value in its own header.
inline constexpr __mmask16 every_lane = 0xffff;
#endif

template <class Arch>
ORIEL_INLINE vec<Arch> load(float const* from) noexcept {
  return vec<Arch>::load_unaligned(from);
}

/// load, of what several products take: it stays in a register. Tuned for Zen 2 or 3, g++ 12 makes
/// of a plain load of 32 bytes a memory operand of each product, and loads bind: tile_gemm takes a
/// third more time.
template <class Arch>
ORIEL_INLINE vec<Arch> load_once(float const* from) noexcept {
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 32) {
    auto const* const at = reinterpret_cast<__m256i const*>(from);
    return _mm256_castsi256_ps(_mm256_lddqu_si256(at));
  }
#endif
  return load<Arch>(from);
}

template <class Arch>
ORIEL_INLINE void store(float* to, vec<Arch> x) noexcept {
  x.store_unaligned(to);
}

template <class Arch>
ORIEL_INLINE vec<Arch> broadcast(float x) noexcept {
  return vec<Arch>(x);
}

/// a * b + c rounded once where `has_fma<Arch>`, else a product and a sum.
template <class Arch>
ORIEL_INLINE vec<Arch> fma(vec<Arch> a, vec<Arch> b, vec<Arch> c) noexcept {
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 64) {
    return _mm512_fmadd_ps(a, b, c);
  } else if constexpr (has_fma<Arch> && x86_bytes<Arch> == 32) {
    return _mm256_fmadd_ps(a, b, c);
  } else {
    return xsimd::fma(a, b, c);
  }
#else
  return xsimd::fma(a, b, c);
#endif
}

/// The larger of a and b. Where one is NaN: b on x86, NaN on Arm.
template <class Arch>
ORIEL_INLINE vec<Arch> max(vec<Arch> a, vec<Arch> b) noexcept {
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 64) return _mm512_maskz_max_ps(every_lane, a, b);
#endif
  return xsimd::max(a, b);
}

/// |x|.
template <class Arch>
ORIEL_INLINE vec<Arch> magnitude(vec<Arch> x) noexcept {
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 64) {
    __m512i const rest = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));
    return _mm512_castsi512_ps(rest);
  }
#endif
  return xsimd::abs(x);
}

/// Largest integer <= x, as a float.
template <class Arch>
ORIEL_INLINE vec<Arch> floor(vec<Arch> x) noexcept {
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 64) return _mm512_maskz_roundscale_ps(every_lane, x, 0x09);
#endif
  return xsimd::floor(x);
}

/// The nearest integer, as a float; of two the even one.
template <class Arch>
ORIEL_INLINE vec<Arch> nearest(vec<Arch> x) noexcept {
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 64) return _mm512_maskz_roundscale_ps(every_lane, x, 0x08);
#endif
  return xsimd::nearbyint(x);
}

/// a / b, rounded once. On NEON xsimd multiplies by a reciprocal of two Newton steps, which is off
/// by a bit here and there.
template <class Arch>
ORIEL_INLINE vec<Arch> divide(vec<Arch> a, vec<Arch> b) noexcept {
#if defined(__aarch64__)
  if constexpr (std::is_same_v<typename vec<Arch>::register_type, float32x4_t>) {
    return vdivq_f32(a, b);
  }
#endif
  return a / b;
}

/// Is a > b in any lane?
template <class Arch>
ORIEL_INLINE bool any_greater(vec<Arch> a, vec<Arch> b) noexcept {
  return xsimd::any(a > b);
}

/// In how many lanes is a >= b?
template <class Arch>
ORIEL_INLINE int count_at_least(vec<Arch> a, vec<Arch> b) noexcept {
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 64) {
    return __builtin_popcount(_mm512_cmp_ps_mask(a, b, _CMP_GE_OQ));
  } else if constexpr (x86_bytes<Arch> == 32) {
    __m256 const is = _mm256_cmp_ps(a, b, _CMP_GE_OQ);
    return __builtin_popcount(static_cast<unsigned>(_mm256_movemask_ps(is)));
  } else if constexpr (x86_bytes<Arch> == 16) {
    return __builtin_popcount(static_cast<unsigned>(_mm_movemask_ps(_mm_cmpge_ps(a, b))));
  }
#endif
  float one[lanes<Arch>];
  store<Arch>(one, xsimd::select(a >= b, broadcast<Arch>(1.0f), broadcast<Arch>(0.0f)));
  float count = 0.0f;
  for (float const x : one) count += x;
  return static_cast<int>(count);
}

/// Lane i is x where bit i of `bits` is set, else -inf. x may be anything where it is not taken.
template <class Arch>
ORIEL_INLINE vec<Arch> keep_or_hide(vec<Arch> x, unsigned bits) noexcept {
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 64) {
    return _mm512_mask_blend_ps(static_cast<__mmask16>(bits), _mm512_set1_ps(-infinity), x);
  }
#endif
  float lane[lanes<Arch>];
  x.store_unaligned(lane);
  unroll<lanes<Arch>>([&](int i) ORIEL_INLINE_LAMBDA {
    if ((bits >> i & 1u) == 0) lane[i] = -infinity;
  });
  return load<Arch>(lane);
}

/// The first `count` lanes from memory, 0 <= count <= lanes; the others are 0 and are not read.
template <class Arch>
ORIEL_INLINE vec<Arch> load_partial(float const* from, int count) noexcept {
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 64) {
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), from);
  } else if constexpr (x86_bytes<Arch> == 32) {
    static constexpr std::int32_t keep[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    auto const* const mask = reinterpret_cast<__m256i const*>(keep + lanes<Arch> - count);
    return _mm256_maskload_ps(from, _mm256_loadu_si256(mask));
  }
#endif
  float lane[lanes<Arch>] = {};
  for (int i = 0; i < count; ++i) lane[i] = from[i];
  return load<Arch>(lane);
}

/// Writes the first `count` lanes, 0 <= count <= lanes, and nothing after them.
template <class Arch>
ORIEL_INLINE void store_partial(float* to, vec<Arch> x, int count) noexcept {
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 64) {
    _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1), x);
    return;
  }
#endif
  float lane[lanes<Arch>];
  x.store_unaligned(lane);
  for (int i = 0; i < count; ++i) to[i] = lane[i];
}

/// Writes the first `count` lanes of a register, all of them by one plain store, which a load that
/// follows needn't wait for.
template <class Arch>
ORIEL_INLINE void store_some(float* to, vec<Arch> x, int count) noexcept {
  if (count == lanes<Arch>) return store<Arch>(to, x);
  store_partial<Arch>(to, x, count);
}

}  // namespace oriel::inline v0
