// SPDX-License-Identifier: BSL-1.0
// Square transposes and sums across lanes.
#pragma once

#include <bit>

#include "oriel/simd/vec.hpp"

namespace oriel::inline v0 {

namespace detail {

/// log2(lanes).
template <class Arch>
inline constexpr int rounds = std::countr_zero(static_cast<unsigned>(lanes<Arch>));

/// a0 b0 a1 b1 ... of the lower halves of a and b (`Upper`: of the upper halves).
template <class Arch, bool Upper>
ORIEL_INLINE vec<Arch> interleave(vec<Arch> a, vec<Arch> b) noexcept {
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 64) {
    constexpr int first = Upper ? 8 : 0;
    __m512i const lane =
        _mm512_add_epi32(_mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
                         _mm512_set1_epi32(first));
    return _mm512_permutex2var_ps(a, lane, b);
  }
  if constexpr (x86_bytes<Arch> == 32) {  // xsimd 8.1 and 13 mean different things by zip here
    __m256 const low = _mm256_unpacklo_ps(a, b);
    __m256 const high = _mm256_unpackhi_ps(a, b);
    return _mm256_permute2f128_ps(low, high, Upper ? 0x31 : 0x20);
  }
#endif
  if constexpr (Upper) {
    return xsimd::zip_hi(a, b);
  } else {
    return xsimd::zip_lo(a, b);
  }
}

}  // namespace detail

/// Transposes the lanes x lanes matrix whose rows are `row`: log2(lanes) rounds that each
/// interleave row i with row i + lanes / 2.
template <class Arch>
ORIEL_INLINE void transpose(vec<Arch> (&row)[lanes<Arch>]) noexcept {
  constexpr int half = lanes<Arch> / 2;
  unroll<detail::rounds<Arch>>([&](int) ORIEL_INLINE_LAMBDA {
    vec<Arch> next[lanes<Arch>];
    unroll<half>([&](int i) ORIEL_INLINE_LAMBDA {
      next[2 * i] = detail::interleave<Arch, false>(row[i], row[i + half]);
      next[2 * i + 1] = detail::interleave<Arch, true>(row[i], row[i + half]);
    });
    unroll<lanes<Arch>>([&](int i) ORIEL_INLINE_LAMBDA { row[i] = next[i]; });
  });
}

/// Lane i of the result is the sum over the lanes of row[i]: the rounds of the transpose, each
/// adding the two registers that it would have kept. Every row is summed in the same order, as a
/// tree.
template <class Arch>
ORIEL_INLINE vec<Arch> sum_rows(vec<Arch> (&row)[lanes<Arch>]) noexcept {
  auto const add = [&]<int Half>(std::integral_constant<int, Half>) ORIEL_INLINE_LAMBDA {
    if constexpr (Half > 0) {
      unroll<Half>([&](int i) ORIEL_INLINE_LAMBDA {
        row[i] = detail::interleave<Arch, false>(row[i], row[i + Half]) +
                 detail::interleave<Arch, true>(row[i], row[i + Half]);
      });
    }
  };
  add(std::integral_constant<int, lanes<Arch> / 2>{});
  add(std::integral_constant<int, lanes<Arch> / 4>{});
  add(std::integral_constant<int, lanes<Arch> / 8>{});
  add(std::integral_constant<int, lanes<Arch> / 16>{});
  return row[0];
}

}  // namespace oriel::inline v0
